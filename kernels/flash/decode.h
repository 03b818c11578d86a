// Decode: few rows against many keys, bound by the reading of K and V. The query heads of one kv head are packed into 16 rows, so that its K and V
// are read once; the keys are split over blocks of threads, and within a block over waves, which never wait for one another until the end. (Dao,
// Haziza, Massa, Sizov, "Flash-Decoding for long-context inference", 2023.)
//
// The waves' results merge in shared memory. With one split they are the output; else each split leaves (peak, sum, unnormalised output) per row in
// the workspace, and flash_combine puts the splits together:
//
//   workspace   output [splits, batch * head_q * max_seq_q, dim_v] f32, then {peak, sum} [splits, batch * head_q * max_seq_q] f32
#ifndef ROCFORGE_KERNELS_FLASH_DECODE_H
#define ROCFORGE_KERNELS_FLASH_DECODE_H

#include "kernels/flash/attend.h"
#include "kernels/flash/finish.h"

namespace rocforge::kernels::flash {

#if defined(RF_AMD) || defined(RF_NVIDIA)

// The partial results in the workspace.
struct Partials {
    float* output;
    float* sums;
    std::int64_t rows, dim_v;

    RF_DEVICE explicit Partials(const Call& call) {
        const Attention& a = call.attention;
        rows = a.batch * a.head_q * a.max_seq_q, dim_v = a.dim_v;
        output = reinterpret_cast<float*>(call.workspace);
        sums = output + static_cast<std::int64_t>(call.cut.splits) * rows * dim_v;
    }
    RF_DEVICE float* output_of(std::int64_t split, std::int64_t row) const { return output + (split * rows + row) * dim_v; }
    RF_DEVICE float* sum_of(std::int64_t split, std::int64_t row) const { return sums + (split * rows + row) * 2; }
};

// A wave's {peak, sum} of a row in shared memory, behind the votes.
template <class Tile> RF_DEVICE device::SharedAt wave_sum(device::SharedAt small, int wave, int row) {
    return small + (Tile::kWaves * 4 + (wave * 16 + row) * 8);
}

// What this wave found, to shared memory: its output [16][kDim] takes the place of its keys.
template <class Tile, class W> RF_DEVICE void leave(const W& worker) {
    using U = typename W::U;
    device::wave_barrier();  // every lane is done with V
#pragma unroll
    for (int r = 0; r < U::kLaneRows; ++r) {
        const float sum = worker.sum(0, r);
        if (U::column(worker.lane(), 0) == 0) {
            const device::SharedAt at = wave_sum<Tile>(worker.small_shared(), worker.wave(), U::row(worker.lane(), r));
            device::store_shared_float(at, worker.peak(0, r));
            device::store_shared_float(at + 4, sum);
        }
    }
#pragma unroll
    for (int d = 0; d < W::kDimSpans; ++d)
#pragma unroll
        for (int e = 0; e < 8; ++e)
            device::store_shared_float(
                worker.group_shared() + (U::row(worker.lane(), U::lane_row(e)) * Tile::kDim + d * W::kSpan + U::column(worker.lane(), e)) * 4,
                worker.out(0, d).get(e));
}

// Row `row` of the tile over all waves: peak and sum, and eight neighbouring dims of the unnormalised output.
template <class Tile> RF_DEVICE RowSum merged(device::SharedAt groups, device::SharedAt small, int row, int chunk, float (&x)[8]) {
    RowSum total{-device::kInfinity, 0};
#pragma unroll
    for (int w = 0; w < Tile::kWaves; ++w) total.peak = device::larger(total.peak, device::load_shared_float(wave_sum<Tile>(small, w, row)));
#pragma unroll
    for (int i = 0; i < 8; ++i) x[i] = 0;
#pragma unroll
    for (int w = 0; w < Tile::kWaves; ++w) {
        const float peak = device::load_shared_float(wave_sum<Tile>(small, w, row));
        const float factor = peak == -device::kInfinity ? 0.0f : exp(peak - total.peak);
        total.sum += device::load_shared_float(wave_sum<Tile>(small, w, row) + 4) * factor;
        const device::SharedAt from = groups + (w * Tile::kGroupBytes + (row * Tile::kDim + chunk * 8) * 4);
#pragma unroll
        for (int i = 0; i < 8; ++i) x[i] += device::load_shared_float(from + i * 4) * factor;
    }
    return total;
}

// The rows of the tile: to the output, or to this split's place in the workspace. A thread takes eight dims of a row at a time.
template <class T, class Tile, class W> RF_DEVICE void store_merged(const W& worker, const Call& once, int sequence, int split) {
    const Call& call = device::argument_again(once);
    const kernels::Span span = span_of(call.attention, call.pointers, sequence);
    const Partials partials(call);
    const device::SharedAt groups = worker.groups_shared();
    const int chunks = static_cast<int>(call.attention.dim_v / 8);
#pragma unroll 1
    for (int at = device::thread_index(); at < 16 * Tile::kChunks; at += Tile::kThreads) {
        const int number = at / Tile::kChunks, chunk = at % Tile::kChunks;
        const Row row = worker.row(number);
        if (!row.exists || chunk >= chunks) continue;
        float x[8];
        const RowSum total = merged<Tile>(groups, worker.small_shared(), number, chunk, x);
        if (call.cut.splits > 1) {
            const std::int64_t place = (static_cast<std::int64_t>(sequence) * call.attention.head_q + row.head) * call.attention.max_seq_q + row.i;
            float* output = partials.output_of(split, place) + chunk * 8;
            device::store_words(output, {device::as_bits(x[0]), device::as_bits(x[1]), device::as_bits(x[2]), device::as_bits(x[3])});
            device::store_words(output + 4, {device::as_bits(x[4]), device::as_bits(x[5]), device::as_bits(x[6]), device::as_bits(x[7])});
            if (chunk == 0) {
                device::store(partials.sum_of(split, place), total.peak);
                device::store(partials.sum_of(split, place) + 1, total.sum);
            }
        } else {
            const Finished done = finish(total, call, row.head);
#pragma unroll
            for (int i = 0; i < 8; ++i) x[i] *= done.factor;
            device::store_words(out_row(call, span, row.head, row.i) + chunk * 16, narrowed<T>(x));
            if (chunk == 0) store_lse(call, span, row.head, row.i, done.lse);
        }
    }
}

RF_DEVICE int quotient(int a, int b) { return static_cast<int>(static_cast<unsigned>(a) / static_cast<unsigned>(b)); }

// Block id: [sequence, kv head, row tile, split], the last fastest.
template <class T, int Dim, bool General, Paging P> RF_DEVICE void decode(const Call& call) {
    using Tile = DecodeTile<kThisFamily, Dim>;
    const device::SharedAt shared = device::shared_memory<Tile::kSharedBytes>();
    const Attention& a = call.attention;
    const std::int64_t tile = static_cast<unsigned>(device::block_x()) / static_cast<unsigned>(call.cut.splits), pair = tile / call.cut.row_blocks,
                       sequence = pair / a.head_kv;
    const int split = static_cast<int>(device::block_x() - tile * call.cut.splits), kv_head = static_cast<int>(pair - sequence * a.head_kv);
    const kernels::Span span = span_of(a, call.pointers, sequence);
    const int pack = static_cast<int>(a.group()), row0 = static_cast<int>(tile - pair * call.cut.row_blocks) * Tile::kRows;
    const TilePlace place{static_cast<int>(sequence), kv_head, kv_head * pack, pack, row0, static_cast<int>(span.len_q) * pack};
    if (row0 >= place.rows) return;
    const int row_end = place.rows - row0 < Tile::kRows ? place.rows : row0 + Tile::kRows, first = quotient(row0, pack),
              last = quotient(row_end - 1, pack);
    const Extent keys = span.rule.any_of_rows(first, last + 1, span.len_kv), sure = span.rule.all_of_rows(first, last + 1, span.len_kv);
    const Extent blocks = blocks_of(keys, Tile::kKeys);
    const std::int64_t per_split = call.cut.keys_per_split / Tile::kKeys;
    const std::int64_t begin = ExtentRule::clamp(split * per_split, blocks.first, blocks.end);
    const std::int64_t end = ExtentRule::clamp(split * per_split + per_split, blocks.first, blocks.end);
    Worker<T, Tile, General, P, true> worker(call, span, place, shared);
    worker.run(span, keys, sure, static_cast<int>(begin) + worker.wave(), static_cast<int>(end), Tile::kWaves);
    leave<Tile>(worker);
    device::barrier();
    store_merged<T, Tile>(worker, call, place.sequence, split);
}

#endif

}  // namespace rocforge::kernels::flash

// One kernel of the family flash_decode_<type>_<dim>[_paged|_general]. A macro, since a symbol that a host finds by name cannot be a template.
#define ROCFORGE_DECODE_KERNEL(name, T, dim, general, paging)                                                          \
    RF_KERNEL((rocforge::kernels::flash::DecodeTile<rocforge::kernels::kThisFamily, dim>::kThreads),                   \
              (rocforge::kernels::flash::DecodeTile<rocforge::kernels::kThisFamily, dim>::kBlocksPerUnit))             \
    name(RF_KERNEL_PARAMETER rocforge::kernels::Call call) {                                                           \
        rocforge::kernels::flash::decode<rocforge::matrix::T, dim, general, rocforge::kernels::flash::Paging::paging>( \
            rocforge::device::argument(call));                                                                         \
    }
#define ROCFORGE_DECODE_KERNELS(prefix, T, dim)                          \
    ROCFORGE_DECODE_KERNEL(prefix##_##dim, T, dim, false, none)          \
    ROCFORGE_DECODE_KERNEL(prefix##_##dim##_paged, T, dim, false, pages) \
    ROCFORGE_DECODE_KERNEL(prefix##_##dim##_general, T, dim, true, told)

#endif
