// What this machine's processors reach at most: the limits that `bench` holds a CPU backend's figures against. They are measured, by loops that do
// nothing but multiply or read, on as many threads as the process has processors. No backend is asked, and none is known here.
#pragma once

#include <rocforge/rocforge.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace rocforge::cli {

// Processors that this process may run on; at least 1.
std::size_t usable_processors();
// Keeps this thread, and those it starts from now on, on the first `count` of them. Throws Quit (kUsage) where there are fewer.
void use_processors(std::size_t count);

struct Limit {
    double rate;       // GFLOP/s, or GB/s
    std::string name;  // "AMX bf16"
};

// The loops themselves, on the calling thread; in peak_loops.cpp, once per instruction set. Each gives back what it computed, so that no compiler may
// leave the work out.

// `rounds` times kChains dependent chains of x = x * a + b by whole vectors; the chains start at 1, 2, ... and their sum over all lanes is
// returned.
struct FmaLoop {
    static constexpr int kChains = 12;
    static std::size_t lanes();
    static float run(std::size_t rounds, float a, float b);
};
// The same idea by the matrix unit or dot product for bf16. unit() is empty where the machine has none.
struct Bf16Loop {
    static std::string unit();
    static double flops_per_round();
    static float run(std::size_t rounds);
};
// Exclusive or of all whole 8-byte words of the span; `ahead`: with prefetches.
std::uint64_t read_all(std::span<const std::byte> span, bool ahead);

// On so many threads, this one among them; each measurement throws Quit (kBackend) where the system does not start them.
//
// Multiplications by the units that the machine has for one type, by name. f32: FMA of the widest vectors. bf16: AMX or AVX-512's dot product where
// there is one and the operating system allows it, else what f32 reaches. f16: what f32 reaches.
class Peak {
public:
    explicit Peak(std::size_t threads) : threads_(threads) {}
    // The best of seven rounds, a tenth of a second.
    Limit arithmetic(rf_dtype type) const;

    // GB/s of reading these spans once, the median of seven rounds behind one that is not counted, so that what fits into the caches lies there; the
    // better of two loops. Each thread reads an equal part of every span.
    Limit reads(const std::vector<std::span<const std::byte>>& spans) const;

private:
    std::size_t threads_;
};

}  // namespace rocforge::cli
