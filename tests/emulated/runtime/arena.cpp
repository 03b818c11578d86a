#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "server.h"

namespace rocforge::emulated {
namespace {

constexpr std::uint64_t kBytes = std::uint64_t{1} << 40;           // of addresses; memory is used page by page
constexpr std::uint64_t kCapacityBytes = std::uint64_t{64} << 30;  // of live allocations
constexpr std::uint64_t kAddress = 0x2000'0000'0000;               // far from where Linux maps anything by itself
constexpr std::uint64_t kPage = 4096, kAlignment = 256;
constexpr std::uint64_t kPoisonedBytes = std::uint64_t{64} << 20;  // at either end: larger allocations stay mostly without memory
constexpr int kPoison = 0xFF;

constexpr std::uint64_t up(std::uint64_t value, std::uint64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

bool intact(const std::byte* begin, std::uint64_t bytes) {
    return std::all_of(begin, begin + bytes, [](std::byte b) { return b == std::byte{kPoison}; });
}

}  // namespace

std::uint64_t Arena::bytes() { return kBytes; }

Arena::Arena() : address_(kAddress) {
    file_ = memfd_create("rocforge emulated device", MFD_CLOEXEC);
    if (file_ < 0 || ftruncate(file_, static_cast<off_t>(kBytes)) != 0) throw Refused("no memory file for the emulated device");
    void* const reserved =
        mmap(reinterpret_cast<void*>(address_), kBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (reserved != reinterpret_cast<void*>(address_)) throw Refused("the emulated device's addresses are taken in this process");
    void* const host = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file_, 0);
    if (host == MAP_FAILED) throw Refused("no addresses for the emulated device's memory");
    host_ = static_cast<std::byte*>(host);
}

Arena::~Arena() {
    if (host_ != nullptr) munmap(host_, kBytes);
    munmap(reinterpret_cast<void*>(address_), kBytes);
    close(file_);
}

std::uint64_t Arena::allocate(std::uint64_t bytes) {
    if (bytes == 0 || bytes > kCapacityBytes - live_bytes_) return 0;
    const std::uint64_t used = up(bytes, kAlignment), whole = up(used, kPage);
    if (next_ + whole + kPage > kBytes) return 0;
    const std::uint64_t first_page = address_ + next_, address = first_page + whole - used;
    next_ += whole + kPage;  // a page that is never accessible follows
    std::byte* const begin = at(first_page);
    const std::uint64_t head = std::min(whole, kPoisonedBytes);
    std::memset(begin, kPoison, head);
    const std::uint64_t tail = std::min(whole - head, kPoisonedBytes);
    std::memset(begin + whole - tail, kPoison, tail);
    blocks_[address] = bytes;
    live_bytes_ += bytes;
    return address;
}

Arena::Pages Arena::pages(std::uint64_t address) const {
    const std::uint64_t begin = (address - address_) / kPage * kPage;
    return {begin, up(address - address_ + blocks_.at(address), kPage) - begin};
}

void Arena::release(std::uint64_t address) {
    const Pages gone = pages(address);
    madvise(host_ + gone.offset, gone.bytes, MADV_REMOVE);
    live_bytes_ -= blocks_.at(address);
    blocks_.erase(address);
}

std::byte* Arena::host(std::uint64_t address, std::uint64_t bytes) const {
    auto block = blocks_.upper_bound(address);
    if (block == blocks_.begin()) return nullptr;
    --block;
    const std::uint64_t within = address - block->first;
    return within <= block->second && bytes <= block->second - within ? at(address) : nullptr;
}

std::string Arena::overrun() const {
    for (const auto& [address, bytes] : blocks_) {
        const Pages around = pages(address);
        const std::byte* const begin = host_ + around.offset;
        const std::uint64_t before = address - address_ - around.offset, behind = around.bytes - before - bytes;
        const bool is_clean = intact(begin, before) && intact(begin + before + bytes, behind);
        if (!is_clean) return "memory beside the allocation of " + std::to_string(bytes) + " bytes was written";
    }
    return {};
}

}  // namespace rocforge::emulated
