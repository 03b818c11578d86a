// What AMD's and NVIDIA's runtimes do not share. Seen by runtime.cpp alone.
#ifndef ROCFORGE_KERNELS_PLATFORM_VENDORS_H
#define ROCFORGE_KERNELS_PLATFORM_VENDORS_H

#include <atomic>
#include <memory>
#include <mutex>

#include "kernels/platform/runtime.h"

namespace rocforge::platform {

// HIP 5, 6 and 7.
class HipRuntime : public Runtime {
public:
    HipRuntime();

private:
    int enter(int device) const override;
    void leave(int before) const noexcept override;
    const char* error_name(int number) const override;
    std::string version_text(int version) const override;
    void complete(DeviceFacts& facts, int device) const override;

    RuntimeCall<int*> get_device_;
    RuntimeCall<int> set_device_;
    RuntimeCall<void*, int> properties_;
    std::size_t arch_offset_;  // of gcnArchName in what properties_ fills
    const char* (*error_name_)(int);
};

// CUDA's driver API, on each device's primary context: the one that CUDA's runtime API and frameworks use.
class CudaRuntime : public Runtime {
public:
    CudaRuntime();

private:
    using Context = struct OpaqueContext*;
    // Map, element type, axes, address, extents, strides, box, steps in a box, interleave, swizzle, promotion in L2, fill.
    using EncodeTiled = int (*)(TensorMap*, int, std::uint32_t, void*, const std::uint64_t*, const std::uint64_t*, const std::uint32_t*,
                                const std::uint32_t*, int, int, int, int);

    int enter(int device) const override;
    void leave(int before) const noexcept override;
    const char* error_name(int number) const override;
    std::string version_text(int version) const override;
    void complete(DeviceFacts& facts, int device) const override;
    void encode(const MapRequest& request) const override;
    void prepare(Function function, std::uint32_t shared_bytes) const override;
    Context context_of(int device) const;

    RuntimeCall<Context*, int> retain_context_;
    RuntimeCall<Context> push_context_;
    RuntimeCall<Context*> pop_context_;
    RuntimeCall<int*, int, Function> get_function_attribute_;
    RuntimeCall<Function, int, int> set_function_attribute_;
    int (*load_function_)(Function);  // nullptr before CUDA 12.4
    EncodeTiled encode_tiled_;        // nullptr before CUDA 12.0
    int (*error_name_)(int, const char**);

    // One a device, retained when the device is first used and kept: what was made in it may live as long as the process.
    mutable std::unique_ptr<std::atomic<Context>[]> contexts_;
    mutable std::mutex retaining_;
};

}  // namespace rocforge::platform
#endif
