// Scratch memory for the one-call form: from the host's hooks, or on the CPU from blocks kept for the next call. Zeroes nothing itself.
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

// Blocks that are zero whenever no call has them, as every forward leaves them so. Each is kept for the backend and the stream of its first call: the
// stream's order keeps calls apart. From any thread.
class ZeroedBlocks {
public:
    explicit ZeroedBlocks(Workspaces& workspaces) : workspaces_(workspaces) {}

    struct Block : Workspaces::Block {
        const void* backend = nullptr;
        rf_device device{};
        void* stream = nullptr;
        bool zero = false;  // whoever takes it otherwise zeroes it in the stream's order
    };
    // Zero where one of that size was kept; smaller ones that were kept for this backend and stream leave. Fails as Workspaces::take.
    Result<Block> take(const void* backend, const rf_device& device, std::uint64_t bytes, void* stream);
    // The call is enqueued and leaves the block zero.
    void keep(const Block& block);
    // Nobody knows what the block holds.
    void give_up(const Block& block) { workspaces_.give(block.device, block, block.stream); }
    // Gives all back. No work may be under way and no stream is named: it may be gone.
    void clear();

private:
    Workspaces& workspaces_;
    std::mutex guard_;
    std::vector<Block> kept_;
};

}  // namespace rocforge
