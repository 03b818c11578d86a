// Softcap for the scores of one lane: tanh by polynomials, since the exponential's unit has 16 results a cycle and the multipliers 128. An odd
// polynomial is a product with one of squares, into which units and factors go for nothing. What is too large for it is taken one by one.
#ifndef ROCFORGE_KERNELS_FLASH_HOPPER_CAPPING_H
#define ROCFORGE_KERNELS_FLASH_HOPPER_CAPPING_H

#include "kernels/platform/sm90.h"

namespace rocforge::kernels::flash::hopper {

#if defined(RF_NVIDIA) && defined(__CUDA_ARCH_FEAT_SM90_ALL)

template <int Scores> class Capping {
public:
    // For products that count `scale`, and a cap. Exponents: whether exponents() is used, which wants both within hopper/tile.h's limits.
    template <bool Exponents> RF_DEVICE void prepare(float scale, float cap) {
        to_y_ = device::uniform_float(scale / cap * (2 / kLimit));
        if constexpr (!Exponents) return;
        even_ = Polynomial(scale / cap, cap * device::kLog2E).held();
        const float largest = kLimit / (scale / cap);
        square_limit_ = device::uniform(static_cast<int>(device::as_bits(largest * largest)));
    }

    // Products to scores in units of the cap. Each by itself: a neighbour may lie past the sequence's end, and be anything.
    RF_DEVICE void cap(float (&scores)[Scores]) const {
        const Polynomial even(kLimit / 2);
        bool far = false;
#pragma unroll
        for (int i = 0; i < Scores; ++i) scores[i] *= to_y_, far |= !(__builtin_fabsf(scores[i]) < 2);
        if (device::any_in_wave(far)) {
#pragma unroll
            for (int i = 0; i < Scores; ++i) {
                const float y = scores[i], near = y * even(y * y);
                scores[i] = __builtin_fabsf(y) < 2 ? near : device::tanh(y * (kLimit / 2));
            }
            return;
        }
#pragma unroll
        for (int i = 0; i < Scores; ++i) scores[i] *= even(scores[i] * scores[i]);
    }
    // Products to exponents of 2 of capped scores, less base[r] in the lane's row r: use(i, x, y) gets those of scores i and i + 1. False: some are
    // wrong, too large for the polynomial.
    template <class Use> RF_DEVICE bool exponents(const float (&products)[Scores], const float (&base)[2], Use use) const {
        const Polynomial even = even_;
        int largest[2] = {};  // square, by its bits: what is infinite or NaN is beyond all
#pragma unroll
        for (int i = 0; i < Scores; i += 2) {
            const float x = products[i], y = products[i + 1], xx = x * x, yy = y * y, less = -base[i / 2 % 2];
            largest[i / 2 % 2] = __vimax3_s32(largest[i / 2 % 2], static_cast<int>(device::as_bits(xx)), static_cast<int>(device::as_bits(yy)));
            use(i, __builtin_fmaf(x, even(xx), less), __builtin_fmaf(y, even(yy), less));
        }
        return max(largest[0], largest[1]) < square_limit_;
    }

private:
    // tanh(x) = x * even(x * x) for |x| below kLimit, with an error of 3e-7 of the value: minimax, of the relative error. With a unit and a factor,
    // z * even(z * z) = factor * tanh(unit * z).
    static constexpr float kLimit = 0.4375f;
    struct Polynomial {
        static constexpr int kTerms = 4;
        float c[kTerms];

        Polynomial() = default;
        RF_DEVICE explicit Polynomial(float unit, float factor = 1) {
            constexpr float kOfSquares[] = {0.999999803f, -0.333300404f, 0.132460323f, -0.0464197686f};
            float of_term = factor * unit;
#pragma unroll
            for (int i = 0; i < kTerms; ++i, of_term *= unit * unit) c[i] = kOfSquares[i] * of_term;
        }
        RF_DEVICE float operator()(float square) const {
            float p = c[kTerms - 1];
#pragma unroll
            for (int i = kTerms - 2; i >= 0; --i) p = __builtin_fmaf(p, square, c[i]);
            return p;
        }
        // The same in all lanes, in uniform registers (scoring.h).
        RF_DEVICE Polynomial held() const {
            Polynomial held;
#pragma unroll
            for (int i = 0; i < kTerms; ++i) held.c[i] = device::uniform_float(c[i]);
            return held;
        }
    };

    float to_y_ = 0;        // for cap(): products to x * 2 / kLimit, whose magnitude is 2 at the limit
    Polynomial even_;       // for exponents(): from products, times log2(e) and the cap
    int square_limit_ = 0;  // for exponents(): bits of what a product's square has to stay below
};

#endif

}  // namespace rocforge::kernels::flash::hopper
#endif
