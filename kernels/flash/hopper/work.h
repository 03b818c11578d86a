// Which tile a block takes next, and what its threads need to know of it. Tiles are claimed one after the other from a counter, so that a block that
// ends early takes more; under a causal rule the tiles with most keys come first. The last block to end leaves the counters zero.
#ifndef ROCFORGE_KERNELS_FLASH_HOPPER_WORK_H
#define ROCFORGE_KERNELS_FLASH_HOPPER_WORK_H

#include "kernels/flash/hopper/tile.h"
#include "kernels/flash/score.h"
#include "kernels/platform/sm90.h"

namespace rocforge::kernels::flash::hopper {

#if defined(RF_NVIDIA) && defined(__CUDA_ARCH_FEAT_SM90_ALL)

// One tile, as it lies in shared memory. exists 0: no tile is left.
struct Work {
    int exists, sequence, head, kv_head;
    int row0, rows;              // the tile's first row; where its rows, or the sequence's, end
    int q_batch, q_first;        // where the sequence lies in q and out
    int kv_batch, kv_first;      // and in k and v
    int block_begin, block_end;  // blocks of keys that some row attends to
    Reach reach;
    std::int64_t diagonal;  // as in ExtentRule
};
static_assert(sizeof(Work) <= kSlotBytes);

// The number of a tile to its place. Numbers stay below 2^31: takes() in hopper.cpp.
template <class Tile> RF_DEVICE Work work_of(const Call& call, unsigned number) {
    const Attention& a = call.attention;
    const unsigned row_blocks = static_cast<unsigned>(call.cut.row_blocks), heads_per_section = static_cast<unsigned>(call.cut.heads_per_section);
    const unsigned short_pairs = static_cast<unsigned>(call.cut.short_pairs), short_row_blocks = static_cast<unsigned>(call.cut.short_row_blocks);
    const unsigned pairs = static_cast<unsigned>(a.batch) * static_cast<unsigned>(a.head_q) - short_pairs,
                   per_section = heads_per_section * row_blocks;
    Work work{};
    unsigned pair, block;
    int tile_rows = Tile::kRows;
    if (number < pairs * row_blocks) {
        const unsigned section = number / per_section, first = section * heads_per_section, within = number - section * per_section;
        const unsigned here = min(heads_per_section, pairs - first), turn = within / here;
        pair = first + within - turn * here;
        block = a.causal ? row_blocks - 1 - turn : turn;
    } else {
        number -= pairs * row_blocks;
        if (number >= short_pairs * short_row_blocks) return work;
        const unsigned turn = number / short_row_blocks;
        pair = pairs + turn;
        block = number - turn * short_row_blocks;
        tile_rows = Tile::kShortRows;
    }
    work.exists = 1;
    work.sequence = static_cast<int>(pair / static_cast<unsigned>(a.head_q));
    work.head = static_cast<int>(pair) - work.sequence * static_cast<int>(a.head_q);
    work.kv_head = quotient(work.head, quotient(a.head_q, a.head_kv));
    const kernels::Span span = span_of(a, call.pointers, work.sequence);
    const int len_q = static_cast<int>(span.len_q);
    // Under a causal rule the tile that is not whole is the first one, whose rows have the fewest keys, since there consumers rest.
    const int rest = a.causal ? (Tile::kConsumers - (len_q + kGroupRows - 1) / kGroupRows % Tile::kConsumers) % Tile::kConsumers * kGroupRows : 0;
    const int first_row = static_cast<int>(block) * tile_rows - rest;
    work.row0 = max(first_row, 0);
    work.rows = min(len_q, first_row + tile_rows);
    work.q_batch = static_cast<int>(span.q_batch), work.q_first = static_cast<int>(span.q_first);
    work.kv_batch = static_cast<int>(span.kv_batch), work.kv_first = static_cast<int>(span.kv_first);
    work.reach = Reach::of(span);
    work.diagonal = span.rule.diagonal;
    if (work.row0 < work.rows) {
        const Keys blocks = work.reach.of_any(work.row0, work.rows - 1).blocks_of(Tile::kKeys);
        work.block_begin = blocks.first, work.block_end = blocks.end;
    }
    return work;
}

// The page that holds a key, for a sequence with keys. A key past the end counts as the last one, since the block table may end there; a number
// outside the tensor is clamped into it.
RF_DEVICE int page_of(const Call& call, const Work& work, int key) {
    const Attention& a = call.attention;
    const int column = quotient(min(key, work.reach.length - 1), a.page_size);
    const std::int64_t page = index_at(call.pointers.block_table, a.wide_index, work.sequence * a.block_table_stride + column);
    return static_cast<int>(ExtentRule::clamp(page, 0, a.pages - 1));
}

// A position in a ring: the stage, and the phase of its barriers. A ring's user starts at {} and passes stage after stage.
template <int Stages> struct Cursor {
    int stage = 0;
    std::uint32_t phase = 0;
    RF_DEVICE void advance() {
        if (++stage == Stages) stage = 0, phase ^= 1;
    }
};

// The block's barriers, by name, and its shared memory.
template <class Tile> struct Shared {
    device::SharedAt base;

    RF_DEVICE device::SharedAt query(int group) const { return base + (Tile::kQuery + group * Tile::kGroupBytes); }
    RF_DEVICE device::SharedAt out(int group) const { return base + (Tile::kOut + group * Tile::kGroupBytes); }
    RF_DEVICE device::SharedAt keys(int stage) const { return base + (Tile::kKeysAt + stage * Tile::kStageBytes); }
    RF_DEVICE device::SharedAt values(int stage) const { return base + (Tile::kValuesAt + stage * Tile::kStageBytes); }

    RF_DEVICE device::Barrier keys_full(int stage) const { return barrier(stage); }
    RF_DEVICE device::Barrier keys_empty(int stage) const { return barrier(Tile::kStages + stage); }
    RF_DEVICE device::Barrier values_full(int stage) const { return barrier(2 * Tile::kStages + stage); }
    RF_DEVICE device::Barrier values_empty(int stage) const { return barrier(3 * Tile::kStages + stage); }
    RF_DEVICE device::Barrier query_full(int group) const { return barrier(4 * Tile::kStages + group); }
    RF_DEVICE device::Barrier query_empty(int group) const { return barrier(4 * Tile::kStages + Tile::kConsumers + group); }
    RF_DEVICE device::Barrier work_full(int slot) const { return barrier(4 * Tile::kStages + 2 * Tile::kConsumers + slot); }
    RF_DEVICE device::Barrier work_empty(int slot) const { return barrier(4 * Tile::kStages + 2 * Tile::kConsumers + kSlots + slot); }
    RF_DEVICE device::Barrier claim() const { return barrier(4 * Tile::kStages + 2 * Tile::kConsumers + 2 * kSlots); }
    // Nobody waits for: arrivals that would otherwise be behind a branch.
    RF_DEVICE device::Barrier nobodys() const { return barrier(4 * Tile::kStages + 2 * Tile::kConsumers + 2 * kSlots + 1); }
    // Left operand of one group and right operand of the product that makes ALiBi's ramp, in boxes.
    RF_DEVICE device::SharedAt ramp_rows(int group) const { return base + (Tile::kRampAt + group * kGroupRows * kBoxBytes); }
    RF_DEVICE device::SharedAt ramp_keys() const { return base + (Tile::kRampAt + Tile::kConsumers * kGroupRows * kBoxBytes); }
    RF_DEVICE device::SharedAt mask(int group, int stage) const { return base + (Tile::kMasksAt + (group * kMaskBlocks + stage) * Tile::kMaskBytes); }
    RF_DEVICE device::Barrier mask_full(int group, int stage) const { return barrier(kMaskBarriers + group * kMaskBlocks + stage); }
    RF_DEVICE device::Barrier mask_empty(int group, int stage) const { return barrier(kMaskBarriers + Tile::kMasks + group * kMaskBlocks + stage); }

    // By one thread. Consumers arrive once a warp, producers once.
    RF_DEVICE void init() const {
        constexpr int kWarps = 4 * Tile::kConsumers;
        for (int stage = 0; stage < Tile::kStages; ++stage) {
            keys_full(stage).init(1), values_full(stage).init(1);
            keys_empty(stage).init(kWarps), values_empty(stage).init(kWarps);
        }
        for (int group = 0; group < Tile::kConsumers; ++group) query_full(group).init(1), query_empty(group).init(4);
        for (int slot = 0; slot < kSlots; ++slot) work_full(slot).init(1), work_empty(slot).init(kWarps + 3);
        claim().init(1), nobodys().init(kWarps);
        for (int mask = 0; mask < Tile::kMasks; ++mask) mask_full(0, mask).init(1), mask_empty(0, mask).init(4);
        device::publish_barriers();
    }

    RF_DEVICE Work& work(int slot) const { return *static_cast<Work*>(__cvta_shared_to_generic((base + (Tile::kWork + slot * kSlotBytes)).address)); }

private:
    static constexpr int kMaskBarriers = Tile::kBarrierCount - 2 * Tile::kMasks;
    RF_DEVICE device::Barrier barrier(int number) const { return {base + (Tile::kBarriers + number * 8)}; }
};

#endif

}  // namespace rocforge::kernels::flash::hopper
#endif
