#include "workspace.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

namespace rocforge {
namespace {

constexpr std::uint64_t kAlign = 256;

// Sizes are rounded up so that a block given back fits the next call of a like size.
std::uint64_t rounded(std::uint64_t bytes) { return (bytes + 4095) / 4096 * 4096; }

// Coarser for zeroed blocks, so that few calls outgrow what their stream has: zeroing again waits for the stream.
std::uint64_t rounded_zeroed(std::uint64_t bytes) { return bytes > UINT64_MAX - 65536 ? bytes : (bytes + 65535) / 65536 * 65536; }

}  // namespace

Workspaces::~Workspaces() {
    for (const Block& block : kept_) std::free(block.memory);
}

Result<Workspaces::Block> Workspaces::take(const rf_device& device, std::uint64_t bytes, void* stream) {
    if (hooks_.allocate) {
        if (void* memory = hooks_.allocate(hooks_.self, &device, bytes, stream)) return Block{memory, bytes};
        return Error{RF_NO_MEMORY, fmt::format("hooks.allocate gave no {} bytes of workspace", bytes)};
    }
    if (device.kind != RF_DEVICE_CPU)
        return Error{RF_UNAVAILABLE, "workspace on this device: lend hooks.allocate, or use rocforge_plan and rocforge_forward with your own"};
    {
        const std::lock_guard lock(guard_);
        const auto fits = std::find_if(kept_.begin(), kept_.end(), [&](const Block& block) { return block.bytes >= rounded(bytes); });
        if (fits != kept_.end()) {
            const Block block = *fits;
            kept_.erase(fits);
            return block;
        }
    }
    void* memory = bytes > UINT64_MAX - 4096 ? nullptr : std::aligned_alloc(kAlign, rounded(bytes));
    if (!memory) return Error{RF_NO_MEMORY, fmt::format("no {} bytes of workspace", bytes)};
    return Block{memory, rounded(bytes)};
}

void Workspaces::give(const rf_device& device, const Block& block, void* stream) {
    if (hooks_.allocate) {
        if (hooks_.release) hooks_.release(hooks_.self, &device, block.memory, stream);
        return;
    }
    Block leaves = block;
    {
        const std::lock_guard lock(guard_);
        if (kept_.size() < kMostKept) {
            kept_.push_back(block);
            return;
        }
        const auto smallest = std::min_element(kept_.begin(), kept_.end(), [](const Block& a, const Block& b) { return a.bytes < b.bytes; });
        if (smallest->bytes < leaves.bytes) std::swap(*smallest, leaves);
    }
    std::free(leaves.memory);
}

Result<ZeroedBlocks::Block> ZeroedBlocks::take(const void* backend, const rf_device& device, std::uint64_t bytes, void* stream) {
    std::vector<Block> outgrown;
    {
        const std::lock_guard lock(guard_);
        const auto here = [&](const Block& each) {
            return each.backend == backend && each.device.ordinal == device.ordinal && each.stream == stream;
        };
        const auto fits = std::find_if(kept_.begin(), kept_.end(), [&](const Block& each) { return here(each) && each.bytes >= bytes; });
        if (fits != kept_.end()) {
            const Block block = *fits;
            kept_.erase(fits);
            return block;
        }
        const auto leave = std::partition(kept_.begin(), kept_.end(), [&](const Block& each) { return !here(each); });
        outgrown.assign(leave, kept_.end());
        kept_.erase(leave, kept_.end());
    }
    for (const Block& each : outgrown) give_up(each);
    Result<Workspaces::Block> taken = workspaces_.take(device, rounded_zeroed(bytes), stream);
    if (!taken) return taken.error();
    return Block{*taken, backend, device, stream, false};
}

void ZeroedBlocks::keep(const Block& block) {
    const std::lock_guard lock(guard_);
    kept_.push_back(block);
    kept_.back().zero = true;
}

void ZeroedBlocks::clear() {
    std::vector<Block> leave;
    {
        const std::lock_guard lock(guard_);
        leave.swap(kept_);
    }
    for (const Block& each : leave) workspaces_.give(each.device, each, nullptr);
}

}  // namespace rocforge
