// Elements of attention's tensors as float32 values in device code, whatever they are stored in, with their scales applied. One element at a time:
// any alignment will do.
#ifndef ROCFORGE_KERNELS_REFERENCE_ELEMENT_H
#define ROCFORGE_KERNELS_REFERENCE_ELEMENT_H

#include "kernels/common/attention.h"
#include "kernels/common/half.h"
#include "kernels/platform/device.h"

namespace rocforge::kernels::reference {

struct F32 {
    using Storage = float;
    static RF_DEVICE float widen(float x) { return x; }
};
struct F16 {
    using Storage = std::uint16_t;
    static RF_DEVICE float widen(std::uint16_t bits) {  // in hardware: half.h's integer form takes ten times as many instructions
#if defined(RF_NVIDIA)
        float x;
        asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
        return x;
#else
        return static_cast<float>(__builtin_bit_cast(_Float16, bits));
#endif
    }
};
struct Bf16 {
    using Storage = std::uint16_t;
    static RF_DEVICE float widen(std::uint16_t bits) { return f32_from_bf16(bits); }
};

template <class Format> RF_DEVICE float element_as(const void* data, std::int64_t index) {
    return Format::widen(device::load(static_cast<const typename Format::Storage*>(data) + index));
}

// A boolean counts as what an additive mask would hold: 0 keeps, -inf excludes.
RF_DEVICE float element(Type type, const void* data, std::int64_t index) {
    switch (type) {
        case Type::f32:
            return element_as<F32>(data, index);
        case Type::f16:
            return element_as<F16>(data, index);
        case Type::bf16:
            return element_as<Bf16>(data, index);
        default:
            return device::load(static_cast<const std::uint8_t*>(data) + index) ? 0.0f : -device::kInfinity;
    }
}

RF_DEVICE void store_element(Type type, void* data, std::int64_t index, float value) {
    if (type == Type::f32)
        device::store(static_cast<float*>(data) + index, value);
    else
        device::store(static_cast<std::uint16_t*>(data) + index, type == Type::f16 ? f16_from_f32(value) : bf16_from_f32(value));
}

// How k and v are read. The type is a template's where it is all there is to know, so that no branch stands between two loads; with scales, which
// cost a second load and a division anyway, it is looked at each time.
template <class Format> struct Plain {
    const void* data;
    RF_DEVICE float at(std::int64_t first, std::int64_t, int d) const { return element_as<Format>(data, first + d); }
};
struct Scaled {
    const void *data, *scales;
    Type type, scale_type;
    int group;
    std::int64_t scale_stride;
    RF_DEVICE float at(std::int64_t first, std::int64_t first_scale, int d) const {
        return element(type, data, first + d) * element(scale_type, scales, first_scale + d / group * scale_stride);
    }
};

// Calls use(reader) with the reader of k or of v.
template <class Use>
RF_DEVICE void with_reader(const Operand& operand, const void* data, const Operand& scale, const void* scales, std::int64_t group, const Use& use) {
    if (scale.present())
        use(Scaled{data, scales, operand.type, scale.type, static_cast<int>(group), scale.last});
    else if (operand.type == Type::f32)
        use(Plain<F32>{data});
    else if (operand.type == Type::f16)
        use(Plain<F16>{data});
    else
        use(Plain<Bf16>{data});
}

}  // namespace rocforge::kernels::reference
#endif
