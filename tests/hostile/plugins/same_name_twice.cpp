// Registers one (name, kind) twice.
#include "null_backend.hpp"

static constexpr rf_backend_api kTable = hostile::table<hostile::NullBackend>("twice");
static constexpr rf_backend_api kAgain = hostile::table<hostile::NullBackend>("twice");

extern "C" rf_code rocforge_plugin_v1(const rf_host_api* host, rf_error*) {
    const rf_code first = host->register_backend(host->self, &kTable);
    return first == RF_OK ? host->register_backend(host->self, &kAgain) : first;
}
