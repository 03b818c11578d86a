// Sound, but needs a library. Its NEEDED name and RUNPATH are what the tests rewrite.
#include "null_backend.hpp"

extern "C" int hostile_absent(void);

static constexpr rf_backend_api kTable = hostile::table<hostile::NullBackend>("linked");

extern "C" rf_code rocforge_plugin_v1(const rf_host_api* host, rf_error*) {
    return hostile_absent() == 0 ? host->register_backend(host->self, &kTable) : RF_INTERNAL;
}
