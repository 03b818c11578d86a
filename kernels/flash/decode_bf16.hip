// The decode kernels of bf16.
#include "kernels/flash/decode.h"

#if defined(RF_AMD) || defined(RF_NVIDIA)
ROCFORGE_DECODE_KERNELS(flash_decode_bf16, Bf16, 64)
ROCFORGE_DECODE_KERNELS(flash_decode_bf16, Bf16, 128)
ROCFORGE_DECODE_KERNELS(flash_decode_bf16, Bf16, 256)
#endif
