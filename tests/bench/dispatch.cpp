// What the library costs between its caller and a backend, measured on one that does nothing. Prints Google Benchmark's table; judges nothing,
// as a shared machine's timings are no test.
//
//   slot             the backend's forward called through its table: the floor
//   plan_forward     rocforge_forward on a plan: the bar is slot + 100 ns
//   attention        rocforge_attention with its plan in the cache: the bar is slot + 300 ns
//   plan_miss        rocforge_plan of a shape not seen before, three backends registered, the first two refuse: the bar is 5 us
//   open             rocforge_open with this build's plugins: the bar is 10 ms
#include "support/fake_backend.hpp"

#include <rocforge/rocforge.hpp>

#include <benchmark/benchmark.h>

#include <unistd.h>
#include <filesystem>
#include <fstream>

namespace {

using fake::Behaviour;
constexpr Behaviour kFirst{.name = "first", .features = 0}, kSecond{.name = "second", .most_dim = 8}, kNull{.name = "nothing"};

alignas(256) float memory[64 * 64];

rf_device cpu() { return {.struct_size = sizeof(rf_device), .kind = RF_DEVICE_CPU, .ordinal = 0}; }
rf_args call() { return rocforge::args(memory, memory, memory, memory); }
rf_problem problem(std::int64_t seq) {
    rf_problem p = rocforge::dense_problem(rocforge::f32, 1, 8, 2, seq, seq, 64);
    p.features = RF_F_CAUSAL;
    return p;
}

// Three backends in a fixed order; no plugin file.
rocforge::Context& context() {
    static rocforge::Context made = [] {
        const std::filesystem::path folder = std::filesystem::temp_directory_path() / ("rocforge-bench-" + std::to_string(getpid()));
        std::filesystem::create_directories(folder / "none");
        const std::string file = folder / "bench.toml";
        std::ofstream(file) << "plugins.paths = ['none']\nselect.order = ['first', 'second', 'nothing']\n";
        rocforge::Context opened(file.c_str());
        std::filesystem::remove_all(folder);
        opened.add(fake::table<kFirst>());
        opened.add(fake::table<kSecond>());
        opened.add(fake::table<kNull>());
        return opened;
    }();
    return made;
}

void slot(benchmark::State& state) {
    const auto& table = fake::table<kNull>();
    const fake::Backend<kNull>::Plan plan;
    const rf_args args = call();
    for (auto _ : state) benchmark::DoNotOptimize(table.forward(reinterpret_cast<const rf_plan*>(&plan), &args, nullptr));
}

void plan_forward(benchmark::State& state) {
    const rocforge::Plan plan = context().plan(cpu(), problem(64));
    const rf_args args = call();
    rf_error error{};
    error.struct_size = sizeof error;
    for (auto _ : state) benchmark::DoNotOptimize(rocforge_forward(plan.get(), &args, &error));
}

void attention(benchmark::State& state) {
    const rf_device device = cpu();
    const rf_problem p = problem(64);
    const rf_args args = call();
    rf_error error{};
    error.struct_size = sizeof error;
    for (auto _ : state) benchmark::DoNotOptimize(rocforge_attention(context().get(), &device, &p, &args, &error));
}

void plan_miss(benchmark::State& state) {
    const rf_device device = cpu();
    std::int64_t seq = 1;
    for (auto _ : state) {
        const rf_problem p = problem(++seq);
        rocforge_plan_t* plan = nullptr;
        if (rocforge_plan(context().get(), &device, &p, &plan, nullptr) != RF_OK) state.SkipWithError("no plan");
        rocforge_plan_release(plan);
    }
}

void open(benchmark::State& state) {
    for (auto _ : state) rocforge::Context opened;
}

BENCHMARK(slot);
BENCHMARK(plan_forward);
BENCHMARK(attention);
BENCHMARK(plan_miss);
BENCHMARK(open)->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();
