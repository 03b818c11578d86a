#include "problem.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "status.hpp"

namespace rocforge::cli {
namespace {

constexpr std::uint32_t kBufferAlign = 256;

void add_mask(const Extents& extents, rf_problem& problem) {
    if (extents.mask.bits == 0) return;
    problem.features |= same(extents.mask, kBool) ? RF_F_MASK_BOOL : RF_F_MASK_ADD;
    problem.mask = dense_tensor(extents.mask, extents.batch, extents.head_q, extents.seq_q, extents.seq_kv, Layout::kBhsd);
}

void add_keys(const Extents& extents, rf_problem& problem) {
    std::int64_t batch = extents.batch, seq = extents.seq_kv;
    if (extents.page_size > 0) {
        problem.features |= RF_F_PAGED_KV | RF_F_KV_LENGTHS;
        problem.page_size = extents.page_size;
        problem.block_table_stride = divide_up(extents.seq_kv, extents.page_size);
        batch = multiply(extents.batch, problem.block_table_stride, "pages");
        seq = extents.page_size;
    } else if (extents.kv_lengths) {
        problem.features |= RF_F_KV_LENGTHS;
    } else if (extents.ragged) {
        problem.features |= RF_F_RAGGED_KV;
        seq = multiply(extents.batch, extents.seq_kv, "tokens of k");
        batch = 1;
    }
    const rf_dtype dtype = extents.kv_dtype.bits ? extents.kv_dtype : extents.dtype;
    problem.k = dense_tensor(dtype, batch, extents.head_kv, seq, extents.dim, extents.layout);
    problem.v = dense_tensor(dtype, batch, extents.head_kv, seq, extents.dim_v, extents.layout);
}

void add_scales(std::int64_t group, rf_problem& problem) {
    if (group == 0) return;
    problem.features |= RF_F_KV_SCALES;
    for (const auto& [scaled, scale] : {std::pair{&problem.k, &problem.k_scale}, {&problem.v, &problem.v_scale}}) {
        if (scaled->shape[3] % group != 0)
            throw Quit(Status::kUsage, fmt::format("scales for each {} elements: a dim of {} is no multiple of that", group, scaled->shape[3]));
        *scale = dense_tensor(kF32, scaled->shape[0], scaled->shape[1], scaled->shape[2], scaled->shape[3] / group, Layout::kBhsd);
    }
}

}  // namespace

std::int64_t multiply(std::int64_t a, std::int64_t b, const char* what) {
    std::int64_t product = 0;
    if (__builtin_mul_overflow(a, b, &product)) throw Quit(Status::kUsage, fmt::format("{}: {} x {} does not fit in 63 bits", what, a, b));
    return product;
}

rf_tensor dense_tensor(rf_dtype dtype, std::int64_t batch, std::int64_t head, std::int64_t seq, std::int64_t dim, Layout layout) {
    rf_tensor tensor{};
    tensor.dtype = dtype;
    tensor.align = kBufferAlign;
    const bool heads_inside = layout == Layout::kBshd;
    const std::int64_t inner = heads_inside ? head : seq, outer = heads_inside ? seq : head;
    // An extent of 0 must not hide that the strides overflow.
    const std::int64_t row = std::max<std::int64_t>(dim, 1), plane = multiply(row, std::max<std::int64_t>(inner, 1), "tensor");
    const std::int64_t item = multiply(plane, std::max<std::int64_t>(outer, 1), "tensor");
    multiply(multiply(item, std::max<std::int64_t>(batch, 1), "tensor"), element_bytes(dtype), "tensor in bytes");
    const std::int64_t shape[4] = {batch, head, seq, dim};
    const std::int64_t stride[4] = {item, heads_inside ? row : plane, heads_inside ? plane : row, 1};
    std::copy_n(shape, 4, tensor.shape);
    std::copy_n(stride, 4, tensor.stride);
    return tensor;
}

std::int64_t bytes_of(const rf_tensor& tensor) {
    std::int64_t product = element_bytes(tensor.dtype);
    for (const std::int64_t extent : tensor.shape) product *= extent;
    return product;
}

void apply_rules(const Rules& rules, rf_problem& problem) {
    const bool causal = rules.causal != Causal::kNone, bottom_right_rule = rules.causal == Causal::kBottomRight;
    const bool bottom_right = bottom_right_rule || rules.align == Diagonal::kBottomRight;
    if (causal && rules.align && (*rules.align == Diagonal::kBottomRight) != bottom_right_rule) {
        throw Quit(Status::kUsage, fmt::format("--causal {} and --align {} name different diagonals; --causal alone decides",
                                               bottom_right_rule ? "bottom-right" : "top-left", bottom_right_rule ? "top-left" : "bottom-right"));
    }
    if (causal) problem.features |= RF_F_CAUSAL;
    if (rules.window_left >= 0 || rules.window_right >= 0) problem.features |= RF_F_WINDOW;
    problem.window_left = rules.window_left;
    problem.window_right = rules.window_right;
    if (bottom_right && (problem.features & (RF_F_CAUSAL | RF_F_WINDOW | RF_F_ALIBI))) problem.features |= RF_F_BOTTOM_RIGHT;
    if (rules.scale) problem.scale = *rules.scale;
    if (rules.softcap > 0) problem.features |= RF_F_SOFTCAP;
    problem.softcap = rules.softcap;
    if (rules.dropout_p > 0) problem.features |= RF_F_DROPOUT;
    problem.dropout_p = rules.dropout_p;
    if (!rules.lse) return;
    problem.features |= RF_F_LSE;
    problem.lse = dense_tensor(kF32, problem.q.shape[0], problem.q.shape[1], problem.q.shape[2], 1, Layout::kBhsd);
}

double flops_of(const rf_problem& problem) {
    const double pairs = static_cast<double>(problem.batch) * static_cast<double>(problem.q.shape[1]) * static_cast<double>(problem.max_seq_q) *
                         static_cast<double>(problem.max_seq_kv);
    const double all = 2 * pairs * static_cast<double>(problem.q.shape[3] + problem.v.shape[3]);
    return problem.features & RF_F_CAUSAL ? all / 2 : all;
}

rf_problem problem_of(const Extents& extents, const Rules& rules) {
    rf_problem problem{};
    rocforge_problem_init(&problem);
    problem.batch = extents.batch;
    problem.max_seq_q = extents.seq_q;
    problem.max_seq_kv = extents.seq_kv;
    const std::int64_t batch = extents.ragged ? 1 : extents.batch;
    const std::int64_t tokens = extents.ragged ? multiply(extents.batch, extents.seq_q, "tokens of q") : extents.seq_q;
    if (extents.ragged) problem.features |= RF_F_RAGGED_Q;
    problem.q = dense_tensor(extents.dtype, batch, extents.head_q, tokens, extents.dim, extents.layout);
    problem.out =
        dense_tensor(extents.out_dtype.bits ? extents.out_dtype : extents.dtype, batch, extents.head_q, tokens, extents.dim_v, extents.layout);
    add_keys(extents, problem);
    add_scales(extents.scale_group, problem);
    add_mask(extents, problem);
    problem.diagonal = extents.diagonal;
    if (extents.deterministic) problem.features |= RF_F_DETERMINISTIC;
    if (extents.alibi) problem.features |= RF_F_ALIBI;
    if (extents.sink) problem.features |= RF_F_SINK;
    if (problem.features & kIndexFeatures) problem.index_dtype = kI32;
    apply_rules(rules, problem);
    return problem;
}

}  // namespace rocforge::cli
