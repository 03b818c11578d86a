// A caller's problem made exact, or refused with the field, its value and the rule.
#include "problem.hpp"

#include <rocforge/rocforge.h>

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>

using namespace rocforge;

namespace {

constexpr rf_dtype kF32{RF_T_FLOAT, 32, 1}, kF16{RF_T_FLOAT, 16, 1}, kBool{RF_T_BOOL, 8, 1}, kI32{RF_T_INT, 32, 1};

rf_problem dense() {
    rf_problem p;
    rocforge_problem_dense(&p, kF32, 2, 4, 2, 16, 24, 64);
    return p;
}

rf_problem paged() {
    rf_problem p = dense();
    p.features = RF_F_PAGED_KV | RF_F_KV_LENGTHS;
    p.page_size = 8;
    p.block_table_stride = 3;
    p.index_dtype = kI32;
    p.k = p.v = rocforge_tensor(kF32, 10, 2, 8, 64);
    return p;
}

struct Row {
    std::function<void(rf_problem&)> change;
    const char* message;
};

const float kNan = std::numeric_limits<float>::quiet_NaN(), kInf = std::numeric_limits<float>::infinity();

const Row kRefused[]{
    {[](auto& p) { p.struct_size = 8; }, "problem: struct_size is 8"},
    {[](auto& p) { p.reserved = 1; }, "problem: reserved is 1"},
    {[](auto& p) { p.batch = -1; }, "problem: batch is -1"},
    {[](auto& p) { p.max_seq_q = INT64_MAX; }, "problem: max_seq_q is 9223372036854775807"},
    {[](auto& p) { p.q.shape[3] = p.k.shape[3] = 0; }, "problem: dim (q.shape[3]) is 0"},
    {[](auto& p) { p.v.shape[3] = p.out.shape[3] = 0; }, "problem: dim_v (v.shape[3]) is 0"},
    {[](auto& p) { p.q.shape[1] = p.out.shape[1] = 0; }, "problem: head_q (q.shape[1]) is 0"},
    {[](auto& p) { p.q.shape[1] = p.out.shape[1] = 3; }, "problem: head_q (3) is not a multiple of head_kv (2)"},
    {[](auto& p) { p.k.shape[3] = 32; }, "problem: k.shape[3] is 32, q.shape[3] 64"},
    {[](auto& p) { p.k.shape[2] = 23; }, "problem: k has shape [2, 2, 23, 64], wanted [batch, head_kv, seq_kv, .] [2, 2, 24, 64]"},
    {[](auto& p) { p.v.shape[1] = 1; }, "problem: v has shape [2, 1, 24, 64]"},
    {[](auto& p) { p.out.shape[0] = 1; }, "problem: out has shape [1, 4, 16, 64]"},
    {[](auto& p) { p.q.dtype = {}; }, "problem: q has no dtype"},
    {[](auto& p) { p.q.stride[3] = 2; }, "problem: q.stride[3] is 2, wanted 1"},
    {[](auto& p) { p.k.stride[2] = -64; }, "problem: k.stride[2] is -64"},
    {[](auto& p) { p.q.stride[0] = INT64_MAX / 2; }, "problem: q with shape [2, 4, 16, 64]"},
    {[](auto& p) { p.q.align = 24; }, "problem: q.align is 24"},
    {[](auto& p) { p.out.stride[1] = 0; }, "problem: out with shape [2, 4, 16, 64] and strides [4096, 0, 64, 1] writes one element twice"},
    {[](auto& p) { p.out.stride[2] = 32; }, "problem: out with shape"},
    {[](auto& p) { p.scale = kInf; }, "problem: scale is inf"},
    {[](auto& p) { p.softcap = 30; }, "problem: softcap is set but the feature softcap is not"},
    {[](auto& p) { p.features |= RF_F_SOFTCAP, p.softcap = -1; }, "problem: softcap is -1"},
    {[](auto& p) { p.features |= RF_F_SOFTCAP, p.softcap = kNan; }, "problem: softcap is nan"},
    {[](auto& p) { p.features |= RF_F_DROPOUT, p.dropout_p = 1; }, "problem: dropout_p is 1"},
    {[](auto& p) { p.features |= RF_F_DROPOUT, p.dropout_p = kNan; }, "problem: dropout_p is nan"},
    {[](auto& p) { p.window_left = 0; }, "problem: window_left is set but the feature window is not"},
    {[](auto& p) { p.features |= RF_F_WINDOW, p.window_right = -2; }, "problem: window_right is -2"},
    {[](auto& p) { p.diagonal = INT64_MIN; }, "problem: diagonal is -9223372036854775808"},
    {[](auto& p) { p.features |= RF_F_MASK_BOOL | RF_F_MASK_ADD; }, "problem: mask_bool and mask_add exclude each other"},
    {[](auto& p) { p.features |= RF_F_MASK_BOOL; }, "problem: mask has no dtype"},
    {[](auto& p) { p.features |= RF_F_MASK_BOOL, p.mask = rocforge_tensor(kF32, 1, 1, 16, 24); }, "problem: mask.dtype is f32, wanted bool"},
    {[](auto& p) { p.features |= RF_F_MASK_ADD, p.mask = rocforge_tensor(kBool, 1, 1, 16, 24); },
     "problem: mask.dtype is bool, wanted f32, f16 or bf16"},
    {[](auto& p) { p.features |= RF_F_MASK_ADD, p.mask = rocforge_tensor(kF32, 1, 3, 16, 24); }, "problem: mask.shape[1] is 3, wanted 1 or 4"},
    {[](auto& p) { p.features |= RF_F_LSE; }, "problem: lse has no dtype"},
    {[](auto& p) { p.features |= RF_F_LSE, p.lse = rocforge_tensor(kF16, 2, 4, 16, 1); }, "problem: lse.dtype is f16, wanted f32"},
    {[](auto& p) { p.lse = rocforge_tensor(kF32, 2, 4, 16, 1); }, "problem: lse is set but the feature lse is not"},
    {[](auto& p) { p.features |= RF_F_KV_LENGTHS; }, "problem: index_dtype is absent, wanted i32 or i64"},
    {[](auto& p) { p.page_size = 4; }, "problem: page_size is set but the feature paged_kv is not"},
    {[](auto& p) { p = paged(), p.features &= ~RF_F_KV_LENGTHS; }, "problem: paged_kv needs kv_lengths"},
    {[](auto& p) { p = paged(), p.features |= RF_F_RAGGED_KV; }, "problem: paged_kv and ragged_kv exclude each other"},
    {[](auto& p) { p = paged(), p.block_table_stride = 2; }, "problem: block_table_stride is 2, wanted 3"},
    {[](auto& p) { p = paged(), p.page_size = 0, p.k.shape[2] = p.v.shape[2] = 0; }, "problem: page_size is 0"},
    {[](auto& p) { p.features |= RF_F_RAGGED_Q, p.index_dtype = kI32; }, "problem: q has shape [2, 4, 16, 64], wanted [1, head_q, tokens, dim]"},
};

}  // namespace

TEST_CASE("an invalid problem is refused with field, value and rule") {
    for (const Row& row : kRefused) {
        CAPTURE(row.message);
        rf_problem p = dense();
        row.change(p);
        const Result<rf_problem> complete = complete_problem(p);
        REQUIRE(!complete);
        CHECK(complete.error().code == RF_INVALID);
        CHECK_MESSAGE(complete.error().message.starts_with(row.message), complete.error().message);
    }
}

TEST_CASE("defaults and derived bits are filled in") {
    rf_problem p = dense();
    p.diagonal = 3;
    p.v.dtype = kF16;
    const Result<rf_problem> complete = complete_problem(p);
    REQUIRE_MESSAGE(complete, complete.error().message);
    CHECK(complete->scale == 0.125f);
    CHECK(complete->features == (RF_F_GROUPED_HEADS | RF_F_DIAGONAL | RF_F_KV_DTYPE));

    p = dense();
    p.scale = 0;  // uniform attention, not a default
    p.q.shape[1] = p.out.shape[1] = 2;
    p.v = rocforge_tensor(kF32, 2, 2, 24, 32);
    p.out = rocforge_tensor(kF16, 2, 2, 16, 32);
    const Result<rf_problem> other = complete_problem(p);
    REQUIRE_MESSAGE(other, other.error().message);
    CHECK(other->scale == 0);
    CHECK(other->features == (RF_F_DIM_V | RF_F_OUT_DTYPE));
}

TEST_CASE("what is asked for but changes nothing is no feature") {
    rf_problem p = dense();
    p.features = RF_F_WINDOW | RF_F_SOFTCAP | RF_F_DROPOUT;
    const Result<rf_problem> complete = complete_problem(p);
    REQUIRE_MESSAGE(complete, complete.error().message);
    CHECK(complete->features == RF_F_GROUPED_HEADS);
}

TEST_CASE("mask axes of 1 become full extents with stride 0") {
    rf_problem p = dense();
    p.features = RF_F_MASK_BOOL;
    p.mask = rocforge_tensor(kBool, 1, 1, 16, 1);
    const Result<rf_problem> complete = complete_problem(p);
    REQUIRE_MESSAGE(complete, complete.error().message);
    const rf_tensor& mask = complete->mask;
    CHECK(std::vector<std::int64_t>(mask.shape, mask.shape + 4) == std::vector<std::int64_t>{2, 4, 16, 24});
    CHECK(std::vector<std::int64_t>(mask.stride, mask.stride + 4) == std::vector<std::int64_t>{0, 0, 1, 0});
}

TEST_CASE("empty extents are valid") {
    for (const auto& change :
         {std::function<void(rf_problem&)>([](auto& p) { p.batch = p.q.shape[0] = p.k.shape[0] = p.v.shape[0] = p.out.shape[0] = 0; }),
          std::function<void(rf_problem&)>([](auto& p) { p.max_seq_q = p.q.shape[2] = p.out.shape[2] = 0; }),
          std::function<void(rf_problem&)>([](auto& p) { p.max_seq_kv = p.k.shape[2] = p.v.shape[2] = 0; })}) {
        rf_problem p = dense();
        change(p);
        const Result<rf_problem> complete = complete_problem(p);
        CHECK_MESSAGE(complete, complete.error().message);
    }
}

TEST_CASE("a window further than any key is unlimited") {
    rf_problem p = dense();
    p.features = RF_F_WINDOW;
    p.window_left = INT64_MAX;
    p.window_right = 5;
    const Result<rf_problem> complete = complete_problem(p);
    REQUIRE(complete);
    CHECK(complete->window_left == -1);
    CHECK(complete->window_right == 5);
    CHECK((complete->features & RF_F_WINDOW) != 0);
}
