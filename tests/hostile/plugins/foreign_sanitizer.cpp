// Built with a sanitizer that no host of this project uses: mixed runtimes report nonsense or crash.
#include "null_backend.hpp"

static constexpr rf_backend_api kTable = [] {
    rf_backend_api table = hostile::table<hostile::NullBackend>("foreign_sanitizer");
    table.sanitizer = RF_SANITIZER_MEMORY;
    return table;
}();

extern "C" rf_code rocforge_plugin_v1(const rf_host_api* host, rf_error*) { return host->register_backend(host->self, &kTable); }
