// What each backend can run on each device, by its own predicate: rocforge explain --matrix. Asks geometry alone, so devices may be absent; a file
// that was built without code for a device is judged as if it had it, and said to be so.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "session.hpp"

namespace rocforge::cli {

// What one backend answers on devices where its answers are the same.
struct Support {
    std::string backend;
    std::int32_t device_kind = 0;
    std::vector<std::string> devices, not_built;  // not_built: those of devices that this file has no code for
    std::vector<std::string> dtypes, features;    // features: each asked alone
    std::vector<std::int64_t> head_dims;          // of 1 to 1024
    std::vector<std::string> faults;              // a sentence for each way in which it broke its contract when it was asked
};

// The devices "cpu" and AMD's and NVIDIA's archs that are known to this program, or `device` alone. Throws Quit for a device that nobody knows.
std::vector<Support> support_matrix(rocforge_context* context, const std::string& device);

std::string to_markdown(const std::vector<Support>& matrix);
nlohmann::ordered_json to_json(const std::vector<Support>& matrix);

}  // namespace rocforge::cli
