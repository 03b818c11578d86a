#include "names.hpp"

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>

using namespace rocforge::cli;

TEST_CASE("a shape is four extents and nothing else") {
    CHECK(parse_shape("2x16x512x64") == std::array<std::int64_t, 4>{2, 16, 512, 64});
    CHECK(parse_shape("0x1x0x1") == std::array<std::int64_t, 4>{0, 1, 0, 1});
    for (const char* text : {"", "2", "2x3x4", "2x3x4x5x6", "2x3x4x", "x2x3x4", "2x-3x4x5", "2x3x4x5 ", "2x3xfourx5", "2x3x4x99999999999999999999"}) {
        CAPTURE(text);
        CHECK_THROWS_AS(parse_shape(text), std::invalid_argument);
    }
}

TEST_CASE("numbers are whole texts within their limits") {
    CHECK(parse_window("-1") == -1);
    CHECK(parse_unsigned("18446744073709551615") == UINT64_MAX);
    CHECK(parse_finite("-0.5") == -0.5f);
    CHECK(parse_softcap("0") == 0.0f);
    CHECK(parse_probability("0.999") == 0.999f);
    CHECK_THROWS_AS(parse_window("-2"), std::invalid_argument);
    CHECK_THROWS_AS(parse_positive("0"), std::invalid_argument);
    CHECK_THROWS_AS(parse_integer("3.5"), std::invalid_argument);
    CHECK_THROWS_AS(parse_integer("9223372036854775808"), std::invalid_argument);
    CHECK_THROWS_AS(parse_unsigned("-1"), std::invalid_argument);
    CHECK_THROWS_AS(parse_finite("nan"), std::invalid_argument);
    CHECK_THROWS_AS(parse_finite("1e999"), std::invalid_argument);
    CHECK_THROWS_AS(parse_softcap("-1"), std::invalid_argument);
    CHECK_THROWS_AS(parse_probability("1"), std::invalid_argument);
}

TEST_CASE("a type is known by its flag and by PyTorch's name") {
    CHECK(same(parse_dtype("bf16"), kBF16));
    CHECK(same(parse_dtype("float32"), kF32));
    CHECK(safetensors_name(kF16) == "F16");
    CHECK(torch_name(kBF16) == "bfloat16");
    CHECK_THROWS_AS(parse_dtype("f8"), std::invalid_argument);
}

TEST_CASE("a device is named as --device takes it") {
    rf_device device{};
    device.kind = RF_DEVICE_CPU;
    CHECK(device_name(device) == "cpu");
    device.kind = RF_DEVICE_ROCM;
    device.ordinal = 1;
    CHECK(device_name(device) == "rocm:1");
    device.ordinal = -1;
    device.arch = "gfx942";
    CHECK(device_name(device) == "gfx942");
}
