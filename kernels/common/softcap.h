// Step 2 of attention's definition in device code: softcap * tanh(score / softcap), of one score. No other score decides how it is computed: some are
// garbage from behind a length.
#ifndef ROCFORGE_KERNELS_COMMON_SOFTCAP_H
#define ROCFORGE_KERNELS_COMMON_SOFTCAP_H

#include "kernels/common/tanh.h"
#include "kernels/platform/device.h"

namespace rocforge::kernels {

#if defined(RF_AMD) || defined(RF_NVIDIA)

// To 2e-7, relative, for any cap. The small ones' polynomial by its share of the score, so that a quotient that is too small for float32 leaves the
// score as it is.
RF_DEVICE float softcapped(float score, float cap) {
    const float x = score / cap, magnitude = __builtin_fabsf(x), z = x * x;
    float p = SmallTanh::k11;
    p = p * z + SmallTanh::k9;
    p = p * z + SmallTanh::k7;
    p = p * z + SmallTanh::k5;
    p = p * z + SmallTanh::k3;
    const float large = cap * __builtin_copysignf(device::tanh(magnitude), x);
    return magnitude < SmallTanh::kBelow ? z * p * score + score : large;  // NaN takes the second
}

#endif

}  // namespace rocforge::kernels
#endif
