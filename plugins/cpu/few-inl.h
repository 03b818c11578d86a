// Attention of a few rows (decode, and speculation's few tokens) over one block of keys, per Highway target: a lane is an element of dim, and four
// rows share each read of K and V, whose f16 and bf16 are widened in registers. Bound by memory, which is asked for rows ahead of their use. Scores
// are [row][kFewBlockKeys], so that softmax has a key in every lane. Many rows are panels-inl.h's business.
#if defined(ROCFORGE_CPU_FEW_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef ROCFORGE_CPU_FEW_INL_H
#undef ROCFORGE_CPU_FEW_INL_H
#else
#define ROCFORGE_CPU_FEW_INL_H
#endif

#include <hwy/cache_control.h>

#include <algorithm>
#include <type_traits>

#include "plugins/cpu/attention.h"
#include "plugins/cpu/panels-inl.h"
#include "plugins/cpu/softmax-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rocforge::cpu::HWY_NAMESPACE {

struct Few {
    static constexpr bool kManyRegisters = Panel::kRegisters == 32;
    // Sums in flight: 4 keys x 4 rows beside 8 vectors of q and 2 of k, where there are 32 registers.
    template <int kRows> static constexpr int kKeys = kRows == 4 && !kManyRegisters ? 2 : 4;
    // Vectors of V at once; even, as bf16 comes in pairs.
    template <int kRows> static constexpr int kVectors = (kManyRegisters ? 4 : 2) * (kRows < 4 ? 2 : 1);
    // Rows that share a read of V. f32 comes in longer pieces of fewer rows: memory likes long ones, and L1 keeps V for the rows that follow.
    template <Type kType> static constexpr int kOutputRows = kType == Type::f32&& kManyRegisters ? 2 : 4;
    static_assert(kFewBlockKeys % kLanes == 0, "softmax takes whole vectors of keys");
};

// ---- rows of K and V as they are stored ---------------------------------------------------------------------------------------------

template <Type kType> struct Stored { using Element = std::uint16_t; };
template <> struct Stored<Type::f32> { using Element = float; };
template <Type kType> using ElementOf = typename Stored<kType>::Element;

// Two vectors of a row. bf16's are its even and its odd elements: a shift and an and widen them, where natural order takes a shuffle each more.
// Queries and outputs are kept in the same order (see to_read_order).
template <Type kType> HWY_INLINE void load_two(const ElementOf<kType>* from, V& first, V& second) {
    const D d;
    if constexpr (kType == Type::f32) {
        first = hn::LoadU(d, from);
        second = hn::LoadU(d, from + kLanes);
    } else if constexpr (kType == Type::f16) {
        first = load_f16(from);
        second = load_f16(from + kLanes);
    } else {
#if HWY_TARGET == HWY_SCALAR
        first = load_bf16(from);
        second = load_bf16(from + 1);
#else
        const hn::Repartition<std::uint16_t, D> d16;
        const hn::RebindToUnsigned<D> d32;
        const auto both = hn::BitCast(d32, hn::LoadU(d16, from));
        first = hn::BitCast(d, hn::ShiftLeft<16>(both));
        second = hn::BitCast(d, hn::And(both, hn::Set(d32, 0xFFFF0000u)));
#endif
    }
}
// What is left of a row of an odd number of vectors, in natural order.
template <Type kType> HWY_INLINE V load_one(const ElementOf<kType>* from) {
    if constexpr (kType == Type::f32)
        return hn::LoadU(D(), from);
    else if constexpr (kType == Type::f16)
        return load_f16(from);
    else
        return load_bf16(from);
}

// `count` elements, of whole vectors, into the order in which load_two and load_one lay them out, and back.
HWY_INLINE void to_read_order(Type type, const float* from, std::int64_t count, float* to) {
    const D d;
    std::int64_t e = 0;
    for (; type == Type::bf16 && e + 2 * kLanes <= count; e += 2 * kLanes) {
        V even, odd;
        hn::LoadInterleaved2(d, from + e, even, odd);
        hn::StoreU(even, d, to + e);
        hn::StoreU(odd, d, to + e + kLanes);
    }
    std::copy(from + e, from + count, to + e);
}
HWY_INLINE void to_natural_order(Type type, const float* from, std::int64_t count, float* to) {
    const D d;
    std::int64_t e = 0;
    for (; type == Type::bf16 && e + 2 * kLanes <= count; e += 2 * kLanes)
        hn::StoreInterleaved2(hn::LoadU(d, from + e), hn::LoadU(d, from + e + kLanes), d, to + e);
    std::copy(from + e, from + count, to + e);
}

// ---- scores ------------------------------------------------------------------------------------------------------------------------

#if HWY_TARGET != HWY_SCALAR
// A vector folded to four lanes with the same sum.
template <class Tag> HWY_INLINE hn::Vec<Quad> fold([[maybe_unused]] Tag d, hn::Vec<Tag> v) {
    if constexpr (hn::MaxLanes(Tag()) == 4) {
        return v;
    } else {
        const hn::Half<Tag> half;
        return fold(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
    }
}

// The four vectors' sums side by side: interleaved first, so that one vector is folded, not four.
HWY_INLINE hn::Vec<Quad> four_sums(V a, V b, V c, V e) {
    const D d;
    const V ac = hn::Add(hn::InterleaveLower(d, a, c), hn::InterleaveUpper(d, a, c));  // in each block a0+a2 c0+c2 a1+a3 c1+c3
    const V be = hn::Add(hn::InterleaveLower(d, b, e), hn::InterleaveUpper(d, b, e));
    return fold(d, hn::Add(hn::InterleaveLower(d, ac, be), hn::InterleaveUpper(d, ac, be)));
}
#endif

// scores[row][0, kKeys) = the sums.
template <int kRows, int kKeys> HWY_INLINE void store_sums(const V (&sum)[kKeys][kRows], float* scores) {
#if HWY_TARGET == HWY_SCALAR
    for (int row = 0; row < kRows; ++row) {
        for (int key = 0; key < kKeys; ++key) scores[row * kFewBlockKeys + key] = hn::GetLane(sum[key][row]);
    }
#else
    if constexpr (kKeys == 4) {
#pragma GCC unroll 4
        for (int row = 0; row < kRows; ++row)
            hn::StoreU(four_sums(sum[0][row], sum[1][row], sum[2][row], sum[3][row]), Quad(), scores + row * kFewBlockKeys);
    } else {
        const hn::Half<Quad> pair;
#pragma GCC unroll 2
        for (int row = 0; row < kRows; row += 2) {
            const auto sums = four_sums(sum[0][row], sum[1][row], sum[0][row + 1], sum[1][row + 1]);
            hn::StoreU(hn::LowerHalf(pair, sums), pair, scores + row * kFewBlockKeys);
            hn::StoreU(hn::UpperHalf(pair, sums), pair, scores + (row + 1) * kFewBlockKeys);
        }
    }
#endif
}

// Asks memory for `bytes` of a row.
HWY_INLINE void ask_for(const void* row, std::int64_t bytes) {
    constexpr std::int64_t kCacheLine = 64;
    for (std::int64_t at = 0; at < bytes; at += kCacheLine) hwy::Prefetch(static_cast<const char*>(row) + at);
}

// Is memory asked between products, or for kKeys rows at once? f32 has a line for few products, and many asked for at once keep loads waiting.
template <Type kType> constexpr bool kSpread = kType == Type::f32;

// scores[row][0, kKeys) of kRows rows and kKeys keys. q [row][q_stride] in read order; q_stride is dim in whole vectors.
template <Type kType, int kRows, int kKeys>
HWY_NOINLINE void score_few_step(const void* const* k_rows, std::int64_t ahead, const float* q, std::int64_t q_stride, float* scores) {
    const D d;
    V sum[kKeys][kRows];
    const ElementOf<kType>* k[kKeys];
#pragma GCC unroll 4
    for (int key = 0; key < kKeys; ++key) {
        k[key] = static_cast<const ElementOf<kType>*>(k_rows[key]);
#pragma GCC unroll 4
        for (int row = 0; row < kRows; ++row) sum[key][row] = hn::Zero(d);
    }
    std::int64_t e = 0;
    for (; e + 2 * kLanes <= q_stride; e += 2 * kLanes) {
        V rows[2][kRows];
#pragma GCC unroll 4
        for (int row = 0; row < kRows; ++row) {
            rows[0][row] = hn::Load(d, q + row * q_stride + e);
            rows[1][row] = hn::Load(d, q + row * q_stride + e + kLanes);
        }
#pragma GCC unroll 4
        for (int key = 0; key < kKeys; ++key) {
            V first, second;
            load_two<kType>(k[key] + e, first, second);
            if (kSpread<kType> && ahead)
                ask_for(static_cast<const ElementOf<kType>*>(k_rows[key + ahead]) + e, 2 * kLanes * std::int64_t{sizeof(*k[key])});
#pragma GCC unroll 4
            for (int row = 0; row < kRows; ++row) {
                sum[key][row] = hn::MulAdd(first, rows[0][row], sum[key][row]);
                sum[key][row] = hn::MulAdd(second, rows[1][row], sum[key][row]);
            }
        }
    }
    if (e < q_stride) {
#pragma GCC unroll 4
        for (int key = 0; key < kKeys; ++key) {
            const V last = load_one<kType>(k[key] + e);
#pragma GCC unroll 4
            for (int row = 0; row < kRows; ++row) sum[key][row] = hn::MulAdd(last, hn::Load(d, q + row * q_stride + e), sum[key][row]);
        }
    }
    store_sums<kRows, kKeys>(sum, scores);
}

// Scores of all keys; writes up to three keys more.
template <Type kType, int kRows> HWY_INLINE void score_few(const FewKeys& k, const float* q, std::int64_t q_stride, float* scores) {
    constexpr int kKeys = Few::kKeys<kRows>;
    for (std::int64_t key = 0; key < k.keys; key += kKeys) {
        for (int i = 0; i < kKeys && k.ahead && !kSpread<kType>; ++i)
            ask_for(k.rows[key + i + k.ahead], q_stride * std::int64_t{sizeof(ElementOf<kType>)});
        score_few_step<kType, kRows, kKeys>(k.rows + key, k.ahead, q, q_stride, scores + key);
    }
}

// ---- what happens to scores ----------------------------------------------------------------------------------------------------------

// Their layout, [row][kFewBlockKeys]: softmax-inl.h's passes over it.
struct FewScores {
    static constexpr ScoreStrides kStrides{kFewBlockKeys, 1};
};

HWY_INLINE void scale_and_cap(FewScores, float* scores, std::int64_t rows, std::int64_t keys, float scale, float softcap) {
    for (std::int64_t row = 0; row < rows; ++row)
        scale_and_cap_runs<1>(scores + row * kFewBlockKeys, round_up(keys, kLanes) / kLanes, kLanes, scale, softcap);
}

HWY_NOINLINE void add_alibi(FewScores, float* scores, const kernels::Extent& span, const PanelRows& panel_rows, const float* slopes,
                            std::int64_t diagonal) {
    for (std::int64_t row = 0; row < panel_rows.count; ++row, scores += kFewBlockKeys) {
        const float slope = slopes[panel_rows.head[row]];
        const float ahead = static_cast<float>(panel_rows.row[row] + diagonal - span.first);
        for (std::int64_t key = 0; key < span.end - span.first; ++key) scores[key] -= slope * __builtin_fabsf(ahead - static_cast<float>(key));
    }
}

HWY_NOINLINE void exclude_outside(FewScores, float* scores, const kernels::Extent& span, const PanelRows& panel_rows, const kernels::ExtentRule& rule,
                                  std::int64_t len_kv) {
    const std::int64_t keys = span.end - span.first;
    for (std::int64_t row = 0; row < panel_rows.count; ++row, scores += kFewBlockKeys) {
        const kernels::Extent extent = rule.of_row(panel_rows.row[row], len_kv);
        const std::int64_t first = kernels::ExtentRule::clamp(extent.first - span.first, 0, keys);
        const std::int64_t end = kernels::ExtentRule::clamp(extent.end - span.first, first, keys);
        std::fill(scores, scores + first, -kInfinity);
        std::fill(scores + end, scores + keys, -kInfinity);
    }
}

// Of one row: a lane is a key. Writes up to a vector's end.
template <bool kExcluding>
HWY_NOINLINE void online_softmax_row(float* scores, std::int64_t keys, float scale, float* peak, float* sum, float* rescale) {
    const D d;
    const V scales = hn::Set(d, scale), none = hn::Set(d, -kInfinity);
    std::fill(scores + keys, scores + round_up(keys, kLanes), -kInfinity);
    V highest = none;
    for (std::int64_t key = 0; key < keys; key += kLanes) highest = hn::Max(highest, hn::Load(d, scores + key));
    const V old_peak = hn::Set(d, *peak), new_peak = hn::Max(old_peak, hn::Mul(hn::MaxOfLanes(d, highest), scales));
    const V shift = hn::IfThenZeroElse(hn::Eq(new_peak, none), new_peak);
    V added = hn::Zero(d);
    for (std::int64_t key = 0; key < keys; key += kLanes) {
        const V score = hn::Load(d, scores + key);
        V weight = exp_of(hn::Sub(hn::Mul(score, scales), shift));
        if constexpr (kExcluding) weight = hn::IfThenElse(hn::Eq(score, none), hn::Set(d, -0.0f), weight);
        added = hn::Add(added, weight);
        hn::Store(weight, d, scores + key);
    }
    *rescale = hn::GetLane(exp_of(hn::Sub(old_peak, shift)));
    *peak = hn::GetLane(new_peak);
    *sum = *sum * *rescale + hn::GetLane(hn::SumOfLanes(d, added));
}

template <bool kExcluding>
HWY_INLINE void online_softmax(FewScores, float* scores, std::int64_t rows, std::int64_t keys, float scale, float* peaks, float* sums,
                               float* rescales) {
    for (std::int64_t row = 0; row < rows; ++row)
        online_softmax_row<kExcluding>(scores + row * kFewBlockKeys, keys, scale, peaks + row, sums + row, rescales + row);
}

// ---- output ------------------------------------------------------------------------------------------------------------------------

// out [row][out_stride], dims [first, first + kCount * kLanes) in read order, for kRows rows; p [row][kFewBlockKeys].
template <Type kType, int kRows, int kCount, bool kExcluding>
HWY_NOINLINE bool output_few_step(const FewKeys& rows_of_v, std::int64_t first, const float* p, const float* rescale, float* out,
                                  std::int64_t out_stride) {
    const D d;
    V sum[kRows][kCount];
#pragma GCC unroll 4
    for (int row = 0; row < kRows; ++row) {
#pragma GCC unroll 8
        for (int n = 0; n < kCount; ++n) sum[row][n] = hn::Zero(d);
    }
    const void* const* const v_rows = rows_of_v.rows;
    const std::int64_t keys = rows_of_v.keys, ahead = rows_of_v.ahead;
    for (std::int64_t key = 0; key < keys; ++key) {
        const ElementOf<kType>* from = static_cast<const ElementOf<kType>*>(v_rows[key]) + first;
        if (ahead) ask_for(static_cast<const ElementOf<kType>*>(v_rows[key + ahead]) + first, kCount * kLanes * std::int64_t{sizeof(*from)});
        V v[kCount];
        if constexpr (kCount == 1) {
            v[0] = load_one<kType>(from);
        } else {
#pragma GCC unroll 4
            for (int n = 0; n < kCount; n += 2) load_two<kType>(from + n * kLanes, v[n], v[n + 1]);
        }
#pragma GCC unroll 4
        for (int row = 0; row < kRows; ++row) {
            const V weight = hn::Set(d, p[row * kFewBlockKeys + key]);
#pragma GCC unroll 8
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
#pragma GCC unroll 8
        for (int n = 0; n < kCount; ++n) check = hn::Add(check, hn::Sub(sum[row][n], sum[row][n]));
    }
    if (!kExcluding && HWY_UNLIKELY(!is_finite(check))) return false;
#pragma GCC unroll 4
    for (int row = 0; row < kRows; ++row) {
#pragma GCC unroll 8
        for (int n = 0; n < kCount; ++n) {
            float* to = out + row * out_stride + first + n * kLanes;
            hn::Store(hn::MulAdd(hn::Load(d, to), hn::Set(d, rescale[row]), sum[row][n]), d, to);
        }
    }
    return true;
}

// Dims [first, out_stride), which is dim_v in whole vectors.
template <Type kType, int kRows>
HWY_INLINE void output_few(const FewKeys& v, std::int64_t first, const float* p, const float* rescale, float* out, std::int64_t out_stride) {
    const auto step = [&](auto count) {
        constexpr int kCount = count.value;
        for (; first + kCount * kLanes <= out_stride; first += kCount * kLanes) {
            // As output_rows: what is not finite is made again with excluded keys left out.
            if (!output_few_step<kType, kRows, kCount, false>(v, first, p, rescale, out, out_stride))
                output_few_step<kType, kRows, kCount, true>(v, first, p, rescale, out, out_stride);
        }
    };
    constexpr int kMost = Few::kVectors<kRows>;
    step(std::integral_constant<int, kMost>());
    if constexpr (kMost > 4) step(std::integral_constant<int, 4>());
    if constexpr (kMost > 2) step(std::integral_constant<int, 2>());
    step(std::integral_constant<int, 1>());
}

}  // namespace rocforge::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
