/* Calls a function that no library has: lazy binding would let it load and abort the host later. */
#include <rocforge/plugin.h>

int hostile_symbol_that_nobody_defines(void);

rf_code rocforge_plugin_v1(const rf_host_api* host, rf_error* error) {
    (void)host;
    (void)error;
    return hostile_symbol_that_nobody_defines();
}
