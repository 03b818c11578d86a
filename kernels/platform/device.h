// The hardware as device code reaches it: thread and wave index, barriers, exchanges within a wave, vector loads, asynchronous copies, exp2.
// Builtins on AMD (no device library is linked), intrinsics and PTX on NVIDIA. It holds no attention and no matrix unit: those are kernels/matrix.
#ifndef ROCFORGE_KERNELS_PLATFORM_DEVICE_H
#define ROCFORGE_KERNELS_PLATFORM_DEVICE_H

#include <cstdint>

#include "kernels/platform/annotate.h"

namespace rocforge::device {

#if defined(RF_AMD) && defined(__GFX9__)
constexpr int kWaveSize = 64;
#else
constexpr int kWaveSize = 32;
#endif

// 16 bytes, the widest load and store of a lane.
struct alignas(16) Words {
    std::uint32_t w[4];
};

#if defined(RF_AMD)

RF_DEVICE int thread_index() { return static_cast<int>(__builtin_amdgcn_workitem_id_x()); }
RF_DEVICE int block_x() { return static_cast<int>(__builtin_amdgcn_workgroup_id_x()); }
RF_DEVICE int block_y() { return static_cast<int>(__builtin_amdgcn_workgroup_id_y()); }
RF_DEVICE int block_z() { return static_cast<int>(__builtin_amdgcn_workgroup_id_z()); }

// Every thread of the block arrives, and sees what the others wrote to shared memory before.
RF_DEVICE void barrier() {
    __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup", "local");
    __builtin_amdgcn_s_barrier();
    __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup", "local");
}
// The same among the lanes of one wave, which run in step.
RF_DEVICE void wave_barrier() {
    __builtin_amdgcn_fence(__ATOMIC_RELEASE, "wavefront", "local");
    __builtin_amdgcn_wave_barrier();
    __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "wavefront", "local");
}

// A value that is the same in every lane, told to the compiler: it goes to a scalar register.
RF_DEVICE int uniform(int x) { return __builtin_amdgcn_readfirstlane(x); }

RF_DEVICE std::uint32_t from_lane(std::uint32_t x, int lane) {
    return static_cast<std::uint32_t>(__builtin_amdgcn_ds_bpermute(lane * 4, static_cast<int>(x)));
}
RF_DEVICE bool any_in_wave(bool x) {
#if defined(__GFX9__)
    return __builtin_amdgcn_ballot_w64(x) != 0;
#else
    return __builtin_amdgcn_ballot_w32(x) != 0;
#endif
}

RF_DEVICE float exp2(float x) { return __builtin_amdgcn_exp2f(x); }
RF_DEVICE float log2(float x) { return __builtin_amdgcn_logf(x); }
RF_DEVICE float reciprocal(float x) { return __builtin_amdgcn_rcpf(x); }  // 1 unit in the last place

// Asynchronous copies to shared memory: none here, copies pass through registers.
constexpr bool kAsyncCopy = false;

// Shared memory is static on AMD, where its size stands in the code object for the tests that limit it.
template <int Bytes> RF_DEVICE char* shared_memory() {
    static RF_SHARED char memory[Bytes] __attribute__((aligned(16)));
    return memory;
}

#elif defined(RF_NVIDIA)

RF_DEVICE int thread_index() { return static_cast<int>(threadIdx.x); }
RF_DEVICE int block_x() { return static_cast<int>(blockIdx.x); }
RF_DEVICE int block_y() { return static_cast<int>(blockIdx.y); }
RF_DEVICE int block_z() { return static_cast<int>(blockIdx.z); }

RF_DEVICE void barrier() { __syncthreads(); }
RF_DEVICE void wave_barrier() { __syncwarp(); }
RF_DEVICE int uniform(int x) { return __shfl_sync(0xFFFFFFFFu, x, 0); }
RF_DEVICE std::uint32_t from_lane(std::uint32_t x, int lane) { return __shfl_sync(0xFFFFFFFFu, x, lane); }
RF_DEVICE bool any_in_wave(bool x) { return __any_sync(0xFFFFFFFFu, x) != 0; }

RF_DEVICE float exp2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
RF_DEVICE float log2(float x) {
    float y;
    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
RF_DEVICE float reciprocal(float x) { return __frcp_rn(x); }

constexpr bool kAsyncCopy = true;

RF_DEVICE std::uint32_t shared_address(const void* pointer) { return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer)); }

// Copies 16 bytes from global to shared memory without passing through registers; 16 zeros where `wanted` is false, and `from` is not read then.
RF_DEVICE void copy_async(void* shared, const void* from, bool wanted) {
    const int bytes = wanted ? 16 : 0;
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(from), "r"(bytes) : "memory");
}
// Closes the group of copies that this thread has issued since the last call.
RF_DEVICE void close_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most `Open` of this thread's groups, the latest ones, are under way.
template <int Open> RF_DEVICE void await_copies() { asm volatile("cp.async.wait_group %0;" ::"n"(Open) : "memory"); }

// Dynamic, since more than 48 KiB cannot be static; the launch states the same number.
template <int Bytes> RF_DEVICE char* shared_memory() {
    extern RF_SHARED char rocforge_shared_memory[];
    return rocforge_shared_memory;
}

#endif

#if defined(RF_AMD) || defined(RF_NVIDIA)

RF_DEVICE int lane_index() { return thread_index() % kWaveSize; }
RF_DEVICE int wave_index() { return uniform(thread_index() / kWaveSize); }

RF_DEVICE float as_float(std::uint32_t bits) { return __builtin_bit_cast(float, bits); }
RF_DEVICE std::uint32_t as_bits(float x) { return __builtin_bit_cast(std::uint32_t, x); }

RF_DEVICE float from_lane(float x, int lane) { return as_float(from_lane(as_bits(x), lane)); }
// The value of the lane whose number differs in the bits of `mask`.
RF_DEVICE float exchange(float x, int mask) { return from_lane(x, lane_index() ^ mask); }

RF_DEVICE float larger(float a, float b) { return __builtin_fmaxf(a, b); }
RF_DEVICE float smaller(float a, float b) { return __builtin_fminf(a, b); }

RF_DEVICE Words load_words(const void* from) { return *static_cast<const Words*>(from); }
RF_DEVICE void store_words(void* to, const Words& words) { *static_cast<Words*>(to) = words; }

constexpr float kLog2E = 1.4426950408889634f;
constexpr float kLn2 = 0.6931471805599453f;
constexpr float kInfinity = __builtin_huge_valf();

// tanh by exp2: |error| < 4e-7 absolute. tanh(x) = 1 - 2 / (exp(2 x) + 1), which is exact at both infinities.
RF_DEVICE float tanh(float x) { return 1.0f - 2.0f * reciprocal(exp2(x * (2 * kLog2E)) + 1.0f); }

#endif

}  // namespace rocforge::device
#endif
