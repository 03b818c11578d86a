// Decode: few rows against many keys, bound by the reading of K and V. The query heads of one kv head are packed into 16 rows, so that its K and V
// are read once; the keys are shared out over blocks of threads (share.h), and within a block over waves, which never wait for one another until the
// end. (Dao, Haziza, Massa, Sizov, "Flash-Decoding for long-context inference", 2023.)
//
// The waves' results merge in shared memory. A block that had all keys of a tile stores its output. Of several, each leaves what it found in the
// workspace and counts itself; the one that comes last puts them together, in the order of their keys, in the same launch:
//
//   workspace   unnormalised output [2 * shares, tile_rows, dims] f32, then {peak, sum} [2 * shares, tile_rows] f32
//   zeroed      blocks that are done with a tile [tiles] u32: zero before and after
#ifndef ROCFORGE_KERNELS_FLASH_DECODE_H
#define ROCFORGE_KERNELS_FLASH_DECODE_H

#include "kernels/flash/attend.h"
#include "kernels/flash/finish.h"
#include "kernels/flash/share.h"

namespace rocforge::kernels::flash {

#if defined(RF_AMD) || defined(RF_NVIDIA)

// The blocks of threads that share a tile: `count` neighbouring ones from `first` on.
struct Sharers {
    unsigned first;
    int count;
    // A block may have a part of a tile that others began, and of one that others end: two slots in the workspace.
    RF_DEVICE std::int64_t slot(int index) const { return (first + static_cast<unsigned>(index)) * 2 + (index == 0); }
};

// What blocks leave in the workspace.
struct Partials {
    float* output;
    float* sums;
    int rows, dims;  // dims of the output that a tile holds

    template <class Tile> RF_DEVICE static Partials of(const Call& call) {
        const Attention& a = call.attention;
        const int rows = static_cast<int>(tile_rows(a.max_seq_q * quotient(a.head_q, a.head_kv), Tile::kRows));
        const int dims = static_cast<int>(a.dim_v < Tile::kOutDim ? a.dim_v : Tile::kOutDim);
        float* const output = reinterpret_cast<float*>(call.workspace);
        return {output, output + std::int64_t{call.cut.shares} * 2 * rows * dims, rows, dims};
    }
    RF_DEVICE float* output_of(std::int64_t slot, int row) const { return output + (slot * rows + row) * dims; }
    RF_DEVICE float* sum_of(std::int64_t slot, int row) const { return sums + (slot * rows + row) * 2; }
};

// A wave's {peak, sum} of a row in shared memory, behind the votes. The peaks here and in the workspace are as Worker::peak() is.
template <class Tile> RF_DEVICE device::SharedAt wave_sum(device::SharedAt small, int wave, int row) {
    return small + (Tile::kWaves * 4 + (wave * 16 + row) * 8);
}

// What this wave found of rows that exist, to shared memory: its output [16][kOutDim] takes the place of its keys.
template <class Tile, class W> RF_DEVICE void leave(const W& worker) {
    const int rows = worker.place().rows - worker.place().row0;
    using U = typename W::U;
    device::wave_barrier();  // every lane is done with V
#pragma unroll
    for (int r = 0; r < U::kLaneRows; ++r) {
        const float sum = worker.sum(0, r);
        if (U::column(worker.lane(), 0) == 0 && U::row(worker.lane(), r) < rows) {
            const device::SharedAt at = wave_sum<Tile>(worker.small_shared(), worker.wave(), U::row(worker.lane(), r));
            device::store_shared_float(at, worker.peak(0, r));
            device::store_shared_float(at + 4, sum);
        }
    }
#pragma unroll
    for (int d = 0; d < W::kOutSpans; ++d)
#pragma unroll
        for (int e = 0; e < 8; ++e)
            if (U::row(worker.lane(), U::lane_row(e)) < rows)
                device::store_shared_float(
                    worker.group_shared() + (U::row(worker.lane(), U::lane_row(e)) * Tile::kOutDim + d * W::kSpan + U::column(worker.lane(), e)) * 4,
                    worker.out(0, d).get(e));
}

// Row `row` of the tile over `parts` results in shared memory: peak and sum, and eight neighbouring dims of the unnormalised output.
template <class Tile, class W> RF_DEVICE RowSum merged(const W& worker, const Attention& a, int parts, int row, int chunk, float (&x)[8]) {
    const device::SharedAt groups = worker.groups_shared(), small = worker.small_shared();
    const float log2_scale = W::log2_scale(a);
    RowSum total{-device::kInfinity, 0};
#pragma unroll
    for (int i = 0; i < 8; ++i) x[i] = 0;
#pragma unroll 1
    for (int p = 0; p < parts; ++p) total.peak = device::larger(total.peak, device::load_shared_float(wave_sum<Tile>(small, p, row)));
#pragma unroll 1
    for (int p = 0; p < parts; ++p) {
        const float peak = device::load_shared_float(wave_sum<Tile>(small, p, row));
        const float factor = peak == -device::kInfinity ? 0.0f : device::exp2((peak - total.peak) * log2_scale);
        total.sum += device::load_shared_float(wave_sum<Tile>(small, p, row) + 4) * factor;
        const device::SharedAt from = groups + (p * Tile::kGroupBytes + (row * Tile::kOutDim + chunk * 8) * 4);
#pragma unroll
        for (int i = 0; i < 8; ++i) x[i] += device::load_shared_float(from + i * 4) * factor;
    }
    return total;
}

// The tile's finished rows, from `parts` results in shared memory. A thread takes eight dims of a row at a time.
template <class T, class Tile, class W> RF_DEVICE void store_tile(const W& worker, const Call& once, int sequence, int rows, int parts) {
    const Call& call = device::argument_again(once);
    const kernels::Span span = span_of(call.attention, call.pointers, sequence);
    const int chunk0 = worker.place().chunk0, chunks = static_cast<int>(call.attention.dim_v / 8) - chunk0;
#pragma unroll 1
    for (int at = device::fresh(device::thread_index()); at < rows * Tile::kOutChunks; at += Tile::kThreads) {
        const int number = at / Tile::kOutChunks, chunk = at % Tile::kOutChunks;
        if (chunk >= chunks) continue;
        const Row row = worker.row(number);
        float x[8];
        const RowSum total = merged<Tile>(worker, call.attention, parts, number, chunk, x);
        const Finished done = finish({W::score_of(total.peak, call.attention), total.sum}, call, row.head);
#pragma unroll
        for (int i = 0; i < 8; ++i) x[i] *= done.factor;
        device::store_words(out_row(call, span, row.head, row.i) + (chunk0 + chunk) * 16, narrowed<T>(x));
        if (chunk0 + chunk == 0) store_lse(call, span, row.head, row.i, done.lse);
    }
}

// What this block found, from its waves to a slot of the workspace.
template <class Tile, class W> RF_DEVICE void hand_in(const W& worker, const Attention& a, const Partials& partials, std::int64_t slot, int rows) {
#pragma unroll 1
    for (int at = device::fresh(device::thread_index()); at < rows * Tile::kOutChunks; at += Tile::kThreads) {
        const int number = at / Tile::kOutChunks, chunk = at % Tile::kOutChunks;
        if (chunk * 8 >= partials.dims) continue;
        float x[8];
        const RowSum total = merged<Tile>(worker, a, Tile::kWaves, number, chunk, x);
        float* output = partials.output_of(slot, number) + chunk * 8;
        device::store_words(output, {device::as_bits(x[0]), device::as_bits(x[1]), device::as_bits(x[2]), device::as_bits(x[3])});
        device::store_words(output + 4, {device::as_bits(x[4]), device::as_bits(x[5]), device::as_bits(x[6]), device::as_bits(x[7])});
        if (chunk == 0) {
            device::store(partials.sum_of(slot, number), total.peak);
            device::store(partials.sum_of(slot, number) + 1, total.sum);
        }
    }
}

// Counts this block as done with the tile; true for the one that came last, which from then on sees what all have handed in.
RF_DEVICE bool last_of(int count, std::uint32_t* counter, device::SharedAt word) {
    device::release_to_device();
    device::barrier();
    if (device::thread_index() == 0) {
        const bool last = device::add_on_device(counter, 1) == static_cast<std::uint32_t>(count - 1);
        if (last) device::store(counter, std::uint32_t{0});
        device::store_shared_word(word, last);
    }
    device::barrier();
    const bool last = device::load_shared_word(word) != 0;
    if (last) device::acquire_from_device();
    return last;
}

// What one block handed in of eight dims of a row.
struct HandedIn {
    RowSum total;
    device::Words low, high;

    HandedIn() = default;
    RF_DEVICE HandedIn(const Partials& partials, std::int64_t slot, int row, int chunk)
        : total{device::load(partials.sum_of(slot, row)), device::load(partials.sum_of(slot, row) + 1)},
          low(device::load_words(partials.output_of(slot, row) + chunk * 8)),
          high(device::load_words(partials.output_of(slot, row) + chunk * 8 + 4)) {}

    RF_DEVICE void add_to(RowSum& sum, float (&x)[8], float log2_scale) const {
        const float peak = device::larger(sum.peak, total.peak), base = peak == -device::kInfinity ? 0.0f : peak;
        const float before = device::exp2((sum.peak - base) * log2_scale), factor = device::exp2((total.peak - base) * log2_scale);
        sum = {peak, sum.sum * before + total.sum * factor};
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            x[i] = x[i] * before + device::as_float(low.w[i]) * factor;
            x[i + 4] = x[i + 4] * before + device::as_float(high.w[i]) * factor;
        }
    }
};

// What all sharers handed in, to shared memory, as waves leave their results: `parts` of them, of which part p has sharers p, p + parts, ...
template <class Tile, class W> RF_DEVICE int gather(const W& worker, const Attention& a, const Partials& partials, const Sharers& sharers, int rows) {
    constexpr int kAtOnce = 8;  // read before the first is used: the latency of the cache is met once for all of them
    const int items = rows * Tile::kOutChunks, fitting = quotient(Tile::kThreads, items);
    const int parts = fitting < 1 ? 1 : fitting < Tile::kWaves ? fitting : Tile::kWaves;
    const float log2_scale = W::log2_scale(a);
#pragma unroll 1
    for (int at = device::fresh(device::thread_index()); at < items * parts; at += Tile::kThreads) {
        const int part = quotient(at, items), item = at - part * items, number = item / Tile::kOutChunks, chunk = item % Tile::kOutChunks;
        if (chunk * 8 >= partials.dims) continue;
        RowSum total{-device::kInfinity, 0};
        float x[8] = {};
#pragma unroll 1
        for (int first = part; first < sharers.count; first += parts * kAtOnce) {
            HandedIn handed[kAtOnce];
#pragma unroll
            for (int i = 0; i < kAtOnce; ++i) {
                const int s = first + i * parts;
                handed[i] = HandedIn(partials, sharers.slot(s < sharers.count ? s : part), number, chunk);
            }
#pragma unroll
            for (int i = 0; i < kAtOnce; ++i)
                if (first + i * parts < sharers.count) handed[i].add_to(total, x, log2_scale);
        }
        const device::SharedAt to = worker.groups_shared() + (part * Tile::kGroupBytes + (number * Tile::kOutDim + chunk * 8) * 4);
#pragma unroll
        for (int i = 0; i < 8; ++i) device::store_shared_float(to + i * 4, x[i]);
        if (chunk == 0) {
            const device::SharedAt sum = wave_sum<Tile>(worker.small_shared(), part, number);
            device::store_shared_float(sum, total.peak);
            device::store_shared_float(sum + 4, total.sum);
        }
    }
    device::barrier();
    return parts;
}

// Blocks of keys [begin, end) of a band's tile. What follows the walk over the keys is computed again from the worker or the call: kept through
// the walk, it would cost registers that there are not.
template <class T, class Tile, bool General, Paging P>
RF_DEVICE void attend_part(const Call& call, const Band<Tile>& band, int tile, int begin, int end, const Sharers& sharers, device::SharedAt shared) {
    const int pack = scalar_quotient(call.attention.head_q, call.attention.head_kv);
    const int passes = passes_of<Tile>(call), kv_head = passes == 1 ? tile : scalar_quotient(tile, passes);
    const int chunk0 = (tile - kv_head * passes) * Tile::kOutChunks;
    Worker<T, Tile, General, P, true> worker(call, band.span, {band.sequence, kv_head, kv_head * pack, pack, band.row0, band.rows, chunk0}, shared);
    worker.run(band.span, band.keys, band.sure, begin + worker.wave(), end, Tile::kWaves);
    leave<Tile>(worker);
    device::barrier();
    const Call& again = device::argument_again(call);
    const TilePlace& place = worker.place();
    const int rows = place.rows - place.row0 < Tile::kRows ? place.rows - place.row0 : Tile::kRows;
    int parts = Tile::kWaves;
    if (sharers.count > 1) {
        const Partials partials = Partials::of<Tile>(again);
        hand_in<Tile>(worker, again.attention, partials, sharers.slot(static_cast<int>(static_cast<unsigned>(device::block_x()) - sharers.first)),
                      rows);
        const std::int64_t band_number = place.sequence * again.cut.row_blocks + quotient(place.row0, Tile::kRows);
        const std::int64_t counter =
            (band_number * again.attention.head_kv + place.kv_head) * passes_of<Tile>(again) + place.chunk0 / Tile::kOutChunks;
        if (!last_of(sharers.count, again.zeroed + counter, worker.small_shared())) return;
        parts = gather<Tile>(worker, again.attention, partials, sharers, rows);
    }
    store_tile<T, Tile>(worker, call, place.sequence, rows, parts);
}

// Block id: its share of the work; where the work is not shared out, its tile [sequence, row tile, kv head, half of the output].
template <class T, int Dim, bool General, Paging P> RF_DEVICE void decode(const Call& call) {
    using Tile = DecodeTile<kThisFamily, Dim>;
    const device::SharedAt shared = device::shared_memory<Tile::kSharedBytes>();
    const Shares<Tile> shares(call, shared);
    unsigned at = shares.begin_of(static_cast<unsigned>(device::block_x()));
    const unsigned end = shares.begin_of(static_cast<unsigned>(device::block_x()) + 1);
    if (at == end) return;
    WorkPlace place = shares.locate(at);
#pragma unroll 1
    while (at < end) {
        device::barrier();                                 // shared memory is in use until every thread is here
        const Call& again = device::argument_again(call);  // else what is computed from it would be kept from tile to tile
        const Band<Tile> band(again, place.band);
        const unsigned tile_end = place.tile_begin + shares.steps_of(band), stop = end < tile_end ? end : tile_end;
        if (band.exists() && at < stop) {
            const unsigned first = shares.share_of(place.tile_begin);
            const int begin_block = band.block_of(at - place.tile_begin),
                      end_block = stop == tile_end ? band.end_block() : band.block_of(stop - place.tile_begin);
            attend_part<T, Tile, General, P>(again, band, place.tile, begin_block, end_block,
                                             {first, static_cast<int>(shares.share_of(tile_end - 1) - first) + 1}, shared);
        }
        at = stop;
        place = shares.behind(place, tile_end);
    }
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
