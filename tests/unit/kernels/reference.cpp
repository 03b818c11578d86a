// The reference kernels' host side: which launches a problem gets, and that their pieces of work cover every row once.
#include "kernels/reference/reference.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <map>
#include <numeric>
#include <tuple>
#include <vector>

#include "kernels/reference/tile.h"

using namespace rocforge::kernels;
using reference::choose;

namespace {

constexpr std::uint64_t kNoLimit = UINT64_MAX;
constexpr Machine kGpu{Family::gfx9, 304}, kHopper{Family::sm90, 132};

Attention dense(std::int64_t batch, std::int64_t head_q, std::int64_t head_kv, std::int64_t seq_q, std::int64_t seq_kv, std::int64_t dim = 64) {
    Attention a;
    a.batch = batch, a.head_q = head_q, a.head_kv = head_kv;
    a.max_seq_q = a.q_tokens = seq_q, a.max_seq_kv = a.kv_tokens = seq_kv;
    a.dim = a.dim_v = dim;
    return a;
}

using RowOfHead = std::tuple<std::int64_t, std::int64_t, std::int64_t>;  // sequence, kv head, row

// How often the pieces of work of all blocks reach each row of each sequence.
std::map<RowOfHead, int> covered(const Attention& a, const Pointers& p, std::int64_t splits) {
    std::map<RowOfHead, int> times;
    for (std::int64_t n = 0; n < reference::items_of(a) * splits; ++n) {
        const reference::Work work = reference::work_of(a, p, splits, n);
        REQUIRE(work.split >= 0);
        REQUIRE(work.split < splits);
        REQUIRE(work.row_first >= 0);
        const std::int64_t rows = reference::rows_of(span_of(a, p, work.b).len_q, a.group());
        for (std::int64_t row = work.row_first; row < work.row_first + reference::Narrow::kRows && row < rows; ++row)
            ++times[{work.b, work.kv_head, row}];
    }
    return times;
}

void check_cover(const Attention& a, const Pointers& p, std::int64_t splits) {
    const std::map<RowOfHead, int> times = covered(a, p, splits);
    std::size_t rows = 0;
    for (std::int64_t b = 0; b < a.batch; ++b) rows += static_cast<std::size_t>(reference::rows_of(span_of(a, p, b).len_q, a.group()) * a.head_kv);
    CHECK(times.size() == rows);
    for (const auto& [row, count] : times) CHECK(count == splits);
}

}  // namespace

TEST_CASE("the pieces of work of a dense problem reach every row once for each split") {
    for (const std::int64_t seq_q : {1, 3, 15, 16, 17, 100})
        for (const std::int64_t group : {1, 2, 5, 16})
            for (const std::int64_t splits : {1, 3}) {
                CAPTURE(seq_q);
                CAPTURE(group);
                check_cover(dense(3, 2 * group, 2, seq_q, 40), Pointers{}, splits);
            }
}

TEST_CASE("the pieces of work of a ragged problem reach every row once, wherever sequences start") {
    const std::vector<std::vector<std::int32_t>> tables = {{5, 0, 7, 3}, {0, 0, 0},         {16, 16, 16},       {1, 1, 1, 1, 1, 1},
                                                           {0, 6},       {100, 1, 0, 1, 7}, {15, 17, 33, 0, 64}};
    for (const std::vector<std::int32_t>& lengths : tables)
        for (const std::int64_t group : {1, 3})
            for (const std::int64_t spare : {0, 9}) {
                std::vector<std::int32_t> starts{0};
                std::partial_sum(lengths.begin(), lengths.end(), std::back_inserter(starts));
                Attention a = dense(static_cast<std::int64_t>(lengths.size()), 2 * group, 2, 100, 40);
                a.ragged_q = true;
                a.q_tokens = starts.back() + spare;
                Pointers p{};
                p.cu_seqlens_q = starts.data();
                CAPTURE(lengths.size());
                CAPTURE(group);
                check_cover(a, p, 2);
            }
}

TEST_CASE("cu_seqlens that break their contract name no row outside of a sequence") {
    const std::vector<std::vector<std::int32_t>> tables = {{32, 40, 50}, {50, 40, 0}, {-7, 3, 900}, {0, 900, 20}};
    for (const std::vector<std::int32_t>& starts : tables) {
        Attention a = dense(2, 2, 2, 64, 40);
        a.ragged_q = true;
        a.q_tokens = 50;
        Pointers p{};
        p.cu_seqlens_q = starts.data();
        for (const auto& [row, count] : covered(a, p, 1)) CHECK(std::get<2>(row) < span_of(a, p, std::get<0>(row)).len_q);
    }
}

TEST_CASE("a problem without rows launches nothing") {
    CHECK(choose(dense(0, 2, 2, 5, 5), kGpu, kNoLimit).launches.empty());
    CHECK(choose(dense(2, 2, 2, 0, 5), kGpu, kNoLimit).launches.empty());
}

TEST_CASE("a problem without keys launches one kernel, which says that its rows are empty") {
    const Recipe recipe = choose(dense(2, 2, 2, 5, 0), kGpu, kNoLimit);
    CHECK(recipe.launches.size() == 1);
    CHECK(recipe.workspace_bytes == 0);
}

TEST_CASE("prefill that fills the GPU is not split") {
    const Recipe recipe = choose(dense(4, 32, 32, 4096, 4096), kGpu, kNoLimit);
    CHECK(recipe.cut.splits == 1);
    CHECK(recipe.workspace_bytes == 0);
    CHECK(recipe.launches.size() == 1);
}

TEST_CASE("decode over long keys is split and combined, within the workspace limit") {
    const Attention a = dense(1, 8, 8, 1, 100000, 128);
    const Recipe whole = choose(a, kGpu, kNoLimit);
    CHECK(whole.cut.splits == 152);  // 304 units x 4 blocks over 8 heads
    REQUIRE(whole.launches.size() == 2);
    CHECK(whole.launches[0].grid[0] == 8 * 152);
    CHECK(whole.launches[1].grid[0] == 8);
    CHECK(whole.workspace_bytes == std::uint64_t{8} * 152 * (2 + 128) * 4);
    std::int32_t splits = whole.cut.splits;
    for (std::uint64_t limit = whole.workspace_bytes; limit > 0; limit /= 2) {
        const Recipe recipe = choose(a, kGpu, limit - 1);
        CHECK(recipe.workspace_bytes < limit);
        CHECK(recipe.cut.splits < splits);
        CHECK((recipe.cut.splits > 1) == (recipe.launches.size() == 2));
        splits = recipe.cut.splits > 1 ? recipe.cut.splits : 2;
    }
    CHECK(choose(a, kGpu, 0).cut.splits == 1);
}

TEST_CASE("wide heads take the wide kernel, and NVIDIA is told of shared memory") {
    CHECK(choose(dense(1, 1, 1, 9, 9, 128), kGpu, kNoLimit).launches[0].function == "rocforge_reference_narrow");
    CHECK(choose(dense(1, 1, 1, 9, 9, 129), kGpu, kNoLimit).launches[0].function == "rocforge_reference_wide");
    Attention a = dense(1, 1, 1, 9, 9, 64);
    a.dim_v = 256;
    CHECK(choose(a, kGpu, kNoLimit).launches[0].function == "rocforge_reference_wide");
    CHECK(choose(a, kGpu, kNoLimit).launches[0].shared_bytes == 0);
    CHECK(choose(a, kHopper, kNoLimit).launches[0].shared_bytes == sizeof(reference::Shared<reference::Wide>));
}

TEST_CASE("more work than a grid may have blocks is looped over") {
    const Recipe recipe = choose(dense(1 << 20, 1 << 10, 1 << 10, 1 << 10, 9), kGpu, kNoLimit);
    CHECK(recipe.launches[0].grid[0] == reference::kMaxGrid);
    CHECK(std::uint64_t{recipe.launches[0].grid[0]} * recipe.launches[0].threads < std::uint64_t{1} << 32);
    CHECK(choose(dense(std::int64_t{1} << 40, 1 << 20, 1 << 20, std::int64_t{1} << 40, 9), kGpu, kNoLimit).launches[0].grid[0] ==
          reference::kMaxGrid);
}
