// exp and tanh of the cpu plugin as every instruction set that this machine runs, against double precision and the bounds that the header states.
// HWY_DISABLED_TARGETS as in kernel.cpp.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | (HWY_AVX3 - 1) | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tests/unit/cpu/vector_math.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include <cmath>

#include "plugins/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rocforge::cpu::HWY_NAMESPACE {

float exp_at(float x) { return hn::GetLane(exp_of(hn::Set(D(), x))); }
float tanh_at(float x) { return hn::GetLane(tanh_of(hn::Set(D(), x))); }
double exp_bound(float x) { return kExpError + kExpErrorPerX * std::fabs(x); }

}  // namespace rocforge::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <vector>

#include "worse.hpp"

namespace rocforge::cpu {
namespace {

HWY_EXPORT(exp_bound);
HWY_EXPORT(exp_at);
HWY_EXPORT(tanh_at);

struct Math {
    std::string target;
    float (*exp)(float);
    float (*tanh)(float);
    double (*exp_bound)(float);
};

std::vector<Math> maths_here() {
    std::vector<Math> maths;
    for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
        hwy::SetSupportedTargetsForTest(target);
        hwy::GetChosenTarget().Update(hwy::SupportedTargets());
        maths.push_back({hwy::TargetName(target), HWY_DYNAMIC_DISPATCH(exp_at), HWY_DYNAMIC_DISPATCH(tanh_at), HWY_DYNAMIC_DISPATCH(exp_bound)});
        hwy::SetSupportedTargetsForTest(0);
    }
    return maths;
}

}  // namespace

TEST_CASE("exp keeps its stated bound from -86.5 to 0 and above on every instruction set") {
    REQUIRE_FALSE(maths_here().empty());
    for (const Math& math : maths_here()) {
        CAPTURE(math.target);
        double worst = 0;  // share of the bound
        for (float x = -86.5f; x < 40.0f; x += 0.00137f) {
            const double exact = std::exp(static_cast<double>(x)), error = std::fabs(math.exp(x) - exact) / exact;
            worst = worse_of(worst, error / math.exp_bound(x));
        }
        CHECK(worst <= 1);
    }
}

TEST_CASE("exp is exact at 0, 0 far below and NaN for NaN") {
    for (const Math& math : maths_here()) {
        CAPTURE(math.target);
        CHECK(math.exp(0.0f) == 1.0f);
        CHECK(math.exp(-86.6f) == 0.0f);
        CHECK(math.exp(-3.4e38f) == 0.0f);
        CHECK(math.exp(-std::numeric_limits<float>::infinity()) == 0.0f);
        CHECK(std::isnan(math.exp(std::numeric_limits<float>::quiet_NaN())));
        CHECK(std::isnan(math.exp(std::nanf("0x12345"))));  // a payload must not reach the exponent
    }
}

TEST_CASE("tanh keeps its stated bound, also near 0 and where its two halves meet") {
    for (const Math& math : maths_here()) {
        CAPTURE(math.target);
        double worst = 0;  // relative
        for (float x = 1e-6f; x < 30.0f; x *= 1.00037f) {
            const double exact = std::tanh(static_cast<double>(x));
            worst = worse_of(worst, std::fabs(math.tanh(x) - exact) / exact);
            REQUIRE(math.tanh(-x) == -math.tanh(x));
        }
        CHECK(worst <= HWY_STATIC_DISPATCH(kTanhError));
        CHECK(math.tanh(0.0f) == 0.0f);
        CHECK(math.tanh(std::numeric_limits<float>::infinity()) == 1.0f);
        CHECK(std::isnan(math.tanh(std::numeric_limits<float>::quiet_NaN())));
    }
}

}  // namespace rocforge::cpu
#endif
