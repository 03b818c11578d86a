// From products to scores where more than a positive scale and bounds on keys is asked for: softcap, ALiBi, masks. The portable kernels take each
// element through all features (GeneralScore); here all elements go through one feature after the other, so that none branches. The rules are those
// of flash/score.h.
//
// What is the same for all elements stays out of them: a score in registers counts unit() of the rule's, which the exponential's scale takes in, and
// less than the rule's by bias(r) in a lane's row r, which the maximum takes in.
#ifndef ROCFORGE_KERNELS_FLASH_HOPPER_SCORING_H
#define ROCFORGE_KERNELS_FLASH_HOPPER_SCORING_H

#include "kernels/flash/hopper/masking.h"

namespace rocforge::kernels::flash::hopper {

#if defined(RF_NVIDIA) && defined(__CUDA_ARCH_FEAT_SM90_ALL)

// One lane's: its scores are of rows `row` and `row + 8`, columns as in kernels/matrix/sm90.h.
template <class Tile, Features F> class Scoring {
    using Mask = Masking<Tile, F == Features::all>;

public:
    using Scores = typename Mask::Scores;
    static constexpr int kScores = Mask::kScores;
    RF_DEVICE static constexpr int column(int i) { return Mask::column(i); }

    RF_DEVICE Scoring(const MappedCall& call, const Shared<Tile>& shared, int warp) : call_(call), mask_(call, shared, warp) {}

    RF_DEVICE float unit() const { return folded() && !(masked() && mask_.adds()) ? step() : 1.0f; }
    RF_DEVICE float bias(int r) const { return sloped() ? bias_[r] : 0.0f; }

    // For the tile's rows of this lane, and the block of keys that score() gets first.
    RF_DEVICE void begin(const Work& work, int row, int key0) {
        if (sloped()) begin_slope(work, row - device::lane_index() / 4);
        if (masked()) mask_.ask(work, row - device::lane_index() / 4, key0);
    }
    // For the block from key0, which score() gets next. [whole warp, after what depends on all of its scores]
    RF_DEVICE void ask(const Work& work, int row, int key0) const {
        if (masked()) mask_.ask(work, row - device::lane_index() / 4, key0);
    }

    // The block of keys from key0: products to scores, in place.
    RF_DEVICE void score(Scores& scores, const Work& work, int row, int key0) {
        const Attention& a = call_.call.attention;
        if (capped()) cap(scores, a.scale / a.softcap);
        if (!folded()) {
#pragma unroll
            for (int i = 0; i < kScores; ++i) scores[i] *= step();
        }
        if (sloped()) decline(scores, key0);
        if (!masked()) return;
        const float scale = folded() ? step() : 1.0f;
        mask_.apply(scores, work, row - device::lane_index() / 4, key0, scale);
        if (sloped() && mask_.adds()) bias_[0] *= scale, bias_[1] *= scale;
    }

private:
    static constexpr bool kAll = F == Features::all;
    RF_DEVICE bool capped() const { return F == Features::softcap || (kAll && call_.call.attention.softcap > 0); }
    RF_DEVICE bool sloped() const { return F == Features::alibi || (kAll && call_.call.attention.alibi); }
    RF_DEVICE bool masked() const { return F == Features::mask || (kAll && mask_.present()); }
    // What a product counts, or after the cap a score; and whether that is left to unit().
    RF_DEVICE float step() const { return capped() ? call_.call.attention.softcap : call_.call.attention.scale; }
    RF_DEVICE bool folded() const { return !kAll || step() >= kLeastUnit; }

    // tanh(scores * inside). Below 5/8 by a polynomial, since the exponential's unit has 16 results a cycle and the multipliers 128: an odd one of
    // degree 9 in y = x * 16/5, whose bit 30 says that it is 2 or more, infinite or NaN. Its error is 1.1e-7 of the value.
    RF_DEVICE static void cap(Scores& scores, float inside) {
        constexpr float kLimit = 0.625f;
        const float to_y = inside * (2 / kLimit);
        std::uint32_t bits[4] = {};  // four, so that none waits for the last
#pragma unroll
        for (int i = 0; i < kScores; ++i) {
            scores[i] *= to_y;
            bits[i / 2 % 4] |= device::as_bits(scores[i]);
        }
        if (device::any_in_wave(((bits[0] | bits[1] | bits[2] | bits[3]) & 0x40000000u) != 0)) {
#pragma unroll
            for (int i = 0; i < kScores; ++i) scores[i] = device::tanh(scores[i] * (kLimit / 2));
            return;
        }
#pragma unroll
        for (int i = 0; i < kScores; ++i) {
            const float square = scores[i] * scores[i];
            float p = __builtin_fmaf(square, 4.27772704e-07f, -1.50821415e-05f);
            p = __builtin_fmaf(p, square, 3.96505755e-04f);
            p = __builtin_fmaf(p, square, -1.01721054e-02f);
            scores[i] *= __builtin_fmaf(p, square, 3.12499970e-01f);
        }
    }
    // ALiBi. On one side of the diagonal a block's distances differ from its first by the column alone: one multiplication and addition an element.
    RF_DEVICE void decline(Scores& scores, int key0) {
        const float distance = distance_ - static_cast<float>(key0);
        if (key0 <= left_last_ || key0 >= right_first_) {
            const float rise = key0 <= left_last_ ? slope_ : -slope_;
#pragma unroll
            for (int i = 0; i < kScores; ++i) scores[i] = __builtin_fmaf(rise, column(i), scores[i]);
            bias_[0] = -slope_ * __builtin_fabsf(distance), bias_[1] = -slope_ * __builtin_fabsf(distance + 8);
            return;
        }
        bias_[0] = bias_[1] = 0;
#pragma unroll
        for (int i = 0; i < kScores; ++i) scores[i] = __builtin_fmaf(-slope_, __builtin_fabsf(distance + (i / 2 % 2 * 8 - column(i))), scores[i]);
    }
    // Which blocks lie on one side of the diagonal for all of this warp's rows, the first of which is `row`.
    RF_DEVICE void begin_slope(const Work& work, int row) {
        constexpr float kTame = 1e20f;  // beyond, the bias of a row might matter to what a mask's lowest values are joined with
        slope_ = device::load(call_.call.pointers.alibi_slopes + work.head);
        if (folded()) slope_ /= step();
        const std::int64_t diagonal = work.diagonal + row;
        distance_ = static_cast<float>(diagonal + device::lane_index() / 4 - Mask::first_column());
        const int near = static_cast<int>(ExtentRule::clamp(diagonal, -Reach::kFar, Reach::kFar));
        const bool tame = __builtin_fabsf(slope_) < kTame;
        left_last_ = tame ? near - Tile::kKeys : -1, right_first_ = tame ? near + kWarpRows : Reach::kFar + 1;
    }

    const MappedCall& call_;
    Mask mask_;
    float slope_ = 0, distance_ = 0, bias_[2] = {};  // distance: of the lane's first row from its first key
    int left_last_ = 0, right_first_ = 0;            // the last block that lies left of the diagonal, the first one right of it, by their first keys
};

#endif

}  // namespace rocforge::kernels::flash::hopper
#endif
