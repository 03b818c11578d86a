// The host API's way to a device's memory, clock and graphs, over tables that note their calls, fail when told to, or are broken.
#include "support/fake_backend.hpp"
#include "support/thrown.hpp"

#include <rocforge/rocforge.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <functional>
#include <optional>
#include <string>

using fake::Behaviour;

namespace {

std::string calls;    // of the tables below: "allocate to_device "
std::string failing;  // the slot that fails, and says so
alignas(256) std::array<std::byte, 1024> block;
void* given = block.data();  // what allocate gives

rf_code note(const char* slot, rf_error* error) {
    calls += std::string(slot) + " ";
    return failing == slot ? rocforge::fail(error, RF_DEVICE, "the device is gone", 719) : rf_code{RF_OK};
}
rf_code make(const char* slot, void** made, rf_error* error) {
    *made = given;
    return note(slot, error);
}
void give_back(const char* slot) { calls += std::string(slot) + " "; }

constexpr rf_memory_api kMemory{
    sizeof(rf_memory_api),
    0,
    [](rf_backend*, const rf_device*, std::uint64_t bytes, void** made, rf_error* e) {
        return bytes ? make("allocate", made, e) : rf_code{RF_INVALID};
    },
    [](rf_backend*, const rf_device*, void*) { give_back("release"); },
    [](rf_backend*, const rf_device*, void*, const void*, std::uint64_t, void*, rf_error* e) { return note("to_device", e); },
    [](rf_backend*, const rf_device*, void*, const void*, std::uint64_t, void*, rf_error* e) { return note("to_host", e); },
    [](rf_backend*, const rf_device*, void** made, rf_error* e) { return make("stream_create", made, e); },
    [](rf_backend*, const rf_device*, void*) { give_back("stream_destroy"); },
    [](rf_backend*, const rf_device*, void*, rf_error* e) { return note("synchronize", e); }};
constexpr rf_timer_api kTimer{sizeof(rf_timer_api),
                              0,
                              [](rf_backend*, const rf_device*, void** made, rf_error* e) { return make("create", made, e); },
                              [](rf_backend*, const rf_device*, void*) { give_back("destroy"); },
                              [](rf_backend*, const rf_device*, void*, void*, rf_error* e) { return note("record", e); },
                              [](rf_backend*, const rf_device*, void*, void*, double* us, rf_error* e) { return *us = 42, note("elapsed_us", e); }};
constexpr rf_graph_api kGraph{sizeof(rf_graph_api),
                              0,
                              [](rf_backend*, const rf_device*, void*, rf_error* e) { return note("begin", e); },
                              [](rf_backend*, const rf_device*, void*, void** made, rf_error* e) { return make("end", made, e); },
                              [](rf_backend*, const rf_device*, void*, void*, rf_error* e) { return note("replay", e); },
                              [](rf_backend*, const rf_device*, void*) { give_back("destroy"); }};

rf_memory_api memory = kMemory;  // as lent, to be broken
const void* all_tables(std::string_view id) {
    if (id == "rocforge.memory/1") return &memory;
    if (id == "rocforge.timer/1") return &kTimer;
    return id == "rocforge.graph/1" ? &kGraph : nullptr;
}
const void* memory_alone(std::string_view id) { return id == "rocforge.memory/1" ? &memory : nullptr; }

constexpr Behaviour kLender{.name = "lender", .device_kind = RF_DEVICE_ROCM, .extension = all_tables},
    kMiser{.name = "miser", .device_kind = RF_DEVICE_ROCM}, kPoor{.name = "poor", .device_kind = RF_DEVICE_ROCM, .extension = memory_alone},
    kHostly{.name = "hostly", .device_kind = RF_DEVICE_CPU, .extension = all_tables},
    kAbsent{.name = "absent", .device_kind = RF_DEVICE_CUDA, .device_missing = true, .extension = all_tables};

// A context with all of them, and the tables whole again.
struct World {
    World() {
        for (const rf_backend_api* api :
             {&fake::table<kLender>(), &fake::table<kMiser>(), &fake::table<kPoor>(), &fake::table<kHostly>(), &fake::table<kAbsent>()})
            context.add(*api);
        calls.clear(), failing.clear();
        memory = kMemory;
        given = block.data();
    }
    rocforge::Context context;
};

rf_device rocm() { return {.struct_size = sizeof(rf_device), .kind = RF_DEVICE_ROCM, .ordinal = 0}; }
rf_device of_kind(std::int32_t kind) { return {.struct_size = sizeof(rf_device), .kind = kind, .ordinal = 0}; }

}  // namespace

TEST_CASE("each call of a device is one slot of its backend, and what was made goes back") {
    World w;
    {
        const rocforge::Device device = w.context.open_device(rocm(), "lender");
        const rocforge::DeviceMemory on_device = device.allocate(100);
        CHECK(on_device.get() == block.data());
        device.to_device(on_device.get(), "abc", 3);
        device.to_host(block.data(), on_device.get(), 3);
        const rocforge::Stream stream = device.stream();
        device.synchronize(stream.get());
        const rocforge::Mark first = device.mark(), second = device.mark();
        device.record(first);
        CHECK(device.elapsed_us(first, second) == 42);
        device.begin_graph(stream);
        const rocforge::Graph graph = device.end_graph(stream);
        device.replay(graph, stream.get());
    }
    CHECK(calls ==
          "allocate to_device to_host stream_create synchronize create create record elapsed_us begin end replay "
          "destroy destroy destroy stream_destroy release ");
}

TEST_CASE("who lends nothing, or has no such device, says so") {
    World w;
    struct Row {
        rf_device device;
        const char* backend;
        rf_code code;
        const char* message;
    };
    const Row rows[] = {
        {rocm(), "miser", RF_UNSUPPORTED, "miser: it does not lend rocforge.memory/1: bring device memory from the device's own runtime"},
        {of_kind(RF_DEVICE_CPU), "hostly", RF_UNSUPPORTED, "hostly: computes in host memory: hand it host pointers"},
        {of_kind(RF_DEVICE_CUDA), "absent", RF_UNAVAILABLE, "absent: no such hardware here"},
        {of_kind(RF_DEVICE_CUDA), "lender", RF_NOT_FOUND, "backend 'lender' is not registered for cuda"},
        {rocm(), "lendr", RF_NOT_FOUND, "no backend is called 'lendr'; did you mean 'lender'?"},
        {{.struct_size = sizeof(rf_device), .kind = RF_DEVICE_ROCM, .ordinal = 7}, "lender", RF_UNAVAILABLE, "lender: no device rocm:7; it has 1"},
        {{.struct_size = sizeof(rf_device), .kind = RF_DEVICE_ROCM, .ordinal = -1, .arch = "fake9000"},
         "lender",
         RF_UNAVAILABLE,
         "lender: fake9000 is not a device of this machine"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.message);
        const rocforge::Exception e = thrown_by([&] { w.context.open_device(row.device, row.backend); });
        CHECK(e.code() == row.code);
        CHECK_MESSAGE(std::string(e.what()).find(row.message) == 0, e.what());
    }
}

TEST_CASE("a table that is not whole is refused before it is used") {
    World w;
    const auto refused = [&] { return std::string(thrown_by([&] { w.context.open_device(rocm(), "lender"); }).what()); };
    memory.to_host = nullptr;
    CHECK(refused() == "lender: its rocforge.memory/1 lacks the slot to_host");
    memory = kMemory;
    memory.reserved = 3;
    CHECK(refused() == "lender: its rocforge.memory/1 has reserved 3, wanted 0");
    memory = kMemory;
    memory.struct_size = 40;
    CHECK(refused() == "lender: its rocforge.memory/1 has 40 bytes, wanted " + std::to_string(sizeof(rf_memory_api)));
    memory = kMemory;
    memory.struct_size += 8;  // of a later revision that grew at its end
    CHECK_NOTHROW(w.context.open_device(rocm(), "lender"));
}

TEST_CASE("clock and graphs that are not lent are refused where they are asked for") {
    World w;
    const rocforge::Device device = w.context.open_device(rocm(), "poor");
    CHECK(std::string(thrown_by([&] { device.mark(); }).what()) == "poor: it does not lend rocforge.timer/1");
    const rocforge::Stream stream = device.stream();
    const rocforge::Exception e = thrown_by([&] { device.begin_graph(stream); });
    CHECK(e.code() == RF_UNSUPPORTED);
    CHECK(std::string(e.what()) == "poor: it does not lend rocforge.graph/1");
    rocforge_mark_destroy(device.get(), block.data());
    rocforge_graph_destroy(device.get(), block.data());
}

TEST_CASE("a failure of the device is told in the backend's name, with the system's number") {
    World w;
    const rocforge::Device device = w.context.open_device(rocm(), "lender");
    const rocforge::Stream stream = device.stream();
    const std::pair<const char*, std::function<void()>> rows[] = {
        {"allocate", [&] { device.allocate(1); }},
        {"to_device", [&] { device.to_device(block.data(), "a", 1); }},
        {"to_host", [&] { device.to_host(block.data(), block.data(), 1); }},
        {"stream_create", [&] { device.stream(); }},
        {"synchronize", [&] { device.synchronize(); }},
        {"create", [&] { device.mark(); }},
        {"begin", [&] { device.begin_graph(stream); }},
        {"end", [&] { device.end_graph(stream); }},
    };
    for (const auto& [slot, call] : rows) {
        failing = slot;
        CAPTURE(failing);
        const rocforge::Exception e = thrown_by(call);
        CHECK(e.code() == RF_DEVICE);
        CHECK(e.native() == 719);
        CHECK(std::string(e.what()) == "lender: the device is gone");
    }
}

TEST_CASE("memory is aligned and never NULL, or it is the backend's mistake") {
    World w;
    const rocforge::Device device = w.context.open_device(rocm(), "lender");
    CHECK_NOTHROW(device.allocate(0));  // a tensor without elements has an address too
    given = block.data() + 16;
    calls.clear();
    CHECK(thrown_by([&] { device.allocate(1); }).code() == RF_INTERNAL);
    CHECK(calls == "allocate release ");
    given = nullptr;
    CHECK(thrown_by([&] { device.allocate(1); }).code() == RF_INTERNAL);
}

TEST_CASE("nothing to copy is no call, and arguments that are NULL are named") {
    World w;
    const rocforge::Device device = w.context.open_device(rocm(), "lender");
    device.to_device(block.data(), "", 0);
    device.to_host(block.data(), block.data(), 0);
    CHECK(calls.empty());
    CHECK(std::string(thrown_by([&] { device.to_device(nullptr, "a", 1); }).what()) == "to is NULL");
    CHECK(std::string(thrown_by([&] { device.begin_graph({}); }).what()) == "stream is NULL");
    CHECK(rocforge_device_open(nullptr, nullptr, nullptr, nullptr, nullptr) == RF_INVALID);
    CHECK(rocforge_device_allocate(nullptr, 1, nullptr, nullptr) == RF_INVALID);
    rocforge_device_close(nullptr);
    rocforge_device_release(nullptr, block.data());
    rocforge_stream_destroy(device.get(), nullptr);
}

TEST_CASE("a device outlives its context") {
    const int before = fake::instances;
    {
        std::optional<World> w(std::in_place);
        const rocforge::Device device = w->context.open_device(rocm(), "lender");
        w.reset();
        CHECK(fake::instances == before + 1);
        device.synchronize();
    }
    CHECK(fake::instances == before);
}
