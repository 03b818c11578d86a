#include "random_problem.h"

#include "storage.h"

#include <algorithm>
#include <iterator>

namespace rocforge::conformance {
namespace {

constexpr std::int64_t kFar = std::int64_t{1} << 40;

// Is the last element within what the core lets through?
bool addressable(const rf_tensor& t) {
    std::int64_t last = 0;
    for (int axis = 0; axis < 4; ++axis) {
        std::int64_t step = 0;
        if (t.shape[axis] == 0) return true;
        if (__builtin_mul_overflow(t.shape[axis] - 1, t.stride[axis], &step) || __builtin_add_overflow(last, step, &last)) return false;
    }
    return last < INT64_MAX / 16;
}

bool addressable(const rf_problem& p) {
    const rf_tensor* const all[] = {&p.q, &p.k, &p.v, &p.out, &p.mask, &p.lse, &p.k_scale, &p.v_scale};
    std::int64_t table = 0;
    if (__builtin_mul_overflow(p.batch, p.block_table_stride, &table) || table >= INT64_MAX / 16) return false;
    return std::all_of(std::begin(all), std::end(all), [](const rf_tensor* t) { return addressable(*t); });
}

}  // namespace

std::uint64_t RandomProblems::roll(std::uint64_t sides) {  // Knuth's MMIX generator; the high bits are the good ones
    state_ = state_ * 6364136223846793005ull + 1442695040888963407ull;
    return (state_ >> 33) % sides;
}

std::int64_t RandomProblems::extent() {
    if (one_in(2)) return static_cast<std::int64_t>(roll(300));
    return pick({0, 1, 2, 3, 63, 64, 65, 127, 128, 129, 1000, 4096, 4097, 65536, std::int64_t{1} << 31, (std::int64_t{1} << 31) + 1, kFar});
}

rf_dtype RandomProblems::float_type() {
    const rf_dtype types[] = {kF32, kF16, kBf16};
    return types[roll(std::size(types))];
}

rf_dtype RandomProblems::number_type() {
    const rf_dtype odd[] = {{RF_T_F8_E4M3FN, 8, 1}, {RF_T_F8_E5M2, 8, 1}, {RF_T_INT, 8, 1}, {RF_T_FLOAT, 64, 1}, {RF_T_F4_E2M1FN, 4, 1}, {99, 16, 1}};
    return one_in(5) ? odd[roll(std::size(odd))] : float_type();
}

rf_features RandomProblems::features() {
    constexpr rf_features kFree[] = {RF_F_CAUSAL,   RF_F_BOTTOM_RIGHT, RF_F_WINDOW,        RF_F_MASK_BOOL,  RF_F_MASK_ADD, RF_F_ALIBI,
                                     RF_F_SOFTCAP,  RF_F_SINK,         RF_F_LSE,           RF_F_KV_LENGTHS, RF_F_RAGGED_Q, RF_F_RAGGED_KV,
                                     RF_F_PAGED_KV, RF_F_DROPOUT,      RF_F_DETERMINISTIC, RF_F_KV_SCALES};
    rf_features bits = 0;
    for (const rf_features bit : kFree)
        if (may(bit) && one_in(4)) bits |= bit;
    if (bits & RF_F_MASK_BOOL) bits &= ~RF_F_MASK_ADD;
    if (bits & RF_F_PAGED_KV) bits = (bits | RF_F_KV_LENGTHS) & ~RF_F_RAGGED_KV;
    if (bits & RF_F_RAGGED_KV) bits &= ~RF_F_KV_LENGTHS;
    if (!(bits & (RF_F_CAUSAL | RF_F_WINDOW | RF_F_ALIBI))) bits &= ~RF_F_BOTTOM_RIGHT;
    return bits;
}

// Contiguous in one of two orders of axes, now and then with gaps; strides that overflow make it one that addressable() throws away.
rf_tensor RandomProblems::tensor(rf_dtype type, std::int64_t a0, std::int64_t a1, std::int64_t a2, std::int64_t a3) {
    rf_tensor t{type, static_cast<std::uint32_t>(pick({0, 0, 1, 2, 4, 16, 128, 256})), {a0, a1, a2, a3}, {0, 0, 0, 1}};
    const bool tokens_first = one_in(3);
    const int order[] = {3, tokens_first ? 1 : 2, tokens_first ? 2 : 1, 0};
    std::int64_t stride = 1;
    for (const int axis : order) {
        t.stride[axis] = axis == 3 ? 1 : stride;
        if (__builtin_mul_overflow(stride, std::max<std::int64_t>(t.shape[axis], 1), &stride)) stride = INT64_MAX / 2;
        if (one_in(8) && stride < kFar) stride += pick({1, 3, 8, 64});
    }
    return t;
}

void RandomProblems::lengths(rf_problem& p) {
    p.batch = one_in(4) ? extent() : static_cast<std::int64_t>(roll(9));
    p.max_seq_q = extent(), p.max_seq_kv = extent();
    if (p.features & (RF_F_KV_LENGTHS | RF_F_RAGGED_Q | RF_F_RAGGED_KV | RF_F_PAGED_KV)) p.index_dtype = one_in(2) ? kI32 : kI64;
    if (!(p.features & RF_F_PAGED_KV)) return;
    p.page_size = std::max<std::int64_t>(extent(), 1);
    p.block_table_stride = p.max_seq_kv / p.page_size + 1 + static_cast<std::int64_t>(roll(3));
}

void RandomProblems::tensors(rf_problem& p, std::int64_t head_q, std::int64_t head_kv) {
    const std::int64_t dim = one_in(8) ? std::max<std::int64_t>(extent(), 1) : pick({1, 7, 8, 16, 40, 64, 72, 128, 192, 256, 264, 512, 576});
    const std::int64_t dim_v = may(RF_F_DIM_V) && one_in(4) ? pick({1, 8, 24, 64, 128, 513}) : dim;
    const rf_dtype q = number_type(), k = may(RF_F_KV_DTYPE) && one_in(4) ? number_type() : q,
                   v = may(RF_F_KV_DTYPE) && one_in(4) ? number_type() : k;
    const rf_dtype out = may(RF_F_OUT_DTYPE) && one_in(4) ? number_type() : q;
    const bool ragged_q = p.features & RF_F_RAGGED_Q, ragged_kv = p.features & RF_F_RAGGED_KV, paged = p.features & RF_F_PAGED_KV;
    const std::int64_t q0 = ragged_q ? 1 : p.batch, q2 = ragged_q ? extent() : p.max_seq_q;
    const std::int64_t kv0 = ragged_kv ? 1 : paged ? extent() : p.batch, kv2 = ragged_kv ? extent() : paged ? p.page_size : p.max_seq_kv;
    p.q = tensor(q, q0, head_q, q2, dim), p.out = tensor(out, q0, head_q, q2, dim_v);
    p.k = tensor(k, kv0, head_kv, kv2, dim), p.v = tensor(v, kv0, head_kv, kv2, dim_v);
    if (one_in(8)) p.k.stride[0] = p.v.stride[0] = 0;  // one K and V for the whole batch
    if (p.features & RF_F_LSE) p.lse = tensor(kF32, q0, head_q, q2, 1);
    if (head_q != head_kv) p.features |= RF_F_GROUPED_HEADS;
    if (dim_v != dim) p.features |= RF_F_DIM_V;
    if (!same(k, q) || !same(v, q)) p.features |= RF_F_KV_DTYPE;
    if (!same(out, q)) p.features |= RF_F_OUT_DTYPE;
    if (!(p.features & RF_F_KV_SCALES)) return;
    const auto scale = [&](const rf_tensor& of) {
        return tensor(one_in(4) ? number_type() : kF32, of.shape[0], of.shape[1], of.shape[2], one_in(2) ? 1 : of.shape[3]);
    };
    p.k_scale = scale(p.k), p.v_scale = scale(p.v);
}

void RandomProblems::extras(rf_problem& p) {
    p.scale = static_cast<float>(pick({0, 1, -1, 30})) / 8;
    p.window_left = p.window_right = -1;
    if (p.features & RF_F_WINDOW) p.window_left = pick({-1, 0, 1, 63, 64, 5000, kFar}), p.window_right = pick({-1, 0, 1, 64, kFar});
    if (p.features & RF_F_SOFTCAP) p.softcap = static_cast<float>(pick({1, 30, 50000}));
    if (p.features & RF_F_DROPOUT) p.dropout_p = static_cast<float>(pick({1, 50, 99})) / 100;
    if (may(RF_F_DIAGONAL) && (p.features & (RF_F_CAUSAL | RF_F_WINDOW | RF_F_ALIBI)) && one_in(3)) {
        p.diagonal = pick({1, -1, 64, -5000, kFar, -kFar});
        p.features |= RF_F_DIAGONAL;
    }
    if (p.features & (RF_F_MASK_BOOL | RF_F_MASK_ADD)) {
        p.mask = tensor(p.features & RF_F_MASK_BOOL ? kBool : float_type(), p.batch, p.q.shape[1], p.max_seq_q, p.max_seq_kv);
        for (int axis = 0; axis < 4; ++axis)
            if (one_in(4)) p.mask.stride[axis] = 0;
    }
    p.workspace_limit_bytes = one_in(4) ? static_cast<std::uint64_t>(pick({0, 256, 1 << 20})) : UINT64_MAX;
}

rf_problem RandomProblems::attempt() {
    rf_problem p{};
    p.struct_size = sizeof p;
    p.features = features();
    lengths(p);
    const std::int64_t head_kv = one_in(6) ? std::max<std::int64_t>(extent(), 1) : 1 + static_cast<std::int64_t>(roll(8));
    const std::int64_t group = may(RF_F_GROUPED_HEADS) && head_kv < 65536 && one_in(2) ? pick({2, 3, 8, 71}) : 1;
    tensors(p, head_kv * group, head_kv);
    extras(p);
    return p;
}

rf_problem RandomProblems::next() {
    for (;;)
        if (const rf_problem p = attempt(); addressable(p)) return p;
}

}  // namespace rocforge::conformance
