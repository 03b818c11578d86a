// How decode shares out its work. A tile is the packed rows of one kv head of one sequence, for all of the output or half of it. Where tiles are
// alike the host cuts each into even parts, one a block of threads, or gives every block as many whole tiles. Where lengths are on the device, or
// rows reach differently far, tiles are laid end to end, each as long as it has keys; every block takes an even share of the whole, which may end
// inside a tile and begin inside another. So no compute unit is idle, though the host sees none of the lengths.
//
// The cut depends on lengths and the number of blocks alone: the same call gives the same bits. (Osama et al., "Stream-K: Work-centric Parallel
// Decomposition for Dense Matrix-Matrix Multiplication on the GPU", 2023, cuts products of matrices so.)
#ifndef ROCFORGE_KERNELS_FLASH_SHARE_H
#define ROCFORGE_KERNELS_FLASH_SHARE_H

#include "kernels/common/call.h"
#include "kernels/common/sequence.h"
#include "kernels/flash/even_parts.h"
#include "kernels/flash/score.h"
#include "kernels/flash/tile.h"
#include "kernels/platform/device.h"

namespace rocforge::kernels::flash {

#if defined(RF_AMD) || defined(RF_NVIDIA)

// A tile's rows in one sequence, and what they ask of every kv head. Scalar: every lane asks for the same one.
template <class Tile, bool Scalar = true> struct Band {
    kernels::Span span;
    Keys keys{0, 0}, sure{0, 0};  // that some row attends to, that every row does
    Keys blocks{0, 0};            // of Tile::kKeys keys
    int sequence, row0, rows;     // packed rows [row0, rows) exist

    RF_DEVICE Band(const Call& call, int number)
        : sequence(call.cut.row_blocks == 1 ? number : divided(number, call.cut.row_blocks)),
          row0((number - sequence * static_cast<int>(call.cut.row_blocks)) * Tile::kRows) {
        const int pack = call.cut.pack;
        span = held_span(span_of(call.attention, call.pointers, sequence));
        rows = static_cast<int>(span.len_q) * pack;
        if (!exists()) return;
        // Divisions cost some 100 cycles each, before the first key is asked for: a sequence's first and last row need none.
        const int first = row0 == 0 ? 0 : divided(row0, pack), row_end = row0 + Tile::kRows,
                  last = rows <= row_end ? static_cast<int>(span.len_q) - 1 : divided(row_end - 1, pack);
        const Reach reach = Reach::of(span);
        keys = reach.of_any(first, last), sure = reach.of_all(first, last), blocks = keys.blocks_of(Tile::kKeys);
    }
    RF_DEVICE bool exists() const { return row0 < rows; }
    // Blocks of keys of a tile, as it is shared out. Rows that attend to nothing count as one: they have an output too.
    RF_DEVICE unsigned length() const {
        if (!exists()) return 0;
        return blocks.end > blocks.first ? static_cast<unsigned>(blocks.end - blocks.first) : 1;
    }

private:
    template <class X> RF_DEVICE static X held(X x) {
        if constexpr (Scalar) return device::to_scalar(x);
        return x;
    }
    RF_DEVICE static int divided(std::int64_t a, std::int64_t b) { return static_cast<int>(held(static_cast<std::uint32_t>(quotient(a, b)))); }
    // Of what was read from memory, to scalar registers.
    RF_DEVICE static kernels::Span held_span(kernels::Span s) {
        s.q_first = held(s.q_first), s.len_q = held(s.len_q);
        s.kv_first = held(s.kv_first), s.len_kv = held(s.len_kv), s.rule.diagonal = held(s.rule.diagonal);
        return s;
    }
};

// A place in the work laid end to end: a tile (kv head, half of the output) of a band, which begins at `begin`.
struct WorkPlace {
    int band, tile;
    unsigned begin;
};

// The cut of one call. Everything is counted in 32 bits: the host cuts nothing longer.
//
// Where tiles are alike, a tile is as long as it has even parts. Else it is as long as it has blocks of keys, behind Tile::kTileCost more for what it
// costs to begin and end one: a share that takes parts of several tiles reads fewer keys.
template <class Tile> class Shares {
public:
    // [enters and leaves with the whole block of threads] scratch: 2 * Tile::kWaves + 3 words of shared memory, until it returns.
    RF_DEVICE Shares(const Call& call, device::SharedAt scratch) : call_(call), even_{call.cut.tile_parts, call.cut.part_blocks} {
        if (even_.parts == 0) count(scratch);
        if (even_.parts > 0) divide();
    }
    // What this block takes, [begin, end), and the tile that it begins in.
    RF_DEVICE unsigned begin() const { return begin_; }
    RF_DEVICE unsigned end() const { return end_; }
    RF_DEVICE const WorkPlace& first() const { return first_; }

    RF_DEVICE unsigned length_of(const Band<Tile>& band) const {
        return even_.parts > 0 ? static_cast<unsigned>(even_.parts) : device::to_scalar(laid(band));
    }
    // The tile that follows one which ends at `end`.
    RF_DEVICE WorkPlace behind(const WorkPlace& place, unsigned end) const {
        const bool last = end == place.begin || place.tile + 1 == static_cast<int>(tiles());  // of its band; empty bands have no tile
        return {place.band + last, last ? 0 : place.tile + 1, end};
    }

    // Whether there are keys of a tile in what ends `stop` behind its beginning; the block of keys at a place of the tile, `offset` behind it.
    RF_DEVICE bool holds_keys(unsigned stop) const { return stop > lead(); }
    RF_DEVICE int block_at(const Band<Tile>& band, unsigned offset) const {
        const int from = band.blocks.first, at = static_cast<int>(offset);
        if (even_.parts > 0) return from + at * even_.blocks;
        return from + (offset > lead() ? at - static_cast<int>(lead()) : 0);
    }
    // The shares that hold the first and the last keys of a tile.
    RF_DEVICE unsigned first_sharer(const WorkPlace& place) const { return share_of(place.begin + lead()); }
    RF_DEVICE unsigned last_sharer(unsigned tile_end) const { return share_of(tile_end - 1); }

private:
    RF_DEVICE unsigned lead() const { return even_.parts > 0 ? 0 : Tile::kTileCost; }
    // Of a band.
    RF_DEVICE unsigned tiles() const { return static_cast<unsigned>(call_.attention.head_kv) * static_cast<unsigned>(passes_of<Tile>(call_)); }
    RF_DEVICE int bands() const { return static_cast<int>(call_.attention.batch * call_.cut.row_blocks); }
    RF_DEVICE unsigned share_of(unsigned at) const {
        if (per_share_ == 1) return at;
        return device::to_scalar(at / per_share_);
    }
    // As long as a tile lies in the work.
    template <bool Scalar> RF_DEVICE unsigned laid(const Band<Tile, Scalar>& band) const {
        const unsigned length = band.length();
        return length > 0 ? length + Tile::kTileCost : 0;
    }

    // An even share of `total`.
    RF_DEVICE void take(unsigned total) {
        const unsigned shares = static_cast<unsigned>(call_.cut.shares), block = static_cast<unsigned>(device::block_x());
        per_share_ = 1;
        if (total > shares) per_share_ = device::to_scalar((total + shares - 1) / shares);
        const auto begin_of = [&](unsigned share) { return share * per_share_ < total ? share * per_share_ : total; };
        begin_ = begin_of(block), end_ = begin_of(block + 1);
    }
    // Every tile has as many parts.
    RF_DEVICE void divide() {
        const unsigned parts = static_cast<unsigned>(even_.parts);
        take(static_cast<unsigned>(bands()) * tiles() * parts);
        const unsigned tile = parts == 1 ? begin_ : device::to_scalar(begin_ / parts), band = tiles() == 1 ? tile : device::to_scalar(tile / tiles());
        first_ = {static_cast<int>(band), static_cast<int>(tile - band * tiles()), tile * parts};
    }

    // Lengths are on the device: every thread counts some neighbouring bands. If all are alike, tiles are cut evenly; else the thread in whose bands
    // this share begins says where.
    RF_DEVICE void count(device::SharedAt scratch) {
        const int each = (bands() + Tile::kThreads - 1) / Tile::kThreads, from = device::thread_index() * each,
                  to = from + each < bands() ? from + each : bands();
        const device::SharedAt found = scratch + Tile::kWaves * 8;
        unsigned own = 0, length = 0, before = 0;
#pragma unroll 1
        for (int pass = 0; pass < 2; ++pass) {
#pragma unroll 1
            for (int b = from; b < to; ++b) {
                if (pass == 0 || each > 1) length = laid(Band<Tile, false>(call_, b));
                if (pass == 0) {
                    own += length;
                    continue;
                }
                if (begin_ - before < length * tiles()) {  // unsigned: false where it begins before, too
                    const unsigned tile = (begin_ - before) / length;
                    device::store_shared_word(found, static_cast<unsigned>(b));
                    device::store_shared_word(found + 4, tile);
                    device::store_shared_word(found + 8, before + tile * length);
                }
                before += length * tiles();
            }
            if (pass == 1) break;
            const Sums sums = added_up(own, from < to, scratch);
            if (each == 1 && sums.alike > 0 && sums.all == sums.alike * static_cast<unsigned>(bands()))
                even_ = EvenParts::of(static_cast<int>(tiles()) * bands(), static_cast<int>(sums.alike - Tile::kTileCost), Tile::kWaves,
                                      call_.cut.shares, call_.cut.busy_shares);
            if (even_.parts > 0) return;
            take(sums.all * tiles());
            before = sums.before * tiles();
        }
        device::barrier();
        const auto word = [&](int i) { return device::to_scalar(device::load_shared_word(found + i * 4)); };
        first_ = {static_cast<int>(word(0)), static_cast<int>(word(1)), word(2)};
    }

    // Of what threads counted: before this one, of all, and of each where they are alike (else 0).
    struct Sums {
        unsigned before, all, alike;
    };
    RF_DEVICE static Sums added_up(unsigned own, bool counts, device::SharedAt scratch) {
        const int lane = device::lane_index(), wave = device::wave_index();
        unsigned sum = own;  // of this wave's lanes up to this one
#pragma unroll
        for (int step = 1; step < device::kWaveSize; step *= 2) {
            const unsigned other = device::from_lane(sum, lane < step ? lane : lane - step);
            if (lane >= step) sum += other;
        }
        const unsigned first = device::from_lane(own, 0);  // by every lane
        const bool differs = device::any_in_wave(counts && own != first);
        if (lane == 0) device::store_shared_word(scratch + (Tile::kWaves + wave) * 4, differs ? 0 : first);
        if (lane == device::kWaveSize - 1) device::store_shared_word(scratch + wave * 4, sum);
        device::barrier();
        Sums sums{sum - own, 0, device::to_scalar(device::load_shared_word(scratch + Tile::kWaves * 4))};
#pragma unroll
        for (int w = 0; w < Tile::kWaves; ++w) {
            const unsigned n = device::to_scalar(device::load_shared_word(scratch + w * 4));
            sums.before += w < wave ? n : 0;
            sums.all += n;
            if (n > 0 && device::to_scalar(device::load_shared_word(scratch + (Tile::kWaves + w) * 4)) != sums.alike) sums.alike = 0;
        }
        return sums;
    }

    const Call& call_;
    EvenParts even_;  // parts 0: by length
    unsigned per_share_ = 1, begin_ = 0, end_ = 0;
    WorkPlace first_{};
};

#endif

}  // namespace rocforge::kernels::flash
#endif
