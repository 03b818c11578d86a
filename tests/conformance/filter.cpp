#include "filter.h"

#include <atomic>
#include <cstdlib>

#include "conformance/glob.h"

namespace rocforge::tests {

using conformance::matches_any;

namespace {

std::string variable(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
}

std::atomic<bool> wanted_any{false};

}  // namespace

bool wanted_case(const std::string& name) {
    static const std::string globs = variable("ROCFORGE_TEST_CASES");
    const bool wanted = matches_any(globs, name);
    if (wanted) wanted_any = true;
    return wanted;
}
bool any_case_was_wanted() { return wanted_any; }
bool wanted_backend(const std::string& name) { return matches_any(variable("ROCFORGE_TEST_BACKEND"), name); }
bool wanted_manner(const std::string& name) { return matches_any(variable("ROCFORGE_TEST_MANNERS"), name); }

std::string device_name(const rf_device& device) {
    if (device.kind == RF_DEVICE_CPU) return "cpu";
    return (device.kind == RF_DEVICE_CUDA ? "cuda:" : device.kind == RF_DEVICE_ROCM ? "rocm:" : "device:") + std::to_string(device.ordinal);
}
bool wanted_device(const rf_device& device) {
    const std::string wanted = variable("ROCFORGE_TEST_DEVICE");
    return wanted.empty() || wanted == device_name(device);
}

bool narrowed_to_some_backends() { return !variable("ROCFORGE_TEST_BACKEND").empty() || !variable("ROCFORGE_TEST_DEVICE").empty(); }

}  // namespace rocforge::tests
