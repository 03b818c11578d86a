// See flash.h.
#include "kernels/flash/flash.h"

#include <algorithm>
#include <string>

#include "kernels/flash/even_parts.h"
#include "kernels/flash/hopper/hopper.h"
#include "kernels/flash/selection.h"
#include "kernels/flash/tile.h"

namespace rocforge::kernels::flash {
namespace {

// What the host needs of a tile.
struct Numbers {
    int dim, out_dim, rows, keys, waves, threads, shared_bytes, blocks_per_unit, tile_cost;
};
template <class Tile> constexpr Numbers numbers_of() {
    int tile_cost = 0;
    if constexpr (!Tile::kSharedKeys) tile_cost = static_cast<int>(Tile::kTileCost);
    return {Tile::kDim, Tile::kOutDim, Tile::kRows, Tile::kKeys, Tile::kWaves, Tile::kThreads, Tile::kSharedBytes, Tile::kBlocksPerUnit, tile_cost};
}
template <Family F, template <Family, int> class Tile> Numbers numbers_of_dim(std::int64_t dim) {
    if (dim > 128) return numbers_of<Tile<F, 256>>();
    return dim <= 64 ? numbers_of<Tile<F, 64>>() : numbers_of<Tile<F, 128>>();
}
template <Family F> Numbers numbers(bool decode, std::int64_t dim) {
    return decode ? numbers_of_dim<F, DecodeTile>(dim) : numbers_of_dim<F, PrefillTile>(dim);
}

Numbers numbers_for(const Machine& machine, bool decode, std::int64_t dim) {
    switch (machine.family) {
        case Family::gfx9:
            return numbers<Family::gfx9>(decode, dim);
        case Family::gfx11:
            return numbers<Family::gfx11>(decode, dim);
        case Family::gfx12:
            return numbers<Family::gfx12>(decode, dim);
        case Family::sm80:
            return numbers<Family::sm80>(decode, dim);
        case Family::sm90:
            break;
    }
    return numbers<Family::sm90>(decode, dim);
}

std::string kernel_name(const char* kind, const Attention& a, const Numbers& n) {
    return std::string("flash_") + kind + (a.q.type == Type::bf16 ? "_bf16_" : "_f16_") + std::to_string(n.dim) +
           (general(a) ? "_general"
            : a.paged  ? "_paged"
                       : "");
}

Launch launch(std::string function, const Machine& machine, std::int64_t blocks, const Numbers& n) {
    return {std::move(function),
            {static_cast<std::uint32_t>(std::min<std::int64_t>(blocks, UINT32_MAX)), 1, 1},  // too many stay too many: the caller refuses them
            static_cast<std::uint32_t>(n.threads),
            is_nvidia(machine.family) ? static_cast<std::uint32_t>(n.shared_bytes) : 0};
}

// How many (sequence, head) pairs share the last-level cache under a causal rule. 32 MB: most of an H100's 50 MB. Taken over from a prototype's
// notes, not measured by itself.
std::int32_t heads_per_section(const Attention& a) {
    if (!a.causal) return 1;
    constexpr std::int64_t kCacheBytes = 32 << 20, kMost = 16;
    const std::int64_t head_bytes = std::max<std::int64_t>(1, a.max_seq_kv * (a.dim + a.dim_v) * 2);
    return static_cast<std::int32_t>(std::clamp<std::int64_t>(kCacheBytes / head_bytes * a.group(), 1, kMost));
}

Recipe prefill(const Attention& a, const Machine& machine, const Numbers& n) {
    Recipe recipe;
    recipe.name = kernel_name("prefill", a, n);
    recipe.cut.row_blocks = divide_up(a.max_seq_q, n.rows);
    recipe.cut.heads_per_section = heads_per_section(a);
    recipe.launches.push_back(launch(recipe.name, machine, a.batch * a.head_q * recipe.cut.row_blocks * divide_up(a.dim_v, n.out_dim), n));
    return recipe;
}

// Keys and values that are read once push out of the cache what others left there, and wait while that is written back: up to here they ask to leave
// first. Beyond a few times the cache's size that was seen to cost more than it saves (README.md).
constexpr std::int64_t kReadOnceBytes = 256 << 20;

// Blocks of keys of every tile, where neither lengths on the device nor the number of a tile make them differ; else 0.
std::int64_t blocks_of_tile(const Attention& a, const Numbers& n, std::int64_t row_blocks) {
    if (a.kv_lengths || a.ragged_q || a.ragged_kv || row_blocks > 1) return 0;
    const auto rule = ExtentRule::aligned(a.causal, a.bottom_right, a.diagonal, a.window_left, a.window_right, a.max_seq_q, a.max_seq_kv);
    const Extent blocks = blocks_of(rule.any_of_rows(0, a.max_seq_q, a.max_seq_kv), n.keys);
    return std::max<std::int64_t>(1, blocks.end - blocks.first);
}

// How a decode's work is shared out over blocks of threads: their number. affordable: as many as the workspace has room for.
std::int64_t share_out(Cut& cut, const Attention& a, const Machine& machine, const Numbers& n, std::int64_t tiles, std::int64_t affordable) {
    const std::int64_t steps = divide_up(a.max_seq_kv, n.keys * n.waves), units = std::max(machine.compute_units, 1u);  // steps: of the longest tile
    // Several short tiles a block: two blocks a unit hide each other's ends.
    const bool ends_often = is_nvidia(machine.family) && tiles >= 2 * units && steps <= 16;
    const std::int64_t resident = (ends_often ? 2 : 1) * n.blocks_per_unit * units, shares = std::min(resident, affordable);
    // Of an H100's 132 multiprocessors 64 read short tiles as fast as all of them. Not known of other machines.
    cut.busy_shares = is_nvidia(machine.family) ? static_cast<std::int32_t>(units * 7 / 16) : INT32_MAX;
    const std::int64_t blocks = blocks_of_tile(a, n, cut.row_blocks);
    const auto small = [](std::int64_t x) { return static_cast<std::int32_t>(std::clamp<std::int64_t>(x, 1, INT32_MAX)); };
    EvenParts even{0, 0};
    if (blocks > 0) even = EvenParts::of(small(tiles), small(blocks), n.waves, small(shares), cut.busy_shares);
    if (even.parts == 0 && steps > 1 && shares > 0 && tiles * (divide_up(a.max_seq_kv, n.keys) + n.tile_cost) <= INT32_MAX) {
        cut.tile_parts = 0;
        return std::min(shares, tiles * steps);
    }
    cut.tile_parts = std::max(even.parts, 1), cut.part_blocks = even.blocks;
    if (even.parts > 1) return tiles * even.parts;
    if (blocks == 0 || steps <= 1 || tiles <= resident) return tiles;
    return divide_up(tiles, divide_up(tiles, resident));  // as many tiles in every block
}

Recipe decode(const Attention& a, const Machine& machine, const Numbers& n, std::uint64_t workspace_limit_bytes) {
    Recipe recipe;
    recipe.name = kernel_name("decode", a, n);
    const std::int64_t rows = a.max_seq_q * a.group();
    recipe.cut.row_blocks = divide_up(rows, n.rows);
    const std::int64_t tiles = a.batch * a.head_kv * recipe.cut.row_blocks * divide_up(a.dim_v, n.out_dim);
    const auto share_bytes = static_cast<std::uint64_t>(2 * tile_rows(rows, n.rows) * (std::min<std::int64_t>(a.dim_v, n.out_dim) + 4) * 4);
    const std::uint64_t affordable = std::min<std::uint64_t>(workspace_limit_bytes / share_bytes, INT32_MAX);
    Cut& cut = recipe.cut;
    cut.pack = static_cast<std::int32_t>(a.group());
    if (a.paged) cut.table_bytes = ((a.batch - 1) * a.block_table_stride + divide_up(a.max_seq_kv, a.page_size)) * (a.wide_index ? 8 : 4);
    cut.read_once = cut.row_blocks == 1 && a.batch * a.head_kv * a.max_seq_kv * (a.dim + a.dim_v) * 2 <= kReadOnceBytes;
    recipe.launches.push_back(launch(recipe.name, machine, share_out(cut, a, machine, n, tiles, static_cast<std::int64_t>(affordable)), n));
    cut.shares = static_cast<std::int32_t>(recipe.launches[0].grid[0]);
    if (cut.tile_parts != 1) {
        recipe.workspace_bytes = share_bytes * static_cast<std::uint64_t>(cut.shares);
        recipe.zeroed_bytes = static_cast<std::uint64_t>(tiles) * sizeof(std::uint32_t);
        recipe.name += " in " + std::to_string(cut.shares) + " shares";
    }
    return recipe;
}

}  // namespace

Recipe choose(const Attention& a, const Machine& machine, std::uint64_t workspace_limit_bytes) {
    const std::int64_t dim = std::max(a.dim, a.dim_v), rows = a.max_seq_q * a.group();
    const Numbers wide = numbers_for(machine, false, dim), narrow = numbers_for(machine, true, dim);
    // One tile of rows: K and V are read once. A few tiles: read again from the cache, which pays where prefill would leave the machine idle.
    const std::int64_t prefill_blocks = a.batch * a.head_q * divide_up(a.max_seq_q, wide.rows);
    const bool idle = prefill_blocks * 2 <= machine.compute_units && rows <= 8 * narrow.rows && a.max_seq_kv >= 2048;
    if (rows <= narrow.rows || idle) return decode(a, machine, narrow, workspace_limit_bytes);
    if (hopper::takes(a, machine)) return hopper::prefill(a, machine, heads_per_section(a));
    return prefill(a, machine, wide);
}

}  // namespace rocforge::kernels::flash
