// The families of GPUs that kernels are written for. Read by device and host compilers alike.
#ifndef ROCFORGE_KERNELS_COMMON_FAMILY_H
#define ROCFORGE_KERNELS_COMMON_FAMILY_H

#include <cstdint>

#include "kernels/platform/annotate.h"

namespace rocforge::kernels {

// What the code of a kernel differs by: AMD's CDNA (gfx90a, gfx942), RDNA 3, RDNA 4; NVIDIA's Ampere and Ada, Hopper.
enum class Family : std::uint8_t { gfx9, gfx11, gfx12, sm80, sm90 };

// The family of the machine that this pass compiles for.
#if defined(RF_NVIDIA)
#if __CUDA_ARCH__ >= 900
constexpr Family kThisFamily = Family::sm90;
#else
constexpr Family kThisFamily = Family::sm80;
#endif
#elif defined(RF_AMD)
#if defined(__GFX12__)
constexpr Family kThisFamily = Family::gfx12;
#elif defined(__GFX11__)
constexpr Family kThisFamily = Family::gfx11;
#else
constexpr Family kThisFamily = Family::gfx9;
#endif
#endif

}  // namespace rocforge::kernels
#endif
