// Where one sequence of the batch lies and which keys its rows may attend to, from the index tensors on the device. One definition for every GPU
// kernel. Values that the host cannot see are clamped, so that a wrong length reads nothing outside the tensors.
#ifndef ROCFORGE_KERNELS_COMMON_SEQUENCE_H
#define ROCFORGE_KERNELS_COMMON_SEQUENCE_H

#include "kernels/common/attention.h"
#include "kernels/platform/annotate.h"

namespace rocforge::kernels {

RF_HOST_DEVICE std::int64_t index_at(const void* indices, bool wide, std::int64_t i) {
    return wide ? ((const RF_GLOBAL std::int64_t*)indices)[i] : ((const RF_GLOBAL std::int32_t*)indices)[i];
}

// A sequence's rows [q_first, q_first + len_q) on q's and out's sequence axis, its keys likewise on k's and v's (paged: by block table), the axis-0
// index of each (0 where ragged), and the rule that says which keys row i attends to.
struct Span {
    std::int64_t q_batch, kv_batch, q_first, len_q, kv_first, len_kv;
    ExtentRule rule;
};

RF_HOST_DEVICE Span span_of(const Attention& a, const Pointers& p, std::int64_t b) {
    Span s{b, b, 0, a.max_seq_q, 0, a.max_seq_kv, {}};
    if (a.ragged_q) {
        s.q_batch = 0;
        s.q_first = ExtentRule::clamp(index_at(p.cu_seqlens_q, a.wide_index, b), 0, a.q_tokens);
        s.len_q = ExtentRule::clamp(index_at(p.cu_seqlens_q, a.wide_index, b + 1), s.q_first, a.q_tokens) - s.q_first;
        s.len_q = ExtentRule::clamp(s.len_q, 0, a.max_seq_q);
    }
    if (a.ragged_kv) {
        s.kv_batch = 0;
        s.kv_first = ExtentRule::clamp(index_at(p.cu_seqlens_kv, a.wide_index, b), 0, a.kv_tokens);
        s.len_kv = ExtentRule::clamp(index_at(p.cu_seqlens_kv, a.wide_index, b + 1), s.kv_first, a.kv_tokens) - s.kv_first;
        s.len_kv = ExtentRule::clamp(s.len_kv, 0, a.max_seq_kv);
    } else if (a.kv_lengths) {
        s.len_kv = ExtentRule::clamp(index_at(p.kv_lengths, a.wide_index, b), 0, a.max_seq_kv);
    }
    s.rule = ExtentRule::aligned(a.causal, a.bottom_right, a.diagonal, a.window_left, a.window_right, s.len_q, s.len_kv);
    return s;
}

// Where key j of the sequence lies: index on axis 0 (batch entry or page) and on the sequence axis (or slot in the page). A page number outside the
// tensor is clamped into it.
struct KeyPlace {
    std::int64_t axis0, axis2;
};
RF_HOST_DEVICE KeyPlace place_of_key(const Attention& a, const Pointers& p, const Span& s, std::int64_t b, std::int64_t j) {
    if (!a.paged) return {s.kv_batch, s.kv_first + j};
    const std::int64_t column = j / a.page_size;
    const std::int64_t page = index_at(p.block_table, a.wide_index, b * a.block_table_stride + column);
    return {ExtentRule::clamp(page, 0, a.pages - 1), j - column * a.page_size};
}

}  // namespace rocforge::kernels
#endif
