// See flash.h.
#include "kernels/flash/flash.h"

#include <algorithm>
#include <string>

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
template <Family F> Numbers prefill_numbers(std::int64_t dim) {
    return dim <= 64 ? numbers_of<PrefillTile<F, 64>>() : dim <= 128 ? numbers_of<PrefillTile<F, 128>>() : numbers_of<PrefillTile<F, 256>>();
}
template <Family F> Numbers decode_numbers(std::int64_t dim) {
    return dim <= 64 ? numbers_of<DecodeTile<F, 64>>() : dim <= 128 ? numbers_of<DecodeTile<F, 128>>() : numbers_of<DecodeTile<F, 256>>();
}
template <Family F> Numbers numbers(bool decode, std::int64_t dim) { return decode ? decode_numbers<F>(dim) : prefill_numbers<F>(dim); }

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

std::int64_t divide_up(std::int64_t x, std::int64_t by) { return (x + by - 1) / by; }

// Anything that changes scores beyond a positive scale and bounds on keys.
bool general(const Attention& a) { return a.softcap > 0 || a.alibi || a.mask.present() || !(a.scale > 0); }

std::string kernel_name(const char* kind, const Attention& a, const Numbers& n) {
    return std::string("flash_") + kind + (a.q.type == Type::bf16 ? "_bf16_" : "_f16_") + std::to_string(n.dim) + (general(a) ? "_general" : "") +
           (a.paged ? "_paged" : "");
}

Launch launch(std::string function, const Machine& machine, std::int64_t blocks, const Numbers& n) {
    return {std::move(function),
            {static_cast<std::uint32_t>(blocks), 1, 1},
            static_cast<std::uint32_t>(n.threads),
            is_nvidia(machine.family) ? static_cast<std::uint32_t>(n.shared_bytes) : 0};
}

// How many (sequence, head) pairs share the last-level cache under a causal rule. 32 MB: most of an H100's 50 MB; found on an H100, where it is
// worth 0 to 4% at 16k keys.
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

// The fewest splits whose last round of blocks leaves little of the machine idle; never so many that a wave has less than one block of keys.
std::int64_t splits_for(const Attention& a, const Machine& machine, const Numbers& n, std::int64_t tiles, std::uint64_t workspace_limit_bytes) {
    const std::int64_t slots = std::int64_t{std::max(machine.compute_units, 1u)} * n.blocks_per_unit;
    const std::int64_t by_keys = divide_up(a.max_seq_kv, n.keys * n.waves);
    const std::int64_t by_memory = static_cast<std::int64_t>(workspace_limit_bytes / std::max<std::uint64_t>(partial_bytes(a), 1));
    const std::int64_t most = std::min({by_keys, by_memory, std::max<std::int64_t>(4 * slots / tiles, 1)});
    std::int64_t chosen = 1;
    double best = 0;
    for (std::int64_t splits = 1; splits <= most; ++splits) {
        const double efficiency = static_cast<double>(tiles * splits) / static_cast<double>(divide_up(tiles * splits, slots) * slots);
        if (efficiency > best + 0.05) best = efficiency, chosen = splits;
    }
    return chosen;
}

Recipe decode(const Attention& a, const Machine& machine, const Numbers& n, std::uint64_t workspace_limit_bytes) {
    Recipe recipe;
    recipe.name = kernel_name("decode", a, n);
    recipe.cut.row_blocks = divide_up(a.max_seq_q * a.group(), n.rows);
    const std::int64_t tiles = a.batch * a.head_kv * recipe.cut.row_blocks, granule = std::int64_t{n.keys} * n.waves;
    const std::int64_t splits = std::max<std::int64_t>(1, splits_for(a, machine, n, tiles, workspace_limit_bytes));
    recipe.cut.keys_per_split = std::max(divide_up(divide_up(a.max_seq_kv, splits), granule) * granule, granule);
    recipe.cut.splits = static_cast<std::int32_t>(std::max<std::int64_t>(1, divide_up(a.max_seq_kv, recipe.cut.keys_per_split)));
    recipe.launches.push_back(launch(recipe.name, machine, tiles * recipe.cut.splits, n));
    if (recipe.cut.splits > 1) {
        recipe.workspace_bytes = partial_bytes(a) * static_cast<std::uint64_t>(recipe.cut.splits);
        Numbers combine = n;
        combine.threads = kCombineWaves * wave_size(machine.family);
        combine.shared_bytes = 0;
        const std::int64_t rows = a.batch * a.head_q * a.max_seq_q;
        recipe.launches.push_back(
            launch(a.q.type == Type::bf16 ? "flash_combine_bf16" : "flash_combine_f16", machine, divide_up(rows, kCombineWaves), combine));
        recipe.name += " in " + std::to_string(recipe.cut.splits) + " splits";
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
    return prefill(a, machine, wide);
}

}  // namespace rocforge::kernels::flash
