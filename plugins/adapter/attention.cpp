// See attention.h.
#include "plugins/adapter/attention.h"

namespace rocforge::adapter {
namespace {

using kernels::Attention;
using kernels::Operand;
using kernels::Pointers;
using kernels::Type;

Operand operand_of(const rf_tensor& t, bool present = true) {
    if (!present) return {};
    return {type_of(t.dtype), t.stride[0], t.stride[1], t.stride[2], t.stride[3]};
}

std::int64_t scale_group(const Operand& scale, const rf_tensor& t, std::int64_t dim) { return scale.present() ? dim / t.shape[3] : 1; }

}  // namespace

Type type_of(const rf_dtype& dtype) {
    if (dtype.lanes != 1) return Type::absent;
    if (dtype.code == RF_T_FLOAT && dtype.bits == 32) return Type::f32;
    if (dtype.code == RF_T_FLOAT && dtype.bits == 16) return Type::f16;
    if (dtype.code == RF_T_BFLOAT && dtype.bits == 16) return Type::bf16;
    if (dtype.code == RF_T_BOOL && dtype.bits == 8) return Type::boolean;
    return Type::absent;
}

Attention attention_of(const rf_problem& p) {
    const auto has = [&](rf_features bits) { return (p.features & bits) != 0; };
    Attention a{.batch = p.batch,
                .head_q = p.q.shape[1],
                .head_kv = p.k.shape[1],
                .max_seq_q = p.max_seq_q,
                .max_seq_kv = p.max_seq_kv,
                .dim = p.q.shape[3],
                .dim_v = p.v.shape[3],
                .q_tokens = p.q.shape[2],
                .kv_tokens = p.k.shape[2],
                .page_size = p.page_size,
                .pages = p.k.shape[0],
                .block_table_stride = p.block_table_stride,
                .q = operand_of(p.q),
                .k = operand_of(p.k),
                .v = operand_of(p.v),
                .out = operand_of(p.out),
                .mask = operand_of(p.mask, has(RF_F_MASK_BOOL | RF_F_MASK_ADD)),
                .lse = operand_of(p.lse, has(RF_F_LSE)),
                .k_scale = operand_of(p.k_scale, has(RF_F_KV_SCALES)),
                .v_scale = operand_of(p.v_scale, has(RF_F_KV_SCALES)),
                .scale = p.scale,
                .causal = has(RF_F_CAUSAL),
                .bottom_right = has(RF_F_BOTTOM_RIGHT),
                .alibi = has(RF_F_ALIBI),
                .sink = has(RF_F_SINK),
                .dropout = has(RF_F_DROPOUT),
                .kv_lengths = has(RF_F_KV_LENGTHS),
                .ragged_q = has(RF_F_RAGGED_Q),
                .ragged_kv = has(RF_F_RAGGED_KV),
                .paged = has(RF_F_PAGED_KV),
                .wide_index = p.index_dtype.bits == 64};
    a.k_scale_group = scale_group(a.k_scale, p.k_scale, a.dim);
    a.v_scale_group = scale_group(a.v_scale, p.v_scale, a.dim_v);
    if (has(RF_F_WINDOW)) a.window_left = p.window_left, a.window_right = p.window_right;
    if (has(RF_F_DIAGONAL)) a.diagonal = p.diagonal;
    if (has(RF_F_SOFTCAP)) a.softcap = p.softcap;
    if (has(RF_F_DROPOUT)) a.dropout_p = p.dropout_p;
    return a;
}

Pointers pointers_of(const rf_args& args, float dropout_p) {
    return {.q = args.q,
            .k = args.k,
            .v = args.v,
            .out = args.out,
            .lse = static_cast<float*>(args.lse),
            .mask = args.mask,
            .alibi_slopes = static_cast<const float*>(args.alibi_slopes),
            .sink = static_cast<const float*>(args.sink),
            .kv_lengths = args.kv_lengths,
            .cu_seqlens_q = args.cu_seqlens_q,
            .cu_seqlens_kv = args.cu_seqlens_kv,
            .block_table = args.block_table,
            .k_scale = args.k_scale,
            .v_scale = args.v_scale,
            .dropout = {args.dropout_seed, args.dropout_offset, kernels::Dropout::threshold_of(dropout_p)}};
}

}  // namespace rocforge::adapter
