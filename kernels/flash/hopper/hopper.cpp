// See hopper.h.
#include "kernels/flash/hopper/hopper.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <span>
#include <string>

#include "kernels/flash/hopper/tile.h"
#include "kernels/flash/selection.h"

namespace rocforge::kernels::flash::hopper {
namespace {

using platform::BoxedTensor;

// What the host needs of a tile, the end of its kernel's name, and its rate: what it computes of a full tile in the same time as others of its dim,
// by measurement (README.md), at under kLong keys a row and at more. 0: only by name.
struct Numbers {
    const char* name;
    std::int64_t rows, short_rows, keys;
    std::uint32_t threads, shared_bytes;
    double short_rate, long_rate;
};
template <class T> constexpr Numbers numbers_of(const char* name, double short_rate = 0, double long_rate = 0) {
    return {name, T::kRows, T::kShortRows, T::kKeys, T::kThreads, T::kSharedBytes, short_rate, long_rate};
}
constexpr std::int64_t kLong = 1536;
constexpr Numbers kDim64[] = {numbers_of<Dim64Small>("64_small", 0.97, 0.97), numbers_of<Dim64Large>("64_large", 1, 1)};
constexpr Numbers kDim128[] = {numbers_of<Dim128Small>("128_small", 0.87, 0.92), numbers_of<Dim128Medium>("128_medium", 1, 1)};
constexpr Numbers kDim128Pages = numbers_of<Dim128Large>("128_large");
constexpr Numbers kDim256 = numbers_of<Dim256Small>("256_small");
constexpr Numbers kSoftcap[] = {numbers_of<Dim64Scored>("64_softcap"), numbers_of<Dim128Medium>("128_softcap"),
                                numbers_of<Dim256Small>("256_softcap")};
constexpr Numbers kAlibi[] = {numbers_of<Dim64Ramped>("64_alibi"), numbers_of<Dim128Ramped>("128_alibi"), numbers_of<Dim256Ramped>("256_alibi")};
constexpr Numbers kMask[] = {numbers_of<Dim64Masked>("64_mask"), numbers_of<Dim128Masked>("128_mask"), numbers_of<Dim256Masked>("256_mask")};
constexpr Numbers kGeneral[] = {numbers_of<Dim64Masked>("64_general"), numbers_of<Dim128Masked>("128_general"),
                                numbers_of<Dim256Masked>("256_general")};

std::int64_t widest(const Attention& a) { return std::max(a.dim, a.dim_v); }
std::int64_t tiles_of(const Attention& a, const Numbers& n) { return a.batch * a.head_q * divide_up(a.max_seq_q, n.rows); }

// How a call's rows are cut into tiles: the last `short_pairs` pairs of a sequence and a head into short ones. `rounds`: how many whole tiles one
// unit takes one after the other until all are done.
struct Tiling {
    std::int64_t short_pairs;
    double rounds;
};

// What a short tile takes of a whole one's time where one of three consumers rests (README.md).
constexpr double kShortTile = 0.74;

// Under a causal rule short tiles come by themselves and fill the last round. Otherwise whole tiles end in rounds, and what is left after the last
// full one is cut smaller, where that ends earlier.
Tiling tiling_of(const Attention& a, const Machine& machine, const Numbers& n) {
    const std::int64_t pairs = a.batch * a.head_q, units = std::max<std::int64_t>(machine.compute_units, 1),
                       row_blocks = divide_up(a.max_seq_q, n.rows);
    if (a.causal) return {0, static_cast<double>(pairs * row_blocks) / static_cast<double>(units) + 0.5};
    const auto rounds = [units](std::int64_t tiles) { return static_cast<double>(divide_up(tiles, units)); };
    Tiling best{0, rounds(pairs * row_blocks)};
    const std::int64_t full_rounds = pairs * row_blocks / units;
    if (n.rows < 3 * kGroupRows || full_rounds == 0 || full_rounds > 32) return best;
    const std::int64_t whole_pairs = full_rounds * units / row_blocks, short_pairs = pairs - whole_pairs;
    // Units that the whole tiles leave idle in their last round take a short one then.
    const std::int64_t idle = full_rounds * units - whole_pairs * row_blocks, left = short_pairs * divide_up(a.max_seq_q, n.short_rows) - idle;
    const double cut = static_cast<double>(full_rounds) + (left > 0 ? rounds(left) * kShortTile : 0);
    return cut < best.rounds ? Tiling{short_pairs, cut} : best;
}

// How long a launch takes, in rows of one unit.
double time_of(const Attention& a, const Machine& machine, const Numbers& n) {
    const std::int64_t keys = a.causal ? a.max_seq_kv / 2 : a.max_seq_kv;
    return tiling_of(a, machine, n).rounds * static_cast<double>(n.rows) / (keys < kLong ? n.short_rate : n.long_rate);
}

const Numbers& fastest(const Attention& a, const Machine& machine, std::span<const Numbers> tiles) {
    return *std::min_element(tiles.begin(), tiles.end(),
                             [&](const Numbers& x, const Numbers& y) { return time_of(a, machine, x) < time_of(a, machine, y); });
}

bool within(float x, float least, float most) { return x >= least && x <= most; }

Features features_of(const Attention& a) {
    if (!general(a)) return Features::none;
    if (within(a.softcap, kLeastCap, kMostCap) && within(std::abs(a.scale) / a.softcap, kLeastSteepness, kMostSteepness) && !a.alibi &&
        !a.mask.present())
        return Features::softcap;
    if (a.softcap > 0 || a.scale < kLeastUnit || a.scale > kMostUnit || a.alibi == a.mask.present() || a.mask.type == Type::f32) return Features::all;
    return a.alibi ? Features::alibi : Features::mask;
}

// Pages of other sizes than multiples of 64 keys: blocks of 80 are 1 to 4 % faster then.
const Numbers& numbers_for(const Attention& a, const Machine& machine) {
    const int dim = widest(a) <= 64 ? 0 : widest(a) <= 128 ? 1 : 2;
    switch (features_of(a)) {
        case Features::softcap:
            return kSoftcap[dim];
        case Features::alibi:
            return kAlibi[dim];
        case Features::mask:
            return kMask[dim];
        case Features::all:
            return kGeneral[dim];
        case Features::none:
            break;
    }
    if (dim == 0) return a.paged || a.causal ? kDim64[0] : fastest(a, machine, kDim64);
    if (dim == 1) return !a.paged ? fastest(a, machine, kDim128) : a.page_size % kDim128[1].keys == 0 ? kDim128[1] : kDim128Pages;
    return kDim256;
}

// A stride of an axis with one element is never used; the copy engine wants a valid one all the same.
BoxedTensor boxed(const Operand& o, std::int64_t dim, std::int64_t sequence, std::int64_t heads, std::int64_t batch, std::int64_t box_rows) {
    const auto bytes = [&](std::int64_t stride, std::int64_t extent) { return extent == 1 ? dim * 2 : stride * 2; };
    return {{dim, sequence, heads, batch},
            {bytes(o.sequence, sequence), bytes(o.head, heads), bytes(o.batch, batch)},
            static_cast<std::uint32_t>(box_rows)};
}

bool fits(const BoxedTensor& t) {
    return std::all_of(std::begin(t.extent), std::end(t.extent), [](std::int64_t x) { return x >= 1 && x <= BoxedTensor::kMaxExtent; }) &&
           std::all_of(std::begin(t.stride_bytes), std::end(t.stride_bytes),
                       [](std::int64_t x) { return x > 0 && x < BoxedTensor::kMaxStrideBytes && x % BoxedTensor::kStrideBytes == 0; });
}

// Keys that the copy engine brings at once: of one page.
std::int64_t box_keys(const Attention& a, const Numbers& n) { return a.paged ? std::gcd(a.page_size, n.keys) : n.keys; }

// A mask that the copy engine can bring, if its elements begin where that can read. Heads and sequences that share one are an axis of one element.
std::optional<BoxedTensor> boxed_mask(const Attention& a) {
    const Operand& m = a.mask;
    if (!m.present() || m.type == Type::f32 || (m.last != 1 && a.max_seq_kv > 1)) return std::nullopt;
    const std::int64_t bytes = bytes_of(m.type), row_bytes = divide_up(a.max_seq_kv * bytes, BoxedTensor::kStrideBytes) * BoxedTensor::kStrideBytes;
    const auto stride = [&](std::int64_t elements, std::int64_t extent) { return extent == 1 ? row_bytes : elements * bytes; };
    const std::int64_t heads = m.head == 0 ? 1 : a.head_q, batch = m.batch == 0 ? 1 : a.batch;
    const BoxedTensor mask{{a.max_seq_kv, a.max_seq_q, heads, batch},
                           {stride(m.sequence, a.max_seq_q), stride(m.head, heads), stride(m.batch, batch)},
                           kGroupRows,
                           static_cast<std::uint32_t>(bytes)};
    return fits(mask) ? std::optional(mask) : std::nullopt;
}

BoxedTensors boxed_tensors(const Attention& a, const Numbers& n) {
    const std::int64_t batch_q = a.ragged_q ? 1 : a.batch, batch_kv = a.paged ? a.pages : a.ragged_kv ? 1 : a.batch, keys = box_keys(a, n);
    return {boxed(a.q, a.dim, a.q_tokens, a.head_q, batch_q, kGroupRows), boxed(a.k, a.dim, a.kv_tokens, a.head_kv, batch_kv, keys),
            boxed(a.v, a.dim_v, a.kv_tokens, a.head_kv, batch_kv, keys), boxed(a.out, a.dim_v, a.q_tokens, a.head_q, batch_q, kGroupRows),
            boxed_mask(a)};
}

}  // namespace

bool takes(const Attention& a, const Machine& machine) {
    if (machine.family != Family::sm90 || widest(a) > Dim256Small::kDim) return false;
    const Numbers& n = numbers_for(a, machine);
    if (box_keys(a, n) % kSwizzledRows != 0) return false;
    constexpr std::int64_t kMost = std::int64_t{1} << 30;  // tiles and pages are numbered, tokens addressed in 31 bits
    if (tiles_of(a, n) > kMost || a.q_tokens > kMost || a.kv_tokens > kMost || (a.paged && a.pages > kMost)) return false;
    const BoxedTensors tensors = boxed_tensors(a, n);
    return fits(tensors.q) && fits(tensors.k) && fits(tensors.v) && fits(tensors.out);
}

Recipe prefill(const Attention& a, const Machine& machine, std::int32_t heads_per_section) {
    const Numbers& n = numbers_for(a, machine);
    Recipe recipe;
    recipe.name = std::string("flash_hopper_") + (a.q.type == Type::bf16 ? "bf16_" : "f16_") + n.name;
    recipe.cut.row_blocks = divide_up(a.max_seq_q, n.rows);
    recipe.cut.heads_per_section = heads_per_section;
    recipe.cut.box_rows = static_cast<std::int32_t>(box_keys(a, n));
    recipe.cut.short_pairs = static_cast<std::int32_t>(tiling_of(a, machine, n).short_pairs);
    recipe.cut.short_row_blocks = static_cast<std::int32_t>(divide_up(a.max_seq_q, n.short_rows));
    recipe.boxed = boxed_tensors(a, n);
    recipe.zeroed_bytes = 2 * sizeof(std::uint32_t);  // tiles claimed, blocks that have ended
    const std::int64_t blocks = std::min<std::int64_t>(tiles_of(a, n), std::max(machine.compute_units, 1u));
    recipe.launches.push_back({recipe.name, {static_cast<std::uint32_t>(blocks), 1, 1}, n.threads, n.shared_bytes});
    return recipe;
}

}  // namespace rocforge::kernels::flash::hopper
