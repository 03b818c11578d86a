// Succeeds without a backend.
#include <rocforge/plugin.h>

extern "C" rf_code rocforge_plugin_v1(const rf_host_api*, rf_error*) { return RF_OK; }
