// The prefill kernels of f16.
#include "kernels/flash/prefill.h"

#if defined(RF_AMD) || defined(RF_NVIDIA)
ROCFORGE_PREFILL_KERNELS(flash_prefill_f16, F16, 64)
ROCFORGE_PREFILL_KERNELS(flash_prefill_f16, F16, 128)
ROCFORGE_PREFILL_KERNELS(flash_prefill_f16, F16, 256)
#endif
