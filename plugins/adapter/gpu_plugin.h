// Makes a GPU plugin's entry from what the plugin brings: one backend by its name for each vendor.
#ifndef ROCFORGE_PLUGINS_ADAPTER_GPU_PLUGIN_H
#define ROCFORGE_PLUGINS_ADAPTER_GPU_PLUGIN_H

#include <rocforge/plugin.hpp>

#include "plugins/adapter/gpu_backend.h"
#include "plugins/adapter/gpu_extensions.h"

namespace rocforge::adapter {

// The class behind one table of the ABI: kPlugin's kernels on kVendor's devices.
template <const GpuPlugin& kPlugin, platform::Vendor kVendor> class GpuBackendOf : public GpuBackend {
public:
    explicit GpuBackendOf(const rf_host_api&) : GpuBackend(kPlugin, kVendor) {}
    const void* extension(const char* id) const { return GpuExtensions<GpuBackendOf>::find(id); }
};

template <const GpuPlugin& kPlugin, platform::Vendor kVendor>
constexpr rf_backend_api kGpuTable = backend_table<GpuBackendOf<kPlugin, kVendor>>(
    {.name = kPlugin.name, .version = "0.1.0", .vendor = "rocforge", .features = kPlugin.features, .device_kind = device_kind(kVendor)});

// The body of rocforge_plugin_v1.
template <const GpuPlugin& kPlugin> rf_code register_gpu_plugin(const rf_host_api* host) {
    const rf_code code = host->register_backend(host->self, &kGpuTable<kPlugin, platform::Vendor::amd>);
    return code == RF_OK ? host->register_backend(host->self, &kGpuTable<kPlugin, platform::Vendor::nvidia>) : code;
}

}  // namespace rocforge::adapter
#endif
