// tanh near 0, where 1 - 2 / (exp(2 x) + 1) cancels: the numbers that CPU kernels, by vectors, and GPU kernels, by element, share. No arithmetic:
// each adds and multiplies by its own means.
#ifndef ROCFORGE_KERNELS_COMMON_TANH_H
#define ROCFORGE_KERNELS_COMMON_TANH_H

namespace rocforge::kernels {

// tanh(x) = x + x^3 (k3 + k5 x^2 + k7 x^4 + k9 x^6 + k11 x^8) where |x| < kBelow, to 3e-9 of its value before any rounding (minimax, by Remez
// exchange in double).
struct SmallTanh {
    static constexpr float kBelow = 0.6f;
    static constexpr float k3 = -0.33333298f, k5 = 0.13331924f, k7 = -0.053783830f, k9 = 0.020795972f, k11 = -0.0058951584f;
};

}  // namespace rocforge::kernels
#endif
