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
// The same, for what costs nothing but a register where there are no scalar ones.
RF_DEVICE std::uint32_t to_scalar(std::uint32_t x) { return static_cast<std::uint32_t>(__builtin_amdgcn_readfirstlane(static_cast<int>(x))); }
RF_DEVICE std::int64_t to_scalar(std::int64_t x) {
    const auto bits = static_cast<std::uint64_t>(x);
    return static_cast<std::int64_t>(std::uint64_t{to_scalar(static_cast<std::uint32_t>(bits >> 32))} << 32 |
                                     to_scalar(static_cast<std::uint32_t>(bits)));
}

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

// What a block of threads wrote to device memory is seen by the block that counts itself later: every thread releases, barrier(), one thread adds to
// the counter, barrier(), every thread acquires.
RF_DEVICE void release_to_device() { __builtin_amdgcn_fence(__ATOMIC_RELEASE, "agent"); }
RF_DEVICE void acquire_from_device() { __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "agent"); }
// Adds, and gives what was there before.
RF_DEVICE std::uint32_t add_on_device(std::uint32_t* to, std::uint32_t x) {
    return __hip_atomic_fetch_add((RF_GLOBAL std::uint32_t*)to, x, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);
}

RF_DEVICE void bring_near(const void*) {}  // no instruction of these does it

RF_DEVICE float exp2(float x) { return __builtin_amdgcn_exp2f(x); }
RF_DEVICE float log2(float x) { return __builtin_amdgcn_logf(x); }
RF_DEVICE float reciprocal(float x) { return __builtin_amdgcn_rcpf(x); }  // 1 unit in the last place

#if !defined(__GFX9__)
// The value of the lane 16 before or behind, in a wave of 32.
RF_DEVICE std::uint32_t exchange_halves(std::uint32_t x) {
    std::uint32_t low = 0x76543210u, high = 0xFEDCBA98u;
    asm("" : "+s"(low), "+s"(high));  // in registers: a literal costs twice the instruction's size, in each of many places
    // Held in place: clang 19 would move the exchange behind a branch where half of the lanes are off, and they would give what is stale.
    std::uint32_t y = __builtin_amdgcn_permlanex16(x, x, low, high, false, false);
    asm volatile("" : "+v"(y));
    return y;
}
RF_DEVICE float exchange_halves(float x) { return __builtin_bit_cast(float, exchange_halves(__builtin_bit_cast(std::uint32_t, x))); }
#endif

// A place in shared memory. A plain pointer here: inlined as everything is, its accesses become ds_ instructions.
using SharedAt = char*;
RF_DEVICE Words load_shared(SharedAt from) { return *reinterpret_cast<const Words*>(from); }
RF_DEVICE void store_shared(SharedAt to, const Words& words) { *reinterpret_cast<Words*>(to) = words; }
RF_DEVICE std::uint32_t load_shared_word(SharedAt from) { return *reinterpret_cast<const std::uint32_t*>(from); }
RF_DEVICE void store_shared_word(SharedAt to, std::uint32_t word) { *reinterpret_cast<std::uint32_t*>(to) = word; }

// Shared memory is static on AMD, where its size stands in the code object for the tests that limit it.
template <int Bytes> RF_DEVICE SharedAt shared_memory() {
    static RF_SHARED char memory[Bytes] __attribute__((aligned(16)));
    return memory;
}

#elif defined(RF_NVIDIA)

RF_DEVICE int thread_index() { return static_cast<int>(threadIdx.x); }
RF_DEVICE int block_x() { return static_cast<int>(blockIdx.x); }

RF_DEVICE void barrier() { __syncthreads(); }
RF_DEVICE void wave_barrier() { __syncwarp(); }
RF_DEVICE int uniform(int x) { return __shfl_sync(0xFFFFFFFFu, x, 0); }
template <class X> RF_DEVICE X to_scalar(X x) { return x; }
RF_DEVICE std::uint32_t from_lane(std::uint32_t x, int lane) { return __shfl_sync(0xFFFFFFFFu, x, lane); }
RF_DEVICE bool any_in_wave(bool x) { return __any_sync(0xFFFFFFFFu, x) != 0; }

// The addition releases and acquires for the whole block, by way of the barriers around it: one fence instead of two in every thread.
RF_DEVICE void release_to_device() {}
RF_DEVICE void acquire_from_device() {}
RF_DEVICE std::uint32_t add_on_device(std::uint32_t* to, std::uint32_t x) {
    std::uint32_t before;
    asm volatile("atom.add.acq_rel.gpu.global.u32 %0, [%1], %2;" : "=r"(before) : "l"(__cvta_generic_to_global(to)), "r"(x) : "memory");
    return before;
}
// The line of `from` to the last-level cache: for what is read later, behind something that is waited for first.
RF_DEVICE void bring_near(const void* from) { asm volatile("prefetch.global.L2 [%0];" ::"l"(__cvta_generic_to_global(from))); }

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
RF_DEVICE float reciprocal(float x) {  // 1 unit in the last place
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// A place in shared memory: its 32-bit address there, half the registers of a pointer.
struct SharedAt {
    std::uint32_t address;
    RF_DEVICE SharedAt operator+(int bytes) const { return {address + static_cast<std::uint32_t>(bytes)}; }
};
RF_DEVICE Words load_shared(SharedAt from) {
    Words words;
    asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(words.w[0]), "=r"(words.w[1]), "=r"(words.w[2]), "=r"(words.w[3])
                 : "r"(from.address)
                 : "memory");
    return words;
}
RF_DEVICE void store_shared(SharedAt to, const Words& words) {
    asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(to.address), "r"(words.w[0]), "r"(words.w[1]), "r"(words.w[2]), "r"(words.w[3])
                 : "memory");
}
RF_DEVICE std::uint32_t load_shared_word(SharedAt from) {
    std::uint32_t word;
    asm volatile("ld.shared.b32 %0, [%1];" : "=r"(word) : "r"(from.address) : "memory");
    return word;
}
RF_DEVICE void store_shared_word(SharedAt to, std::uint32_t word) { asm volatile("st.shared.b32 [%0], %1;" ::"r"(to.address), "r"(word) : "memory"); }

// The same value, of which the compiler cannot tell that a part of it is the same in every lane. [whole wave]
RF_DEVICE std::uint32_t own_register(std::uint32_t x) { return from_lane(x, static_cast<int>(threadIdx.x % kWaveSize)); }

// Copies 16 bytes from global to shared memory without passing through registers; 16 zeros where `wanted` is false, and `from` is not read then.
RF_DEVICE void copy_async(SharedAt to, const void* from, bool wanted) {
    const int bytes = wanted ? 16 : 0;
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(to.address), "l"(from), "r"(bytes) : "memory");
}
// What the last-level cache does with lines that are copied: keeps them as it sees fit, or lets them go first.
struct CachePolicy {
    std::uint64_t bits;
    RF_DEVICE explicit CachePolicy(bool let_go) {
        asm("createpolicy.fractional.L2::evict_unchanged.b64 %0, 1.0;" : "=l"(bits));
        if (let_go) asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(bits));
    }
};
// `to` is from own_register(), plus constants: of a sum with a uniform register, ptxas 13.0 makes an instruction that sm_90 does not know.
RF_DEVICE void copy_async(SharedAt to, const void* from, bool wanted, const CachePolicy& policy) {
    const int bytes = wanted ? 16 : 0;
    asm volatile("cp.async.cg.shared.global.L2::cache_hint.L2::128B [%0], [%1], 16, %2, %3;" ::"r"(to.address), "l"(from), "r"(bytes),
                 "l"(policy.bits)
                 : "memory");
}
// Closes the group of copies that this thread has issued since the last call.
RF_DEVICE void close_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most `Open` of this thread's groups, the latest ones, are under way.
template <int Open> RF_DEVICE void await_copies() { asm volatile("cp.async.wait_group %0;" ::"n"(Open) : "memory"); }

// Dynamic, since more than 48 KiB cannot be static; the launch states the same number.
template <int Bytes> RF_DEVICE SharedAt shared_memory() {
    extern RF_SHARED __align__(128) char rocforge_shared_memory[];  // stages address within 128 bytes by XOR
    return {static_cast<std::uint32_t>(__cvta_generic_to_shared(rocforge_shared_memory))};
}

#endif

#if defined(RF_AMD) || defined(RF_NVIDIA)

// Nothing is moved across this point by the compiler's scheduler: for code that is rare, where operands loaded ahead would only take registers.
RF_DEVICE void keep_order() {
#if defined(RF_AMD)
    __builtin_amdgcn_sched_barrier(0);
#endif
}

// The same value, about which the compiler knows nothing: what is computed from it is computed here and now. Without this, a loop's addresses are
// computed before the loop and each holds a register throughout it.
template <class X> RF_DEVICE X fresh(X x) {
#if defined(RF_AMD)
    asm volatile("" : "+v"(x));
#else
    asm volatile("" : "+r"(x));
#endif
    return x;
}

// A kernel's argument, read where it is used. The parameter itself would be loaded whole at the kernel's start on AMD, and hold scalar registers from
// there on.
template <class Argument> RF_DEVICE const Argument& argument([[maybe_unused]] const Argument& parameter) {
#if defined(RF_AMD)
    return *(const Argument*)__builtin_amdgcn_kernarg_segment_ptr();
#else
    return parameter;
#endif
}
// The same argument, read again: what was read before need not be kept for it.
template <class Argument> RF_DEVICE const Argument& argument_again(const Argument& argument) {
#if defined(RF_AMD)
    auto pointer = (const __attribute__((address_space(4))) Argument*)&argument;
    asm volatile("" : "+s"(pointer));
    return *(const Argument*)pointer;
#else
    return argument;
#endif
}

RF_DEVICE int lane_index() { return static_cast<int>(static_cast<unsigned>(thread_index()) % kWaveSize); }
RF_DEVICE int wave_index() { return uniform(static_cast<int>(static_cast<unsigned>(thread_index()) / kWaveSize)); }

RF_DEVICE float as_float(std::uint32_t bits) { return __builtin_bit_cast(float, bits); }
RF_DEVICE std::uint32_t as_bits(float x) { return __builtin_bit_cast(std::uint32_t, x); }

RF_DEVICE float load_shared_float(SharedAt from) { return as_float(load_shared_word(from)); }
RF_DEVICE void store_shared_float(SharedAt to, float x) { store_shared_word(to, as_bits(x)); }

RF_DEVICE float from_lane(float x, int lane) { return as_float(from_lane(as_bits(x), lane)); }
// The value of the lane whose number differs in the bits of `mask`.
RF_DEVICE float exchange(float x, int mask) { return from_lane(x, lane_index() ^ mask); }

RF_DEVICE float larger(float a, float b) { return __builtin_fmaxf(a, b); }

// Device memory, read and written.
template <class X> RF_DEVICE X load(const X* from) { return *(const RF_GLOBAL X*)from; }
template <class X> RF_DEVICE void store(X* to, X x) { *(RF_GLOBAL X*)to = x; }
#if defined(RF_AMD)
typedef std::uint32_t Vector4 __attribute__((ext_vector_type(4)));  // a plain struct cannot be copied out of an address space
RF_DEVICE Words load_words(const void* from) { return __builtin_bit_cast(Words, *(const RF_GLOBAL Vector4*)from); }
RF_DEVICE void store_words(void* to, const Words& words) { *(RF_GLOBAL Vector4*)to = __builtin_bit_cast(Vector4, words); }
#else
RF_DEVICE Words load_words(const void* from) { return *static_cast<const Words*>(from); }
RF_DEVICE void store_words(void* to, const Words& words) { *static_cast<Words*>(to) = words; }
#endif

// 16 bytes, or 16 zeros where they are not wanted; `from` can be read either way. By a mask: of a selection the compiler would make a branch around
// the load, and of sixteen loads sixteen branches.
RF_DEVICE Words load_words_or_zeros(const void* from, bool wanted) {
    Words words = load_words(from);
    const std::uint32_t mask = fresh(wanted ? ~0u : 0u);
#pragma unroll
    for (int i = 0; i < 4; ++i) words.w[i] &= mask;
    return words;
}

constexpr float kLog2E = 1.4426950408889634f;
constexpr float kLn2 = 0.6931471805599453f;
constexpr float kInfinity = __builtin_huge_valf();

// tanh(x) = 1 - 2 / (exp(2 x) + 1), exact at both infinities. Its error is absolute, a few units in the last place of 1: for a large x.
// kernels/common/softcap.h has what a small one takes.
RF_DEVICE float tanh(float x) { return 1.0f - 2.0f * reciprocal(exp2(x * (2 * kLog2E)) + 1.0f); }

#endif

}  // namespace rocforge::device
#endif
