// The 16-bit storage types of the matrix units, two to a register: rounding of float32 to them and tests on their bits.
#ifndef ROCFORGE_KERNELS_MATRIX_ELEMENT_H
#define ROCFORGE_KERNELS_MATRIX_ELEMENT_H

#include <cstdint>

#include "kernels/platform/device.h"

namespace rocforge::matrix {

// Does either half hold a NaN or an infinity, that is, an exponent of ones?
RF_DEVICE bool non_finite_pair(std::uint32_t pair, std::uint32_t exponent) {
    return (pair & exponent) == exponent || (pair & (exponent << 16)) == (exponent << 16);
}

struct Bf16 {
    static constexpr bool kBf16 = true;
    static constexpr std::uint32_t kExponent = 0x7F80;

    RF_DEVICE static float widen(std::uint32_t bits) { return device::as_float(bits << 16); }
    // Two float32 to a pair, the first in the low half. To nearest even on NVIDIA. On AMD, which has no such instruction before gfx950, halves are
    // rounded up: one addition and half a permutation each.
    RF_DEVICE static std::uint32_t pack(float low, float high) {
#if defined(RF_NVIDIA)
        std::uint32_t pair;
        asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
        return pair;
#else
        return __builtin_amdgcn_perm(device::as_bits(high) + 0x8000u, device::as_bits(low) + 0x8000u, 0x07060302u);
#endif
    }
    // To nearest even on every machine; a NaN stays one.
    RF_DEVICE static std::uint32_t pack_exactly(float low, float high) {
#if defined(RF_NVIDIA)
        return pack(low, high);
#else
        return narrow(low) | narrow(high) << 16;
#endif
    }

private:
    RF_DEVICE static std::uint32_t narrow(float x) {
        const std::uint32_t bits = device::as_bits(x);
        return x != x ? 0x7FC0u : (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16;
    }
};

struct F16 {
    static constexpr bool kBf16 = false;
    static constexpr std::uint32_t kExponent = 0x7C00;

    RF_DEVICE static float widen(std::uint32_t bits) {
#if defined(RF_NVIDIA)
        float x;
        asm("{ .reg .b16 h; cvt.u16.u32 h, %1; cvt.f32.f16 %0, h; }" : "=f"(x) : "r"(bits));
        return x;
#else
        return static_cast<float>(__builtin_bit_cast(_Float16, static_cast<std::uint16_t>(bits)));
#endif
    }
    // Two float32 to a pair, the first in the low half, to nearest even.
    RF_DEVICE static std::uint32_t pack(float low, float high) {
#if defined(RF_NVIDIA)
        std::uint32_t pair;
        asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
        return pair;
#else
        typedef _Float16 Pair __attribute__((ext_vector_type(2)));
        return __builtin_bit_cast(std::uint32_t, Pair{static_cast<_Float16>(low), static_cast<_Float16>(high)});
#endif
    }
    RF_DEVICE static std::uint32_t pack_exactly(float low, float high) { return pack(low, high); }
};

}  // namespace rocforge::matrix
#endif
