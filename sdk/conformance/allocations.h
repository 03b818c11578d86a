// Counting the process's allocations, whoever makes them. What counts is the object library rocforge_count_malloc, which stands in front of glibc's
// malloc in a program that links it. It is apart from the rest of the kit: a plugin that linked it would get a malloc of its own.
#ifndef ROCFORGE_CONFORMANCE_ALLOCATIONS_H
#define ROCFORGE_CONFORMANCE_ALLOCATIONS_H

#include <cstdint>

namespace rocforge::conformance {

struct MallocCounter {
    void (*start)();
    std::int64_t (*stop)();  // allocations on all threads since start()
};

// nullptr: nobody counts here. A sanitizer owns malloc itself, and what goes to mmap directly is never counted.
inline const MallocCounter* malloc_counter = nullptr;

}  // namespace rocforge::conformance
#endif
