// What a context keeps from call to call: plans, and the zeroed counters of the one-call form; also from eight threads. No plugin file is involved.
#include <rocforge/rocforge.hpp>

#include <doctest/doctest.h>

#include <cstdlib>
#include <cstring>
#include <functional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "world.hpp"

using fake::Behaviour;

namespace {

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
