// Declares one option, with a range.
#include "null_backend.hpp"

static constexpr rf_option kLevel{sizeof(rf_option), 0, "level", "1..4", "2", "how hard to try"};
static constexpr const rf_option* kOptions[] = {&kLevel, nullptr};
static constexpr rf_backend_api kTable = [] {
    rf_backend_api table = hostile::table<hostile::NullBackend>("options");
    table.options = kOptions;
    return table;
}();

extern "C" rf_code rocforge_plugin_v1(const rf_host_api* host, rf_error*) { return host->register_backend(host->self, &kTable); }
