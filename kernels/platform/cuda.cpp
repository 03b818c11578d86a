// NVIDIA's driver API: what differs from AMD's runtime. Contexts are pushed and popped around each call.
#include "kernels/platform/vendors.h"

namespace rocforge::platform {
namespace {

constexpr const char* kNames[] = {"libcuda.so.1"};

// CUdevice_attribute and CUfunction_attribute.
enum : int { kWarpSize = 10, kMultiprocessorCount = 16, kCapabilityMajor = 75, kCapabilityMinor = 76, kSharedMemoryPerBlockOptin = 97 };
enum : int { kMaxDynamicSharedBytes = 8 };

}  // namespace

CudaRuntime::CudaRuntime() : Runtime(Vendor::nvidia, Library("NVIDIA driver", kNames)) {
    const auto require = [&]<class... P>(RuntimeCall<P...>& call, const char* name) { call = {name, library_.require<int(P...)>(name)}; };
    require(retain_context_, "cuDevicePrimaryCtxRetain");
    require(push_context_, "cuCtxPushCurrent_v2");
    require(pop_context_, "cuCtxPopCurrent_v2");
    require(get_function_attribute_, "cuFuncGetAttribute");
    require(set_function_attribute_, "cuFuncSetAttribute");
    load_function_ = library_.find<int(Function)>("cuFuncLoad");
    error_name_ = library_.require<int(int, const char**)>("cuGetErrorName");
    if (const int number = library_.require<int(unsigned)>("cuInit")(0)) fail_without_device(number);
    count_devices();
    contexts_ = std::make_unique<std::atomic<Context>[]>(static_cast<std::size_t>(devices()));
}

CudaRuntime::Context CudaRuntime::context_of(int device) const {
    std::atomic<Context>& kept = contexts_[static_cast<std::size_t>(device)];
    if (const Context context = kept.load(std::memory_order_acquire)) return context;
    const std::lock_guard lock(retaining_);
    if (const Context context = kept.load(std::memory_order_relaxed)) return context;
    Context context = nullptr;
    must(retain_context_, &context, device);  // a CUdevice is the ordinal
    kept.store(context, std::memory_order_release);
    return context;
}

int CudaRuntime::enter(int device) const {
    must(push_context_, context_of(device));
    return 0;
}

void CudaRuntime::leave(int) const noexcept {
    Context popped = nullptr;
    pop_context_.function(&popped);
}

const char* CudaRuntime::error_name(int number) const {
    const char* name = nullptr;
    return error_name_(number, &name) == 0 ? name : nullptr;
}

std::string CudaRuntime::version_text(int version) const {
    return "cuda " + std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

void CudaRuntime::complete(DeviceFacts& facts, int device) const {
    facts.arch = "sm_" + std::to_string(attribute(kCapabilityMajor, device)) + std::to_string(attribute(kCapabilityMinor, device));
    facts.wave_size = static_cast<std::uint32_t>(attribute(kWarpSize, device));
    facts.compute_units = static_cast<std::uint32_t>(attribute(kMultiprocessorCount, device));
    facts.shared_bytes = static_cast<std::uint32_t>(attribute(kSharedMemoryPerBlockOptin, device));
}

void CudaRuntime::prepare(Function function, std::uint32_t shared_bytes) const {
    // Drivers that load kernels lazily would do it at the first launch, which may be under capture.
    if (load_function_) {
        if (const int number = load_function_(function)) fail("cuFuncLoad", number);
    }
    // The limit is the function's, not the launch's: it is only ever raised, so that an earlier plan's launches stay valid.
    int allowed = 0;
    must(get_function_attribute_, &allowed, kMaxDynamicSharedBytes, function);
    if (static_cast<std::uint32_t>(allowed) < shared_bytes) {
        must(set_function_attribute_, function, kMaxDynamicSharedBytes, static_cast<int>(shared_bytes));
    }
}

}  // namespace rocforge::platform
