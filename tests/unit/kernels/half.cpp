// f16 and bf16 conversions: exact there and back for every bit pattern, nearest even on the way down.
#include "kernels/common/half.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>

using namespace rocforge::kernels;

TEST_CASE("every f16 and bf16 survives the way to f32 and back") {
    for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
        const auto half = static_cast<std::uint16_t>(bits);
        const float f16 = f32_from_f16(half), bf16 = f32_from_bf16(half);
        if (std::isnan(f16))
            REQUIRE(std::isnan(f32_from_f16(f16_from_f32(f16))));
        else
            REQUIRE(f16_from_f32(f16) == half);
        if (std::isnan(bf16))
            REQUIRE(std::isnan(f32_from_bf16(bf16_from_f32(bf16))));
        else
            REQUIRE(bf16_from_f32(bf16) == half);
    }
}

TEST_CASE("narrowing rounds to nearest even") {
    const struct {
        float value;
        std::uint16_t f16, bf16;
    } known[] = {
        {1.0f, 0x3c00, 0x3f80},       {2049.0f, 0x6800, 0x4500},   // a tie in f16: to 2048
        {2051.0f, 0x6802, 0x4500},                                 // a tie in f16: to 2052
        {257.0f, 0x5c04, 0x4380},                                  // a tie in bf16: to 256
        {65519.0f, 0x7bff, 0x4780},                                // the last value below f16's infinity
        {65520.0f, 0x7c00, 0x4780},   {0x1p-24f, 0x0001, 0x3380},  // f16's smallest
        {0x1p-25f, 0x0000, 0x3300},                                // half of it: a tie, to 0
        {0x1.8p-25f, 0x0001, 0x3340}, {-0.0f, 0x8000, 0x8000},    {std::numeric_limits<float>::max(), 0x7c00, 0x7f80},
    };
    for (const auto& each : known) {
        CAPTURE(each.value);
        CHECK(f16_from_f32(each.value) == each.f16);
        CHECK(bf16_from_f32(each.value) == each.bf16);
    }
}
