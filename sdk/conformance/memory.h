// Memory in which a step too far is seen: with guard bytes around an output, or between pages that nobody may touch, where the first byte read or
// written past a tensor's end is a fault. describe_fault() says whose end that was. Finds nothing that stays inside.
#ifndef ROCFORGE_CONFORMANCE_MEMORY_H
#define ROCFORGE_CONFORMANCE_MEMORY_H

#include <cstddef>
#include <cstdint>
#include <memory>

namespace rocforge::conformance {

// Where a tensor lies.
enum class Placement {
    heap,         // 256-aligned, of exactly its size: a sanitizer sees the first byte read past it
    end_of_page,  // its end, as far as its alignment lets it, touches a page that nobody may touch; another such page lies before it
    page          // it begins with a page; pages that nobody may touch lie before and behind its last page
};

class Buffer {
public:
    // name: "k", for describe_fault(); it outlives the buffer. align: of data(), a power of two; matters to end_of_page alone.
    Buffer(const char* name, std::int64_t bytes, bool output, Placement = Placement::heap, std::int64_t align = 1);
    std::byte* data() const { return data_; }
    std::int64_t bytes() const { return bytes_; }
    const char* name() const { return name_; }
    // Is everything around the tensor that is no such page as it was?
    bool guards_intact() const;

private:
    struct Free {
        std::size_t mapped_bytes;  // 0: from the heap
        void operator()(std::byte*) const;
    };
    void place_on_heap(bool output);
    void place_on_pages(Placement, std::int64_t align);

    const char* name_;
    std::int64_t bytes_;
    std::unique_ptr<std::byte, Free> memory_;
    std::byte *begin_ = nullptr, *end_ = nullptr, *data_ = nullptr;  // [begin, end): what may be touched, the tensor within
};

// "4 bytes past the end of k", for an address within or near a buffer on pages; "" for any other. Fit for a signal handler: no allocation, no lock.
void describe_fault(const void* address, char* text, std::size_t room);

}  // namespace rocforge::conformance
#endif
