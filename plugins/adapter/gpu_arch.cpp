// See gpu_arch.h.
#include "plugins/adapter/gpu_arch.h"

#include <algorithm>

namespace rocforge::adapter {
namespace {

using platform::Vendor;

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;

// compute_units of gfx11 and gfx12 are workgroup processors, two of AMD's "compute units" each: HIP counts them so.
constexpr GpuArch kAmd[] = {
    {"gfx90a", "AMD Instinct MI250X, one of two dies", 64, 110, 64 * 1024, 64 * kGiB},
    {"gfx942", "AMD Instinct MI300X", 64, 304, 64 * 1024, 192 * kGiB},
    {"gfx1100", "AMD Radeon RX 7900 XTX", 32, 48, 64 * 1024, 24 * kGiB},
    {"gfx1201", "AMD Radeon RX 9070 XT", 32, 32, 64 * 1024, 16 * kGiB},
};
constexpr GpuArch kNvidia[] = {
    {"sm_80", "NVIDIA A100", 32, 108, 163 * 1024, 80 * kGiB},           {"sm_86", "NVIDIA A10", 32, 72, 99 * 1024, 24 * kGiB},
    {"sm_87", "NVIDIA Jetson AGX Orin", 32, 16, 163 * 1024, 64 * kGiB}, {"sm_89", "NVIDIA L40S", 32, 142, 99 * 1024, 48 * kGiB},
    {"sm_90", "NVIDIA H100", 32, 132, 227 * 1024, 80 * kGiB},
};

std::string_view base_of(std::string_view arch) { return arch.substr(0, arch.find(':')); }

// "sm_86" is {8, 6, false}: the last digit is the minor version.
struct Capability {
    int major, minor;
    bool exact;  // suffix "a"
};
std::optional<Capability> capability_of(std::string_view arch) {
    if (!arch.starts_with("sm_")) return std::nullopt;
    arch.remove_prefix(3);
    const bool exact = arch.ends_with('a');
    if (exact) arch.remove_suffix(1);
    if (arch.size() < 2 || arch.size() > 3 || !std::all_of(arch.begin(), arch.end(), [](char c) { return c >= '0' && c <= '9'; }))
        return std::nullopt;
    int number = 0;
    for (const char c : arch) number = number * 10 + (c - '0');
    return Capability{number / 10, number % 10, exact};
}

}  // namespace

const GpuArch* known_arch(Vendor vendor, std::string_view arch) {
    const std::span<const GpuArch> table = vendor == Vendor::amd ? std::span<const GpuArch>(kAmd) : std::span<const GpuArch>(kNvidia);
    const auto found = std::find_if(table.begin(), table.end(), [&](const GpuArch& known) { return base_of(arch) == known.arch; });
    return found == table.end() ? nullptr : &*found;
}

Vendor vendor_of(std::string_view code_arch) { return code_arch.starts_with("gfx") ? Vendor::amd : Vendor::nvidia; }

bool runs_on(std::string_view code_arch, std::string_view device_arch) {
    const std::optional<Capability> code = capability_of(code_arch), device = capability_of(device_arch);
    if (!code || !device) return !code && !device && code_arch == base_of(device_arch);
    return code->major == device->major && (code->exact ? code->minor == device->minor : code->minor <= device->minor);
}

std::optional<kernels::Family> family_of(std::string_view device_arch) {
    const std::string_view base = base_of(device_arch);
    if (base.starts_with("gfx9")) return kernels::Family::gfx9;
    if (base.starts_with("gfx11")) return kernels::Family::gfx11;
    if (base.starts_with("gfx12")) return kernels::Family::gfx12;
    const std::optional<Capability> capability = capability_of(base);
    if (!capability) return std::nullopt;
    if (capability->major == 8) return kernels::Family::sm80;
    if (capability->major == 9) return kernels::Family::sm90;
    return std::nullopt;
}

std::vector<const kernels::CodeObject*> objects_for(std::span<const kernels::CodeObject> objects, std::string_view device_arch) {
    std::vector<const kernels::CodeObject*> found;
    for (const kernels::CodeObject& object : objects) {
        if (runs_on(object.arch, device_arch)) found.push_back(&object);
    }
    return found;
}

std::string archs_held(std::span<const kernels::CodeObject> objects, Vendor vendor) {
    std::vector<std::string_view> archs;
    std::string text;
    for (const kernels::CodeObject& object : objects) {
        if (vendor_of(object.arch) != vendor || std::find(archs.begin(), archs.end(), object.arch) != archs.end()) continue;
        archs.push_back(object.arch);
        text += (text.empty() ? "" : ", ") + std::string(object.arch);
    }
    return text;
}

}  // namespace rocforge::adapter
