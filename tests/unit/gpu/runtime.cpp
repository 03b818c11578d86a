// A whole GPU backend over a fake runtime: what reaches the runtime, that the thread's current device stays as found, that nothing leaks, and what is
// reported when any one call fails. Both vendors, by the same tests.
#include <doctest/doctest.h>

#include <dlfcn.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "conformance/materialise.h"
#include "fake_runtime.hpp"
#include "host.hpp"
#include "kernels/platform/vendors.h"
#include "plugins/adapter/gpu_plugin.h"

using namespace rocforge;

namespace {

constexpr unsigned char kImage[8] = {};
constexpr kernels::CodeObject kObjects[] = {
    {"gfx942", kImage, kImage + 4},
    {"gfx942", kImage + 4, kImage + 8},
    {"sm_80", kImage, kImage + 4},
};

// What choose() gives: set by each test.
kernels::Recipe recipe;

kernels::Recipe choose(const kernels::Attention& a, const kernels::Machine&, std::uint64_t) {
    if (a.batch == 0 || a.max_seq_q == 0) throw std::logic_error("kernels are chosen for no rows");
    return recipe;
}

constexpr adapter::Limits kLimits{.types = adapter::kFloats,
                                  .max_dim = 64,
                                  .max_dim_v = 64,
                                  .dim_multiple = 1,
                                  .max_batch = 100,
                                  .max_heads = 100,
                                  .max_seq = 100,
                                  .max_page = 100};
constexpr adapter::GpuPlugin kPlugin{"fake", RF_F_LSE, kLimits, choose, [] { return std::span<const kernels::CodeObject>(kObjects); }};

struct Vendor {
    const char* library;  // that the test finds the fake in
    const char* current;  // its function that tells the calling thread's device
    const char* arch;     // as the runtime has it, and as rf_device shows it
    const char* shown;
    const char* runtime;
    std::uint32_t wave_size, lds_bytes;
    int idle;  // current device of a thread that never set one
    const rf_backend_api& table;
};
// The fake of HIP comes in two versions; the name of the one to test with, which the runtime must find by itself.
const char* fake_hip() {
    const char* name = std::getenv("ROCFORGE_FAKE_HIP");
    return name ? name : "libamdhip64.so.7";
}

const Vendor kVendors[] = {
    {fake_hip(), "hip_fake_current", "gfx942:sramecc+:xnack-", "gfx942:sramecc+:xnack-", "hip 6.4.43482", 64, 64 * 1024, 0,
     adapter::kGpuTable<kPlugin, platform::Vendor::amd>},
    {"libcuda.so.1", "cuda_fake_current", "86", "sm_86", "cuda 12.4", 32, 100 * 1024, -1, adapter::kGpuTable<kPlugin, platform::Vendor::nvidia>},
};
bool is_amd(const Vendor& vendor) { return vendor.table.device_kind == RF_DEVICE_ROCM; }

// The fake, as it was when it was loaded; the backend's own tables on it.
class World {
public:
    explicit World(const Vendor& vendor) : vendor_(vendor), library_(dlopen(vendor.library, RTLD_NOW | RTLD_LOCAL)) {
        if (!library_) throw std::runtime_error(dlerror());
        fake::State& s = state();
        s.devices = 2, s.arch = vendor.arch, s.fails.clear(), s.error = 0, s.calls.clear(), s.launches.clear();
        s.argument_bytes = sizeof(kernels::Call), s.shared_limit.clear(), s.lazy = 0, s.open.clear(), s.pending.clear(), s.passed.clear();
        s.functions = {"first", "second"};
        recipe = {};
        recipe.name = "first and second";
        recipe.launches = {{"first", {5, 6, 7}, 64, is_amd(vendor) ? 0u : 60u * 1024}, {"second", {8, 1, 1}, 128, 0}};
        recipe.cut = {.row_blocks = 3, .splits = 2, .shares = 17};
        recipe.workspace_bytes = 1000, recipe.zeroed_bytes = 64;
    }
    fake::State& state() const { return *reinterpret_cast<fake::State* (*)()>(dlsym(library_, "rocforge_fake_state"))(); }
    int current() const { return reinterpret_cast<int (*)()>(dlsym(library_, vendor_.current))(); }
    void fail(const char* call, int error) const { state().fails = call, state().error = error; }

private:
    const Vendor& vendor_;
    void* library_;
};

rf_device device_of(const tiny::Backend& backend, int index) {
    rf_device device{};
    const tiny::Outcome outcome = backend.device(index, device);
    if (outcome.code != RF_OK) throw std::runtime_error(outcome.message);
    return device;
}

rf_problem problem_of(std::int64_t batch = 2) {
    conformance::Case c;
    c.batch = batch;
    return conformance::Materialised(c).problem();
}

// Arguments whose pointers nobody reads.
rf_args args_of(void* stream) {
    rf_args args{};
    args.struct_size = sizeof args;
    alignas(256) static std::byte memory[1024];
    args.q = memory, args.k = memory + 16, args.v = memory + 32, args.out = memory + 48, args.lse = memory + 64;
    args.workspace = memory + 256, args.zeroed = memory + 512, args.workspace_bytes = 1000;
    args.stream = stream;
    return args;
}

template <class Table> const Table& extension(const tiny::Backend& backend, const char* id) {
    return *static_cast<const Table*>(backend.table().extension(backend.self(), id));
}

// Everything that a host can do with a device, once, in order; what went wrong, or {RF_OK}.
tiny::Outcome exercise(const tiny::Backend& backend, int ordinal) {
    rf_device device{};
    tiny::Outcome outcome = backend.device(ordinal, device);
    if (outcome.code != RF_OK) return outcome;
    const auto& memory = extension<rf_memory_api>(backend, "rocforge.memory/1");
    const auto& timer = extension<rf_timer_api>(backend, "rocforge.timer/1");
    const auto& graphs = extension<rf_graph_api>(backend, "rocforge.graph/1");
    rf_backend* const self = backend.self();
    const rf_device* d = &device;
    void *buffer = nullptr, *stream = nullptr, *first = nullptr, *second = nullptr, *graph = nullptr;
    std::uint64_t value = 42, back = 0;
    double us = 0;
    std::unique_ptr<tiny::Plan> plan;
    const auto step = [&](auto&& call) {
        if (outcome.code == RF_OK) outcome = tiny::Backend::outcome(call);
    };
    step([&](rf_error* e) { return memory.allocate(self, d, sizeof value, &buffer, e); });
    step([&](rf_error* e) { return memory.stream_create(self, d, &stream, e); });
    step([&](rf_error* e) { return memory.to_device(self, d, buffer, &value, sizeof value, stream, e); });
    step([&](rf_error* e) { return memory.to_host(self, d, &back, buffer, sizeof value, stream, e); });
    step([&](rf_error*) { return back == value ? rf_code{RF_OK} : rf_code{RF_INTERNAL}; });
    step([&](rf_error* e) { return timer.create(self, d, &first, e); });
    step([&](rf_error* e) { return timer.create(self, d, &second, e); });
    step([&](rf_error* e) { return timer.record(self, d, first, stream, e); });
    if (outcome.code == RF_OK) {
        plan = std::make_unique<tiny::Plan>(backend, device, problem_of());
        outcome = plan->outcome();
    }
    if (outcome.code == RF_OK) outcome = plan->forward(args_of(stream));
    step([&](rf_error* e) { return timer.record(self, d, second, stream, e); });
    step([&](rf_error* e) { return timer.elapsed_us(self, d, first, second, &us, e); });
    step([&](rf_error* e) { return graphs.begin(self, d, stream, e); });
    step([&](rf_error* e) { return graphs.end(self, d, stream, &graph, e); });
    step([&](rf_error* e) { return graphs.replay(self, d, graph, stream, e); });
    step([&](rf_error* e) { return memory.synchronize(self, d, stream, e); });
    graphs.destroy(self, d, graph);
    timer.destroy(self, d, first);
    timer.destroy(self, d, second);
    memory.stream_destroy(self, d, stream);
    memory.release(self, d, buffer);
    return outcome;
}

}  // namespace

TEST_CASE("without a device, and where the runtime fails as it starts, it is unavailable by the runtime's own name and number") {
    struct Row {
        int vendor, devices;
        const char* call;
        int error;
        const char* message;
    };
    for (const Row& row :
         {Row{0, 0, "", 0, "no AMD GPU: hipErrorNoDevice (100)"}, Row{0, 2, "hipGetDeviceCount", 35, "no AMD GPU: hipErrorFake (35)"},
          Row{1, 0, "", 0, "no NVIDIA GPU: CUDA_ERROR_NO_DEVICE (100)"}, Row{1, 2, "cuInit", 803, "no NVIDIA GPU: CUDA_ERROR_FAKE (803)"}}) {
        CAPTURE(row.message);
        const World world(kVendors[row.vendor]);
        world.state().devices = row.devices;
        world.fail(row.call, row.error);
        std::string message;
        try {
            if (row.vendor == 0)
                const platform::HipRuntime runtime;
            else
                const platform::CudaRuntime runtime;
        } catch (const platform::Error& error) {
            message = error.what();
            CHECK(error.fault() == platform::Fault::unavailable);
        }
        CHECK(message == row.message);
    }
}

TEST_CASE("a context that cannot be had is an error of the device, and is asked for again") {
    const World world(kVendors[1]);
    const platform::CudaRuntime runtime;
    world.fail("cuDevicePrimaryCtxRetain", 2);
    CHECK_THROWS_AS(runtime.allocate(0, 64), platform::Error);
    world.fail("", 0);
    runtime.release(0, runtime.allocate(0, 64));
    CHECK(world.state().calls["cuDevicePrimaryCtxRetain"] == 2);
    CHECK(world.current() == kVendors[1].idle);
}

TEST_CASE("a device says what it is") {
    for (const Vendor& vendor : kVendors) {
        CAPTURE(vendor.library);
        const World world(vendor);
        const tiny::Backend backend(vendor.table);
        for (int index : {1, 0}) {
            const rf_device device = device_of(backend, index);
            CHECK(device.kind == vendor.table.device_kind);
            CHECK(device.ordinal == index);
            CHECK(std::string(device.arch) == vendor.shown);
            CHECK(std::string(device.name) == "Fake GPU");
            CHECK(std::string(device.runtime) == vendor.runtime);
            CHECK(device.wave_size == vendor.wave_size);
            CHECK(device.compute_units == 7);
            CHECK(device.lds_bytes == vendor.lds_bytes);
            CHECK(device.memory_bytes == std::uint64_t{3} << 30);
            CHECK(std::string(backend.describe(device.arch).arch).starts_with(vendor.shown == std::string("sm_86") ? "sm_86" : "gfx942"));
        }
        rf_device none{};
        CHECK(backend.device(2, none).code == RF_NOT_FOUND);
        CHECK(backend.device(-1, none).code == RF_NOT_FOUND);
    }
}

TEST_CASE("an arch that is known from a device alone is described as the device said") {
    for (const Vendor& vendor : kVendors) {
        CAPTURE(vendor.library);
        const World world(vendor);
        world.state().arch = is_amd(vendor) ? "gfx1030" : "75";
        const char* arch = is_amd(vendor) ? "gfx1030" : "sm_75";
        const tiny::Backend backend(vendor.table);
        CHECK_THROWS(backend.describe(arch));
        device_of(backend, 0);
        const rf_device device = backend.describe(arch);
        CHECK(std::string(device.arch) == arch);
        CHECK(device.ordinal == -1);
        CHECK(device.lds_bytes == vendor.lds_bytes);
        CHECK(backend.refusals(device, problem_of()).size() == 1);
    }
}

TEST_CASE("a forward enqueues the recipe's launches in order with one argument, and allocates, loads and waits for nothing") {
    for (const Vendor& vendor : kVendors) {
        CAPTURE(vendor.library);
        const World world(vendor);
        const tiny::Backend backend(vendor.table);
        const rf_device device = device_of(backend, 1);
        const tiny::Plan plan(backend, device, problem_of());
        REQUIRE_MESSAGE(plan.outcome().code == RF_OK, plan.outcome().message);
        CHECK(std::string(plan.info().kernel) == "first and second");
        CHECK(plan.info().flags == (RF_P_CAPTURABLE | RF_P_DETERMINISTIC));
        CHECK(plan.info().workspace_bytes == 1000);
        CHECK(plan.info().zeroed_bytes == 64);
        if (!is_amd(vendor)) {
            CHECK(world.state().lazy == 0);  // no function is left for its first launch to load
            CHECK(world.state().shared_limit["first"] == 60 * 1024);
            CHECK(world.state().shared_limit.count("second") == 0);
        }

        world.state().calls.clear();
        int stream = 0;
        const rf_args args = args_of(&stream);
        REQUIRE(plan.forward(args).code == RF_OK);
        const auto& launches = world.state().launches;
        REQUIRE(launches.size() == 2);
        CHECK(launches[0].function == "first");
        CHECK(launches[0].grid[0] == 5);
        CHECK(launches[0].grid[1] == 6);
        CHECK(launches[0].grid[2] == 7);
        CHECK(launches[0].threads == 64);
        CHECK(launches[0].shared_bytes == recipe.launches[0].shared_bytes);
        CHECK(launches[1].function == "second");
        CHECK(launches[1].threads == 128);
        for (const fake::Launch& launch : launches) {
            CHECK(launch.device == 1);
            CHECK(launch.stream == &stream);
            kernels::Call call;
            std::memcpy(&call, launch.argument.data(), sizeof call);
            CHECK(call.attention.max_seq_kv == 11);
            CHECK(call.pointers.q == args.q);
            CHECK(call.pointers.lse == args.lse);
            CHECK(call.cut.splits == 2);
            CHECK(call.cut.shares == 17);
            CHECK(static_cast<void*>(call.workspace) == args.workspace);
            CHECK(static_cast<void*>(call.zeroed) == args.zeroed);
        }
        for (const auto& call : world.state().calls) {
            const std::string& name = call.first;
            CAPTURE(name);
            CHECK((name.find("Launch") != std::string::npos || name.find("Ctx") != std::string::npos || name.find("tDevice") != std::string::npos));
        }
        CHECK(world.current() == vendor.idle);
    }
}

TEST_CASE("a recipe with boxed tensors hands maps of the call's tensors to its kernels, where the runtime makes any") {
    for (const Vendor& vendor : kVendors) {
        CAPTURE(vendor.library);
        const World world(vendor);
        world.state().argument_bytes = sizeof(kernels::MappedCall);
        const auto boxed = [](std::int64_t rows) { return platform::BoxedTensor{{64, rows, 1, 1}, {128, 128, 128}, 64}; };
        recipe.boxed = kernels::BoxedTensors{boxed(1), boxed(2), boxed(3), boxed(4), boxed(5)};
        const tiny::Backend backend(vendor.table);
        const tiny::Plan plan(backend, device_of(backend, 1), problem_of());
        REQUIRE_MESSAGE(plan.outcome().code == RF_OK, plan.outcome().message);
        rf_args args = args_of(nullptr);
        alignas(16) const char mask[32] = {};
        args.mask = mask;
        const tiny::Outcome outcome = plan.forward(args);
        if (is_amd(vendor)) {
            CHECK(outcome.code == RF_UNAVAILABLE);
            CHECK(outcome.message == "fake: no copy engine in the runtime of AMD GPUs");
            continue;
        }
        REQUIRE(outcome.code == RF_OK);
        REQUIRE(world.state().launches.size() == 2);
        kernels::MappedCall call;
        std::memcpy(&call, world.state().launches[0].argument.data(), sizeof call);
        CHECK(call.call.pointers.q == args.q);
        const std::pair<const platform::TensorMap&, const void*> maps[] = {
            {call.q, args.q}, {call.k, args.k}, {call.v, args.v}, {call.out, args.out}, {call.mask, args.mask}};
        CHECK(call.call.cut.boxed_mask);
        std::int64_t rows = 0;
        for (const auto& [map, expected] : maps) {
            const void* base = nullptr;
            std::int64_t told = 0;
            std::memcpy(&base, map.opaque, sizeof base);
            std::memcpy(&told, map.opaque + sizeof base, sizeof told);
            CHECK(base == expected);
            CHECK(told == ++rows);
        }
        args.mask = mask + 8;  // the kernel reads it without the copy engine
        REQUIRE(plan.forward(args).code == RF_OK);
        std::memcpy(&call, world.state().launches.back().argument.data(), sizeof call);
        CHECK_FALSE(call.call.cut.boxed_mask);
        CHECK(call.call.pointers.mask == args.mask);
        world.fail("cuTensorMapEncodeTiled", 1);
        CHECK(plan.forward(args).code == RF_DEVICE);
        CHECK(world.current() == vendor.idle);
    }
}

TEST_CASE("every call leaves the thread's current device as found, also when it fails, and nothing is left open") {
    for (const Vendor& vendor : kVendors) {
        CAPTURE(vendor.library);
        const World world(vendor);
        {
            const tiny::Backend backend(vendor.table);
            for (const int ordinal : {0, 1}) {
                const tiny::Outcome outcome = exercise(backend, ordinal);
                CHECK_MESSAGE(outcome.code == RF_OK, outcome.message);
                CHECK(world.current() == vendor.idle);
            }
            std::thread([&] {
                CHECK(exercise(backend, 1).code == RF_OK);
                CHECK(world.current() == vendor.idle);
            }).join();
        }
        CHECK(world.state().open.empty());
    }
}

TEST_CASE("whichever call of the runtime fails, the failure is reported by call, name and number") {
    for (const Vendor& vendor : kVendors) {
        const World world(vendor);
        {
            const tiny::Backend backend(vendor.table);
            REQUIRE(exercise(backend, 1).code == RF_OK);
        }
        const std::map<std::string, std::size_t> calls = world.state().calls;
        CHECK(calls.size() >= 26);
        int reported = 0;
        for (const auto& call : calls) {
            const std::string& name = call.first;
            CAPTURE(name);
            world.state().shared_limit.clear();
            world.fail(name.c_str(), 719);
            tiny::Outcome outcome{};
            {
                const tiny::Backend backend(vendor.table);
                outcome = exercise(backend, 1);
            }
            const bool gives_back = name.find("Destroy") != std::string::npos || name.find("Free") != std::string::npos ||
                                    name.find("Unload") != std::string::npos || name.find("Pop") != std::string::npos;
            if (gives_back) continue;  // nobody to tell
            ++reported;
            CHECK(outcome.code == RF_DEVICE);
            CHECK(outcome.native == 719);
            CHECK_MESSAGE(outcome.message.starts_with("fake: " + name + ": "), outcome.message);
            CHECK_MESSAGE(outcome.message.ends_with("(719)"), outcome.message);
        }
        CHECK(reported >= 20);
    }
}

TEST_CASE("threads that plan, run and free at once load each code object once") {
    for (const Vendor& vendor : kVendors) {
        const World world(vendor);
        {
            const tiny::Backend backend(vendor.table);
            const rf_device device = device_of(backend, 1);
            const rf_problem problem = problem_of();
            std::vector<std::thread> threads;
            std::atomic<int> done = 0;
            for (int n = 0; n < 4; ++n) {
                threads.emplace_back([&] {
                    for (int i = 0; i < 20; ++i) {
                        const tiny::Plan plan(backend, device, problem);
                        done += plan.forward(args_of(nullptr)).code == RF_OK;
                    }
                });
            }
            for (std::thread& thread : threads) thread.join();
            CHECK(done == 80);
            CHECK(world.state().launches.size() == 160);
            CHECK(world.state().open.size() == 1);  // the first object has both kernels
        }
        CHECK(world.state().open.empty());
    }
}

TEST_CASE("memory that the device has not is RF_NO_MEMORY, with the runtime's own words") {
    for (const Vendor& vendor : kVendors) {
        const World world(vendor);
        const tiny::Backend backend(vendor.table);
        const rf_device device = device_of(backend, 0);
        const char* call = is_amd(vendor) ? "hipMalloc" : "cuMemAlloc_v2";
        world.fail(call, 2);
        void* memory = nullptr;
        const auto& api = extension<rf_memory_api>(backend, "rocforge.memory/1");
        const tiny::Outcome outcome = tiny::Backend::outcome([&](rf_error* e) { return api.allocate(backend.self(), &device, 64, &memory, e); });
        CHECK(outcome.code == RF_NO_MEMORY);
        CHECK(outcome.native == 2);
        CHECK(outcome.message == std::string("fake: ") + call + (is_amd(vendor) ? ": hipErrorOutOfMemory (2)" : ": CUDA_ERROR_OUT_OF_MEMORY (2)"));
        CHECK_FALSE(memory);
    }
}

TEST_CASE("a plan that cannot be made leaves the backend fit for the next one") {
    for (const Vendor& vendor : kVendors) {
        const World world(vendor);
        const tiny::Backend backend(vendor.table);
        const rf_device device = device_of(backend, 0);
        world.fail(is_amd(vendor) ? "hipModuleLoadData" : "cuModuleLoadData", 209);
        CHECK(tiny::Plan(backend, device, problem_of()).outcome().code == RF_DEVICE);
        world.fail("", 0);
        recipe.launches[1].function = "third";
        const tiny::Plan lost(backend, device, problem_of());
        CHECK(lost.outcome().code == RF_INTERNAL);
        CHECK(lost.outcome().message == "fake: no code object has the kernel third");
        recipe.launches[1].function = "second";
        CHECK(tiny::Plan(backend, device, problem_of()).outcome().code == RF_OK);
    }
}

TEST_CASE("supports refuses what the chosen kernels cannot have: workspace, grid, shared memory") {
    for (const Vendor& vendor : kVendors) {
        CAPTURE(vendor.library);
        const World world(vendor);
        const tiny::Backend backend(vendor.table);
        const rf_device device = device_of(backend, 0);
        rf_problem problem = problem_of();
        REQUIRE(backend.refusals(device, problem).empty());
        const auto only = [&](std::int32_t code, const char* field) {
            const std::vector<tiny::Refusal> refusals = backend.refusals(device, problem);
            REQUIRE(refusals.size() == 1);
            CHECK(refusals[0].code == code);
            CHECK(refusals[0].field == field);
            CHECK(tiny::Plan(backend, device, problem).outcome().code == RF_UNSUPPORTED);
            return refusals[0];
        };
        problem.workspace_limit_bytes = 999;
        CHECK(only(RF_R_WORKSPACE, "workspace_limit_bytes").need == "at least 1000");
        problem.workspace_limit_bytes = 1000;
        CHECK(backend.refusals(device, problem).empty());

        std::uint32_t* grid = recipe.launches[1].grid;
        grid[1] = 65536;
        CHECK(only(RF_R_SHAPE, "batch").have == "8 x 65536 x 1 blocks of 128 threads");
        grid[1] = 65535;
        CHECK(backend.refusals(device, problem).empty());
        grid[0] = std::uint32_t{1} << 31;
        only(RF_R_SHAPE, "batch");
        grid[0] = (std::uint32_t{1} << 25) - 1;  // of 128 threads: just below 2^32 in all
        CHECK(backend.refusals(device, problem).empty());
        grid[0] = std::uint32_t{1} << 25;
        CHECK(backend.refusals(device, problem).empty() == !is_amd(vendor));
        grid[0] = 1;

        recipe.launches[0].shared_bytes = vendor.lds_bytes;
        CHECK(backend.refusals(device, problem).empty());
        recipe.launches[0].shared_bytes = vendor.lds_bytes + 1;
        only(RF_R_ARCH, "device.lds_bytes");
    }
}

TEST_CASE("nothing is launched for no rows, and a workspace that is too small is refused") {
    for (const Vendor& vendor : kVendors) {
        const World world(vendor);
        const tiny::Backend backend(vendor.table);
        const rf_device device = device_of(backend, 0);
        const tiny::Plan none(backend, device, problem_of(0));
        REQUIRE(none.outcome().code == RF_OK);
        CHECK(none.forward(args_of(nullptr)).code == RF_OK);
        rf_problem empty = problem_of();
        empty.max_seq_q = empty.q.shape[2] = empty.out.shape[2] = 0;
        const tiny::Plan rowless(backend, device, empty);
        REQUIRE(rowless.outcome().code == RF_OK);
        CHECK(rowless.forward(args_of(nullptr)).code == RF_OK);
        CHECK(world.state().launches.empty());

        const tiny::Plan plan(backend, device, problem_of());
        rf_args args = args_of(nullptr);
        args.workspace_bytes = 999;
        const tiny::Outcome outcome = plan.forward(args);
        CHECK(outcome.code == RF_INVALID);
        CHECK(outcome.message == "fake: workspace of 999 bytes; the plan needs 1000");
        CHECK(world.state().launches.empty());
    }
}

TEST_CASE("time between marks is in microseconds, and a mark that was never recorded has none") {
    for (const Vendor& vendor : kVendors) {
        const World world(vendor);
        const tiny::Backend backend(vendor.table);
        const rf_device device = device_of(backend, 0);
        const auto& timer = extension<rf_timer_api>(backend, "rocforge.timer/1");
        void *first = nullptr, *second = nullptr;
        REQUIRE(timer.create(backend.self(), &device, &first, nullptr) == RF_OK);
        REQUIRE(timer.create(backend.self(), &device, &second, nullptr) == RF_OK);
        REQUIRE(timer.record(backend.self(), &device, first, nullptr, nullptr) == RF_OK);
        double us = 0;
        CHECK(timer.elapsed_us(backend.self(), &device, first, second, &us, nullptr) == RF_INVALID);
        REQUIRE(timer.record(backend.self(), &device, second, nullptr, nullptr) == RF_OK);
        REQUIRE(timer.elapsed_us(backend.self(), &device, first, second, &us, nullptr) == RF_OK);
        CHECK(us == 250.0);
        timer.destroy(backend.self(), &device, first);
        timer.destroy(backend.self(), &device, second);
        timer.destroy(backend.self(), &device, nullptr);
        CHECK_FALSE(backend.table().extension(backend.self(), "rocforge.memory/2"));
    }
}

TEST_CASE("a hypothetical device and one past the last lend nothing") {
    for (const Vendor& vendor : kVendors) {
        const World world(vendor);
        const tiny::Backend backend(vendor.table);
        rf_device device = device_of(backend, 0);
        const auto& memory = extension<rf_memory_api>(backend, "rocforge.memory/1");
        void* buffer = nullptr;
        const auto allocate = [&](rf_error* e) { return memory.allocate(backend.self(), &device, 64, &buffer, e); };
        device.ordinal = -1;
        CHECK(tiny::Backend::outcome(allocate).code == RF_UNAVAILABLE);
        device.ordinal = 2;
        const tiny::Outcome outcome = tiny::Backend::outcome(allocate);
        CHECK(outcome.code == RF_NOT_FOUND);
        CHECK(outcome.message == "fake: device 2; there are 2");
    }
}
