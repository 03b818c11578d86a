// Rounding to storage types, against values worked out by hand and against the compiler's own float conversion.
#include "convert.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "names.hpp"

using namespace rocforge::cli;

namespace {

template <class To, class From>
std::vector<To> cast(const char* dtype, const std::vector<From>& from, rf_dtype to, Overflow overflow = Overflow::kInfinity) {
    std::vector<To> into(from.size());
    convert(dtype, std::as_bytes(std::span(from)), to, std::as_writable_bytes(std::span(into)), overflow);
    return into;
}

constexpr float kInf = std::numeric_limits<float>::infinity();

struct Row {
    const char* name;
    double value;
    std::uint16_t half, brain;
};
// Exponent and mantissa worked out from IEEE 754's definition of binary16 and from bfloat16's of 8 exponent and 7 mantissa bits.
constexpr Row kRows[] = {
    {"zero", 0.0, 0x0000, 0x0000},
    {"negative zero", -0.0, 0x8000, 0x8000},
    {"one", 1.0, 0x3C00, 0x3F80},
    {"minus two", -2.0, 0xC000, 0xC000},
    {"f16's largest", 65504.0, 0x7BFF, 0x4780},
    {"just below f16's overflow", 65519.0, 0x7BFF, 0x4780},
    {"a tie at f16's overflow goes to infinity", 65520.0, 0x7C00, 0x4780},
    {"f16's least normal", 0x1p-14, 0x0400, 0x3880},
    {"f16's least subnormal", 0x1p-24, 0x0001, 0x3380},
    {"a tie below it goes to even: zero", 0x1p-25, 0x0000, 0x3300},
    {"above that tie", 0x1.000002p-25, 0x0001, 0x3300},
    {"a tie between mantissas goes to even, down", 1.0 + 0x1p-11, 0x3C00, 0x3F80},
    {"a tie between mantissas goes to even, up", 1.0 + 3 * 0x1p-11, 0x3C02, 0x3F80},
    {"a carry reaches the exponent", 2.0 - 0x1p-12, 0x4000, 0x4000},
    {"bf16's tie, down", 1.0 + 0x1p-8, 0x3C04, 0x3F80},
    {"bf16's tie, up", 1.0 + 3 * 0x1p-8, 0x3C0C, 0x3F82},
    {"infinity", HUGE_VAL, 0x7C00, 0x7F80},
};

}  // namespace

TEST_CASE("f64 and f32 round to f16 and bf16 to nearest, ties to even") {
    for (const Row& row : kRows) {
        CAPTURE(row.name);
        CHECK(cast<std::uint16_t>("F64", std::vector{row.value}, kF16)[0] == row.half);
        CHECK(cast<std::uint16_t>("F64", std::vector{row.value}, kBF16)[0] == row.brain);
        if (static_cast<double>(static_cast<float>(row.value)) != row.value) continue;  // only what f32 holds exactly
        CHECK(cast<std::uint16_t>("F32", std::vector{static_cast<float>(row.value)}, kF16)[0] == row.half);
    }
}

TEST_CASE("f64 rounds to f16 once: through f32 this value would land on a tie and go the other way") {
    CHECK(cast<std::uint16_t>("F64", std::vector{1.0 + 0x1p-11 + 0x1p-40}, kF16)[0] == 0x3C01);
}

TEST_CASE("f64 rounds to f32 as the machine does") {
    std::mt19937_64 random(1);
    std::vector<double> values(10000);
    for (double& value : values) value = std::bit_cast<double>(random() & 0xBFFFFFFFFFFFFFFFull);  // below 2, subnormals of f32 included
    const std::vector<float> rounded = cast<float>("F64", values, kF32);
    for (std::size_t i = 0; i < values.size(); ++i)
        REQUIRE(std::bit_cast<std::uint32_t>(rounded[i]) == std::bit_cast<std::uint32_t>(static_cast<float>(values[i])));
}

TEST_CASE("every f16 and bf16 comes back from f32 unchanged") {
    std::vector<std::uint16_t> all(65536);
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::uint16_t>(i);
    const std::vector<std::uint16_t> halves = cast<std::uint16_t>("F32", cast<float>("F16", all, kF32), kF16);
    const std::vector<std::uint16_t> brains = cast<std::uint16_t>("F32", cast<float>("BF16", all, kF32), kBF16);
    for (std::size_t i = 0; i < all.size(); ++i) {
        const bool half_nan = (i & 0x7FFF) > 0x7C00, brain_nan = (i & 0x7FFF) > 0x7F80;
        if (half_nan)
            REQUIRE((halves[i] & 0x7FFF) > 0x7C00);
        else
            REQUIRE(halves[i] == all[i]);
        if (brain_nan)
            REQUIRE((brains[i] & 0x7FFF) > 0x7F80);
        else
            REQUIRE(brains[i] == all[i]);
    }
}

TEST_CASE("a finite mask value stays finite where it is asked to, and -inf stays -inf") {
    const std::vector<double> mask{-1e300, 1e300, -HUGE_VAL};
    CHECK(cast<float>("F64", mask, kF32, Overflow::kLargest) ==
          std::vector<float>{-std::numeric_limits<float>::max(), std::numeric_limits<float>::max(), -kInf});
    CHECK(cast<float>("F64", mask, kF32) == std::vector<float>{-kInf, kInf, -kInf});
}
