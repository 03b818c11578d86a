// A backend that takes every problem on one CPU device and computes nothing: what each plugin of this folder is but for its one fault.
#pragma once

#include <rocforge/plugin.hpp>

#include <cstdint>
#include <memory>
#include <string_view>

namespace hostile {

inline constexpr rf_features kFeatures = RF_F_CAUSAL | RF_F_GROUPED_HEADS | RF_F_LSE;

struct NullBackend {
    struct Plan {
        void forward(const rf_args&) const {}
    };
    explicit NullBackend(const rf_host_api&) {}

    rf_code device(std::int32_t index, rf_device& device) const {
        if (index != 0) return RF_NOT_FOUND;
        device.kind = RF_DEVICE_CPU;
        device.ordinal = 0;
        device.arch = "none";
        device.name = "no device at all";
        device.runtime = "";
        return RF_OK;
    }
    rf_code describe(std::string_view, rf_device&) const { return RF_NOT_FOUND; }
    void supports(const rf_device&, const rf_problem&, rocforge::Reasons&) const {}
    rf_code kv_layout(const rf_device&, const rf_problem&, std::uint32_t, rf_kv_layout&) const { return RF_NOT_FOUND; }
    std::unique_ptr<Plan> plan(const rf_device&, const rf_problem&, std::uint32_t, rf_plan_info& info) const {
        info.kernel = "none";
        info.estimate_us = -1;
        return std::make_unique<Plan>();
    }
};

template <class Backend> constexpr rf_backend_api table(const char* name) {
    return rocforge::backend_table<Backend>(
        {.name = name, .version = "1.0.0", .vendor = "tests/hostile", .features = kFeatures, .device_kind = RF_DEVICE_CPU});
}

}  // namespace hostile
