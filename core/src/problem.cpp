#include "problem.hpp"

#include <rocforge/plugin.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

namespace rocforge {
namespace {

constexpr std::int64_t kFar = std::int64_t{1} << 40;  // i + diagonal + len_kv - len_q and every window bound stay far from overflow
constexpr std::int64_t kMostExtent = std::int64_t{1} << 40;

constexpr std::array<const char*, 21> kFeatureNames{"causal",  "bottom_right",  "window",     "grouped_heads", "mask_bool", "mask_add", "alibi",
                                                    "softcap", "sink",          "kv_lengths", "ragged_q",      "paged_kv",  "lse",      "dim_v",
                                                    "dropout", "deterministic", "kv_dtype",   "kv_scales",     "ragged_kv", "diagonal", "out_dtype"};

struct Wrong {
    std::string what;
};

// The arguments are made on every call: numbers, literals and views, never texts.
template <class... Args> void demand(bool good, fmt::format_string<Args...> text, Args&&... args) {
    if (!good) throw Wrong{fmt::format(text, std::forward<Args>(args)...)};
}

bool same(rf_dtype a, rf_dtype b) { return a.code == b.code && a.bits == b.bits && a.lanes == b.lanes; }
bool absent(const rf_tensor& t) { return t.dtype.code == 0 && t.dtype.bits == 0 && t.dtype.lanes == 0; }
// Four extents or strides for "[{}]".
auto four(const std::int64_t* axes) { return fmt::join(axes, axes + 4, ", "); }

// The furthest element must be addressable.
void check_reach(const rf_tensor& t, const char* name) {
    std::int64_t last = 0;
    for (int axis = 0; axis < 4; ++axis) {
        std::int64_t step = 0;
        if (t.shape[axis] == 0) return;
        const bool over = __builtin_mul_overflow(t.shape[axis] - 1, t.stride[axis], &step) || __builtin_add_overflow(last, step, &last);
        demand(!over && last < INT64_MAX / 16, "{} with shape [{}] and strides [{}] reaches beyond 2^59 elements", name, four(t.shape),
               four(t.stride));
    }
}

void check_tensor(const rf_tensor& t, const char* name) {
    demand(!absent(t), "{} has no dtype", name);
    demand(t.dtype.lanes == 1, "{}.dtype.lanes is {}, wanted 1", name, t.dtype.lanes);
    demand(t.align == 0 || (std::has_single_bit(t.align) && t.align <= 256), "{}.align is {}, wanted 0 or a power of two up to 256", name, t.align);
    for (int axis = 0; axis < 4; ++axis) {
        demand(t.shape[axis] >= 0 && t.shape[axis] <= kMostExtent, "{}.shape[{}] is {}, wanted 0..2^40", name, axis, t.shape[axis]);
        demand(t.stride[axis] >= 0, "{}.stride[{}] is {}, wanted 0 or more", name, axis, t.stride[axis]);
    }
    check_reach(t, name);
}

void check_shape(const rf_tensor& t, const char* name, std::array<std::int64_t, 4> wanted, const char* axes) {
    demand(std::equal(wanted.begin(), wanted.end(), t.shape), "{} has shape [{}], wanted {} [{}]", name, four(t.shape), axes, four(wanted.data()));
}

void check_unit_stride(rf_tensor& t, const char* name) {
    if (t.shape[3] <= 1) t.stride[3] = 1;
    demand(t.stride[3] == 1, "{}.stride[3] is {}, wanted 1: elements of a head lie together", name, t.stride[3]);
}

// Two indices never name one element: with axes sorted by stride, each steps over all that the smaller ones reach.
void check_no_overlap(const rf_tensor& t, const char* name) {
    std::array<int, 4> axes{0, 1, 2, 3};
    std::sort(axes.begin(), axes.end(), [&](int a, int b) { return t.stride[a] < t.stride[b]; });
    std::int64_t reach = 0;
    for (const int axis : axes) {
        if (t.shape[axis] == 0) return;
        if (t.shape[axis] == 1) continue;
        demand(t.stride[axis] > reach, "{} with shape [{}] and strides [{}] writes one element twice", name, four(t.shape), four(t.stride));
        reach += (t.shape[axis] - 1) * t.stride[axis];
    }
}

// An axis of 1 becomes the full extent with stride 0.
void broadcast_axis(rf_tensor& t, int axis, std::int64_t full, const char* name) {
    if (t.shape[axis] == full) return;
    demand(t.shape[axis] == 1, "{}.shape[{}] is {}, wanted 1 or {}", name, axis, t.shape[axis], full);
    t.shape[axis] = full;
    t.stride[axis] = 0;
}

class Completer {
public:
    explicit Completer(const rf_problem& from) : p_(from) {}

    rf_problem complete() {
        demand(p_.reserved == 0, "reserved is {}, wanted 0", p_.reserved);
        extents();
        heads();
        tensors();
        lengths();
        parameters();
        masks();
        scales();
        derived();
        return p_;
    }

private:
    bool has(rf_features bit) const { return (p_.features & bit) != 0; }
    void set(rf_features bit, bool on) { p_.features = on ? p_.features | bit : p_.features & ~bit; }

    // A field that belongs to a feature is at rest where the feature is off, so that nothing asked for is lost without a word.
    void belongs(bool at_rest, rf_features bit, const char* field) const {
        demand(has(bit) || at_rest, "{} is set but the feature {} is not", field, kFeatureNames[static_cast<std::size_t>(std::countr_zero(bit))]);
    }

    void extents() const {
        for (const auto& [name, value] : {std::pair{"batch", p_.batch}, {"max_seq_q", p_.max_seq_q}, {"max_seq_kv", p_.max_seq_kv}})
            demand(value >= 0 && value <= kMostExtent, "{} is {}, wanted 0..2^40", name, value);
    }

    void heads() {
        for (auto [tensor, name] : {std::pair{&p_.q, "q"}, {&p_.k, "k"}, {&p_.v, "v"}, {&p_.out, "out"}}) {
            check_tensor(*tensor, name);
            check_unit_stride(*tensor, name);
        }
        demand(p_.q.shape[3] > 0, "dim (q.shape[3]) is 0");
        demand(p_.v.shape[3] > 0, "dim_v (v.shape[3]) is 0");
        demand(p_.q.shape[1] > 0, "head_q (q.shape[1]) is 0");
        demand(p_.k.shape[1] > 0, "head_kv (k.shape[1]) is 0");
        demand(p_.q.shape[1] % p_.k.shape[1] == 0, "head_q ({}) is not a multiple of head_kv ({})", p_.q.shape[1], p_.k.shape[1]);
        demand(p_.k.shape[3] == p_.q.shape[3], "k.shape[3] is {}, q.shape[3] {}: both are dim", p_.k.shape[3], p_.q.shape[3]);
    }

    void tensors() const {
        const bool ragged_q = has(RF_F_RAGGED_Q), ragged_kv = has(RF_F_RAGGED_KV), paged = has(RF_F_PAGED_KV);
        const std::int64_t tokens_q = ragged_q ? p_.q.shape[2] : p_.max_seq_q, batch_q = ragged_q ? 1 : p_.batch;
        const std::int64_t head_q = p_.q.shape[1], head_kv = p_.k.shape[1], dim = p_.q.shape[3], dim_v = p_.v.shape[3];
        check_shape(p_.q, "q", {batch_q, head_q, tokens_q, dim}, ragged_q ? "[1, head_q, tokens, dim]" : "[batch, head_q, seq_q, dim]");
        check_shape(p_.out, "out", {batch_q, head_q, tokens_q, dim_v}, ragged_q ? "[1, head_q, tokens, dim_v]" : "[batch, head_q, seq_q, dim_v]");
        check_no_overlap(p_.out, "out");
        demand(!(paged && ragged_kv), "paged_kv and ragged_kv exclude each other");
        const std::int64_t batch_kv = paged ? p_.k.shape[0] : ragged_kv ? 1 : p_.batch;
        const std::int64_t tokens_kv = paged ? p_.page_size : ragged_kv ? p_.k.shape[2] : p_.max_seq_kv;
        const char* axes = paged ? "[pages, head_kv, page_size, .]" : ragged_kv ? "[1, head_kv, tokens, .]" : "[batch, head_kv, seq_kv, .]";
        check_shape(p_.k, "k", {batch_kv, head_kv, tokens_kv, dim}, axes);
        check_shape(p_.v, "v", {batch_kv, head_kv, tokens_kv, dim_v}, axes);
        if (!has(RF_F_LSE)) return belongs(absent(p_.lse), RF_F_LSE, "lse");
        check_tensor(p_.lse, "lse");
        if (!same(p_.lse.dtype, {RF_T_FLOAT, 32, 1})) throw Wrong{fmt::format("lse.dtype is {}, wanted f32", dtype_name(p_.lse.dtype))};
        check_shape(p_.lse, "lse", {batch_q, head_q, tokens_q, 1}, "[batch, head_q, seq_q, 1]");
        check_no_overlap(p_.lse, "lse");
    }

    void lengths() const {
        const bool paged = has(RF_F_PAGED_KV);
        demand(!paged || has(RF_F_KV_LENGTHS), "paged_kv needs kv_lengths");
        demand(!(has(RF_F_RAGGED_KV) && has(RF_F_KV_LENGTHS)), "ragged_kv and kv_lengths exclude each other");
        demand(!paged || p_.page_size > 0, "page_size is {}, wanted 1 or more", p_.page_size);
        const std::int64_t pages_a_row = paged ? (p_.max_seq_kv + p_.page_size - 1) / p_.page_size : 0;
        demand(!paged || p_.block_table_stride >= pages_a_row, "block_table_stride is {}, wanted {} (max_seq_kv {} / page_size {}) or more",
               p_.block_table_stride, pages_a_row, p_.max_seq_kv, p_.page_size);
        std::int64_t table = 0;
        demand(!paged || (!__builtin_mul_overflow(p_.block_table_stride, std::max<std::int64_t>(p_.batch, 1), &table) && table < INT64_MAX / 16),
               "block_table with {} rows of {} reaches beyond 2^59 elements", p_.batch, p_.block_table_stride);
        belongs(p_.page_size == 0, RF_F_PAGED_KV, "page_size");
        belongs(p_.block_table_stride == 0, RF_F_PAGED_KV, "block_table_stride");
        const bool indexed = has(RF_F_KV_LENGTHS | RF_F_RAGGED_Q | RF_F_RAGGED_KV);
        const bool known = same(p_.index_dtype, {RF_T_INT, 32, 1}) || same(p_.index_dtype, {RF_T_INT, 64, 1});
        if (indexed && !known) throw Wrong{fmt::format("index_dtype is {}, wanted i32 or i64", dtype_name(p_.index_dtype))};
    }

    void parameters() {
        if (std::isnan(p_.scale)) p_.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(p_.q.shape[3])));
        demand(std::isfinite(p_.scale), "scale is {}, wanted a finite number, or NaN for 1/sqrt(dim)", p_.scale);
        belongs(p_.softcap == 0, RF_F_SOFTCAP, "softcap");
        demand(p_.softcap >= 0 && std::isfinite(p_.softcap), "softcap is {}, wanted 0 (off) or a positive number", p_.softcap);
        belongs(p_.dropout_p == 0, RF_F_DROPOUT, "dropout_p");
        demand(p_.dropout_p >= 0 && p_.dropout_p < 1, "dropout_p is {}, wanted 0 or more and below 1", p_.dropout_p);
        for (auto [value, name] : {std::pair{&p_.window_left, "window_left"}, {&p_.window_right, "window_right"}}) {
            demand(*value >= -1, "{} is {}, wanted -1 (unlimited) or more", name, *value);
            belongs(*value == -1, RF_F_WINDOW, name);
            if (*value > kFar) *value = -1;  // no key is further away
        }
        demand(p_.diagonal >= -kFar && p_.diagonal <= kFar, "diagonal is {}, wanted -2^40..2^40", p_.diagonal);
    }

    void masks() {
        demand(!(has(RF_F_MASK_BOOL) && has(RF_F_MASK_ADD)), "mask_bool and mask_add exclude each other");
        if (!has(RF_F_MASK_BOOL | RF_F_MASK_ADD)) return belongs(absent(p_.mask), RF_F_MASK_BOOL, "mask");
        check_tensor(p_.mask, "mask");
        const std::string type = dtype_name(p_.mask.dtype);
        if (has(RF_F_MASK_BOOL))
            demand(type == "bool", "mask.dtype is {}, wanted bool for mask_bool", type);
        else
            demand(type == "f32" || type == "f16" || type == "bf16", "mask.dtype is {}, wanted f32, f16 or bf16 for mask_add", type);
        const std::array<std::int64_t, 4> full{p_.batch, p_.q.shape[1], p_.max_seq_q, p_.max_seq_kv};
        for (int axis = 0; axis < 4; ++axis) broadcast_axis(p_.mask, axis, full[static_cast<std::size_t>(axis)], "mask");
        check_reach(p_.mask, "mask");
    }

    void scales() {
        for (auto [scale, of, name] : {std::tuple{&p_.k_scale, &p_.k, "k_scale"}, {&p_.v_scale, &p_.v, "v_scale"}}) {
            if (!has(RF_F_KV_SCALES)) {
                belongs(absent(*scale), RF_F_KV_SCALES, name);
                continue;
            }
            check_tensor(*scale, name);
            for (int axis = 0; axis < 3; ++axis) broadcast_axis(*scale, axis, of->shape[axis], name);
            demand(scale->shape[3] > 0 && of->shape[3] % scale->shape[3] == 0, "{}.shape[3] is {}, wanted a divisor of {}", name, scale->shape[3],
                   of->shape[3]);
            check_reach(*scale, name);
        }
    }

    void derived() {
        set(RF_F_GROUPED_HEADS, p_.q.shape[1] != p_.k.shape[1]);
        set(RF_F_DIM_V, p_.q.shape[3] != p_.v.shape[3]);
        set(RF_F_KV_DTYPE, !same(p_.k.dtype, p_.q.dtype) || !same(p_.v.dtype, p_.q.dtype));
        set(RF_F_OUT_DTYPE, !same(p_.out.dtype, p_.q.dtype));
        set(RF_F_DIAGONAL, p_.diagonal != 0);
        // What is asked for but changes nothing needs no backend that can do it.
        set(RF_F_WINDOW, has(RF_F_WINDOW) && (p_.window_left >= 0 || p_.window_right >= 0));
        set(RF_F_SOFTCAP, p_.softcap > 0);
        set(RF_F_DROPOUT, p_.dropout_p > 0);
    }

    rf_problem p_;
};

}  // namespace

Result<rf_problem> complete_problem(const rf_problem& from_caller) {
    if (!RF_HAS(&from_caller, workspace_limit_bytes))
        return Error{RF_INVALID, fmt::format("problem: struct_size is {}, wanted {}; rocforge_problem_init sets it", from_caller.struct_size,
                                             sizeof(rf_problem))};
    try {
        return Completer(sized_copy(&from_caller)).complete();
    } catch (const Wrong& wrong) { return Error{RF_INVALID, "problem: " + wrong.what}; }
}

const char* feature_name(std::uint32_t bit) { return bit < kFeatureNames.size() ? kFeatureNames[bit] : nullptr; }

std::vector<std::string> feature_names(rf_features features) {
    std::vector<std::string> out;
    for (std::uint32_t bit = 0; bit < 64; ++bit)
        if (features >> bit & 1) out.push_back(feature_name(bit) ? feature_name(bit) : fmt::format("bit {}", bit));
    return out;
}

}  // namespace rocforge
