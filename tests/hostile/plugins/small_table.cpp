// A table that ends before its required slots.
#include "null_backend.hpp"

static constexpr rf_backend_api kTable = [] {
    rf_backend_api table = hostile::table<hostile::NullBackend>("small_table");
    table.struct_size = offsetof(rf_backend_api, forward);
    return table;
}();

extern "C" rf_code rocforge_plugin_v1(const rf_host_api* host, rf_error*) { return host->register_backend(host->self, &kTable); }
