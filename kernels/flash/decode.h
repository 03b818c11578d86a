// Decode: few rows against many keys, bound by the reading of K and V. The query heads of one kv head are packed into 16 rows, so that its K and V
// are read once; the keys are shared out over blocks of threads (share.h), and within a block over waves, which never wait for one another until the
// end. (Dao, Haziza, Massa, Sizov, "Flash-Decoding for long-context inference", 2023.)
//
// The waves' results merge in shared memory. A block that had all keys of a tile stores its output. Of several, each leaves what it found in the
// workspace and counts itself; the one that comes last puts them together, in the order of their keys, in the same launch:
//
//   workspace   [2 * shares, tile_rows, dims + 4] f32: a row's unnormalised output, then its peak and sum
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
    // A block may have a part of a tile that others began, and of one that others end: two slots in the workspace, counted from those of `first`.
    RF_DEVICE static int slot(int index) { return index * 2 + (index == 0); }
};

// What the sharers of a tile leave in the workspace.
struct Partials {
    float* base;     // the slots of the tile's first sharer
    int row_floats;  // of a row: its output, peak and sum, and two that are not used, so that all is 16 bytes apart
    int rows;

    template <class Tile> RF_DEVICE static Partials of(const Call& call, const Sharers& sharers) {
        const Attention& a = call.attention;
        const int rows = static_cast<int>(tile_rows(a.max_seq_q * call.cut.pack, Tile::kRows));
        const int row_floats = static_cast<int>(a.dim_v < Tile::kOutDim ? a.dim_v : Tile::kOutDim) + 4;
        return {reinterpret_cast<float*>(call.workspace) + std::int64_t{sharers.first} * (2 * rows * row_floats), row_floats, rows};
    }
    RF_DEVICE int dims() const { return row_floats - 4; }
    RF_DEVICE float* row_of(int slot, int row) const { return base + (slot * rows + row) * row_floats; }  // all sharers' slots are within 2^31 bytes
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

// Four neighbouring dims of a row's unnormalised output, from some of its keys, and the row's softmax over these.
struct Piece {
    static constexpr int kDims = 4;
    RowSum total{-device::kInfinity, 0};
    float x[kDims] = {};
};

// Of disjoint sets of keys, the piece of all of them.
template <int Count> RF_DEVICE Piece joined(const Piece (&parts)[Count], float log2_scale) {
    Piece all;
#pragma unroll
    for (int p = 0; p < Count; ++p) all.total.peak = device::larger(all.total.peak, parts[p].total.peak);
    const float base = all.total.peak == -device::kInfinity ? 0.0f : all.total.peak;
#pragma unroll
    for (int p = 0; p < Count; ++p) {
        const float factor = device::exp2((parts[p].total.peak - base) * log2_scale);
        all.total.sum += parts[p].total.sum * factor;
#pragma unroll
        for (int i = 0; i < Piece::kDims; ++i) all.x[i] += parts[p].x[i] * factor;
    }
    return all;
}

// Pieces of a row of the tile.
template <class Tile> constexpr int kPieces = Tile::kOutDim / Piece::kDims;

// Where result `part` in shared memory has a piece of row `row`.
template <class Tile, class W> RF_DEVICE device::SharedAt piece_at(const W& worker, int part, int row, int piece) {
    return worker.groups_shared() + (part * Tile::kGroupBytes + (row * Tile::kOutDim + piece * Piece::kDims) * 4);
}

// A piece over `parts` results in shared memory.
template <class Tile, class W> RF_DEVICE Piece merged(const W& worker, const Attention& a, int parts, int row, int piece) {
    Piece found[Tile::kWaves];
#pragma unroll
    for (int p = 0; p < Tile::kWaves; ++p)
        if (p < parts) {
            const device::SharedAt sum = wave_sum<Tile>(worker.small_shared(), p, row);
            const device::Words words = device::load_shared(piece_at<Tile>(worker, p, row, piece));
            found[p].total = {device::load_shared_float(sum), device::load_shared_float(sum + 4)};
#pragma unroll
            for (int i = 0; i < Piece::kDims; ++i) found[p].x[i] = device::as_float(words.w[i]);
        }
    return joined(found, W::log2_scale(a));
}

// A finished piece, to the output.
template <class T, class W> RF_DEVICE void store_piece(const W& worker, const Call& call, int number, int piece, const Piece& found) {
    const int dim = worker.place().chunk0 * 8 + piece * Piece::kDims;
    if (dim >= call.attention.dim_v) return;
    const Row row = worker.row(number);
    const kernels::Span span = span_of(call.attention, call.pointers, worker.place().sequence);
    const Finished done = finish({W::score_of(found.total.peak, call.attention), found.total.sum}, call, row.head);
    const std::uint64_t low = T::pack_exactly(found.x[0] * done.factor, found.x[1] * done.factor),
                        high = T::pack_exactly(found.x[2] * done.factor, found.x[3] * done.factor);
    device::store(reinterpret_cast<std::uint64_t*>(out_row(call, span, row.head, row.i) + dim * 2), high << 32 | low);
    if (dim == 0) store_lse(call, span, row.head, row.i, done.lse);
}

// The tile's finished rows, from `parts` results in shared memory.
template <class T, class Tile, class W> RF_DEVICE void store_tile(const W& worker, const Call& call, int rows, int parts) {
#pragma unroll 1
    for (int at = device::fresh(device::thread_index()); at < rows * kPieces<Tile>; at += Tile::kThreads) {
        const int number = at / kPieces<Tile>, piece = at % kPieces<Tile>;
        store_piece<T>(worker, call, number, piece, merged<Tile>(worker, call.attention, parts, number, piece));
    }
}

RF_DEVICE device::Words words_of(float a, float b, float c, float d) {
    return {device::as_bits(a), device::as_bits(b), device::as_bits(c), device::as_bits(d)};
}

// What this block found, from its waves to a slot of the workspace.
template <class Tile, class W> RF_DEVICE void hand_in(const W& worker, const Attention& a, const Partials& partials, int slot, int rows) {
#pragma unroll 1
    for (int at = device::fresh(device::thread_index()); at < rows * kPieces<Tile>; at += Tile::kThreads) {
        const int number = at / kPieces<Tile>, piece = at % kPieces<Tile>;
        if (piece * Piece::kDims >= partials.dims()) continue;
        const Piece found = merged<Tile>(worker, a, Tile::kWaves, number, piece);
        float* const to = partials.row_of(slot, number);
        device::store_words(to + piece * Piece::kDims, words_of(found.x[0], found.x[1], found.x[2], found.x[3]));
        if (piece == 0) device::store_words(to + partials.dims(), words_of(found.total.peak, found.total.sum, 0, 0));
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

// A piece over what sharers first, first + step, ... handed in. AtOnce: read before the first is used, so that the latency of the cache is met once.
template <int AtOnce>
RF_DEVICE Piece collected(const Partials& partials, const Sharers& sharers, int first, int step, int row, int piece, float log2_scale) {
    const float* const from = partials.row_of(0, row);
    const int slot = partials.rows * partials.row_floats, last = sharers.count - 1;
    Piece all;
#pragma unroll 1
    for (int next = first; next <= last; next += step * AtOnce) {
        Piece handed[AtOnce + 1];
#pragma unroll
        for (int i = 0; i < AtOnce; ++i) {
            const int sharer = next + i * step, near = sharer < last ? sharer : last;  // one that exists
            const float* const at = from + (i == 0 && next == 0 ? slot : near * 2 * slot);
            const device::Words words = device::load_words_or_zeros(at + piece * Piece::kDims, sharer <= last);
            const device::Words total = device::load_words(at + partials.dims());
            handed[i].total = {sharer <= last ? device::as_float(total.w[0]) : -device::kInfinity, sharer <= last ? device::as_float(total.w[1]) : 0};
#pragma unroll
            for (int x = 0; x < Piece::kDims; ++x) handed[i].x[x] = device::as_float(words.w[x]);
        }
        handed[AtOnce] = all;
        all = joined(handed, log2_scale);
    }
    return all;
}

// The tile's finished rows, from what all sharers handed in. Where there are threads to spare, several collect a piece, each from some of the
// sharers, and leave it in shared memory as waves leave their results.
template <class T, class Tile, class W>
RF_DEVICE void store_shared_tile(const W& worker, const Call& call, const Partials& partials, const Sharers& sharers, int rows) {
    const int items = rows * kPieces<Tile>;
    int parts = 1;
#pragma unroll
    for (int p = 2; p <= Tile::kWaves; ++p)
        if (p * items <= Tile::kThreads) parts = p;
#pragma unroll 1
    for (int at = device::fresh(device::thread_index()); at < items * parts; at += Tile::kThreads) {
        const int part = parts == 1 ? 0 : quotient(at, items), item = at - part * items, number = item / kPieces<Tile>, piece = item % kPieces<Tile>;
        if (piece * Piece::kDims >= partials.dims()) continue;
        const float log2_scale = W::log2_scale(call.attention);
        const Piece found = sharers.count <= 8 * parts ? collected<8>(partials, sharers, part, parts, number, piece, log2_scale)
                                                       : collected<16>(partials, sharers, part, parts, number, piece, log2_scale);
        if (parts == 1) {
            store_piece<T>(worker, call, number, piece, found);
            continue;
        }
        device::store_shared(piece_at<Tile>(worker, part, number, piece), words_of(found.x[0], found.x[1], found.x[2], found.x[3]));
        if (piece == 0) {
            const device::SharedAt sum = wave_sum<Tile>(worker.small_shared(), part, number);
            device::store_shared_float(sum, found.total.peak);
            device::store_shared_float(sum + 4, found.total.sum);
        }
    }
    if (parts == 1) return;
    device::barrier();
    store_tile<T, Tile>(worker, call, rows, parts);
}

// Blocks of keys [begin, end) of a band's tile. What follows the walk over the keys is computed again from the worker or the call: kept through
// the walk, it would cost registers that there are not.
template <class T, class Tile, bool General, Paging P>
RF_DEVICE void attend_part(const Call& call, const Band<Tile>& band, int tile, int begin, int end, const Sharers& sharers, device::SharedAt shared) {
    const int pack = call.cut.pack;
    const int passes = passes_of<Tile>(call), kv_head = passes == 1 ? tile : scalar_quotient(tile, passes);
    const int chunk0 = (tile - kv_head * passes) * Tile::kOutChunks;
    Worker<T, Tile, General, P, true> worker(call, band.span, {band.sequence, kv_head, kv_head * pack, pack, band.row0, band.rows, chunk0}, shared);
    worker.run(band.span, band.keys, band.sure, begin + worker.wave(), end, Tile::kWaves);
    leave<Tile>(worker);
    device::barrier();
    const Call& again = device::argument_again(call);
    const TilePlace& place = worker.place();
    const int rows = place.rows - place.row0 < Tile::kRows ? place.rows - place.row0 : Tile::kRows;
    if (sharers.count == 1) return store_tile<T, Tile>(worker, again, rows, Tile::kWaves);
    const Partials partials = Partials::of<Tile>(again, sharers);
    hand_in<Tile>(worker, again.attention, partials, Sharers::slot(static_cast<int>(static_cast<unsigned>(device::block_x()) - sharers.first)), rows);
    const std::int64_t band_number = place.sequence * again.cut.row_blocks + quotient(place.row0, Tile::kRows);
    const std::int64_t counter = (band_number * again.attention.head_kv + place.kv_head) * passes_of<Tile>(again) + place.chunk0 / Tile::kOutChunks;
    if (last_of(sharers.count, again.zeroed + counter, worker.small_shared())) store_shared_tile<T, Tile>(worker, again, partials, sharers, rows);
}

// Asks for what is read behind a chain of other reads: the block table, behind lengths, and the tiles' counters, behind all keys. The blocks of
// threads share the lines out; what is left of a very long table is brought when it is used.
template <class Tile> RF_DEVICE void bring_tables_near(const Call& call, bool paged) {
    const std::int64_t at = static_cast<std::int64_t>(device::block_x() * Tile::kThreads + device::thread_index()) * 128;  // a line each
    const std::int64_t counters = call.cut.tile_parts == 1 ? 0 : call.attention.batch * call.cut.row_blocks * call.attention.head_kv * 4;
    if (at < counters) device::bring_near(reinterpret_cast<const char*>(call.zeroed) + at);
    if (paged && at < call.cut.table_bytes) device::bring_near(static_cast<const char*>(call.pointers.block_table) + at);
}

// Block id: its share of the work; where the work is not shared out, its tile [sequence, row tile, kv head, half of the output].
template <class T, int Dim, bool General, Paging P> RF_DEVICE void decode(const Call& call) {
    using Tile = DecodeTile<kThisFamily, Dim>;
    const device::SharedAt shared = device::shared_memory<Tile::kSharedBytes>();
    bring_tables_near<Tile>(call, P == Paging::pages);
    const Shares<Tile> shares(call, shared);
    unsigned at = shares.begin();
    const unsigned end = shares.end();
    if (at == end) return;
    WorkPlace place = shares.first();
#pragma unroll 1
    while (at < end) {
        device::barrier();                                 // shared memory is in use until every thread is here
        const Call& again = device::argument_again(call);  // else what is computed from it would be kept from tile to tile
        const Band<Tile> band(again, place.band);
        const unsigned tile_end = place.begin + shares.length_of(band), stop = end < tile_end ? end : tile_end;
        if (band.exists() && at < stop && shares.holds_keys(stop - place.begin)) {
            const unsigned first = shares.first_sharer(place);
            const int begin_block = shares.block_at(band, at - place.begin),
                      end_block = stop == tile_end ? band.blocks.end : shares.block_at(band, stop - place.begin);
            attend_part<T, Tile, General, P>(again, band, place.tile, begin_block, end_block,
                                             {first, static_cast<int>(shares.last_sharer(tile_end) - first) + 1}, shared);
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
