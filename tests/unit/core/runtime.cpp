// The host API over backends that do nothing: registering, selecting, planning, caching, failing. No plugin file is involved.
#include "support/fake_backend.hpp"

#include <rocforge/rocforge.hpp>

#include <doctest/doctest.h>

#include <unistd.h>

#include <bit>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using fake::Behaviour;

namespace {

constexpr Behaviour kGood{.name = "good"}, kSmall{.name = "small", .most_dim = 64}, kNoCausal{.name = "nocausal", .features = RF_F_GROUPED_HEADS},
    kBadPlan{.name = "badplan", .plan_fails = true}, kNullPlan{.name = "nullplan", .plan_is_null = true},
    kBadForward{.name = "badforward", .forward_fails = true}, kAbsent{.name = "absent", .device_missing = true},
    kSilent{.name = "silent", .refuses_without_reason = true}, kRough{.name = "rough", .flags = RF_B_APPROXIMATE},
    kRocm{.name = "good", .device_kind = RF_DEVICE_ROCM}, kScratch{.name = "scratch", .workspace_bytes = 1000},
    kCounters{.name = "counters", .workspace_bytes = 1000, .zeroed_bytes = 64};

// A context whose order is `order` and that finds no plugin file.
class World {
public:
    explicit World(const std::string& toml = "") {
        folder_ = std::filesystem::temp_directory_path() / ("rocforge-test-" + std::to_string(getpid()) + "-" + std::to_string(count_++));
        std::filesystem::create_directories(folder_ / "none");
        const std::string file = folder_ / "r.toml";
        std::ofstream(file) << "plugins.paths = ['none']\n" << toml;
        context_.emplace(file.c_str());
    }
    ~World() {
        context_.reset();
        std::filesystem::remove_all(folder_);
    }
    rocforge::Context& operator*() { return *context_; }
    rocforge::Context* operator->() { return &*context_; }
    void close() { context_.reset(); }

private:
    static inline int count_ = 0;
    std::filesystem::path folder_;
    std::optional<rocforge::Context> context_;
};

rf_device cpu() { return {.struct_size = sizeof(rf_device), .kind = RF_DEVICE_CPU, .ordinal = 0}; }
rf_problem problem(std::int64_t dim = 32, std::int64_t seq = 8) { return rocforge::dense_problem(rocforge::f32, 1, 2, 2, seq, seq, dim); }

std::vector<float> kMemory(1 << 16);
rf_args args() { return rocforge::args(kMemory.data(), kMemory.data(), kMemory.data(), kMemory.data()); }

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

template <class Call> rocforge::Exception thrown_by(Call&& call) {
    try {
        call();
    } catch (const rocforge::Exception& e) { return e; }
    FAIL("nothing was thrown");
    throw;
}

// A device in host memory whose kernel wants counters: lends memory/1 as far as zeroing needs it, checks what each forward finds.
namespace counting {

constexpr Behaviour kLends{.name = "counting", .device_kind = RF_DEVICE_ROCM}, kMiser{.name = "miser", .device_kind = RF_DEVICE_ROCM};
std::set<void*> lent;             // by the hooks, not yet given back
std::vector<const void*> zeroed;  // what each forward got
int copies, failing_copies, failing_forwards;
void* released_on;
std::function<void()> within;  // what the next forward does before it returns

rf_code to_device(rf_backend*, const rf_device*, void* to, const void* from, std::uint64_t bytes, void*, rf_error* error) {
    if (failing_copies-- > 0) return rocforge::fail(error, RF_DEVICE, "the device is gone", 719);
    ++copies;
    std::memcpy(to, from, bytes);
    return RF_OK;
}
rf_code forward(const rf_plan*, const rf_args* args, rf_error* error) {
    auto* counters = static_cast<unsigned char*>(args->zeroed);
    zeroed.push_back(counters);
    for (int i = 0; i < 64; ++i)
        if (counters[i]) return rocforge::fail(error, RF_DEVICE, "zeroed memory is not zero");
    counters[0] = 1;
    if (failing_forwards-- > 0) return rocforge::fail(error, RF_DEVICE, "a launch fails");
    if (within) std::exchange(within, nullptr)();
    counters[0] = 0;
    return RF_OK;
}
rf_code plan(rf_backend* self, const rf_device* device, const rf_problem* problem, std::uint32_t algo, rf_plan** out, rf_plan_info* info,
             rf_error* error) {
    const rf_code code = fake::table<kLends>().plan(self, device, problem, algo, out, info, error);
    info->workspace_bytes = 512;
    info->zeroed_bytes = static_cast<std::uint64_t>(problem->q.shape[3]) * 4096;
    return code;
}
rf_backend_api table(const rf_backend_api& quiet, bool lends) {
    static const rf_memory_api memory = [] {
        rf_memory_api made{};
        made.struct_size = sizeof made;
        made.allocate = [](rf_backend*, const rf_device*, std::uint64_t, void**, rf_error*) -> rf_code { return RF_NO_MEMORY; };
        made.release = made.stream_destroy = [](rf_backend*, const rf_device*, void*) {};
        made.to_device = to_device;
        made.to_host = [](rf_backend*, const rf_device*, void*, const void*, std::uint64_t, void*, rf_error*) -> rf_code { return RF_DEVICE; };
        made.stream_create = [](rf_backend*, const rf_device*, void**, rf_error*) -> rf_code { return RF_DEVICE; };
        made.synchronize = [](rf_backend*, const rf_device*, void*, rf_error*) -> rf_code { return RF_DEVICE; };
        return made;
    }();
    rf_backend_api made = quiet;
    made.plan = plan;
    made.forward = forward;
    if (lends) made.extension = [](rf_backend*, const char* id) -> const void* { return std::string(id) == "rocforge.memory/1" ? &memory : nullptr; };
    return made;
}

rocforge::Context open(const char* backend) {
    static const rf_backend_api lends = table(fake::table<kLends>(), true), miser = table(fake::table<kMiser>(), false);
    lent.clear(), zeroed.clear(), within = nullptr;
    copies = failing_copies = failing_forwards = 0;
    rocforge_hooks hooks{};
    hooks.struct_size = sizeof hooks;
    hooks.allocate = [](void*, const rf_device*, std::uint64_t bytes, void*) -> void* {
        const std::size_t whole = (bytes + 255) / 256 * 256;
        void* memory = std::aligned_alloc(256, whole);
        std::memset(memory, 0xFF, whole);
        return *lent.insert(memory).first;
    };
    hooks.release = [](void*, const rf_device*, void* memory, void* stream) {
        released_on = stream;
        CHECK(lent.erase(memory) == 1);
        std::free(memory);
    };
    rocforge::Context context(nullptr, &hooks);
    context.add(lends);
    context.add(miser);
    context.set_default(backend);
    return context;
}

int streams[2];
void call(const rocforge::Context& context, void* stream, std::int64_t dim = 32) {
    rf_args a = args();
    a.stream = stream;
    context.attention({.struct_size = sizeof(rf_device), .kind = RF_DEVICE_ROCM, .ordinal = 0}, problem(dim), a);
}

}  // namespace counting

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

TEST_CASE("a forward that fails without a word still has a message") {
    World world;
    world->add(fake::table<kBadForward>());
    const auto e = thrown_by([&] { world->plan(cpu(), problem()).forward(args()); });
    CHECK(e.code() == RF_DEVICE);
    CHECK(std::string(e.what()) == "badforward: forward failed and gave no reason");
}

TEST_CASE("arguments that a plan cannot take are named") {
    World world;
    world->add(fake::table<kCounters>());
    rf_problem p = problem();
    p.q.align = 64;
    const rocforge::Plan plan = world->plan(cpu(), p);
    alignas(256) static float memory[1024];
    const auto good = [] {
        rf_args a = rocforge::args(memory, memory, memory, memory);
        a.workspace = memory;
        a.workspace_bytes = 1024;
        a.zeroed = memory;
        return a;
    };
    plan.forward(good());
    struct Row {
        void (*change)(rf_args&);
        const char* message;
    };
    for (const Row& row :
         {Row{[](rf_args& a) { a.q = nullptr; }, "args.q is NULL"}, Row{[](rf_args& a) { a.out = nullptr; }, "args.out is NULL"},
          Row{[](rf_args& a) { a.q = memory + 1; }, "args.q is 0x"},
          Row{[](rf_args& a) { a.k = reinterpret_cast<char*>(memory) + 1; }, "args.k is 0x"},
          Row{[](rf_args& a) { a.workspace = nullptr; }, "args.workspace is 0x0 of 1024 bytes, wanted 1000"},
          Row{[](rf_args& a) { a.workspace_bytes = 999; }, "of 999 bytes, wanted 1000"},
          Row{[](rf_args& a) { a.workspace = memory + 4; }, "of 1024 bytes, wanted 1000 bytes aligned to 256"},
          Row{[](rf_args& a) { a.zeroed = nullptr; }, "args.zeroed is 0x0, wanted 64 bytes aligned to 256"},
          Row{[](rf_args& a) { a.zeroed = memory + 32; }, ", wanted 64 bytes aligned to 256"},
          Row{[](rf_args& a) { a.struct_size = 8; }, "args.struct_size is 8"}, Row{[](rf_args& a) { a.reserved = 7; }, "args.reserved is 7"}}) {
        rf_args a = good();
        row.change(a);
        const auto e = thrown_by([&] { plan.forward(a); });
        CHECK(e.code() == RF_INVALID);
        CHECK_MESSAGE(std::string(e.what()).find(row.message) != std::string::npos, e.what());
    }
}

TEST_CASE("nothing to do needs no pointer") {
    World world;
    world->add(fake::table<kGood>());
    rf_problem p = problem();
    p.max_seq_q = p.q.shape[2] = p.out.shape[2] = 0;
    const int before = fake::forwards;
    world->plan(cpu(), p).forward(rocforge::args(nullptr, nullptr, nullptr, nullptr));
    CHECK(fake::forwards == before);
}

TEST_CASE("equal problems share a plan and the cache is bounded") {
    const int alive_before = fake::plans_alive;
    {
        World world;
        world->add(fake::table<kGood>());
        const int before = fake::plans_made;
        const rocforge::Plan first = world->plan(cpu(), problem());
        CHECK(world->plan(cpu(), problem()).get() == first.get());
        CHECK(fake::plans_made == before + 1);
        for (std::int64_t seq = 1; seq <= 10000; ++seq) world->plan(cpu(), problem(8, seq));
        CHECK(fake::plans_alive - alive_before <= 257);  // 256 in the cache and `first`
        const int made = fake::plans_made;
        world->plan(cpu(), problem(8, 10000));  // used last: still there
        CHECK(fake::plans_made == made);
        world->plan(cpu(), problem(8, 1));
        CHECK(fake::plans_made == made + 1);
        first.forward(args());  // out of the cache, alive for who holds it
    }
    CHECK(fake::plans_alive == alive_before);
}

TEST_CASE("the one-call form keys by coarse alignment") {
    World world;
    world->add(fake::table<kGood>());
    alignas(256) static float memory[1 << 14];
    const rf_problem p = problem();
    const int before = fake::plans_made;
    const auto call = [&](std::ptrdiff_t offset) { world->attention(cpu(), p, rocforge::args(memory + offset, memory, memory, memory)); };
    call(0);
    call(64);
    CHECK(fake::plans_made == before + 1);  // both 256-aligned
    call(4);
    call(8);
    call(12);
    CHECK(fake::plans_made == before + 2);  // 16-aligned
    call(1);
    call(3);
    CHECK(fake::plans_made == before + 3);  // one element
}

TEST_CASE("the one-call form takes workspace from the hooks and gives it back") {
    static int taken, given;
    taken = given = 0;
    rocforge_hooks hooks{};
    hooks.struct_size = sizeof hooks;
    hooks.allocate = [](void*, const rf_device*, std::uint64_t bytes, void*) -> void* {
        return ++taken, std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    };
    hooks.release = [](void*, const rf_device*, void* memory, void*) { ++given, std::free(memory); };
    rocforge::Context context(nullptr, &hooks);
    context.add(fake::table<kScratch>());
    context.set_default("scratch");
    context.attention(cpu(), problem(), args());
    CHECK(taken == 1);
    CHECK(given == 1);
}

TEST_CASE("the one-call form zeroes a device's counters once a stream and gives them back with the context") {
    {
        const rocforge::Context context = counting::open("counting");
        for (void* stream : {&counting::streams[0], &counting::streams[0], &counting::streams[1], &counting::streams[0]})
            counting::call(context, stream);
        CHECK(counting::copies == 2);
        const auto& got = counting::zeroed;
        REQUIRE(got.size() == 4);
        CHECK(got[1] == got[0]);
        CHECK(got[2] != got[0]);
        CHECK(got[3] == got[0]);
        CHECK(counting::lent.size() == 2);
        counting::call(context, &counting::streams[0], 16);  // another plan that wants less
        CHECK(counting::zeroed.back() == got[0]);
        counting::call(context, &counting::streams[0], 64);  // and one that wants more: the smaller block leaves
        CHECK(counting::copies == 3);
        CHECK(counting::lent.size() == 2);
    }
    CHECK(counting::lent.empty());
    CHECK(counting::released_on == nullptr);  // the streams may be gone by then
}

TEST_CASE("calls of the one-call form that overlap have counters of their own, on one stream too") {
    const rocforge::Context context = counting::open("counting");
    counting::call(context, &counting::streams[0]);  // from here on a block is kept
    counting::within = [&] { counting::call(context, &counting::streams[0]); };
    counting::call(context, &counting::streams[0]);
    REQUIRE(counting::zeroed.size() == 3);
    CHECK(counting::zeroed[1] != counting::zeroed[2]);
}

TEST_CASE("counters of a forward that failed are not used again") {
    const rocforge::Context context = counting::open("counting");
    counting::failing_forwards = 1;
    CHECK(std::string(thrown_by([&] { counting::call(context, &counting::streams[0]); }).what()) == "counting: a launch fails");
    CHECK(counting::lent.empty());
    CHECK(counting::released_on == &counting::streams[0]);
    counting::call(context, &counting::streams[0]);
    CHECK(counting::copies == 2);
}

TEST_CASE("counters that cannot be zeroed are an error in the backend's name, and nothing is kept") {
    {
        const rocforge::Context context = counting::open("counting");
        counting::failing_copies = 1;
        const rocforge::Exception e = thrown_by([&] { counting::call(context, nullptr); });
        CHECK(e.code() == RF_DEVICE);
        CHECK(e.native() == 719);
        CHECK(std::string(e.what()) == "counting: the device is gone");
        CHECK(counting::lent.empty());
    }
    const rocforge::Context context = counting::open("miser");
    const rocforge::Exception e = thrown_by([&] { counting::call(context, nullptr); });
    CHECK(e.code() == RF_UNAVAILABLE);
    CHECK(std::string(e.what()) ==
          "miser: its kernel wants zeroed memory and it does not lend rocforge.memory/1: "
          "use rocforge_plan and rocforge_forward with your own");
    CHECK(counting::lent.empty());
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

TEST_CASE("one context is used from eight threads") {
    World world("select.order = ['small', '*']\n");
    world->add(fake::table<kGood>());
    world->add(fake::table<kSmall>());
    const rocforge::Plan shared = world->plan(cpu(), problem());
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < 200; ++i) {
                shared.forward(args());
                world->plan(cpu(), problem(8 + 8 * (i % 20), 1 + t)).forward(args());
                world->attention(cpu(), problem(16, 1 + i % 3), args());
                if (i % 50 == 0) world->set_default(t % 2 ? "good" : nullptr);
                if (i % 40 == 0) CHECK(world->select(cpu(), problem(128)).describe().backend != nullptr);
                if (i % 40 == 1) CHECK(world->backends().size() == 2);
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
}
