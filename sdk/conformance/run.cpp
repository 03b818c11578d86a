// One call, judged: its code, the values, the poison.
#include "run.h"

#include <cstring>

namespace rocforge::conformance {
namespace {

Verdict failed(Verdict v, std::string where) {
    v.outcome = Outcome::failed;
    v.where = std::move(where);
    return v;
}

Verdict run_once(Prepared& prepared, const Call& call) {
    Materialised& tensors = prepared.tensors;
    Verdict v;
    tensors.poison();
    std::string why;
    const rf_code code = call(tensors.problem(), tensors.args(), why);
    if (std::string damage = tensors.damage(); !damage.empty()) return failed(v, std::move(damage));
    if (code == RF_UNSUPPORTED) {
        v.outcome = Outcome::refused;
        v.where = why;
        return why.empty() ? failed(v, "refused without a reason") : v;
    }
    if (code != RF_OK) return failed(v, "code " + std::to_string(code) + ": " + why);
    if (std::string unwritten = tensors.unwritten(); !unwritten.empty()) return failed(v, std::move(unwritten));
    const Comparison c = compare(prepared.expectation, tensors.problem(), tensors.args());
    v = {c.passed ? Outcome::passed : Outcome::failed, c.max_error, c.tolerance, c.lse_error, c.lse_tolerance, c.where, !c.passed};
    return v;
}

}  // namespace

std::vector<std::byte> output_bytes(const Materialised& tensors) {
    std::vector<std::byte> bytes;
    for (const Span& span : tensors.spans())
        if (span.output) bytes.insert(bytes.end(), span.base, span.base + span.bytes);
    return bytes;
}

Verdict run(Prepared& prepared, const Call& call) {
    Verdict first = run_once(prepared, call);
    if (first.outcome != Outcome::passed || !(prepared.tensors.problem().features & RF_F_DETERMINISTIC)) return first;
    const std::vector<std::byte> before = output_bytes(prepared.tensors);
    Verdict second = run_once(prepared, call);
    if (second.outcome == Outcome::passed && output_bytes(prepared.tensors) != before) return failed(second, "two runs differ bitwise");
    return second;
}

}  // namespace rocforge::conformance
