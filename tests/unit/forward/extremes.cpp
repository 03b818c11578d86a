// Values at the edge of float32, where an answer in closed form exists.
#include <rocforge/rocforge.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace {

constexpr float kLowest = std::numeric_limits<float>::lowest();

struct Result {
    float out, lse;
};

// One query, `k.size()` keys of dim 3, values 0, 1, 2, ...; an additive mask where one is given.
Result attend(float q_value, const std::vector<float>& k_values, const std::vector<float>& mask = {}) {
    const auto keys = static_cast<std::int64_t>(k_values.size());
    rf_problem p = rocforge::dense_problem(rocforge::f32, 1, 1, 1, 1, keys, 3);
    p.features = RF_F_LSE | (mask.empty() ? 0 : RF_F_MASK_ADD);
    p.lse = rocforge_tensor(rocforge::f32, 1, 1, 1, 1);
    if (!mask.empty()) p.mask = rocforge_tensor(rocforge::f32, 1, 1, 1, keys);
    std::vector<float> q(3, q_value), k, v, out(3);
    for (std::int64_t j = 0; j < keys; ++j) {
        k.insert(k.end(), 3, k_values[static_cast<std::size_t>(j)]);
        v.insert(v.end(), 3, static_cast<float>(j));
    }
    float lse = NAN;
    rf_args args = rocforge::args(q.data(), k.data(), v.data(), out.data());
    args.lse = &lse;
    args.mask = mask.data();
    const rocforge::Context context;
    context.attention(context.device("cpu"), p, args);
    return {out[0], lse};
}

}  // namespace

TEST_CASE("one key takes all the weight, however large its score") {
    for (const float q : {1e2f, 2e4f, 6e4f, 1e5f, 1e7f, 1e9f}) {
        for (const float sign : {1.0f, -1.0f}) {
            CAPTURE(q * sign);
            const Result r = attend(q * sign, {q * 1.1f});
            CHECK(r.out == 0.0f);
            // The score itself is rounded: dim + 2 operations of half an ulp each.
            CHECK(r.lse == doctest::Approx(sign * std::sqrt(3.0) * q * (q * 1.1f)).epsilon(5 * 6e-8));
            CHECK(attend(q * sign, {q, q}).out == doctest::Approx(0.5f));  // two equal keys share it
        }
    }
}

TEST_CASE("no finite mask value excludes, not even where the sum overflows") {
    const Result r = attend(1e16f, {-1e16f, -1e16f}, {kLowest, kLowest});
    CHECK(r.out == doctest::Approx(0.5f));
    CHECK(std::isfinite(r.lse));
    CHECK(attend(1.0f, {1.0f, 1.0f}, {-INFINITY, kLowest}).out == 1.0f);
}
