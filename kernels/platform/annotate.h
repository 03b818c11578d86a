// The words that mark device code, for each compiler that reads the kernels: clang for AMD (no HIP header is included: that compiles three times as
// fast, and Debian's HIP 5.2 headers call device libraries that know no gfx942 or gfx1100), nvcc for NVIDIA, and the host's own compiler.
#ifndef ROCFORGE_KERNELS_PLATFORM_ANNOTATE_H
#define ROCFORGE_KERNELS_PLATFORM_ANNOTATE_H

#if defined(__CUDACC__) && !defined(__HIP__)
#define RF_HOST_DEVICE __host__ __device__ __forceinline__
#define RF_DEVICE __device__ __forceinline__
#define RF_SHARED __shared__
#define RF_KERNEL(threads, blocks_per_unit) extern "C" __global__ void __launch_bounds__(threads, blocks_per_unit)
#define RF_KERNEL_PARAMETER const __grid_constant__
#elif defined(__HIP__)
#define RF_HOST_DEVICE __attribute__((host, device, always_inline)) inline
#define RF_DEVICE __attribute__((device, always_inline)) inline
#define RF_SHARED __attribute__((shared))
#if defined(__GFX9__)
// Two waves a SIMD, which is half of its registers: given more registers, the compiler moves accumulators to the second half of the register file
// (AGPRs) and copies them.
#define RF_REGISTERS amdgpu_waves_per_eu(2, 2),
#else
#define RF_REGISTERS
#endif
// clang assumes 1,024 work-items where only launch_bounds is given, and spills. blocks_per_unit is NVIDIA's: AMD kernels state waves per SIMD
// instead.
#define RF_KERNEL(threads, blocks_per_unit) extern "C" __attribute__((global, RF_REGISTERS amdgpu_flat_work_group_size(threads, threads))) void
#define RF_KERNEL_PARAMETER const
#else
#define RF_HOST_DEVICE inline
#endif

// Device memory, where a pointer that came out of memory points: without it AMD's compiler has to allow for shared memory (flat_ instructions).
#if defined(__HIP__) && defined(__AMDGCN__)
#define RF_GLOBAL __attribute__((address_space(1)))
#else
#define RF_GLOBAL
#endif

// The machine that this pass compiles for.
#if defined(__HIP__) && defined(__AMDGCN__)
#define RF_AMD 1
#elif defined(__CUDA_ARCH__)
#define RF_NVIDIA 1
#endif

#endif
