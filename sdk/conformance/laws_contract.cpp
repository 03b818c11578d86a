// The laws of planning and running, on any device and on the CPU's memory: what a plan may want, what a call may not do, and who may call at once.
#include "laws.h"

#include "allocations.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>
#include <thread>

namespace rocforge::conformance {
namespace {

rf_problem as_asked(const Materialised& tensors) { return with_true_alignment(tensors.problem(), tensors.args()); }

// A plan of a case that runs.
void must_plan(Subject& subject, const Backend& backend, const rf_problem& problem, Plan& plan) {
    std::string why;
    if (plan.make(backend, subject.device(), problem, why) != RF_OK) throw Broken(why);
}

void demand_right(const Prepared& prepared, const std::string& when) {
    const Comparison c = compare(prepared.expectation, prepared.tensors.problem(), prepared.tensors.args());
    if (!c.passed) throw Broken(when + ": " + c.where);
    for (std::string wrong : {prepared.tensors.damage(), prepared.tensors.unwritten()})
        if (!wrong.empty()) throw Broken(wrong.insert(0, when + ": "));
}

void require_host(Subject& subject) {
    if (!subject.on_host()) throw Skipped("computes on a device; the laws of devices look at that");
}

// One call on host memory with its own scratch.
class ScratchCall {
public:
    ScratchCall(const Plan& plan, const Materialised& tensors) : plan_(plan), scratch_(plan), args_(tensors.args()) { scratch_.lend(args_); }
    void operator()() {
        std::string why;
        if (plan_.forward(args_, why) != RF_OK) throw Broken(why);
    }
    const rf_args& args() const { return args_; }
    const HostScratch& scratch() const { return scratch_; }

private:
    const Plan& plan_;
    HostScratch scratch_;
    rf_args args_;
};

void failures_have_messages(Subject& subject) {
    const Backend& backend = subject.backend();
    const Materialised tensors(cases_that_run(subject).front());
    const rf_problem problem = as_asked(tensors);
    constexpr std::uint32_t kNoAlgo = 1u << 30;
    rf_error error = empty_error();
    rf_plan* made = nullptr;
    rf_plan_info info{};
    info.struct_size = sizeof info;
    const rf_code code = backend.api().plan(backend.self(), &subject.device(), &problem, kNoAlgo, &made, &info, &error);
    if (code == RF_OK) backend.api().plan_free(made);
    if (code != RF_NOT_FOUND) throw Broken("plan of algo 2^30 returned " + name_of_code(code) + ", not RF_NOT_FOUND: a tuner counts until then");
    if (error.message[0] == '\0') throw Broken("plan of algo 2^30 failed without a message");
    // Nobody need want to know.
    if (backend.api().plan(backend.self(), &subject.device(), &problem, kNoAlgo, &made, &info, nullptr) != RF_NOT_FOUND)
        throw Broken("plan of algo 2^30 returns another code where the caller passes no rf_error");
}

// What a plan tells of itself is there for people and for a tuner to read, as long as the plan lives.
void plans_are_described(Subject& subject) {
    const rf_backend_api& api = *subject.setting().api;
    std::deque<Plan> plans;
    std::vector<std::string> kernels;
    for (const Case& c : cases_that_run(subject)) {
        note(c.name);
        must_plan(subject, subject.backend(), problem_of(c), plans.emplace_back());
        const rf_plan_info& info = plans.back().info();
        if (!info.kernel || !info.kernel[0]) throw Broken("plan names no kernel: explain shows it, and a tuned decision is kept by it");
        constexpr std::uint32_t kKnown = RF_P_CAPTURABLE | RF_P_DETERMINISTIC;
        if (api.abi_minor <= RF_ABI_MINOR && (info.flags & ~kKnown))
            throw Broken("plan's flags are " + number(info.flags) + "; those of this ABI are RF_P_CAPTURABLE and RF_P_DETERMINISTIC");
        if (std::isnan(info.estimate_us)) throw Broken("plan's estimate_us is no number; below 0 says that there is none");
        kernels.emplace_back(info.kernel);
    }
    note("");
    for (std::size_t n = 0; n < kernels.size(); ++n)
        if (kernels[n] != plans[n].info().kernel) throw Broken("a plan's kernel, '" + kernels[n] + "', is another once other plans were made");
}

// Limits below what a plan takes unasked: plan keeps to them, or supports has refused.
void workspace_limits_are_kept(Subject& subject) {
    for (const Case& c : cases_that_run(subject)) {
        note(c.name);
        const Materialised tensors(c);
        rf_problem problem = as_asked(tensors);
        Plan plan;
        must_plan(subject, subject.backend(), problem, plan);
        const std::uint64_t unasked = plan.info().workspace_bytes;
        for (const std::uint64_t limit : {std::uint64_t{0}, std::uint64_t{1}, unasked / 2, unasked - 1, unasked}) {
            if (limit > unasked) continue;
            problem.workspace_limit_bytes = limit;
            if (!subject.backend().ask(subject.device(), problem).supported) continue;
            must_plan(subject, subject.backend(), problem, plan);
            if (!subject.on_host()) continue;
            Prepared prepared(c);
            const Verdict verdict = run_on_host(subject, subject.backend(), prepared, problem);
            if (verdict.outcome != Outcome::passed) throw Broken("with a workspace limit of " + number(limit) + " bytes: " + verdict.where);
        }
    }
}

// A host that was compiled with a later header: every struct of the caller's ends in fields that this backend has never heard of.
template <class Struct> struct Longer {
    explicit Longer(const Struct& s) : known(s) {
        known.struct_size = sizeof(Longer);
        std::memset(unknown, 0xEE, sizeof unknown);
    }
    Struct known;
    unsigned char unknown[64];
};

void longer_structs_are_accepted(Subject& subject) {
    const rf_backend_api& api = *subject.setting().api;
    const Longer<rf_device> device(subject.device());
    Prepared prepared(cases_that_run(subject).front());
    const Longer<rf_problem> problem(as_asked(prepared.tensors));
    if (api.supports(subject.backend().self(), &device.known, &problem.known, nullptr) != RF_OK)
        throw Broken("supports refuses a problem once its struct has grown at the end; test struct_size with RF_HAS, never for equality");
    if (!subject.on_host()) return;
    rf_plan* plan = nullptr;
    Longer<rf_plan_info> info(rf_plan_info{});
    rf_error error = empty_error();
    rf_code code = api.plan(subject.backend().self(), &device.known, &problem.known, 0, &plan, &info.known, &error);
    if (code != RF_OK) throw Broken("plan of a problem whose struct has grown at the end: " + told(code, error));
    std::vector<std::byte> space(static_cast<std::size_t>(info.known.workspace_bytes + info.known.zeroed_bytes + 512));
    auto* aligned = reinterpret_cast<std::byte*>((reinterpret_cast<std::uintptr_t>(space.data()) + 255) / 256 * 256);
    Longer<rf_args> args(prepared.tensors.args());
    args.known.workspace = aligned, args.known.workspace_bytes = info.known.workspace_bytes;
    args.known.zeroed = aligned + (info.known.workspace_bytes + 255) / 256 * 256;
    code = api.forward(plan, &args.known, &error);
    api.plan_free(plan);
    if (code != RF_OK) throw Broken("forward of arguments whose struct has grown at the end: " + told(code, error));
    demand_right(prepared, "with structs that have grown at the end");
}

// Two contexts of one process: the second is no worse for the end of the first.
void contexts_are_apart(Subject& subject) {
    const Case c = cases_that_run(subject).front();
    auto first = std::make_unique<Backend>(*subject.setting().api, subject.lending());
    const Backend second(*subject.setting().api, subject.lending());
    Prepared prepared(c);
    const rf_problem problem = as_asked(prepared.tensors);
    {
        Plan plan;
        must_plan(subject, *first, problem, plan);
    }
    Plan kept;
    must_plan(subject, second, problem, kept);
    first.reset();
    if (!subject.on_host()) return;
    prepared.tensors.poison();
    ScratchCall call(kept, prepared.tensors);
    call();
    demand_right(prepared, "after another context has ended");
}

void forward_allocates_nothing(Subject& subject) {
    require_host(subject);
    if (!malloc_counter) throw Skipped("this program counts no allocations (a sanitizer owns malloc)");
    for (const Case& c : cases_that_run(subject)) {
        note(c.name);
        const Materialised tensors(c);
        Plan plan;
        must_plan(subject, subject.backend(), as_asked(tensors), plan);
        ScratchCall call(plan, tensors);
        for (int n = 0; n < 2; ++n) call();  // a first call may start threads
        malloc_counter->start();
        for (int n = 0; n < 5; ++n) call();
        const std::int64_t allocations = malloc_counter->stop();
        if (allocations > 0)
            throw Broken("5 calls of forward made " + std::to_string(allocations) + " allocations; plan is where to allocate, or the workspace");
    }
}

// Where the plan or the problem says that results are equal bit by bit, they are.
void results_repeat(Subject& subject) {
    require_host(subject);
    bool ran = false;
    for (const Case& c : cases_that_run(subject)) {
        note(c.name);
        Materialised tensors(c);
        rf_problem problem = as_asked(tensors);
        problem.features |= RF_F_DETERMINISTIC;
        const bool asked = subject.backend().ask(subject.device(), problem).supported;
        if (!asked) problem.features = tensors.problem().features;
        Plan plan;
        must_plan(subject, subject.backend(), problem, plan);
        if (!asked && !(plan.info().flags & RF_P_DETERMINISTIC)) continue;
        ran = true;
        ScratchCall call(plan, tensors);
        std::vector<std::byte> first;
        for (int n = 0; n < (subject.full() ? 100 : 20); ++n) {
            tensors.poison();
            call();
            const std::vector<std::byte> bytes = output_bytes(tensors);
            if (n == 0) first = bytes;
            if (bytes != first) throw Broken("call " + std::to_string(n + 1) + " differs bitwise from the first, on the same inputs");
        }
    }
    if (!ran) throw Skipped("no plan is RF_P_DETERMINISTIC, and RF_F_DETERMINISTIC is refused");
}

// Threads that share one plan and threads that have their own, all at once, each on its own tensors and workspace.
void concurrent_calls_do_not_meet(Subject& subject) {
    require_host(subject);
    const int calls = subject.full() ? 60 : 20;
    constexpr std::size_t kThreads = 4;
    for (const Case& c : cases_that_run(subject)) {
        note(c.name);
        std::vector<std::unique_ptr<Prepared>> prepared;
        for (std::size_t t = 0; t < kThreads; ++t) {
            Case own = c;
            own.seed += t;
            prepared.push_back(std::make_unique<Prepared>(own));
        }
        Plan shared;
        must_plan(subject, subject.backend(), as_asked(prepared[0]->tensors), shared);
        std::vector<std::string> wrong(kThreads);
        std::vector<std::thread> threads;
        for (std::size_t t = 0; t < kThreads; ++t)
            threads.emplace_back([&, t] {
                try {
                    Plan own;
                    if (t % 2 == 1) must_plan(subject, subject.backend(), as_asked(prepared[t]->tensors), own);
                    ScratchCall call(t % 2 == 1 ? own : shared, prepared[t]->tensors);
                    for (int n = 0; n < calls; ++n) {
                        prepared[t]->tensors.poison();
                        call();
                        demand_right(*prepared[t], t % 2 == 1 ? "threads call at once, each with its plan" : "threads share a plan");
                    }
                    if (const std::string damage = call.scratch().damage(); !damage.empty()) throw Broken(damage);
                } catch (const std::exception& failure) { wrong[t] = failure.what(); }
            });
        for (std::thread& each : threads) each.join();
        for (const std::string& each : wrong)
            if (!each.empty()) throw Broken(each);
    }
}

}  // namespace

std::vector<Law> contract_laws() {
    return {{"law/failures-have-messages", failures_have_messages},
            {"law/plans-are-described", plans_are_described},
            {"law/workspace-limits-are-kept", workspace_limits_are_kept},
            {"law/longer-structs-are-accepted", longer_structs_are_accepted},
            {"law/contexts-are-apart", contexts_are_apart},
            {"law/forward-allocates-nothing", forward_allocates_nothing},
            {"law/results-repeat", results_repeat},
            {"law/concurrent-calls-do-not-meet", concurrent_calls_do_not_meet}};
}

std::span<const Law> laws() {
    static const std::vector<Law> all = [] {
        std::vector<Law> joined = predicate_laws();
        for (const std::vector<Law>& more : {contract_laws(), device_laws()}) joined.insert(joined.end(), more.begin(), more.end());
        return joined;
    }();
    return all;
}

}  // namespace rocforge::conformance
