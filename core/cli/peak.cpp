#include "peak.hpp"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <exception>
#include <functional>
#include <thread>

#include "names.hpp"
#include "status.hpp"

namespace rocforge::cli {
namespace {

constexpr std::size_t kRounds = 7;
constexpr double kRoundSeconds = 0.01;  // long beside what it takes to let the threads go, short beside a time slice

double seconds_of(const std::function<void()>& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Seconds of each of kRounds rounds of work(thread), from when all threads are let go until the last one is done; a first round is not counted.
// Throws Quit (kBackend) where the system starts fewer threads.
std::vector<double> rounds_of(std::size_t threads, const std::function<void(std::size_t)>& work) {
    std::barrier<> gate(static_cast<std::ptrdiff_t>(threads));
    std::vector<double> seconds;
    const auto run = [&](std::size_t thread) {
        for (std::size_t round = 0; round <= kRounds; ++round) {
            gate.arrive_and_wait();
            const double taken = seconds_of([&] {
                work(thread);
                gate.arrive_and_wait();
            });
            if (thread == 0 && round > 0) seconds.push_back(taken);
        }
    };
    // No thread comes to the gate before all are there: at the gate they would wait for ever for one that cannot start.
    enum class Call { kNone, kRun, kLeave };
    std::atomic<Call> call{Call::kNone};
    const auto tell = [&call](Call now) {
        call = now;
        call.notify_all();
    };
    std::vector<std::jthread> others;
    try {
        for (std::size_t thread = 1; thread < threads; ++thread) {
            others.emplace_back([&call, &run, thread] {
                call.wait(Call::kNone);
                if (call == Call::kRun) run(thread);
            });
        }
    } catch (const std::exception& refused) {
        tell(Call::kLeave);
        throw Quit(Status::kBackend, fmt::format("the machine's limit takes {} threads, of which the system started {}: {}; raise its limit of "
                                                 "threads (ulimit -u, pids.max) or of memory (ulimit -v), or name fewer by --threads",
                                                 threads, others.size() + 1, refused.what()));
    }
    tell(Call::kRun);
    run(0);
    return seconds;
}

// Keeps what a loop computed.
std::atomic<float> kept{0};

// The best round: what the units can do, not what a neighbour left of them. `loop` runs so many of its rounds.
double best_gflops(std::size_t threads, double flops_per_round, const std::function<float(std::size_t)>& loop) {
    std::size_t rounds = 1000;
    while (seconds_of([&] { kept = loop(rounds); }) < kRoundSeconds / 2) rounds *= 2;
    const std::vector<double> seconds = rounds_of(threads, [&](std::size_t) { kept = loop(rounds); });
    const double flops = flops_per_round * static_cast<double>(rounds) * static_cast<double>(threads);
    return flops / *std::min_element(seconds.begin(), seconds.end()) / 1e9;
}

cpu_set_t allowed_processors() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0) CPU_SET(0, &set);
    return set;
}

}  // namespace

std::size_t usable_processors() {
    const cpu_set_t set = allowed_processors();
    return std::max<std::size_t>(1, static_cast<std::size_t>(CPU_COUNT(&set)));
}

void use_processors(std::size_t count) {
    const cpu_set_t allowed = allowed_processors();
    cpu_set_t chosen;
    CPU_ZERO(&chosen);
    for (std::size_t processor = 0; processor < CPU_SETSIZE && static_cast<std::size_t>(CPU_COUNT(&chosen)) < count; ++processor)
        if (CPU_ISSET(processor, &allowed)) CPU_SET(processor, &chosen);
    const auto found = static_cast<std::size_t>(CPU_COUNT(&chosen));
    if (found < count)
        throw Quit(Status::kUsage, fmt::format("--threads {}: this process may run on {} processor{}; name fewer, or widen its affinity (taskset)",
                                               count, found, found == 1 ? "" : "s"));
    if (sched_setaffinity(0, sizeof chosen, &chosen) != 0) throw Quit(Status::kBackend, "--threads: the operating system refused the affinity");
}

Limit Peak::arithmetic(rf_dtype type) const {
    if (const std::string unit = Bf16Loop::unit(); same(type, kBF16) && !unit.empty())
        return {best_gflops(threads_, Bf16Loop::flops_per_round(), Bf16Loop::run), unit};
    const double flops = 2.0 * FmaLoop::kChains * static_cast<double>(FmaLoop::lanes());
    // A fixed point of x = x * a + b, nearly: values stay of order 1.
    const auto loop = [](std::size_t rounds) { return FmaLoop::run(rounds, 0.9999f, 1e-4f); };
    return {best_gflops(threads_, flops, loop), "FMA f32"};
}

Limit Peak::reads(const std::vector<std::span<const std::byte>>& spans) const {
    std::vector<std::uint64_t> found(threads_);
    double least = 0;
    for (const bool ahead : {false, true}) {
        std::vector<double> seconds = rounds_of(threads_, [&](std::size_t thread) {
            for (const std::span<const std::byte> span : spans) {
                const std::size_t first = span.size() * thread / threads_, end = span.size() * (thread + 1) / threads_;
                found[thread] ^= read_all(span.subspan(first, end - first), ahead);
            }
        });
        std::sort(seconds.begin(), seconds.end());
        const double median = seconds[seconds.size() / 2];
        least = ahead ? std::min(least, median) : median;
    }
    std::size_t bytes = 0;
    for (const std::span<const std::byte> span : spans) bytes += span.size();
    kept = static_cast<float>(found[0]);
    return {static_cast<double>(bytes) / least / 1e9, "reads of the same bytes"};
}

}  // namespace rocforge::cli
