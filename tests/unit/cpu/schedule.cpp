// The order in which workers draw the items of a call, and that it is a permutation: kernels and the merge of splits both go by place(). What a
// workspace that is short of the best goes without.
#include <doctest/doctest.h>

#include <cstdint>
#include <set>
#include <tuple>

#include "plugins/cpu/attention.h"

using namespace rocforge::cpu;

namespace {

// 4 query heads for each of 3 kv heads, two of them an item; 2,048 rows in blocks of 512.
constexpr std::int64_t kLength = 2048, kRows = 512, kItems = 3 * 2 * kLength / kRows;

Attention attention(bool causal) {
    return {.batch = 1, .head_q = 12, .head_kv = 3, .max_seq_q = kLength, .max_seq_kv = kLength, .dim = 64, .dim_v = 64, .causal = causal};
}
Sequence sequence(std::int64_t splits) {
    return {.len_q = kLength,
            .len_kv = kLength,
            .heads_per_item = 2,
            .rows_per_item = kRows,
            .head_chunks = 2,
            .row_blocks = kLength / kRows,
            .splits = splits};
}

}  // namespace

TEST_CASE("the items of a causal sequence come longest first over all heads") {
    const Attention a = attention(true);
    const Sequence s = sequence(1);
    const Schedule schedule{.sequences = &s, .count = 1};
    std::int64_t longest = kLength;
    for (std::int64_t i = 0; i < kItems; ++i) {
        const Item item = place(a, schedule, i, false).item;
        CHECK(item.keys.end - item.keys.first <= longest);
        longest = item.keys.end - item.keys.first;
    }
}

TEST_CASE("every row of every head is one item's, and its splits are merged where they were left") {
    for (const bool causal : {false, true})
        for (const std::int64_t splits : {1, 2}) {
            const Attention a = attention(causal);
            const Sequence s = sequence(splits);
            const Schedule schedule{.sequences = &s, .count = 1, .split_keys = kLength / splits};
            std::multiset<std::tuple<std::int64_t, std::int64_t>> seen;  // head, row
            for (std::int64_t whole = 0; whole < kItems; ++whole) {
                const Item merged = place(a, schedule, whole, true).item;
                CHECK(merged.kv_head == merged.head_first / 4);
                for (std::int64_t head = 0; head < merged.heads; ++head)
                    for (std::int64_t row = 0; row < merged.rows; ++row) seen.insert({merged.head_first + head, merged.row_first + row});
                std::int64_t key = merged.keys.first;
                for (std::int64_t split = 0; split < splits; ++split) {
                    const Item item = place(a, schedule, whole * splits + split, false).item;
                    CHECK(std::tie(item.head_first, item.heads, item.row_first, item.rows) ==
                          std::tie(merged.head_first, merged.heads, merged.row_first, merged.rows));
                    if (item.keys.empty()) continue;  // a causal block of rows that needs no second split
                    CHECK(item.keys.first == key);
                    key = item.keys.end;
                    CHECK(item.slot == (splits == 1 ? -1 : merged.slot + split));
                }
                CHECK(key == merged.keys.end);
            }
            const std::set<std::tuple<std::int64_t, std::int64_t>> once(seen.begin(), seen.end());
            CHECK(once.size() == 12 * kLength);
            CHECK(seen.size() == once.size());
        }
}

TEST_CASE("a smaller workspace gives up rows of an item first, then splits, then workers") {
    const Attention a = attention(true);
    const Kernel& kernel = *highway_kernels().front();
    const Workspace best = plan_workspace(a, kernel, 8, UINT64_MAX), least = plan_workspace(a, kernel, 8, 0);
    CHECK(best.item_rows == kernel.item_rows(a));
    CHECK(best.split_slots > 0);
    CHECK(best.workers == 8);
    CHECK(least.workers == 1);
    bool rows_first = false, splits_next = false;
    for (std::int64_t limit = best.bytes; limit >= least.bytes; limit = limit * 9 / 10) {
        const Workspace space = plan_workspace(a, kernel, 8, static_cast<std::uint64_t>(limit));
        CAPTURE(limit);
        CHECK(space.bytes <= limit);
        rows_first |= space.item_rows < best.item_rows && space.split_slots > 0;
        splits_next |= space.split_slots == 0 && space.workers == 8;
        if (space.split_slots == 0) CHECK(space.item_rows == kernel.panel_rows);
        if (space.workers < 8) CHECK(space.split_slots == 0);
    }
    CHECK(rows_first);
    CHECK(splits_next);
}
