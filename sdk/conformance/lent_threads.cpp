#include "lent_threads.h"

#include <algorithm>

namespace rocforge::conformance {

LentThreads::LentThreads(std::uint32_t workers, Order order) : workers_(workers), order_(order) {
    for (std::uint32_t worker = 1; order == Order::as_they_come && worker < workers; ++worker)
        threads_.emplace_back([this, worker] { wait_for_work(worker); });
}

LentThreads::~LentThreads() {
    {
        const std::lock_guard lock(guard_);
        stopped_ = true;
    }
    changed_.notify_all();
    for (std::thread& each : threads_) each.join();
}

void LentThreads::parallel_for(std::int64_t n, std::uint32_t max_workers, Body body, void* arg) {
    if (n <= 0) return;
    const auto lanes = static_cast<std::uint32_t>(std::min<std::int64_t>(std::clamp(max_workers, 1u, workers_), n));
    if (order_ == Order::backwards) {
        for (std::int64_t i = n; i-- > 0;) body(arg, i, i + 1, static_cast<std::uint32_t>(i % lanes));
        return;
    }
    const std::unique_lock<std::mutex> alone(busy_, std::try_to_lock);
    if (lanes == 1 || !alone) return body(arg, 0, n, 0);
    std::unique_lock lock(guard_);
    body_ = body, arg_ = arg, next_ = 0, end_ = n, lanes_ = lanes, running_ = lanes;
    ++turn_;
    changed_.notify_all();
    lock.unlock();
    take_slices(0);
    lock.lock();
    changed_.wait(lock, [&] { return running_ == 0; });
}

void LentThreads::wait_for_work(std::uint32_t worker) {
    std::uint64_t seen = 0;
    for (;;) {
        {
            std::unique_lock lock(guard_);
            changed_.wait(lock, [&] { return stopped_ || turn_ != seen; });
            if (stopped_) return;
            seen = turn_;
            if (worker >= lanes_) continue;
        }
        take_slices(worker);
    }
}

void LentThreads::take_slices(std::uint32_t worker) {
    std::unique_lock lock(guard_);
    while (next_ < end_) {
        const std::int64_t slice = next_++;
        lock.unlock();
        body_(arg_, slice, slice + 1, worker);
        lock.lock();
    }
    if (--running_ == 0) changed_.notify_all();
}

}  // namespace rocforge::conformance
