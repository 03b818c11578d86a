// From products to scores where more than a positive scale and bounds on keys is asked for: softcap, ALiBi, masks. The portable kernels take each
// element through all features (GeneralScore); here all elements go through one feature after the other, so that none branches, and two neighbouring
// keys share a load of the mask where it lies well. The rules are those of flash/score.h.
#ifndef ROCFORGE_KERNELS_FLASH_HOPPER_SCORING_H
#define ROCFORGE_KERNELS_FLASH_HOPPER_SCORING_H

#include "kernels/flash/hopper/work.h"

namespace rocforge::kernels::flash::hopper {

#if defined(RF_NVIDIA) && defined(__CUDA_ARCH_FEAT_SM90_ALL)

// One lane's: its scores are of rows `row` and `row + 8`, columns as in kernels/matrix/sm90.h.
template <class Tile> class Scoring {
public:
    static constexpr int kScores = Tile::kKeys / 2;
    using Scores = float[kScores];

    RF_DEVICE explicit Scoring(const Call& call) : call_(call) {}

    // The column of score i, from the lane's first one.
    RF_DEVICE static constexpr int column(int i) { return i / 4 * 8 + i % 2; }

    RF_DEVICE void begin(const Work& work, int row) {
        const Attention& a = call_.attention;
        if (a.alibi) slope_ = device::load(call_.pointers.alibi_slopes + work.head);
        keys_ = work.reach.length;
        pairs_ = a.mask.present() && paired(a.mask, call_.pointers.mask);
#pragma unroll
        for (int r = 0; r < 2; ++r) {
            distance_[r] = static_cast<float>(work.diagonal + row + r * 8 - first_column());
            mask_[r] = a.mask.offset(work.sequence, work.head, min(row + r * 8, work.rows - 1));
        }
    }

    // The block of keys from key0: products to scores, in place. The scale joins the first feature that adds.
    RF_DEVICE void score(Scores& scores, int key0) const {
        const Attention& a = call_.attention;
        float scale = a.scale;
        if (a.softcap > 0) {
            const float inside = 2 * device::kLog2E * a.scale / a.softcap;  // tanh(x) = 1 - 2 / (exp(2 x) + 1)
#pragma unroll
            for (int i = 0; i < kScores; ++i)
                scores[i] = __builtin_fmaf(-2 * a.softcap, device::reciprocal(device::exp2(scores[i] * inside) + 1.0f), a.softcap);
            scale = 1;
        }
        if (a.alibi) {
            const float distance[2] = {(distance_[0] - static_cast<float>(key0)) * slope_, (distance_[1] - static_cast<float>(key0)) * slope_};
#pragma unroll
            for (int i = 0; i < kScores; ++i) {
                const float bias = __builtin_fabsf(__builtin_fmaf(-static_cast<float>(column(i)), slope_, distance[i / 2 % 2]));
                scores[i] = __builtin_fmaf(scores[i], scale, slope_ < 0 ? bias : -bias);
            }
            scale = 1;
        }
        if (a.mask.present()) return mask(scores, key0, scale);
        if (scale == 1) return;
#pragma unroll
        for (int i = 0; i < kScores; ++i) scores[i] *= scale;
    }

private:
    RF_DEVICE static int first_column() { return device::lane_index() % 4 * 2; }
    // Whether neighbouring keys of all rows lie in one aligned pair.
    RF_DEVICE static bool paired(const Operand& mask, const void* elements) {
        const std::uint64_t strides = static_cast<std::uint64_t>(mask.batch | mask.head | mask.sequence);
        return mask.last == 1 && strides % 2 == 0 &&
               reinterpret_cast<std::uint64_t>(elements) % (2 * static_cast<std::uint64_t>(bytes_of(mask.type))) == 0;
    }
    RF_DEVICE void mask(Scores& scores, int key0, float scale) const {
        const void* elements = call_.pointers.mask;
        const bool pairs = pairs_ && key0 + Tile::kKeys <= keys_ && !device::any_in_wave(!calm(scores, scale));
        switch (call_.attention.mask.type) {
            case Type::boolean:
                if (pairs)
                    return each_pair_masked<std::uint16_t>(
                        elements, scores, key0, scale, [](std::uint16_t x, int half) { return x >> half * 8 & 0xFF ? 0.0f : -device::kInfinity; });
                return each_masked<std::uint8_t>(elements, scores, key0, scale, [](std::uint8_t x) { return x ? 0.0f : -device::kInfinity; });
            case Type::f32:
                if (pairs) return each_pair_masked<float2>(elements, scores, key0, scale, [](float2 x, int half) { return half ? x.y : x.x; });
                return each_masked<float>(elements, scores, key0, scale, [](float x) { return x; });
            case Type::bf16:
                return mask_by_halves<matrix::Bf16>(elements, scores, key0, scale, pairs);
            default:
                return mask_by_halves<matrix::F16>(elements, scores, key0, scale, pairs);
        }
    }
    template <class Half> RF_DEVICE void mask_by_halves(const void* elements, Scores& scores, int key0, float scale, bool pairs) const {
        if (pairs)
            each_pair_masked<std::uint32_t>(elements, scores, key0, scale,
                                            [](std::uint32_t x, int half) { return Half::widen(x >> half * 16 & 0xFFFF); });
        else
            each_masked<std::uint16_t>(elements, scores, key0, scale, [](std::uint16_t x) { return Half::widen(x); });
    }
    // No score is so large that adding a mask's finite value leaves float32, and none is NaN: then the sum is the rule (GeneralScore::joined).
    RF_DEVICE static bool calm(const Scores& scores, float scale) {
        float total = 0;
#pragma unroll
        for (int i = 0; i < kScores; ++i) total += __builtin_fabsf(scores[i]);
        return total * __builtin_fabsf(scale) < 1e30f;  // half a unit in the last place of float32's largest number is 1e31
    }
    // Two neighbouring keys at a time.
    template <class Pair, class Bias> RF_DEVICE void each_pair_masked(const void* elements, Scores& scores, int key0, float scale, Bias bias) const {
#pragma unroll
        for (int r = 0; r < 2; ++r) {
            const Pair* row = reinterpret_cast<const Pair*>(static_cast<const char*>(elements) +
                                                            (mask_[r] + key0 + first_column()) * static_cast<int>(sizeof(Pair) / 2));
#pragma unroll
            for (int i = 2 * r; i < kScores; i += 4) {
                const Pair pair = device::load(row + column(i) / 2);
                scores[i] = __builtin_fmaf(scores[i], scale, bias(pair, 0));
                scores[i + 1] = __builtin_fmaf(scores[i + 1], scale, bias(pair, 1));
            }
        }
    }
    // Keys past the end have no mask; they are excluded later.
    template <class X, class Bias> RF_DEVICE void each_masked(const void* elements, Scores& scores, int key0, float scale, Bias bias) const {
        const std::int64_t last = call_.attention.mask.last;
#pragma unroll
        for (int r = 0; r < 2; ++r) {
            const X* row = static_cast<const X*>(elements) + mask_[r] + (key0 + first_column()) * last;
            const int left = keys_ - key0 - first_column();
#pragma unroll
            for (int i = 0; i < kScores; ++i)
                if (i / 2 % 2 == r && column(i) < left)
                    scores[i] = GeneralScore::joined(scores[i] * scale, bias(device::load(row + column(i) * last)));
        }
    }

    const Call& call_;
    int keys_ = 0;  // of the sequence
    bool pairs_ = false;
    float slope_ = 0, distance_[2] = {};  // from the lane's first column to its rows' diagonal
    std::int64_t mask_[2] = {};           // where the mask of its rows begins
};

#endif

}  // namespace rocforge::kernels::flash::hopper
#endif
