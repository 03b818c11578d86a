// From products to scores where more than a positive scale and bounds on keys is asked for: softcap, ALiBi, masks. The portable kernels take each
// element through all features (GeneralScore); here a kernel has one feature (one has them all), and takes each element to an exponent of 2
// (exponents()), or where that is not good enough all elements through the feature (score()), so that none branches. The rules are those of
// flash/score.h.
//
// What is the same for all elements stays out of them: a score in registers counts unit() of the rule's, which the exponential's scale takes in, and
// less than the rule's by bias(r) in a lane's row r, which the maximum takes in.
#ifndef ROCFORGE_KERNELS_FLASH_HOPPER_SCORING_H
#define ROCFORGE_KERNELS_FLASH_HOPPER_SCORING_H

#include "kernels/flash/hopper/capping.h"
#include "kernels/flash/hopper/masking.h"
#include "kernels/matrix/sm90.h"

namespace rocforge::kernels::flash::hopper {

#if defined(RF_NVIDIA) && defined(__CUDA_ARCH_FEAT_SM90_ALL)

// One lane's: its scores are of rows `row` and `row + 8`, columns as in kernels/matrix/sm90.h.
template <class T, class Tile, Features F> class Scoring {
    using Mask = Masking<Tile, F == Features::all>;

public:
    using Scores = typename Mask::Scores;
    static constexpr int kScores = Mask::kScores;
    RF_DEVICE static constexpr int column(int i) { return Mask::column(i); }

    RF_DEVICE Scoring(const MappedCall& call, const Shared<Tile>& shared, int warp)
        : call_(call), shared_(shared), warp_(warp), mask_(call, shared, warp) {
        if (capped()) capping_.template prepare<F == Features::softcap>(call.call.attention.scale, call.call.attention.softcap);
        product_log2_ = device::uniform_float(call.call.attention.scale * device::kLog2E);
    }

    RF_DEVICE bool excludes() const { return masked(); }
    // All keys of the block whose turn it is.
    RF_DEVICE bool excludes_all() const { return F == Features::mask && mask_.excludes_all(); }
    RF_DEVICE float unit() const { return folded() && !(masked() && mask_.adds()) ? step() : 1.0f; }
    RF_DEVICE float bias(int r) const { return sloped() ? bias_[r] : 0.0f; }

    // For the tile's rows of this warp from `row` on, and the block of keys that comes first. [whole group, which may meet here]
    RF_DEVICE void begin(const Work& work, int row, int key0) {
        if (sloped()) begin_slope(work, row);
        if (masked()) mask_.begin(work, row, key0);
    }
    // Before the block from key0, of those that begin before `end`. [whole warp, after what depends on all of the last block's scores]
    RF_DEVICE void turn(const Work& work, int row, int key0, int end) {
        if (!masked()) return;
        mask_.turn(work, row, key0);
        if (key0 + Tile::kKeys < end) mask_.ask(work, row, key0 + Tile::kKeys);
    }

    // A block that passes by.
    RF_DEVICE void pass() {
        if (masked()) mask_.pass();
    }

    // How far exponents() takes blocks from `block` on, of those before `end`.
    RF_DEVICE int at_once_until(int block, int end) {
        if (!sloped()) return end;
        const bool left = block * Tile::kKeys <= left_last_, right = block * Tile::kKeys >= right_first_;
        rise_ = left ? slope_ : -slope_;
        return left ? min(end, left_last_ / Tile::kKeys + 1) : right ? end : 0;
    }
    // The block of keys from key0: products to exponents of 2, each by itself. A row's peak is in units, log2_unit what one of these is in logarithms
    // to base 2. use(i, x, y) gets those of scores i and i + 1. False: some are wrong, too large for the cap's polynomial.
    template <class Use> RF_DEVICE bool exponents(const Scores& products, int key0, const float (&peak)[2], float log2_unit, Use use) {
        float base[2] = {peak[0] * log2_unit, peak[1] * log2_unit};
        if constexpr (F == Features::mask) {
            mask_.exponents(products, product_log2_, base, use);
        } else if constexpr (F == Features::softcap) {
            return capping_.exponents(products, base, use);
        } else {
            if constexpr (kRamped) {
                const float rise = rise_ * log2_unit, distance = distance_ - static_cast<float>(key0);
                base[0] = __builtin_fmaf(rise, distance, base[0]), base[1] = __builtin_fmaf(rise, distance + 8, base[1]);
            }
#pragma unroll
            for (int i = 0; i < kScores; i += 2) {
                const float less = -base[i / 2 % 2];
                use(i, __builtin_fmaf(products[i], log2_unit, less), __builtin_fmaf(products[i + 1], log2_unit, less));
            }
        }
        return true;
    }

    // Adds the ramp of the block from key0 to its products, which are open.
    RF_DEVICE void multiply(Scores& products, int key0) const {
        if constexpr (kRamped) {
            const int operand = key0 <= left_last_ ? 0 : key0 >= right_first_ ? 32 : 64;
            matrix::Wgmma<T, Tile::kKeys>::left_right(products, matrix::moved(matrix::described(shared_.ramp_rows(warp_ / 4), 0), operand),
                                                      matrix::described(shared_.ramp_keys(), 0), true);
        }
    }
    // The right operand, once for all tiles. [all threads of the block; a barrier follows]
    RF_DEVICE static void write_columns(const Shared<Tile>& shared) {
        if constexpr (kRamped) {
            const int column = device::thread_index();
            const std::uint32_t pair = T::pack(static_cast<float>(column), static_cast<float>(column));
            if (column < Tile::kKeys)
#pragma unroll
                for (int chunk = 0; chunk < 2; ++chunk)
                    device::store_shared(shared.ramp_keys() + (column * kBoxBytes + (chunk ^ column % 8) * 16),
                                         chunk == 0 ? device::Words{pair, pair & 0xFFFF} : device::Words{});
            device::publish_shared();
        }
    }

    // The block of keys from key0: products to scores, in place.
    RF_DEVICE void score(Scores& scores, const Work& work, int row, int key0) {
        if (capped()) capping_.cap(scores);
        if (!folded()) {
#pragma unroll
            for (int i = 0; i < kScores; ++i) scores[i] *= step();
        }
        if (sloped()) decline(scores, work, row, key0);
        if (!masked()) return;
        const float scale = folded() ? step() : 1.0f;
        mask_.apply(scores, work, row, key0, scale);
        if (sloped() && mask_.adds()) bias_[0] *= scale, bias_[1] *= scale;
    }

private:
    static constexpr bool kAll = F == Features::all, kRamped = F == Features::alibi;
    static_assert(kRamped == Tile::kRamped && (kAll || F == Features::mask) == Tile::kMasked, "a tile has the shared memory of its kernel's feature");
    // A cap beyond kMostUnit changes no score that is not near it.
    RF_DEVICE bool capped() const {
        return F == Features::softcap || (kAll && call_.call.attention.softcap > 0 && call_.call.attention.softcap <= kMostUnit);
    }
    RF_DEVICE bool sloped() const { return F == Features::alibi || (kAll && call_.call.attention.alibi); }
    RF_DEVICE bool masked() const { return F == Features::mask || (kAll && mask_.present()); }
    // What a product counts, or after the cap a score; and whether that is left to unit().
    RF_DEVICE float step() const { return capped() ? call_.call.attention.softcap : call_.call.attention.scale; }
    RF_DEVICE bool folded() const { return !kAll || (step() >= kLeastUnit && step() <= kMostUnit); }

    // ALiBi. On one side of the diagonal a block's distances differ from its first by the column alone: a ramp, which the matrix unit adds where it
    // can.
    RF_DEVICE void decline(Scores& scores, const Work& work, int row, int key0) {
        const int first_key = key0 + device::fresh(Mask::first_column());
        const float distance = distance_ - static_cast<float>(first_key);
        if (key0 <= left_last_ || key0 >= right_first_) {
            const float start = distance_ - static_cast<float>(kRamped ? key0 : first_key);
            bias_[0] = -slope_ * __builtin_fabsf(start), bias_[1] = -slope_ * __builtin_fabsf(start + 8);
            if constexpr (!kRamped) {
                const float rise = key0 <= left_last_ ? slope_ : -slope_;
#pragma unroll
                for (int i = 0; i < kScores; ++i) scores[i] = __builtin_fmaf(rise, column(i), scores[i]);
            }
            return;
        }
        bias_[0] = bias_[1] = 0;
        if (right_first_ > Reach::kFar) {
            const std::int64_t far = work.diagonal + row + device::fresh(device::lane_index()) / 4 - first_key;
#pragma unroll
            for (int i = 0; i < kScores; ++i)
                scores[i] = __builtin_fmaf(-slope_, __builtin_fabsf(static_cast<float>(far + (i / 2 % 2 * 8 - column(i)))), scores[i]);
            return;
        }
#pragma unroll
        for (int i = 0; i < kScores; ++i) scores[i] = __builtin_fmaf(-slope_, __builtin_fabsf(distance + (i / 2 % 2 * 8 - column(i))), scores[i]);
    }
    // Which blocks lie on one side of the diagonal for all of the group's rows; `row` is this warp's first.
    RF_DEVICE void begin_slope(const Work& work, int row) {
        // Beyond, what is added to a block's scores would have fewer digits behind the point than a score needs, or leave the storage type: then each
        // element for itself.
        constexpr float kTame = 1 << 14, kTameSlope = T::kBf16 ? 1e20f : 3e4f;
        slope_ = device::load(call_.call.pointers.alibi_slopes + work.head);
        const float farthest = __builtin_fabsf(static_cast<float>(work.diagonal)) + static_cast<float>(work.rows + work.reach.length);
        const bool tame = __builtin_fabsf(slope_) * farthest < kTame && __builtin_fabsf(slope_) < kTameSlope * unit();
        if (folded()) slope_ /= step();
        const std::int64_t diagonal = work.diagonal + row;
        distance_ = static_cast<float>(diagonal + device::lane_index() / 4);
        const int near = static_cast<int>(ExtentRule::clamp(diagonal - warp_ % 4 * kWarpRows, -Reach::kFar, Reach::kFar));
        left_last_ = device::uniform(tame ? near - Tile::kKeys : -1), right_first_ = device::uniform(tame ? near + kGroupRows : Reach::kFar + 1);
        if constexpr (kRamped) write_ramp();
    }

    // The ramp is a product 16 deep of the slope, in three parts whose sum has its digits, and the columns' numbers, which are small and whole. A
    // group's rows are all the same; three operands lie in a row of its box: rising, falling and zero.
    RF_DEVICE void write_ramp() const {
        const float high = T::widen(T::pack(slope_, 0)), middle = T::widen(T::pack(slope_ - high, 0)), low = slope_ - high - middle;
        const int thread = warp_ % 4 * 32 + device::lane_index(), row = thread % kGroupRows, half = thread / kGroupRows;
        const std::uint32_t used = half == 0 ? ~0u : 0u;  // of the two halves of an operand's row
        const auto store = [&](int chunk, std::uint32_t first, std::uint32_t second) {
            device::store_shared(shared_.ramp_rows(warp_ / 4) + (row * kBoxBytes + (chunk ^ row % 8) * 16), {first, second, 0, 0});
        };
        device::group_barrier(warp_ / 4);
        store(half, T::pack(high, middle) & used, T::pack(low, 0) & used);
        store(2 + half, T::pack(-high, -middle) & used, T::pack(-low, 0) & used);
        store(4 + half, 0, 0);
        device::publish_shared();
        device::group_barrier(warp_ / 4);
    }

    const MappedCall& call_;
    const Shared<Tile> shared_;
    int warp_;
    Mask mask_;
    Capping<kScores> capping_;
    // The same in all lanes, from lane 0, so that they lie in uniform registers, which cost the others no reads: FMAs wait for those while the matrix
    // unit reads its accumulators. Computed once: the compiler would do it anew for each block.
    float product_log2_;
    // ALiBi. slope: in units; rise: of the blocks that now go at once, from key to key; distance: of the lane's first row from key 0.
    float slope_ = 0, rise_ = 0, distance_ = 0, bias_[2] = {};
    int left_last_ = 0, right_first_ = 0;  // the last block that lies left of the diagonal, the first one right of it, by their first keys
};

#endif

}  // namespace rocforge::kernels::flash::hopper
#endif
