// plugin.h's problems and arguments as the kernels' own structs: each field arrives, and one whose feature is off does not.
#include <doctest/doctest.h>

#include <cstdint>

#include "conformance/materialise.h"
#include "plugins/adapter/attention.h"

using namespace rocforge;
using kernels::Type;

namespace {

constexpr rf_dtype kByte{RF_T_BOOL, 8, 1}, kWide{RF_T_INT, 64, 1};

// Every number differs from every other, so that none can stand in another's place.
rf_problem numbered() {
    rf_problem p{};
    p.struct_size = sizeof p;
    p.batch = 2, p.max_seq_q = 3, p.max_seq_kv = 5, p.page_size = 7, p.block_table_stride = 11;
    p.q = {conformance::kF16, 0, {13, 12, 17, 24}, {101, 102, 103, 104}};
    p.k = {conformance::kBf16, 0, {19, 6, 23, 24}, {105, 106, 107, 108}};
    p.v = {conformance::kF32, 0, {19, 6, 23, 32}, {109, 110, 111, 112}};
    p.out = {conformance::kF32, 0, {13, 12, 17, 32}, {113, 114, 115, 116}};
    p.mask = {kByte, 0, {2, 12, 3, 5}, {117, 118, 119, 120}};
    p.lse = {conformance::kF32, 0, {2, 12, 3, 1}, {121, 122, 123, 124}};
    p.k_scale = {conformance::kF32, 0, {2, 6, 5, 3}, {125, 126, 127, 128}};
    p.v_scale = {conformance::kF32, 0, {2, 6, 5, 2}, {129, 130, 131, 132}};
    p.index_dtype = kWide;
    p.scale = 0.5f, p.softcap = 29.0f, p.dropout_p = 0.25f;
    p.window_left = 31, p.window_right = 37, p.diagonal = 41;
    return p;
}

void check_operand(const kernels::Operand& operand, const rf_tensor& tensor, Type type) {
    CHECK(operand.type == type);
    CHECK(operand.batch == tensor.stride[0]);
    CHECK(operand.head == tensor.stride[1]);
    CHECK(operand.sequence == tensor.stride[2]);
    CHECK(operand.last == tensor.stride[3]);
}

}  // namespace

TEST_CASE("a problem's geometry arrives field by field") {
    rf_problem p = numbered();
    p.features = RF_F_CAUSAL | RF_F_BOTTOM_RIGHT | RF_F_WINDOW | RF_F_MASK_BOOL | RF_F_ALIBI | RF_F_SOFTCAP | RF_F_SINK | RF_F_KV_LENGTHS |
                 RF_F_RAGGED_Q | RF_F_PAGED_KV | RF_F_LSE | RF_F_DROPOUT | RF_F_KV_SCALES | RF_F_DIAGONAL | RF_F_RAGGED_KV;
    const kernels::Attention a = adapter::attention_of(p);
    CHECK(a.batch == 2);
    CHECK(a.head_q == 12);
    CHECK(a.head_kv == 6);
    CHECK(a.max_seq_q == 3);
    CHECK(a.max_seq_kv == 5);
    CHECK(a.dim == 24);
    CHECK(a.dim_v == 32);
    CHECK(a.q_tokens == 17);
    CHECK(a.kv_tokens == 23);
    CHECK(a.page_size == 7);
    CHECK(a.pages == 19);
    CHECK(a.block_table_stride == 11);
    check_operand(a.q, p.q, Type::f16);
    check_operand(a.k, p.k, Type::bf16);
    check_operand(a.v, p.v, Type::f32);
    check_operand(a.out, p.out, Type::f32);
    check_operand(a.mask, p.mask, Type::boolean);
    check_operand(a.lse, p.lse, Type::f32);
    check_operand(a.k_scale, p.k_scale, Type::f32);
    check_operand(a.v_scale, p.v_scale, Type::f32);
    CHECK(a.k_scale_group == 8);
    CHECK(a.v_scale_group == 16);
    CHECK(a.window_left == 31);
    CHECK(a.window_right == 37);
    CHECK(a.diagonal == 41);
    CHECK(a.scale == 0.5f);
    CHECK(a.softcap == 29.0f);
    CHECK(a.dropout_p == 0.25f);
    for (const bool on : {a.causal, a.bottom_right, a.alibi, a.sink, a.dropout, a.kv_lengths, a.ragged_q, a.ragged_kv, a.paged, a.wide_index})
        CHECK(on);
}

TEST_CASE("what belongs to a feature that is off stays at its default") {
    rf_problem p = numbered();
    p.index_dtype = {};
    const kernels::Attention a = adapter::attention_of(p);
    for (const kernels::Operand* absent : {&a.mask, &a.lse, &a.k_scale, &a.v_scale}) CHECK_FALSE(absent->present());
    CHECK(a.window_left == -1);
    CHECK(a.window_right == -1);
    CHECK(a.diagonal == 0);
    CHECK(a.softcap == 0);
    CHECK(a.dropout_p == 0);
    CHECK(a.k_scale_group == 1);
    for (const bool on : {a.causal, a.bottom_right, a.alibi, a.sink, a.dropout, a.kv_lengths, a.ragged_q, a.ragged_kv, a.paged, a.wide_index})
        CHECK_FALSE(on);
}

TEST_CASE("the pointers of a call arrive one by one") {
    rf_args args{};
    args.struct_size = sizeof args;
    std::uintptr_t next = 16;
    const auto pointer = [&] { return reinterpret_cast<void*>(next += 16); };
    args.q = pointer(), args.k = pointer(), args.v = pointer(), args.out = pointer(), args.lse = pointer(), args.mask = pointer();
    args.alibi_slopes = pointer(), args.sink = pointer(), args.kv_lengths = pointer(), args.cu_seqlens_q = pointer();
    args.cu_seqlens_kv = pointer(), args.block_table = pointer(), args.k_scale = pointer(), args.v_scale = pointer();
    args.dropout_seed = 3, args.dropout_offset = 5;
    const kernels::Pointers p = adapter::pointers_of(args, 0.5f);
    CHECK(p.q == args.q);
    CHECK(p.k == args.k);
    CHECK(p.v == args.v);
    CHECK(p.out == args.out);
    CHECK(p.lse == args.lse);
    CHECK(p.mask == args.mask);
    CHECK(p.alibi_slopes == args.alibi_slopes);
    CHECK(p.sink == args.sink);
    CHECK(p.kv_lengths == args.kv_lengths);
    CHECK(p.cu_seqlens_q == args.cu_seqlens_q);
    CHECK(p.cu_seqlens_kv == args.cu_seqlens_kv);
    CHECK(p.block_table == args.block_table);
    CHECK(p.k_scale == args.k_scale);
    CHECK(p.v_scale == args.v_scale);
    CHECK(p.dropout.seed == 3);
    CHECK(p.dropout.offset == 5);
    CHECK(p.dropout.threshold == std::uint64_t{1} << 31);
}
