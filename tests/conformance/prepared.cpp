#include "prepared.h"

#include <algorithm>
#include <exception>

namespace rocforge::tests {

using conformance::Case;
using conformance::Prepared;

PreparedCases::PreparedCases(const std::vector<Case>& cases, std::size_t ahead) : cases_(cases), ahead_(ahead), slots_(cases.size()) {
    const std::size_t threads = std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, 16);
    for (std::size_t n = 0; n < threads; ++n) threads_.emplace_back([this] { work(); });
}

PreparedCases::~PreparedCases() {
    {
        const std::lock_guard lock(guard_);
        stopped_ = true;
    }
    changed_.notify_all();
    for (std::thread& each : threads_) each.join();
}

void PreparedCases::work() {
    std::unique_lock lock(guard_);
    for (;;) {
        changed_.wait(lock, [&] { return stopped_ || taken_ == slots_.size() || taken_ < handed_out_ + ahead_; });
        if (stopped_ || taken_ == slots_.size()) return;
        const std::size_t index = taken_++;
        Slot& slot = slots_[index];
        lock.unlock();
        std::unique_ptr<Prepared> prepared;
        std::exception_ptr failure;
        try {
            prepared = std::make_unique<Prepared>(cases_[index]);
        } catch (...) { failure = std::current_exception(); }
        lock.lock();
        slot.prepared = std::move(prepared);
        slot.failure = failure;
        slot.done = true;
        changed_.notify_all();
    }
}

std::unique_ptr<Prepared> PreparedCases::next() {
    std::unique_lock lock(guard_);
    if (handed_out_ == slots_.size()) return nullptr;
    Slot& slot = slots_[handed_out_];
    changed_.wait(lock, [&] { return slot.done; });
    ++handed_out_;
    changed_.notify_all();
    if (slot.failure) std::rethrow_exception(slot.failure);
    return std::move(slot.prepared);
}

}  // namespace rocforge::tests
