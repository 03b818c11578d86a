// What Hopper's own prefill kernels take, in which tiles, and what the copy engine is told of the tensors. Nothing runs here.
#include <doctest/doctest.h>

#include <cstdint>
#include <string>

#include "kernels/flash/hopper/tile.h"
#include "kernels/platform/tensor_map.h"
#include "tests/unit/kernels/dense.h"

using namespace rocforge::kernels;
using rocforge::platform::BoxedTensor;

TEST_CASE("Hopper's own prefill kernels take tiles by dim, length, the causal rule and how evenly they fill the machine") {
    struct Row {
        std::int64_t batch, seq, dim;
        bool causal;
        const char* tile;
    };
    const Row rows[] = {
        {32, 512, 128, false, "128_medium"}, {32, 4096, 128, false, "128_medium"}, {32, 512, 128, true, "128_medium"},
        {32, 8192, 128, true, "128_medium"}, {2, 1024, 128, false, "128_small"},   {32, 512, 64, false, "64_small"},
        {32, 8192, 64, false, "64_large"},   {32, 8192, 64, true, "64_small"},     {32, 512, 256, false, "256_small"},
        {32, 8192, 256, false, "256_small"}, {32, 512, 72, false, "128_medium"},   {32, 512, 40, false, "64_small"},
        {1, 4096, 128, true, "128_small"},   // two rounds: waiting for the last tiles decides
        {2, 2048, 128, true, "128_medium"},  // rows have 1,024 keys on average: short ones
    };
    for (const Row& row : rows) {
        CAPTURE(row.batch);
        CAPTURE(row.seq);
        CAPTURE(row.dim);
        Attention a = dense(row.seq, row.seq, row.dim, row.causal);
        a.batch = row.batch;
        CHECK(chosen(a).name == std::string("flash_hopper_bf16_") + row.tile);
        CHECK(chosen(a, kAmpere).name.starts_with("flash_prefill_bf16_"));
    }
}

TEST_CASE("Hopper's kernels with features of their own") {
    struct Row {
        void (*change)(Attention&);
        const char* kernel;
    };
    const Row rows[] = {
        {[](Attention& a) { a.softcap = 30; }, "flash_hopper_bf16_128_softcap"},
        {[](Attention& a) { a.softcap = 30, a.scale = -1; }, "flash_hopper_bf16_128_softcap"},
        {[](Attention& a) { a.softcap = 9e4f; }, "flash_hopper_bf16_128_softcap"},
        {[](Attention& a) { a.softcap = 1.1e5f; }, "flash_hopper_bf16_128_general"},                // scale over softcap below 1e-5
        {[](Attention& a) { a.softcap = 1.1e6f, a.scale = 30; }, "flash_hopper_bf16_128_general"},  // coefficients beyond float32
        {[](Attention& a) { a.softcap = 0.11f, a.scale = 1e3f; }, "flash_hopper_bf16_128_softcap"},
        {[](Attention& a) { a.softcap = 0.11f, a.scale = 1.2e3f; }, "flash_hopper_bf16_128_general"},
        {[](Attention& a) { a.softcap = 0.09f; }, "flash_hopper_bf16_128_general"},
        {[](Attention& a) { a.alibi = true, a.diagonal = std::int64_t{1} << 40; }, "flash_hopper_bf16_128_alibi"},
        {[](Attention& a) { a.alibi = true, a.scale = 1.1e30f; }, "flash_hopper_bf16_128_general"},
        {[](Attention& a) { a.alibi = true; }, "flash_hopper_bf16_128_alibi"},
        {[](Attention& a) { a.mask.type = Type::boolean; }, "flash_hopper_bf16_128_mask"},
        {[](Attention& a) { a.mask.type = Type::f32; }, "flash_hopper_bf16_128_general"},
        {[](Attention& a) { a.q.type = Type::f16, a.alibi = true; }, "flash_hopper_f16_128_alibi"},
        {[](Attention& a) { a.scale = -1; }, "flash_hopper_bf16_128_general"},
        {[](Attention& a) { a.scale = 1e-7f, a.alibi = true; }, "flash_hopper_bf16_128_general"},
        {[](Attention& a) { a.softcap = 1e-7f; }, "flash_hopper_bf16_128_general"},
        {[](Attention& a) { a.softcap = 30, a.alibi = true; }, "flash_hopper_bf16_128_general"},
        {[](Attention& a) { a.alibi = true, a.mask.type = Type::bf16; }, "flash_hopper_bf16_128_general"},
        {[](Attention& a) { a.paged = true, a.page_size = a.kv_tokens = 16, a.pages = 64; }, "flash_hopper_bf16_128_large"},
        {[](Attention& a) { a.paged = true, a.page_size = a.kv_tokens = 64, a.pages = 64; }, "flash_hopper_bf16_128_medium"},
        {[](Attention& a) { a = pairs(256, 8192, 8192, 64); }, "flash_hopper_bf16_64_large"},
        {[](Attention& a) { a = pairs(256, 8192, 8192, 64), a.paged = true, a.page_size = a.kv_tokens = 128, a.pages = 64; },
         "flash_hopper_bf16_64_small"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.kernel);
        Attention a = dense(512, 512, 128);
        row.change(a);
        CHECK(chosen(a).name == row.kernel);
    }
}

TEST_CASE("what Hopper's own prefill kernels do not take, the portable one runs") {
    struct Row {
        const char* what;
        void (*change)(Attention&);
    };
    const Row rows[] = {
        {"pages that are no multiple of 8 keys", [](Attention& a) { a.paged = true, a.page_size = a.kv_tokens = 12, a.pages = 64; }},
        {"broadcast heads", [](Attention& a) { a.k.head = 0; }},
        {"an empty cache", [](Attention& a) { a.max_seq_kv = a.kv_tokens = 0; }},
    };
    CHECK(chosen(dense(512, 512, 128)).name.starts_with("flash_hopper"));
    for (const Row& row : rows) {
        CAPTURE(row.what);
        Attention a = dense(512, 512, 128);
        row.change(a);
        CHECK(chosen(a).name.starts_with("flash_prefill"));
    }
}

TEST_CASE("Hopper's own prefill kernels take what they can number and the copy engine can read, and not one more") {
    static constexpr std::int64_t kMost = std::int64_t{1} << 30, kStride = std::int64_t{1} << 39;  // elements of 2 bytes
    struct Row {
        const char* what;
        void (*change)(Attention&, std::int64_t more);
    };
    const Row rows[] = {
        {"tiles", [](Attention& a, std::int64_t more) { a = pairs(kMost + more, 128, 512, 256); }},
        {"tokens of queries", [](Attention& a, std::int64_t more) { a.ragged_q = true, a.q_tokens = kMost + more; }},
        {"tokens of keys", [](Attention& a, std::int64_t more) { a.ragged_kv = true, a.kv_tokens = kMost + more; }},
        {"pages", [](Attention& a, std::int64_t more) { a.paged = true, a.page_size = a.kv_tokens = 64, a.pages = kMost + more; }},
        {"strides below 2^40 bytes", [](Attention& a, std::int64_t more) { a.v.batch = kStride - 8 + 8 * more; }},
        {"queries at multiples of 16 bytes", [](Attention& a, std::int64_t more) { a.q.sequence = 136 + more; }},
        {"keys at multiples of 16 bytes", [](Attention& a, std::int64_t more) { a.k.sequence = 136 + more; }},
        {"values at multiples of 16 bytes", [](Attention& a, std::int64_t more) { a.v.sequence = 136 + more; }},
        {"an output at multiples of 16 bytes", [](Attention& a, std::int64_t more) { a.out.sequence = 136 + more; }},
    };
    for (const Row& row : rows)
        for (const bool more : {false, true}) {
            CAPTURE(row.what);
            CAPTURE(more);
            Attention a = dense(512, 512, 128);
            row.change(a, more);
            CHECK(chosen(a).name.starts_with(more ? "flash_prefill" : "flash_hopper"));
        }
}

TEST_CASE("the copy engine is told each tensor's own extents and strides") {
    constexpr std::int64_t kQ = 300, kKv = 520, kDim = 104, kDimV = 88;
    Attention a = dense(kQ, kKv, kDim);
    a.batch = 3, a.dim_v = kDimV;
    a.k = {Type::bf16, kKv * 2 * kDim, kDim, 2 * kDim, 1};      // [batch, seq_kv, head, dim]
    a.v = packed(Type::bf16, 2, kKv, kDimV);                    // [batch, head, seq_kv, dim_v]
    a.out = {Type::bf16, kQ * 8 * kDimV, kDimV, 8 * kDimV, 1};  // [batch, seq_q, head, dim_v]
    a.mask = packed(Type::bf16, 8, kQ, kKv);                    // [batch, head, seq_q, seq_kv]
    const Recipe recipe = chosen(a);
    REQUIRE(recipe.boxed);
    REQUIRE(recipe.boxed->mask);
    struct Row {
        const char* what;
        BoxedTensor told, expected;
    };
    const Row rows[] = {
        {"q", recipe.boxed->q, {{kDim, kQ, 8, 3}, {kDim * 2, kQ * kDim * 2, 8 * kQ * kDim * 2}, 64}},
        {"k", recipe.boxed->k, {{kDim, kKv, 2, 3}, {2 * kDim * 2, kDim * 2, kKv * 2 * kDim * 2}, 64}},
        {"v", recipe.boxed->v, {{kDimV, kKv, 2, 3}, {kDimV * 2, kKv * kDimV * 2, 2 * kKv * kDimV * 2}, 64}},
        {"out", recipe.boxed->out, {{kDimV, kQ, 8, 3}, {8 * kDimV * 2, kDimV * 2, kQ * 8 * kDimV * 2}, 64}},
        {"mask", *recipe.boxed->mask, {{kKv, kQ, 8, 3}, {kKv * 2, kQ * kKv * 2, 8 * kQ * kKv * 2}, 64}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.what);
        for (const int axis : {0, 1, 2, 3}) {
            CAPTURE(axis);
            CHECK(row.told.extent[axis] == row.expected.extent[axis]);
            if (axis > 0) CHECK(row.told.stride_bytes[axis - 1] == row.expected.stride_bytes[axis - 1]);
        }
        CHECK(row.told.box_rows == row.expected.box_rows);
        CHECK(row.told.element_bytes == row.expected.element_bytes);
    }
}

TEST_CASE("Hopper's prefill keeps one block of threads on each unit, counts tiles in zeroed memory and brings boxes of rows and keys") {
    using Tile = flash::hopper::Dim128Small;
    Attention a = dense(512, 512, 104);
    const Recipe few = chosen(a);
    REQUIRE(few.launches.size() == 1);
    CHECK(few.launches[0].grid[0] == 2 * 8 * 4);
    CHECK(few.launches[0].threads == Tile::kThreads);
    CHECK(few.launches[0].shared_bytes == Tile::kSharedBytes);
    CHECK(few.zeroed_bytes == 8);
    CHECK(few.workspace_bytes == 0);
    REQUIRE(few.boxed);
    CHECK(few.boxed->q.box_rows == 64);
    CHECK(few.boxed->k.box_rows == Tile::kKeys);

    a.paged = true, a.page_size = a.kv_tokens = 48, a.pages = 77;
    const Recipe paged = chosen(a);
    REQUIRE(paged.boxed);
    CHECK(paged.boxed->k.box_rows == 16);
    CHECK(paged.cut.box_rows == 16);
    CHECK(paged.boxed->k.extent[1] == 48);
    CHECK(paged.boxed->k.extent[3] == 77);
    a.paged = false, a.kv_tokens = 512;

    a.batch = 64;
    CHECK(chosen(a).launches[0].grid[0] == kHopper.compute_units);

    a = dense(512, 512, 128);
    a.ragged_q = a.ragged_kv = true, a.q.batch = a.k.batch = a.v.batch = a.out.batch = 0;  // one sequence axis: the batch's stride is unused
    const Recipe ragged = chosen(a);
    REQUIRE(ragged.boxed);
    CHECK(ragged.boxed->q.extent[3] == 1);
    CHECK(ragged.boxed->q.stride_bytes[2] > 0);
}

TEST_CASE("what Hopper's whole tiles leave after their last full round is cut into short ones, where that ends earlier") {
    struct Row {
        std::int64_t pairs, seq;
        bool causal;
        const char* tile;
        std::int64_t row_blocks;
        std::int32_t short_pairs, short_row_blocks;
    };
    const Row rows[] = {
        {32, 2048, false, "128_medium", 11, 8, 16},   // 24 heads of 11 tiles are two rounds of 132; 8 of 16 short ones are most of a third
        {32, 4096, false, "128_medium", 22, 2, 32},   // 30 of 22: five rounds
        {32, 4096, true, "128_medium", 22, 0, 32},    // short ones come by themselves
        {32, 512, false, "128_small", 4, 0, 8},       // less than a round
        {96, 3072, false, "128_medium", 16, 6, 24},   // 90 of 16 leave 12 units idle in their last round: 144 short ones are but one more
        {352, 2304, false, "128_medium", 12, 0, 18},  // 32 rounds, and nothing left
        {353, 2304, false, "128_medium", 12, 1, 18},  // 32 rounds and one head
        {364, 2304, false, "128_medium", 12, 0, 18},  // 33 rounds and one head: too little of the whole to gain
    };
    for (const Row& row : rows) {
        CAPTURE(row.seq);
        CAPTURE(row.pairs);
        const Recipe recipe = chosen(pairs(row.pairs, row.seq, row.seq, 128, row.causal));
        CHECK(recipe.name == std::string("flash_hopper_bf16_") + row.tile);
        CHECK(recipe.cut.row_blocks == row.row_blocks);
        CHECK(recipe.cut.short_pairs == row.short_pairs);
        CHECK(recipe.cut.short_row_blocks == row.short_row_blocks);
    }
}

TEST_CASE("the copy engine brings masks of 8 and 16 bits whose rows lie at multiples of 16 bytes") {
    constexpr std::int64_t kMostKeys = BoxedTensor::kMaxExtent;
    struct Row {
        const char* what;
        Operand mask;
        bool boxed;
        std::int64_t heads, batch, keys = 512;
    };
    const Row rows[] = {
        {"one for all heads", {Type::bf16, 512 * 512, 0, 512, 1}, true, 1, 2},
        {"one for all", {Type::boolean, 0, 0, 512, 1}, true, 1, 1},
        {"one a head", {Type::f16, 8 * 512 * 512, 512 * 512, 512, 1}, true, 8, 2},
        {"float32", {Type::f32, 0, 0, 512, 1}, false, 0, 0},
        {"one row for all", {Type::boolean, 512, 0, 0, 1}, false, 0, 0},
        {"keys far apart", {Type::boolean, 0, 0, 1024, 2}, false, 0, 0},
        {"rows at odd addresses", {Type::boolean, 0, 0, 520, 1}, false, 0, 0},
        {"500 keys of 512", {Type::boolean, 0, 0, 512, 1}, true, 1, 1, 500},
        {"one key, its stride unused", {Type::boolean, 0, 0, 16, 16}, true, 1, 1, 1},
        {"2^32 keys", {Type::boolean, 0, 0, kMostKeys, 1}, true, 1, 1, kMostKeys},
        {"2^32 + 1 keys", {Type::boolean, 0, 0, 2 * kMostKeys, 1}, false, 0, 0, kMostKeys + 1},
    };
    for (const Row& row : rows) {
        CAPTURE(row.what);
        Attention a = dense(512, 512, 128);
        a.mask = row.mask, a.max_seq_kv = row.keys;
        const Recipe recipe = chosen(a);
        REQUIRE(recipe.boxed);
        REQUIRE(recipe.boxed->mask.has_value() == row.boxed);
        if (!row.boxed) continue;
        CHECK(recipe.boxed->mask->element_bytes == (row.mask.type == Type::boolean ? 1 : 2));
        CHECK(recipe.boxed->mask->box_rows == flash::hopper::kGroupRows);
        CHECK(recipe.boxed->mask->extent[2] == row.heads);
        CHECK(recipe.boxed->mask->extent[3] == row.batch);
        for (const std::int64_t stride : recipe.boxed->mask->stride_bytes) CHECK(stride % 16 == 0);
    }
}
