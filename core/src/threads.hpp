// parallel_for as plugin.h promises it: on the host's threads where it lends some, else on oneTBB, whose threads start with the first use.
#pragma once

#include <rocforge/rocforge.h>

#include <cstdint>

namespace rocforge {

class Threads {
public:
    using Body = void (*)(void* arg, std::int64_t begin, std::int64_t end, std::uint32_t worker);

    explicit Threads(const rocforge_hooks& hooks);
    std::uint32_t workers() const noexcept { return workers_; }
    void parallel_for(std::int64_t n, std::uint32_t max_workers, Body body, void* arg) const;

private:
    rocforge_hooks hooks_;
    std::uint32_t workers_;
};

}  // namespace rocforge
