// Runs a materialised case through whatever can run one, and judges the result.
// Knows neither the host API nor a device: the callback does, and it may plan, copy to a device and back as it likes.
#ifndef ROCFORGE_CONFORMANCE_RUN_H
#define ROCFORGE_CONFORMANCE_RUN_H

#include "materialise.h"
#include "tolerance.h"

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace rocforge::conformance {

// Runs the problem on host pointers. RF_UNSUPPORTED: refused, `why` holds the reasons; any other code but RF_OK is a failure.
using Call = std::function<rf_code(const rf_problem&, const rf_args&, std::string& why)>;

enum class Outcome { passed, refused, failed };

struct Verdict {
    Outcome outcome = Outcome::passed;
    double max_error = 0, tolerance = 0, lse_error = 0, lse_tolerance = 0;
    std::string where;       // what is wrong, or why it was refused, a line a reason
    bool by_values = false;  // failed, and by nothing but values that are too far off
};

// A case with its tensors and what must come out, made once for many backends.
struct Prepared {
    explicit Prepared(const Case& c) : tensors(c), expectation(expect(tensors.problem(), tensors.args())) {}
    Prepared(Materialised made, Expectation expected) : tensors(std::move(made)), expectation(std::move(expected)) {}
    Materialised tensors;
    Expectation expectation;
};

// Every byte of out and lse, gaps included: two calls that agree bitwise agree in these.
std::vector<std::byte> output_bytes(const Materialised&);

// Poisons the outputs, calls, compares. A problem that demands bitwise equal results is run twice.
Verdict run(Prepared&, const Call&);

}  // namespace rocforge::conformance
#endif
