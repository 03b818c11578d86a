// GPU architectures by name: what a machine with one is like, which code object runs on it, which family of kernels it takes. Names and numbers
// alone: no GPU runtime is asked.
#ifndef ROCFORGE_PLUGINS_ADAPTER_GPU_ARCH_H
#define ROCFORGE_PLUGINS_ADAPTER_GPU_ARCH_H

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/common/launch.h"
#include "kernels/platform/calls.h"

namespace rocforge::adapter {

// A typical machine of an architecture.
struct GpuArch {
    const char* arch;
    const char* name;
    std::uint32_t wave_size, compute_units, lds_bytes;  // as the vendor's runtime counts them
    std::uint64_t memory_bytes;
};
// By the vendor's own name, its target features ("gfx942:sramecc+:xnack-") put aside; nullptr for one that is not in the table.
const GpuArch* known_arch(platform::Vendor vendor, std::string_view arch);

platform::Vendor vendor_of(std::string_view code_arch);

// Does code for code_arch ("gfx942", "sm_80", "sm_90a") run on a device of that arch? AMD's runs on its own arch alone; NVIDIA's on the same major
// version from its own minor on, with the suffix "a" on exactly its own.
bool runs_on(std::string_view code_arch, std::string_view device_arch);

// nullopt for a device that no code of this project can be built for.
std::optional<kernels::Family> family_of(std::string_view device_arch);

// The code objects that run on a device, in the order in which they are embedded.
std::vector<const kernels::CodeObject*> objects_for(std::span<const kernels::CodeObject> objects, std::string_view device_arch);

// "gfx90a, gfx942": the archs of that vendor's code, each once; "" where there is none.
std::string archs_held(std::span<const kernels::CodeObject> objects, platform::Vendor vendor);

}  // namespace rocforge::adapter
#endif
