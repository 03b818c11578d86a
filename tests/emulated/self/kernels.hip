// Small kernels on which the emulator's runner tests itself. Each shows one thing that the runner corrects, checks or refuses; self_test.py knows the
// right results. They use builtins and inline assembly where a particular instruction is the point.
#include <cstdint>

#define KERNEL(threads) extern "C" __attribute__((global, amdgpu_flat_work_group_size(threads, threads))) void
#define DEVICE __attribute__((device)) inline
#define SHARED __attribute__((shared))

DEVICE int thread() { return static_cast<int>(__builtin_amdgcn_workitem_id_x()); }
DEVICE int block() { return static_cast<int>(__builtin_amdgcn_workgroup_id_x()); }
// An address that keeps its address space, for assembly.
template <class T> DEVICE auto shared(T* x) { return (__attribute__((address_space(3))) T*)x; }
DEVICE void barrier() {
    __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup", "local");
    __builtin_amdgcn_s_barrier();
    __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup", "local");
}

// Blocks of 96: on every machine the last wave is half empty or the only one that is whole.
KERNEL(96) twice_plus_one(const float* in, float* out, int count) {
    const int i = block() * 96 + thread();
    if (i < count) out[i] = in[i] * 2 + 1;
}

KERNEL(64) group_indices(std::uint32_t* out) {
    const std::uint32_t x = __builtin_amdgcn_workgroup_id_x(), y = __builtin_amdgcn_workgroup_id_y(), z = __builtin_amdgcn_workgroup_id_z();
    if (thread() == 0) out[(z * 3 + y) * 2 + x] = x + 10 * y + 100 * z;
}

KERNEL(64) stores_through_flat_address(float* out) {
    float* address = out + thread();
    asm volatile("" : "+v"(address));
    *address = static_cast<float>(thread()) + 0.5f;
}

KERNEL(128) reversed(const float* in, float* out) {
    SHARED static float kept[128];
    kept[thread()] = in[thread()];
    barrier();
    out[thread()] = kept[127 - thread()];
}

KERNEL(128) reversed_without_barrier(const float* in, float* out) {
    SHARED static float kept[128];
    kept[thread()] = in[thread()];
    asm volatile("" ::: "memory");
    out[thread()] = kept[127 - thread()];
}

KERNEL(64) reads_unwritten_shared_memory(float* out) {
    SHARED static float kept[64];
    if (thread() < 32) kept[thread()] = 1;
    asm volatile("" : : "v"(shared(kept)) : "memory");
    out[thread()] = kept[thread()];
}

KERNEL(64) reads_unwritten_register(float* out) {
    float x;
    asm volatile("v_mov_b32 %0, v77" : "=v"(x) : : "v77");
    out[thread()] = x;
}

KERNEL(64) adds_atomically(std::uint32_t* sum) {
    if (thread() % 3 == 0) __atomic_fetch_add(sum, static_cast<std::uint32_t>(thread()), __ATOMIC_RELAXED);
}

// Every thread notes what was there before it added 1.
KERNEL(64) counts_atomically(std::uint32_t* sum, std::uint32_t* before) { before[thread()] = __atomic_fetch_add(sum, 1u, __ATOMIC_RELAXED); }

// Lanes that are switched off hold no address: v90 and v91 are as poisoned there as any register that nothing was written to.
#if defined(__GFX9__)
#define LDS_STORE "ds_write_b32 v90, %1\n s_waitcnt lgkmcnt(0)"
#define LDS_LOAD "ds_read_b32 %0, v90\n s_waitcnt lgkmcnt(0)"
#define ADD "global_atomic_add v[90:91], %1, off\n s_waitcnt vmcnt(0)"
#elif defined(__GFX11__)
#define LDS_STORE "ds_store_b32 v90, %1\n s_waitcnt lgkmcnt(0)"
#define LDS_LOAD "ds_load_b32 %0, v90\n s_waitcnt lgkmcnt(0)"
#define ADD "global_atomic_add_u32 v[90:91], %1, off\n s_waitcnt_vscnt null, 0"
#else
#define LDS_STORE "ds_store_b32 v90, %1\n s_wait_dscnt 0"
#define LDS_LOAD "ds_load_b32 %0, v90\n s_wait_dscnt 0"
#define ADD "global_atomic_add_u32 v[90:91], %1, off\n s_wait_storecnt 0"
#endif
KERNEL(64) addresses_in_few_lanes(const float* in, float* out, std::uint32_t* counts) {
    SHARED static float kept[64];
    if (thread() % 3 == 0) {
        float back;
        asm volatile("v_mov_b32 v90, %0\n " LDS_STORE : : "v"(shared(&kept[63 - thread()])), "v"(in[thread()]) : "v90", "memory");
        asm volatile("v_mov_b32 v90, %1\n " LDS_LOAD : "=&v"(back) : "v"(shared(&kept[63 - thread()])) : "v90", "memory");
        const auto address = reinterpret_cast<std::uint64_t>(&counts[thread() * 2]);
        asm volatile("v_mov_b32 v90, %0\n v_mov_b32 v91, %2\n " ADD
                     :
                     : "v"(static_cast<std::uint32_t>(address)), "v"(7u), "v"(static_cast<std::uint32_t>(address >> 32))
                     : "v90", "v91", "memory");
        out[thread()] = back;
    }
}

KERNEL(64) writes_past_shared_memory(float* out) {
    SHARED static float kept[64];
    int index = thread() + 4096;
    asm volatile("" : "+v"(index));
    kept[index] = 1;
    asm volatile("" : : "v"(shared(kept)) : "memory");
    out[thread()] = kept[thread()];
}

template <class T> struct __attribute__((packed)) Unaligned { T value; };
// 2, 4 and 8 bytes from every offset of a row of 16 bytes, from global and from shared memory.
KERNEL(64) loads_unaligned(const char* in, std::uint64_t* out) {
    SHARED static char kept[80];
    for (int i = thread(); i < 80; i += 64) kept[i] = in[i];
    barrier();
    const char* const from = in + thread();
    out[thread()] = reinterpret_cast<const Unaligned<std::uint16_t>*>(from)->value;
    out[64 + thread()] = reinterpret_cast<const Unaligned<std::uint32_t>*>(from)->value;
    out[128 + thread()] = reinterpret_cast<const Unaligned<std::uint64_t>*>(from)->value;
    out[192 + thread()] = reinterpret_cast<const Unaligned<std::uint16_t>*>(&kept[thread()])->value;
    out[256 + thread()] = reinterpret_cast<const Unaligned<std::uint32_t>*>(&kept[thread()])->value;
}
KERNEL(64) stores_unaligned(char* out) { reinterpret_cast<Unaligned<std::uint32_t>*>(out + 5 * thread())->value = 1; }

KERNEL(64) halves_denormals(const float* in, float* out) { out[thread()] = in[thread()] * 0.5f; }

KERNEL(64) never_ends(std::uint32_t* out) {
    for (;;) __atomic_fetch_add(out, 1u, __ATOMIC_RELAXED);
}

KERNEL(64) with_scratch(const int* in, float* out) {
    volatile float kept[64];
    for (int i = 0; i < 64; ++i) kept[i] = static_cast<float>(i);
    out[thread()] = kept[in[thread()]];
}

KERNEL(64) has_no_effect(float* out) {
    asm volatile("s_setprio 3\n s_sleep 1\n s_nop 3\n s_icache_inv");
#if defined(__gfx90a__)
    asm volatile("buffer_wbl2\n buffer_invl2\n buffer_wbinvl1_vol");
#elif defined(__gfx942__)
    asm volatile("buffer_wbl2 sc1\n buffer_inv sc1");
#elif defined(__GFX11__)
    asm volatile("buffer_gl0_inv\n buffer_gl1_inv");
#else
    asm volatile("global_inv scope:SCOPE_DEV\n global_wb scope:SCOPE_DEV");
#endif
    out[thread()] = 1;
}

#if defined(__GFX9__)
constexpr int kWave = 64;
#else
constexpr int kWave = 32;
#endif

// from_lane, exp2, log2 and reciprocal as the platform layer writes them.
KERNEL(64) from_other_lane(const float* in, float* out) {
    const int lane = thread() % kWave ^ 5;
    out[thread()] = __builtin_bit_cast(float, __builtin_amdgcn_ds_bpermute(lane * 4, __builtin_bit_cast(int, in[thread()])));
}
// The same with address, source and destination in one register.
KERNEL(64) from_other_lane_in_place(float* out) {
    int x = (thread() % kWave ^ 5) * 4;
    asm("ds_bpermute_b32 %0, %0, %0\n s_waitcnt lgkmcnt(0)" : "+v"(x));
    out[thread()] = static_cast<float>(x);
}
KERNEL(64) functions(const float* in, float* out) {
    const float x = in[thread()];
    out[thread()] = __builtin_amdgcn_exp2f(x);
    out[64 + thread()] = __builtin_amdgcn_logf(x);
    out[128 + thread()] = __builtin_amdgcn_rcpf(x);
}

template <int Control> DEVICE int moved(int x) { return __builtin_amdgcn_update_dpp(0, x, Control, 0xF, 0xF, true); }
KERNEL(64) moves_lanes(const int* in, int* out) {
    const int x = in[thread()];
    out[thread()] = moved<0x1B>(x);         // quad_perm [3, 2, 1, 0]
    out[64 + thread()] = moved<0x112>(x);   // row_shr 2
    out[128 + thread()] = moved<0x103>(x);  // row_shl 3
    out[192 + thread()] = moved<0x124>(x);  // row_ror 4
    out[256 + thread()] = moved<0x140>(x);  // row_mirror
    out[320 + thread()] = moved<0x141>(x);  // row_half_mirror
}

// Four lanes of each row are on, and each wants the value of the lane two before it: lanes 0 and 1 that of lanes 14 and 15, which are off.
KERNEL(64) exchanges_with_lanes_that_are_off(const float* in, float* out) {
    float x = in[thread()];
    if (thread() % 16 < 4) {
        asm volatile("s_nop 4\n v_mov_b32_dpp %0, %0 row_ror:2 row_mask:0xf bank_mask:0xf" : "+v"(x));
        out[thread()] = x;
    }
}

// The maximum of each row of 16 lanes by rotations in place: each instruction's destination is its source.
KERNEL(64) row_maximum(const float* in, float* out) {
    float x = in[thread()];
    asm("s_nop 4\n v_max_f32_dpp %0, %0, %0 row_ror:8 row_mask:0xf bank_mask:0xf\n s_nop 4\n v_max_f32_dpp %0, %0, %0 row_ror:4 row_mask:0xf "
        "bank_mask:0xf\n"
        "s_nop 4\n v_max_f32_dpp %0, %0, %0 row_ror:2 row_mask:0xf bank_mask:0xf\n s_nop 4\n v_max_f32_dpp %0, %0, %0 row_ror:1 row_mask:0xf "
        "bank_mask:0xf"
        : "+v"(x));
    out[thread()] = x;
}

using Short4 = __attribute__((ext_vector_type(4))) short;
using Short8 = __attribute__((ext_vector_type(8))) short;
using Short16 = __attribute__((ext_vector_type(16))) short;
using Half4 = __attribute__((ext_vector_type(4))) _Float16;
using Half8 = __attribute__((ext_vector_type(8))) _Float16;
using Half16 = __attribute__((ext_vector_type(16))) _Float16;
using Float4 = __attribute__((ext_vector_type(4))) float;
using Float8 = __attribute__((ext_vector_type(8))) float;

// D = A B + C with 16x16x16 tiles: a [16, 16], bt [16, 16] (B's columns as rows), c and d [16, 16]; 16-bit numbers as bits. ZeroC: C is the
// instruction's constant 0, else registers.
#if defined(__GFX9__)
template <class T, bool ZeroC> DEVICE void multiply(const T* a, const T* bt, const float* c, float* d) {
    const int mn = thread() % 16, group = thread() / 16;
    const T x = a[mn * 4 + group], y = bt[mn * 4 + group];
    Float4 sum = {0, 0, 0, 0};
    if constexpr (!ZeroC)
        for (int i = 0; i < 4; ++i) sum[i] = c[(group * 4 + i) * 16 + mn];
    if constexpr (__is_same(T, Short4))
        sum = __builtin_amdgcn_mfma_f32_16x16x16bf16_1k(x, y, sum, 0, 0, 0);
    else
        sum = __builtin_amdgcn_mfma_f32_16x16x16f16(x, y, sum, 0, 0, 0);
    for (int i = 0; i < 4; ++i) d[(group * 4 + i) * 16 + mn] = sum[i];
}
using Bf16 = Short4;
using F16 = Half4;
#elif defined(__GFX11__)
template <class T, bool ZeroC> DEVICE void multiply(const T* a, const T* bt, const float* c, float* d) {
    const int mn = thread() % 16, half = thread() / 16;
    Float8 sum = {0, 0, 0, 0, 0, 0, 0, 0};
    if constexpr (!ZeroC)
        for (int i = 0; i < 8; ++i) sum[i] = c[(2 * i + half) * 16 + mn];
    // clang 19 moves the constant to registers on gfx11; other versions need not.
    if constexpr (ZeroC && __is_same(T, Short16))
        asm("v_wmma_f32_16x16x16_bf16 %0, %1, %2, 0" : "=&v"(sum) : "v"(a[mn]), "v"(bt[mn]));
    else if constexpr (ZeroC)
        asm("v_wmma_f32_16x16x16_f16 %0, %1, %2, 0" : "=&v"(sum) : "v"(a[mn]), "v"(bt[mn]));
    else if constexpr (__is_same(T, Short16))
        sum = __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32(a[mn], bt[mn], sum);
    else
        sum = __builtin_amdgcn_wmma_f32_16x16x16_f16_w32(a[mn], bt[mn], sum);
    for (int i = 0; i < 8; ++i) d[(2 * i + half) * 16 + mn] = sum[i];
}
using Bf16 = Short16;
using F16 = Half16;
#else
template <class T, bool ZeroC> DEVICE void multiply(const T* a, const T* bt, const float* c, float* d) {
    const int mn = thread() % 16, half = thread() / 16;
    Float8 sum = {0, 0, 0, 0, 0, 0, 0, 0};
    if constexpr (!ZeroC)
        for (int i = 0; i < 8; ++i) sum[i] = c[(8 * half + i) * 16 + mn];
    const T x = a[mn * 2 + half], y = bt[mn * 2 + half];
    if constexpr (__is_same(T, Short8))
        sum = __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32_gfx12(x, y, sum);
    else
        sum = __builtin_amdgcn_wmma_f32_16x16x16_f16_w32_gfx12(x, y, sum);
    for (int i = 0; i < 8; ++i) d[(8 * half + i) * 16 + mn] = sum[i];
}
using Bf16 = Short8;
using F16 = Half8;
#endif

KERNEL(kWave) multiplies_bf16(const Bf16* a, const Bf16* bt, const float* c, float* d) { multiply<Bf16, false>(a, bt, c, d); }
KERNEL(kWave) multiplies_bf16_zero_c(const Bf16* a, const Bf16* bt, const float* c, float* d) { multiply<Bf16, true>(a, bt, c, d); }
KERNEL(kWave) multiplies_f16(const F16* a, const F16* bt, const float* c, float* d) { multiply<F16, false>(a, bt, c, d); }
KERNEL(kWave) multiplies_f16_zero_c(const F16* a, const F16* bt, const float* c, float* d) { multiply<F16, true>(a, bt, c, d); }
// Wrong on purpose: A and B change places.
KERNEL(kWave) multiplies_swapped(const Bf16* a, const Bf16* bt, const float* c, float* d) { multiply<Bf16, false>(bt, a, c, d); }

#if defined(__GFX9__)
// 16-bit instructions on registers from 128 on. v2 and v3 are what v130 and v131 would be taken for.
KERNEL(64) high_registers(const float* in, float* out) {
    const float x = in[thread()];
    float read, sum;
    std::uint32_t untouched;
    int equal, high_equal;
    asm volatile(
        "v_mov_b32 v2, 0x12345678\n v_mov_b32 v3, 0\n v_cvt_f16_f32 v130, %3\n v_cvt_f16_f32 v131, %3\n v_cvt_f32_f16 %0, v130\n"
        "v_add_f16 v132, v130, v131\n v_add_f16 v132, 1.0, v132\n v_cvt_f32_f16 %1, v132\n v_mov_b32 %2, v2"
        : "=&v"(read), "=&v"(sum), "=&v"(untouched)
        : "v"(x)
        : "v2", "v3", "v130", "v131", "v132");
    asm volatile(
        "v_mov_b32 v130, 0x70005\n v_mov_b32 v131, 7\n v_cmp_eq_u16_e32 vcc, 5, v130\n v_cndmask_b32_e64 %0, 0, 1, vcc\n"
        "v_cmp_eq_u16_sdwa vcc, v130, v131 src0_sel:WORD_1 src1_sel:WORD_0\n v_cndmask_b32_e64 %1, 0, 1, vcc"
        : "=&v"(equal), "=&v"(high_equal)
        :
        : "v130", "v131", "vcc");
    out[thread()] = read;
    out[64 + thread()] = sum;
    out[128 + thread()] = static_cast<float>(untouched == 0x12345678);
    out[192 + thread()] = static_cast<float>(equal);
    out[256 + thread()] = static_cast<float>(high_equal);
}
#else
// permlanex16 with its selectors in registers: lane i of one half takes what lane 15 - i of the other holds, also in place.
KERNEL(32) crosses_halves(const int* in, int* out) {
    int low = 0x89ABCDEF, high = 0x01234567;
    asm volatile("" : "+s"(low), "+s"(high));
    int in_place = in[thread()];
    asm("v_permlanex16_b32 %0, %0, %1, %2" : "+v"(in_place) : "s"(low), "s"(high));
    out[thread()] = in_place;
    out[32 + thread()] = __builtin_amdgcn_permlanex16(0, in[thread()], low, high, false, false);
    int from_off = in[thread()];
    if (thread() < 16) {
        asm volatile("v_permlanex16_b32 %0, %0, %1, %2" : "+v"(from_off) : "s"(low), "s"(high));
        out[64 + thread()] = from_off;
    }
}
#endif
