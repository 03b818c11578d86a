// Which of the fused kernels a problem gets. Nothing runs here: the conformance tests judge results.
#include "kernels/flash/flash.h"

#include <doctest/doctest.h>

#include <cstdint>

#include "kernels/flash/even_parts.h"
#include "kernels/flash/hopper/tile.h"

using namespace rocforge::kernels;

namespace {

constexpr std::uint64_t kNoLimit = UINT64_MAX;
constexpr Machine kHopper{Family::sm90, 132};

Operand packed(Type type, std::int64_t heads, std::int64_t sequence, std::int64_t dim) {
    return {type, heads * sequence * dim, sequence * dim, dim, 1};
}

// 2 sequences, 8 query heads, 2 kv heads, bf16.
Attention dense(std::int64_t seq_q, std::int64_t seq_kv, std::int64_t dim, bool causal) {
    Attention a;
    a.batch = 2, a.head_q = 8, a.head_kv = 2;
    a.max_seq_q = a.q_tokens = seq_q, a.max_seq_kv = a.kv_tokens = seq_kv;
    a.dim = a.dim_v = dim, a.causal = causal;
    a.q = a.out = packed(Type::bf16, a.head_q, seq_q, dim);
    a.k = a.v = packed(Type::bf16, a.head_kv, seq_kv, dim);
    return a;
}

std::string chosen(const Attention& a, const Machine& machine = kHopper) { return flash::choose(a, machine, kNoLimit).name; }

}  // namespace

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
    };
    for (const Row& row : rows) {
        CAPTURE(row.batch);
        CAPTURE(row.seq);
        CAPTURE(row.dim);
        Attention a = dense(row.seq, row.seq, row.dim, row.causal);
        a.batch = row.batch;
        CHECK(chosen(a) == std::string("flash_hopper_bf16_") + row.tile);
        CHECK(chosen(a, {Family::sm80, 108}).starts_with("flash_prefill_bf16_"));
    }
}

TEST_CASE("a decode is shared out over the machine, by what the workspace has room for") {
    constexpr std::int64_t kShareBytes = 2 * 4 * (128 + 4) * 4;  // two slots of 4 rows of 128 dims, a maximum and a sum
    struct Row {
        std::int64_t batch, keys;
        std::uint64_t workspace;
        bool lengths;
        std::int32_t shares, tile_parts, part_blocks;
        bool read_once;
    };
    const Row rows[] = {
        {1, 100, kNoLimit, false, 8, 1, 4, true},       // one step a tile: nothing to share
        {1, 1024, kNoLimit, false, 64, 8, 4, true},     // a step each
        {1, 8192, kNoLimit, false, 128, 16, 16, true},  // a block a unit
        {1, 8200, kNoLimit, false, 104, 13, 20, true},  // whole steps a part: no part more than its waves read at once
        {8, 1024, kNoLimit, false, 64, 1, 32, true},    // short tiles, and enough of them to keep the memory busy
        {8, 8192, kNoLimit, false, 128, 2, 128, true},
        {11, 8192, kNoLimit, false, 132, 0, 0, false},    // whole tiles would leave a third of the units idle
        {64, 1024, kNoLimit, false, 256, 1, 32, true},    // several short tiles a block: two blocks a unit
        {64, 8192, kNoLimit, false, 128, 1, 256, false},  // more than the cache should be told to let go
        {64, 8192, kNoLimit, true, 132, 0, 0, false},     // lengths are on the device
        {1, 8192, 16 * kShareBytes, false, 16, 2, 128, true},
        {1, 8192, kShareBytes - 1, false, 8, 1, 256, true},
        {1, 8192, 10 * kShareBytes, true, 10, 0, 0, true},
        {1, 8192, kShareBytes - 1, true, 8, 1, 0, true},
    };
    for (const Row& row : rows) {
        CAPTURE(row.batch);
        CAPTURE(row.keys);
        CAPTURE(row.workspace);
        CAPTURE(row.lengths);
        Attention a = dense(1, row.keys, 128, false);
        a.batch = row.batch, a.head_q = 32, a.head_kv = 8, a.kv_lengths = row.lengths;
        const Recipe recipe = flash::choose(a, kHopper, row.workspace);
        CHECK(recipe.launches.size() == 1);
        CHECK(recipe.name.starts_with("flash_decode_bf16_128"));
        CHECK(recipe.cut.pack == 4);
        CHECK(recipe.cut.shares == row.shares);
        CHECK(recipe.launches[0].grid[0] == static_cast<std::uint32_t>(row.shares));
        CHECK(recipe.cut.tile_parts == row.tile_parts);
        CHECK(recipe.cut.part_blocks == row.part_blocks);
        CHECK(recipe.cut.read_once == row.read_once);
        CHECK(recipe.workspace_bytes <= row.workspace);
        CHECK((recipe.workspace_bytes > 0) == (recipe.cut.tile_parts != 1));
        CHECK(recipe.zeroed_bytes == (recipe.workspace_bytes > 0 ? static_cast<std::uint64_t>(row.batch) * 8 * 4 : 0));
    }
}

TEST_CASE("even parts hold all of a tile, none is empty, and no more than the machine holds") {
    for (const std::int32_t shares : {1, 7, 132, 264, 608})
        for (const std::int32_t tiles : {1, 3, 8, 57, 64, 66, 67, 100, 131, 132, 133, 264, 1000})
            for (const std::int32_t waves : {1, 3, 4})
                for (const std::int32_t blocks : {1, 4, 5, 31, 32, 33, 256, 257, 1000, 100000}) {
                    CAPTURE(shares);
                    CAPTURE(tiles);
                    CAPTURE(waves);
                    CAPTURE(blocks);
                    const flash::EvenParts even = flash::EvenParts::of(tiles, blocks, waves, shares, 57);
                    if (even.parts == 0) continue;
                    const bool holds_all = std::int64_t{even.parts} * even.blocks >= blocks;
                    CHECK(holds_all);
                    const bool none_empty = std::int64_t{even.parts - 1} * even.blocks < blocks;
                    CHECK(none_empty);
                    const bool fits = even.parts == 1 || tiles * even.parts <= shares;
                    CHECK(fits);
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
    };
    for (const Row& row : rows) {
        CAPTURE(row.kernel);
        Attention a = dense(512, 512, 128, false);
        row.change(a);
        CHECK(chosen(a) == row.kernel);
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
        {"a stride of 2^40 bytes", [](Attention& a) { a.v.batch = std::int64_t{1} << 39; }},
        {"an empty cache", [](Attention& a) { a.max_seq_kv = a.kv_tokens = 0; }},
    };
    CHECK(chosen(dense(512, 512, 128, false)).starts_with("flash_hopper"));
    for (const Row& row : rows) {
        CAPTURE(row.what);
        Attention a = dense(512, 512, 128, false);
        row.change(a);
        CHECK(chosen(a).starts_with("flash_prefill"));
    }
}

TEST_CASE("Hopper's prefill keeps one block of threads on each unit, counts tiles in zeroed memory and describes its tensors") {
    using Tile = flash::hopper::Dim128Small;
    Attention a = dense(512, 512, 104, false);
    const Recipe few = flash::choose(a, kHopper, kNoLimit);
    REQUIRE(few.launches.size() == 1);
    CHECK(few.launches[0].grid[0] == 2 * 8 * 4);
    CHECK(few.launches[0].threads == Tile::kThreads);
    CHECK(few.launches[0].shared_bytes == Tile::kSharedBytes);
    CHECK(few.zeroed_bytes == 8);
    CHECK(few.workspace_bytes == 0);
    REQUIRE(few.boxed);
    CHECK(few.boxed->q.box_rows == 64);
    CHECK(few.boxed->k.box_rows == Tile::kKeys);
    CHECK(few.boxed->k.extent[0] == 104);
    CHECK(few.boxed->k.extent[2] == 2);
    CHECK(few.boxed->k.stride_bytes[0] == 208);

    a.paged = true, a.page_size = a.kv_tokens = 48, a.pages = 77;
    const Recipe paged = flash::choose(a, kHopper, kNoLimit);
    REQUIRE(paged.boxed);
    CHECK(paged.boxed->k.box_rows == 16);
    CHECK(paged.cut.box_rows == 16);
    CHECK(paged.boxed->k.extent[1] == 48);
    CHECK(paged.boxed->k.extent[3] == 77);
    a.paged = false, a.kv_tokens = 512;

    a.batch = 64;
    CHECK(flash::choose(a, kHopper, kNoLimit).launches[0].grid[0] == kHopper.compute_units);

    a = dense(512, 512, 128, false);
    a.ragged_q = a.ragged_kv = true, a.q.batch = a.k.batch = a.v.batch = a.out.batch = 0;  // one sequence axis: the batch's stride is unused
    const Recipe ragged = flash::choose(a, kHopper, kNoLimit);
    REQUIRE(ragged.boxed);
    CHECK(ragged.boxed->q.extent[3] == 1);
    CHECK(ragged.boxed->q.stride_bytes[2] > 0);
}

TEST_CASE("what Hopper's whole tiles leave after their last full round is cut into short ones, where that ends earlier") {
    struct Row {
        std::int64_t batch, seq;
        bool causal;
        const char* tile;
        std::int32_t short_pairs;
    };
    const Row rows[] = {
        {1, 2048, false, "128_medium", 8},   // 24 heads of 11 tiles are two rounds of 132; 8 of 16 short ones are most of a third
        {1, 4096, false, "128_medium", 2},   // 30 of 22: five rounds
        {1, 4096, true, "128_medium", 0},    // short ones come by themselves
        {1, 512, false, "128_small", 0},     // less than a round
        {11, 2304, false, "128_medium", 0},  // 352 heads of 12 tiles: 32 rounds, and nothing left
    };
    for (const Row& row : rows) {
        CAPTURE(row.seq);
        CAPTURE(row.batch);
        Attention a = dense(row.seq, row.seq, 128, row.causal);
        a.batch = row.batch, a.head_q = 32, a.head_kv = 8;
        const Recipe recipe = flash::choose(a, kHopper, kNoLimit);
        CHECK(recipe.name == std::string("flash_hopper_bf16_") + row.tile);
        CHECK(recipe.cut.short_pairs == row.short_pairs);
        CHECK(recipe.cut.short_row_blocks * flash::hopper::Dim128Large::kShortRows >= (row.short_pairs > 0 ? row.seq : 0));
    }
}

TEST_CASE("the copy engine brings masks of 8 and 16 bits whose rows lie at multiples of 16 bytes") {
    struct Row {
        const char* what;
        Operand mask;
        bool boxed;
        std::int64_t heads, batch;
    };
    const Row rows[] = {
        {"one for all heads", {Type::bf16, 512 * 512, 0, 512, 1}, true, 1, 2},     {"one for all", {Type::boolean, 0, 0, 512, 1}, true, 1, 1},
        {"one a head", {Type::f16, 8 * 512 * 512, 512 * 512, 512, 1}, true, 8, 2}, {"float32", {Type::f32, 0, 0, 512, 1}, false, 0, 0},
        {"one row for all", {Type::boolean, 512, 0, 0, 1}, false, 0, 0},           {"keys far apart", {Type::boolean, 0, 0, 1, 512}, false, 0, 0},
        {"rows at odd addresses", {Type::boolean, 0, 0, 520, 1}, false, 0, 0},
    };
    for (const Row& row : rows) {
        CAPTURE(row.what);
        Attention a = dense(512, 512, 128, false);
        a.mask = row.mask;
        const Recipe recipe = flash::choose(a, kHopper, kNoLimit);
        REQUIRE(recipe.boxed);
        CHECK_FALSE(recipe.cut.boxed_mask);  // a call says where its mask begins
        REQUIRE(recipe.boxed->mask.has_value() == row.boxed);
        if (!row.boxed) continue;
        CHECK(recipe.boxed->mask->element_bytes == (row.mask.type == Type::boolean ? 1 : 2));
        CHECK(recipe.boxed->mask->box_rows == flash::hopper::kGroupRows);
        CHECK(recipe.boxed->mask->extent[2] == row.heads);
        CHECK(recipe.boxed->mask->extent[3] == row.batch);
        for (const std::int64_t stride : recipe.boxed->mask->stride_bytes) CHECK(stride % 16 == 0);
    }
}
