// Says that it failed and leaves the message empty.
#include <rocforge/plugin.h>

extern "C" rf_code rocforge_plugin_v1(const rf_host_api*, rf_error*) { return RF_INTERNAL; }
