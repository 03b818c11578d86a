// The decode kernels of f16.
#include "kernels/flash/decode.h"

#if defined(RF_AMD) || defined(RF_NVIDIA)
ROCFORGE_DECODE_KERNELS(flash_decode_f16, F16, 64)
ROCFORGE_DECODE_KERNELS(flash_decode_f16, F16, 128)
ROCFORGE_DECODE_KERNELS(flash_decode_f16, F16, 256)
#endif
