// What one backend lends of one device: the tables of its extensions, checked once, and its calls told in its name. Keeps no list of what was made
// through it, and copies nothing that it is not asked to.
#pragma once

#include "runtime.hpp"

#include <memory>

// The C API's handle.
struct rocforge_device_t {
    std::shared_ptr<rocforge::Runtime> runtime;
    rocforge::Backend* backend = nullptr;
    rf_backend* instance = nullptr;
    rf_device device{};                     // as the backend sees it
    const rf_memory_api* memory = nullptr;  // the others are NULL where the backend lends none
    const rf_timer_api* timer = nullptr;
    const rf_graph_api* graph = nullptr;
};

namespace rocforge {

// The backend's rocforge.memory/1: NULL where it lends none, RF_INCOMPATIBLE where the table is not whole.
Result<const rf_memory_api*> memory_of(const Backend& backend, rf_backend* instance);

Result<std::unique_ptr<rocforge_device_t>> open_device(Runtime& runtime, const rf_device& device, const char* backend);

}  // namespace rocforge
