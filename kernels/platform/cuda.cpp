// NVIDIA's driver API: what differs from AMD's runtime. Contexts are pushed and popped around each call.
#include <iterator>
#include <type_traits>

#include "kernels/platform/vendors.h"

namespace rocforge::platform {
namespace {

constexpr const char* kNames[] = {"libcuda.so.1"};

// CUdevice_attribute and CUfunction_attribute.
enum : int { kWarpSize = 10, kMultiprocessorCount = 16, kCapabilityMajor = 75, kCapabilityMinor = 76, kSharedMemoryPerBlockOptin = 97 };
enum : int { kMaxDynamicSharedBytes = 8 };
// CUtensorMapDataType, CUtensorMapInterleave, CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill. Elements are moved, not read as
// numbers: any type of as many bits does.
enum : int { kElements8 = 0, kElements16 = 1, kNotInterleaved = 0, kSwizzled64 = 2, kSwizzled128 = 3, kPromoted128 = 2, kZerosOutside = 0 };

}  // namespace

CudaRuntime::CudaRuntime() : Runtime(Vendor::nvidia, Library("NVIDIA driver", kNames)) {
    const auto require = [&]<class... P>(RuntimeCall<P...>& call, const char* name) { call = {name, library_.require<int(P...)>(name)}; };
    require(retain_context_, "cuDevicePrimaryCtxRetain");
    require(push_context_, "cuCtxPushCurrent_v2");
    require(pop_context_, "cuCtxPopCurrent_v2");
    require(get_function_attribute_, "cuFuncGetAttribute");
    require(set_function_attribute_, "cuFuncSetAttribute");
    load_function_ = library_.find<int(Function)>("cuFuncLoad");
    encode_tiled_ = library_.find<std::remove_pointer_t<EncodeTiled>>("cuTensorMapEncodeTiled");
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

void CudaRuntime::encode(const MapRequest& request) const {
    const BoxedTensor& tensor = *request.tensor;
    constexpr std::size_t kAxes = std::size(BoxedTensor{}.extent);
    if (!encode_tiled_) throw Error(Fault::unavailable, 0, library_.name() + " lacks cuTensorMapEncodeTiled: it is older than CUDA 12.0");
    std::uint64_t extents[kAxes], strides[kAxes - 1];
    for (std::size_t axis = 0; axis < kAxes; ++axis) extents[axis] = static_cast<std::uint64_t>(tensor.extent[axis]);
    for (std::size_t axis = 0; axis + 1 < kAxes; ++axis) strides[axis] = static_cast<std::uint64_t>(tensor.stride_bytes[axis]);
    const std::uint32_t box[kAxes] = {BoxedTensor::kBoxColumns, tensor.box_rows, 1, 1}, steps[kAxes] = {1, 1, 1, 1};
    const bool bytes = tensor.element_bytes == 1;
    if (const int number = encode_tiled_(request.map, bytes ? kElements8 : kElements16, kAxes, const_cast<void*>(request.base), extents, strides, box,
                                         steps, kNotInterleaved, bytes ? kSwizzled64 : kSwizzled128, kPromoted128, kZerosOutside)) {
        fail("cuTensorMapEncodeTiled", number);
    }
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
