// Fused attention of one tile of rows, written once for every matrix unit: online softmax over blocks of keys, products on the matrix unit.
// (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018; Dao, "FlashAttention-2", 2023.)
//
//   for each block of keys:   K in place -> ask for V -> S = Q K^T -> V in place -> ask for the next K -> P = exp2(S - peak) -> O += P V
//
// A block whose keys every row attends to takes no test; one at an edge of the causal rule, a window or a length excludes by element. The same worker
// runs a tile whose waves own rows and share keys (prefill) and one whose waves own keys and share rows (decode); Group says who waits for whom.
#ifndef ROCFORGE_KERNELS_FLASH_ATTEND_H
#define ROCFORGE_KERNELS_FLASH_ATTEND_H

#include "kernels/flash/score.h"
#include "kernels/flash/stage.h"
#include "kernels/flash/tile.h"
#include "kernels/matrix/unit.h"

namespace rocforge::kernels::flash {

#if defined(RF_AMD) || defined(RF_NVIDIA)

// A tile's place in the problem.
struct TilePlace {
    int sequence, kv_head;
    int head0;       // first query head of the tile
    int pack;        // query heads that are packed into the tile's rows: packed row r is query r / pack of head head0 + r % pack
    int row0, rows;  // packed rows [row0, rows) exist
    int chunk0 = 0;  // first chunk of V's dims and the output's that the tile holds
};

// Careful: a block at an edge may hold values of V that are not finite, and maxima may be far from 0 (kFar). Without, run() stops at such a block or
// gives up such a row, and says so.
template <class T, class Tile, bool General, Paging P, bool Careful> class Worker {
public:
    using U = matrix::Unit<T>;
    using Acc = typename U::Acc;
    using Fixed = typename U::Fixed;
    static constexpr int kSpan = U::kSpan, kRowTiles = Tile::kRowTiles, kLaneRows = U::kLaneRows;
    static constexpr int kKeySpans = Tile::kKeys / kSpan, kDimSpans = Tile::kDim / kSpan, kOutSpans = Tile::kOutDim / kSpan;

    // shared: the block's shared memory.
    RF_DEVICE Worker(const Call& call, const kernels::Span& span, const TilePlace& place, device::SharedAt shared)
        : call_(call),
          place_(place),
          reach_(Reach::of(span)),
          shared_(shared),
          lane_(device::fresh(device::lane_index())),  // else the addresses of a tile's end would be kept through it

          wave_(device::wave_index()),
          log2_scale_(log2_scale(call.attention)) {
#pragma unroll
        for (int t = 0; t < kRowTiles; ++t) {
#pragma unroll
            for (int r = 0; r < kLaneRows; ++r) peak_[t][r] = -device::kInfinity, sum_[t][r] = 0;
#pragma unroll
            for (int d = 0; d < kOutSpans; ++d) clear(out_[t][d]);
        }
    }

    // All blocks of kKeys keys from block `begin` to `end`, every `step`-th. keys: those that some row attends to; sure: those that every row does.
    // False: the result is void, a careful worker has to do it again.
    RF_DEVICE bool run(const kernels::Span& span, const Keys& keys, const Keys& sure, int begin, int end, int step) {
        const Attention& a = call_.attention;
        const KeyRows<P> k_rows(call_, span, a.k, call_.pointers.k, a.dim, place_.sequence, place_.kv_head, keys.first, keys.end);
        KeyRows<P> v_rows(call_, span, a.v, call_.pointers.v, a.dim_v, place_.sequence, place_.kv_head, keys.first, keys.end);
        if constexpr (Tile::kOutDim < Tile::kDim) v_rows.skip(place_.chunk0);
        StageK<T, Tile, P> k(k_rows, k_shared(), call_.cut.read_once);
        StageV<T, Tile, P> v(v_rows, v_shared(), call_.cut.read_once);
#if defined(RF_NVIDIA)
        if constexpr (!Tile::kSharedKeys) return run_alone(span, k, v, sure, begin, end, step);
#endif
        bring_queries(span);
        if (begin < end) k.issue(begin * Tile::kKeys);
#if defined(RF_NVIDIA)
        else if constexpr (Tile::kSharedKeys) {  // no block waits for Q, whose place the output is about to take
            device::close_copies();
            device::await_copies<0>();
            device::barrier();
        }
#endif
#pragma unroll 1
        for (int block = begin; block < end; block += step) {
            const int key0 = block * Tile::kKeys;
            const bool edge = General || key0 < sure.first || key0 + Tile::kKeys > sure.end;
            Acc scores[kRowTiles][kKeySpans];
            k.commit();
            Group<Tile>::meet();
            v.issue(key0);
            multiply_qk(scores);
            v.commit();
            if (edge) vote(v.brought_non_finite());
            Group<Tile>::meet();
            if (block + step < end) k.issue(key0 + step * Tile::kKeys);
            if (edge) {
                score(scores, key0);
                if (voted()) {
                    if constexpr (!Careful) return false;
                    poison(scores, v, key0);
                }
            }
            soften(scores);
            multiply_pv(scores);
        }
        return kSubtractFirst || !gave_up();
    }

    // Per row of this wave: the largest product of q and k (General: score; it may lag behind), and the sum of exp(score - that) over all lanes, as
    // run() left them. Between two peaks lie log2_scale() times their difference powers of two: if each was scaled, each would be rounded.
    RF_DEVICE float peak(int tile, int r) const { return peak_[tile][r]; }
    RF_DEVICE static float log2_scale(const Attention& a) { return General ? device::kLog2E : a.scale * device::kLog2E; }
    RF_DEVICE static float score_of(float peak, const Attention& a) { return General ? peak : peak * a.scale; }
    RF_DEVICE float sum(int tile, int r) const { return U::row_sum(sum_[tile][r]); }
    RF_DEVICE const Acc& out(int tile, int d) const { return out_[tile][d]; }
    RF_DEVICE int lane() const { return lane_; }
    RF_DEVICE int wave() const { return wave_; }
    RF_DEVICE const TilePlace& place() const { return place_; }

    // The row of lane row r of row tile t, and its number in the tile.
    RF_DEVICE int row_number(int t, int r) const { return (Tile::kSharedKeys ? wave_ * Tile::kWaveRows : 0) + t * 16 + U::row(lane_, r); }
    RF_DEVICE Row row(int number) const {
        const int packed = place_.row0 + number;
        if constexpr (Tile::kSharedKeys) return {packed, place_.head0, packed < place_.rows};
        const int query = place_.rows == place_.pack ? 0 : static_cast<int>(static_cast<unsigned>(packed) / static_cast<unsigned>(place_.pack));
        return {query, place_.head0 + packed - query * place_.pack, packed < place_.rows};
    }
    // All groups' K and V, one after the other.
    RF_DEVICE device::SharedAt groups_shared() const { return shared_ + Tile::kQueryBytes; }
    RF_DEVICE device::SharedAt group_shared() const { return groups_shared() + (Tile::kSharedKeys ? 0 : wave_ * Tile::kGroupBytes); }
    RF_DEVICE device::SharedAt small_shared() const { return groups_shared() + Tile::kGroups * Tile::kGroupBytes; }

private:
#if defined(RF_NVIDIA)
    // run() for waves with keys of their own, where copies pass by the registers: K and V are both under way all the time, since no other wave has to
    // be met before their places are filled again.
    RF_DEVICE bool run_alone(const kernels::Span& span, StageK<T, Tile, P>& k, StageV<T, Tile, P>& v, const Keys& sure, int begin, int end,
                             int step) {
        static_assert(Careful);
        PagedBlock<Tile, P> pages;
        const auto issue = [&](auto& stage, int block) {
            if (block < end)
                stage.issue(block * Tile::kKeys, pages);
            else
                device::close_copies();  // so that the number of groups under way is always the same
        };
        const auto look_up = [&](int block) {
            if (block < end) pages.look_up(k.rows(), block * Tile::kKeys);
        };
        look_up(begin);
        bring_queries(span);
        issue(k, begin);
        issue(v, begin);
        look_up(begin + step);
        device::await_copies<2>();
        device::barrier();  // every wave reads the queries that all have brought
#pragma unroll 1
        for (int block = begin; block < end; block += step) {
            const int key0 = block * Tile::kKeys;
            Acc scores[kRowTiles][kKeySpans];
            device::await_copies<1>();
            Group<Tile>::meet();
            multiply_qk(scores);
            Group<Tile>::meet();
            issue(k, block + step);
            if (General || key0 < sure.first || key0 + Tile::kKeys > sure.end) {
                score(scores, key0);
                device::await_copies<1>();
                vote(v.brought_non_finite());
                if (voted()) poison(scores, v, key0);
            }
            soften(scores);
            device::await_copies<1>();
            Group<Tile>::meet();
            multiply_pv(scores);
            Group<Tile>::meet();
            issue(v, block + step);
            look_up(block + 2 * step);
        }
        return true;
    }
#endif

    RF_DEVICE device::SharedAt k_shared() const { return group_shared(); }
    RF_DEVICE device::SharedAt v_shared() const { return group_shared() + Tile::KRows::kBytes; }

    RF_DEVICE static void clear(Acc& acc) {
#pragma unroll
        for (int e = 0; e < 8; ++e) acc.set(e, 0);
    }

    // The address of a row of q; a row past the end repeats the last one, and its result is dropped.
    RF_DEVICE const char* query_row(const kernels::Span& span, int number) const {
        const int last = place_.rows - 1 - place_.row0;
        const Row r = row(number < last ? number : last);
        const Operand& q = call_.attention.q;
        return static_cast<const char*>(call_.pointers.q) + q.offset(span.q_batch, r.head, span.q_first + r.i) * 2;
    }

    // Q to where the tile keeps it. On NVIDIA the copies close with the first block of K's.
    RF_DEVICE void bring_queries(const kernels::Span& span) {
        const int chunks = static_cast<int>(call_.attention.dim / 8);
        if constexpr (Tile::kQuery == QueryHome::shared) {
#if defined(RF_NVIDIA)
            static_assert(Tile::kRows * Tile::kChunks % Tile::kThreads == 0);
            q_at_ = U::template fixed_at<typename Tile::QRows>(lane_) + (Tile::kSharedKeys ? wave_ * Tile::kWaveRows * Tile::kChunks * 16 : 0);
#pragma unroll
            for (int pass = 0; pass < Tile::kRows * Tile::kChunks / Tile::kThreads; ++pass) {
                const int at = device::thread_index() + pass * Tile::kThreads, number = at / Tile::kChunks, chunk = at % Tile::kChunks;
                const bool wanted = chunk < chunks;
                const char* from = query_row(span, number) + (wanted ? chunk * 16 : 0);
                device::copy_async(shared_ + Tile::QRows::offset(number, chunk), from, wanted);
            }
            if constexpr (!Tile::kSharedKeys) device::close_copies();
#endif
        } else {
#pragma unroll
            for (int t = 0; t < kRowTiles; ++t) {
                const char* from = query_row(span, row_number(t, 0));
                query_rows_[t] = from;
#pragma unroll
                for (int d = 0; d < kDimSpans; ++d)
                    if constexpr (Tile::kQuery == QueryHome::registers) queries_[t][d] = U::load_fixed(from, lane_, d * (kSpan / 8), chunks);
            }
        }
    }
    RF_DEVICE Fixed query([[maybe_unused]] int q_at, int t, int d) const {
        if constexpr (Tile::kQuery == QueryHome::registers) return queries_[t][d];
#if defined(RF_NVIDIA)
        return U::template load_fixed<typename Tile::QRows>(shared_, q_at, t * 16, d * (kSpan / 8));
#else
        return U::load_fixed(device::fresh(query_rows_[t]), lane_, d * (kSpan / 8), static_cast<int>(call_.attention.dim / 8));
#endif
    }

    RF_DEVICE void multiply_qk(Acc (&scores)[kRowTiles][kKeySpans]) const {
#pragma unroll
        for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
            for (int n = 0; n < kKeySpans; ++n) clear(scores[t][n]);
        const int k_at = U::template k_at<typename Tile::KRows>(static_cast<unsigned>(device::fresh(lane_)));
        const int q_at = Tile::kQuery == QueryHome::shared ? device::fresh(q_at_) : 0;
#pragma unroll
        for (int d = 0; d < kDimSpans; ++d) {
            if (Tile::kQuery == QueryHome::memory && d % 4 == 0) device::keep_order();  // else all of Q would be loaded first
            Fixed q[kRowTiles];
#pragma unroll
            for (int t = 0; t < kRowTiles; ++t) q[t] = query(q_at, t, d);
#pragma unroll
            for (int n = 0; n < kKeySpans; ++n) {
                const typename U::Streamed keys = U::template load_k<typename Tile::KRows>(k_shared(), k_at, n * kSpan, d * (kSpan / 8));
#pragma unroll
                for (int t = 0; t < kRowTiles; ++t) U::mma(scores[t][n], keys, q[t]);
            }
        }
#pragma unroll
        for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
            for (int n = 0; n < kKeySpans; ++n) U::pin(scores[t][n]);
    }

    RF_DEVICE void multiply_pv(const Acc (&probabilities)[kRowTiles][kKeySpans]) {
        const int v_at = U::template v_at<typename Tile::VRows>(static_cast<unsigned>(device::fresh(lane_)));
#pragma unroll
        for (int n = 0; n < kKeySpans; ++n) {
            device::keep_order();  // else values are loaded so far ahead that registers spill
            Fixed p[kRowTiles];
#pragma unroll
            for (int t = 0; t < kRowTiles; ++t) p[t] = U::to_fixed(probabilities[t][n], lane_);
#pragma unroll
            for (int d = 0; d < kOutSpans; ++d) {
                const typename U::Streamed values = U::template load_v<typename Tile::VRows>(v_shared(), v_at, d * kSpan, n * kSpan);
#pragma unroll
                for (int t = 0; t < kRowTiles; ++t) U::mma(out_[t][d], values, p[t]);
            }
        }
    }

    // Products to scores where a block needs more than the scale.
    RF_DEVICE void score(Acc (&scores)[kRowTiles][kKeySpans], int key0) const {
#pragma unroll
        for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
            for (int r = 0; r < kLaneRows; ++r) {
                const Row here = row(row_number(t, r));
                const Reach::Bounds bounds = reach_.bounds(here, key0);
                if constexpr (General) {
                    const GeneralScore general(call_, place_.sequence, reach_.length, here, key0);
                    each(scores[t], r, [&](float s, int column) { return bounds.keep(general(s, column), column); });
                } else {
                    each(scores[t], r, [&](float s, int column) { return bounds.keep(s, column); });
                }
            }
    }
    // Replaces each element of lane row r by change(element, its column in the block).
    template <class Change> RF_DEVICE void each(Acc (&scores)[kKeySpans], int r, Change change) const {
#pragma unroll
        for (int n = 0; n < kKeySpans; ++n) {
#pragma unroll
            for (int e = 0; e < 8; ++e) {
                // Else gfx9 holds the results of all comparisons at once, in more scalar registers than there are, and masks are read too far ahead.
                if (e % (General ? 4 : 8) == 0) device::keep_order();
                if (U::lane_row(e) == r) scores[n].set(e, change(scores[n].get(e), n * kSpan + U::column(lane_, e)));
            }
        }
    }

    // Whether any thread of the group found something: written before the group meets, read after.
    RF_DEVICE void vote(bool yes) {
        yes = device::any_in_wave(yes);
        if constexpr (!Tile::kSharedKeys)
            wave_vote_ = yes;
        else if (lane_ == 0)
            device::store_shared_word(small_shared() + wave_ * 4, yes);
    }
    RF_DEVICE bool voted() const {
        if constexpr (!Tile::kSharedKeys) return wave_vote_;
        return any_of_words(small_shared());
    }
    RF_DEVICE static bool any_of_words(device::SharedAt votes) {
        std::uint32_t any = 0;
#pragma unroll
        for (int w = 0; w < Tile::kWaves; ++w) any |= device::load_shared_word(votes + w * 4);
        return device::uniform(static_cast<int>(any)) != 0;
    }

    // A block at an edge holds values that are not finite, and 0 x NaN is NaN: for all rows they are taken out of V, and rows that attend to one get
    // infinity in its dims, by a product of flags. Twice the largest bf16 is infinite in float32, whatever the kernel's own type. Rare, so it may be
    // slow.
    RF_DEVICE void poison(const Acc (&scores)[kRowTiles][kKeySpans], StageV<T, Tile, P>& v, int key0) {
        using F = matrix::Unit<matrix::Bf16>;
        const int v_at = F::template v_at<typename Tile::VRows>(static_cast<unsigned>(device::fresh(lane_)));
        Group<Tile>::meet();
        v.show_non_finite();
        Group<Tile>::meet();
#pragma unroll
        for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
            for (int n = 0; n < kKeySpans; ++n) {
                typename F::Acc flags;
#pragma unroll
                for (int e = 0; e < 8; ++e) flags.set(e, scores[t][n].get(e) == -device::kInfinity ? 0.0f : 1.0f);
                const typename F::Fixed attends = F::to_fixed(flags, lane_);
#pragma unroll
                for (int d = 0; d < kOutSpans; ++d) {
                    device::keep_order();
                    const typename F::Streamed found = F::template load_v<typename Tile::VRows>(v_shared(), v_at, d * kSpan, n * kSpan);
                    typename F::Acc out = __builtin_bit_cast(typename F::Acc, out_[t][d]);
                    F::mma(out, found, attends);
                    F::mma(out, found, attends);
                    out_[t][d] = __builtin_bit_cast(Acc, out);
                }
            }
        Group<Tile>::meet();
        v.show_finite(key0);
        Group<Tile>::meet();
    }

    // Scores to probabilities, in place; peak, sum and output follow.
    RF_DEVICE void soften(Acc (&scores)[kRowTiles][kKeySpans]) {
        float largest[kRowTiles][kLaneRows];
        bool lags = false;
#pragma unroll
        for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
            for (int r = 0; r < kLaneRows; ++r) {
                float m = -device::kInfinity;
#pragma unroll
                for (int n = 0; n < kKeySpans; ++n)
#pragma unroll
                    for (int e = 0; e < 8; ++e)
                        if (U::lane_row(e) == r) m = device::larger(m, scores[t][n].get(e));
                largest[t][r] = U::row_max(m);
                lags |= (largest[t][r] - peak_[t][r]) * log2_scale_ > kLag;  // false for (-inf) - (-inf)
            }
        if (device::any_in_wave(lags)) rescale(largest);
#pragma unroll
        for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
            for (int r = 0; r < kLaneRows; ++r) {
                const float base = peak_[t][r] == -device::kInfinity ? 0 : kSubtractFirst ? peak_[t][r] : peak_[t][r] * log2_scale_;
#pragma unroll
                for (int n = 0; n < kKeySpans; ++n)
#pragma unroll
                    for (int e = 0; e < 8; ++e)
                        if (U::lane_row(e) == r) {
                            const float p = kSubtractFirst ? device::exp2((scores[t][n].get(e) - base) * log2_scale_)
                                                           : device::exp2(__builtin_fmaf(scores[t][n].get(e), log2_scale_, -base));
                            scores[t][n].set(e, p);
                            sum_[t][r] += p;
                        }
            }
    }
    // Every row's maximum catches up, and what was summed under the old one shrinks.
    RF_DEVICE void rescale(const float (&largest)[kRowTiles][kLaneRows]) {
#pragma unroll
        for (int t = 0; t < kRowTiles; ++t) {
            float factor[kLaneRows];
#pragma unroll
            for (int r = 0; r < kLaneRows; ++r) {
                float peak = device::larger(peak_[t][r], largest[t][r]);
                if (!kSubtractFirst && __builtin_fabsf(scaled(peak)) >= kFar && peak != -device::kInfinity) peak = kGivenUp;
                const float apart = kSubtractFirst ? (peak_[t][r] - peak) * log2_scale_ : scaled(peak_[t][r]) - scaled(peak);
                factor[r] = peak == peak_[t][r] ? 1.0f : device::exp2(apart);
                peak_[t][r] = peak;
                sum_[t][r] *= factor[r];
            }
#pragma unroll
            for (int d = 0; d < kOutSpans; ++d)
#pragma unroll
                for (int e = 0; e < 8; ++e) out_[t][d].set(e, out_[t][d].get(e) * factor[U::lane_row(e)]);
        }
    }

    // What P was computed with, held to its rounding: of a difference of two a compiler would make one multiplication and addition, with one exact.
    RF_DEVICE float scaled(float peak) const { return device::as_float(device::fresh(device::as_bits(peak * log2_scale_))); }

    // Whether any wave gave up a row, by way of the last keys' place. [all threads, after the last block]
    RF_DEVICE bool gave_up() const {
        bool mine = false;
#pragma unroll
        for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
            for (int r = 0; r < kLaneRows; ++r) mine |= peak_[t][r] == kGivenUp;
        mine = device::any_in_wave(mine);
        if (lane_ == 0) device::store_shared_word(k_shared() + wave_ * 4, mine);
        Group<Tile>::meet();
        return any_of_words(k_shared());
    }

    // How P follows from scores and their maximum: as exp2((score - peak) * scale), or in one operation as exp2(score * scale - peak * scale). There
    // the second product is rounded and the first is not: far from 0 that is whole powers of two, in the P of the largest score itself.
    static constexpr bool kSubtractFirst = General || Careful;
    static constexpr float kGivenUp = device::kInfinity;  // a peak: no score is above it, and P is 0

    const Call& call_;
    const TilePlace place_;
    const Reach reach_;
    device::SharedAt shared_;
    int lane_, wave_;
    int q_at_ = 0;      // where this lane reads Q in shared memory
    float log2_scale_;  // of a product
    bool wave_vote_ = false;
    float peak_[kRowTiles][kLaneRows], sum_[kRowTiles][kLaneRows];  // peak: of products (General: of scores); sum: this lane's part
    Acc out_[kRowTiles][kOutSpans];
    const char* query_rows_[kRowTiles] = {};  // where Q is read from again
    Fixed queries_[Tile::kQuery == QueryHome::registers ? kRowTiles : 1][Tile::kQuery == QueryHome::registers ? kDimSpans : 1];
};

#endif

}  // namespace rocforge::kernels::flash
#endif
