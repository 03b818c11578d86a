// Step 2 of attention's definition in device code: softcap * tanh(score / softcap), of one score. No other score decides how it is computed: some are
// garbage from behind a length.
#ifndef ROCFORGE_KERNELS_COMMON_SOFTCAP_H
#define ROCFORGE_KERNELS_COMMON_SOFTCAP_H

#include "kernels/platform/device.h"

namespace rocforge::kernels {

#if defined(RF_AMD) || defined(RF_NVIDIA)

// To 2e-7, relative, for any cap. An odd polynomial up to 0.6 of it, where 1 - 2 / (exp(2 x) + 1) would cancel: by its share of the score, so that a
// quotient that is too small for float32 leaves the score as it is.
RF_DEVICE float softcapped(float score, float cap) {
    const float x = score / cap, magnitude = __builtin_fabsf(x), z = x * x;
    float p = -0.0058951584f;
    p = p * z + 0.020795972f;
    p = p * z - 0.053783830f;
    p = p * z + 0.13331924f;
    p = p * z - 0.33333298f;
    const float large = cap * __builtin_copysignf(device::tanh(magnitude), x);
    return magnitude < 0.6f ? z * p * score + score : large;  // NaN takes the second
}

#endif

}  // namespace rocforge::kernels
#endif
