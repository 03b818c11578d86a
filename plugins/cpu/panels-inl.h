// The two matrix products of attention on one panel of rows and one block of keys, per Highway target: a lane is a query row, and K and V are read
// as they lie, one element broadcast at a time, so neither is transposed. No masks here, but for the redo that keeps a NaN in V away from rows that
// exclude its key. A few rows would leave most lanes empty: they are few-inl.h's business.
#if defined(ROCFORGE_CPU_PANELS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef ROCFORGE_CPU_PANELS_INL_H
#undef ROCFORGE_CPU_PANELS_INL_H
#else
#define ROCFORGE_CPU_PANELS_INL_H
#endif

#include "plugins/cpu/attention.h"
#include "plugins/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rocforge::cpu::HWY_NAMESPACE {

// A panel is the rows whose scores are computed and softened side by side, one a lane.
struct Panel {
    // Of 16 registers (AVX2) 4 x 3 accumulators + 3 operands + 1 broadcast; of 32 (NEON) 8 x 3. AVX-512, 8 x 2: a panel of two vectors leaves its
    // queries and scores in L1 beside the rows of K and V; 8 x 3 was 3 % slower, 12 x 2 2 % (more pointers than registers), and on AVX2 6 x 2 4 %.
    static constexpr int kRegisters = HWY_TARGET <= HWY_AVX3 || HWY_ARCH_ARM_A64 ? 32 : 16;
    static constexpr int kVectors = kLanes == 16 ? 2 : 3;   // of rows
    static constexpr int kStep = kRegisters == 32 ? 8 : 4;  // keys (scores) or dims (output) at once
    static constexpr int kRows = kVectors * kLanes;
    static constexpr int kFewRows = kLanes < 8 ? kLanes : 8;  // few-inl.h wins up to here: decode of up to 8 grouped heads
    static constexpr int kTransposed = kLanes < 4 ? 1 : 4;    // rows that are turned into columns at once
    static_assert(kRows % kTransposed == 0);
    static_assert((kStep + 1) * kVectors + 1 <= kRegisters, "accumulators, one operand row and a broadcast stay in registers");
    static_assert(kStep * kVectors >= 8, "two FMA ports of four cycles need eight accumulators in flight");
};

#if HWY_TARGET != HWY_SCALAR
using Quad = hn::FixedTag<float, 4>;

HWY_INLINE void transpose(hn::Vec<Quad> (&m)[4]) {
    const Quad q;
    const auto even_low = hn::InterleaveLower(q, m[0], m[2]), odd_low = hn::InterleaveLower(q, m[1], m[3]);
    const auto even_high = hn::InterleaveUpper(q, m[0], m[2]), odd_high = hn::InterleaveUpper(q, m[1], m[3]);
    m[0] = hn::InterleaveLower(q, even_low, odd_low);
    m[1] = hn::InterleaveUpper(q, even_low, odd_low);
    m[2] = hn::InterleaveLower(q, even_high, odd_high);
    m[3] = hn::InterleaveUpper(q, even_high, odd_high);
}
#endif

// kTransposed rows of `count` floats into as many columns of [count][Panel::kRows].
HWY_NOINLINE void rows_to_columns(const float* const (&rows)[Panel::kTransposed], std::int64_t count, float* columns) {
    std::int64_t e = 0;
#if HWY_TARGET != HWY_SCALAR
    for (; e + 4 <= count; e += 4) {
        hn::Vec<Quad> m[4];
        for (int i = 0; i < 4; ++i) m[i] = hn::LoadU(Quad(), rows[i] + e);
        transpose(m);
        for (int i = 0; i < 4; ++i) hn::StoreU(m[i], Quad(), columns + (e + i) * Panel::kRows);
    }
#endif
    for (; e < count; ++e) {
        for (int i = 0; i < Panel::kTransposed; ++i) columns[e * Panel::kRows + i] = rows[i][e];
    }
}
// And back.
HWY_NOINLINE void columns_to_rows(const float* columns, std::int64_t count, float* const (&rows)[Panel::kTransposed]) {
    std::int64_t e = 0;
#if HWY_TARGET != HWY_SCALAR
    for (; e + 4 <= count; e += 4) {
        hn::Vec<Quad> m[4];
        for (int i = 0; i < 4; ++i) m[i] = hn::LoadU(Quad(), columns + (e + i) * Panel::kRows);
        transpose(m);
        for (int i = 0; i < 4; ++i) hn::StoreU(m[i], Quad(), rows[i] + e);
    }
#endif
    for (; e < count; ++e) {
        for (int i = 0; i < Panel::kTransposed; ++i) rows[i][e] = columns[e * Panel::kRows + i];
    }
}

// Excluded scores leave softmax as -0 (all others are >= +0): their product with V is dropped whatever V holds.
HWY_INLINE V product_unless_excluded(V p, V v) {
    const M excluded = hn::RebindMask(D(), hn::Lt(hn::BitCast(DI(), p), hn::Zero(DI())));
    return hn::IfThenZeroElse(excluded, hn::Mul(p, v));
}

HWY_INLINE bool is_finite(V x) { return hn::AllTrue(D(), hn::Eq(hn::Sub(x, x), hn::Zero(D()))); }

// scores [kStep][Panel::kRows] = k_rows[kStep] . q, q [dim][Panel::kRows].
template <int kUsed>
HWY_NOINLINE void score_step(const void* const* k_rows, const float* HWY_RESTRICT q, std::int64_t dim, float* HWY_RESTRICT scores) {
    const D d;
    V sum[Panel::kStep][kUsed];
    const float* k[Panel::kStep];
#pragma GCC unroll 8
    for (int key = 0; key < Panel::kStep; ++key) {
        k[key] = static_cast<const float*>(k_rows[key]);
#pragma GCC unroll 3
        for (int n = 0; n < kUsed; ++n) sum[key][n] = hn::Zero(d);
    }
    for (std::int64_t e = 0; e < dim; ++e, q += Panel::kRows) {
        V rows[kUsed];
#pragma GCC unroll 3
        for (int n = 0; n < kUsed; ++n) rows[n] = hn::Load(d, q + n * kLanes);
#pragma GCC unroll 8
        for (int key = 0; key < Panel::kStep; ++key) {
            const V element_of_k = hn::Set(d, k[key][e]);
#pragma GCC unroll 3
            for (int n = 0; n < kUsed; ++n) sum[key][n] = hn::MulAdd(element_of_k, rows[n], sum[key][n]);
        }
    }
#pragma GCC unroll 8
    for (int key = 0; key < Panel::kStep; ++key) {
#pragma GCC unroll 3
        for (int n = 0; n < kUsed; ++n) hn::Store(sum[key][n], d, scores + key * Panel::kRows + n * kLanes);
    }
}

// Scores of `keys` keys; writes up to kStep - 1 keys more.
template <int kUsed> HWY_INLINE void score_rows(const void* const* k_rows, std::int64_t keys, const float* q, std::int64_t dim, float* scores) {
    std::int64_t key = 0;
    for (; key + Panel::kStep <= keys; key += Panel::kStep) score_step<kUsed>(k_rows + key, q, dim, scores + key * Panel::kRows);
    if (key == keys) return;
    const void* last[Panel::kStep];
    for (int i = 0; i < Panel::kStep; ++i) last[i] = k_rows[key + i < keys ? key + i : keys - 1];
    score_step<kUsed>(last, q, dim, scores + key * Panel::kRows);
}

// out [kStep][Panel::kRows] = out * rescale + dims [first, first + kStep) of V times p, p [keys][Panel::kRows]. The block's sum is made
// first and added once: shorter chains of roundings than adding each product to out.
template <int kUsed, bool kExcluding>
HWY_NOINLINE bool output_step(const void* const* v_rows, std::int64_t first, std::int64_t keys, const float* HWY_RESTRICT p,
                              const float* HWY_RESTRICT rescale, float* HWY_RESTRICT out) {
    const D d;
    V sum[Panel::kStep][kUsed];
#pragma GCC unroll 8
    for (int e = 0; e < Panel::kStep; ++e) {
#pragma GCC unroll 3
        for (int n = 0; n < kUsed; ++n) sum[e][n] = hn::Zero(d);
    }
    for (std::int64_t key = 0; key < keys; ++key, p += Panel::kRows) {
        const float* v = static_cast<const float*>(v_rows[key]) + first;
        V rows[kUsed];
#pragma GCC unroll 3
        for (int n = 0; n < kUsed; ++n) rows[n] = hn::Load(d, p + n * kLanes);
#pragma GCC unroll 8
        for (int e = 0; e < Panel::kStep; ++e) {
            const V element_of_v = hn::Set(d, v[e]);
#pragma GCC unroll 3
            for (int n = 0; n < kUsed; ++n) {
                if constexpr (kExcluding)
                    sum[e][n] = hn::Add(sum[e][n], product_unless_excluded(rows[n], element_of_v));
                else
                    sum[e][n] = hn::MulAdd(rows[n], element_of_v, sum[e][n]);
            }
        }
    }
    if constexpr (!kExcluding) {
        // x * 0 is NaN where x is not finite. kUsed chains, as one would take longer than what it checks.
        V check[kUsed];
#pragma GCC unroll 3
        for (int n = 0; n < kUsed; ++n) check[n] = hn::Mul(sum[0][n], hn::Zero(d));
#pragma GCC unroll 8
        for (int e = 1; e < Panel::kStep; ++e) {
#pragma GCC unroll 3
            for (int n = 0; n < kUsed; ++n) check[n] = hn::MulAdd(sum[e][n], hn::Zero(d), check[n]);
        }
#pragma GCC unroll 3
        for (int n = 1; n < kUsed; ++n) check[0] = hn::Add(check[0], check[n]);
        if (HWY_UNLIKELY(!is_finite(check[0]))) return false;
    }
#pragma GCC unroll 8
    for (int e = 0; e < Panel::kStep; ++e) {
#pragma GCC unroll 3
        for (int n = 0; n < kUsed; ++n) {
            float* to = out + e * Panel::kRows + n * kLanes;
            hn::Store(hn::MulAdd(hn::Load(d, to), hn::Load(d, rescale + n * kLanes), sum[e][n]), d, to);
        }
    }
    return true;
}

// out [dim_v rounded up to kStep][Panel::kRows].
template <int kUsed>
HWY_INLINE void output_rows(const void* const* v_rows, std::int64_t dim_v, std::int64_t keys, const float* p, const float* rescale, float* out) {
    for (std::int64_t first = 0; first < dim_v; first += Panel::kStep, out += Panel::kStep * Panel::kRows) {
        // A sum that is not finite is made again with excluded keys left out; without such keys both give the same.
        if (!output_step<kUsed, false>(v_rows, first, keys, p, rescale, out)) output_step<kUsed, true>(v_rows, first, keys, p, rescale, out);
    }
}

}  // namespace rocforge::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
