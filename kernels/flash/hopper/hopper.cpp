// See hopper.h.
#include "kernels/flash/hopper/hopper.h"

#include <algorithm>
#include <string>

#include "kernels/flash/hopper/tile.h"

namespace rocforge::kernels::flash::hopper {
namespace {

using platform::BoxedTensor;

// What the host needs of a tile, and the end of its kernels' names.
struct Numbers {
    const char* name;
    std::int64_t rows, keys;
    std::uint32_t threads, shared_bytes;
};
template <class T> constexpr Numbers numbers_of(const char* name) { return {name, T::kRows, T::kKeys, T::kThreads, T::kSharedBytes}; }

std::int64_t widest(const Attention& a) { return std::max(a.dim, a.dim_v); }

// By measurement, see README.md: where tiles are few or short, more and smaller ones; else those that read K and V least.
Numbers numbers_for(const Attention& a) {
    if (widest(a) <= 64) {
        const bool large = !a.causal && a.max_seq_kv >= 8192;
        return large ? numbers_of<Dim64Large>("64_large") : numbers_of<Dim64Small>("64_small");
    }
    const bool large = a.max_seq_kv >= (a.causal ? 2048 : 1024);
    return large ? numbers_of<Dim128Large>("128_large") : numbers_of<Dim128Small>("128_small");
}

std::int64_t divide_up(std::int64_t x, std::int64_t by) { return (x + by - 1) / by; }

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

BoxedTensors boxed_tensors(const Attention& a, const Numbers& n) {
    const std::int64_t batch_q = a.ragged_q ? 1 : a.batch, batch_kv = a.ragged_kv ? 1 : a.batch;
    return {boxed(a.q, a.dim, a.q_tokens, a.head_q, batch_q, kGroupRows), boxed(a.k, a.dim, a.kv_tokens, a.head_kv, batch_kv, n.keys),
            boxed(a.v, a.dim_v, a.kv_tokens, a.head_kv, batch_kv, n.keys), boxed(a.out, a.dim_v, a.q_tokens, a.head_q, batch_q, kGroupRows)};
}

std::int64_t tiles_of(const Attention& a, const Numbers& n) { return a.batch * a.head_q * divide_up(a.max_seq_q, n.rows); }

}  // namespace

bool takes(const Attention& a, const Machine& machine) {
    if (machine.family != Family::sm90 || widest(a) > 128 || a.paged) return false;
    if (a.softcap > 0 || a.alibi || a.mask.present() || !(a.scale > 0)) return false;
    const Numbers n = numbers_for(a);
    constexpr std::int64_t kMost = std::int64_t{1} << 30;  // tiles are numbered, tokens addressed in 31 bits
    if (tiles_of(a, n) > kMost || a.q_tokens > kMost || a.kv_tokens > kMost) return false;
    const BoxedTensors tensors = boxed_tensors(a, n);
    return fits(tensors.q) && fits(tensors.k) && fits(tensors.v) && fits(tensors.out);
}

Recipe prefill(const Attention& a, const Machine& machine, std::int32_t heads_per_section) {
    const Numbers n = numbers_for(a);
    Recipe recipe;
    recipe.name = std::string("flash_hopper_") + (a.q.type == Type::bf16 ? "bf16_" : "f16_") + n.name;
    recipe.cut.row_blocks = divide_up(a.max_seq_q, n.rows);
    recipe.cut.heads_per_section = heads_per_section;
    recipe.boxed = boxed_tensors(a, n);
    recipe.zeroed_bytes = 2 * sizeof(std::uint32_t);  // tiles claimed, blocks that have ended
    const std::int64_t blocks = std::min<std::int64_t>(tiles_of(a, n), std::max(machine.compute_units, 1u));
    recipe.launches.push_back({recipe.name, {static_cast<std::uint32_t>(blocks), 1, 1}, n.threads, n.shared_bytes});
    return recipe;
}

}  // namespace rocforge::kernels::flash::hopper
