// What a context knows: its backends, their devices and layouts, its files, settings and options. No plugin file is involved.
#include <rocforge/rocforge.hpp>

#include <doctest/doctest.h>

#include <bit>
#include <cstring>
#include <string>
#include <utility>

#include "world.hpp"

using fake::Behaviour;

namespace {

constexpr Behaviour kRough{.name = "rough", .flags = RF_B_APPROXIMATE}, kRocm{.name = "good", .device_kind = RF_DEVICE_ROCM};

// The good backend with two options.
const rf_backend_api& tuned() {
    static constexpr rf_option threads{sizeof(rf_option), 0, "threads", "1..64", "1", "workers"},
        mode{sizeof(rf_option), 0, "mode", "a|b", "a", "how"};
    static constexpr const rf_option* options[]{&threads, &mode, nullptr};
    static const rf_backend_api api = [] {
        rf_backend_api made = fake::table<kGood>();
        made.name = "tuned";
        made.options = options;
        return made;
    }();
    return api;
}

}  // namespace

TEST_CASE("registered backends are listed with their place in the order") {
    World world("select.order = ['small', '*']\n");
    world->add(fake::table<kGood>());
    world->add(fake::table<kSmall>());
    world->add(fake::table<kRough>());
    const auto backends = world->backends();
    REQUIRE(backends.size() == 3);
    CHECK(std::string(backends[0].name) == "good");
    CHECK(backends[0].order_rank == 1);
    CHECK(backends[0].dropped_in == 1);
    CHECK(backends[1].order_rank == 0);
    CHECK(backends[1].dropped_in == 0);
    CHECK(backends[2].order_rank == -1);
    CHECK(world->plugins().size() == 3);
    rocforge_backend_info info{};
    info.struct_size = sizeof info;
    CHECK(rocforge_find_backend(world->get(), "small", 0, &info, nullptr) == RF_OK);
    CHECK(std::string(info.version) == "1.0.0");
}

TEST_CASE("a name is registered once for a kind and again for another") {
    World world;
    world->add(fake::table<kGood>());
    world->add(fake::table<kRocm>());
    const auto e = thrown_by([&] { world->add(fake::table<kGood>()); });
    CHECK(e.code() == RF_INVALID);
    CHECK(std::string(e.what()).find("already registered") != std::string::npos);
}

TEST_CASE("devices are found by kind, by number and by arch") {
    World world;
    world->add(fake::table<kAbsent>());
    world->add(fake::table<kGood>());
    world->add(fake::table<kRocm>());
    CHECK(world->device("cpu").kind == RF_DEVICE_CPU);
    CHECK(world->device("rocm:0").kind == RF_DEVICE_ROCM);
    CHECK(world->device("fake9000").ordinal == -1);
    CHECK(thrown_by([&] { world->device("rocm:1"); }).code() == RF_UNAVAILABLE);
    CHECK(thrown_by([&] { world->device("cuda:0"); }).code() == RF_UNAVAILABLE);
    CHECK(thrown_by([&] { world->device("gfx000"); }).code() == RF_NOT_FOUND);
    CHECK(thrown_by([&] { world->device("rocm:x"); }).code() == RF_NOT_FOUND);
    CHECK(thrown_by([&] { world->device(nullptr, "absent"); }).code() == RF_UNAVAILABLE);
    const auto e = thrown_by([&] { world->plan(world->device("fake9000"), problem()); });
    CHECK(e.code() == RF_UNAVAILABLE);
}

TEST_CASE("a cache asks for the layouts of the backend that would be chosen") {
    World world("select.order = ['small', 'good']\n");
    world->add(fake::table<kGood>());
    world->add(fake::table<kSmall>());
    const auto layouts = world->kv_layouts(cpu(), problem(128));
    REQUIRE(layouts.size() == 1);
    CHECK(layouts[0].kind == RF_KV_CONTIGUOUS);
    World nobody;
    nobody->add(fake::table<kSmall>());
    CHECK(thrown_by([&] { nobody->kv_layouts(cpu(), problem(128)); }).code() == RF_UNSUPPORTED);
}

TEST_CASE("a context tells its files and settings with their origin") {
    World world("select.fallback = 'warn'\n[backend.nobody]\nx = 1\n");
    const auto files = world->config_files();
    REQUIRE(files.size() >= 3);  // shipped, system's, named (and the user's where there is a home)
    CHECK(std::string(files.front().path).ends_with("share/rocforge/defaults.toml"));
    const std::string named = files.back().path;
    CHECK(files.back().status == ROCFORGE_LOADED);
    bool seen = false;
    for (const rocforge_setting& setting : world->config()) {
        if (std::string(setting.key) != "select.fallback") continue;
        seen = true;
        CHECK(std::string(setting.value) == "\"warn\"");
        CHECK(std::string(setting.origin) == named + ":2:19");
    }
    CHECK(seen);
    const char* warning = nullptr;
    REQUIRE(rocforge_warning(world->get(), 0, &warning) == RF_OK);
    CHECK(std::string(warning).find("[backend.nobody]") == 0);
}

TEST_CASE("an option is checked against what its backend declares") {
    for (const auto& [toml, message] :
         {std::pair{"[backend.tuned]\nthread = 1\n", "r.toml:3:10: backend tuned has no option 'thread'; did you mean 'threads'?"},
          {"[backend.tuned]\nthreads = 65\n", "r.toml:3:11: backend.tuned.threads is '65', wanted 1..64"},
          {"[backend.tuned]\nmode = 'c'\n", "r.toml:3:8: backend.tuned.mode is 'c', wanted a|b"}}) {
        CAPTURE(message);
        World world(toml);
        const auto e = thrown_by([&] { world->add(tuned()); });
        CHECK(e.code() == RF_INVALID);
        CHECK_MESSAGE(std::string(e.what()).find(message) != std::string::npos, e.what());
    }
    World world("[backend.tuned]\nthreads = 64\nmode = 'b'\n");
    world->add(tuned());
    CHECK(world->backends().size() == 1);
}

TEST_CASE("an option whose reserved field is set is refused: a later core may give it a meaning") {
    static constexpr rf_option strange{sizeof(rf_option), 7, "strange", "", "", ""};
    static constexpr const rf_option* options[]{&strange, nullptr};
    World world("");
    rf_backend_api api = fake::table<kGood>();
    api.options = options;
    CHECK(std::string(thrown_by([&] { world->add(api); }).what()).find("reserved 7") != std::string::npos);
}

TEST_CASE("a problem is initialised as far as its maker's header reaches, and no further") {
    struct Grown {
        rf_problem problem;
        std::uint64_t later;
    } grown{};
    std::memset(&grown, 0x55, sizeof grown);
    const std::uint32_t older = sizeof(rf_problem) - sizeof(std::uint64_t);
    rocforge_problem_init_sized(&grown.problem, older);
    CHECK(grown.problem.struct_size == older);
    CHECK(grown.problem.window_left == -1);
    CHECK(grown.problem.workspace_limit_bytes == 0x5555555555555555);
    rocforge_problem_init_sized(&grown.problem, sizeof grown);
    CHECK(grown.problem.struct_size == sizeof grown);
    CHECK(grown.problem.workspace_limit_bytes == UINT64_MAX);
    CHECK(grown.later == 0);
}

TEST_CASE("kinds and features have the names that reasons use") {
    CHECK(std::string(rocforge_kind_name(RF_DEVICE_ROCM)) == "rocm");
    CHECK(std::string(rocforge_kind_name(77)) == "unknown");
    CHECK(std::string(rocforge_feature_name(0)) == "causal");
    CHECK(rocforge_feature_name(std::popcount(RF_F_ALL)) == nullptr);
}
