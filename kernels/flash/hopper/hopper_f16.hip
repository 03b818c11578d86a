// Hopper's prefill kernels of f16.
#include "kernels/flash/hopper/prefill.h"

#if defined(RF_NVIDIA)
ROCFORGE_HOPPER_KERNEL(flash_hopper_f16_64_small, F16, Dim64Small, none)
ROCFORGE_HOPPER_KERNEL(flash_hopper_f16_64_large, F16, Dim64Large, none)
ROCFORGE_HOPPER_KERNEL(flash_hopper_f16_64_softcap, F16, Dim64Scored, softcap)
ROCFORGE_HOPPER_KERNEL(flash_hopper_f16_64_alibi, F16, Dim64Ramped, alibi)
ROCFORGE_HOPPER_KERNEL(flash_hopper_f16_64_mask, F16, Dim64Masked, mask)
ROCFORGE_HOPPER_KERNEL(flash_hopper_f16_64_general, F16, Dim64Masked, all)
ROCFORGE_HOPPER_KERNEL(flash_hopper_f16_128_small, F16, Dim128Small, none)
ROCFORGE_HOPPER_KERNEL(flash_hopper_f16_128_medium, F16, Dim128Medium, none)
ROCFORGE_HOPPER_KERNEL(flash_hopper_f16_128_large, F16, Dim128Large, none)
ROCFORGE_HOPPER_KERNEL(flash_hopper_f16_128_softcap, F16, Dim128Medium, softcap)
ROCFORGE_HOPPER_KERNEL(flash_hopper_f16_128_alibi, F16, Dim128Ramped, alibi)
ROCFORGE_HOPPER_KERNEL(flash_hopper_f16_128_mask, F16, Dim128Masked, mask)
ROCFORGE_HOPPER_KERNEL(flash_hopper_f16_128_general, F16, Dim128Masked, all)
ROCFORGE_HOPPER_KERNEL(flash_hopper_f16_256_small, F16, Dim256Small, none)
ROCFORGE_HOPPER_KERNEL(flash_hopper_f16_256_softcap, F16, Dim256Small, softcap)
ROCFORGE_HOPPER_KERNEL(flash_hopper_f16_256_alibi, F16, Dim256Ramped, alibi)
ROCFORGE_HOPPER_KERNEL(flash_hopper_f16_256_mask, F16, Dim256Masked, mask)
ROCFORGE_HOPPER_KERNEL(flash_hopper_f16_256_general, F16, Dim256Masked, all)
#endif
