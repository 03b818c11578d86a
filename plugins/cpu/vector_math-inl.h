// exp and tanh on vectors of f32, and conversions of rows, per Highway target (included once per target, hence no plain include guard).
// Own polynomials (minimax by Remez exchange in double); tests/unit/cpu holds every instruction set to the stated bounds.
#if defined(ROCFORGE_CPU_VECTOR_MATH_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef ROCFORGE_CPU_VECTOR_MATH_INL_H
#undef ROCFORGE_CPU_VECTOR_MATH_INL_H
#else
#define ROCFORGE_CPU_VECTOR_MATH_INL_H
#endif

#include <hwy/highway.h>

#include <cstdint>

#include "kernels/common/half.h"
#include "kernels/common/tanh.h"
#include "plugins/cpu/attention.h"

HWY_BEFORE_NAMESPACE();
namespace rocforge::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using DI = hn::RebindToSigned<D>;
using V = hn::Vec<D>;
using M = hn::Mask<D>;
constexpr int kLanes = HWY_LANES(float);

// Relative error of exp_of: kExpError + kExpErrorPerX |x|. The first term is the polynomial's and its sum's, the second that of x log2(e): the
// constant is log2(e) to within 2e-8, and without FMA the product is rounded too. Harmless where x <= 0: there x e^x >= -0.37.
constexpr bool kFused = HWY_NATIVE_FMA;
constexpr double kExpError = 2.5e-7, kExpErrorPerX = kFused ? 2e-8 : 1.2e-7;

// e^x for x <= 88. Below e^-86.5 = 2.7e-38 the result is 0. NaN stays NaN.
HWY_INLINE V exp_of(V x) {
    const D d;
    const DI di;
    const V magic = hn::Set(d, 0x1.8p23f);  // adding it rounds to an integer and leaves that in the low bits
    const V log2e = hn::Set(d, 0x1.715476p0f);
    const V rounded = hn::MulAdd(x, log2e, magic);
    const V f = hn::MulSub(x, log2e, hn::Sub(rounded, magic));  // in [-0.5, 0.5]
    V p = hn::Set(d, 0x1.470b499ee573ap-13f);
    p = hn::MulAdd(p, f, hn::Set(d, 0x1.5f7276d9348c5p-10f));
    p = hn::MulAdd(p, f, hn::Set(d, 0x1.3b270e65234ebp-7f));
    p = hn::MulAdd(p, f, hn::Set(d, 0x1.c6ae72dfbc1bdp-5f));
    p = hn::MulAdd(p, f, hn::Set(d, 0x1.ebfbe2c53fd0dp-3f));
    p = hn::MulAdd(p, f, hn::Set(d, 0x1.62e4311733d1fp-1f));
    p = hn::MulAdd(p, f, hn::Set(d, 1.0f));
    // The power of two as a factor, not added to p's exponent: NaN must survive.
    const auto power = hn::Add(hn::ShiftLeft<23>(hn::BitCast(di, rounded)), hn::Set(di, 0x3F800000));
    return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -86.5f)), hn::Mul(p, hn::BitCast(d, power)));
}

// Relative error of tanh_of, with FMA or without.
constexpr double kTanhError = 2e-7;

// tanh(x). NaN stays NaN.
HWY_INLINE V tanh_of(V x) {
    using kernels::SmallTanh;
    const D d;
    const V magnitude = hn::Abs(x), z = hn::Mul(x, x);
    V p = hn::Set(d, SmallTanh::k11);
    p = hn::MulAdd(p, z, hn::Set(d, SmallTanh::k9));
    p = hn::MulAdd(p, z, hn::Set(d, SmallTanh::k7));
    p = hn::MulAdd(p, z, hn::Set(d, SmallTanh::k5));
    p = hn::MulAdd(p, z, hn::Set(d, SmallTanh::k3));
    const V small = hn::MulAdd(hn::Mul(x, z), p, x);
    const V one = hn::Set(d, 1.0f), two = hn::Set(d, 2.0f);
    const V capped = hn::IfThenElse(hn::Gt(magnitude, hn::Set(d, 20.0f)), hn::Set(d, 20.0f), magnitude);  // tanh(20) is 1 in f32
    const V large = hn::Sub(one, hn::Div(two, hn::Add(exp_of(hn::Mul(capped, two)), one)));
    return hn::IfThenElse(hn::Lt(magnitude, hn::Set(d, SmallTanh::kBelow)), small, hn::CopySign(large, x));
}

// AVX2, AVX-512 and NEON convert f16 in hardware; Highway's fallback elsewhere loses infinities, so other targets go element by element.
#define ROCFORGE_CPU_VECTOR_F16 (HWY_TARGET <= HWY_AVX2 || HWY_ARCH_ARM_A64)

HWY_INLINE V load_bf16(const std::uint16_t* from) {
    const D d;
    const hn::Rebind<std::uint16_t, D> d16;
    const hn::Rebind<std::uint32_t, D> d32;
    return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(d32, hn::LoadU(d16, from))));
}

// Where !ROCFORGE_CPU_VECTOR_F16 nothing calls it.
HWY_INLINE V load_f16([[maybe_unused]] const std::uint16_t* from) {
#if ROCFORGE_CPU_VECTOR_F16
    const hn::Rebind<hwy::float16_t, D> d16;
    return hn::PromoteTo(D(), hn::LoadU(d16, reinterpret_cast<const hwy::float16_t*>(from)));
#else
    return hn::Zero(D());
#endif
}

HWY_INLINE void widen_f32(const float* from, std::int64_t count, float* to) {
    std::int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) hn::StoreU(hn::LoadU(D(), from + i), D(), to + i);
    for (; i < count; ++i) to[i] = from[i];
}
HWY_INLINE void widen_bf16(const std::uint16_t* from, std::int64_t count, float* to) {
    std::int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) hn::StoreU(load_bf16(from + i), D(), to + i);
    for (; i < count; ++i) to[i] = kernels::f32_from_bf16(from[i]);
}
HWY_INLINE void widen_f16(const std::uint16_t* from, std::int64_t count, float* to) {
    std::int64_t i = 0;
#if ROCFORGE_CPU_VECTOR_F16
    for (; i + kLanes <= count; i += kLanes) hn::StoreU(load_f16(from + i), D(), to + i);
#endif
    for (; i < count; ++i) to[i] = kernels::f32_from_f16(from[i]);
}

// `count` elements of any storage type from element `first` of the tensor's data on, as f32.
HWY_INLINE void widen(Type type, const void* data, std::int64_t first, std::int64_t count, float* to) {
    if (type == Type::f32) return widen_f32(static_cast<const float*>(data) + first, count, to);
    const std::uint16_t* from = static_cast<const std::uint16_t*>(data) + first;
    if (type == Type::bf16) return widen_bf16(from, count, to);
    widen_f16(from, count, to);
}

// from * weight, rounded to nearest even.
HWY_INLINE void narrow(Type type, const float* from, float weight, std::int64_t count, void* data, std::int64_t first) {
    const V weights = hn::Set(D(), weight);
    std::int64_t i = 0;
    if (type == Type::f32) {
        float* to = static_cast<float*>(data) + first;
        for (; i + kLanes <= count; i += kLanes) hn::StoreU(hn::Mul(hn::LoadU(D(), from + i), weights), D(), to + i);
        for (; i < count; ++i) to[i] = from[i] * weight;
        return;
    }
    std::uint16_t* to = static_cast<std::uint16_t*>(data) + first;
    if (type == Type::bf16) {
        for (; i < count; ++i) to[i] = kernels::bf16_from_f32(from[i] * weight);
        return;
    }
#if ROCFORGE_CPU_VECTOR_F16
    const hn::Rebind<hwy::float16_t, D> d16;
    for (; i + kLanes <= count; i += kLanes) {
        hn::StoreU(hn::DemoteTo(d16, hn::Mul(hn::LoadU(D(), from + i), weights)), d16, reinterpret_cast<hwy::float16_t*>(to + i));
    }
#endif
    for (; i < count; ++i) to[i] = kernels::f16_from_f32(from[i] * weight);
}

}  // namespace rocforge::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
