#include "memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <mutex>
#include <new>

namespace rocforge::conformance {
namespace {

constexpr std::int64_t kGuardBytes = 1024;  // a kernel's overrun is at most a tile row: 512 elements of 2 bytes
constexpr std::byte kGuard{0xA5};
constexpr std::align_val_t kAlign{256};

// The buffers on pages that are alive, read by a signal handler while others come and go: hence atomics and a fixed number. One that finds no slot
// has its pages all the same and only no name.
struct Region {
    std::atomic<const char*> name{nullptr};
    std::atomic<std::uintptr_t> mapped_begin{0}, mapped_end{0}, begin{0}, end{0};
};
std::array<Region, 256> regions;
std::mutex regions_guard;

void remember(const char* name, const std::byte* mapped, std::size_t mapped_bytes, const std::byte* data, std::int64_t bytes) {
    const std::lock_guard lock(regions_guard);
    const auto free = std::find_if(regions.begin(), regions.end(), [](const Region& each) { return each.name == nullptr; });
    if (free == regions.end()) return;
    free->mapped_begin = reinterpret_cast<std::uintptr_t>(mapped);
    free->mapped_end = free->mapped_begin + mapped_bytes;
    free->begin = reinterpret_cast<std::uintptr_t>(data);
    free->end = free->begin + static_cast<std::uintptr_t>(bytes);
    free->name = name;
}

void forget(const std::byte* mapped) {
    const std::lock_guard lock(regions_guard);
    for (Region& each : regions)
        if (each.mapped_begin == reinterpret_cast<std::uintptr_t>(mapped)) each.name = nullptr, each.mapped_begin = 0, each.mapped_end = 0;
}

// Appends as much as there is room for.
class Text {
public:
    Text(char* text, std::size_t room) : at_(text), end_(text + room - 1) { *at_ = '\0'; }
    Text& operator<<(const char* more) {
        while (*more && at_ < end_) *at_++ = *more++;
        *at_ = '\0';
        return *this;
    }
    Text& operator<<(std::uint64_t number) {
        char digits[21];
        char* first = std::end(digits);
        *--first = '\0';
        do *--first = static_cast<char>('0' + number % 10);
        while (number /= 10);
        return *this << first;
    }

private:
    char *at_, *end_;
};

}  // namespace

void Buffer::Free::operator()(std::byte* p) const {
    if (mapped_bytes == 0) return ::operator delete(p, kAlign);
    forget(p);
    munmap(p, mapped_bytes);
}

Buffer::Buffer(const char* name, std::int64_t bytes, bool output, Placement placement, std::int64_t align)
    : name_(name), bytes_(bytes), memory_(nullptr, Free{0}) {
    if (placement == Placement::heap)
        place_on_heap(output);
    else
        place_on_pages(placement, align);
    std::fill(begin_, end_, kGuard);
}

void Buffer::place_on_heap(bool output) {
    const std::int64_t guard_bytes = output ? kGuardBytes : 0, whole = bytes_ + 2 * guard_bytes;
    memory_ = {static_cast<std::byte*>(::operator new(static_cast<std::size_t>(whole), kAlign)), Free{0}};
    begin_ = memory_.get(), end_ = begin_ + whole, data_ = begin_ + guard_bytes;
}

void Buffer::place_on_pages(Placement placement, std::int64_t align) {
    static const std::int64_t page_bytes = sysconf(_SC_PAGESIZE);
    const std::int64_t inner = std::max<std::int64_t>((bytes_ + page_bytes - 1) / page_bytes, 1) * page_bytes;
    const auto mapped_bytes = static_cast<std::size_t>(inner + 2 * page_bytes);
    void* mapped = mmap(nullptr, mapped_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) throw std::bad_alloc();
    memory_ = {static_cast<std::byte*>(mapped), Free{mapped_bytes}};
    begin_ = memory_.get() + page_bytes, end_ = begin_ + inner;
    if (mprotect(begin_, static_cast<std::size_t>(inner), PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
    data_ = placement == Placement::page ? begin_ : begin_ + (inner - bytes_) / align * align;
    remember(name_, memory_.get(), mapped_bytes, data_, bytes_);
}

bool Buffer::guards_intact() const {
    const auto intact = [](const std::byte* from, const std::byte* to) { return std::all_of(from, to, [](std::byte b) { return b == kGuard; }); };
    return intact(begin_, data_) && intact(data_ + bytes_, end_);
}

void describe_fault(const void* address, char* out, std::size_t room) {
    Text text(out, room);
    const auto at = reinterpret_cast<std::uintptr_t>(address);
    for (const Region& each : regions) {
        const char* name = each.name;
        if (!name || at < each.mapped_begin || at >= each.mapped_end) continue;
        if (at < each.begin) text << (each.begin - at) << " bytes before the start of " << name;
        if (at >= each.end) text << (at - each.end) << " bytes past the end of " << name;
        if (at >= each.begin && at < each.end) text << "byte " << (at - each.begin) << " of " << name;
        return;
    }
}

}  // namespace rocforge::conformance
