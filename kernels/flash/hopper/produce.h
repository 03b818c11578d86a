// The side that brings data: four warps of one warpgroup. One claims tiles and tells the block of them, one sends for Q and masks, one for K and one
// for V as far ahead as there are stages. They compute nothing and hold few registers.
#ifndef ROCFORGE_KERNELS_FLASH_HOPPER_PRODUCE_H
#define ROCFORGE_KERNELS_FLASH_HOPPER_PRODUCE_H

#include "kernels/flash/hopper/work.h"

namespace rocforge::kernels::flash::hopper {

#if defined(RF_NVIDIA) && defined(__CUDA_ARCH_FEAT_SM90_ALL)

// Tiles, one ahead of the copies: the next is claimed when the last blocks of this one are sent for. The later a claim, the more even the end.
template <class Tile> RF_DEVICE void claim_tiles(const Call& call, const Shared<Tile>& shared) {
    const unsigned blocks = gridDim.x;
    unsigned number = blockIdx.x;
    Cursor<kSlots> slot;
    std::uint32_t claimed = 0;
#pragma unroll 1
    for (bool left = true; left; slot.advance()) {
        const Work work = work_of<Tile>(call, number);
        shared.work_empty(slot.stage).await(slot.phase ^ 1);
        shared.work(slot.stage) = work;
        shared.work_full(slot.stage).arrive();
        left = work.exists != 0;
        if (!left) break;
        shared.claim().await(claimed);
        claimed ^= 1;
        number = blocks + device::count_up(call.zeroed);
    }
    if (device::count_round(call.zeroed + 1, blocks - 1) == blocks - 1) atomicExch(call.zeroed, 0u);
}

// A mask that has 8 or 16 bits an element: each consumer's rows of the tile's blocks, whether it attends to them or not.
template <class Tile> RF_DEVICE void bring_masks(const MappedCall& call, const Shared<Tile>& shared, const Work& work, Cursor<kMaskBlocks>& ring) {
    const Operand& mask = call.call.attention.mask;
    const int bytes = mask.type == Type::boolean ? Tile::kMaskBytes / 2 : Tile::kMaskBytes;
    const int head = mask.head == 0 ? 0 : work.head, batch = mask.batch == 0 ? 0 : work.sequence;
#pragma unroll 1
    for (int block = work.block_begin; block < work.block_end; ++block, ring.advance())
#pragma unroll 1
        for (int group = 0; group < Tile::kConsumers; ++group) {
            const device::Barrier full = shared.mask_full(group, ring.stage);
            shared.mask_empty(group, ring.stage).await(ring.phase ^ 1);
            full.expect(bytes);
            device::copy_box_in(shared.mask(group, ring.stage), call.mask, full, block * Tile::kKeys, work.row0 + group * kGroupRows, head, batch);
        }
}

// Queries, and behind each tile's the masks for it, where there are any and the copy engine can bring them.
template <class Tile> RF_DEVICE void bring_queries(const MappedCall& call, const Shared<Tile>& shared) {
    Cursor<kSlots> slot;
    Cursor<kMaskBlocks> masks;
    device::prefetch_map(call.q);
#pragma unroll 1
    for (std::uint32_t phase = 1;; phase ^= 1, slot.advance()) {
        shared.work_full(slot.stage).await(slot.phase);
        const Work work = shared.work(slot.stage);
        shared.work_empty(slot.stage).arrive();
        if (!work.exists) return;
#pragma unroll 1
        for (int group = 0; group < Tile::kConsumers; ++group) {
            shared.query_empty(group).await(phase);
            shared.query_full(group).expect(Tile::kGroupBytes);
#pragma unroll 1
            for (int box = 0; box < Tile::kBoxes; ++box)
                device::copy_box_in(shared.query(group) + box * kGroupRows * kBoxBytes, call.q, shared.query_full(group), box * 64,
                                    work.q_first + min(work.row0, work.rows) + group * kGroupRows, work.head, work.q_batch);
        }
        if (Tile::kMasked && call.call.cut.boxed_mask) bring_masks(call, shared, work, masks);
    }
}

// One block of K or V by as many boxes as the map's have rows, one a lane. Paged: a box lies within a page.
template <class Tile> struct KeyBoxes {
    const MappedCall& call;
    int rows;  // of a box

    RF_DEVICE bool mine() const { return device::lane_index() * rows < Tile::kKeys; }
    // Where this lane's box of a block begins: axis 0 and the sequence axis.
    RF_DEVICE int2 place(const Work& work, int block) const {
        const Attention& a = call.call.attention;
        const int key = block * Tile::kKeys + device::lane_index() * rows;
        if (!a.paged) return {work.kv_batch, work.kv_first + key};
        return mine() ? int2{page_of(call.call, work, key), key % static_cast<int>(a.page_size)} : int2{0, 0};
    }
    RF_DEVICE void bring(device::SharedAt to, const platform::TensorMap& map, const device::Barrier& full, int head, int2 place) const {
        if (device::lane_index() == 0) full.expect(Tile::kStageBytes);
        device::wave_barrier();
        if (!mine()) return;
#pragma unroll 1
        for (int box = 0; box < Tile::kBoxes; ++box)
            device::copy_box_in(to + (box * Tile::kKeys + device::lane_index() * rows) * kBoxBytes, map, full, box * 64, place.y, head, place.x);
    }
};

// K or V. K's warp says when the next tile is to be claimed.
template <bool Values, class Tile> RF_DEVICE void bring_blocks(const MappedCall& call, const Shared<Tile>& shared) {
    const platform::TensorMap& map = Values ? call.v : call.k;
    const KeyBoxes<Tile> boxes{call, call.call.cut.box_rows};
    const bool first = device::lane_index() == 0;
    Cursor<kSlots> slot;
    Cursor<Tile::kStages> ring;
    if (first) device::prefetch_map(map);
#pragma unroll 1
    for (;; slot.advance()) {
        shared.work_full(slot.stage).await(slot.phase);
        const Work work = shared.work(slot.stage);
        device::wave_barrier();
        if (first) shared.work_empty(slot.stage).arrive();
        if (!work.exists) return;
        const int claim_at = max(work.block_begin, work.block_end - 2);
        if (!Values && first && claim_at == work.block_end) shared.claim().arrive();
#pragma unroll 1
        for (int block = work.block_begin; block < work.block_end; ++block, ring.advance()) {
            if (!Values && first && block == claim_at) shared.claim().arrive();
            const int2 place = boxes.place(work, block);
            (Values ? shared.values_empty(ring.stage) : shared.keys_empty(ring.stage)).await(ring.phase ^ 1);
            boxes.bring(Values ? shared.values(ring.stage) : shared.keys(ring.stage), map,
                        Values ? shared.values_full(ring.stage) : shared.keys_full(ring.stage), work.kv_head, place);
        }
    }
}

template <class Tile> RF_DEVICE void produce(const MappedCall& call, const Shared<Tile>& shared) {
    device::give_registers<Tile::kProducerRegisters>();
    const bool first = device::lane_index() == 0;
    switch (device::wave_index()) {
        case 0:
            return bring_blocks<false>(call, shared);
        case 1:
            return first ? bring_queries(call, shared) : void();
        case 2:
            return first ? claim_tiles(call.call, shared) : void();
        default:
            return bring_blocks<true>(call, shared);
    }
}

#endif

}  // namespace rocforge::kernels::flash::hopper
#endif
