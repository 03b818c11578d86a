// Which keys a row may attend to under the causal rule, a window and the sequence's length, and which whole blocks of keys a group of rows
// can therefore skip or take without a mask. Integers alone: masks that are tensors are not its business.
#ifndef ROCFORGE_KERNELS_COMMON_EXTENT_H
#define ROCFORGE_KERNELS_COMMON_EXTENT_H

#include <cstdint>

namespace rocforge::kernels {

// Keys [first, end); first == end: none.
struct Extent {
    std::int64_t first, end;

    constexpr bool empty() const { return first >= end; }
    constexpr bool covers(std::int64_t begin_key, std::int64_t end_key) const { return first <= begin_key && end_key <= end; }
};

// The diagonal of row i is the key j = i + diagonal; `diagonal` holds the alignment already (see aligned).
//
//                  j = i + diagonal
//   [ ........ x x x x D x x ........ ]      x: window_left = 4, window_right = 2; a causal rule ends the row at D
struct ExtentRule {
    std::int64_t diagonal = 0;
    std::int64_t window_left = -1, window_right = -1;  // -1: unlimited
    bool causal = false;

    // Lengths and rows stay below 2^40, so that nothing here overflows once diagonal and windows are cut to this; a cut value excludes and
    // admits the same keys as the value itself.
    static constexpr std::int64_t kFar = std::int64_t{1} << 60;

    static constexpr ExtentRule aligned(bool causal, bool bottom_right, std::int64_t diagonal, std::int64_t window_left, std::int64_t window_right,
                                        std::int64_t len_q, std::int64_t len_kv) {
        const std::int64_t offset = bottom_right ? len_kv - len_q : 0;
        return {clamp(diagonal, -kFar, kFar) + offset, clamp(window_left, -1, kFar), clamp(window_right, -1, kFar), causal};
    }

    constexpr Extent of_row(std::int64_t row, std::int64_t len_kv) const {
        const std::int64_t centre = row + diagonal;
        std::int64_t first = 0, end = len_kv;
        if (causal) end = centre + 1;
        if (window_right >= 0 && centre + window_right + 1 < end) end = centre + window_right + 1;
        if (window_left >= 0) first = centre - window_left;
        first = clamp(first, 0, len_kv);
        end = clamp(end, 0, len_kv);
        return {first, end < first ? first : end};
    }

    // The keys that any row of [row_first, row_end) attends to: both ends of a row's extent grow with the row. Rows with no key at the
    // start or end of the range only widen it.
    constexpr Extent any_of_rows(std::int64_t row_first, std::int64_t row_end, std::int64_t len_kv) const {
        return hull(of_row(row_first, len_kv), of_row(row_end - 1, len_kv));
    }
    // The keys that every row of [row_first, row_end) attends to.
    constexpr Extent all_of_rows(std::int64_t row_first, std::int64_t row_end, std::int64_t len_kv) const {
        const Extent top = of_row(row_first, len_kv), bottom = of_row(row_end - 1, len_kv);
        const std::int64_t first = top.first > bottom.first ? top.first : bottom.first, end = top.end < bottom.end ? top.end : bottom.end;
        return {first, end < first ? first : end};
    }

    static constexpr std::int64_t clamp(std::int64_t x, std::int64_t low, std::int64_t high) { return x < low ? low : x > high ? high : x; }
    static constexpr Extent hull(const Extent& a, const Extent& b) { return {a.first < b.first ? a.first : b.first, a.end > b.end ? a.end : b.end}; }
};

// The blocks of `block_keys` keys, counted from key 0, that an extent touches: [first, end) in blocks.
constexpr Extent blocks_of(const Extent& keys, std::int64_t block_keys) {
    if (keys.empty()) return {0, 0};
    return {keys.first / block_keys, (keys.end + block_keys - 1) / block_keys};
}

}  // namespace rocforge::kernels
#endif
