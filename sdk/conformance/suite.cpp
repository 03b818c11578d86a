#include "suite.h"

#include "glob.h"
#include "laws.h"

#include <algorithm>
#include <cstring>
#include <optional>

namespace rocforge::conformance {
namespace {

char noted_text[160];

// What the case lacks for this backend, a line each, without the case's own values, so that refusals on one account count as one; fields with one
// need together.
Verdict refused(const Answer& answer) {
    std::vector<std::pair<std::string, std::string>> needs;  // need, fields
    for (const Reason& r : answer.reasons) {
        const bool feature = r.code == RF_R_FEATURE;
        const auto same = std::find_if(needs.begin(), needs.end(), [&](const auto& each) { return !feature && each.first == r.need; });
        if (feature)
            needs.emplace_back("", "feature " + r.have);
        else if (same == needs.end())
            needs.emplace_back(r.need, r.field);
        else
            same->second += ", " + r.field;
    }
    std::string text;
    for (const auto& [need, fields] : needs) text += (text.empty() ? "" : "\n") + fields + (need.empty() ? "" : ": needs " + need);
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

constexpr const char* kNotHere = "the device is not here, so nothing is run";

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

Verdict examine_case(Subject& subject, const Case& own, const TellName& tell_name) {
    // As well aligned as any of the ways to run it.
    const auto ask = [&](const Case& c) { return subject.backend().ask(subject.device(), problem_of(c)); };
    Case c = own;
    if (const Answer answer = ask(c); !answer.supported) {
        const std::vector<Case> others = in_16_bits(c);
        const auto taken = std::find_if(others.begin(), others.end(), [&](const Case& other) { return ask(other).supported; });
        if (taken == others.end()) return refused(answer);
        c = *taken;
        tell_name(c.name);
    }
    if (!subject.present()) return {.outcome = Outcome::refused, .where = kNotHere};
    return subject.on_host() ? on_host(subject, c) : on_device(subject, c);
}

std::vector<Case> find_cases_that_run(const Subject& subject) {
    static const char* const kKinds[] = {
        "seq/13x31-f32",     "seq/65x65-f16",        "seq/65x65-bf16",       "heavy/decode-f32",     "heavy/prefill-bf16",
        "paged/page-16-f32", "decode-bf16/paged-16", "decode-f16/32-over-8", "prefill-bf16/dim-128", "prefill-f16/ragged-over-pages"};
    constexpr std::size_t kMost = 6;
    std::vector<Case> all = all_cases(subject.setting().seed);
    for (Case& each : tile_cases(subject.setting().seed)) all.push_back(std::move(each));
    const auto runs = [&](const Case& c) { return subject.backend().ask(subject.device(), problem_of(c)).supported; };
    std::vector<Case> found;
    for (const char* name : kKinds) {
        const auto at = std::find_if(all.begin(), all.end(), [&](const Case& c) { return c.name == name; });
        if (found.size() < kMost && at != all.end() && runs(*at)) found.push_back(*at);
    }
    for (const Case& c : all) {
        if (!found.empty()) break;
        if (c.batch > 0 && c.seq_q > 0 && runs(c)) found.push_back(c);
    }
    return found;
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

Subject::Subject(const Setting& setting) : setting_(setting), natural_(std::make_unique<Backend>(*setting.api, lending())) {
    if (present()) {
        find_device();
        return;
    }
    const rf_code code = natural_->describe(setting.arch, device_);
    if (code == RF_NOT_FOUND) throw Unavailable("it knows no arch '" + setting.arch + "'");
    if (code != RF_OK) throw Broken("describe returned " + name_of_code(code));
}

void Subject::find_device() {
    for (std::int32_t index = 0;; ++index) {
        std::string why;
        const rf_code code = natural_->device(index, device_, why);
        if (code == RF_OK && (setting_.ordinal < 0 || device_.ordinal == setting_.ordinal)) return;
        if (code == RF_OK) continue;
        if (code == RF_NOT_FOUND) why = index == 0 ? "it reports no device" : "it has no device of that number";
        throw Unavailable(why);
    }
}

const Backend& Subject::backwards() {
    if (!backwards_) backwards_ = std::make_unique<Backend>(*setting_.api, lending(Order::backwards));
    return *backwards_;
}

const LentDevice& Subject::lent() {
    if (!lent_) lent_ = std::make_unique<LentDevice>(*natural_, device_);
    if (!lent_->memory()) throw Unavailable("it lends no memory of its device (rocforge.memory/1), without which nothing can be run on it");
    return *lent_;
}

const std::vector<Case>& Subject::cases_that_run() {
    if (!cases_that_run_) cases_that_run_ = std::make_unique<const std::vector<Case>>(find_cases_that_run(*this));
    return *cases_that_run_;
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

std::vector<Item> chosen(std::vector<Item> all, const std::string& globs) {
    const bool by_type = globs.find("-as-") != std::string::npos;
    std::vector<Item> taken;
    for (Item& item : all) {
        if (matches_any(globs, item.name)) {
            taken.push_back(std::move(item));
        } else if (by_type && item.the_case) {
            for (Case& c : in_16_bits(*item.the_case))
                if (matches_any(globs, c.name)) taken.push_back({c.name, std::make_shared<const Case>(std::move(c)), nullptr});
        }
    }
    return taken;
}

Verdict examine(Subject& subject, const Item& item, const TellName& tell_name) {
    note("");
    try {
        if (item.law) {
            if (item.law->runs && !subject.present()) throw Skipped(kNotHere);
            item.law->hold(subject);
            return {};
        }
        return examine_case(subject, *item.the_case, tell_name);
    } catch (const Skipped& skipped) { return {.outcome = Outcome::refused, .where = skipped.what()}; } catch (const Broken& broken) {
        return failed(*noted() ? std::string(noted()) + ": " + broken.what() : broken.what());
    }
}

}  // namespace rocforge::conformance
