// Scratch memory for the one-call form: from the host's hooks, or on the CPU from blocks kept for the next call.
#pragma once

#include "result.hpp"

#include <rocforge/rocforge.h>

#include <mutex>
#include <vector>

namespace rocforge {

// From any thread.
class Workspaces {
public:
    explicit Workspaces(const rocforge_hooks& hooks) : hooks_(hooks) {}
    ~Workspaces();
    Workspaces(const Workspaces&) = delete;
    Workspaces& operator=(const Workspaces&) = delete;

    struct Block {
        void* memory = nullptr;
        std::uint64_t bytes = 0;  // may be more than was asked for
    };
    // 256-aligned, usable on `stream`. RF_NO_MEMORY; RF_UNAVAILABLE: a device whose memory the host does not lend.
    Result<Block> take(const rf_device& device, std::uint64_t bytes, void* stream);
    void give(const rf_device& device, const Block& block, void* stream);

private:
    static constexpr std::size_t kMostKept = 8;

    const rocforge_hooks hooks_;
    std::mutex guard_;
    std::vector<Block> kept_;
};

}  // namespace rocforge
