// What the bf16 tile kernel keeps in memory: the packed forms of q, k, v, of the probabilities and the output, common to all matrix units, and one
// worker's slice of the workspace; also all of that kernel's constants. No instruction set, no math.
#ifndef ROCFORGE_PLUGINS_CPU_TILE_LAYOUT_H
#define ROCFORGE_PLUGINS_CPU_TILE_LAYOUT_H

#include <cstdint>

#include "plugins/cpu/attention.h"

namespace rocforge::cpu::tiles {

// A tile is 16 rows of 64 bytes. Units multiply  C [16 x 16, f32] += A [16 x 32, bf16] * B [32 x 16, bf16], B with rows 2n and 2n + 1 interleaved:
// row n of the tile holds elements (2n, column), (2n + 1, column) for column 0..15.
//
//   q  A  [row tile][step of 32 dims]                 rows of q, zero-padded
//   k  B  [block of 32 keys][step][2 tiles of keys]   a transpose of dwords: a pair of dims is a dword of k
//   s  C  [2 row tiles][2 tiles of keys]              scores of 32 rows and 32 keys
//   p  A  [block of 32 keys][2 row tiles]             probabilities of 32 rows: 64 bytes are a row's block
//   v  B  [strip of 32 dims][block of 32 keys][2]     two rows of v interleaved, lane by lane of 128 bits
//   o  C  [group of 32 rows][strip][2 row tiles][2]   unnormalised output
constexpr std::int64_t kTile = 16;                    // rows, and dwords of a row
constexpr std::int64_t kTileFloats = kTile * kTile;   // f32 of a tile
constexpr std::int64_t kTileElems = 2 * kTileFloats;  // bf16 of a tile
constexpr std::int64_t kGroup = 2 * kTile;            // rows that are computed together
constexpr std::int64_t kBlock = 2 * kTile;            // keys of one step of p * v; also the dims of a step and of a strip
constexpr std::int64_t kSquare = kGroup * kBlock;     // f32 of 32 x 32
constexpr std::int64_t kChunkBlocks = 8;              // blocks of keys that are packed at once, unless dims are large
constexpr std::int64_t kBurst = 2;                    // blocks of scores between strips of output: queries and probabilities stay in L1
constexpr std::int64_t kMostSquares = 6;              // of scores that wait for their softmax
constexpr std::int64_t kMaxRows = 1024;               // of an item: packing K and V then takes some 5% of the time
constexpr std::int64_t kMinRows = 64;
constexpr float kMostSum = 0x1p50f, kMostV = 0x1p60f;  // of a row's probabilities over a chunk, of v: beyond, the chunk is done carefully

static_assert(kTile * 64 == kTileElems * 2 && kTile * 64 == kTileFloats * 4, "a tile is 16 rows of 64 bytes");
static_assert(kMinRows % kGroup == 0 && kMaxRows % kMinRows == 0, "items are whole groups");
static_assert(double{kMostSum} * double{kMostV} * 0x1p17 <= 0x1p127, "a row's output stays finite over 2^17 chunks");

// V's columns 0..31 of a strip as unpacklo and unpackhi leave them: tile 0 holds dims 0-3, 8-11, 16-19, 24-27, tile 1 the others.

// The problem in tiles.
struct Shape {
    std::int64_t steps;    // of 32 dims
    std::int64_t strips;   // of 32 dims of v
    std::int64_t chunk;    // keys that are packed at once
    std::int64_t squares;  // of scores in use: the fewer, the surer they are in L1; the shorter a block's products, the more wait for their softmax

    explicit Shape(const Attention& a)
        : steps((a.dim + kBlock - 1) / kBlock),
          strips((a.dim_v + kBlock - 1) / kBlock),
          // K and V of a chunk stay within 256 KiB of L2, up to 512 at the largest dims.
          chunk(kBlock * (steps + strips <= 16 ? kChunkBlocks : kChunkBlocks / 2)),
          squares(2 + (kMostSquares - 2 + steps - 1) / steps) {}

    std::int64_t q_elems_of_tile() const { return steps * kTileElems; }
    std::int64_t k_elems_of_block() const { return steps * 2 * kTileElems; }
    std::int64_t v_elems_of_strip() const { return chunk / kBlock * 2 * kTileElems; }
    std::int64_t p_elems() const { return chunk / kBlock * 2 * kTileElems; }
    std::int64_t o_floats_of_group() const { return strips * kSquare; }
};

// One worker's slice.
struct Scratch {
    Bf16 *q, *k, *v;
    Bf16* p;  // of two groups
    float* o;
    float* s;           // a few squares
    float* all_s;       // of all blocks of a chunk: the careful path
    float* minus_peak;  // [row] the running maximum's negative; the lowest float stands for none
    float* sums;        // [row][16 lanes]
    float* chunk_sums;  // [two groups][32 rows][16 lanes]
    bool* started;      // [group]: is anything in o yet?
};

// Bytes of a slice for items of at most `rows` rows; fills *scratch where it is given, for which base is the slice (null: to count alone).
std::int64_t carve(const Attention&, std::int64_t rows, char* base, Scratch* scratch);

// The most rows of an item: q and o of an item stay within half of L2.
std::int64_t item_rows(const Attention&);

}  // namespace rocforge::cpu::tiles
#endif
