// Hopper's prefill kernels of bf16.
#include "kernels/flash/hopper/prefill.h"

#if defined(RF_NVIDIA)
ROCFORGE_HOPPER_KERNEL(flash_hopper_bf16_64_small, Bf16, Dim64Small, none)
ROCFORGE_HOPPER_KERNEL(flash_hopper_bf16_64_large, Bf16, Dim64Large, none)
ROCFORGE_HOPPER_KERNEL(flash_hopper_bf16_64_softcap, Bf16, Dim64Scored, softcap)
ROCFORGE_HOPPER_KERNEL(flash_hopper_bf16_64_alibi, Bf16, Dim64Ramped, alibi)
ROCFORGE_HOPPER_KERNEL(flash_hopper_bf16_64_mask, Bf16, Dim64Masked, mask)
ROCFORGE_HOPPER_KERNEL(flash_hopper_bf16_64_general, Bf16, Dim64Masked, all)
ROCFORGE_HOPPER_KERNEL(flash_hopper_bf16_128_small, Bf16, Dim128Small, none)
ROCFORGE_HOPPER_KERNEL(flash_hopper_bf16_128_medium, Bf16, Dim128Medium, none)
ROCFORGE_HOPPER_KERNEL(flash_hopper_bf16_128_large, Bf16, Dim128Large, none)
ROCFORGE_HOPPER_KERNEL(flash_hopper_bf16_128_softcap, Bf16, Dim128Medium, softcap)
ROCFORGE_HOPPER_KERNEL(flash_hopper_bf16_128_alibi, Bf16, Dim128Ramped, alibi)
ROCFORGE_HOPPER_KERNEL(flash_hopper_bf16_128_mask, Bf16, Dim128Masked, mask)
ROCFORGE_HOPPER_KERNEL(flash_hopper_bf16_128_general, Bf16, Dim128Masked, all)
ROCFORGE_HOPPER_KERNEL(flash_hopper_bf16_256_small, Bf16, Dim256Small, none)
ROCFORGE_HOPPER_KERNEL(flash_hopper_bf16_256_softcap, Bf16, Dim256Small, softcap)
ROCFORGE_HOPPER_KERNEL(flash_hopper_bf16_256_alibi, Bf16, Dim256Ramped, alibi)
ROCFORGE_HOPPER_KERNEL(flash_hopper_bf16_256_mask, Bf16, Dim256Masked, mask)
ROCFORGE_HOPPER_KERNEL(flash_hopper_bf16_256_general, Bf16, Dim256Masked, all)
#endif
