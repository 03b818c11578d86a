// See limits.h.
#include "plugins/adapter/limits.h"

#include <utility>

#include "plugins/adapter/attention.h"

namespace rocforge::adapter {
namespace {

// INT64_MAX where it overflows. What is negative is refused by itself and counts as 0.
std::int64_t product(std::int64_t a, std::int64_t b) {
    std::int64_t result = 0;
    if (a <= 0 || b <= 0) return 0;
    return __builtin_mul_overflow(a, b, &result) ? INT64_MAX : result;
}
std::int64_t group_rows(const rf_problem& p) { return product(p.k.shape[1] > 0 ? p.q.shape[1] / p.k.shape[1] : 0, p.max_seq_q); }
std::int64_t all_rows(const rf_problem& p) { return product(product(p.batch, p.q.shape[1]), p.max_seq_q); }

// Elements from one key to the next; 0 where there is no next.
std::int64_t kv_stride(const rf_tensor& tensor) { return tensor.shape[2] > 1 ? tensor.stride[2] : 0; }

// A number of the problem, between `least` (dims: dim_multiple) and the backend's limit.
struct Bound {
    const char* field;
    std::int32_t code;
    std::int64_t (*value)(const rf_problem&);
    std::int64_t least;
    std::int64_t Limits::*most;
};
constexpr Bound kBounds[] = {
    {"q.shape[3]", RF_R_HEAD_DIM, [](const rf_problem& p) { return p.q.shape[3]; }, 1, &Limits::max_dim},
    {"v.shape[3]", RF_R_HEAD_DIM, [](const rf_problem& p) { return p.v.shape[3]; }, 1, &Limits::max_dim_v},
    {"batch", RF_R_SHAPE, [](const rf_problem& p) { return p.batch; }, 0, &Limits::max_batch},
    {"q.shape[1]", RF_R_SHAPE, [](const rf_problem& p) { return p.q.shape[1]; }, 1, &Limits::max_heads},
    {"k.shape[1]", RF_R_SHAPE, [](const rf_problem& p) { return p.k.shape[1]; }, 1, &Limits::max_heads},
    {"max_seq_q", RF_R_SEQUENCE, [](const rf_problem& p) { return p.max_seq_q; }, 0, &Limits::max_seq},
    {"max_seq_kv", RF_R_SEQUENCE, [](const rf_problem& p) { return p.max_seq_kv; }, 0, &Limits::max_seq},
    {"batch * q.shape[1] * max_seq_q", RF_R_SHAPE, all_rows, 0, &Limits::max_rows},
    {"q.shape[1] / k.shape[1] * max_seq_q", RF_R_SEQUENCE, group_rows, 0, &Limits::max_group_rows},
    {"k.stride[2]", RF_R_STRIDE, [](const rf_problem& p) { return kv_stride(p.k); }, 0, &Limits::max_kv_stride},
    {"v.stride[2]", RF_R_STRIDE, [](const rf_problem& p) { return kv_stride(p.v); }, 0, &Limits::max_kv_stride},
    {"page_size", RF_R_KV_LAYOUT, [](const rf_problem& p) { return p.features & RF_F_PAGED_KV ? p.page_size : 1; }, 1, &Limits::max_page},
};

// A tensor, the feature that it belongs to (0: always there) and the storage types that it may have (0: the backend's).
struct Storage {
    const char* field;
    rf_tensor rf_problem::*tensor;
    rf_features feature;
    unsigned types;
};
constexpr Storage kStorage[] = {
    {"q", &rf_problem::q, 0, 0},
    {"k", &rf_problem::k, 0, 0},
    {"v", &rf_problem::v, 0, 0},
    {"out", &rf_problem::out, 0, 0},
    {"mask", &rf_problem::mask, RF_F_MASK_BOOL, kByte},
    {"mask", &rf_problem::mask, RF_F_MASK_ADD, kFloats},
    {"lse", &rf_problem::lse, RF_F_LSE, kF32},
    {"k_scale", &rf_problem::k_scale, RF_F_KV_SCALES, kFloats},
    {"v_scale", &rf_problem::v_scale, RF_F_KV_SCALES, kFloats},
};

constexpr rf_features kIndexed = RF_F_KV_LENGTHS | RF_F_RAGGED_Q | RF_F_RAGGED_KV | RF_F_PAGED_KV;

unsigned types_of(const rf_dtype& dtype) {
    switch (type_of(dtype)) {
        case kernels::Type::f32:
            return kF32;
        case kernels::Type::f16:
            return kF16;
        case kernels::Type::bf16:
            return kBF16;
        case kernels::Type::boolean:
            return kByte;
        case kernels::Type::absent:
            break;
    }
    return 0;
}

std::string names_of(unsigned types) {
    std::string names;
    const auto add = [&](unsigned bit, const char* name) {
        if (types & bit) names += (names.empty() ? "" : ", ") + std::string(name);
    };
    add(kF32, "f32");
    add(kF16, "f16");
    add(kBF16, "bf16");
    add(kByte, "bool (one byte)");
    return names;
}

std::string name_of(const rf_dtype& dtype) {
    if (const unsigned types = types_of(dtype)) return names_of(types);
    return "type code " + std::to_string(dtype.code) + ", " + std::to_string(dtype.bits) + " bits, " + std::to_string(dtype.lanes) + " lanes";
}

bool absent(const rf_tensor& tensor) { return tensor.dtype.code == 0 && tensor.dtype.bits == 0 && tensor.dtype.lanes == 0; }

void check_bound(const Limits& limits, const Bound& bound, const rf_problem& problem, Reasons& reasons) {
    const bool dim = bound.code == RF_R_HEAD_DIM;
    const std::int64_t value = bound.value(problem), multiple = dim ? limits.dim_multiple : 1;
    const std::int64_t least = dim ? limits.dim_multiple : bound.least, most = limits.*bound.most;
    if (value >= least && value <= most && value % multiple == 0) return;
    std::string need = std::to_string(least) + ".." + std::to_string(most);
    if (multiple > 1) need += ", a multiple of " + std::to_string(multiple);
    reasons.refuse(bound.code, bound.field, std::to_string(value), need, limits.hint);
}

void check_unit_stride(const char* field, const rf_tensor& tensor, Reasons& reasons) {
    if (tensor.stride[3] != 1 && tensor.shape[3] > 1) {
        reasons.refuse(RF_R_STRIDE, std::string(field) + ".stride[3]", std::to_string(tensor.stride[3]), "1", "copy the tensor with dim innermost");
    }
}

void check_rows(const Limits& limits, const char* field, const rf_tensor& tensor, Reasons& reasons) {
    if (tensor.align < limits.row_bytes) {
        const std::string have = tensor.align ? std::to_string(tensor.align) : "one element";
        reasons.refuse(RF_R_ALIGN, std::string(field) + ".align", have, std::to_string(limits.row_bytes) + " bytes or more",
                       "align the pointer and promise it in align");
    }
    const std::int64_t multiple = limits.row_bytes * 8 / tensor.dtype.bits;
    for (int axis = 0; axis < 3; ++axis) {
        if (tensor.shape[axis] <= 1 || tensor.stride[axis] % multiple == 0) continue;
        reasons.refuse(RF_R_STRIDE, std::string(field) + ".stride[" + std::to_string(axis) + "]", std::to_string(tensor.stride[axis]),
                       "a multiple of " + std::to_string(multiple) + ": rows begin at multiples of " + std::to_string(limits.row_bytes) + " bytes",
                       limits.hint);
    }
}

void check_storage(const Limits& limits, const Storage& storage, const rf_problem& problem, Reasons& reasons) {
    const rf_tensor& tensor = problem.*storage.tensor;
    if (storage.feature && !(problem.features & storage.feature)) return;
    if (storage.feature == RF_F_KV_SCALES && absent(tensor)) return;  // only one of the two may be scaled
    const bool rows = storage.types == 0;
    const unsigned types = rows ? limits.types : storage.types;
    const bool readable = (types_of(tensor.dtype) & types) != 0;
    if (!readable) {
        const char* hint = rows && *limits.type_hint ? limits.type_hint : "convert the tensor, or use another backend";
        reasons.refuse(RF_R_DTYPE, std::string(storage.field) + ".dtype", name_of(tensor.dtype), names_of(types), hint);
    }
    if (rows) check_unit_stride(storage.field, tensor, reasons);
    if (rows && readable && limits.row_bytes > 1) check_rows(limits, storage.field, tensor, reasons);
}

// A scale belongs to a whole group of elements of dim.
void check_groups(const char* field, const rf_tensor& scale, std::int64_t dim, Reasons& reasons) {
    if (absent(scale) || (scale.shape[3] > 0 && dim % scale.shape[3] == 0)) return;
    reasons.refuse(RF_R_SHAPE, std::string(field) + ".shape[3]", std::to_string(scale.shape[3]), "a divisor of " + std::to_string(dim));
}

}  // namespace

void check(const Limits& limits, const rf_problem& problem, Reasons& reasons) {
    for (const Bound& bound : kBounds) {
        check_bound(limits, bound, problem, reasons);
        if (reasons.enough()) return;
    }
    for (const Storage& storage : kStorage) {
        check_storage(limits, storage, problem, reasons);
        if (reasons.enough()) return;
    }
    if ((problem.features & kIndexed) &&
        (problem.index_dtype.code != RF_T_INT || (problem.index_dtype.bits != 32 && problem.index_dtype.bits != 64))) {
        reasons.refuse(RF_R_DTYPE, "index_dtype", name_of(problem.index_dtype), "i32, i64");
    }
    if (problem.features & RF_F_KV_SCALES) {
        check_groups("k_scale", problem.k_scale, problem.q.shape[3], reasons);
        check_groups("v_scale", problem.v_scale, problem.v.shape[3], reasons);
    }
    if (problem.k.shape[1] > 0 && problem.q.shape[1] % problem.k.shape[1] != 0) {
        reasons.refuse(RF_R_SHAPE, "q.shape[1]", std::to_string(problem.q.shape[1]),
                       "a multiple of " + std::to_string(problem.k.shape[1]) + " kv heads");
    }
}

void FirstRefusal::report(void* self, const rf_reason* reason) {
    std::string& text = static_cast<FirstRefusal*>(self)->text;
    if (text.empty()) text = std::string(reason->field) + " is " + reason->have + "; need " + reason->need;
}

rf_code kv_layout(const Limits& limits, const rf_problem& problem, std::uint32_t index, rf_kv_layout& out) {
    if (index > 1) return RF_NOT_FOUND;
    const bool paged = (problem.features & RF_F_PAGED_KV) != 0;
    out = {.struct_size = out.struct_size,
           .kind = paged ? std::uint32_t{RF_KV_PAGED} : std::uint32_t{RF_KV_CONTIGUOUS},
           .page_min = paged ? 1 : 0,
           .page_max = paged ? limits.max_page : 0,
           .page_multiple = paged ? 1 : 0,
           .align = limits.row_bytes,
           .order = {0, 1, 2, 3}};
    if (index == 1) std::swap(out.order[1], out.order[2]);  // tokens before heads: rows of a head lie apart, so less of them is fetched ahead
    return RF_OK;
}

}  // namespace rocforge::adapter
