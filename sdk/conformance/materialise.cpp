// A case becomes memory: lengths and index tables first, then shapes and strides, then masks, then q, k and v, which may depend on the masks.
#include "materialise.h"

#include "oracle.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <new>
#include <numeric>

namespace rocforge::conformance {
namespace {

constexpr double kFarValue = 999;  // stands in keys that no row attends to: finite in every type, far outside every result

// NaNs with a payload that no arithmetic makes: inputs use the plain quiet NaN.
std::uint32_t poison_bits(rf_dtype type) {
    if (same(type, kF32)) return 0x7FE5A5A5u;
    return same(type, kF16) ? 0x7FA5u : 0x7FE5u;
}
bool is_poison(rf_dtype type, const std::byte* base, std::int64_t index) {
    const std::uint32_t bits = poison_bits(type);
    return std::memcmp(base + index * bytes_of(type), &bits, static_cast<std::size_t>(bytes_of(type))) == 0;  // little-endian
}

std::uint64_t mix(std::uint64_t x) {  // the finaliser of SplitMix64
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
    return x ^ (x >> 31);
}

std::uint64_t hash_bytes(const std::byte* data, std::int64_t bytes) {
    std::uint64_t hash = 0;
    for (std::int64_t n = 0; n < bytes; n += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, data + n, static_cast<std::size_t>(std::min<std::int64_t>(8, bytes - n)));
        hash = mix(hash + word + 0x9E3779B97F4A7C15ull);
    }
    return hash;
}

// Elements from a tensor's base to just past its last one; at least 1, so that every tensor has an address.
std::int64_t extent_elems(const rf_tensor& t) {
    std::int64_t last = 0;
    for (int axis = 0; axis < 4; ++axis) {
        if (t.shape[axis] == 0) return 1;
        last += (t.shape[axis] - 1) * t.stride[axis];
    }
    return last + 1;
}

rf_tensor contiguous(rf_dtype type, std::array<std::int64_t, 4> shape, std::uint32_t broadcast_axes = 0) {
    rf_tensor t{type, 0, {shape[0], shape[1], shape[2], shape[3]}, {}};
    std::int64_t stride_elems = 1;
    for (int axis = 3; axis >= 0; --axis) {
        if (broadcast_axes >> axis & 1) continue;
        t.stride[axis] = stride_elems;
        stride_elems *= std::max<std::int64_t>(shape[static_cast<std::size_t>(axis)], 1);
    }
    return t;
}

// [axis0, head, token, dim] in the case's layout.
rf_tensor laid_out(const Case& c, rf_dtype type, std::int64_t axis0, std::int64_t heads, std::int64_t tokens, std::int64_t dim) {
    rf_tensor t = contiguous(type, {axis0, heads, tokens, dim});
    t.align = c.align;
    const auto strides = [&](std::int64_t s0, std::int64_t s1, std::int64_t s2) { t.stride[0] = s0, t.stride[1] = s1, t.stride[2] = s2; };
    if (c.layout == Layout::bshd) strides(tokens * heads * dim, dim, heads * dim);
    if (c.layout == Layout::packed_qkv) strides(tokens * 3 * heads * dim, dim, 3 * heads * dim);
    if (c.layout == Layout::padded) {
        const std::int64_t row = dim + 3, head = tokens * row + 5;
        strides(heads * head + 7, head, row);
    }
    if (c.layout == Layout::padded_by_8) {
        const std::int64_t row = dim + 8, head = tokens * row + 16;
        strides(heads * head + 24, head, row);
    }
    return t;
}

}  // namespace

const char* name_of_argument(std::size_t args_offset) {
    for (const Argument& each : kArguments)
        if (each.args_offset == args_offset) return each.name;
    return "an argument";
}

// Fills one Materialised, step by step.
class Builder {
public:
    Builder(const Case& the_case, Placement placement, Materialised& target)
        : c(the_case), placement_(placement), m(target), p(target.problem_), a(target.args_) {}
    void build(bool values);

private:
    bool has(rf_features bits) const { return (p.features & bits) != 0; }
    double random(char tensor, std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t d) const;  // [-1, 1)
    double twin(char tensor, std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t d) const {
        return random(tensor, b, h, i / 2 * 2, d) * (1 + (i % 2 == 0 ? 0 : 1e-4 * random(tensor, b, h, i, d)));
    }
    std::int64_t random_length(char tensor, std::int64_t b, std::int64_t capacity) const;
    std::byte* allocate(std::size_t args_offset, rf_dtype type, std::int64_t elements, bool output = false);
    void parameters();
    void lengths();
    void indices(std::size_t args_offset, const std::vector<std::int64_t>& values);
    void page_table();
    void tensors();
    void packed_tensors();
    void mask();
    double mask_value(std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j) const;
    void per_head();
    void scales(char tensor, const ScaleRecipe&, const rf_tensor& of, rf_tensor& scale, std::size_t args_offset);
    bool anyone_attends(const Sequence&, std::int64_t b, std::int64_t head_kv, std::int64_t j) const;
    void fill_q();
    void fill_kv(char tensor, const rf_tensor& t, std::byte* data, const Values&);
    void pokes();
    void results();

    const Case& c;
    bool values_ = true;  // false: everything but the tensors of many values
    Placement placement_;
    Materialised& m;
    rf_problem& p;
    rf_args& a;
    std::vector<std::int64_t> len_q_, len_kv_;  // by sequence, as stored: kv lengths may lie outside the capacity
    std::int64_t pages_ = 0;
    std::byte *q_ = nullptr, *k_ = nullptr, *v_ = nullptr, *mask_ = nullptr;
};

double Builder::random(char tensor, std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t d) const {
    std::uint64_t state = mix(c.seed + static_cast<std::uint64_t>(tensor) * 0x9E3779B97F4A7C15ull);
    for (const std::int64_t index : {b, h, i, d}) state = mix(state + static_cast<std::uint64_t>(index) + 0x9E3779B97F4A7C15ull);
    return static_cast<double>(state >> 11) * 0x1p-52 - 1;
}

std::int64_t Builder::random_length(char tensor, std::int64_t b, std::int64_t capacity) const {
    return 1 + static_cast<std::int64_t>((random(tensor, b, 0, 0, 0) + 1) / 2 * static_cast<double>(capacity));
}

std::byte* Builder::allocate(std::size_t args_offset, rf_dtype type, std::int64_t elements, bool output) {
    m.buffers_.emplace_back(name_of_argument(args_offset), elements * bytes_of(type), output, placement_,
                            std::max<std::int64_t>(bytes_of(type), c.align));
    std::byte* base = m.buffers_.back().data();
    std::memcpy(reinterpret_cast<std::byte*>(&a) + args_offset, &base, sizeof base);
    m.spans_.push_back({args_offset, base, elements * bytes_of(type), output, type});
    return base;
}

void Builder::parameters() {
    p = {};
    p.struct_size = sizeof p;
    a = {};
    a.struct_size = sizeof a;
    p.features = c.features;
    p.batch = c.batch, p.max_seq_q = c.seq_q, p.max_seq_kv = c.seq_kv;
    p.scale = std::isnan(c.scale) ? static_cast<float>(1 / std::sqrt(static_cast<double>(c.dim))) : c.scale;
    p.softcap = has(RF_F_SOFTCAP) ? c.softcap : 0;
    p.dropout_p = has(RF_F_DROPOUT) ? c.dropout_p : 0;
    a.dropout_seed = c.dropout_seed, a.dropout_offset = c.dropout_offset;
    p.window_left = has(RF_F_WINDOW) ? c.window_left : -1;
    p.window_right = has(RF_F_WINDOW) ? c.window_right : -1;
    p.diagonal = c.diagonal;
    p.workspace_limit_bytes = UINT64_MAX;
    if (has(RF_F_KV_LENGTHS | RF_F_RAGGED_Q | RF_F_RAGGED_KV | RF_F_PAGED_KV)) p.index_dtype = c.index_type;
    if (c.head_q != c.head_kv) p.features |= RF_F_GROUPED_HEADS;
    if (c.diagonal != 0) p.features |= RF_F_DIAGONAL;
}

// Generated lengths of k start {random, 0, full, random}, those of q {full, random, 1, 0}: a batch of 4 meets every kind.
void Builder::lengths() {
    len_q_.assign(static_cast<std::size_t>(c.batch), c.seq_q);
    len_kv_.assign(static_cast<std::size_t>(c.batch), c.seq_kv);
    for (std::size_t b = 0; b < len_q_.size(); ++b) {
        const auto at = static_cast<std::int64_t>(b);
        if (has(RF_F_RAGGED_Q))
            len_q_[b] = !c.q_lengths.empty() ? c.q_lengths[b] : b == 0 ? c.seq_q : b == 2 ? 1 : b == 3 ? 0 : random_length('i', at, c.seq_q);
        const std::int64_t generated = b == 1 ? 0 : b == 2 ? c.seq_kv : random_length('j', at, c.seq_kv);
        if (has(RF_F_RAGGED_KV)) len_kv_[b] = !c.ragged_kv_lengths.empty() ? c.ragged_kv_lengths[b] : generated;
        if (has(RF_F_KV_LENGTHS)) len_kv_[b] = !c.kv_lengths.empty() ? c.kv_lengths[b] : generated;
    }
    const auto cumulative = [](const std::vector<std::int64_t>& each) {
        std::vector<std::int64_t> sums{0};
        for (const std::int64_t length : each) sums.push_back(sums.back() + length);
        return sums;
    };
    if (has(RF_F_RAGGED_Q)) indices(offsetof(rf_args, cu_seqlens_q), cumulative(len_q_));
    if (has(RF_F_RAGGED_KV)) indices(offsetof(rf_args, cu_seqlens_kv), cumulative(len_kv_));
    if (has(RF_F_KV_LENGTHS)) indices(offsetof(rf_args, kv_lengths), len_kv_);
    if (has(RF_F_PAGED_KV)) page_table();
    if (!c.live_hints || c.batch == 0) return;
    a.live_batch = c.batch;
    a.live_seq_q = *std::max_element(len_q_.begin(), len_q_.end());
    a.live_seq_kv = std::clamp<std::int64_t>(*std::max_element(len_kv_.begin(), len_kv_.end()), 0, c.seq_kv);
}

void Builder::indices(std::size_t args_offset, const std::vector<std::int64_t>& list) {
    std::byte* data = allocate(args_offset, c.index_type, std::max<std::int64_t>(static_cast<std::int64_t>(list.size()), 1));
    for (std::size_t n = 0; n < list.size(); ++n) store_index(c.index_type, data, static_cast<std::int64_t>(n), list[n]);
}

// Pages in a shuffled order, two of them nobody's; entries that nothing may read are far out of range.
void Builder::page_table() {
    constexpr std::int64_t kUnread = 0x7ffffff0, kSparePages = 2;
    const std::int64_t columns = (c.seq_kv + c.page_size - 1) / c.page_size;
    p.page_size = c.page_size;
    p.block_table_stride = columns + c.spare_columns;
    std::vector<std::int64_t> table(static_cast<std::size_t>(c.batch * p.block_table_stride), kUnread);
    std::vector<std::int64_t*> used;
    for (std::int64_t b = 0; b < c.batch; ++b) {
        const std::int64_t length = std::clamp<std::int64_t>(len_kv_[static_cast<std::size_t>(b)], 0, c.seq_kv);
        for (std::int64_t column = 0; column * c.page_size < length; ++column)
            used.push_back(&table[static_cast<std::size_t>(b * p.block_table_stride + column)]);
    }
    pages_ = static_cast<std::int64_t>(used.size()) + kSparePages;
    std::vector<std::int64_t> order(static_cast<std::size_t>(pages_));
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](std::int64_t x, std::int64_t y) { return random('p', x, 0, 0, 0) < random('p', y, 0, 0, 0); });
    for (std::size_t n = 0; n < used.size(); ++n) *used[n] = order[n];
    for (std::int64_t b = 1; c.shared_first_page && b < c.batch; ++b) {
        std::int64_t& first = table[static_cast<std::size_t>(b * p.block_table_stride)];
        if (first != kUnread) first = table[0];
    }
    indices(offsetof(rf_args, block_table), table);
}

void Builder::tensors() {
    const auto total = [&](const std::vector<std::int64_t>& lengths_) {
        return std::accumulate(lengths_.begin(), lengths_.end(), std::int64_t{0}) + c.spare_tokens;
    };
    const rf_dtype k_type = absent(c.k_type) ? c.type : c.k_type, v_type = absent(c.v_type) ? c.type : c.v_type;
    const std::int64_t dim_v = c.dim_v ? c.dim_v : c.dim;
    const bool ragged_q = has(RF_F_RAGGED_Q);
    const std::int64_t q_axis0 = ragged_q ? 1 : c.batch, q_tokens = ragged_q ? total(len_q_) : c.seq_q;
    std::int64_t kv_axis0 = c.batch, kv_tokens = c.seq_kv;
    if (has(RF_F_RAGGED_KV)) kv_axis0 = 1, kv_tokens = total(len_kv_);
    if (has(RF_F_PAGED_KV)) kv_axis0 = pages_, kv_tokens = c.page_size;

    p.q = laid_out(c, c.type, q_axis0, c.head_q, q_tokens, c.dim);
    p.k = laid_out(c, k_type, kv_axis0, c.head_kv, kv_tokens, c.dim);
    p.v = laid_out(c, v_type, kv_axis0, c.head_kv, kv_tokens, dim_v);
    if (!same(k_type, c.type) || !same(v_type, c.type)) p.features |= RF_F_KV_DTYPE;
    if (!absent(c.out_type) && !same(c.out_type, c.type)) p.features |= RF_F_OUT_DTYPE;
    if (dim_v != c.dim) p.features |= RF_F_DIM_V;

    if (c.layout == Layout::packed_qkv) return packed_tensors();
    const auto input = [&](std::size_t args_offset, const rf_tensor& t, const void*& pointer) {
        const std::int64_t elements = extent_elems(t) + c.shift_elems;
        std::byte* base = allocate(args_offset, t.dtype, elements);
        for (std::int64_t n = 0; values_ && n < elements; ++n) store(t.dtype, base, n, NAN);
        base += c.shift_elems * bytes_of(t.dtype);
        pointer = base;
        return base;
    };
    q_ = input(offsetof(rf_args, q), p.q, a.q);
    k_ = input(offsetof(rf_args, k), p.k, a.k);
    v_ = input(offsetof(rf_args, v), p.v, a.v);
}

void Builder::packed_tensors() {
    const std::int64_t part_bytes = c.head_q * c.dim * bytes_of(c.type), elements = std::max<std::int64_t>(p.q.shape[0] * p.q.stride[0], 1);
    q_ = allocate(offsetof(rf_args, q), c.type, elements);
    k_ = q_ + part_bytes;
    v_ = k_ + part_bytes;
    a.k = k_, a.v = v_;
    const Span whole = m.spans_.back();
    m.spans_.push_back({offsetof(rf_args, k), whole.base, whole.bytes, false, c.type});
    m.spans_.push_back({offsetof(rf_args, v), whole.base, whole.bytes, false, c.type});
}

double Builder::mask_value(std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j) const {
    const bool row_varies = !(c.mask.broadcast_axes & 4);
    bool keep = true;
    switch (c.mask.pattern) {
        case Pattern::random:
            keep = random('m', b, h, i, j) < 0.5 && !(row_varies && i % 3 == 1);
            break;
        case Pattern::keep_all:
            break;
        case Pattern::one_key:
            keep = j == (3 * i + 1) % c.seq_kv;
            break;
        case Pattern::prefix_half:
            keep = j < (c.seq_kv + 1) / 2;
            break;
        case Pattern::every_other_key:
            keep = j % 2 == 0;
            break;
        case Pattern::checkered_64:
            keep = (i / 64 + j / 64) % 2 == 0;
            break;
        case Pattern::holes:
            keep = i % 16 != (i / 16 * 5 + 3) % 16 || j != (7 * i + 11) % c.seq_kv;
            if (keep && !same(c.mask.type, kBool)) return 0;
            break;
        case Pattern::lowest_row:
            if (i == 1) return -largest(c.mask.type);
            break;
    }
    if (same(c.mask.type, kBool)) return keep;
    return keep ? 2 * random('a', b, h, i, j) : -INFINITY;
}

void Builder::mask() {
    p.mask = contiguous(c.mask.type, {c.batch, c.head_q, c.seq_q, c.seq_kv}, c.mask.broadcast_axes);
    mask_ = allocate(offsetof(rf_args, mask), c.mask.type, extent_elems(p.mask));
    if (!values_) return;
    const auto physical = [&](int axis) { return p.mask.stride[axis] == 0 ? std::min<std::int64_t>(p.mask.shape[axis], 1) : p.mask.shape[axis]; };
    for (std::int64_t b = 0; b < physical(0); ++b)
        for (std::int64_t h = 0; h < physical(1); ++h)
            for (std::int64_t i = 0; i < physical(2); ++i)
                for (std::int64_t j = 0; j < physical(3); ++j) store(c.mask.type, mask_, offset_of(p.mask, b, h, i, j), mask_value(b, h, i, j));
}

void Builder::per_head() {
    if (has(RF_F_ALIBI)) {  // the slopes of Press et al., "Train Short, Test Long" (2022): 2^(-8 (h + 1) / heads)
        std::byte* slopes = allocate(offsetof(rf_args, alibi_slopes), kF32, c.head_q);
        for (std::int64_t h = 0; h < c.head_q; ++h)
            store(kF32, slopes, h, std::exp2(-8.0 * static_cast<double>(h + 1) / static_cast<double>(c.head_q)));
    }
    if (has(RF_F_SINK)) {
        std::byte* sinks = allocate(offsetof(rf_args, sink), kF32, c.head_q);
        for (std::int64_t h = 0; h < c.head_q; ++h)
            store(kF32, sinks, h, c.sinks.empty() ? 2 * random('s', 0, h, 0, 0) : c.sinks[static_cast<std::size_t>(h)]);
    }
}

void Builder::scales(char tensor, const ScaleRecipe& recipe, const rf_tensor& of, rf_tensor& scale, std::size_t args_offset) {
    scale = contiguous(kF32, {of.shape[0], of.shape[1], of.shape[2], recipe.groups}, recipe.broadcast_axes);
    const std::int64_t elements = extent_elems(scale);
    std::byte* data = allocate(args_offset, kF32, elements);
    for (std::int64_t n = 0; n < elements; ++n) store(kF32, data, n, 1 + random(tensor, n, 0, 0, 0) / 2);
}

bool Builder::anyone_attends(const Sequence& s, std::int64_t b, std::int64_t head_kv, std::int64_t j) const {
    const std::int64_t group = c.head_q / c.head_kv;
    for (std::int64_t h = head_kv * group; h < (head_kv + 1) * group; ++h)
        for (std::int64_t i = 0; i < s.len_q; ++i)
            if (attends(p, a, s, b, h, i, j)) return true;
    return false;
}

void Builder::fill_q() {
    for (std::int64_t b = 0; b < c.batch; ++b) {
        const Sequence s = sequence_of(p, a, b);
        for (std::int64_t h = 0; h < c.head_q; ++h)
            for (std::int64_t i = 0; i < s.len_q; ++i)
                for (std::int64_t d = 0; d < c.dim; ++d) {
                    const Place at = place_of_query(p, s, b, i);
                    store(p.q.dtype, q_, offset_of(p.q, at.axis0, h, at.axis2, d), c.q.amplitude * (c.q.constant ? 1 : random('q', b, h, i, d)));
                }
    }
}

void Builder::fill_kv(char tensor, const rf_tensor& t, std::byte* data, const Values& recipe) {
    for (std::int64_t b = 0; b < c.batch; ++b) {
        const Sequence s = sequence_of(p, a, b);
        for (std::int64_t h = 0; h < c.head_kv; ++h)
            for (std::int64_t j = 0; j < s.len_kv; ++j) {
                const Place at = place_of_key(p, a, s, b, j);
                const bool seen = anyone_attends(s, b, h, j);
                for (std::int64_t d = 0; d < t.shape[3]; ++d) {
                    const double value = recipe.amplitude * (recipe.constant ? 1
                                                             : recipe.twins  ? twin(tensor, b, h, j, d)
                                                                             : random(tensor, b, h, j, d));
                    store(t.dtype, data, offset_of(t, at.axis0, h, at.axis2, d), seen ? value : c.hide_nan ? NAN : kFarValue);
                }
            }
    }
}

void Builder::pokes() {
    for (const Poke& poke : c.pokes) {
        const Sequence s = sequence_of(p, a, poke.b);
        const rf_tensor& t = poke.tensor == 'q' ? p.q : poke.tensor == 'k' ? p.k : poke.tensor == 'v' ? p.v : p.mask;
        std::byte* data = poke.tensor == 'q' ? q_ : poke.tensor == 'k' ? k_ : poke.tensor == 'v' ? v_ : mask_;
        Place at{poke.b, poke.i};
        if (poke.tensor == 'q') at = place_of_query(p, s, poke.b, poke.i);
        if (poke.tensor == 'k' || poke.tensor == 'v') at = place_of_key(p, a, s, poke.b, poke.i);
        for (std::int64_t d = 0; d < t.shape[3]; ++d)
            if (poke.d < 0 || poke.d == d) store(t.dtype, data, offset_of(t, at.axis0, poke.h, at.axis2, d), poke.value);
    }
}

void Builder::results() {
    const rf_dtype type = absent(c.out_type) ? c.type : c.out_type;
    Case without_packing = c;
    if (c.layout == Layout::packed_qkv) without_packing.layout = Layout::bshd;
    p.out = laid_out(without_packing, type, p.q.shape[0], c.head_q, p.q.shape[2], p.v.shape[3]);
    std::byte* out = allocate(offsetof(rf_args, out), type, extent_elems(p.out) + c.shift_elems, true);
    a.out = out + c.shift_elems * bytes_of(type);
    if (!has(RF_F_LSE)) return;
    p.lse = contiguous(kF32, {p.q.shape[0], c.head_q, p.q.shape[2], 1});
    if (c.layout == Layout::padded || c.layout == Layout::padded_by_8)
        for (int axis = 0; axis < 3; ++axis) p.lse.stride[axis] *= 2;
    allocate(offsetof(rf_args, lse), kF32, extent_elems(p.lse), true);
}

void Builder::build(bool values) {
    values_ = values;
    parameters();
    lengths();
    tensors();
    if (has(RF_F_MASK_BOOL | RF_F_MASK_ADD)) mask();
    per_head();
    if (has(RF_F_KV_SCALES)) {
        scales('K', c.k_scale, p.k, p.k_scale, offsetof(rf_args, k_scale));
        scales('V', c.v_scale, p.v, p.v_scale, offsetof(rf_args, v_scale));
    }
    if (values) {
        fill_q();
        fill_kv('k', p.k, k_, c.k);
        fill_kv('v', p.v, v_, c.v);
        pokes();
    }
    results();
}

Materialised::Materialised(const Case& c, Placement placement) {
    Builder(c, placement, *this).build(true);
    seal();
    poison();
}

Materialised Materialised::without_values(const Case& c) {
    Materialised made;
    Builder(c, Placement::heap, made).build(false);
    return made;
}

void Materialised::seal() {
    input_hashes_.clear();
    for (const Span& span : spans_) input_hashes_.push_back(span.output ? 0 : hash_bytes(span.base, span.bytes));
}

void Materialised::poison() {
    for (const Span& span : spans_) {
        if (!span.output) continue;
        const std::uint32_t bits = poison_bits(span.type);
        for (std::int64_t n = 0; n < span.bytes; n += bytes_of(span.type))
            std::memcpy(span.base + n, &bits, static_cast<std::size_t>(bytes_of(span.type)));
    }
}

std::vector<bool> Materialised::live(const rf_tensor& t, std::int64_t elements) const {
    std::vector<bool> is_live(static_cast<std::size_t>(elements), false);
    for (std::int64_t b = 0; b < problem_.batch; ++b) {
        const Sequence s = sequence_of(problem_, args_, b);
        for (std::int64_t h = 0; h < t.shape[1]; ++h)
            for (std::int64_t i = 0; i < s.len_q; ++i)
                for (std::int64_t d = 0; d < t.shape[3]; ++d) {
                    const Place at = place_of_query(problem_, s, b, i);
                    is_live[static_cast<std::size_t>(offset_of(t, at.axis0, h, at.axis2, d))] = true;
                }
    }
    return is_live;
}

std::string Materialised::damage() const {
    for (const Buffer& buffer : buffers_)
        if (!buffer.guards_intact()) return std::string("memory before or behind ") + buffer.name() + " was written to";
    for (std::size_t n = 0; n < spans_.size(); ++n) {
        const Span& span = spans_[n];
        if (!span.output) {
            if (hash_bytes(span.base, span.bytes) != input_hashes_[n])
                return std::string(name_of_argument(span.args_offset)) + ", an input, was written to";
            continue;
        }
        const bool is_out = span.args_offset == offsetof(rf_args, out);
        const std::byte* data = static_cast<const std::byte*>(is_out ? args_.out : args_.lse);
        const std::int64_t shift = (data - span.base) / bytes_of(span.type), elements = span.bytes / bytes_of(span.type);
        const std::vector<bool> is_live = live(is_out ? problem_.out : problem_.lse, elements);
        for (std::int64_t n_elem = 0; n_elem < elements; ++n_elem) {
            if (n_elem >= shift && is_live[static_cast<std::size_t>(n_elem - shift)]) continue;
            if (!is_poison(span.type, span.base, n_elem))
                return std::string(is_out ? "out" : "lse") + ": element " + std::to_string(n_elem - shift) +
                       " belongs to no live row and was written to";
        }
    }
    return {};
}

std::string Materialised::unwritten() const {
    for (const Span& span : spans_) {
        if (!span.output) continue;
        const bool is_out = span.args_offset == offsetof(rf_args, out);
        const std::byte* data = static_cast<const std::byte*>(is_out ? args_.out : args_.lse);
        const std::vector<bool> is_live = live(is_out ? problem_.out : problem_.lse, span.bytes / bytes_of(span.type));
        for (std::size_t n = 0; n < is_live.size(); ++n)
            if (is_live[n] && is_poison(span.type, data, static_cast<std::int64_t>(n)))
                return std::string(is_out ? "out" : "lse") + ": element " + std::to_string(n) + " was never written";
    }
    return {};
}

}  // namespace rocforge::conformance
