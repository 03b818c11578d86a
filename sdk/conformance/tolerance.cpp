// The tolerance rule, applied element by element.
#include "tolerance.h"

#include "storage.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace rocforge::conformance {
namespace {

std::string place(const char* tensor, const ExpectedRow& r, std::int64_t d, double got, double want) {
    char text[160];
    const auto at = [](std::int64_t x) { return static_cast<long long>(x); };
    if (d < 0)
        std::snprintf(text, sizeof text, "%s[b=%lld, h=%lld, i=%lld] is %.9g, not %.9g", tensor, at(r.b), at(r.h), at(r.i), got, want);
    else
        std::snprintf(text, sizeof text, "%s[b=%lld, h=%lld, i=%lld, d=%lld] is %.9g, not %.9g", tensor, at(r.b), at(r.h), at(r.i), at(d), got, want);
    return text;
}

// Infinite where a number was due and none came; 0 where equal, infinities included.
double error_between(double got, double want) {
    if (got == want) return 0;
    const double error = std::abs(got - want);
    return std::isfinite(error) ? error : INFINITY;
}

void fail(Comparison& c, std::string where) {
    if (c.passed) c.where = std::move(where);
    c.passed = false;
}

void compare_element(Comparison& c, const ExpectedRow& r, std::int64_t d, double got) {
    const double want = r.row.out[static_cast<std::size_t>(d)];
    if (r.row.state == RowState::non_finite) {
        if (!std::isfinite(want) && std::isfinite(got)) fail(c, place("out", r, d, got, want));
        return;
    }
    const double error = error_between(got, want);
    c.max_error = std::max(c.max_error, error);
    if (error > (r.row.state == RowState::empty ? 0 : c.tolerance)) fail(c, place("out", r, d, got, want));
}

void compare_lse(Comparison& c, const Expectation& e, const ExpectedRow& r, double got) {
    if (r.row.state == RowState::non_finite) {
        if (!std::isfinite(r.row.lse) && std::isfinite(got)) fail(c, place("lse", r, -1, got, r.row.lse));
        return;
    }
    const double error = error_between(got, r.row.lse), tolerance = std::isfinite(r.row.lse) ? lse_tolerance(e, r.row.lse) : 0;
    if (tolerance > 0 && (c.lse_tolerance == 0 || error / tolerance > c.lse_error / c.lse_tolerance)) {
        c.lse_error = error;
        c.lse_tolerance = tolerance;
    }
    if (error > tolerance) fail(c, place("lse", r, -1, got, r.row.lse));
}

}  // namespace

Expectation expect(const rf_problem& p, const rf_args& a) {
    Expectation e;
    for (std::int64_t b = 0; b < p.batch; ++b) {
        const std::int64_t len_q = sequence_of(p, a, b).len_q;
        for (std::int64_t h = 0; h < p.q.shape[1]; ++h) {
            for (std::int64_t i = 0; i < len_q; ++i) {
                e.rows.push_back({b, h, i, oracle_row(p, a, b, h, i)});
                const Row& exact = e.rows.back().row;
                e.largest_v = std::max(e.largest_v, exact.largest_v);
                if (exact.state != RowState::finite) continue;
                const Row textbook = textbook_row(p, a, b, h, i);
                for (std::size_t d = 0; d < exact.out.size(); ++d)
                    e.textbook_error = std::max(e.textbook_error, std::abs(textbook.out[d] - exact.out[d]));
                e.textbook_lse_error = std::max(e.textbook_lse_error, std::abs(textbook.lse - exact.lse));
            }
        }
    }
    return e;
}

double out_tolerance(const Expectation& e, rf_dtype out) { return 2 * e.textbook_error + 4 * epsilon(out) * std::max(1.0, e.largest_v); }
double lse_tolerance(const Expectation& e, double lse) { return 2 * e.textbook_lse_error + 1e-5 * std::max(1.0, std::abs(lse)); }

Comparison compare(const Expectation& e, const rf_problem& p, const rf_args& a) {
    Comparison c;
    c.tolerance = out_tolerance(e, p.out.dtype);
    for (const ExpectedRow& r : e.rows) {
        const Place at = place_of_query(p, sequence_of(p, a, r.b), r.b, r.i);
        for (std::int64_t d = 0; d < p.v.shape[3]; ++d)
            compare_element(c, r, d, load(p.out.dtype, a.out, offset_of(p.out, at.axis0, r.h, at.axis2, d)));
        if (p.features & RF_F_LSE) compare_lse(c, e, r, load(p.lse.dtype, a.lse, offset_of(p.lse, at.axis0, r.h, at.axis2, 0)));
    }
    return c;
}

}  // namespace rocforge::conformance
