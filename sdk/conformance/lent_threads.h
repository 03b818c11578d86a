// A host's parallel_for, as a backend under test is lent it: a few threads that wait for work, or one thread that plays several in the worst order.
// Allocates nothing once it is made. Balances nothing: slices of one, taken as they come.
#ifndef ROCFORGE_CONFORMANCE_LENT_THREADS_H
#define ROCFORGE_CONFORMANCE_LENT_THREADS_H

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace rocforge::conformance {

enum class Order {
    as_they_come,
    backwards  // on the calling thread, the last slice first, workers in turn: what one slice leaves in a worker's memory meets another
};

class LentThreads {
public:
    using Body = void (*)(void* arg, std::int64_t begin, std::int64_t end, std::uint32_t worker);

    LentThreads(std::uint32_t workers, Order order);
    ~LentThreads();
    LentThreads(const LentThreads&) = delete;
    LentThreads& operator=(const LentThreads&) = delete;
    std::uint32_t workers() const { return workers_; }
    // While one loop is under way, another runs whole on its caller's thread, as worker 0: its workspace is its own.
    void parallel_for(std::int64_t n, std::uint32_t max_workers, Body body, void* arg);

private:
    void wait_for_work(std::uint32_t worker);
    void take_slices(std::uint32_t worker);

    const std::uint32_t workers_;
    const Order order_;
    std::mutex busy_, guard_;
    std::condition_variable changed_;
    // The loop under way; guard_ guards all of it.
    Body body_ = nullptr;
    void* arg_ = nullptr;
    std::int64_t next_ = 0, end_ = 0;
    std::uint32_t lanes_ = 0, running_ = 0;
    std::uint64_t turn_ = 0;
    bool stopped_ = false;
    std::vector<std::thread> threads_;
};

}  // namespace rocforge::conformance
#endif
