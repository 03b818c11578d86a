// Declares every feature bit there can be, those of later headers included.
#include "null_backend.hpp"

static constexpr rf_backend_api kTable = [] {
    rf_backend_api table = hostile::table<hostile::NullBackend>("all_features");
    table.features = ~rf_features{0};
    return table;
}();

extern "C" rf_code rocforge_plugin_v1(const rf_host_api* host, rf_error*) { return host->register_backend(host->self, &kTable); }
