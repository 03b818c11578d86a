// What happens to the scores of one panel and one block of keys between the two products: scale, softcap, ALiBi, masks, exclusion, the
// online softmax and dropout, per Highway target. Each is one pass over scores [key][Panel::kRows], which stays in L1. A lane is a row
// throughout, so no pass reduces across lanes. few-inl.h has its own where a lane is a key. (Online softmax: Milakov and Gimelshein,
// arXiv:1805.02867.)
#if defined(ROCFORGE_CPU_SOFTMAX_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef ROCFORGE_CPU_SOFTMAX_INL_H
#undef ROCFORGE_CPU_SOFTMAX_INL_H
#else
#define ROCFORGE_CPU_SOFTMAX_INL_H
#endif

#include "plugins/cpu/attention.h"
#include "plugins/cpu/panels-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rocforge::cpu::HWY_NAMESPACE {

// Which rows the columns of a panel's scores are. Columns past `count` repeat the last row: their results are never stored.
struct PanelRows {
    std::int64_t count;
    std::int64_t row[Panel::kRows];   // i, local to the sequence
    std::int64_t head[Panel::kRows];  // query head
    kernels::Extent any, all;         // keys that some row, that every row attends to
};

HWY_NOINLINE PanelRows rows_of_panel(const Placed& placed, std::int64_t first, const kernels::ExtentRule& rule) {
    PanelRows panel_rows;
    const Item& item = placed.item;
    const std::int64_t left = item.heads * item.rows - first, len_kv = placed.sequence->len_kv;
    panel_rows.count = left < Panel::kRows ? left : Panel::kRows;
    ItemRows at(placed, first);
    for (std::int64_t column = 0; column < Panel::kRows; ++column) {
        panel_rows.row[column] = at.row();
        panel_rows.head[column] = at.head();
        if (column + 1 < panel_rows.count) at.next();
    }
    const kernels::Extent covered = rows_covered(item, first, first + panel_rows.count);
    panel_rows.any = rule.any_of_rows(covered.first, covered.end, len_kv);
    panel_rows.all = rule.all_of_rows(covered.first, covered.end, len_kv);
    return panel_rows;
}

// Where the score of (column, key) lies.
struct ScoreStrides {
    std::int64_t column, key;
};
// The layout of a panel's scores, [key][Panel::kRows], of which kUsed vectors of columns are used. It chooses the passes below.
template <int kUsed> struct PanelScores { static constexpr ScoreStrides kStrides{1, Panel::kRows}; };

// s = scale * s, then softcap * tanh(s / softcap) unless softcap is 0: of kUsed vectors in each of `runs` runs.
template <int kUsed> HWY_NOINLINE void scale_and_cap_runs(float* scores, std::int64_t runs, std::int64_t stride, float scale, float softcap) {
    const D d;
    for (std::int64_t run = 0; run < runs; ++run, scores += stride) {
#pragma GCC unroll 3
        for (int n = 0; n < kUsed; ++n) {
            V s = hn::Mul(hn::Load(d, scores + n * kLanes), hn::Set(d, scale));
            if (softcap != 0) s = hn::Mul(tanh_of(hn::Div(s, hn::Set(d, softcap))), hn::Set(d, softcap));
            hn::Store(s, d, scores + n * kLanes);
        }
    }
}

template <int kUsed>
HWY_INLINE void scale_and_cap(PanelScores<kUsed>, float* scores, std::int64_t /*columns*/, std::int64_t keys, float scale, float softcap) {
    scale_and_cap_runs<kUsed>(scores, keys, Panel::kRows, scale, softcap);
}

// s -= slope * |i + diagonal - j|
template <int kUsed>
HWY_NOINLINE void add_alibi(PanelScores<kUsed>, float* scores, const kernels::Extent& span, const PanelRows& panel_rows, const float* slopes,
                            std::int64_t diagonal) {
    const D d;
    HWY_ALIGN float slope[Panel::kRows];
    HWY_ALIGN float ahead[Panel::kRows];  // of the block's first key; exact up to 2^24
    for (int column = 0; column < kUsed * kLanes; ++column) {
        slope[column] = slopes[panel_rows.head[column]];
        ahead[column] = static_cast<float>(panel_rows.row[column] + diagonal - span.first);
    }
    for (std::int64_t key = 0; key < span.end - span.first; ++key, scores += Panel::kRows) {
        const V at = hn::Set(d, static_cast<float>(key));
        for (int n = 0; n < kUsed; ++n) {
            const V distance = hn::Abs(hn::Sub(hn::Load(d, ahead + n * kLanes), at));
            const V s = hn::Load(d, scores + n * kLanes);
            hn::Store(hn::NegMulAdd(hn::Load(d, slope + n * kLanes), distance, s), d, scores + n * kLanes);
        }
    }
}

// One row's mask over the block; `at` reads element j as what is added: 0 keeps, -inf excludes.
template <class At> HWY_INLINE void mask_row(float* scores, std::int64_t stride, std::int64_t keys, const At& at) {
    for (std::int64_t key = 0; key < keys; ++key, scores += stride) {
        const float added = at(key);
        // Assigned, not added: the score of an excluded key may be NaN or +inf. No finite mask value excludes, so a sum that overflows stays finite.
        const float sum = *scores + added;
        *scores = added == -kInfinity ? -kInfinity : sum < kLowest ? kLowest : sum;
    }
}

// Adds the additive mask, or excludes what the boolean mask does not keep.
HWY_NOINLINE void apply_mask(float* scores, const ScoreStrides& strides, std::int64_t key_first, std::int64_t keys, const PanelRows& panel_rows,
                             const Operand& mask, const void* data, std::int64_t batch) {
    for (std::int64_t column = 0; column < panel_rows.count; ++column) {
        const std::int64_t first = mask.offset(batch, panel_rows.head[column], panel_rows.row[column]) + key_first * mask.last;
        float* row = scores + column * strides.column;
        switch (mask.type) {
            case Type::boolean: {
                const std::uint8_t* keep = static_cast<const std::uint8_t*>(data) + first;
                mask_row(row, strides.key, keys, [&](std::int64_t key) { return keep[key * mask.last] ? 0.0f : -kInfinity; });
                break;
            }
            case Type::f32: {
                const float* added = static_cast<const float*>(data) + first;
                mask_row(row, strides.key, keys, [&](std::int64_t key) { return added[key * mask.last]; });
                break;
            }
            default:
                mask_row(row, strides.key, keys, [&](std::int64_t key) { return element(mask.type, data, first + key * mask.last); });
        }
    }
}

// s = -inf outside each row's own extent.
template <int kUsed>
HWY_NOINLINE void exclude_outside(PanelScores<kUsed>, float* scores, const kernels::Extent& span, const PanelRows& panel_rows,
                                  const kernels::ExtentRule& rule, std::int64_t len_kv) {
    const D d;
    const std::int64_t keys = span.end - span.first;
    HWY_ALIGN float first[Panel::kRows];  // relative to the block and clamped to it, so exact in f32
    HWY_ALIGN float end[Panel::kRows];
    for (int column = 0; column < kUsed * kLanes; ++column) {
        const kernels::Extent extent = rule.of_row(panel_rows.row[column], len_kv);
        first[column] = static_cast<float>(kernels::ExtentRule::clamp(extent.first - span.first, 0, keys));
        end[column] = static_cast<float>(kernels::ExtentRule::clamp(extent.end - span.first, 0, keys));
    }
    const V excluded = hn::Set(d, -kInfinity);
    for (std::int64_t key = 0; key < keys; ++key, scores += Panel::kRows) {
        const V at = hn::Set(d, static_cast<float>(key));
        for (int n = 0; n < kUsed; ++n) {
            const M inside = hn::And(hn::Ge(at, hn::Load(d, first + n * kLanes)), hn::Lt(at, hn::Load(d, end + n * kLanes)));
            hn::Store(hn::IfThenElse(inside, hn::Load(d, scores + n * kLanes), excluded), d, scores + n * kLanes);
        }
    }
}

// Scores to probabilities exp(scale * s - peak), with the rows' running maximum, sum and rescale brought up to date. With kExcluding, scores
// of -inf become -0 (see panels-inl.h).
template <bool kExcluding, int kUsed>
HWY_NOINLINE void online_softmax(PanelScores<kUsed>, float* scores, std::int64_t /*columns*/, std::int64_t keys, float scale, float* peaks,
                                 float* sums, float* rescales) {
    const D d;
    const V scales = hn::Set(d, scale), none = hn::Set(d, -kInfinity);
    V peak[kUsed], sum[kUsed];
#pragma GCC unroll 3
    for (int n = 0; n < kUsed; ++n) {
        peak[n] = none;
        sum[n] = hn::Zero(d);
    }
    const float* s = scores;
    for (std::int64_t key = 0; key < keys; ++key, s += Panel::kRows) {
#pragma GCC unroll 3
        for (int n = 0; n < kUsed; ++n) peak[n] = hn::Max(peak[n], hn::Load(d, s + n * kLanes));
    }
    V old_sum[kUsed], shift[kUsed];
#pragma GCC unroll 3
    for (int n = 0; n < kUsed; ++n) {
        const V old_peak = hn::Load(d, peaks + n * kLanes), new_peak = hn::Max(old_peak, hn::Mul(peak[n], scales));
        // A row that may attend to nothing so far: (-inf) - (-inf) is NaN.
        shift[n] = hn::IfThenZeroElse(hn::Eq(new_peak, none), new_peak);
        const V rescale = exp_of(hn::Sub(old_peak, shift[n]));
        hn::Store(new_peak, d, peaks + n * kLanes);
        hn::Store(rescale, d, rescales + n * kLanes);
        old_sum[n] = hn::Mul(hn::Load(d, sums + n * kLanes), rescale);
    }
    float* p = scores;
    for (std::int64_t key = 0; key < keys; ++key, p += Panel::kRows) {
#pragma GCC unroll 3
        for (int n = 0; n < kUsed; ++n) {
            const V score = hn::Load(d, p + n * kLanes);
            // Rounded before the shift, as the peak was: a fused product leaves the peak's own rounding error in its exponent, which beyond
            // scores of 1e9 is no longer small.
            V weight = exp_of(hn::Sub(hn::Mul(score, scales), shift[n]));
            if constexpr (kExcluding) weight = hn::IfThenElse(hn::Eq(score, none), hn::Set(d, -0.0f), weight);
            sum[n] = hn::Add(sum[n], weight);
            hn::Store(weight, d, p + n * kLanes);
        }
    }
#pragma GCC unroll 3
    for (int n = 0; n < kUsed; ++n) hn::Store(hn::Add(old_sum[n], sum[n]), d, sums + n * kLanes);
}

// Zeroes what dropout drops and divides what it keeps by 1 - p. After the sums: lse is of the undropped row.
HWY_NOINLINE void drop(float* scores, const ScoreStrides& strides, std::int64_t key_first, std::int64_t keys, const PanelRows& panel_rows,
                       const kernels::Dropout& dropout, float kept_scale, std::int64_t first_head) {
    for (std::int64_t column = 0; column < panel_rows.count; ++column) {
        const std::uint32_t row = static_cast<std::uint32_t>(panel_rows.row[column]),
                            head = static_cast<std::uint32_t>(first_head + panel_rows.head[column]);
        kernels::PhiloxWords words{};
        for (std::int64_t j = key_first; j < key_first + keys; ++j) {
            if (j == key_first || j % 4 == 0) words = dropout.words(static_cast<std::uint32_t>(j / 4), row, head);
            scores[(j - key_first) * strides.key + column * strides.column] *= dropout.keeps(words.word[j % 4]) ? kept_scale : 0.0f;
        }
    }
}

}  // namespace rocforge::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
