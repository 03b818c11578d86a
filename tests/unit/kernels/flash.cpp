// Which of the fused kernels a problem gets, and how a decode is shared out; hopper.cpp has Hopper's own. Nothing runs here: the conformance tests
// judge results.
#include "kernels/flash/flash.h"

#include <doctest/doctest.h>

#include <cstdint>

#include "kernels/flash/even_parts.h"
#include "kernels/flash/selection.h"
#include "kernels/flash/tile.h"
#include "tests/unit/kernels/dense.h"

using namespace rocforge::kernels;

namespace {

// What a launch takes over from a family's tile of dim 128.
struct FamilyRow {
    Family family;
    std::uint32_t prefill_threads, prefill_shared_bytes, decode_threads, decode_shared_bytes;
    std::int64_t prefill_rows;
};
template <Family F> constexpr FamilyRow row_of() {
    using Wide = flash::PrefillTile<F, 128>;
    using Narrow = flash::DecodeTile<F, 128>;
    const bool dynamic = flash::is_nvidia(F);
    return {F, Wide::kThreads, dynamic ? Wide::kSharedBytes : 0, Narrow::kThreads, dynamic ? Narrow::kSharedBytes : 0, Wide::kRows};
}

}  // namespace

TEST_CASE("a launch is as its family's tile of the wider head dim says, AMD's without dynamic shared memory") {
    for (const FamilyRow& row :
         {row_of<Family::gfx9>(), row_of<Family::gfx11>(), row_of<Family::gfx12>(), row_of<Family::sm80>(), row_of<Family::sm90>()}) {
        CAPTURE(static_cast<int>(row.family));
        Attention a = dense(520, 512, 40);
        a.dim_v = 104, a.k.head = 0;  // broadcast heads: Hopper's own kernels take none
        const Recipe prefill = chosen(a, {row.family, 100});
        CHECK(prefill.name == "flash_prefill_bf16_128");
        CHECK(prefill.launches[0].threads == row.prefill_threads);
        CHECK(prefill.launches[0].shared_bytes == row.prefill_shared_bytes);
        CHECK(prefill.launches[0].grid[0] == 2 * 8 * flash::divide_up(520, row.prefill_rows));
        a.max_seq_q = a.q_tokens = 1;
        const Recipe decode = chosen(a, {row.family, 100});
        CHECK(decode.name.starts_with("flash_decode_bf16_128"));
        CHECK(decode.launches[0].threads == row.decode_threads);
        CHECK(decode.launches[0].shared_bytes == row.decode_shared_bytes);
    }
}

TEST_CASE("a portable prefill has blocks for each half of a wide output on RDNA, and too many blocks stay too many") {
    struct Row {
        Family family;
        std::int64_t pairs, dim;
        std::uint32_t blocks;
    };
    const Row rows[] = {
        {Family::gfx9, 3, 256, 3},
        {Family::gfx11, 3, 128, 3},
        {Family::gfx11, 3, 256, 6},
        {Family::gfx12, 3, 256, 6},
        {Family::sm80, UINT32_MAX, 128, UINT32_MAX},
        {Family::sm80, (std::int64_t{1} << 32) + 3, 128, UINT32_MAX},
    };
    for (const Row& row : rows) {
        CAPTURE(row.pairs);
        CAPTURE(row.dim);
        CHECK(chosen(pairs(row.pairs, 17, 512, row.dim), {row.family, 1}).launches[0].grid[0] == row.blocks);
    }
}

TEST_CASE("a decode of pages has a kernel of its own, and knows its block table's bytes") {
    Attention a = dense(1, 1000, 128);
    a.batch = 3, a.paged = true, a.page_size = a.kv_tokens = 16, a.pages = 300, a.block_table_stride = 80;
    for (const bool wide_index : {false, true}) {
        a.wide_index = wide_index;
        const Recipe recipe = chosen(a);
        CHECK(recipe.name.starts_with("flash_decode_bf16_128_paged"));
        CHECK(recipe.cut.table_bytes == (2 * 80 + 63) * (wide_index ? 8 : 4));  // the last row ends with its 63rd page
    }
    a.softcap = 30;
    CHECK(chosen(a).name.starts_with("flash_decode_bf16_128_general"));
}

TEST_CASE("one tile of packed rows is a decode, and so are a few where prefill would leave half of the machine idle") {
    struct Row {
        std::int64_t batch, seq_q, seq_kv;
        const char* kernel;
        std::int64_t row_blocks;
        bool read_once;
    };
    const Row rows[] = {
        {1, 16, 100, "flash_decode", 1, true},    {200, 16, 2048, "flash_decode", 1, true},  // K and V are read once, and may leave the cache
        {1, 17, 2048, "flash_decode", 2, false},  {1, 17, 2047, "flash_prefill_bf16_128", 1, false},   // few keys
        {1, 128, 2048, "flash_decode", 8, false}, {1, 129, 2048, "flash_prefill_bf16_128", 2, false},  // more than 8 tiles
        {54, 17, 2048, "flash_decode", 2, false}, {55, 17, 2048, "flash_prefill_bf16_128", 1, false},  // more than half of 108 units
    };
    for (const Row& row : rows) {
        CAPTURE(row.batch);
        CAPTURE(row.seq_q);
        CAPTURE(row.seq_kv);
        const Recipe recipe = chosen(pairs(row.batch, row.seq_q, row.seq_kv, 128), kAmpere);
        CHECK(recipe.name.starts_with(row.kernel));
        CHECK(recipe.cut.row_blocks == row.row_blocks);
        CHECK(recipe.cut.read_once == row.read_once);
    }
}

TEST_CASE("a causal prefill interleaves the heads whose keys and values share the cache") {
    struct Row {
        std::int64_t seq_kv;
        bool causal;
        std::int32_t heads;
    };
    // 512 bytes a key; 4 query heads read the same ones
    const Row rows[] = {{4096, false, 1}, {4096, true, 16}, {1 << 15, true, 8}, {1 << 16, true, 4}, {1 << 17, true, 1}};
    for (const Row& row : rows)
        for (const Machine& machine : {kHopper, kAmpere}) {
            CAPTURE(row.seq_kv);
            CAPTURE(row.causal);
            CHECK(chosen(dense(1024, row.seq_kv, 128, row.causal), machine).cut.heads_per_section == row.heads);
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

TEST_CASE("a decode's tiles have even parts where all are known to be alike, and are cut at all only where 32 bits number their blocks") {
    using Tile = flash::DecodeTile<Family::sm90, 128>;
    static constexpr std::int64_t kMostKeys = (INT32_MAX / 64 - Tile::kTileCost) * Tile::kKeys;  // of each of 64 tiles
    struct Row {
        const char* what;
        void (*change)(Attention&);
        std::int32_t tile_parts;
    };
    const Row rows[] = {
        {"alike", [](Attention&) {}, 16},
        {"lengths on the device", [](Attention& a) { a.kv_lengths = true; }, 0},
        {"ragged keys", [](Attention& a) { a.ragged_kv = true; }, 0},
        {"ragged queries", [](Attention& a) { a.ragged_q = true; }, 0},
        {"several tiles of rows, whose causal ends differ", [](Attention& a) { a = dense(8, 8192, 128, true), a.batch = 1; }, 0},
        {"64 tiles, numbers below 2^31", [](Attention& a) { a = dense(1, kMostKeys, 128), a.batch = 32, a.kv_lengths = true; }, 0},
        {"64 tiles, a number of 2^31", [](Attention& a) { a = dense(1, kMostKeys + 1, 128), a.batch = 32, a.kv_lengths = true; }, 1},
    };
    for (const Row& row : rows) {
        CAPTURE(row.what);
        Attention a = dense(1, 8192, 128);
        a.batch = 4;
        row.change(a);
        const Recipe recipe = chosen(a);
        CHECK(recipe.name.starts_with("flash_decode"));
        CHECK(recipe.cut.tile_parts == row.tile_parts);
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
