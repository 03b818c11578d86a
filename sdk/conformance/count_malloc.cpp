#include "allocations.h"

#include <atomic>
#include <cerrno>
#include <cstddef>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ROCFORGE_MALLOC_IS_OWNED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define ROCFORGE_MALLOC_IS_OWNED
#endif
#endif
#ifndef ROCFORGE_MALLOC_IS_OWNED

namespace {

std::atomic<bool> counting{false};
std::atomic<std::int64_t> allocations{0};

void count() {
    if (counting.load(std::memory_order_relaxed)) allocations.fetch_add(1, std::memory_order_relaxed);
}

constexpr rocforge::conformance::MallocCounter kCounter{[] { allocations = 0, counting = true; },
                                                        [] {
                                                            counting = false;
                                                            return allocations.load();
                                                        }};
[[maybe_unused]] const bool kKnown = (rocforge::conformance::malloc_counter = &kCounter, true);

}  // namespace

extern "C" {
// glibc's own entry points stay reachable under their internal names, so that these can stand before them for every library of the process.
void* __libc_malloc(std::size_t);                 // NOLINT(bugprone-reserved-identifier)
void* __libc_calloc(std::size_t, std::size_t);    // NOLINT(bugprone-reserved-identifier)
void* __libc_realloc(void*, std::size_t);         // NOLINT(bugprone-reserved-identifier)
void* __libc_memalign(std::size_t, std::size_t);  // NOLINT(bugprone-reserved-identifier)

void* malloc(std::size_t bytes) { return count(), __libc_malloc(bytes); }
void* calloc(std::size_t n, std::size_t bytes) { return count(), __libc_calloc(n, bytes); }
void* realloc(void* p, std::size_t bytes) { return count(), __libc_realloc(p, bytes); }
void* aligned_alloc(std::size_t align, std::size_t bytes) { return count(), __libc_memalign(align, bytes); }
void* memalign(std::size_t align, std::size_t bytes) { return count(), __libc_memalign(align, bytes); }
int posix_memalign(void** p, std::size_t align, std::size_t bytes) {
    if (align < sizeof(void*) || (align & (align - 1)) != 0) return EINVAL;
    void* made = (count(), __libc_memalign(align, bytes));
    if (made) *p = made;
    return made ? 0 : ENOMEM;
}
}
#endif
