// See limits.h.
#include "plugins/cpu/limits.h"

#include <string>

namespace rocforge::cpu {
namespace {

// A value with bounds.
struct Bound {
    const char* field;
    std::int32_t code;
    std::int64_t (*value)(const rf_problem&);
    std::int64_t least, most;
};
constexpr Bound kBounds[] = {
    {"q.shape[3]", RF_R_HEAD_DIM, [](const rf_problem& p) { return p.q.shape[3]; }, 1, kMaxDim},
    {"v.shape[3]", RF_R_HEAD_DIM, [](const rf_problem& p) { return p.v.shape[3]; }, 1, kMaxDim},
    {"batch", RF_R_SHAPE, [](const rf_problem& p) { return p.batch; }, 0, kMaxLength},
    {"q.shape[1]", RF_R_SHAPE, [](const rf_problem& p) { return p.q.shape[1]; }, 1, kMaxLength},
    {"k.shape[1]", RF_R_SHAPE, [](const rf_problem& p) { return p.k.shape[1]; }, 1, kMaxLength},
    {"max_seq_q", RF_R_SEQUENCE, [](const rf_problem& p) { return p.max_seq_q; }, 0, kMaxLength},
    {"max_seq_kv", RF_R_SEQUENCE, [](const rf_problem& p) { return p.max_seq_kv; }, 0, kMaxLength},
    {"page_size", RF_R_KV_LAYOUT, [](const rf_problem& p) { return p.features & RF_F_PAGED_KV ? p.page_size : 1; }, 1, kMaxLength},
};

// A tensor, the feature that it belongs to (0: always there) and the storage types that it may have.
enum Types : unsigned { kF32 = 1, kF16 = 2, kBF16 = 4, kByte = 8, kFloats = kF32 | kF16 | kBF16 };
struct Storage {
    const char* field;
    rf_tensor rf_problem::*tensor;
    rf_features feature;
    unsigned types;
    bool unit_stride;  // along dim
};
constexpr Storage kStorage[] = {
    {"q", &rf_problem::q, 0, kFloats, true},
    {"k", &rf_problem::k, 0, kFloats, true},
    {"v", &rf_problem::v, 0, kFloats, true},
    {"out", &rf_problem::out, 0, kFloats, true},
    {"mask", &rf_problem::mask, RF_F_MASK_BOOL, kByte, false},
    {"mask", &rf_problem::mask, RF_F_MASK_ADD, kFloats, false},
    {"lse", &rf_problem::lse, RF_F_LSE, kF32, false},
    {"k_scale", &rf_problem::k_scale, RF_F_KV_SCALES, kFloats, false},
    {"v_scale", &rf_problem::v_scale, RF_F_KV_SCALES, kFloats, false},
};

constexpr rf_features kIndexed = RF_F_KV_LENGTHS | RF_F_RAGGED_Q | RF_F_RAGGED_KV | RF_F_PAGED_KV;

unsigned types_of(const rf_dtype& dtype) {
    switch (type_of(dtype)) {
        case Type::f32:
            return kF32;
        case Type::f16:
            return kF16;
        case Type::bf16:
            return kBF16;
        case Type::boolean:
            return kByte;
        case Type::absent:
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

void check_storage(const rf_problem& problem, const Storage& storage, Reasons& reasons) {
    const rf_tensor& tensor = problem.*storage.tensor;
    if (storage.feature && !(problem.features & storage.feature)) return;
    if (storage.feature == RF_F_KV_SCALES && absent(tensor)) return;  // only one of the two may be scaled
    if (!(types_of(tensor.dtype) & storage.types)) {
        reasons.refuse(RF_R_DTYPE, std::string(storage.field) + ".dtype", name_of(tensor.dtype), names_of(storage.types),
                       "convert the tensor, or use another backend");
    }
    if (storage.unit_stride && tensor.stride[3] != 1 && tensor.shape[3] > 1) {
        reasons.refuse(RF_R_STRIDE, std::string(storage.field) + ".stride[3]", std::to_string(tensor.stride[3]), "1",
                       "copy the tensor with dim innermost");
    }
}

// A scale belongs to a whole group of elements of dim.
void check_groups(const char* field, const rf_tensor& scale, std::int64_t dim, Reasons& reasons) {
    if (absent(scale) || (scale.shape[3] > 0 && dim % scale.shape[3] == 0)) return;
    reasons.refuse(RF_R_SHAPE, std::string(field) + ".shape[3]", std::to_string(scale.shape[3]), "a divisor of " + std::to_string(dim));
}

}  // namespace

Type type_of(const rf_dtype& dtype) {
    if (dtype.lanes != 1) return Type::absent;
    if (dtype.code == RF_T_FLOAT && dtype.bits == 32) return Type::f32;
    if (dtype.code == RF_T_FLOAT && dtype.bits == 16) return Type::f16;
    if (dtype.code == RF_T_BFLOAT && dtype.bits == 16) return Type::bf16;
    if (dtype.code == RF_T_BOOL && dtype.bits == 8) return Type::boolean;
    return Type::absent;
}

void check_limits(const rf_problem& problem, Reasons& reasons) {
    for (const Bound& bound : kBounds) {
        const std::int64_t value = bound.value(problem);
        if (value >= bound.least && value <= bound.most) continue;
        reasons.refuse(bound.code, bound.field, std::to_string(value), std::to_string(bound.least) + ".." + std::to_string(bound.most));
        if (reasons.enough()) return;
    }
    for (const Storage& storage : kStorage) {
        check_storage(problem, storage, reasons);
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

}  // namespace rocforge::cpu
