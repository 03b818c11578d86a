// The steps of the definition in its order: who attends to whom, the scores, the softmax, the weighted sum.
#include "oracle.h"

#include "storage.h"

#include <algorithm>
#include <cmath>

namespace rocforge::conformance {
namespace {

bool has(const rf_problem& p, rf_features bits) { return (p.features & bits) != 0; }

// float64, nothing rounded.
struct Exact {
    using Number = double;
    Number score(Number s) const { return s; }
    Number weight(Number w) const { return w; }
    Number result(Number o) const { return o; }
};

// float32 sums; what a textbook stores is rounded to the tensors' types.
struct Textbook {
    using Number = float;
    rf_dtype q, v, out;
    static Number stored(rf_dtype type, Number x) {
        const double r = rounded(type, x);
        return std::isinf(r) ? x : static_cast<Number>(r);
    }
    Number score(Number s) const { return stored(q, s); }
    Number weight(Number w) const { return stored(v, w); }
    Number result(Number o) const { return stored(out, o); }
};

void read_row(const rf_tensor& tensor, const void* data, Place place, std::int64_t head, std::vector<double>& to) {
    to.resize(static_cast<std::size_t>(tensor.shape[3]));
    load_strided(tensor.dtype, data, offset_of(tensor, place.axis0, head, place.axis2, 0), tensor.stride[3], to);
}

bool all_finite(const std::vector<double>& row) {
    return std::all_of(row.begin(), row.end(), [](double value) { return std::isfinite(value); });
}

// k or v, its scale applied. A scale tensor has the axes of its tensor, one value for each group of shape[3] / groups elements.
struct Scaled {
    const rf_tensor& tensor;
    const void* data;
    const rf_tensor& scale;
    const void* scale_data;
    bool has_scale;
    // [tensor.shape[3]]
    void read(Place place, std::int64_t head, std::vector<double>& to) const {
        read_row(tensor, data, place, head, to);
        if (!has_scale) return;
        const std::size_t group_elems = static_cast<std::size_t>(tensor.shape[3] / scale.shape[3]);
        std::vector<double> scales;
        read_row(scale, scale_data, place, head, scales);
        for (std::size_t d = 0; d < to.size(); ++d) to[d] *= scales[d / group_elems];
    }
};
Scaled keys(const rf_problem& p, const rf_args& a) { return {p.k, a.k, p.k_scale, a.k_scale, has(p, RF_F_KV_SCALES)}; }
Scaled values(const rf_problem& p, const rf_args& a) { return {p.v, a.v, p.v_scale, a.v_scale, has(p, RF_F_KV_SCALES)}; }

double mask_at(const rf_problem& p, const rf_args& a, std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j) {
    return load(p.mask.dtype, a.mask, offset_of(p.mask, b, h, i, j));
}

// A row's coordinates and what it shares with its neighbours.
struct RowId {
    Sequence sequence;
    std::int64_t b, h, i, head_kv;
};

// Steps 1 to 3: the score of key j, to which the row attends.
template <class Number>
Number score_of(const rf_problem& p, const rf_args& a, const RowId& row, const std::vector<double>& q, const std::vector<double>& k, std::int64_t j) {
    Number dot = 0;
    for (std::size_t d = 0; d < q.size(); ++d) dot += static_cast<Number>(q[d]) * static_cast<Number>(k[d]);
    Number s = static_cast<Number>(p.scale) * dot;
    if (has(p, RF_F_SOFTCAP)) s = static_cast<Number>(p.softcap) * std::tanh(s / static_cast<Number>(p.softcap));
    if (has(p, RF_F_ALIBI))
        s -= static_cast<Number>(load(kF32, a.alibi_slopes, row.h)) * static_cast<Number>(std::abs(row.i + row.sequence.diagonal - j));
    if (has(p, RF_F_MASK_ADD)) s += static_cast<Number>(mask_at(p, a, row.b, row.h, row.i, j));
    return s;
}

template <class Arithmetic>
Row evaluate(const Arithmetic& arithmetic, const rf_problem& p, const rf_args& a, std::int64_t b, std::int64_t h, std::int64_t i) {
    using Number = typename Arithmetic::Number;
    const RowId row{sequence_of(p, a, b), b, h, i, h / (p.q.shape[1] / p.k.shape[1])};
    const Number sink = has(p, RF_F_SINK) ? static_cast<Number>(load(kF32, a.sink, h)) : -static_cast<Number>(INFINITY);
    std::vector<std::int64_t> attended;
    for (std::int64_t j = 0; j < row.sequence.len_kv; ++j)
        if (attends(p, a, row.sequence, b, h, i, j)) attended.push_back(j);

    Row result;
    result.out.assign(static_cast<std::size_t>(p.v.shape[3]), 0.0);
    if (attended.empty()) {  // no key: nothing to average; only a sink is left in the denominator
        result.state = RowState::empty;
        result.lse = sink;
        return result;
    }

    std::vector<double> q, k, v;
    read_row(p.q, a.q, place_of_query(p, row.sequence, b, i), h, q);
    bool finite = all_finite(q);
    std::vector<Number> s;
    Number top = sink;
    for (const std::int64_t j : attended) {
        keys(p, a).read(place_of_key(p, a, row.sequence, b, j), row.head_kv, k);
        finite &= all_finite(k) && (!has(p, RF_F_MASK_ADD) || std::isfinite(mask_at(p, a, b, h, i, j)));
        s.push_back(arithmetic.score(score_of<Number>(p, a, row, q, k, j)));
        top = std::max(top, s.back());
    }
    Number sum = has(p, RF_F_SINK) ? std::exp(sink - top) : 0;
    for (const Number each : s) sum += std::exp(each - top);
    result.lse = top + std::log(sum);

    std::vector<Number> out(result.out.size(), 0);
    const Number kept_share = has(p, RF_F_DROPOUT) ? 1 - static_cast<Number>(p.dropout_p) : 1;
    for (std::size_t n = 0; n < attended.size(); ++n) {
        values(p, a).read(place_of_key(p, a, row.sequence, b, attended[n]), row.head_kv, v);
        for (const double element : v)
            if (std::isfinite(element)) result.largest_v = std::max(result.largest_v, std::abs(element));
        finite &= all_finite(v);
        if (has(p, RF_F_DROPOUT) && !dropout_keeps(p, a, b, h, i, attended[n])) continue;
        const Number weight = arithmetic.weight(std::exp(s[n] - top) / sum / kept_share);
        for (std::size_t d = 0; d < out.size(); ++d) out[d] += weight * static_cast<Number>(v[d]);
    }
    if (!finite) result.state = RowState::non_finite;
    for (std::size_t d = 0; d < out.size(); ++d) result.out[d] = arithmetic.result(out[d]);
    return result;
}

}  // namespace

std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key) {
    for (int round = 0; round < 10; ++round) {
        const std::uint64_t first = 0xD2511F53ull * counter[0], second = 0xCD9E8D57ull * counter[2];
        counter = {static_cast<std::uint32_t>(second >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(second),
                   static_cast<std::uint32_t>(first >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(first)};
        key = {key[0] + 0x9E3779B9u, key[1] + 0xBB67AE85u};  // the golden ratio and sqrt(3) - 1, as Weyl sequences
    }
    return counter;
}

bool dropout_keeps(const rf_problem& p, const rf_args& a, std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j) {
    const auto low = [](std::uint64_t x) { return static_cast<std::uint32_t>(x); };
    const auto high = [](std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32); };
    const auto word = [&](std::int64_t x) { return low(static_cast<std::uint64_t>(x)); };
    const std::array<std::uint32_t, 4> random = philox({word(j / 4), word(i), word(b * p.q.shape[1] + h), low(a.dropout_offset)},
                                                       {low(a.dropout_seed), high(a.dropout_seed) ^ high(a.dropout_offset)});
    const auto threshold = static_cast<std::uint64_t>(std::floor(static_cast<double>(p.dropout_p) * 4294967296.0));  // p = 1 needs bit 33
    return random[static_cast<std::size_t>(j % 4)] >= threshold;
}

Sequence sequence_of(const rf_problem& p, const rf_args& a, std::int64_t b) {
    Sequence s{0, p.max_seq_q, 0, p.max_seq_kv, p.diagonal};
    if (has(p, RF_F_RAGGED_Q)) {
        s.q_begin = load_index(p.index_dtype, a.cu_seqlens_q, b);
        s.len_q = load_index(p.index_dtype, a.cu_seqlens_q, b + 1) - s.q_begin;
    }
    if (has(p, RF_F_RAGGED_KV)) {
        s.kv_begin = load_index(p.index_dtype, a.cu_seqlens_kv, b);
        s.len_kv = load_index(p.index_dtype, a.cu_seqlens_kv, b + 1) - s.kv_begin;
    }
    if (has(p, RF_F_KV_LENGTHS)) s.len_kv = std::clamp<std::int64_t>(load_index(p.index_dtype, a.kv_lengths, b), 0, p.max_seq_kv);
    if (has(p, RF_F_BOTTOM_RIGHT)) s.diagonal += s.len_kv - s.len_q;
    return s;
}

Place place_of_query(const rf_problem& p, const Sequence& s, std::int64_t b, std::int64_t i) {
    if (has(p, RF_F_RAGGED_Q)) return {0, s.q_begin + i};
    return {b, i};
}

Place place_of_key(const rf_problem& p, const rf_args& a, const Sequence& s, std::int64_t b, std::int64_t j) {
    if (has(p, RF_F_RAGGED_KV)) return {0, s.kv_begin + j};
    if (has(p, RF_F_PAGED_KV)) return {load_index(p.index_dtype, a.block_table, b * p.block_table_stride + j / p.page_size), j % p.page_size};
    return {b, j};
}

bool attends(const rf_problem& p, const rf_args& a, const Sequence& s, std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j) {
    if (i >= s.len_q || j >= s.len_kv) return false;
    const std::int64_t past_diagonal = j - (i + s.diagonal);
    if (has(p, RF_F_CAUSAL) && past_diagonal > 0) return false;
    if (has(p, RF_F_WINDOW) && p.window_left >= 0 && past_diagonal < -p.window_left) return false;
    if (has(p, RF_F_WINDOW) && p.window_right >= 0 && past_diagonal > p.window_right) return false;
    if (has(p, RF_F_MASK_BOOL)) return mask_at(p, a, b, h, i, j) != 0;
    if (has(p, RF_F_MASK_ADD)) return mask_at(p, a, b, h, i, j) != -INFINITY;
    return true;
}

Row oracle_row(const rf_problem& p, const rf_args& a, std::int64_t b, std::int64_t h, std::int64_t i) { return evaluate(Exact{}, p, a, b, h, i); }

Row textbook_row(const rf_problem& p, const rf_args& a, std::int64_t b, std::int64_t h, std::int64_t i) {
    return evaluate(Textbook{p.q.dtype, p.v.dtype, p.out.dtype}, p, a, b, h, i);
}

}  // namespace rocforge::conformance
