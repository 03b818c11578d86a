// Prefill: one block of threads takes PrefillTile::kRows rows of one query head against all their keys.
#ifndef ROCFORGE_KERNELS_FLASH_PREFILL_H
#define ROCFORGE_KERNELS_FLASH_PREFILL_H

#include "kernels/flash/attend.h"
#include "kernels/flash/finish.h"

namespace rocforge::kernels::flash {

#if defined(RF_AMD) || defined(RF_NVIDIA)

// Which rows block `id` takes. Under a causal rule later rows have more keys, and blocks that start first end first: the last rows of a section of
// heads come first. A section's keys and values fit the last-level cache together; without a causal rule a section is one head.
RF_DEVICE TilePlace place_of_block(const Call& call, int id, int tile_rows) {
    const Attention& a = call.attention;
    const int heads_q = static_cast<int>(a.head_q), row_blocks = static_cast<int>(call.cut.row_blocks), per_section = call.cut.heads_per_section;
    const int section = scalar_quotient(id, per_section * row_blocks), first = section * per_section,
              left = static_cast<int>(a.batch) * heads_q - first;
    const int here = left < per_section ? left : per_section, within = id - first * row_blocks;
    int block = scalar_quotient(within, here);
    const int pair = first + within - block * here;
    if (a.causal) block = row_blocks - 1 - block;
    const int sequence = scalar_quotient(pair, heads_q), head = pair - sequence * heads_q;
    return {sequence, scalar_quotient(head, scalar_quotient(heads_q, a.head_kv)), head, 1, block * tile_rows, 0};
}

// The wave's rows to device memory.
template <class T, class Tile, class W> RF_DEVICE void store_rows(const W& worker, const Call& once, int sequence, device::SharedAt shared) {
    using U = typename W::U;
    const Call& call = device::argument_again(once);
    const kernels::Span span = span_of(call.attention, call.pointers, sequence);
    const int chunk0 = worker.place().chunk0, chunks = static_cast<int>(call.attention.dim_v / 8) - chunk0;
#pragma unroll
    for (int t = 0; t < Tile::kRowTiles; ++t) {
        Finished done[U::kLaneRows];
#pragma unroll
        for (int r = 0; r < U::kLaneRows; ++r) {
            const Row row = worker.row(worker.row_number(t, r));
            done[r] = finish({W::score_of(worker.peak(t, r), call.attention), worker.sum(t, r)}, call, row.head);
            if (row.exists && chunk0 == 0 && U::column(worker.lane(), 0) == 0) store_lse(call, span, row.head, row.i, done[r].lse);
        }
        if constexpr (Tile::kQuery == QueryHome::shared) {
            // Through the wave's own rows of Q's place, so that stores are 16 bytes and neighbouring.
#pragma unroll
            for (int d = 0; d < W::kOutSpans; ++d)
#pragma unroll
                for (int e = 0; e < 8; e += 2) {
                    const Finished& f = done[U::lane_row(e)];
                    const int dim = d * W::kSpan + U::column(worker.lane(), e), number = worker.row_number(t, U::lane_row(e));
                    device::store_shared_word(shared + (Tile::QRows::offset(number, dim / 8) + dim % 8 * 2),
                                              T::pack_exactly(worker.out(t, d).get(e) * f.factor, worker.out(t, d).get(e + 1) * f.factor));
                }
        } else {
            const Row row = worker.row(worker.row_number(t, 0));
            char* to = out_row(call, span, row.head, row.i) + chunk0 * 16;
#pragma unroll
            for (int d = 0; d < W::kOutSpans; ++d) {
                float x[8];
#pragma unroll
                for (int e = 0; e < 8; ++e) x[e] = worker.out(t, d).get(e) * done[0].factor;
                const int chunk = (d * W::kSpan + U::column(worker.lane(), 0)) / 8;
                if (row.exists && chunk < chunks) device::store_words(to + chunk * 16, narrowed<T>(x));
            }
        }
    }
    if constexpr (Tile::kQuery == QueryHome::shared) {
        device::wave_barrier();
#pragma unroll 4
        for (int at = worker.lane(); at < Tile::kWaveRows * Tile::kChunks; at += device::kWaveSize) {
            const int number = worker.wave() * Tile::kWaveRows + at / Tile::kChunks, chunk = at % Tile::kChunks;
            const Row row = worker.row(number);
            if (row.exists && chunk < chunks)
                device::store_words(out_row(call, span, row.head, row.i) + chunk * 16,
                                    device::load_shared(shared + Tile::QRows::offset(number, chunk)));
        }
    }
}

// The rows of one tile again, in tiles that are small enough to leave registers for what careful work needs.
template <class T, int Dim, bool General, Paging P> RF_DEVICE void prefill_carefully(const Call& call, TilePlace place, device::SharedAt shared) {
    using Tile = CarefulTile<kThisFamily, Dim>;
    const kernels::Span span = span_of(call.attention, call.pointers, place.sequence);
    const int tile_end = place.row0 + PrefillTile<kThisFamily, Dim>::kRows, end = tile_end < place.rows ? tile_end : place.rows;
#pragma unroll 1
    for (; place.row0 < end; place.row0 += Tile::kRows) {
        device::barrier();  // shared memory is in use until every wave is here
        const int row_end = end - place.row0 < Tile::kRows ? end : place.row0 + Tile::kRows;
        const Reach reach = Reach::of(span);
        const Keys keys = reach.of_any(place.row0, row_end - 1), blocks = keys.blocks_of(Tile::kKeys);
        Worker<T, Tile, General, P, true> worker(call, span, place, shared);
        worker.run(span, keys, reach.of_all(place.row0, row_end - 1), blocks.first, blocks.end, 1);
        store_rows<T, Tile>(worker, call, place.sequence, shared);
    }
}

template <class T, int Dim, bool General, Paging P> RF_DEVICE void prefill(const Call& call) {
    using Tile = PrefillTile<kThisFamily, Dim>;
    const device::SharedAt shared = device::shared_memory<Tile::kSharedBytes>();
    const int passes = passes_of<Tile>(call), id = Tile::kOutDim == Tile::kDim ? device::block_x() : scalar_quotient(device::block_x(), passes);
    TilePlace place = place_of_block(call, id, Tile::kRows);
    place.chunk0 = (device::block_x() - id * passes) * Tile::kOutChunks;
    const kernels::Span span = span_of(call.attention, call.pointers, place.sequence);
    if (place.row0 >= span.len_q) return;
    place.rows = static_cast<int>(span.len_q);
    const int row_end = place.rows - place.row0 < Tile::kRows ? place.rows : place.row0 + Tile::kRows;
    const Reach reach = Reach::of(span);
    const Keys keys = reach.of_any(place.row0, row_end - 1), blocks = keys.blocks_of(Tile::kKeys);
    Worker<T, Tile, General, P, false> worker(call, span, place, shared);
    if (worker.run(span, keys, reach.of_all(place.row0, row_end - 1), blocks.first, blocks.end, 1))
        store_rows<T, Tile>(worker, call, place.sequence, shared);
    else
        prefill_carefully<T, Dim, General, P>(device::argument_again(call), place, shared);
}

#endif

}  // namespace rocforge::kernels::flash

// One kernel of the family flash_prefill_<type>_<dim>[_paged|_general]. A macro, since a symbol that a host finds by name cannot be a template.
#define ROCFORGE_PREFILL_KERNEL(name, T, dim, general, paging)                                                          \
    RF_KERNEL((rocforge::kernels::flash::PrefillTile<rocforge::kernels::kThisFamily, dim>::kThreads),                   \
              (rocforge::kernels::flash::PrefillTile<rocforge::kernels::kThisFamily, dim>::kBlocksPerUnit))             \
    name(RF_KERNEL_PARAMETER rocforge::kernels::Call call) {                                                            \
        rocforge::kernels::flash::prefill<rocforge::matrix::T, dim, general, rocforge::kernels::flash::Paging::paging>( \
            rocforge::device::argument(call));                                                                          \
    }
#define ROCFORGE_PREFILL_KERNELS(prefix, T, dim)                          \
    ROCFORGE_PREFILL_KERNEL(prefix##_##dim, T, dim, false, none)          \
    ROCFORGE_PREFILL_KERNEL(prefix##_##dim##_paged, T, dim, false, pages) \
    ROCFORGE_PREFILL_KERNEL(prefix##_##dim##_general, T, dim, true, told)

#endif
