// See flash.h.
#include "kernels/flash/flash.h"

#include <algorithm>
#include <string>

#include "kernels/flash/hopper/hopper.h"
#include "kernels/flash/tile.h"

namespace rocforge::kernels::flash {
namespace {

// What the host needs of a tile.
struct Numbers {
    int dim, rows, keys, waves, threads, shared_bytes, blocks_per_unit;
};
template <class Tile> constexpr Numbers numbers_of() {
    return {Tile::kDim, Tile::kRows, Tile::kKeys, Tile::kWaves, Tile::kThreads, Tile::kSharedBytes, Tile::kBlocksPerUnit};
}
template <Family F, template <Family, int> class Tile> Numbers numbers_of_dim(std::int64_t dim) {
    if constexpr (max_dim(F) > 128)
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

constexpr std::int64_t kMostSplits = 1024;  // combining reads every split of a row one after the other

std::int64_t divide_up(std::int64_t x, std::int64_t by) { return (x + by - 1) / by; }

// Anything that changes scores beyond a positive scale and bounds on keys.
bool general(const Attention& a) { return a.softcap > 0 || a.alibi || a.mask.present() || !(a.scale > 0); }

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
    recipe.launches.push_back(launch(recipe.name, machine, a.batch * a.head_q * recipe.cut.row_blocks, n));
    return recipe;
}

std::uint64_t partial_bytes(const Attention& a) { return static_cast<std::uint64_t>(a.batch * a.head_q * a.max_seq_q * (a.dim_v + 2) * 4); }

// Keys a split. Reading K and V bounds a decode, so a compute unit is busy for as many keys as its blocks have: the busiest one's share, in bytes of
// all of them, plus what writing and reading partial results costs, is least. Splits are whole blocks of keys, and there are enough of them to keep
// two blocks on every unit where the keys allow it: one does not have enough loads under way.
std::int64_t keys_per_split(const Attention& a, const Machine& machine, const Numbers& n, std::int64_t tiles, std::uint64_t workspace_limit_bytes) {
    const std::int64_t units = std::max(machine.compute_units, 1u), blocks = std::max<std::int64_t>(1, divide_up(a.max_seq_kv, n.keys));
    const std::int64_t by_memory =
        static_cast<std::int64_t>(std::min<std::uint64_t>(workspace_limit_bytes / std::max<std::uint64_t>(partial_bytes(a), 1), kMostSplits));
    const std::int64_t most = std::max<std::int64_t>(1, std::min({by_memory, divide_up(blocks, n.waves), kMostSplits}));
    const std::int64_t wanted = std::min(most, divide_up(n.blocks_per_unit * units, tiles));
    std::int64_t chosen = blocks;
    double least = -1;
    for (std::int64_t splits = wanted; splits <= std::min(most, 16 * wanted); ++splits) {
        const std::int64_t per_split = divide_up(blocks, splits), used = divide_up(blocks, per_split);
        const double share = static_cast<double>(divide_up(tiles * used, units) * units * per_split * n.keys * (a.dim + a.dim_v) * 2);
        const double cost = share + (used > 1 ? 2.0 * static_cast<double>(partial_bytes(a)) * static_cast<double>(used) : 0.0);
        if (least < 0 || cost < least) least = cost, chosen = per_split;
    }
    return chosen * n.keys;
}

Recipe decode(const Attention& a, const Machine& machine, const Numbers& n, std::uint64_t workspace_limit_bytes) {
    Recipe recipe;
    recipe.name = kernel_name("decode", a, n);
    recipe.cut.row_blocks = divide_up(a.max_seq_q * a.group(), n.rows);
    const std::int64_t tiles = a.batch * a.head_kv * recipe.cut.row_blocks;
    recipe.cut.keys_per_split = keys_per_split(a, machine, n, tiles, workspace_limit_bytes);
    recipe.cut.splits = static_cast<std::int32_t>(std::max<std::int64_t>(1, divide_up(a.max_seq_kv, recipe.cut.keys_per_split)));
    recipe.launches.push_back(launch(recipe.name, machine, tiles * recipe.cut.splits, n));
    if (recipe.cut.splits > 1) {
        recipe.workspace_bytes = partial_bytes(a) * static_cast<std::uint64_t>(recipe.cut.splits);
        Numbers combine = n;
        combine.threads = kCombineWaves * wave_size(machine.family);
        combine.shared_bytes = kCombineSharedBytes;
        const char* name = a.q.type == Type::bf16 ? "flash_combine_bf16" : "flash_combine_f16";
        recipe.launches.push_back(launch(name, machine, a.batch * a.head_q * a.max_seq_q, combine));
        recipe.name += " in " + std::to_string(recipe.cut.splits) + " splits";
    }
    return recipe;
}

}  // namespace

std::int64_t max_dim_of(Family family) { return max_dim(family); }

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
