// How far a backend may be from the oracle, and where. The floors live here alone; nothing that a plugin says changes them.
//   out: |error| <= 2 E + 4 eps max(1, max|v|)    E: the textbook formula's largest error over the problem, eps: of out's type
//   lse: |error| <= 2 E_lse + 1e-5 max(1, |lse|)
// An empty row is exact: out = 0, lse = -inf or the sink. A row that attends to a NaN or an infinity is held only to being non-finite where the
// oracle is. Compares values; what lies between and behind the rows is run.h's concern.
#ifndef ROCFORGE_CONFORMANCE_TOLERANCE_H
#define ROCFORGE_CONFORMANCE_TOLERANCE_H

#include "oracle.h"

#include <cstdint>
#include <string>
#include <vector>

namespace rocforge::conformance {

struct ExpectedRow {
    std::int64_t b, h, i;  // sequence, query head, row within the sequence
    Row row;
};

// What a problem's result must be, and how exactly.
struct Expectation {
    std::vector<ExpectedRow> rows;
    double textbook_error = 0, textbook_lse_error = 0;  // E and E_lse
    double largest_v = 0;                               // over all keys that some row attends to
};

// Oracle and textbook over every row of every sequence.
Expectation expect(const rf_problem&, const rf_args&);

// The tolerances, for out's type and for one row's lse.
double out_tolerance(const Expectation&, rf_dtype out);
double lse_tolerance(const Expectation&, double lse);

// The largest errors, and the first place that breaks the rule. A NaN or an infinity where a number was due is an infinite error.
struct Comparison {
    bool passed = true;
    double max_error = 0, tolerance = 0;
    double lse_error = 0, lse_tolerance = 0;  // of the row whose lse comes closest to its tolerance, or passes it furthest
    std::string where;                        // "out[b=1, h=0, i=3, d=7] is 0.25, not 0.5"
};

// Compares args.out and, where the problem has one, args.lse with the expectation.
Comparison compare(const Expectation&, const rf_problem&, const rf_args&);

}  // namespace rocforge::conformance
#endif
