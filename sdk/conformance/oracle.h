// Attention as rocforge defines it ("Attention, exactly" in sdk/README.md), in float64: the definition that backends are measured against.
// One row at a time, plainly and slowly, on host memory, from the same rf_problem and rf_args that a backend gets; offsets are 64 bit, so a
// caller may sample rows of tensors of many gigabytes. It shares no code with any backend, checks no contract (the core does) and never refuses.
#ifndef ROCFORGE_CONFORMANCE_ORACLE_H
#define ROCFORGE_CONFORMANCE_ORACLE_H

#include <rocforge/plugin.h>

#include <array>
#include <cstdint>
#include <vector>

namespace rocforge::conformance {

// Philox 4x32-10 of Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3" (SC 2011), section 3.3.
std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key);
// Does dropout keep p[b, h, i, j]? The mapping of indices to counter and key stands at rf_args.
bool dropout_keeps(const rf_problem&, const rf_args&, std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j);

// Where one sequence lies: its first row on q's and on k's sequence axis (0 unless ragged), its lengths, and the diagonal j = i + diagonal.
struct Sequence {
    std::int64_t q_begin, len_q, kv_begin, len_kv, diagonal;
};
Sequence sequence_of(const rf_problem&, const rf_args&, std::int64_t b);

// A token's place on axes 0 (batch or page) and 2 (sequence or slot in the page) of its tensor.
struct Place {
    std::int64_t axis0, axis2;
};
Place place_of_query(const rf_problem&, const Sequence&, std::int64_t b, std::int64_t i);
Place place_of_key(const rf_problem&, const rf_args&, const Sequence&, std::int64_t b, std::int64_t j);

// May row i of head h attend to key j: boolean mask, additive -inf, causal rule, window; j and i within the sequence's lengths.
bool attends(const rf_problem&, const rf_args&, const Sequence&, std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j);

// finite: compared by value. empty: attends to nothing. non_finite: attends to a NaN or an infinity.
enum class RowState { finite, empty, non_finite };

struct Row {
    std::vector<double> out;  // [dim_v]
    double lse = 0;           // natural log of the softmax's denominator, sink included
    double largest_v = 0;     // largest finite |v| among the keys attended to
    RowState state = RowState::finite;
};

// Row i of head h of sequence b, in float64.
Row oracle_row(const rf_problem&, const rf_args&, std::int64_t b, std::int64_t h, std::int64_t i);
// The same formula with s, p and out rounded to the storage types of q, v and out and every sum in float32. Its error is the yardstick of the
// tolerance. A value that a storage type cannot hold stays float32: else one overflowing logit would make every result acceptable.
Row textbook_row(const rf_problem&, const rf_args&, std::int64_t b, std::int64_t h, std::int64_t i);

}  // namespace rocforge::conformance
#endif
