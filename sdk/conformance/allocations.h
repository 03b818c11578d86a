// Counts the process's allocations while somebody wants to know, whoever makes them: linked into a program, this stands in front of glibc's malloc.
// Nothing is counted under a sanitizer, which owns malloc itself, nor what goes to mmap directly.
#ifndef ROCFORGE_CONFORMANCE_ALLOCATIONS_H
#define ROCFORGE_CONFORMANCE_ALLOCATIONS_H

#include <cstdint>

namespace rocforge::conformance {

// Why nothing can be counted here, or "".
const char* why_allocations_are_not_counted();

// From its making on, every allocation on every thread is counted. One at a time.
class CountAllocations {
public:
    CountAllocations();
    ~CountAllocations();
    CountAllocations(const CountAllocations&) = delete;
    CountAllocations& operator=(const CountAllocations&) = delete;
    std::int64_t so_far() const;
};

}  // namespace rocforge::conformance
#endif
