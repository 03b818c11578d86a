// Fails with a message that has no terminating 0.
#include <rocforge/plugin.h>

#include <cstring>

extern "C" rf_code rocforge_plugin_v1(const rf_host_api*, rf_error* error) {
    std::memset(error->message, 'x', sizeof error->message);
    return RF_INTERNAL;
}
