// A tensor as the copy engine of NVIDIA's sm_90 sees it. Plain data, for device and host alike: the host describes a BoxedTensor, the runtime makes a
// TensorMap of it and an address, kernels hand that to the engine.
#ifndef ROCFORGE_KERNELS_PLATFORM_TENSOR_MAP_H
#define ROCFORGE_KERNELS_PLATFORM_TENSOR_MAP_H

#include <cstddef>
#include <cstdint>

namespace rocforge::platform {

// CUtensorMap.
struct alignas(64) TensorMap {
    std::byte opaque[128];
};

// Elements of 16 bits, or of 8, axes innermost first, the innermost with stride 1. A box is 64 elements of the innermost axis by box_rows of the
// next. Its rows lie in 128 bytes (64) each of shared memory, their 16-byte chunks permuted by the row (by half of its number).
struct BoxedTensor {
    static constexpr std::int64_t kBoxColumns = 64, kStrideBytes = 16, kMaxExtent = std::int64_t{1} << 32, kMaxStrideBytes = std::int64_t{1} << 40;

    std::int64_t extent[4];        // 1 to kMaxExtent
    std::int64_t stride_bytes[3];  // of axes 1 to 3: multiples of kStrideBytes, above 0 and below kMaxStrideBytes
    std::uint32_t box_rows;        // 1 to 256
    std::uint32_t element_bytes = 2;
};

}  // namespace rocforge::platform
#endif
