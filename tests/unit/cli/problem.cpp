#include "problem.hpp"

#include <doctest/doctest.h>

#include <vector>

#include "status.hpp"

using namespace rocforge::cli;

namespace {

Extents decode_extents() {
    Extents extents;
    extents.batch = 3;
    extents.head_q = 8;
    extents.head_kv = 2;
    extents.seq_q = 1;
    extents.seq_kv = 100;
    extents.dim = extents.dim_v = 64;
    return extents;
}

std::vector<std::int64_t> shape(const rf_tensor& tensor) { return {tensor.shape, tensor.shape + 4}; }
std::vector<std::int64_t> stride(const rf_tensor& tensor) { return {tensor.stride, tensor.stride + 4}; }

}  // namespace

TEST_CASE("a layout changes strides and no shape") {
    CHECK(stride(dense_tensor(kF32, 2, 3, 5, 7, Layout::kBhsd)) == std::vector<std::int64_t>{105, 35, 7, 1});
    CHECK(stride(dense_tensor(kF32, 2, 3, 5, 7, Layout::kBshd)) == std::vector<std::int64_t>{105, 7, 21, 1});
    CHECK(shape(dense_tensor(kF32, 2, 3, 5, 7, Layout::kBshd)) == std::vector<std::int64_t>{2, 3, 5, 7});
}

TEST_CASE("a tensor whose strides or bytes pass 63 bits is refused, even without elements") {
    CHECK_THROWS_AS(dense_tensor(kF32, 0, INT64_MAX, INT64_MAX, 1, Layout::kBhsd), Quit);
    CHECK_THROWS_AS(dense_tensor(kF32, 1, 1, 1, INT64_MAX / 2, Layout::kBhsd), Quit);
}

TEST_CASE("paged keys are pages, with lengths and a table row of enough pages") {
    Extents extents = decode_extents();
    extents.page_size = 16;
    const rf_problem problem = problem_of(extents, {});
    CHECK(problem.features == (RF_F_PAGED_KV | RF_F_KV_LENGTHS));
    CHECK(problem.block_table_stride == 7);
    CHECK(shape(problem.k) == std::vector<std::int64_t>{21, 2, 16, 64});
    CHECK(same(problem.index_dtype, kI32));
}

TEST_CASE("ragged queries lie in one row; keys too unless they are paged or have lengths") {
    Extents extents = decode_extents();
    extents.ragged = true;
    extents.seq_q = 10;
    CHECK(shape(problem_of(extents, {}).q) == std::vector<std::int64_t>{1, 8, 30, 64});
    CHECK(problem_of(extents, {}).features == (RF_F_RAGGED_Q | RF_F_RAGGED_KV));
    CHECK(shape(problem_of(extents, {}).k) == std::vector<std::int64_t>{1, 2, 300, 64});
    extents.kv_lengths = true;
    CHECK(problem_of(extents, {}).features == (RF_F_RAGGED_Q | RF_F_KV_LENGTHS));
    CHECK(shape(problem_of(extents, {}).k) == std::vector<std::int64_t>{3, 2, 100, 64});
}

TEST_CASE("K, V and out may have types of their own, and K and V scales") {
    Extents extents = decode_extents();
    extents.dtype = kBF16, extents.kv_dtype = kF16, extents.out_dtype = kF32, extents.scale_group = 32, extents.dim_v = 32, extents.diagonal = -2;
    extents.deterministic = true;
    const rf_problem problem = problem_of(extents, {});
    CHECK(same(problem.q.dtype, kBF16));
    CHECK(same(problem.k.dtype, kF16));
    CHECK(same(problem.v.dtype, kF16));
    CHECK(same(problem.out.dtype, kF32));
    CHECK(problem.features == (RF_F_KV_SCALES | RF_F_DETERMINISTIC));
    CHECK(shape(problem.k_scale) == std::vector<std::int64_t>{3, 2, 100, 2});
    CHECK(shape(problem.v_scale) == std::vector<std::int64_t>{3, 2, 100, 1});
    CHECK(problem.diagonal == -2);
    extents.scale_group = 48;
    CHECK_THROWS_AS(problem_of(extents, {}), Quit);
}

TEST_CASE("the diagonal's bit is on only where something reads the diagonal") {
    Rules rules;
    rules.align = Diagonal::kBottomRight;
    CHECK(problem_of(decode_extents(), rules).features == 0);
    rules.window_left = 3;
    CHECK(problem_of(decode_extents(), rules).features == (RF_F_WINDOW | RF_F_BOTTOM_RIGHT));
    Rules causal;
    causal.causal = Causal::kBottomRight;
    CHECK(problem_of(decode_extents(), causal).features == (RF_F_CAUSAL | RF_F_BOTTOM_RIGHT));
    causal.causal = Causal::kTopLeft;
    CHECK(problem_of(decode_extents(), causal).features == RF_F_CAUSAL);
}

TEST_CASE("--causal and --align that name two diagonals are refused") {
    Rules rules;
    rules.causal = Causal::kTopLeft;
    rules.align = Diagonal::kBottomRight;
    CHECK_THROWS_AS(problem_of(decode_extents(), rules), Quit);
    rules.causal = Causal::kBottomRight;
    rules.align = Diagonal::kTopLeft;
    CHECK_THROWS_AS(problem_of(decode_extents(), rules), Quit);
    rules.align = Diagonal::kBottomRight;
    CHECK_NOTHROW(problem_of(decode_extents(), rules));
}

TEST_CASE("work counts q.k over dim and weights.v over dim_v, and half of it when causal") {
    Extents extents = decode_extents();
    extents.dim_v = 32;
    Rules causal;
    causal.causal = Causal::kTopLeft;
    CHECK(flops_of(problem_of(extents, {})) == 2.0 * 3 * 8 * 1 * 100 * (64 + 32));
    CHECK(flops_of(problem_of(extents, causal)) == 3.0 * 8 * 1 * 100 * (64 + 32));
}

TEST_CASE("what the library calls its caller's choice is the flag --backend here") {
    CHECK(in_words_of_flags("'gpu' (asked for by the caller's choice) refuses") == "'gpu' (asked for by --backend) refuses");
    CHECK(in_words_of_flags("the caller's choice, the caller's choice") == "--backend, --backend");
    CHECK(in_words_of_flags("select.order") == "select.order");
}
