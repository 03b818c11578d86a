#include "convert.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>

#include "names.hpp"

namespace rocforge::cli {
namespace {

// A binary floating-point format: sign, exponent, mantissa, with subnormals, infinities and NaN as IEEE 754 lays them out.
struct Format {
    int exponent_bits, mantissa_bits;
    int bias() const { return (1 << (exponent_bits - 1)) - 1; }
    std::uint32_t infinity() const { return ((1u << exponent_bits) - 1) << mantissa_bits; }
    std::uint32_t sign() const { return 1u << (exponent_bits + mantissa_bits); }
    std::uint32_t quiet() const { return 1u << (mantissa_bits - 1); }
};
constexpr Format kHalf{5, 10}, kBrain{8, 7}, kSingle{8, 23};

double decode(const Format& format, std::uint32_t bits) {
    const std::uint32_t magnitude = bits & (format.sign() - 1);
    const int exponent = static_cast<int>(magnitude >> format.mantissa_bits);
    const std::uint32_t hidden = 1u << format.mantissa_bits, mantissa = magnitude & (hidden - 1);
    double value = 0;
    if (magnitude > format.infinity())
        value = NAN;
    else if (magnitude == format.infinity())
        value = INFINITY;
    else
        value = std::ldexp(exponent == 0 ? mantissa : mantissa + hidden, std::max(exponent, 1) - format.bias() - format.mantissa_bits);
    return bits & format.sign() ? -value : value;
}

std::uint32_t encode(const Format& format, double value, Overflow overflow) {
    const std::uint32_t sign = std::signbit(value) ? format.sign() : 0;
    if (std::isnan(value)) return sign | format.infinity() | format.quiet();
    if (std::isinf(value)) return sign | format.infinity();
    if (value == 0) return sign;
    int exponent = 0;
    std::frexp(value, &exponent);
    exponent = std::max(exponent - 1, 1 - format.bias());  // subnormals share the least exponent
    // In units of the last place the value is exact, so this rounds once; a carry into the next power of two carries into the exponent below.
    const double units = std::nearbyint(std::ldexp(std::fabs(value), format.mantissa_bits - exponent));
    const auto hidden = std::int64_t{1} << format.mantissa_bits;
    const std::int64_t magnitude = (std::int64_t{exponent + format.bias()} << format.mantissa_bits) + static_cast<std::int64_t>(units) - hidden;
    const std::int64_t infinity = format.infinity();
    const std::int64_t limit = overflow == Overflow::kInfinity ? infinity : infinity - 1;
    return sign | static_cast<std::uint32_t>(std::min(magnitude, limit));
}

const Format& format_of(rf_dtype dtype) { return same(dtype, kF32) ? kSingle : same(dtype, kF16) ? kHalf : kBrain; }

template <class Stored> Stored load(const std::byte* at) {
    Stored value{};
    std::memcpy(&value, at, sizeof value);
    return value;
}

using Decoder = double (*)(const std::byte*);
struct Source {
    const char* dtype;
    std::size_t bytes;
    Decoder decode;
};
constexpr std::array<Source, 4> kSources{{{"F64", 8, [](const std::byte* at) { return load<double>(at); }},
                                          {"F32", 4, [](const std::byte* at) { return double{load<float>(at)}; }},
                                          {"F16", 2, [](const std::byte* at) { return decode(kHalf, load<std::uint16_t>(at)); }},
                                          {"BF16", 2, [](const std::byte* at) { return decode(kBrain, load<std::uint16_t>(at)); }}}};

const Source* source_of(std::string_view dtype) noexcept {
    const auto* found = std::find_if(kSources.begin(), kSources.end(), [&](const Source& source) { return dtype == source.dtype; });
    return found == kSources.end() ? nullptr : found;
}

}  // namespace

bool is_float(std::string_view safetensors_dtype) noexcept { return source_of(safetensors_dtype) != nullptr; }

void convert(std::string_view from_dtype, std::span<const std::byte> from, rf_dtype to, std::span<std::byte> into, Overflow overflow) {
    const Source* source = source_of(from_dtype);
    if (!source) throw std::invalid_argument("no float type: " + std::string(from_dtype));
    if (safetensors_name(to) == from_dtype) {
        std::copy(from.begin(), from.end(), into.begin());
        return;
    }
    const Format& format = format_of(to);
    const auto to_bytes = static_cast<std::size_t>(element_bytes(to));
    for (std::size_t i = 0; i < from.size() / source->bytes; ++i) {
        const std::uint32_t bits = encode(format, source->decode(from.data() + i * source->bytes), overflow);
        std::memcpy(into.data() + i * to_bytes, &bits, to_bytes);  // little-endian: the low bytes come first
    }
}

}  // namespace rocforge::cli
