// Which backend a problem is planned on, by order, by name and by fallback, and what is told where none is. No plugin file is involved.
#include <rocforge/rocforge.hpp>

#include <doctest/doctest.h>

#include <memory>
#include <string>

#include "world.hpp"

using fake::Behaviour;

namespace {

constexpr Behaviour kNoCausal{.name = "nocausal", .features = RF_F_GROUPED_HEADS}, kBadPlan{.name = "badplan", .plan_fails = true},
    kNullPlan{.name = "nullplan", .plan_is_null = true}, kSilent{.name = "silent", .refuses_without_reason = true};

}  // namespace

TEST_CASE("the order decides and every refusal is told") {
    World world("select.order = ['small', 'nocausal', 'silent', 'absent', 'good']\n");
    world->add(fake::table<kGood>());
    world->add(fake::table<kSmall>());
    world->add(fake::table<kNoCausal>());
    world->add(fake::table<kSilent>());
    world->add(fake::table<kAbsent>());
    rf_problem p = problem(128);
    p.features = RF_F_CAUSAL;
    const rocforge::Choice choice = world->select(cpu(), p);
    REQUIRE(choice.describe().backend);
    CHECK(std::string(choice.describe().backend) == "good");
    struct Want {
        const char *name, *code, *have;
        bool partial;
    };
    const Want wants[]{{"small", "head_dim", "128", false},
                       {"nocausal", "feature", "causal", true},
                       {"silent", "fault", "RF_UNSUPPORTED", false},
                       {"absent", "driver", "absent: no such hardware here", false}};
    const auto candidates = choice.candidates();
    for (std::uint32_t i = 1; i < candidates.size(); ++i) {
        CAPTURE(candidates[i].name);
        CHECK(candidates[i].supported == 0);
        const auto reasons = choice.reasons(i);
        REQUIRE(reasons.size() == 1);
        CHECK(std::string(candidates[i].name) == wants[i - 1].name);
        CHECK(std::string(rocforge_reason_name(reasons[0].code)) == wants[i - 1].code);
        CHECK(std::string(reasons[0].have) == wants[i - 1].have);
        CHECK((candidates[i].partial != 0) == wants[i - 1].partial);
    }
    CHECK(std::string(choice.plan().describe().backend) == "good");
    CHECK(std::string(world->plan(cpu(), p).describe().backend) == "good");
}

TEST_CASE("a choice is planned on the backend that it names, whoever came since") {
    for (const char* by_name : {static_cast<const char*>(nullptr), "good"}) {
        World world("select.order = ['small', 'good']\n");
        world->add(fake::table<kGood>());
        const rocforge::Choice choice = world->select(cpu(), problem(), by_name);
        world->add(fake::table<kSmall>());
        REQUIRE(std::string(world->plan(cpu(), problem()).describe().backend) == "small");
        const rocforge::Plan plan = choice.plan();
        CHECK(std::string(plan.describe().backend) == "good");
        CHECK(std::string(plan.describe().why) == choice.describe().why);
        CHECK(plan.describe().fell_back == 0);
    }
}

TEST_CASE("a choice whose backend cannot plan is an error, or under fallback the next backend's turn") {
    for (const char* by_name : {static_cast<const char*>(nullptr), "badplan"}) {
        World strict("select.order = ['badplan', 'good']\n"), lenient("select.order = ['badplan', 'good']\nselect.fallback = 'allow'\n");
        for (World* world : {&strict, &lenient})
            for (const rf_backend_api* api : {&fake::table<kBadPlan>(), &fake::table<kGood>()}) (*world)->add(*api);
        const auto e = thrown_by([&] { strict->select(cpu(), problem(), by_name).plan(); });
        CHECK(e.code() == RF_NO_MEMORY);
        CHECK(std::string(e.what()).find("select.fallback") != std::string::npos);
        const rocforge::Choice choice = lenient->select(cpu(), problem(), by_name);
        CHECK(std::string(choice.describe().backend) == "badplan");
        const rocforge::Plan plan = choice.plan();
        CHECK(std::string(plan.describe().backend) == "good");
        CHECK(std::string(plan.describe().why).find("badplan: planning fails on purpose") != std::string::npos);
        CHECK(plan.describe().fell_back == 1);
    }
}

TEST_CASE("nobody's refusal is an error with every reason") {
    World world;
    world->add(fake::table<kSmall>());
    const auto e = thrown_by([&] { world->plan(cpu(), problem(128)); });
    CHECK(e.code() == RF_UNSUPPORTED);
    CHECK(std::string(e.what()) == "no backend runs this problem on cpu. small: q.shape[3] is 128, wanted at most 64");
    const rocforge::Choice choice = world->select(cpu(), problem(128));
    CHECK(choice.describe().backend == nullptr);
    CHECK(thrown_by([&] { choice.plan(); }).code() == RF_UNSUPPORTED);
}

TEST_CASE("a named choice refuses aloud, unless fallback allows") {
    for (const char* fallback : {"error", "warn", "allow"}) {
        CAPTURE(fallback);
        World world(std::string("select.order = ['good']\nselect.fallback = '") + fallback + "'\n");
        world->add(fake::table<kSmall>());
        world->add(fake::table<kGood>());
        const rocforge::Choice choice = world->select(cpu(), problem(128), "small");
        if (std::string(fallback) == "error") {
            CHECK(choice.describe().backend == nullptr);
            CHECK(std::string(choice.describe().why).find("'small' (asked for by the caller's choice) refuses") == 0);
            continue;
        }
        CHECK(std::string(choice.describe().backend) == "good");
        CHECK(choice.describe().fell_back == 1);
        CHECK(choice.plan().describe().fell_back == 1);
    }
}

TEST_CASE("an unknown name is told its neighbour") {
    World world;
    world->add(fake::table<kGood>());
    const auto e = thrown_by([&] { world->select(cpu(), problem(), "goood"); });
    CHECK(e.code() == RF_NOT_FOUND);
    CHECK(std::string(e.what()).find("did you mean 'good'?") != std::string::npos);
    CHECK(thrown_by([&] { world->set_default("goood"); }).code() == RF_NOT_FOUND);
}

TEST_CASE("set_default decides until it is taken back, and forgets cached plans") {
    World world("select.order = ['good', 'scratch']\n");
    world->add(fake::table<kGood>());
    world->add(fake::table<kScratch>());
    CHECK(std::string(world->plan(cpu(), problem()).describe().backend) == "good");
    world->set_default("scratch");
    CHECK(std::string(world->plan(cpu(), problem()).describe().backend) == "scratch");
    CHECK(std::string(world->plan(cpu(), problem()).describe().why) == "rocforge_set_default");
    world->set_default(nullptr);
    CHECK(std::string(world->plan(cpu(), problem()).describe().backend) == "good");
}

TEST_CASE("a plan that fails is an error, or under fallback the next backend's turn") {
    struct Row {
        const rf_backend_api* api;
        rf_code code;
        const char* message;
    };
    for (const Row& row : {Row{&fake::table<kBadPlan>(), RF_NO_MEMORY, "badplan: planning fails on purpose"},
                           Row{&fake::table<kNullPlan>(), RF_INTERNAL, "nullplan: plan() made no plan and gave no reason"}}) {
        CAPTURE(row.message);
        const std::string order = std::string("select.order = ['") + row.api->name + "', 'good']\n";
        World strict(order);
        strict->add(*row.api);
        strict->add(fake::table<kGood>());
        const auto e = thrown_by([&] { strict->plan(cpu(), problem()); });
        CHECK(e.code() == row.code);
        CHECK(std::string(e.what()).starts_with(row.message));
        CHECK(std::string(e.what()).find("select.fallback") != std::string::npos);

        World lenient(order + "select.fallback = 'allow'\n");
        lenient->add(*row.api);
        lenient->add(fake::table<kGood>());
        const rocforge::Plan plan = lenient->plan(cpu(), problem());
        CHECK(std::string(plan.describe().backend) == "good");
        CHECK(std::string(plan.describe().why).find(row.message) != std::string::npos);
        CHECK(plan.describe().fell_back == 1);
    }
}

TEST_CASE("a plan and a choice outlive their context") {
    const int before = fake::instances;
    std::unique_ptr<rocforge::Plan> plan;
    {
        World world;
        world->add(fake::table<kGood>());
        plan = std::make_unique<rocforge::Plan>(world->plan(cpu(), problem()));
        world.close();
        CHECK(fake::instances == before + 1);
        plan->forward(args());
    }
    plan.reset();
    CHECK(fake::instances == before);
}
