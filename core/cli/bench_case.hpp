// What `bench` measures: the shapes of each preset and their inputs. The shapes are those that PyTorch's attention is timed on elsewhere, field
// for field, so that the two outputs can be joined.
#pragma once

#include <rocforge/rocforge.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "memory.hpp"
#include "problem.hpp"

namespace rocforge::cli {

struct BenchCase {
    std::string preset;
    Extents extents;
    bool causal = false;

    double flops() const;     // 4 * batch * head_q * seq_q * seq_kv * dim, halved when causal
    double kv_bytes() const;  // K and V read once
    rf_problem problem() const;
};

// prefill: dim 64, 128, 256, causal and not, 512 to 16384 tokens (16384 in all); bf16.
// decode:  one query, 32 heads over 8, 1024 to 131072 keys, batch 1, 8, 64; bf16.
// paged:   decode's shapes over pages of 16 tokens in shuffled order.
// cpu:     three prefill and two decode shapes of a size for CPUs; f32 and bf16.
std::vector<std::string> preset_names();
// Throws std::invalid_argument for an unknown preset.
std::string parse_preset(std::string_view text);
// `dtype` replaces the preset's own.
std::vector<BenchCase> bench_cases(const std::string& preset, std::optional<rf_dtype> dtype);

// Host memory that a case's tensors take, workspace aside.
std::uint64_t memory_bytes(const BenchCase& one);

// Inputs of a case: normal random numbers from a fixed seed, repeated after 65,521 of them: their values do not change the time.
struct BenchInput {
    explicit BenchInput(const BenchCase& one);
    std::vector<const Buffer*> buffers() const { return {&q, &k, &v, &out, &kv_lengths, &block_table}; }

    rf_problem problem;
    rf_args args{};
    Buffer q, k, v, out, kv_lengths, block_table;
};

}  // namespace rocforge::cli
