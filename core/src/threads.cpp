#include "threads.hpp"

#include <sched.h>
#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>
#include <tbb/partitioner.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <atomic>
#include <exception>

namespace rocforge {
namespace {

// The processors that this process may run on, as a container or taskset leaves them.
std::uint32_t processors() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    return std::max(1u, static_cast<std::uint32_t>(CPU_COUNT(&set)));
}

// One parallel_for: `lanes` tasks draw slices of [0, n) from one counter until none is left, so that uneven items balance; a task's own number is the
// worker's, which holds whatever thread runs it.
struct Loop {
    std::int64_t n, slice;
    Threads::Body body;
    void* arg;
    std::atomic<std::int64_t> next{0};
    std::atomic<std::uint32_t> finished{0};

    void lane(std::uint32_t worker) {
        next.load(std::memory_order_acquire);  // what the caller wrote before it stored there
        for (;;) {
            const std::int64_t begin = next.fetch_add(slice, std::memory_order_acq_rel);
            if (begin >= n) break;
            body(arg, begin, std::min(n, begin + slice), worker);
        }
        // The caller reads what the lanes wrote: an order of our own, which tools can see though they cannot see into oneTBB.
        finished.fetch_add(1, std::memory_order_acq_rel);
    }
};

constexpr std::int64_t kSlicesPerLane = 16;  // fewer leave a lane waiting for the slowest, more cost a shared counter each

}  // namespace

Threads::Threads(const rocforge_hooks& hooks) : hooks_(hooks), workers_(hooks.parallel_for ? std::max(1u, hooks.workers) : processors()) {}

void Threads::parallel_for(std::int64_t n, std::uint32_t max_workers, Body body, void* arg) const {
    if (n <= 0) return;
    const std::uint32_t lanes = static_cast<std::uint32_t>(std::min<std::int64_t>(n, std::clamp(max_workers, 1u, workers_)));
    if (lanes == 1) return body(arg, 0, n, 0);
    if (hooks_.parallel_for) return hooks_.parallel_for(hooks_.self, n, lanes, body, arg);
    Loop loop{n, std::max<std::int64_t>(1, n / (std::int64_t{lanes} * kSlicesPerLane)), body, arg};
    loop.next.store(0, std::memory_order_release);
    const auto on_all_lanes = [&loop, lanes] {
        tbb::parallel_for(
            tbb::blocked_range<std::uint32_t>(0, lanes, 1),
            [&loop](const tbb::blocked_range<std::uint32_t>& range) {
                for (std::uint32_t worker = range.begin(); worker != range.end(); ++worker) loop.lane(worker);
            },
            tbb::simple_partitioner{});
    };
    try {
        // Isolated: while it waits, this thread takes no other task of the host's, which might come back in here with the same workspace.
        tbb::this_task_arena::isolate(on_all_lanes);
    } catch (const std::exception&) {
        loop.lane(0);  // no thread could be started: what is left is done here
    }
    loop.finished.load(std::memory_order_acquire);
}

}  // namespace rocforge
