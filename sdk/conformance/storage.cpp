// Storage types by their IEEE parameters: one description, and encode and decode that follow from it.
#include "storage.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

namespace rocforge::conformance {
namespace {

struct Format {
    int mantissa_bits, exponent_bits;
    int bias() const { return (1 << (exponent_bits - 1)) - 1; }
    int smallest_exponent() const { return 1 - bias(); }
};

Format format_of(rf_dtype type) {
    if (same(type, kF32)) return {23, 8};
    if (same(type, kF16)) return {10, 5};
    if (same(type, kBf16)) return {7, 8};
    throw std::invalid_argument(std::string("conformance: no floating-point type: ") + name_of(type));
}

double decode(Format f, std::uint32_t bits) {
    const std::uint32_t mantissa = bits & ((1u << f.mantissa_bits) - 1), top = (1u << f.exponent_bits) - 1;
    const std::uint32_t exponent = (bits >> f.mantissa_bits) & top;
    const double sign = (bits >> (f.mantissa_bits + f.exponent_bits)) & 1 ? -1.0 : 1.0;
    if (exponent == top) return mantissa ? std::nan("") : sign * INFINITY;
    if (exponent == 0) return sign * std::ldexp(mantissa, f.smallest_exponent() - f.mantissa_bits);
    return sign * std::ldexp(mantissa | (1u << f.mantissa_bits), static_cast<int>(exponent) - f.bias() - f.mantissa_bits);
}

// Every value of a 16-bit type, since the oracle reads each element many times.
std::vector<double> all_values(Format f) {
    std::vector<double> values(0x10000);
    for (std::uint32_t bits = 0; bits < values.size(); ++bits) values[bits] = decode(f, bits);
    return values;
}

double round_to(Format f, double value) {
    if (!std::isfinite(value) || value == 0) return value;
    const int exponent = std::max(std::ilogb(value), f.smallest_exponent());
    const double quantum = std::ldexp(1.0, exponent - f.mantissa_bits);
    const double result = std::nearbyint(value / quantum) * quantum;  // the default rounding mode: ties to even
    return std::abs(result) >= std::ldexp(1.0, f.bias() + 1) ? std::copysign(INFINITY, value) : result;
}

std::uint32_t encode(Format f, double value) {
    const std::uint32_t sign = std::signbit(value) ? 1u << (f.mantissa_bits + f.exponent_bits) : 0, top = (1u << f.exponent_bits) - 1;
    if (std::isnan(value)) return sign | top << f.mantissa_bits | 1u << (f.mantissa_bits - 1);
    const double magnitude = std::abs(round_to(f, value));
    if (std::isinf(magnitude)) return sign | top << f.mantissa_bits;
    if (magnitude == 0) return sign;
    const int exponent = std::max(std::ilogb(magnitude), f.smallest_exponent());
    const auto significand = static_cast<std::uint32_t>(std::ldexp(magnitude, f.mantissa_bits - exponent));
    // Adding lets the leading 1 of a normal number fill the exponent's lowest bit; a denormal has none.
    return sign | (significand + (static_cast<std::uint32_t>(exponent - f.smallest_exponent()) << f.mantissa_bits));
}

template <class T> T read(const void* array, std::int64_t index) {
    T value;
    std::memcpy(&value, static_cast<const char*>(array) + index * static_cast<std::int64_t>(sizeof(T)), sizeof(T));
    return value;
}
template <class T> void write(void* array, std::int64_t index, T value) {
    std::memcpy(static_cast<char*>(array) + index * static_cast<std::int64_t>(sizeof(T)), &value, sizeof(T));
}

}  // namespace

const char* name_of(rf_dtype type) {
    if (same(type, kF32)) return "f32";
    if (same(type, kF16)) return "f16";
    if (same(type, kBf16)) return "bf16";
    if (same(type, kBool)) return "bool";
    if (same(type, kI32)) return "i32";
    if (same(type, kI64)) return "i64";
    return "unknown";
}

void load_strided(rf_dtype type, const void* array, std::int64_t first, std::int64_t stride, std::span<double> to) {
    const auto each = [&]<class T>(T, auto value_of) {
        std::int64_t index = first;
        for (double& element : to) element = value_of(read<T>(array, index)), index += stride;
    };
    if (same(type, kF32)) return each(float{}, [](float value) { return value; });
    if (same(type, kBool)) return each(std::uint8_t{}, [](std::uint8_t value) { return value ? 1 : 0; });
    static const std::vector<double> f16 = all_values(format_of(kF16)), bf16 = all_values(format_of(kBf16));
    const bool is_f16 = same(type, kF16);
    if (!is_f16 && !same(type, kBf16)) throw std::invalid_argument(std::string("conformance: no storage type: ") + name_of(type));
    each(std::uint16_t{}, [values = is_f16 ? f16.data() : bf16.data()](std::uint16_t bits) { return values[bits]; });
}

double load(rf_dtype type, const void* array, std::int64_t index) {
    double value = 0;
    load_strided(type, array, index, 0, {&value, 1});
    return value;
}

void store(rf_dtype type, void* array, std::int64_t index, double value) {
    if (same(type, kBool)) return write<std::uint8_t>(array, index, static_cast<std::uint8_t>(value));
    const std::uint32_t bits = encode(format_of(type), value);
    if (same(type, kF32)) return write<std::uint32_t>(array, index, bits);
    write<std::uint16_t>(array, index, static_cast<std::uint16_t>(bits));
}

std::int64_t load_index(rf_dtype type, const void* array, std::int64_t index) {
    if (same(type, kI32)) return read<std::int32_t>(array, index);
    if (same(type, kI64)) return read<std::int64_t>(array, index);
    throw std::invalid_argument(std::string("conformance: no index type: ") + name_of(type));
}

void store_index(rf_dtype type, void* array, std::int64_t index, std::int64_t value) {
    if (same(type, kI32)) return write<std::int32_t>(array, index, static_cast<std::int32_t>(value));
    if (same(type, kI64)) return write<std::int64_t>(array, index, value);
    throw std::invalid_argument(std::string("conformance: no index type: ") + name_of(type));
}

double rounded(rf_dtype type, double value) { return round_to(format_of(type), value); }
double epsilon(rf_dtype type) { return std::ldexp(1.0, -format_of(type).mantissa_bits); }
double largest(rf_dtype type) {
    const Format f = format_of(type);
    return std::ldexp(2.0 - std::ldexp(1.0, -f.mantissa_bits), f.bias());
}

}  // namespace rocforge::conformance
