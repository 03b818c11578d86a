// Registers a sound backend, then says that it failed: the backend must go too.
#include "null_backend.hpp"

static constexpr rf_backend_api kTable = hostile::table<hostile::NullBackend>("returns_error");

extern "C" rf_code rocforge_plugin_v1(const rf_host_api* host, rf_error* error) {
    host->register_backend(host->self, &kTable);
    return rocforge::fail(error, RF_UNAVAILABLE, "the licence file is missing");
}
