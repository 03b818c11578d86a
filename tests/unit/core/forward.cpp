// forward and the one-call form: what of their arguments is checked, and whose memory they use. No plugin file is involved.
#include <rocforge/rocforge.hpp>

#include <doctest/doctest.h>

#include <cstdlib>
#include <string>

#include "world.hpp"

using fake::Behaviour;

namespace {

constexpr Behaviour kBadForward{.name = "badforward", .forward_fails = true},
    kCounters{.name = "counters", .workspace_bytes = 1000, .zeroed_bytes = 64};

}  // namespace

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
