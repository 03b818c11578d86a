// Every backend that a context loads runs every case, or says why not. In host memory: with the library's threads and with lent ones, planned and in
// one call. On a device: on the default stream, on a stream of its own, and captured in a graph. filter.h says how to run a part of it.
#include <doctest/doctest.h>

#include <rocforge/plugin.hpp>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <memory>

#include "conformance/run.h"
#include "filter.h"
#include "host.h"
#include "on_device.h"
#include "prepared.h"

using namespace rocforge::conformance;
using namespace rocforge::tests;

namespace {

// Backends that promise the whole definition: of their refusals only those of dims beyond their limit are accepted.
struct Complete {
    const char* name;
    std::int64_t most_dim;
};
const Complete kComplete[] = {{"cpu", INT64_MAX}, {"gpu", 512}};

// A device that has failed so often fails at everything: an illegal address spoils a GPU's context for good.
constexpr int kMostFailures = 20;

bool may_refuse(const std::string& backend, const Case& c) {
    const auto found = std::find_if(std::begin(kComplete), std::end(kComplete), [&](const Complete& each) { return backend == each.name; });
    return found == std::end(kComplete) || std::max(c.dim, c.dim_v) > found->most_dim;
}

using Way = rf_code (*)(const Host&, const PlacedBackend&, const rf_problem&, const rf_args&, std::string&);

struct HostManner {
    const char* name;
    Threads threads;
    Way way;
};
const HostManner kHostManners[] = {
    {"planned, the library's threads", kLibraryThreads, run_planned},
    {"one call, the library's threads", kLibraryThreads, run_one_call},
    {"planned, one worker", kOneWorker, run_planned},
    {"planned, three workers in turn, last slice first", kBackwards, run_planned},
    {"planned, three threads", kThreeThreads, run_planned},
    {"one call, seven threads", kSevenThreads, run_one_call},
};
const std::pair<const char*, DeviceManner> kDeviceManners[] = {
    {"default stream", DeviceManner::default_stream},
    {"own stream, the plan freed at once", DeviceManner::own_stream_plan_freed_at_once},
    {"graph, replayed twice", DeviceManner::graph_replayed_twice},
};

struct Tally {
    int passed = 0, refused = 0, failed = 0;
};

// One way to run a case, on one backend.
struct Runner {
    std::string backend, manner;
    std::function<rf_code(Prepared&, const rf_problem&, const rf_args&, std::string&)> call;
    bool on_device = false;
    Tally tally{};
};

// Contexts, devices and the ways to use them.
struct Runners {
    std::vector<std::unique_ptr<Host>> hosts;
    std::vector<std::unique_ptr<DeviceRunner>> devices;
    std::vector<Runner> all;

    Runners() {
        for (const HostManner& manner : kHostManners) {
            if (!wanted_manner(manner.name)) continue;
            hosts.push_back(std::make_unique<Host>(manner.threads));
            const Host& host = *hosts.back();
            for (const PlacedBackend& backend : host.backends())
                all.push_back({backend.name, manner.name,
                               [&host, backend, way = manner.way](Prepared&, const rf_problem& p, const rf_args& a, std::string& why) {
                                   return way(host, backend, p, a, why);
                               }});
        }
        hosts.push_back(std::make_unique<Host>());
        for (const PlacedBackend& backend : hosts.back()->on_devices()) {
            devices.push_back(std::make_unique<DeviceRunner>(*hosts.back(), backend));
            DeviceRunner& device = *devices.back();
            for (const auto& [name, manner] : kDeviceManners)
                if (wanted_manner(name)) add_device(device, name, manner);
        }
    }
    void add_device(DeviceRunner& device, const char* name, DeviceManner manner) {
        if (manner == DeviceManner::graph_replayed_twice && !device.lends_graphs()) return;
        all.push_back({device.backend().name + " (" + device_name(device.backend().device) + ")", name,
                       [&device, manner](Prepared& prepared, const rf_problem& p, const rf_args& a, std::string& why) {
                           return device.run(manner, prepared.tensors, p, a, why);
                       },
                       true});
    }
    const std::vector<std::string>& left_out() const { return hosts.back()->left_out(); }
};

// The case in 16 bits, each way to be so made ready when a backend refuses f32.
class In16Bits {
public:
    explicit In16Bits(const Case& c) : cases_(in_16_bits(c)), prepared_(cases_.size()) {}
    std::size_t count() const { return cases_.size(); }
    const std::string& name(std::size_t n) const { return cases_[n].name; }
    Prepared& at(std::size_t n) {
        if (!prepared_[n]) prepared_[n] = std::make_unique<Prepared>(cases_[n]);
        return *prepared_[n];
    }

private:
    std::vector<Case> cases_;
    std::vector<std::unique_ptr<Prepared>> prepared_;
};

Verdict call(Runner& runner, Prepared& prepared) {
    return run(prepared, [&](const rf_problem& p, const rf_args& a, std::string& why) { return runner.call(prepared, p, a, why); });
}

void run_on(Runner& runner, const Case& c, Prepared& prepared, In16Bits& in_16_bits) {
    if (runner.tally.failed >= kMostFailures) return;
    Verdict v = call(runner, prepared);
    std::string run_as = c.name;
    for (std::size_t n = 0; n < in_16_bits.count() && v.outcome == Outcome::refused; ++n) {
        Verdict other = call(runner, in_16_bits.at(n));
        if (other.outcome != Outcome::refused) v = std::move(other), run_as = in_16_bits.name(n);
    }
    Tally& tally = runner.tally;
    const std::string name = runner.backend.substr(0, runner.backend.find(' '));
    const bool good = v.outcome == Outcome::passed || (v.outcome == Outcome::refused && may_refuse(name, c));
    ++(v.outcome == Outcome::passed ? tally.passed : good ? tally.refused : tally.failed);
    CHECK_MESSAGE(good, runner.backend, ": ", run_as, " (", runner.manner, "): ", v.where, "; error ", v.max_error, ", tolerance ", v.tolerance);
    if (tally.failed == kMostFailures) MESSAGE(runner.backend << " (" << runner.manner << "): given up after " << kMostFailures << " failures");
}

void tell(const std::vector<Runner>& runners, std::size_t cases) {
    for (const Runner& each : runners)
        MESSAGE(each.backend << ", " << each.manner << ": " << each.tally.passed << " passed, " << each.tally.refused << " refused, "
                             << each.tally.failed << " failed of " << cases);
}

bool ran(const std::vector<Runner>& runners, const char* backend) {
    return std::any_of(runners.begin(), runners.end(), [&](const Runner& each) { return each.backend == backend; });
}

}  // namespace

namespace {

// Each case on each runner for which `takes(runner)`.
template <class Takes> void run_table(std::vector<Case> cases, Takes&& takes) {
    Runners runners;
    std::erase_if(runners.all, [&](const Runner& each) { return !takes(each); });
    for (const std::string& why : runners.left_out()) MESSAGE("left out: " << why);
    std::erase_if(cases, [](const Case& c) { return !wanted_case(c.name); });
    if (cases.empty()) {
        MESSAGE("skipped: ROCFORGE_TEST_CASES matches no case of this table");
        return;
    }
    REQUIRE_FALSE(runners.all.empty());

    PreparedCases prepared(cases);
    for (const Case& c : cases) {
        const std::unique_ptr<Prepared> ready = prepared.next();
        In16Bits in_16_bits(c);
        for (Runner& runner : runners.all) run_on(runner, c, *ready, in_16_bits);
    }
    tell(runners.all, cases.size());
    if (!narrowed_to_some_backends()) CHECK_MESSAGE(ran(runners.all, "cpu"), "cpu is not loaded");
}

// Sanitized, the cpu backend takes every twentieth of the cases that are there for other machines' tiles.
constexpr std::size_t kEvery = rocforge::built_with_sanitizer() == RF_SANITIZER_NONE ? 1 : 20;

// Under ThreadSanitizer, to which arithmetic is slow and says nothing: the cases with work for several threads, and of the others every sixth.
std::vector<Case> cases_of_this_build() {
    std::vector<Case> cases = all_cases();
    const auto has_work = [](const Case& c) {
        const auto is_of = [&](const char* group) { return c.name.starts_with(group); };
        return is_of("heavy/") || is_of("long/") || is_of("ragged/");
    };
    std::size_t turn = 0;
    if (rocforge::built_with_sanitizer() == RF_SANITIZER_THREAD) std::erase_if(cases, [&](const Case& c) { return !has_work(c) && turn++ % 6 != 0; });
    return cases;
}

}  // namespace

TEST_CASE("every backend matches the oracle in every case, or refuses it with reasons") {
    run_table(cases_of_this_build(), [](const Runner&) { return true; });
}

TEST_CASE("every backend matches the oracle in the geometry of matrix units, or refuses it with reasons") {
    std::vector<Case> cases = tile_cases();
    std::size_t turn = 0;
    std::erase_if(cases, [&](const Case&) { return turn++ % kEvery != 0; });
    run_table(std::move(cases), [](const Runner& runner) { return runner.on_device || runner.manner == kHostManners[0].name; });
}

int main(int count, char** arguments) {
    doctest::Context context(count, arguments);
    const int status = context.run();
    if (context.shouldExit() || any_case_was_wanted()) return status;
    std::fputs("ROCFORGE_TEST_CASES matches no case of any table: nothing was tested\n", stderr);
    return 1;
}
