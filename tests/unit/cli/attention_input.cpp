// From tensors to a problem: what a file's tensors mean. What is wrong with a file is tested through the program, in tests/hostile.
#include "attention_input.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "scratch.hpp"
#include "status.hpp"

using namespace rocforge::cli;
using scratch::Tensors;

namespace {

std::vector<float> counted(std::size_t count) {
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i);
    return values;
}

AttentionInput read(const Tensors& tensors, const Rules& rules = {}, Layout layout = Layout::kBhsd, std::optional<rf_dtype> dtype = std::nullopt) {
    const scratch::Folder folder;
    scratch::write(folder / "in", tensors.file());
    const rocforge::safetensors::Reader reader(folder / "in");
    return read_attention(reader, rules, layout, dtype);
}

// Two query heads over one, three queries, five keys, dim 4.
Tensors dense() {
    return Tensors().add("q", "F32", "1,2,3,4", counted(24)).add("k", "F32", "1,1,5,4", counted(20)).add("v", "F32", "1,1,5,4", counted(20));
}

// Two sequences of 2 and 1 queries in a row of 4 tokens, over three pages of 2 tokens.
Tensors paged() {
    return Tensors()
        .add("q", "F32", "2,4,4", counted(32))
        .add("k", "F32", "3,1,2,4", counted(24))
        .add("v", "F32", "3,1,2,4", counted(24))
        .add<std::int32_t>("cu_seqlens_q", "I32", "3", {0, 2, 3});
}

std::vector<std::int64_t> shape(const rf_tensor& tensor) { return {tensor.shape, tensor.shape + 4}; }

template <class T> std::vector<T> values(const void* pointer, std::size_t count) {
    return {static_cast<const T*>(pointer), static_cast<const T*>(pointer) + count};
}

// Message of a refusal with status 2.
std::string refusal(const Tensors& tensors) {
    try {
        read(tensors);
        return "";
    } catch (const Quit& quit) {
        CHECK(quit.status() == Status::kUsage);
        return quit.what();
    }
}

}  // namespace

TEST_CASE("q, k and v alone are a dense problem without features") {
    const AttentionInput input = read(dense().add<float>("note", "F32", "1", {0.0f}));
    CHECK(input.problem.features == 0);
    CHECK(input.problem.batch == 1);
    CHECK(input.problem.max_seq_q == 3);
    CHECK(input.problem.max_seq_kv == 5);
    CHECK(shape(input.problem.out) == std::vector<std::int64_t>{1, 2, 3, 4});
    CHECK(values<float>(input.args.q, 24) == counted(24));
    CHECK(input.unused == std::vector<std::string>{"note"});
}

TEST_CASE("bshd reads the second axis as the sequence") {
    const Tensors file =
        Tensors().add("q", "F32", "1,3,2,4", counted(24)).add("k", "F32", "1,5,1,4", counted(20)).add("v", "F32", "1,5,1,4", counted(20));
    const AttentionInput input = read(file, {}, Layout::kBshd);
    CHECK(shape(input.problem.q) == std::vector<std::int64_t>{1, 2, 3, 4});
    CHECK(input.problem.q.stride[1] == 4);
    CHECK(input.problem.q.stride[2] == 8);
    CHECK(input.out_shape == std::vector<std::int64_t>{1, 3, 2, 4});
}

TEST_CASE("a mask is aligned at the right and keeps its extents of 1") {
    const AttentionInput boolean = read(dense().add<std::uint8_t>("mask", "BOOL", "3,5", std::vector<std::uint8_t>(15, 1)));
    CHECK(boolean.problem.features == RF_F_MASK_BOOL);
    CHECK(shape(boolean.problem.mask) == std::vector<std::int64_t>{1, 1, 3, 5});
    const AttentionInput added = read(dense().add<double>("mask", "F64", "2,1,1", {-1e300, 2.0}));
    CHECK(added.problem.features == RF_F_MASK_ADD);
    CHECK(values<float>(added.args.mask, 2) == std::vector<float>{-std::numeric_limits<float>::max(), 2.0f});
}

TEST_CASE("lengths, slopes and sinks set their features, and 64-bit integers that fit become 32-bit") {
    const AttentionInput input = read(dense()
                                          .add<std::int64_t>("kv_lens", "I64", "1", {4})
                                          .add<float>("alibi_slopes", "F32", "2", {0.5f, 0.25f})
                                          .add<float>("sink", "F32", "2", {1.0f, 2.0f}));
    CHECK(input.problem.features == (RF_F_KV_LENGTHS | RF_F_ALIBI | RF_F_SINK));
    CHECK(same(input.problem.index_dtype, kI32));
    CHECK(values<std::int32_t>(input.args.kv_lengths, 1) == std::vector<std::int32_t>{4});
    CHECK(values<float>(input.args.sink, 2) == std::vector<float>{1.0f, 2.0f});
}

TEST_CASE("ragged q over paged KV: the longest sequence and the table's capacity are the extents") {
    const AttentionInput input =
        read(paged().add<std::int32_t>("block_table", "I32", "2,2", {2, 0, 1, -9}).add<std::int32_t>("kv_lens", "I32", "2", {3, 2}), {.lse = true});
    CHECK(input.problem.features == (RF_F_RAGGED_Q | RF_F_PAGED_KV | RF_F_KV_LENGTHS | RF_F_LSE));
    CHECK(input.problem.batch == 2);
    CHECK(input.problem.max_seq_q == 2);
    CHECK(input.problem.max_seq_kv == 4);
    CHECK(input.problem.page_size == 2);
    CHECK(input.problem.block_table_stride == 2);
    CHECK(input.out_shape == std::vector<std::int64_t>{2, 4, 4});
    CHECK(input.lse_shape == std::vector<std::int64_t>{2, 4});
}

TEST_CASE("pages without lengths are full, so that every entry of the table must be a page") {
    const AttentionInput input = read(paged().add<std::int32_t>("block_table", "I32", "2,1", {2, 0}));
    CHECK(values<std::int32_t>(input.args.kv_lengths, 2) == std::vector<std::int32_t>{2, 2});
    CHECK(refusal(paged().add<std::int32_t>("block_table", "I32", "2,1", {2, 3})).find("block_table[1, 0] is 3") != std::string::npos);
}

TEST_CASE("--dtype casts q, k and v, and out has its type; F64 alone becomes F32") {
    const AttentionInput cast = read(dense(), {}, Layout::kBhsd, kBF16);
    CHECK(same(cast.problem.k.dtype, kBF16));
    CHECK(same(cast.problem.out.dtype, kBF16));
    CHECK(values<std::uint16_t>(cast.args.q, 3) == std::vector<std::uint16_t>{0x0000, 0x3F80, 0x4000});
    const Tensors wide =
        Tensors().add<double>("q", "F64", "1,1,1,1", {1.5}).add<double>("k", "F64", "1,1,1,1", {1.5}).add<double>("v", "F64", "1,1,1,1", {1.5});
    CHECK(same(read(wide).problem.out.dtype, kF32));
    CHECK(values<float>(read(wide).args.q, 1) == std::vector<float>{1.5f});
    CHECK(read(wide).narrowed == std::vector<std::string>{"q", "k", "v"});
    CHECK(read(dense()).narrowed.empty());
}

TEST_CASE("a tensor named almost like one that is read is warned of, unless that one is there too") {
    const std::vector<float> one{0.0f};
    const Tensors odd = dense().add("Mask", "F32", "1", one).add("kv_len", "F32", "1", one).add("Q", "F32", "1", one).add("note", "F32", "1", one);
    CHECK(read(odd).unused == std::vector<std::string>{"Mask", "kv_len", "Q", "note"});
    CHECK(read(odd).mistyped ==
          std::vector<std::string>{"\"Mask\" is not read; did you mean 'mask'?", "\"kv_len\" is not read; did you mean 'kv_lens'?"});
    CHECK(read(dense().add("mask", "F32", "1", one).add("Mask", "F32", "1", one)).mistyped.empty());
}

TEST_CASE("a rank that is wrong names the axes that are wanted, in the layout that they are read in") {
    const Tensors flat =
        Tensors().add("q", "F32", "2,3,4", counted(24)).add("k", "F32", "1,1,5,4", counted(20)).add("v", "F32", "1,1,5,4", counted(20));
    CHECK(refusal(flat).find("rank 4: [batch, heads, tokens, dim]") != std::string::npos);
    const Tensors ragged = dense().add<std::int32_t>("cu_seqlens_q", "I32", "1,2", {0, 3});
    CHECK(refusal(ragged).find("rank 1: [batch + 1]") != std::string::npos);
    CHECK_THROWS_WITH(read(flat, {}, Layout::kBshd), doctest::Contains("rank 4: [batch, tokens, heads, dim]"));
}

TEST_CASE("a sequence of no tokens and keys of length 0 are sound input") {
    CHECK(read(Tensors().add<float>("q", "F32", "1,2,0,4", {}).add("k", "F32", "1,1,5,4", counted(20)).add("v", "F32", "1,1,5,4", counted(20)))
              .problem.max_seq_q == 0);
    CHECK(read(Tensors().add("q", "F32", "1,2,3,4", counted(24)).add<float>("k", "F32", "1,1,0,4", {}).add<float>("v", "F32", "1,1,0,4", {}))
              .problem.max_seq_kv == 0);
}

TEST_CASE("extents that hide an overflow behind a 0 are refused") {
    const std::string huge = "0,1,4611686018427387904,4";
    CHECK(refusal(Tensors().add<float>("q", "F32", huge, {}).add<float>("k", "F32", huge, {}).add<float>("v", "F32", huge, {})) != "");
}
