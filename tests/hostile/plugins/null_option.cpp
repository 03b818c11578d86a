// Declares an option that has no key.
#include "null_backend.hpp"

static constexpr rf_option kNameless{sizeof(rf_option), 0, nullptr, nullptr, nullptr, nullptr};
static constexpr const rf_option* kOptions[] = {&kNameless, nullptr};
static constexpr rf_backend_api kTable = [] {
    rf_backend_api table = hostile::table<hostile::NullBackend>("null_option");
    table.options = kOptions;
    return table;
}();

extern "C" rf_code rocforge_plugin_v1(const rf_host_api* host, rf_error*) { return host->register_backend(host->self, &kTable); }
