// Every backend that a context loads runs every case, or says why not; with the library's threads and with lent ones, planned and in one call.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>

#include "conformance/run.h"
#include "host.h"

using namespace rocforge::conformance;

namespace {

// Backends that promise the whole definition: none of their refusals is accepted.
const char* const kCompleteBackends[] = {"cpu"};

bool promises_everything(const std::string& backend) {
    return std::any_of(std::begin(kCompleteBackends), std::end(kCompleteBackends), [&](const char* name) { return backend == name; });
}

using Way = rf_code (*)(const Host&, const HostBackend&, const rf_problem&, const rf_args&, std::string&);

struct Manner {
    const char* name;
    const Threads& threads;
    Way way;
};
const Manner kManners[] = {
    {"planned, the library's threads", kLibraryThreads, run_planned},
    {"one call, the library's threads", kLibraryThreads, run_one_call},
    {"planned, one worker", kOneWorker, run_planned},
    {"planned, three workers in turn, last slice first", kBackwards, run_planned},
    {"planned, three threads", kThreeThreads, run_planned},
    {"one call, seven threads", kSevenThreads, run_one_call},
};

struct Tally {
    int passed = 0, refused = 0, failed = 0;
};

}  // namespace

TEST_CASE("every backend matches the oracle in every case, or refuses it with reasons") {
    std::vector<Host> hosts;
    for (const Manner& manner : kManners) hosts.emplace_back(manner.threads);
    REQUIRE_FALSE(hosts[0].backends().empty());
    for (const std::string& why : hosts[0].left_out()) MESSAGE("left out: " << why);

    std::map<std::string, Tally> tallies;
    for (const Case& c : all_cases()) {
        Prepared prepared(c);
        for (std::size_t m = 0; m < std::size(kManners); ++m)
            for (const HostBackend& backend : hosts[m].backends()) {
                const Verdict v = run(
                    prepared, [&](const rf_problem& p, const rf_args& a, std::string& why) { return kManners[m].way(hosts[m], backend, p, a, why); });
                Tally& tally = tallies[backend.name];
                const bool may_refuse = !promises_everything(backend.name);
                const bool good = v.outcome == Outcome::passed || (v.outcome == Outcome::refused && may_refuse);
                ++(v.outcome == Outcome::passed ? tally.passed : v.outcome == Outcome::refused ? tally.refused : tally.failed);
                CHECK_MESSAGE(good, backend.name, ": ", c.name, " (", std::string(kManners[m].name), "): ", v.where, "; error ", v.max_error,
                              ", tolerance ", v.tolerance);
            }
    }
    for (const auto& [name, tally] : tallies)
        MESSAGE(name << ": " << tally.passed << " passed, " << tally.refused << " refused, " << tally.failed << " failed");
    for (const char* name : kCompleteBackends) CHECK_MESSAGE(tallies.count(name) == 1, name, " is not loaded");
}
