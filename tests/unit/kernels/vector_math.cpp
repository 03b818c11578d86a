// exp and tanh of the cpu plugin on the best instruction set that this file is compiled for, against double precision.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "plugins/cpu/vector_math-inl.h"

using namespace rocforge::cpu::HWY_NAMESPACE;

namespace {

float exp_at(float x) { return hn::GetLane(exp_of(hn::Set(D(), x))); }
float tanh_at(float x) { return hn::GetLane(tanh_of(hn::Set(D(), x))); }

}  // namespace

TEST_CASE("exp keeps its stated bound from -86.5 to 0 and above") {
    double worst = 0;  // share of the bound that vector_math-inl.h states: 2.5e-7 + 1.2e-7 |x| without FMA, where x log2(e) is rounded
    for (float x = -86.5f; x < 40.0f; x += 0.00137f) {
        const double exact = std::exp(static_cast<double>(x)), error = std::fabs(exp_at(x) - exact) / exact;
        worst = std::fmax(worst, error / (2.5e-7 + 1.2e-7 * std::fabs(x)));
    }
    CHECK(worst <= 1);
}

TEST_CASE("exp is exact at 0, 0 far below and NaN for NaN") {
    CHECK(exp_at(0.0f) == 1.0f);
    CHECK(exp_at(-86.6f) == 0.0f);
    CHECK(exp_at(-3.4e38f) == 0.0f);
    CHECK(exp_at(-std::numeric_limits<float>::infinity()) == 0.0f);
    CHECK(std::isnan(exp_at(std::numeric_limits<float>::quiet_NaN())));
    CHECK(std::isnan(exp_at(std::nanf("0x12345"))));  // a payload must not reach the exponent
}

TEST_CASE("tanh keeps its stated bound, also near 0 and where its two halves meet") {
    double worst = 0;  // 3e-7, relative; the same without FMA plus one more rounding
    for (float x = 1e-6f; x < 30.0f; x *= 1.00037f) {
        const double exact = std::tanh(static_cast<double>(x));
        worst = std::fmax(worst, std::fabs(tanh_at(x) - exact) / exact);
        REQUIRE(tanh_at(-x) == -tanh_at(x));
    }
    CHECK(worst <= 3.6e-7);
    CHECK(tanh_at(0.0f) == 0.0f);
    CHECK(tanh_at(std::numeric_limits<float>::infinity()) == 1.0f);
    CHECK(std::isnan(tanh_at(std::numeric_limits<float>::quiet_NaN())));
}
