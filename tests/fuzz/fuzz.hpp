// What a fuzz target asks of its driver and of itself. A target is a file with one LLVMFuzzerTestOneInput: it feeds bytes to one parser and checks
// what must hold whatever they are. The same file runs under libFuzzer (ROCFORGE_FUZZ=ON, clang) and under driver.cpp, which every build has.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes);

namespace fuzz {

// Stops where an input breaks a promise; libFuzzer and the driver both save the input.
inline void demand(bool holds, const char* promise) {
    if (holds) return;
    std::fprintf(stderr, "broken: %s\n", promise);
    std::abort();
}

}  // namespace fuzz
