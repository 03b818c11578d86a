// The prefill kernels of bf16.
#include "kernels/flash/prefill.h"

#if defined(RF_AMD) || defined(RF_NVIDIA)
ROCFORGE_PREFILL_KERNELS(flash_prefill_bf16, Bf16, 64)
ROCFORGE_PREFILL_KERNELS(flash_prefill_bf16, Bf16, 128)
ROCFORGE_PREFILL_KERNELS(flash_prefill_bf16, Bf16, 256)
#endif
