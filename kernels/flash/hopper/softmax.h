// A block's products to what multiplies its values, for the rows of one warp: softmax with a maximum that lags behind.
//
// At once, as a rule: each element by itself goes from product to probability by the maximum so far, so that loads, masks and polynomials of one
// fill the time in which the exponential's unit works on another, and nothing waits for this block's maximum. That the maximum still holds shows in
// the probabilities' sum. Where it does not, and in blocks at an edge, all scores come first, then their maximum, then the probabilities.
#ifndef ROCFORGE_KERNELS_FLASH_HOPPER_SOFTMAX_H
#define ROCFORGE_KERNELS_FLASH_HOPPER_SOFTMAX_H

#include "kernels/flash/finish.h"
#include "kernels/flash/hopper/scoring.h"

namespace rocforge::kernels::flash::hopper {

#if defined(RF_NVIDIA) && defined(__CUDA_ARCH_FEAT_SM90_ALL)

// One lane's part: its scores are of rows `row` and `row + 8`.
template <class T, class Tile, Features F> class Softmax {
    static constexpr bool kScored = F != Features::none;

public:
    static constexpr bool kAtOnce = Tile::kAtOnce && F != Features::all;
    static constexpr int kScores = Scoring<T, Tile, F>::kScores;
    using Scores = float[kScores];
    using Probabilities = std::uint32_t[kScores / 2];

    // warp: of all consumers' warps.
    RF_DEVICE Softmax(const MappedCall& call, const Shared<Tile>& shared, int warp)
        : scoring_(call, shared, warp), log2_unit_(device::uniform_float(unit() * device::kLog2E)) {}

    // sure: keys that all of the group's rows attend to.
    RF_DEVICE void begin(const Work& work, int first_row, int first_block, const Keys& sure, bool any) {
        sure_ = sure;
        extreme_ = large_ = lost_ = owes_ = false, at_once_until_ = 0, failures_ = 0;
#pragma unroll
        for (int r = 0; r < 2; ++r) peak_[r] = -device::kInfinity, sum_[r] = 0;
        if (kScored && any) scoring_.begin(work, first_row, first_block * Tile::kKeys);
    }
    // Whether keys may be excluded one by one, within the bounds.
    RF_DEVICE bool excludes() const { return kScored && scoring_.excludes(); }
    // first_row: of the warp. While a block's scores are multiplied, of those before `end`.
    RF_DEVICE void turn(const Work& work, int first_row, int block, int end) {
        if (kScored) scoring_.turn(work, first_row, block * Tile::kKeys, end * Tile::kKeys);
    }
    // Instead, for a block that none of the group's rows attends to.
    RF_DEVICE void pass() {
        if (kScored) scoring_.pass();
    }
    // Whether all keys of the block are excluded: then its probabilities are 0, and nothing else changes.
    RF_DEVICE bool excludes_all() const { return kScored && scoring_.excludes_all(); }
    // Whether a block may go at once.
    RF_DEVICE bool goes_at_once(int block) const { return kAtOnce && block < at_once_until_; }
    // What is left to do once the products of the blocks before are awaited. shrink: the output of this warp's rows by factor(r). settle: settle().
    enum class Left { nothing, shrink, settle };
    RF_DEVICE Left at_once(const Scores& scores, Probabilities& probabilities, int block) {
        float sum[2] = {};
        right_ = scoring_.exponents(scores, block * Tile::kKeys, peak_, log2_unit_, [&](int i, float x, float y) {
            const float a = device::exp2(x), b = device::exp2(y);
            sum[i / 2 % 2] += a + b;
            probabilities[i / 2] = T::pack(a, b);
        });
        block_sum_[0] = sum[0], block_sum_[1] = sum[1];
        const bool unusual = device::any_in_wave(!right_ || !(sum[0] + sum[1] <= kGrows));  // NaN: unusual
        if (!unusual) sum_[0] += sum[0], sum_[1] += sum[1];
        return unusual ? Left::settle : Left::nothing;
    }
    // After a block whose probabilities were unusual. True: they are right, and the peak follows; the output owes it a factor once this block's
    // products are in it. False: the block has to go in turn, and will.
    RF_DEVICE bool settle(int block) {
        if (device::any_in_wave(!right_ || !(block_sum_[0] + block_sum_[1] <= kHolds))) {
            ++failures_, at_once_until_ = 0;
            return false;
        }
        float largest[2];
#pragma unroll
        for (int r = 0; r < 2; ++r) {
            sum_[r] += block_sum_[r];
            largest[r] = block_sum_[r] > 1 ? peak_[r] + device::log2(block_sum_[r]) / log2_unit_ : peak_[r];
        }
        catch_up(largest);
        owes_ = true;
        plan(block + 1);
        return true;
    }
    // Whether the output has to shrink by factor(r) as soon as the products of the block that was settled are in it.
    RF_DEVICE bool owes() const { return owes_; }
    RF_DEVICE void pay() { owes_ = false; }
    // All scores, then their maximum, then the probabilities, in place: pack() rounds them.
    RF_DEVICE Left in_turn(Scores& scores, const Work& work, int first_row, int block) {
        // Fresh: rare as this is, the compiler would prepare it for each block.
        const int key0 = device::fresh(block) * Tile::kKeys, row = device::fresh(first_row) + device::fresh(device::lane_index()) / 4;
        if constexpr (kScored) scoring_.score(scores, work, first_row, key0);
        if (key0 < sure_.first || key0 + Tile::kKeys > sure_.end) exclude(scores, work, row, key0);
        float largest[2];
        bool lags = false;
#pragma unroll
        for (int r = 0; r < 2; ++r) {
            largest[r] = scores[2 * r];
#pragma unroll
            for (int i = 0; i < kScores; ++i)
                if (i / 2 % 2 == r) largest[r] = device::larger(largest[r], scores[i]);
            if constexpr (kScored) largest[r] += scoring_.bias(r);
            lags |= (largest[r] - peak_[r]) * log2_unit_ > kLagBits;  // false for (-inf) - (-inf)
        }
        lags = device::any_in_wave(lags);
        if (lags) {
            const float owed[2] = {factor_[0], factor_[1]};
            catch_up(largest);
            if (owes_) factor_[0] *= owed[0], factor_[1] *= owed[1];
        }
        if (kScored && extreme_)
            exponentiate<true>(scores);
        else
            exponentiate<false>(scores);
        plan(block + 1);
        return lags || owes_ ? Left::shrink : Left::nothing;
    }
    RF_DEVICE static void pack(const Scores& scores, Probabilities& probabilities) {
#pragma unroll
        for (int i = 0; i < kScores / 2; ++i) probabilities[i] = T::pack(scores[2 * i], scores[2 * i + 1]);
    }

    // Adds to the products of a block, which are open, what the matrix unit makes of scoring.
    RF_DEVICE void multiply(Scores& products, int block) const { scoring_.multiply(products, block * Tile::kKeys); }

    RF_DEVICE float factor(int r) const { return factor_[r]; }
    // Whether probabilities may have been so large that they took the output of large values to infinity.
    RF_DEVICE bool large() const { return large_ || sums_are_large(); }
    // Whether scores were too large for exponents of them: then the rows are to be done again, difference first.
    RF_DEVICE bool lost() const { return lost_; }

    // Of the whole row, once all blocks are done.
    RF_DEVICE RowSum sum(int r) const {
        float sum = sum_[r];
        sum += device::exchange(sum, 1);
        sum += device::exchange(sum, 2);
        return {peak_[r] * unit(), sum};
    }

private:
    // How far the maximum may lag, in bits. bf16 has float32's exponents, and ALiBi's scores rise by many from block to block; f16 has few, and is to
    // hold what is small.
    static constexpr int kLagBits = T::kBf16 ? 40 : 8;
    // One lane's sum over a block, in units of the peak's probability. Up to kHolds all is right, since no probability is larger; beyond kGrows the
    // peak follows.
    static constexpr float kGrows = static_cast<float>(std::uint64_t{1} << kLagBits), kHolds = T::kBf16 ? 0x1p90f : 0x1p11f;
    // Where that was not enough so often in a tile, all of this warp's blocks go in turn.
    static constexpr int kFailures = 4;

    // What one of a score counts.
    RF_DEVICE float unit() const { return scoring_.unit(); }

    // How far blocks go at once, from `block` on: while all rows attend to all keys, have a maximum, and ALiBi falls to one side.
    RF_DEVICE void plan(int block) {
        at_once_until_ = 0;
        if (!kAtOnce || extreme_ || failures_ >= kFailures || block * Tile::kKeys < sure_.first) return;
        // A row without keys so far has no maximum yet.
        if (device::any_in_wave(peak_[0] == -device::kInfinity || peak_[1] == -device::kInfinity)) return;
        at_once_until_ = device::uniform(scoring_.at_once_until(block, sure_.end / Tile::kKeys));
    }
    template <bool DifferenceFirst> RF_DEVICE void exponentiate(Scores& scores) {
#pragma unroll
        for (int r = 0; r < 2; ++r) {
            const float peak = peak_[r] == -device::kInfinity ? 0 : peak_[r], base = kScored ? peak - scoring_.bias(r) : peak;
            const float log2_base = base * log2_unit_;
            float sum = 0;
#pragma unroll
            for (int i = 0; i < kScores; ++i)
                if (i / 2 % 2 == r) {
                    scores[i] = device::exp2(DifferenceFirst ? (scores[i] - base) * log2_unit_ : __builtin_fmaf(scores[i], log2_unit_, -log2_base));
                    sum += scores[i];
                }
            sum_[r] += sum;
        }
    }
    RF_DEVICE void exclude(Scores& scores, const Work& work, int row, int key0) const {
#pragma unroll
        for (int r = 0; r < 2; ++r) {
            const int own = min(row + r * 8, work.rows - 1), column0 = key0 + device::fresh(device::lane_index()) % 4 * 2;
            const int first = own + work.reach.first - column0, end = min(own + work.reach.end, work.reach.length) - column0;
            if (key0 + Tile::kKeys > sure_.end) {
#pragma unroll
                for (int i = 0; i < kScores; ++i)
                    if (i / 2 % 2 == r && Scoring<T, Tile, F>::column(i) >= end) scores[i] = -device::kInfinity;
            }
            if (key0 < sure_.first) {
#pragma unroll
                for (int i = 0; i < kScores; ++i)
                    if (i / 2 % 2 == r && Scoring<T, Tile, F>::column(i) < first) scores[i] = -device::kInfinity;
            }
        }
    }
    // No probability is larger than the sum that it is in.
    RF_DEVICE bool sums_are_large() const { return device::any_in_wave(!(device::larger(sum_[0], sum_[1]) <= 0x1p16f)); }
    RF_DEVICE void catch_up(const float (&largest)[2]) {
        large_ = large_ || sums_are_large();
#pragma unroll
        for (int r = 0; r < 2; ++r) {
            float peak = device::larger(largest[r], device::exchange(largest[r], 1));
            peak = device::larger(peak_[r], device::larger(peak, device::exchange(peak, 2)));
            factor_[r] = peak == peak_[r] ? 1.0f : device::exp2((peak_[r] - peak) * log2_unit_);
            peak_[r] = peak;
            sum_[r] *= factor_[r];
        }
        // Beyond, a peak in units of log2 would have too few digits left, or none: the difference comes first. Plain kernels have no code for that,
        // and no need of it until a score's own last digit is that large.
        constexpr float kModest = kScored ? 4096 : kFar;
        const auto extreme = [this](float peak) { return __builtin_fabsf(peak) * log2_unit_ > kModest && peak != -device::kInfinity; };
        extreme_ = device::any_in_wave(extreme(peak_[0]) || extreme(peak_[1]));
        if constexpr (!kScored) lost_ = lost_ || extreme_;
    }

    Scoring<T, Tile, F> scoring_;
    const float log2_unit_;
    Keys sure_;
    bool extreme_, right_, large_, lost_, owes_;
    int at_once_until_, failures_;
    float block_sum_[2];
    float peak_[2], sum_[2], factor_[2];  // peak: it may lag; sum: this lane's part
};

#endif

}  // namespace rocforge::kernels::flash::hopper
#endif
