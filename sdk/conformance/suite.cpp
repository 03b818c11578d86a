#include "suite.h"

#include "laws.h"

#include <algorithm>
#include <cstring>
#include <optional>

namespace rocforge::conformance {
namespace {

char noted_text[160];

// What the case lacks for this backend, without the case's own values, so that refusals on one account count as one.
Verdict refused(const Answer& answer) {
    std::string text;
    for (const Reason& r : answer.reasons) {
        const std::string one = r.code == RF_R_FEATURE ? "feature " + r.have : r.field + " needs " + r.need;
        if (text.find(one) == std::string::npos) text += (text.empty() ? "" : "; ") + one;
    }
    return {.outcome = Outcome::refused, .where = std::move(text)};
}
Verdict failed(std::string where) { return {.outcome = Outcome::failed, .where = std::move(where)}; }

// The worse of two passes is shown.
void keep_worse(Verdict& kept, const Verdict& more) {
    if (kept.outcome == Outcome::refused || more.max_error > kept.max_error) kept = more;
}

rf_code planned(const Subject& subject, const Backend& backend, const rf_problem& problem, Plan& plan, std::string& why) {
    const rf_code code = plan.make(backend, subject.device(), problem, why);
    if (code == RF_UNSUPPORTED) throw Broken("plan refuses what supports accepts: " + why);
    return code;
}

// The expectation of a case, made once for all manners.
class Expected {
public:
    Prepared with(Materialised tensors) {
        if (!expectation_) expectation_ = expect(tensors.problem(), tensors.args());
        return {std::move(tensors), *expectation_};
    }

private:
    std::optional<Expectation> expectation_;
};

Verdict on_host(Subject& subject, const Case& c) {
    Expected expected;
    Verdict verdict{.outcome = Outcome::refused};
    for (const Placement placement : {Placement::end_of_page, Placement::page}) {
        // Where a tensor ends with its page it is aligned to an element alone; a backend that wants more meets it at a page's beginning.
        if (placement == Placement::page && verdict.outcome == Outcome::passed && !subject.full()) break;
        const Backend& backend = placement == Placement::page && subject.full() ? subject.backwards() : subject.backend();
        Materialised tensors(c, placement);
        const rf_problem problem = placement == Placement::page ? with_true_alignment(tensors.problem(), tensors.args()) : tensors.problem();
        const Answer answer = backend.ask(subject.device(), problem);
        if (!answer.supported) {
            if (verdict.outcome == Outcome::refused) verdict = refused(answer);
            continue;
        }
        Prepared prepared = expected.with(std::move(tensors));
        Verdict one = run_on_host(subject, backend, prepared, problem);
        if (one.outcome != Outcome::passed) return one;
        keep_worse(verdict, one);
    }
    return verdict;
}

enum class Manner { own_stream_plan_freed_at_once, default_stream, graph_replayed_twice };

// Captured, its plan freed, replayed on the block and once more on the block as it was before.
std::string replay_twice(const LentDevice& device, StagedCall& call, Plan& plan, void* stream) {
    std::string why;
    const Lent graph = captured(device, stream, [&] {
        if (call.enqueue(plan, stream, why) != RF_OK) throw Broken("while its stream is captured: " + why);
    });
    plan.free();
    for (int turn = 0; turn < 2; ++turn) {
        if (turn > 0) call.upload(stream);
        replay(device, graph, stream);
    }
    return call.download(stream);
}

rf_code run_staged(Subject& subject, Manner manner, const Materialised& tensors, const rf_problem& problem, std::string& why) {
    const LentDevice& device = subject.lent();
    Plan plan;
    rf_code code = planned(subject, subject.backend(), problem, plan, why);
    if (code != RF_OK) return code;
    if (plan.nothing_to_do()) return RF_OK;
    const Lent own = create_stream(device);
    void* const stream = manner == Manner::default_stream ? nullptr : own.get();
    StagedCall call(device, tensors, plan);
    call.upload(stream);
    if (manner == Manner::graph_replayed_twice && (plan.info().flags & RF_P_CAPTURABLE)) {
        why = replay_twice(device, call, plan, stream);
    } else {
        code = call.enqueue(plan, stream, why);
        if (manner != Manner::default_stream) plan.free();
        if (code != RF_OK) return device.synchronize(stream), code;
        why = call.download(stream);
    }
    return why.empty() ? rf_code{RF_OK} : rf_code{RF_INTERNAL};
}

Verdict on_device(Subject& subject, const Case& c) {
    Expected expected;
    Verdict verdict{.outcome = Outcome::refused};
    for (const Manner manner : {Manner::own_stream_plan_freed_at_once, Manner::default_stream, Manner::graph_replayed_twice}) {
        if (manner != Manner::own_stream_plan_freed_at_once && !subject.full()) break;
        if (manner == Manner::graph_replayed_twice && !subject.lent().graph()) continue;
        Materialised tensors(c);
        const rf_problem problem = with_true_alignment(tensors.problem(), tensors.args());
        const Answer answer = subject.backend().ask(subject.device(), problem);
        if (!answer.supported) return refused(answer);
        Prepared prepared = expected.with(std::move(tensors));
        Verdict one = run(prepared, [&](const rf_problem&, const rf_args&, std::string& why) {
            return run_staged(subject, manner, prepared.tensors, problem, why);
        });
        if (one.outcome != Outcome::passed) return one;
        keep_worse(verdict, one);
    }
    return verdict;
}

}  // namespace

void note(const std::string& text) { std::strncpy(noted_text, text.c_str(), sizeof noted_text - 1); }
const char* noted() { return noted_text; }

Verdict run_on_host(Subject& subject, const Backend& backend, Prepared& prepared, const rf_problem& problem) {
    return run(prepared, [&](const rf_problem&, const rf_args& args, std::string& why) {
        Plan plan;
        const rf_code planned_code = planned(subject, backend, problem, plan, why);
        if (planned_code != RF_OK) return planned_code;
        const HostScratch scratch(plan);
        rf_args lent = args;
        scratch.lend(lent);
        const rf_code code = plan.forward(lent, why);
        plan.free();
        if (code != RF_OK) return code;
        why = scratch.damage();
        return why.empty() ? rf_code{RF_OK} : rf_code{RF_INTERNAL};
    });
}

// ---- Subject

Subject::Subject(const Setting& setting) : setting_(setting), natural_(std::make_unique<Backend>(*setting.api, Lending{.options = setting.options})) {
    for (std::int32_t index = 0;; ++index) {
        std::string why;
        const rf_code code = natural_->device(index, device_, why);
        if (code == RF_OK && (setting.ordinal < 0 || device_.ordinal == setting.ordinal)) return;
        if (code == RF_OK) continue;
        if (code == RF_NOT_FOUND) why = index == 0 ? "it reports no device" : "it has no device of that number";
        throw Unavailable(why);
    }
}

const Backend& Subject::backwards() {
    if (!backwards_) backwards_ = std::make_unique<Backend>(*setting_.api, Lending{.order = Order::backwards, .options = setting_.options});
    return *backwards_;
}

const LentDevice& Subject::lent() {
    if (!lent_) lent_ = std::make_unique<LentDevice>(*natural_, device_);
    if (!lent_->memory()) throw Unavailable("it lends no memory of its device (rocforge.memory/1), without which nothing can be run on it");
    return *lent_;
}

// ---- Items

std::vector<Item> items(Level level, std::uint64_t seed) {
    std::vector<Item> all;
    for (const Law& law : laws()) all.push_back({law.name, nullptr, &law});
    const auto add = [&](std::vector<Case> cases) {
        for (Case& each : cases) all.push_back({each.name, std::make_shared<const Case>(std::move(each)), nullptr});
    };
    add(all_cases(seed));
    if (level == Level::full) add(tile_cases(seed));
    return all;
}

Verdict examine(Subject& subject, const Item& item) {
    note("");
    try {
        if (item.law) {
            item.law->hold(subject);
            return {};
        }
        return subject.on_host() ? on_host(subject, *item.the_case) : on_device(subject, *item.the_case);
    } catch (const Skipped& skipped) { return {.outcome = Outcome::refused, .where = skipped.what()}; } catch (const Broken& broken) {
        return failed(*noted() ? std::string(noted()) + ": " + broken.what() : broken.what());
    }
}

}  // namespace rocforge::conformance
