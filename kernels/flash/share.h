// How decode shares out its work. The tiles of a problem (the packed rows of one kv head of one sequence, for all of the output or half of it) are
// laid end to end, each as many steps long as it has keys; every block of threads takes an even share of the whole, which may end inside a tile and
// begin inside another. So lengths that differ, windows and a number of tiles that does not fit the machine leave no compute unit idle, though the
// host sees none of the lengths.
//
// The cut depends on lengths and the number of blocks alone: the same call gives the same bits. (Osama et al., "Stream-K: Work-centric Parallel
// Decomposition for Dense Matrix-Matrix Multiplication on the GPU", 2023, cuts products of matrices so.)
#ifndef ROCFORGE_KERNELS_FLASH_SHARE_H
#define ROCFORGE_KERNELS_FLASH_SHARE_H

#include "kernels/common/call.h"
#include "kernels/common/sequence.h"
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
        const int pack = divided(call.attention.head_q, call.attention.head_kv);
        span = held_span(span_of(call.attention, call.pointers, sequence));
        rows = static_cast<int>(span.len_q) * pack;
        if (!exists()) return;
        const int row_end = rows - row0 < Tile::kRows ? rows : row0 + Tile::kRows, first = divided(row0, pack), last = divided(row_end - 1, pack);
        const Reach reach = Reach::of(span);
        keys = reach.of_any(first, last), sure = reach.of_all(first, last), blocks = keys.blocks_of(Tile::kKeys);
    }
    RF_DEVICE bool exists() const { return row0 < rows; }
    // Of Tile::kWaves blocks. Rows that attend to nothing take one step: they have an output too.
    RF_DEVICE unsigned steps() const {
        if (!exists()) return 0;
        const int steps = quotient(blocks.end + Tile::kWaves - 1, Tile::kWaves) - first_step();
        return static_cast<unsigned>(steps > 1 ? steps : 1);
    }
    // The first block of a step; the last step ends where the keys do.
    RF_DEVICE int block_of(unsigned step) const { return step == 0 ? blocks.first : (first_step() + static_cast<int>(step)) * Tile::kWaves; }
    RF_DEVICE int end_block() const { return blocks.end; }

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
    RF_DEVICE int first_step() const { return quotient(blocks.first, Tile::kWaves); }
};

// A place in the work laid end to end: a tile (kv head, half of the output) of a band, whose first step is `tile_begin`.
struct WorkPlace {
    int band, tile;
    unsigned tile_begin;
};

// The cut of one call. Everything is counted in 32 bits: the host cuts nothing longer.
template <class Tile> class Shares {
public:
    // [enters and leaves with the whole block of threads] scratch: Tile::kThreads words of shared memory, in use as long as this.
    RF_DEVICE Shares(const Call& call, device::SharedAt scratch)
        : call_(call),
          scratch_(scratch),
          tiles_(static_cast<unsigned>(call.attention.head_kv) * static_cast<unsigned>(passes_of<Tile>(call))),
          tile_steps_(static_cast<unsigned>(call.cut.tile_steps)),
          bands_(static_cast<int>(call.attention.batch * call.cut.row_blocks)),
          per_thread_((bands_ + Tile::kThreads - 1) / Tile::kThreads) {
        total_ = device::to_scalar(tile_steps_ > 0 ? static_cast<unsigned>(bands_) * tile_steps_ : counted()) * tiles_;
        const unsigned shares = static_cast<unsigned>(call.cut.shares);
        per_share_ = device::to_scalar((total_ + shares - 1) / shares);
    }
    RF_DEVICE unsigned begin_of(unsigned share) const { return share * per_share_ < total_ ? share * per_share_ : total_; }
    RF_DEVICE unsigned share_of(unsigned step) const { return device::to_scalar(step / per_share_); }
    RF_DEVICE unsigned steps_of(const Band<Tile>& band) const { return tile_steps_ > 0 ? tile_steps_ : device::to_scalar(band.steps()); }

    // Where step `step` lies: where tiles differ, by a walk over threads' sums, then over one thread's bands.
    RF_DEVICE WorkPlace locate(unsigned step) const {
        if (tile_steps_ > 0) {
            const unsigned tile = device::to_scalar(step / tile_steps_), band = device::to_scalar(tile / tiles_);
            return {static_cast<int>(band), static_cast<int>(tile - band * tiles_), tile * tile_steps_};
        }
        unsigned before = 0;
        int thread = 0;
#pragma unroll 1
        for (;; ++thread) {
            const unsigned own = device::to_scalar(device::load_shared_word(scratch_ + thread * 4)) * tiles_;
            if (step - before < own) break;
            before += own;
        }
#pragma unroll 1
        for (int band = first_of(thread);; ++band) {
            const unsigned steps = device::to_scalar(Band<Tile>(call_, band).steps());
            if (step - before < steps * tiles_) {
                const unsigned tile = device::to_scalar((step - before) / steps);
                return {band, static_cast<int>(tile), before + tile * steps};
            }
            before += steps * tiles_;
        }
    }
    // The tile that follows one which ends at `end`.
    RF_DEVICE WorkPlace behind(const WorkPlace& place, unsigned end) const {
        const bool last = end == place.tile_begin || place.tile + 1 == static_cast<int>(tiles_);  // of its band; empty bands have no tile
        return {place.band + last, last ? 0 : place.tile + 1, end};
    }

private:
    // Steps of all bands, for one tile each; each thread counts those of its own bands and leaves their number in `scratch`.
    RF_DEVICE unsigned counted() const {
        const int thread = device::thread_index();
        unsigned own = 0, all = 0;
#pragma unroll 1
        for (int b = first_of(thread); b < first_of(thread + 1); ++b) own += Band<Tile, false>(call_, b).steps();
        device::store_shared_word(scratch_ + thread * 4, own);
        device::barrier();
#pragma unroll 1
        for (int t = 0; t < Tile::kThreads && first_of(t) < bands_; ++t) all += device::load_shared_word(scratch_ + t * 4);
        return all;
    }
    // First band of a thread's consecutive ones.
    RF_DEVICE int first_of(int thread) const { return thread * per_thread_ < bands_ ? thread * per_thread_ : bands_; }

    const Call& call_;
    device::SharedAt scratch_;
    unsigned tiles_, tile_steps_;  // tiles_: of a band
    int bands_, per_thread_;
    unsigned total_, per_share_;
};

#endif

}  // namespace rocforge::kernels::flash
#endif
