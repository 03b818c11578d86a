// Lets an exception out of the entry, after it has registered a backend.
#include "null_backend.hpp"

#include <stdexcept>

static constexpr rf_backend_api kTable = hostile::table<hostile::NullBackend>("throws");

extern "C" rf_code rocforge_plugin_v1(const rf_host_api* host, rf_error*) {
    host->register_backend(host->self, &kTable);
    throw std::runtime_error("thrown on purpose in the entry");
}
