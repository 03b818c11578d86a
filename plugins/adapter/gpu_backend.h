// One GPU backend behind the ABI: a plugin's kernels, limits and code objects on one vendor's devices. It opens the vendor's runtime when a device is
// asked for and loads code when a plan is made; describing devices, judging problems and choosing kernels need no runtime. No math, no kernel names.
//
// Modules live until shutdown, so that enqueued and captured work may outlive its plan.
#ifndef ROCFORGE_PLUGINS_ADAPTER_GPU_BACKEND_H
#define ROCFORGE_PLUGINS_ADAPTER_GPU_BACKEND_H

#include <rocforge/plugin.hpp>

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/common/launch.h"
#include "kernels/platform/runtime.h"
#include "plugins/adapter/limits.h"

namespace rocforge::adapter {

constexpr std::int32_t device_kind(platform::Vendor vendor) { return vendor == platform::Vendor::amd ? RF_DEVICE_ROCM : RF_DEVICE_CUDA; }

// What a plugin brings.
struct GpuPlugin {
    const char* name;  // the backend's
    rf_features features;
    const Limits& limits;
    kernels::Recipe (*choose)(const kernels::Attention&, const kernels::Machine&, std::uint64_t workspace_limit_bytes);
    std::span<const kernels::CodeObject> (*code_objects)();
};

class GpuBackend {
public:
    class Plan {
    public:
        Plan(const char* name, const platform::Runtime& runtime, int ordinal, const kernels::Attention& attention, kernels::Recipe recipe,
             std::vector<platform::Launchable> kernels);
        const kernels::Recipe& recipe() const { return recipe_; }
        void forward(const rf_args& args) const;

    private:
        const char* name_;
        const platform::Runtime& runtime_;
        int ordinal_;
        kernels::Attention attention_;
        kernels::Recipe recipe_;
        std::vector<platform::Launchable> kernels_;
    };

    GpuBackend(const GpuPlugin& plugin, platform::Vendor vendor);
    ~GpuBackend();
    GpuBackend(const GpuBackend&) = delete;
    GpuBackend& operator=(const GpuBackend&) = delete;

    rf_code device(std::int32_t index, rf_device& out) const;
    rf_code describe(std::string_view arch, rf_device& out) const;
    void supports(const rf_device& device, const rf_problem& problem, Reasons& reasons) const;
    rf_code kv_layout(const rf_device& device, const rf_problem& problem, std::uint32_t index, rf_kv_layout& out) const;
    std::unique_ptr<Plan> plan(const rf_device& device, const rf_problem& problem, std::uint32_t algo, rf_plan_info& info) const;

    // For extensions: runs call(runtime, ordinal) on a device that device() gave; a failure of the runtime becomes a Failure that names this backend.
    template <class Body> auto on_device(const rf_device& device, Body&& body) const {
        return reported(plugin_.name, [&] {
            require_real(device);
            const platform::Runtime& runtime = platform::Runtime::of(vendor_);
            return body(runtime, ordinal_of(device, runtime));
        });
    }

private:
    struct Device;

    // Runs body; a platform::Error becomes a Failure whose message names the backend.
    template <class Body> static auto reported(const char* name, Body&& body) {
        try {
            return body();
        } catch (const platform::Error& error) { throw failure_of(name, error); }
    }
    static Failure failure_of(const char* name, const platform::Error& error);

    void require_real(const rf_device& device) const;
    int ordinal_of(const rf_device& device, const platform::Runtime& runtime) const;
    Device& device_at(const platform::Runtime& runtime, int ordinal) const;
    std::optional<kernels::Machine> check_device(const rf_device& device, Reasons& reasons) const;
    kernels::Recipe choose(const rf_problem& problem, const kernels::Machine& machine) const;
    void check_recipe(const rf_device& device, const rf_problem& problem, const kernels::Machine& machine, Reasons& reasons) const;
    std::vector<platform::Launchable> load(const platform::Runtime& runtime, int ordinal, Device& device, const kernels::Recipe& recipe) const;

    const GpuPlugin& plugin_;
    platform::Vendor vendor_;
    mutable std::mutex mutex_;                              // of devices_ and what is in them
    mutable std::vector<std::unique_ptr<Device>> devices_;  // by ordinal; empty until it is asked for
};

}  // namespace rocforge::adapter
#endif
