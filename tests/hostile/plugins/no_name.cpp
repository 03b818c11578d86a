// No name at all.
#include "null_backend.hpp"

static constexpr rf_backend_api kTable = hostile::table<hostile::NullBackend>(nullptr);

extern "C" rf_code rocforge_plugin_v1(const rf_host_api* host, rf_error*) { return host->register_backend(host->self, &kTable); }
