// A required slot is NULL, and the refusal is ignored.
#include "null_backend.hpp"

static constexpr rf_backend_api kTable = [] {
    rf_backend_api table = hostile::table<hostile::NullBackend>("missing_slot");
    table.plan = nullptr;
    return table;
}();

extern "C" rf_code rocforge_plugin_v1(const rf_host_api* host, rf_error*) {
    host->register_backend(host->self, &kTable);
    return RF_OK;
}
