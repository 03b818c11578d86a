// Something where a later header may put a meaning.
#include "null_backend.hpp"

static constexpr rf_backend_api kTable = [] {
    rf_backend_api table = hostile::table<hostile::NullBackend>("reserved");
    table.reserved = 7;
    return table;
}();

extern "C" rf_code rocforge_plugin_v1(const rf_host_api* host, rf_error*) { return host->register_backend(host->self, &kTable); }
