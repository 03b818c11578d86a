// The laws of what a backend says before anything runs: its registration, its devices, its predicate and its layouts.
#include "laws.h"

#include "random_problem.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <set>
#include <thread>
#include <tuple>

namespace rocforge::conformance {
namespace {

constexpr std::int32_t kMostDevices = 1024;  // more are no machine's

// Two calls of the entry, each on a thread of its own: a prober, or a second context, may call it at any time.
void registration_repeats(Subject& subject) {
    const auto identities = [&] {
        std::vector<std::tuple<std::string, std::int32_t, rf_features>> all;
        for (const rf_backend_api* table : registered_by(subject.setting().entry)) all.emplace_back(table->name, table->device_kind, table->features);
        return all;
    };
    const auto first = identities();
    auto beside = first;
    std::optional<Broken> broken;
    std::thread other([&] {
        try {
            beside = identities();
        } catch (const Broken& b) { broken = b; }
    });
    const auto again = identities();
    other.join();
    if (broken) throw Broken(*broken);
    if (again != first || beside != first) throw Broken("the entry registers something else when it is called again");
}

void check_ordinals(const Backend& backend) {
    std::set<std::int32_t> ordinals;
    rf_device device{};
    std::string why;
    for (std::int32_t index = 0; index < kMostDevices && backend.device(index, device, why) == RF_OK; ++index) {
        if (device.ordinal < 0)
            throw Broken("device " + number(index) + " has ordinal " + number(device.ordinal) + "; a device that is here has its number, from 0");
        if (!ordinals.insert(device.ordinal).second) throw Broken("two devices have ordinal " + number(device.ordinal));
    }
}

void devices_are_told(Subject& subject) {
    const Backend& backend = subject.backend();
    const rf_backend_api& api = *subject.setting().api;
    const bool known = api.device_kind == RF_DEVICE_CPU || api.device_kind == RF_DEVICE_CUDA || api.device_kind == RF_DEVICE_ROCM;
    if (!known && api.abi_minor <= RF_ABI_MINOR)
        throw Broken("the table is for devices of kind " + number(api.device_kind) + ", which is none of RF_DEVICE_CPU, _CUDA, _ROCM");
    rf_device device{};
    std::string why;
    rf_device described{};
    const rf_code unknown = backend.describe("no arch of any machine", described);
    if (unknown != RF_NOT_FOUND) throw Broken("describe of an unknown arch returned " + name_of_code(unknown) + ", not RF_NOT_FOUND");
    if (!subject.device().arch || !subject.device().arch[0]) throw Broken("the device has no arch");
    if (!subject.present()) return;
    if (subject.device().kind != subject.setting().api->device_kind)
        throw Broken("device gives a device of kind " + number(subject.device().kind) + ", the table says " +
                     number(subject.setting().api->device_kind));
    check_ordinals(backend);
    const rf_code code = backend.device(1 << 20, device, why);
    if (code != RF_NOT_FOUND) throw Broken("device of index 2^20 returned " + name_of_code(code) + ", not RF_NOT_FOUND");
}

// The problems of the tables, as a case would ask them.
std::vector<std::pair<std::string, rf_problem>> table_problems(Subject& subject) {
    std::vector<std::pair<std::string, rf_problem>> problems;
    for (const Case& c : all_cases(subject.setting().seed)) problems.emplace_back(c.name, problem_of(c));
    return problems;
}

// The same verdict and the same reasons, asked again, in another order, from several threads at once.
void predicate_is_pure(Subject& subject) {
    const auto problems = table_problems(subject);
    const Backend& backend = subject.backend();
    std::vector<Answer> first;
    first.reserve(problems.size());
    for (const auto& [name, problem] : problems) first.push_back(backend.ask(subject.device(), problem));
    const auto check = [&](std::size_t n, const char* when) {
        const Answer again = backend.ask(subject.device(), problems[n].second);
        if (again == first[n]) return;
        throw Broken(problems[n].first + ": supports answers something else " + when + ": " +
                     (first[n].supported ? "yes" : text_of(first[n].reasons)) + " at first, then " +
                     (again.supported ? "yes" : text_of(again.reasons)));
    };
    for (std::size_t n = problems.size(); n-- > 0;) check(n, "when it is asked again");
    std::vector<std::thread> threads;
    std::vector<std::string> wrong(4);
    for (std::size_t t = 0; t < wrong.size(); ++t)
        threads.emplace_back([&, t] {
            try {
                for (std::size_t n = 0; n < problems.size(); ++n) check((n * 7 + t * 31) % problems.size(), "from several threads at once");
            } catch (const Broken& broken) { wrong[t] = broken.what(); }
        });
    for (std::thread& each : threads) each.join();
    for (const std::string& each : wrong)
        if (!each.empty()) throw Broken(each);
}

void verdict_is_the_same_without_a_sink(Subject& subject) {
    const auto check = [&](const rf_problem& problem) {
        const bool with = subject.backend().ask(subject.device(), problem).supported;
        if (subject.backend().supports(subject.device(), problem) != with)
            throw Broken(std::string("supports says ") + (with ? "yes with a sink and no" : "no with a sink and yes") + " without one");
    };
    for (const auto& [name, problem] : table_problems(subject)) {
        note(name);
        check(problem);
    }
    RandomProblems random(subject.setting().seed, subject.setting().api->features);  // most of them are refused, as few of the tables' are
    for (int n = 0; n < 500; ++n) {
        note("random problem " + number(n) + " of seed " + std::to_string(subject.setting().seed));
        check(random.next());
    }
}

// Types that each make a problem refused: together they must all be told.
void reasons_are_complete(Subject& subject) {
    const rf_problem sound = problem_of(cases_that_run(subject).front());
    const std::pair<rf_tensor rf_problem::*, rf_dtype> faults[] = {
        {&rf_problem::q, {RF_T_F4_E2M1FN, 4, 1}}, {&rf_problem::v, {RF_T_F8_E8M0FNU, 8, 1}}, {&rf_problem::out, {RF_T_FLOAT, 64, 1}}};
    std::vector<Reason> expected;
    rf_problem all = sound;
    for (const auto& [tensor, type] : faults) {
        rf_problem one = sound;
        (one.*tensor).dtype = type;
        const Answer answer = subject.backend().ask(subject.device(), one);
        if (answer.supported) continue;
        (all.*tensor).dtype = type;
        expected.insert(expected.end(), answer.reasons.begin(), answer.reasons.end());
    }
    if (expected.empty()) throw Skipped("the backend refuses no type that is tried, so that no reason can be left out");
    const Answer answer = subject.backend().ask(subject.device(), all);
    for (const Reason& reason : expected) {
        const auto same = [&](const Reason& other) { return other.code == reason.code && other.field == reason.field; };
        if (std::none_of(answer.reasons.begin(), answer.reasons.end(), same))
            throw Broken("supports tells of " + reason.field +
                         " where it is the one fault, and not beside others: with a sink every refusal is reported");
    }
}

// The core refuses a problem with a bit that the table does not declare and asks no further, so the verdict on one is nobody's concern; a tool that
// asks all the same gets an answer.
void undeclared_features_are_answered(Subject& subject) {
    const rf_backend_api& api = *subject.setting().api;
    if (api.abi_minor <= RF_ABI_MINOR && (api.features & ~RF_F_ALL))
        throw Broken("the table declares feature bits that ABI " + number(RF_ABI_MAJOR) + "." + number(api.abi_minor) + " does not have");
    const rf_problem sound = problem_of(cases_that_run(subject).front());
    for (int bit = std::popcount(RF_F_ALL); bit < 64; ++bit) {
        rf_problem problem = sound;
        problem.features |= std::uint64_t{1} << bit;
        const rf_code code = api.supports(subject.backend().self(), &subject.device(), &problem, nullptr);
        if (code != RF_OK && code != RF_UNSUPPORTED)
            throw Broken("supports of a problem with feature bit " + number(bit) + " returned " + name_of_code(code));
    }
}

// The sound ones of a layout that says which there are: the least, and the largest of those that a cache may have.
std::vector<std::int64_t> page_sizes(const rf_kv_layout& layout, const std::string& name) {
    constexpr std::int64_t kLargest = 1 << 16;
    if (layout.page_min < 1 || layout.page_max < layout.page_min || layout.page_multiple < 1)
        throw Broken(name + ": pages of " + number(layout.page_min) + ".." + number(layout.page_max) + " tokens in multiples of " +
                     number(layout.page_multiple));
    const std::int64_t least = (layout.page_min - 1) / layout.page_multiple * layout.page_multiple + layout.page_multiple;
    const std::int64_t most = std::min(layout.page_max, std::max(kLargest, least)) / layout.page_multiple * layout.page_multiple;
    if (most < least)
        throw Broken(name + ": no multiple of " + number(layout.page_multiple) + " lies in pages of " + number(layout.page_min) + ".." +
                     number(layout.page_max) + " tokens");
    return {least, most};
}

void lay_out(rf_tensor& t, const rf_kv_layout& layout) {
    t.align = std::min<std::uint32_t>(layout.align, 256);
    std::int64_t stride_elems = 1;
    for (int n = 3; n >= 0; --n) {
        const std::uint8_t axis = layout.order[n];
        t.stride[axis] = stride_elems;
        stride_elems *= std::max<std::int64_t>(t.shape[axis], 1);
    }
}

// The problem with K and V as the layout says, in pages of that many tokens (0: none).
rf_problem laid_out(rf_problem p, const rf_kv_layout& layout, std::int64_t page_size) {
    if (page_size > 0) {
        p.page_size = page_size;
        p.block_table_stride = (p.max_seq_kv + page_size - 1) / page_size;
        for (rf_tensor* t : {&p.k, &p.v}) t->shape[0] = p.batch * p.block_table_stride, t->shape[2] = page_size;
    }
    lay_out(p.k, layout), lay_out(p.v, layout);
    return p;
}

// A layout that is told is sound, is of the problem's kind, and is one that supports accepts.
void check_layout(Subject& subject, const rf_problem& problem, const rf_kv_layout& layout, std::uint32_t index) {
    const std::string name = "kv_layout " + number(index);
    if (layout.kind != RF_KV_CONTIGUOUS && layout.kind != RF_KV_PAGED) throw Broken(name + " is of kind " + number(layout.kind));
    std::uint32_t axes = 0;
    for (const std::uint8_t axis : layout.order) axes |= axis < 4 ? 1u << axis : 16u;
    if (axes != 15) throw Broken(name + ": order is no permutation of the axes");
    if (layout.order[3] != 3) throw Broken(name + ": dim is not the innermost axis, where its stride is 1");
    if (layout.align & (layout.align - 1)) throw Broken(name + ": align " + number(layout.align) + " is no power of two");
    const bool paged = layout.kind == RF_KV_PAGED;
    if (paged != ((problem.features & RF_F_PAGED_KV) != 0))
        throw Broken(name + (paged ? " is paged, and the problem's K and V are not" : " is contiguous, and the problem's K and V are in pages"));
    if (paged && (problem.features & RF_F_KV_SCALES)) return;  // their extents are the pages' too
    for (const std::int64_t page_size : paged ? page_sizes(layout, name) : std::vector<std::int64_t>{0}) {
        const Answer answer = subject.backend().ask(subject.device(), laid_out(problem, layout, page_size));
        if (!answer.supported)
            throw Broken(name + (paged ? " with pages of " + number(page_size) + " tokens" : "") +
                         " is told, and supports refuses K and V of that form: " + text_of(answer.reasons));
    }
}

void layouts_are_told(Subject& subject) {
    constexpr std::uint32_t kMost = 64;
    const Backend& backend = subject.backend();
    for (const Case& c : cases_that_run(subject)) {
        const rf_problem problem = problem_of(c);
        note(c.name);
        for (std::uint32_t index = 0;; ++index) {
            rf_kv_layout layout{}, again{};
            layout.struct_size = again.struct_size = sizeof layout;
            const rf_code code = backend.api().kv_layout(backend.self(), &subject.device(), &problem, index, &layout);
            if (code == RF_NOT_FOUND && index == 0) throw Broken("kv_layout knows no layout of a problem that supports accepts");
            if (code == RF_NOT_FOUND) break;
            if (code != RF_OK) throw Broken("kv_layout returned " + name_of_code(code) + "; it answers RF_OK or RF_NOT_FOUND");
            if (index == kMost) throw Broken("kv_layout has no last layout");
            check_layout(subject, problem, layout, index);
            backend.api().kv_layout(backend.self(), &subject.device(), &problem, index, &again);
            if (std::memcmp(&layout, &again, sizeof layout) != 0) throw Broken("kv_layout answers something else when it is asked again");
        }
    }
}

// Planning is left out where extents are so large that a plan may be sized by them.
bool plannable(const rf_problem& p) {
    return p.batch <= 4096 && p.max_seq_q <= 4096 && p.max_seq_kv <= 4096 && p.q.shape[1] <= 4096 && p.q.shape[3] <= 4096;
}

// Any sound problem, however odd: an answer comes, the same with a sink and without, and what is accepted can be planned.
void any_problem_gets_an_answer(Subject& subject) {
    const int problems = subject.full() ? 100000 : 10000, most_plans = subject.on_host() ? problems : 300;
    int plans = 0;
    RandomProblems random(subject.setting().seed, subject.setting().api->features);
    for (int n = 0; n < problems; ++n) {
        const rf_problem problem = random.next();
        note("problem " + number(n) + " of seed " + std::to_string(subject.setting().seed));
        const Answer answer = subject.backend().ask(subject.device(), problem);
        if (!answer.supported || !subject.present() || !plannable(problem) || ++plans > most_plans) continue;
        Plan plan;
        std::string why;
        const rf_code code = plan.make(subject.backend(), subject.device(), problem, why);
        if (code == RF_UNSUPPORTED) throw Broken("plan refuses what supports accepts: " + why);
        if (code != RF_OK && code != RF_NO_MEMORY) throw Broken(why);
    }
    note("");
}

// A table that is offered is whole, and none is offered under a name that nobody has given a meaning.
void extensions_are_whole(Subject& subject) {
    const rf_backend_api& api = *subject.setting().api;
    if (!RF_HAS(&api, extension) || !api.extension) throw Skipped("it has no extension slot");
    if (api.extension(subject.backend().self(), "rocforge.no_such_table/1"))
        throw Broken("extension gives a table for 'rocforge.no_such_table/1', an id that there is not; compare the whole id");
    const LentDevice whole(subject.backend(), subject.device());
    if (!whole.memory() && !whole.timer() && !whole.graph()) throw Skipped("it lends none of rocforge.memory/1, timer/1, graph/1");
}

}  // namespace

std::vector<Law> predicate_laws() {
    return {{"law/registration-repeats", registration_repeats, false},
            {"law/devices-are-told", devices_are_told, false},
            {"law/predicate-is-pure", predicate_is_pure, false},
            {"law/verdict-is-the-same-without-a-sink", verdict_is_the_same_without_a_sink, false},
            {"law/reasons-are-complete", reasons_are_complete, false},
            {"law/undeclared-features-are-answered", undeclared_features_are_answered, false},
            {"law/kv-layouts-are-told", layouts_are_told, false},
            {"law/extensions-are-whole", extensions_are_whole, false},
            {"law/any-problem-gets-an-answer", any_problem_gets_an_answer, false}};
}

}  // namespace rocforge::conformance
