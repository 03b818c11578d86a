// Extents against brute force over every key, and the block helpers against the extents.
#include "kernels/common/extent.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <initializer_list>
#include <limits>

using rocforge::kernels::blocks_of;
using rocforge::kernels::Extent;
using rocforge::kernels::ExtentRule;

namespace {

struct Rules {
    bool causal, bottom_right;
    std::int64_t diagonal, left, right, len_q, len_kv;
};

// "Attention, exactly", one key at a time.
bool attends(const Rules& r, std::int64_t i, std::int64_t j) {
    const std::int64_t past_diagonal = j - (i + r.diagonal + (r.bottom_right ? r.len_kv - r.len_q : 0));
    return !(r.causal && past_diagonal > 0) && !(r.left >= 0 && past_diagonal < -r.left) && !(r.right >= 0 && past_diagonal > r.right);
}

ExtentRule rule_of(const Rules& r) { return ExtentRule::aligned(r.causal, r.bottom_right, r.diagonal, r.left, r.right, r.len_q, r.len_kv); }

template <class Each> void for_all_rules(const Each& each) {
    for (const bool causal : {false, true})
        for (const bool bottom_right : {false, true})
            for (const std::int64_t diagonal : {-9, -2, 0, 1, 9})
                for (const std::int64_t left : {-1, 0, 2, 20})
                    for (const std::int64_t right : {-1, 0, 3, 20})
                        for (const std::int64_t len_q : {1, 4, 7})
                            for (const std::int64_t len_kv : {0, 1, 5, 8}) each(Rules{causal, bottom_right, diagonal, left, right, len_q, len_kv});
}

}  // namespace

TEST_CASE("a row's extent is exactly the keys that the rules admit") {
    for_all_rules([](const Rules& r) {
        for (std::int64_t i = 0; i < r.len_q; ++i) {
            const Extent extent = rule_of(r).of_row(i, r.len_kv);
            REQUIRE(extent.first >= 0);
            REQUIRE(extent.first <= extent.end);
            REQUIRE(extent.end <= r.len_kv);
            for (std::int64_t j = 0; j < r.len_kv; ++j) REQUIRE((extent.first <= j && j < extent.end) == attends(r, i, j));
        }
    });
}

TEST_CASE("what any row of a range attends to is not skipped, and what all attend to is not masked") {
    for_all_rules([](const Rules& r) {
        for (std::int64_t begin = 0; begin < r.len_q; ++begin)
            for (std::int64_t end = begin + 1; end <= r.len_q; ++end) {
                const Extent any = rule_of(r).any_of_rows(begin, end, r.len_kv), all = rule_of(r).all_of_rows(begin, end, r.len_kv);
                for (std::int64_t j = 0; j < r.len_kv; ++j) {
                    bool some = false, every = true;
                    for (std::int64_t i = begin; i < end; ++i) some |= attends(r, i, j), every &= attends(r, i, j);
                    if (some) REQUIRE((any.first <= j && j < any.end));
                    REQUIRE((all.first <= j && j < all.end) == every);
                }
            }
    });
}

TEST_CASE("diagonals and windows of any size do not overflow") {
    const std::int64_t most = std::numeric_limits<std::int64_t>::max(), least = std::numeric_limits<std::int64_t>::min();
    const auto row = [](bool causal, std::int64_t diagonal, std::int64_t left, std::int64_t right) {
        return ExtentRule::aligned(causal, true, diagonal, left, right, 4, 100).of_row(3, 100);
    };
    CHECK(row(true, most, -1, -1).covers(0, 100));
    CHECK(row(true, least, -1, -1).empty());
    CHECK(row(false, 0, most, most).covers(0, 100));
    CHECK(row(false, least, most, 0).empty());
}

TEST_CASE("blocks cover an extent and no more") {
    CHECK(blocks_of({5, 5}, 4).empty());
    CHECK(blocks_of({0, 1}, 4).end == 1);
    CHECK(blocks_of({3, 9}, 4).first == 0);
    CHECK(blocks_of({3, 9}, 4).end == 3);
    CHECK(blocks_of({4, 8}, 4).first == 1);
    CHECK(blocks_of({4, 8}, 4).end == 2);
}
