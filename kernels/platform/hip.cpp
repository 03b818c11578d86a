// AMD's runtime: what differs from NVIDIA's. HIP needs no call to initialise it, and its current device is a number per thread.
#include <cstring>

#include "kernels/platform/vendors.h"

namespace rocforge::platform {
namespace {

constexpr const char* kNames[] = {"libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5"};

// hipDeviceAttribute_t, the same in HIP 5, 6 and 7.
enum : int { kMultiprocessorCount = 63, kSharedMemoryPerBlock = 74, kWarpSize = 87 };

// hipDeviceProp_t grew in HIP 6, where the new struct is filled under a new symbol name. Of both only gcnArchName is read.
//   R0600: 1,472 bytes, gcnArchName [256] at 1,160; before: 792 bytes, at 396
constexpr std::size_t kArchOffset6 = 1160, kArchOffset5 = 396, kArchBytes = 256, kPropertyBytes = 4096;

}  // namespace

HipRuntime::HipRuntime() : Runtime(Vendor::amd, Library("AMD GPU runtime", kNames)) {
    const auto require = [&]<class... P>(RuntimeCall<P...>& call, const char* name) { call = {name, library_.require<int(P...)>(name)}; };
    require(get_device_, "hipGetDevice");
    require(set_device_, "hipSetDevice");
    const bool six = library_.find<void>("hipGetDevicePropertiesR0600") != nullptr;
    require(properties_, six ? "hipGetDevicePropertiesR0600" : "hipGetDeviceProperties");
    arch_offset_ = six ? kArchOffset6 : kArchOffset5;
    error_name_ = library_.require<const char*(int)>("hipGetErrorName");
    count_devices();
}

int HipRuntime::enter(int device) const {
    int before = 0;
    must(get_device_, &before);
    if (before != device) must(set_device_, device);
    return before == device ? -1 : before;
}

void HipRuntime::leave(int before) const noexcept {
    if (before >= 0) set_device_.function(before);
}

const char* HipRuntime::error_name(int number) const { return error_name_(number); }

std::string HipRuntime::version_text(int version) const {
    return "hip " + std::to_string(version / 10'000'000) + "." + std::to_string(version / 100'000 % 100) + "." + std::to_string(version % 100'000);
}

void HipRuntime::complete(DeviceFacts& facts, int device) const {
    alignas(16) char properties[kPropertyBytes] = {};
    must(properties_, static_cast<void*>(properties), device);
    const char* arch = properties + arch_offset_;
    facts.arch.assign(arch, ::strnlen(arch, kArchBytes));
    facts.wave_size = static_cast<std::uint32_t>(attribute(kWarpSize, device));
    facts.compute_units = static_cast<std::uint32_t>(attribute(kMultiprocessorCount, device));
    facts.shared_bytes = static_cast<std::uint32_t>(attribute(kSharedMemoryPerBlock, device));
}

}  // namespace rocforge::platform
