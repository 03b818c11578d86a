// The prefill kernels of Hopper.
#include "kernels/flash/hopper/prefill.h"

#if defined(RF_NVIDIA)
ROCFORGE_HOPPER_KERNEL(flash_hopper_bf16_64_small, Bf16, Dim64Small)
ROCFORGE_HOPPER_KERNEL(flash_hopper_bf16_64_large, Bf16, Dim64Large)
ROCFORGE_HOPPER_KERNEL(flash_hopper_bf16_128_small, Bf16, Dim128Small)
ROCFORGE_HOPPER_KERNEL(flash_hopper_bf16_128_large, Bf16, Dim128Large)
ROCFORGE_HOPPER_KERNEL(flash_hopper_f16_64_small, F16, Dim64Small)
ROCFORGE_HOPPER_KERNEL(flash_hopper_f16_64_large, F16, Dim64Large)
ROCFORGE_HOPPER_KERNEL(flash_hopper_f16_128_small, F16, Dim128Small)
ROCFORGE_HOPPER_KERNEL(flash_hopper_f16_128_large, F16, Dim128Large)
#endif
