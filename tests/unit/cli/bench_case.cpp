#include "bench_case.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <stdexcept>
#include <vector>

using namespace rocforge::cli;

TEST_CASE("each preset has the number of shapes that its peers are timed on") {
    CHECK(bench_cases("prefill", std::nullopt).size() == 3 * 2 * 6);
    CHECK(bench_cases("decode", std::nullopt).size() == 4 + 4 + 3);
    CHECK(bench_cases("paged", std::nullopt).size() == 4 + 4 + 3);
    CHECK(bench_cases("cpu", std::nullopt).size() == 5 * 2);
    CHECK(bench_cases("cpu", kF16).size() == 5);
    CHECK_THROWS_AS(parse_preset("prefil"), std::invalid_argument);
}

TEST_CASE("work is counted as the peers count it") {
    const BenchCase causal = bench_cases("cpu", kF32)[0];
    CHECK(causal.flops() == 4.0 * 16 * 1024 * 1024 * 64 / 2);
    const BenchCase decode = bench_cases("cpu", kF32)[3];
    CHECK(decode.kv_bytes() == 2.0 * 4 * 8 * 1024 * 128 * 4);
}

TEST_CASE("a paged case visits every page once, in another order than they lie, and equal inputs come from equal seeds") {
    const BenchCase one = bench_cases("paged", std::nullopt)[0];
    const BenchInput input(one), again(one);
    const std::span<const std::int32_t> pages = input.block_table.as<std::int32_t>();
    CHECK(pages.size() == 64);
    CHECK_FALSE(std::is_sorted(pages.begin(), pages.end()));
    std::vector<std::int32_t> sorted(pages.begin(), pages.end());
    std::sort(sorted.begin(), sorted.end());
    for (std::size_t i = 0; i < sorted.size(); ++i) REQUIRE(sorted[i] == static_cast<std::int32_t>(i));
    CHECK(std::equal(input.k.span().begin(), input.k.span().end(), again.k.span().begin()));
    CHECK_FALSE(std::equal(input.k.span().begin(), input.k.span().end(), input.v.span().begin()));
}
