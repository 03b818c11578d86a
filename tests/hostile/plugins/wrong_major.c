/* A plugin of a later ABI major alone. */
#include <rocforge/plugin.h>

RF_EXPORT rf_code rocforge_plugin_v2(const void* host, rf_error* error);
rf_code rocforge_plugin_v2(const void* host, rf_error* error) {
    (void)host;
    (void)error;
    return RF_OK;
}
