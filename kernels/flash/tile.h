// Every constant of the fused kernels, by family of GPU and by head dim: how many waves, rows and keys a block of threads takes, how K and V lie in
// shared memory. Read by device and host alike; no algorithm here.
#ifndef ROCFORGE_KERNELS_FLASH_TILE_H
#define ROCFORGE_KERNELS_FLASH_TILE_H

#include <cstdint>

#include "kernels/common/family.h"
#include "kernels/platform/annotate.h"

namespace rocforge::kernels::flash {

// Rows of `Chunks` 16-byte chunks in shared memory, so that lanes which read the same chunk of different rows meet different banks.
//
// Swizzled: chunk c of row r lies at c ^ (r mod 8), which costs no space. Folded: with bit 3 of the row folded in, for gfx9, whose lanes read rows
// 0..3, 8..11, 16..19 and 24..27 at once. Padded: 16 bytes behind a row and 64 behind eight, where the swizzle's addresses would take more registers
// than there are (RDNA) or rows have fewer than 8 chunks.
enum class Spread { swizzled, folded, padded };
template <Spread S, int Rows, int Chunks> struct SharedRows {
    static_assert(S == Spread::padded || Chunks % 8 == 0, "the swizzle permutes eight chunks");
    static constexpr int kBytes = S == Spread::padded ? Rows * (Chunks * 16 + 16) + (Rows + 7) / 8 * 64 : Rows * Chunks * 16;

    // Of a chunk, in bytes. Unsigned inside: a signed remainder costs three instructions more.
    RF_HOST_DEVICE static constexpr int offset(int row, int chunk) {
        const unsigned r = static_cast<unsigned>(row), c = static_cast<unsigned>(chunk);
        if constexpr (S == Spread::padded) return static_cast<int>(r * (Chunks * 16 + 16) + r / 8 * 64 + c * 16);
        if constexpr (S == Spread::folded) return static_cast<int>(r * Chunks * 16 + (c ^ (r & 7) ^ (r >> 1 & 4)) * 16);
        return static_cast<int>(r * Chunks * 16 + (c ^ (r & 7)) * 16);
    }
    // offset(row + rows, chunk + chunks) from offset(row, chunk), where neither sum carries into a bit that both operands have (lanes differ in low
    // bits, steps are multiples of the lanes' range): one XOR, and the rest is the instruction's immediate.
    RF_HOST_DEVICE static constexpr int moved(int at, int rows, int chunks) {
        if constexpr (S == Spread::padded) return at + (rows * (Chunks * 16 + 16) + rows / 8 * 64 + chunks * 16);
        const int fold = S == Spread::folded ? rows / 8 % 2 * 4 : 0;
        return (at ^ (chunks ^ rows % 8 ^ fold) * 16) + rows * Chunks * 16;
    }
};

constexpr bool is_nvidia(Family f) { return f == Family::sm80 || f == Family::sm90; }
constexpr bool is_rdna(Family f) { return f == Family::gfx11 || f == Family::gfx12; }
constexpr int wave_size(Family f) { return f == Family::gfx9 ? 64 : 32; }
constexpr int larger_of(int a, int b) { return a > b ? a : b; }

// Where Q lies while a block works: in registers; in shared memory (NVIDIA: 32 rows a wave leave no registers for it); read again from device memory
// for each block of keys (where neither has room).
enum class QueryHome { registers, shared, memory };

constexpr QueryHome query_home(Family f) { return is_nvidia(f) ? QueryHome::shared : QueryHome::registers; }

// Dims of the output that a tile holds. RDNA: half of 256, since the output of 16 rows would take half of a wave's 256 registers and five of six
// kernels spilled 8 to 122 of them. Such a tile is done once for each half, the product of Q and K anew.
constexpr int out_dim(Family f, int dim) { return is_rdna(f) && dim > 128 ? 128 : dim; }

// How K lies in shared memory: [key][dim]; and V: so too on NVIDIA, [dim][key] on AMD, where fewer than 64 keys have too few chunks to permute.
constexpr Spread k_spread(Family f) { return is_nvidia(f) ? Spread::swizzled : f == Family::gfx9 ? Spread::folded : Spread::padded; }
constexpr Spread v_spread(Family f, int keys) { return is_nvidia(f) || keys % 64 == 0 ? k_spread(f) : Spread::padded; }
constexpr int v_rows(Family f, int dim, int keys) { return is_nvidia(f) ? keys : dim; }
constexpr int v_chunks(Family f, int dim, int keys) { return (is_nvidia(f) ? dim : keys) / 8; }
// Copies of K and V that a block holds.
constexpr int groups_of(bool shared_keys, int waves) { return shared_keys ? 1 : waves; }

// What both kinds of tile derive from their numbers. Waves that share keys own different rows of the tile (prefill); waves that do not each take
// other keys of the same rows (decode).
template <Family F, int Dim, int Waves, int RowTiles, int Keys, bool SharedKeys, QueryHome Query = query_home(F)> struct TileBase {
    static constexpr int kDim = Dim, kOutDim = out_dim(F, Dim), kWaves = Waves, kRowTiles = RowTiles, kKeys = Keys;
    static constexpr bool kSharedKeys = SharedKeys;
    static constexpr int kThreads = Waves * wave_size(F);
    static constexpr int kWaveRows = 16 * RowTiles;
    static constexpr int kRows = SharedKeys ? Waves * kWaveRows : kWaveRows;
    static constexpr QueryHome kQuery = Query;
    // 16-byte words that a stage may hold from asking for a block to writing it to shared memory (AMD).
    static constexpr int kHeldWords = is_rdna(F) ? 4 : 8;

    static constexpr int kChunks = Dim / 8, kOutChunks = kOutDim / 8;  // 16-byte chunks of a row of Q or K, and of V or the output
    using QRows = SharedRows<Spread::swizzled, kRows, kChunks>;
    using KRows = SharedRows<k_spread(F), Keys, kChunks>;
    using VRows = SharedRows<v_spread(F, Keys), v_rows(F, kOutDim, Keys), v_chunks(F, kOutDim, Keys)>;

    // Shared memory: [Q][K and V, once a group of waves that shares keys][small values]
    static constexpr int kQueryBytes = kQuery == QueryHome::shared ? QRows::kBytes : 0;
    static constexpr int kMergeBytes = SharedKeys ? 0 : 16 * kOutDim * 4;  // a wave's unmerged output takes K's and V's place
    static constexpr int kGroupBytes = larger_of(KRows::kBytes + VRows::kBytes, kMergeBytes);
    static constexpr int kGroups = groups_of(SharedKeys, Waves);
    static constexpr int kSmallBytes = Waves * 4 + (SharedKeys ? 0 : Waves * 16 * 8);
    static constexpr int kSharedBytes = kQueryBytes + kGroups * kGroupBytes + (kSmallBytes + 15) / 16 * 16;
    static_assert(is_nvidia(F) || kSharedBytes <= 64 * 1024, "LDS of a workgroup");
    static_assert(!is_nvidia(F) || kSharedBytes <= 163 * 1024, "shared memory of a block on sm_80");
};

// Rows of one head against all keys. README.md says how the numbers were found; code_limits.h holds the compiled code to them.
template <Family F, int Dim> struct PrefillTile;
template <Family F> struct PrefillTile<F, 64> : TileBase<F, 64, 4, is_rdna(F) ? 1 : 2, 64, true> { static constexpr int kBlocksPerUnit = 2; };
template <Family F> struct PrefillTile<F, 128> : TileBase<F, 128, is_rdna(F) ? 8 : 4, is_rdna(F) ? 1 : 2, is_rdna(F) ? 32 : 64, true> {
    static constexpr int kBlocksPerUnit = 2;
};
template <Family F>
struct PrefillTile<F, 256> : TileBase<F, 256, F == Family::gfx9 ? 4 : 8, 1,
                                      is_nvidia(F)        ? 64
                                      : F == Family::gfx9 ? 32
                                                          : 16,
                                      true, is_rdna(F) ? QueryHome::memory : query_home(F)> {
    static constexpr int kBlocksPerUnit = 1;
};

// A prefill tile's rows again where V holds values that are not finite behind an exclusion: small, since that work needs registers of its own.
template <Family F, int Dim>
using CarefulBase =
    TileBase<F, Dim, PrefillTile<F, Dim>::kWaves, 1, is_rdna(F) ? 16 : 32, true, is_nvidia(F) ? QueryHome::shared : QueryHome::memory>;
template <Family F, int Dim> struct CarefulTile : CarefulBase<F, Dim> {
    static_assert(CarefulBase<F, Dim>::kSharedBytes <= PrefillTile<F, Dim>::kSharedBytes, "it runs in the prefill tile's shared memory");
};

// The query heads of one kv head, packed into 16 rows; each wave streams keys of its own. kBlocksPerUnit: as many as keep the memory busy (NVIDIA: 64
// KiB of keys under way in each), or as fit (AMD). kTileCost: what ending a tile and beginning another costs a block of threads, as blocks of keys
// that it could read meanwhile (NVIDIA: README.md says how it was found; AMD: estimated).
template <Family F, class Base> struct DecodeBase : Base {
    static constexpr int kBlocksPerUnit = Base::kSharedBytes > 32 * 1024 ? 1 : 2;
    static constexpr unsigned kTileCost = (is_nvidia(F) ? 96 : 64) * 1024 / (Base::kKeys * (Base::kDim + Base::kOutDim) * 2);
};
template <Family F, int Dim> struct DecodeTile;
template <Family F> struct DecodeTile<F, 64> : DecodeBase<F, TileBase<F, 64, 4, 1, is_nvidia(F) ? 64 : is_rdna(F) ? 16 : 32, false>> {};
template <Family F>
struct DecodeTile<F, 128>
    : DecodeBase<F, TileBase<F, 128, F == Family::gfx9 ? 3 : 4, 1, is_rdna(F) ? 16 : 32, false, is_rdna(F) ? QueryHome::memory : query_home(F)>> {};
template <Family F>
struct DecodeTile<F, 256> : DecodeBase<F, TileBase<F, 256,
                                                   F == Family::gfx9 ? 1
                                                   : is_rdna(F)      ? 3
                                                                     : 4,
                                                   1, F == Family::gfx9 ? 32 : 16, false, is_rdna(F) ? QueryHome::memory : query_home(F)>> {};

// Rows of a decode tile that some sequence may have, of `rows` packed ones at the most.
constexpr std::int64_t tile_rows(std::int64_t rows, int tile) { return rows < tile ? rows : tile; }

}  // namespace rocforge::kernels::flash
#endif
