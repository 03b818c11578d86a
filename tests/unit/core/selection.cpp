// Policy as a table: candidates, what they support, named choices and order in; winner and its reason out.
#include "selection.hpp"

#include <doctest/doctest.h>

#include <set>

using namespace rocforge;

namespace {

constexpr std::int32_t kCpu = RF_DEVICE_CPU, kRocm = RF_DEVICE_ROCM;

const std::vector<Candidate> kCandidates{{"cpu", kCpu, false},  {"gpu", kRocm, false},  {"flash", kRocm, false},
                                         {"zeta", kCpu, false}, {"alpha", kCpu, false}, {"rough", kCpu, true}};

struct Row {
    const char* what;
    std::int32_t kind;
    std::vector<Named> named;
    std::vector<std::string> order;
    Fallback fallback;
    std::set<std::string> supported;
    rf_code code;
    const char* winner;
    const char* why;
    bool fell_back;
};

const std::vector<std::string> kShipped{"*", "flash", "gpu", "cpu"};
const std::set<std::string> kAll{"cpu", "gpu", "flash", "zeta", "alpha", "rough"};

const Row kRows[]{
    {"a dropped-in backend comes first, by name", kCpu, {}, kShipped, Fallback::error, kAll, RF_OK, "alpha", "select.order, defaults", false},
    {"the next in order takes what the first refuses",
     kCpu,
     {},
     kShipped,
     Fallback::error,
     {"zeta", "cpu"},
     RF_OK,
     "zeta",
     "select.order, defaults",
     false},
    {"the last in order is reached", kCpu, {}, kShipped, Fallback::error, {"cpu"}, RF_OK, "cpu", "select.order, defaults", false},
    {"other kinds are not asked", kRocm, {}, kShipped, Fallback::error, kAll, RF_OK, "flash", "select.order, defaults", false},
    {"without * an unnamed backend is not chosen",
     kCpu,
     {},
     {"cpu"},
     Fallback::error,
     {"alpha"},
     RF_UNSUPPORTED,
     "",
     "select.order, defaults",
     false},
    {"without * it is chosen by name", kCpu, {{"alpha", "api"}}, {"cpu"}, Fallback::error, kAll, RF_OK, "alpha", "api", false},
    {"an approximate backend is never in the order",
     kCpu,
     {},
     {"*", "rough"},
     Fallback::error,
     {"rough"},
     RF_UNSUPPORTED,
     "",
     "select.order, defaults",
     false},
    {"an approximate backend is chosen by name", kCpu, {{"rough", "api"}}, kShipped, Fallback::error, kAll, RF_OK, "rough", "api", false},
    {"the strongest named choice wins", kCpu, {{"cpu", "api"}, {"zeta", "env"}}, kShipped, Fallback::error, kAll, RF_OK, "cpu", "api", false},
    {"a named choice of another kind does not apply",
     kCpu,
     {{"gpu", "api"}, {"zeta", "env"}},
     kShipped,
     Fallback::error,
     kAll,
     RF_OK,
     "zeta",
     "env",
     false},
    {"a name registered nowhere is an error", kCpu, {{"nobody", "api"}}, kShipped, Fallback::allow, kAll, RF_NOT_FOUND, "", "api", false},
    {"a named choice that refuses is an error", kCpu, {{"cpu", "env"}}, kShipped, Fallback::error, {"alpha"}, RF_UNSUPPORTED, "", "env", false},
    {"fallback lets the order decide",
     kCpu,
     {{"cpu", "env"}},
     kShipped,
     Fallback::allow,
     {"zeta"},
     RF_OK,
     "zeta",
     "select.order, because 'cpu' (env) refused",
     true},
    {"fallback warn decides as allow does",
     kCpu,
     {{"cpu", "env"}},
     kShipped,
     Fallback::warn,
     {"zeta"},
     RF_OK,
     "zeta",
     "select.order, because 'cpu' (env) refused",
     true},
    {"fallback does not try a weaker named choice",
     kCpu,
     {{"cpu", "a"}, {"zeta", "b"}},
     {"alpha", "zeta"},
     Fallback::allow,
     {"alpha", "zeta"},
     RF_OK,
     "alpha",
     "select.order, because 'cpu' (a) refused",
     true},
    {"nobody supports it", kCpu, {}, kShipped, Fallback::allow, {}, RF_UNSUPPORTED, "", "select.order, defaults", false},
};

}  // namespace

TEST_CASE("selection follows the policy") {
    for (const Row& row : kRows) {
        CAPTURE(row.what);
        const Policy policy{row.named, row.order, "defaults", row.fallback};
        std::set<std::size_t> asked;
        const Decision decision = choose(kCandidates, row.kind, policy, [&](std::size_t i) {
            CHECK_MESSAGE(asked.insert(i).second, "asked twice: ", kCandidates[i].name);
            CHECK(kCandidates[i].kind == row.kind);
            return row.supported.count(kCandidates[i].name) > 0;
        });
        CHECK(decision.code == row.code);
        CHECK((decision.code == RF_OK ? kCandidates[decision.winner].name : std::string()) == row.winner);
        CHECK(decision.why == row.why);
        CHECK(decision.fell_back == row.fell_back);
    }
}

TEST_CASE("rules match on every field they may name") {
    const Facts facts{.device = "rocm",
                      .arch = "gfx942:sramecc+:xnack-",
                      .dtype = "bf16",
                      .batch = 2,
                      .head_q = 32,
                      .head_kv = 8,
                      .head_dim = 128,
                      .dim_v = 64,
                      .seq_q = 1,
                      .seq_kv = 4096,
                      .causal = true,
                      .paged = true,
                      .ragged = false};
    struct Match {
        const char* when;
        bool matches;
    };
    const Match rows[]{{"seq_q = 1", true},
                       {"seq_q = 2", false},
                       {"head_dim = {max = 128}", true},
                       {"head_dim = {max = 127}", false},
                       {"head_dim = {min = 129}", false},
                       {"head_dim = [64, 128]", true},
                       {"device = 'rocm'", true},
                       {"device = ['cuda', 'cpu']", false},
                       {"arch = 'gfx942'", true},
                       {"arch = 'gfx94'", false},
                       {"dtype = ['f16', 'bf16']", true},
                       {"causal = true", true},
                       {"causal = false", false},
                       {"paged = true", true},
                       {"ragged = true", false},
                       {"batch = 2", true},
                       {"head_q = 32", true},
                       {"head_kv = 4", false},
                       {"dim_v = {min = 64, max = 64}", true},
                       {"seq_kv = {min = 5000}", false},
                       {"seq_q = 1, device = 'cuda'", false},
                       {"seq_q = 1, device = 'rocm'", true}};
    for (const Match& row : rows) {
        CAPTURE(row.when);
        Config config;
        const auto merged = merge_config(config, std::string("[[select.rule]]\nwhen = {") + row.when + "}\nuse = 'x'\n", "/etc/r.toml");
        REQUIRE_MESSAGE(merged, merged.error().message);
        const std::vector<Named> named = named_choices(config, facts, "", "");
        CHECK(!named.empty() == row.matches);
        if (!named.empty()) CHECK(named[0].source == "select.rule, /etc/r.toml:1:1");
    }
}

TEST_CASE("named choices stand in their order of strength") {
    Config config;
    REQUIRE(merge_config(config, "[select]\ndefault = {cpu = 'd', rocm = 'e'}\n[[select.rule]]\nwhen = {batch = 1}\nuse = 'c'\n", "/r.toml"));
    Facts facts;
    facts.device = "cpu";
    facts.batch = 1;
    std::vector<std::string> names;
    for (const Named& named : named_choices(config, facts, "a", "b")) names.push_back(named.backend);
    CHECK(names == std::vector<std::string>{"a", "b", "c", "d"});
}
