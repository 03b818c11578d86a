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
        steepness_ = device::uniform_float(scale / cap);
        if constexpr (!Exponents) return;
        even_ = Short(steepness_, cap * device::kLog2E).held();
        const float largest = Short::kLimit / steepness_;
        square_limit_ = device::uniform(static_cast<int>(device::as_bits(largest * largest)));
    }

    // Products to scores in units of the cap. Each by itself: a neighbour may lie past the sequence's end, and be anything.
    RF_DEVICE void cap(float (&scores)[Scores]) const {
        const Long even;
        bool far = false;
#pragma unroll
        for (int i = 0; i < Scores; ++i) scores[i] *= steepness_, far |= !(__builtin_fabsf(scores[i]) < Long::kLimit);
        if (device::any_in_wave(far)) {
#pragma unroll
            for (int i = 0; i < Scores; ++i) {
                const float x = scores[i], near = x * even(x * x);
                scores[i] = __builtin_fabsf(x) < Long::kLimit ? near : device::tanh(x);
            }
            return;
        }
#pragma unroll
        for (int i = 0; i < Scores; ++i) scores[i] *= even(scores[i] * scores[i]);
    }
    // Products to exponents of 2 of capped scores, less base[r] in the lane's row r: use(i, x, y) gets those of scores i and i + 1. False: some are
    // wrong, too large for the polynomial.
    template <class Use> RF_DEVICE bool exponents(const float (&products)[Scores], const float (&base)[2], Use use) const {
        const Short even = even_;
        int largest[2] = {};  // square, by its bits: what is infinite or NaN is beyond all
#pragma unroll
        for (int i = 0; i < Scores; i += 2) {
            const float x = products[i], y = products[i + 1], xx = x * x, yy = y * y, less = -base[i / 2 % 2];
            largest[i / 2 % 2] = device::largest_of(largest[i / 2 % 2], static_cast<int>(device::as_bits(xx)), static_cast<int>(device::as_bits(yy)));
            use(i, __builtin_fmaf(x, even(xx), less), __builtin_fmaf(y, even(yy), less));
        }
        return max(largest[0], largest[1]) < square_limit_;
    }

private:
    // tanh(x) = x * even(x * x) for |x| below kLimit, minimax of the relative error, which in float32 is 4e-7 at most. With a unit and a factor,
    // z * even(z * z) = factor * tanh(unit * z).
    template <int Terms> struct Polynomial {
        static constexpr float kLimit = Terms == 4 ? 0.4375f : 0.9375f;
        float c[Terms];

        RF_DEVICE explicit Polynomial(float unit = 1, float factor = 1) {
            constexpr float kFour[] = {0.999999803f, -0.333300404f, 0.132460323f, -0.0464197686f};
            constexpr float kSix[] = {0.999999696f, -0.333308043f, 0.132986781f, -0.0521870849f, 0.0175335217f, -0.00343955987f};
            float of_term = factor * unit;
#pragma unroll
            for (int i = 0; i < Terms; ++i, of_term *= unit * unit) c[i] = (Terms == 4 ? kFour[i % 4] : kSix[i]) * of_term;
        }
        RF_DEVICE float operator()(float square) const {
            float p = c[Terms - 1];
#pragma unroll
            for (int i = Terms - 2; i >= 0; --i) p = __builtin_fmaf(p, square, c[i]);
            return p;
        }
        // The same in all lanes, in uniform registers (scoring.h).
        RF_DEVICE Polynomial held() const {
            Polynomial held;
#pragma unroll
            for (int i = 0; i < Terms; ++i) held.c[i] = device::uniform_float(c[i]);
            return held;
        }
    };
    using Short = Polynomial<4>;  // each term more costs 4 % of a block
    using Long = Polynomial<6>;   // where a block goes in turn, since the short one was not enough

    float steepness_ = 0;   // of tanh at 0, as a function of products
    Short even_;            // for exponents(): from products, times log2(e) and the cap
    int square_limit_ = 0;  // for exponents(): bits of what a product's square has to stay below
};

#endif

}  // namespace rocforge::kernels::flash::hopper
#endif
