// The two matrix products of attention on one panel of rows and one block of keys, per Highway target, in two shapes:
//   rows path   a lane is a query row: for prefill. K and V are read as they lie, one element broadcast at a time, so neither is transposed
//   dims path   a lane is an element of dim: for a few rows (decode), where rows would leave most lanes empty
// Both leave scores in one layout, scores [key][kPanelRows], so that softmax and masks (softmax-inl.h) exist once. No masks here, but for
// the redo that keeps a NaN in V away from rows that exclude its key.
#if defined(ROCFORGE_CPU_TILES_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef ROCFORGE_CPU_TILES_INL_H
#undef ROCFORGE_CPU_TILES_INL_H
#else
#define ROCFORGE_CPU_TILES_INL_H
#endif

#include <hwy/cache_control.h>

#include "plugins/cpu/attention.h"
#include "plugins/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rocforge::cpu::HWY_NAMESPACE {

struct Tile {
    // AVX-512 and NEON have 32 registers: 8 x 3 accumulators + 3 operands + 1 broadcast = 28. AVX2 has 16: 4 x 3 + 3 + 1.
    static constexpr int kRegisters = HWY_TARGET <= HWY_AVX3 || HWY_ARCH_ARM_A64 ? 32 : 16;
    static constexpr int kVectors = 3;                      // of rows
    static constexpr int kStep = kRegisters == 32 ? 8 : 4;  // keys (scores) or dims (output) at once
    static constexpr int kPanelRows = kVectors * kLanes;
    static constexpr int kFewRows = kLanes < 8 ? kLanes : 8;      // the dims path wins up to here: decode of up to 8 grouped heads
    static constexpr int kDimVectors = kRegisters == 32 ? 4 : 2;  // dims path: vectors of V at once
    static_assert((kStep + 1) * kVectors + 1 <= kRegisters, "accumulators, one operand row and a broadcast stay in registers");
    static_assert(kStep * kVectors >= 8, "two FMA ports of four cycles need eight accumulators in flight");
};

// Excluded scores leave softmax as -0 (all others are >= +0): their product with V is dropped whatever V holds.
HWY_INLINE V product_unless_excluded(V p, V v) {
    const M excluded = hn::RebindMask(D(), hn::Lt(hn::BitCast(DI(), p), hn::Zero(DI())));
    return hn::IfThenZeroElse(excluded, hn::Mul(p, v));
}

HWY_INLINE bool is_finite(V x) { return hn::AllTrue(D(), hn::Eq(hn::Sub(x, x), hn::Zero(D()))); }

// ---- rows path ---------------------------------------------------------------------------------------------------------------------

// scores [kStep][kPanelRows] = k_rows[kStep] . q, q [dim][kPanelRows].
template <int kUsed>
HWY_NOINLINE void score_step(const float* const* k_rows, const float* HWY_RESTRICT q, std::int64_t dim, float* HWY_RESTRICT scores) {
    const D d;
    V sum[Tile::kStep][kUsed];
    const float* k[Tile::kStep];
#pragma GCC unroll 8
    for (int key = 0; key < Tile::kStep; ++key) {
        k[key] = k_rows[key];
#pragma GCC unroll 3
        for (int n = 0; n < kUsed; ++n) sum[key][n] = hn::Zero(d);
    }
    for (std::int64_t e = 0; e < dim; ++e, q += Tile::kPanelRows) {
        V rows[kUsed];
#pragma GCC unroll 3
        for (int n = 0; n < kUsed; ++n) rows[n] = hn::Load(d, q + n * kLanes);
#pragma GCC unroll 8
        for (int key = 0; key < Tile::kStep; ++key) {
            const V element_of_k = hn::Set(d, k[key][e]);
#pragma GCC unroll 3
            for (int n = 0; n < kUsed; ++n) sum[key][n] = hn::MulAdd(element_of_k, rows[n], sum[key][n]);
        }
    }
#pragma GCC unroll 8
    for (int key = 0; key < Tile::kStep; ++key) {
#pragma GCC unroll 3
        for (int n = 0; n < kUsed; ++n) hn::Store(sum[key][n], d, scores + key * Tile::kPanelRows + n * kLanes);
    }
}

// Scores of `keys` keys; writes up to kStep - 1 keys more.
template <int kUsed> HWY_INLINE void score_rows(const float* const* k_rows, std::int64_t keys, const float* q, std::int64_t dim, float* scores) {
    std::int64_t key = 0;
    for (; key + Tile::kStep <= keys; key += Tile::kStep) score_step<kUsed>(k_rows + key, q, dim, scores + key * Tile::kPanelRows);
    if (key == keys) return;
    const float* last[Tile::kStep];
    for (int i = 0; i < Tile::kStep; ++i) last[i] = k_rows[key + i < keys ? key + i : keys - 1];
    score_step<kUsed>(last, q, dim, scores + key * Tile::kPanelRows);
}

// out [kStep][kPanelRows] = out * rescale + dims [first, first + kStep) of V times p, p [keys][kPanelRows]. The block's sum is made first
// and added once: shorter chains of roundings than adding each product to out.
template <int kUsed, bool kExcluding>
HWY_NOINLINE bool output_step(const float* const* v_rows, std::int64_t first, std::int64_t keys, const float* HWY_RESTRICT p,
                              const float* HWY_RESTRICT rescale, float* HWY_RESTRICT out) {
    const D d;
    V sum[Tile::kStep][kUsed];
#pragma GCC unroll 8
    for (int e = 0; e < Tile::kStep; ++e) {
#pragma GCC unroll 3
        for (int n = 0; n < kUsed; ++n) sum[e][n] = hn::Zero(d);
    }
    for (std::int64_t key = 0; key < keys; ++key, p += Tile::kPanelRows) {
        const float* v = v_rows[key] + first;
        V rows[kUsed];
#pragma GCC unroll 3
        for (int n = 0; n < kUsed; ++n) rows[n] = hn::Load(d, p + n * kLanes);
#pragma GCC unroll 8
        for (int e = 0; e < Tile::kStep; ++e) {
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
    V check = hn::Zero(d);
#pragma GCC unroll 8
    for (int e = 0; e < Tile::kStep; ++e) {
#pragma GCC unroll 3
        for (int n = 0; n < kUsed; ++n) check = hn::Add(check, hn::Sub(sum[e][n], sum[e][n]));
    }
    if (!kExcluding && HWY_UNLIKELY(!is_finite(check))) return false;
#pragma GCC unroll 8
    for (int e = 0; e < Tile::kStep; ++e) {
#pragma GCC unroll 3
        for (int n = 0; n < kUsed; ++n) {
            float* to = out + e * Tile::kPanelRows + n * kLanes;
            hn::Store(hn::MulAdd(hn::Load(d, to), hn::Load(d, rescale + n * kLanes), sum[e][n]), d, to);
        }
    }
    return true;
}

// out [dim_v rounded up to kStep][kPanelRows].
template <int kUsed>
HWY_INLINE void output_rows(const float* const* v_rows, std::int64_t dim_v, std::int64_t keys, const float* p, const float* rescale, float* out) {
    for (std::int64_t first = 0; first < dim_v; first += Tile::kStep, out += Tile::kStep * Tile::kPanelRows) {
        // A sum that is not finite is made again with excluded keys left out; without such keys both give the same.
        if (!output_step<kUsed, false>(v_rows, first, keys, p, rescale, out)) output_step<kUsed, true>(v_rows, first, keys, p, rescale, out);
    }
}

// ---- dims path ---------------------------------------------------------------------------------------------------------------------

// Keys ahead of use: rows of a head lie far apart in a paged or token-major cache, where the hardware prefetcher gives up.
constexpr std::int64_t kAhead = 8;

#if HWY_TARGET != HWY_SCALAR
using Quad = hn::FixedTag<float, 4>;

// A vector folded to four lanes with the same sum.
template <class Tag> HWY_INLINE hn::Vec<Quad> fold([[maybe_unused]] Tag d, hn::Vec<Tag> v) {
    if constexpr (hn::MaxLanes(Tag()) == 4) {
        return v;
    } else {
        const hn::Half<Tag> half;
        return fold(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
    }
}

// The four vectors' sums side by side: 9 operations after folding, where four separate sums take about 40.
HWY_INLINE hn::Vec<Quad> four_sums(V a, V b, V c, V e) {
    const Quad q;
    const auto fa = fold(D(), a), fb = fold(D(), b), fc = fold(D(), c), fe = fold(D(), e);
    const auto ac = hn::Add(hn::InterleaveLower(q, fa, fc), hn::InterleaveUpper(q, fa, fc));  // a0+a2 c0+c2 a1+a3 c1+c3
    const auto be = hn::Add(hn::InterleaveLower(q, fb, fe), hn::InterleaveUpper(q, fb, fe));
    return hn::Add(hn::InterleaveLower(q, ac, be), hn::InterleaveUpper(q, ac, be));
}
#endif

// scores[0, kRows) = the sums of one key's products.
template <int kRows> HWY_INLINE void store_sums(const V (&sum)[kRows], float* scores) {
#if HWY_TARGET != HWY_SCALAR
    if constexpr (kRows == 4) {
        hn::StoreU(four_sums(sum[0], sum[1], sum[2], sum[3]), Quad(), scores);
        return;
    }
#endif
    for (int row = 0; row < kRows; ++row) scores[row] = hn::GetLane(hn::SumOfLanes(D(), sum[row]));
}

// scores [key][row] for kRows rows and four keys (the last repeated where fewer are left). q [row][q_stride], zero beyond dim.
template <int kRows>
HWY_NOINLINE void score_few_step(const float* const (&k)[4], const float* const (&ahead)[4], std::int64_t keys, const float* q, std::int64_t q_stride,
                                 std::int64_t dim, float* scores) {
    const D d;
    V sum[4][kRows];
#pragma GCC unroll 4
    for (int key = 0; key < 4; ++key) {
#pragma GCC unroll 4
        for (int row = 0; row < kRows; ++row) sum[key][row] = hn::Zero(d);
    }
    for (std::int64_t e = 0; e < dim; e += kLanes) {
        V rows[kRows];
#pragma GCC unroll 4
        for (int row = 0; row < kRows; ++row) rows[row] = hn::Load(d, q + row * q_stride + e);
#pragma GCC unroll 4
        for (int key = 0; key < 4; ++key) {
            const V elements_of_k = hn::LoadU(d, k[key] + e);
            hwy::Prefetch(ahead[key] + e);
#pragma GCC unroll 4
            for (int row = 0; row < kRows; ++row) sum[key][row] = hn::MulAdd(elements_of_k, rows[row], sum[key][row]);
        }
    }
#pragma GCC unroll 4
    for (int key = 0; key < 4; ++key) {
        if (key < keys) store_sums(sum[key], scores + key * Tile::kPanelRows);
    }
}

template <int kRows>
HWY_INLINE void score_few(const float* const* k_rows, std::int64_t keys, const float* q, std::int64_t q_stride, std::int64_t dim, float* scores) {
    for (std::int64_t key = 0; key < keys; key += 4) {
        const auto row_of = [&](std::int64_t i) { return k_rows[key + i < keys ? key + i : keys - 1]; };
        const float* const four[4] = {row_of(0), row_of(1), row_of(2), row_of(3)};
        const float* const ahead[4] = {row_of(kAhead), row_of(kAhead + 1), row_of(kAhead + 2), row_of(kAhead + 3)};
        score_few_step<kRows>(four, ahead, keys - key, q, q_stride, dim, scores + key * Tile::kPanelRows);
    }
}

// out [row][out_stride], dims [first, first + kCount * kLanes), for kRows rows.
template <int kRows, int kCount, bool kExcluding>
HWY_NOINLINE bool output_few_step(const float* const* v_rows, std::int64_t first, std::int64_t keys, const float* p, const float* rescale, float* out,
                                  std::int64_t out_stride) {
    const D d;
    V sum[kRows][kCount];
#pragma GCC unroll 4
    for (int row = 0; row < kRows; ++row) {
#pragma GCC unroll 4
        for (int n = 0; n < kCount; ++n) sum[row][n] = hn::Zero(d);
    }
    for (std::int64_t key = 0; key < keys; ++key, p += Tile::kPanelRows) {
        V v[kCount];
#pragma GCC unroll 4
        for (int n = 0; n < kCount; ++n) {
            v[n] = hn::LoadU(d, v_rows[key] + first + n * kLanes);
            hwy::Prefetch(v_rows[key + kAhead < keys ? key + kAhead : keys - 1] + first + n * kLanes);
        }
#pragma GCC unroll 4
        for (int row = 0; row < kRows; ++row) {
            const V weight = hn::Set(d, p[row]);
#pragma GCC unroll 4
            for (int n = 0; n < kCount; ++n) {
                if constexpr (kExcluding)
                    sum[row][n] = hn::Add(sum[row][n], product_unless_excluded(weight, v[n]));
                else
                    sum[row][n] = hn::MulAdd(weight, v[n], sum[row][n]);
            }
        }
    }
    V check = hn::Zero(d);
#pragma GCC unroll 4
    for (int row = 0; row < kRows; ++row) {
#pragma GCC unroll 4
        for (int n = 0; n < kCount; ++n) check = hn::Add(check, hn::Sub(sum[row][n], sum[row][n]));
    }
    if (!kExcluding && HWY_UNLIKELY(!is_finite(check))) return false;
#pragma GCC unroll 4
    for (int row = 0; row < kRows; ++row) {
#pragma GCC unroll 4
        for (int n = 0; n < kCount; ++n) {
            float* to = out + row * out_stride + first + n * kLanes;
            hn::Store(hn::MulAdd(hn::Load(d, to), hn::Set(d, rescale[row]), sum[row][n]), d, to);
        }
    }
    return true;
}

template <int kRows>
HWY_INLINE void output_few(const float* const* v_rows, std::int64_t dim_v, std::int64_t keys, const float* p, const float* rescale, float* out,
                           std::int64_t out_stride) {
    constexpr int kWide = Tile::kDimVectors;
    std::int64_t first = 0;
    for (; first + kWide * kLanes <= out_stride && first < dim_v; first += kWide * kLanes) {
        if (!output_few_step<kRows, kWide, false>(v_rows, first, keys, p, rescale, out, out_stride))
            output_few_step<kRows, kWide, true>(v_rows, first, keys, p, rescale, out, out_stride);
    }
    for (; first < dim_v; first += kLanes) {
        if (!output_few_step<kRows, 1, false>(v_rows, first, keys, p, rescale, out, out_stride))
            output_few_step<kRows, 1, true>(v_rows, first, keys, p, rescale, out, out_stride);
    }
}

}  // namespace rocforge::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
