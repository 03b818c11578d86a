// What a backend runs, as numbers: bounds, storage types, where rows may begin. The rules that they are the numbers of are one table here, for every
// backend; supports() and plan() both ask check(), so a limit is stated once. Features are core's business, devices and workspaces the backend's.
#ifndef ROCFORGE_PLUGINS_ADAPTER_LIMITS_H
#define ROCFORGE_PLUGINS_ADAPTER_LIMITS_H

#include <rocforge/plugin.hpp>

#include <cstdint>
#include <string>

namespace rocforge::adapter {

// Storage types of q, k, v and out.
enum Types : unsigned { kF32 = 1, kF16 = 2, kBF16 = 4, kByte = 8, kFloats = kF32 | kF16 | kBF16, kHalves = kF16 | kBF16 };

struct Limits {
    unsigned types;
    std::int64_t max_dim, max_dim_v, dim_multiple;
    std::int64_t max_batch, max_heads, max_seq, max_page;  // of sequences, of query heads and of kv heads, of rows and of keys, of tokens a page
    std::int64_t max_rows = INT64_MAX;                     // of all sequences and query heads together, as capacities count
    std::int64_t max_group_rows = INT64_MAX;               // of the query heads that share a kv head, together
    std::int64_t max_kv_stride = INT64_MAX;                // elements from key to key, of k and of v
    std::uint32_t row_bytes = 1;                           // every row of q, k, v and out begins at a multiple of so many bytes; 1: anywhere
    const char* hint = "";                                 // the way out of a number or of a row's place
    const char* type_hint = "";                            // the way out of a type
};

// Reports everything about the problem's geometry that is beyond the limits; index types, scale groups and head groups are the same for every
// backend.
void check(const Limits& limits, const rf_problem& problem, Reasons& reasons);

// A plan's first refusal as a sentence: `const rf_sink sink = refusal.sink(); Reasons reasons(&sink);`.
struct FirstRefusal {
    std::string text;
    rf_sink sink() { return {sizeof(rf_sink), 0, this, report}; }

private:
    static void report(void* self, const rf_reason* reason);
};

// Heads before tokens, then tokens before heads, paged where the problem is.
rf_code kv_layout(const Limits& limits, const rf_problem& problem, std::uint32_t index, rf_kv_layout& out);

}  // namespace rocforge::adapter
#endif
