// The side that brings data: three warps of one warpgroup, one thread each. One claims tiles and tells the block of them, one sends for Q, one for K
// and V as far ahead as there are stages. They compute nothing and hold few registers.
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

template <class Tile> RF_DEVICE void bring_queries(const MappedCall& call, const Shared<Tile>& shared) {
    Cursor<kSlots> slot;
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
                                    work.q_first + work.row0 + group * kGroupRows, work.head, work.q_batch);
        }
    }
}

template <class Tile> RF_DEVICE void bring_keys(const MappedCall& call, const Shared<Tile>& shared) {
    const auto bring = [](device::SharedAt to, const platform::TensorMap& map, const device::Barrier& full, const Work& work, int row) {
        full.expect(Tile::kStageBytes);
#pragma unroll 1
        for (int box = 0; box < Tile::kBoxes; ++box)
            device::copy_box_in(to + box * Tile::kKeys * kBoxBytes, map, full, box * 64, row, work.kv_head, work.kv_batch);
    };
    Cursor<kSlots> slot;
    Cursor<Tile::kStages> ring;
    device::prefetch_map(call.k);
    device::prefetch_map(call.v);
#pragma unroll 1
    for (;; slot.advance()) {
        shared.work_full(slot.stage).await(slot.phase);
        const Work work = shared.work(slot.stage);
        shared.work_empty(slot.stage).arrive();
        if (!work.exists) return;
        const int claim_at = max(work.block_begin, work.block_end - 2);
        if (claim_at == work.block_end) shared.claim().arrive();
#pragma unroll 1
        for (int block = work.block_begin; block < work.block_end; ++block, ring.advance()) {
            const int row = work.kv_first + block * Tile::kKeys;
            if (block == claim_at) shared.claim().arrive();
            shared.keys_empty(ring.stage).await(ring.phase ^ 1);
            bring(shared.keys(ring.stage), call.k, shared.keys_full(ring.stage), work, row);
            shared.values_empty(ring.stage).await(ring.phase ^ 1);
            bring(shared.values(ring.stage), call.v, shared.values_full(ring.stage), work, row);
        }
    }
}

template <class Tile> RF_DEVICE void produce(const MappedCall& call, const Shared<Tile>& shared) {
    device::give_registers<Tile::kProducerRegisters>();
    if (device::lane_index() != 0) return;
    switch (device::wave_index()) {
        case 0:
            return bring_keys(call, shared);
        case 1:
            return bring_queries(call, shared);
        case 2:
            return claim_tiles(call.call, shared);
        default:
            return;
    }
}

#endif

}  // namespace rocforge::kernels::flash::hopper
#endif
