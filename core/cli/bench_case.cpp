#include "bench_case.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>
#include <random>
#include <stdexcept>

#include "convert.hpp"
#include "text/text.hpp"

namespace rocforge::cli {
namespace {

constexpr std::int64_t kPageTokens = 16;
constexpr std::size_t kRandomNumbers = 65521;  // prime, so that rows of a power of two do not repeat
constexpr std::uint64_t kSeed = 20240607;

Extents extents_of(std::int64_t batch, std::int64_t head_q, std::int64_t head_kv, std::int64_t seq_q, std::int64_t seq_kv, std::int64_t dim) {
    Extents extents;
    extents.batch = batch;
    extents.head_q = head_q;
    extents.head_kv = head_kv;
    extents.seq_q = seq_q;
    extents.seq_kv = seq_kv;
    extents.dim = extents.dim_v = dim;
    return extents;
}

std::vector<BenchCase> prefill_cases() {
    std::vector<BenchCase> cases;
    for (const std::int64_t dim : {64, 128, 256}) {
        for (const bool causal : {false, true}) {
            for (const std::int64_t seq : {512, 1024, 2048, 4096, 8192, 16384}) {
                cases.push_back({"prefill", extents_of(16384 / seq, 2048 / dim, 2048 / dim, seq, seq, dim), causal});
            }
        }
    }
    return cases;
}

std::vector<BenchCase> decode_cases(const std::string& preset, std::int64_t page_size) {
    constexpr std::int64_t kMostTokens = 64 * 32768;
    std::vector<BenchCase> cases;
    for (const std::int64_t batch : {1, 8, 64}) {
        for (const std::int64_t seq : {1024, 8192, 32768, 131072}) {
            if (batch * seq > kMostTokens) continue;
            cases.push_back({preset, extents_of(batch, 32, 8, 1, seq, 128), false});
            cases.back().extents.page_size = page_size;
        }
    }
    return cases;
}

std::vector<BenchCase> cpu_cases() {
    return {{"cpu", extents_of(1, 16, 16, 1024, 1024, 64), true},
            {"cpu", extents_of(1, 16, 16, 4096, 4096, 128), true},
            {"cpu", extents_of(1, 16, 16, 4096, 4096, 128), false},
            {"cpu", extents_of(4, 32, 8, 1, 1024, 128), false},
            {"cpu", extents_of(4, 32, 8, 1, 8192, 128), false}};
}

void fill_normal(Buffer& buffer, rf_dtype dtype, std::uint64_t stream) {
    std::mt19937_64 random(kSeed + stream);
    std::normal_distribution<float> normal;
    std::vector<float> numbers(kRandomNumbers);
    std::generate(numbers.begin(), numbers.end(), [&] { return normal(random); });
    std::vector<std::byte> block(numbers.size() * static_cast<std::size_t>(element_bytes(dtype)));
    convert("F32", std::as_bytes(std::span(numbers)), dtype, block, Overflow::kInfinity);
    std::span<std::byte> rest = buffer.span();
    while (!rest.empty()) {
        const std::size_t bytes = std::min(rest.size(), block.size());
        std::copy_n(block.begin(), bytes, rest.begin());
        rest = rest.subspan(bytes);
    }
}

}  // namespace

double BenchCase::flops() const { return flops_of(problem()); }

double BenchCase::kv_bytes() const {
    return 2.0 * static_cast<double>(extents.batch * extents.head_kv * extents.seq_kv) *
           static_cast<double>(extents.dim * element_bytes(extents.dtype));
}

rf_problem BenchCase::problem() const {
    Rules rules;
    rules.causal = causal ? Causal::kTopLeft : Causal::kNone;
    return problem_of(extents, rules);
}

std::vector<std::string> preset_names() { return {"prefill", "decode", "paged", "cpu"}; }

std::string parse_preset(std::string_view text) {
    const std::vector<std::string> known = preset_names();
    if (std::find(known.begin(), known.end(), text) != known.end()) return std::string(text);
    throw std::invalid_argument(fmt::format("'{}' is none of {}{}", text, fmt::join(known, ", "), did_you_mean(text, known)));
}

std::vector<BenchCase> bench_cases(const std::string& preset, std::optional<rf_dtype> dtype) {
    const std::vector<BenchCase> shapes = preset == "prefill"  ? prefill_cases()
                                          : preset == "decode" ? decode_cases("decode", 0)
                                          : preset == "paged"  ? decode_cases("paged", kPageTokens)
                                                               : cpu_cases();
    const std::vector<rf_dtype> own = preset == "cpu" ? std::vector{kF32, kBF16} : std::vector{kBF16};
    std::vector<BenchCase> cases;
    for (const BenchCase& shape : shapes) {
        for (const rf_dtype each : dtype ? std::vector{*dtype} : own) {
            cases.push_back(shape);
            cases.back().extents.dtype = each;
        }
    }
    return cases;
}

std::uint64_t memory_bytes(const BenchCase& one) {
    const rf_problem problem = one.problem();
    const std::int64_t tensors = bytes_of(problem.q) + bytes_of(problem.k) + bytes_of(problem.v) + bytes_of(problem.out);
    return static_cast<std::uint64_t>(tensors + 4 * (problem.batch + problem.batch * problem.block_table_stride));
}

BenchInput::BenchInput(const BenchCase& one) : problem(one.problem()) {
    const auto make = [](const rf_tensor& tensor) { return Buffer(static_cast<std::uint64_t>(bytes_of(tensor))); };
    args.struct_size = sizeof args;
    args.q = (q = make(problem.q)).data();
    args.k = (k = make(problem.k)).data();
    args.v = (v = make(problem.v)).data();
    args.out = (out = make(problem.out)).data();
    fill_normal(q, problem.q.dtype, 0);
    fill_normal(k, problem.k.dtype, 1);
    fill_normal(v, problem.v.dtype, 2);
    if (!(problem.features & RF_F_PAGED_KV)) return;
    kv_lengths = Buffer(static_cast<std::uint64_t>(problem.batch) * sizeof(std::int32_t));
    const std::span<std::int32_t> lengths = kv_lengths.as<std::int32_t>();
    std::fill(lengths.begin(), lengths.end(), static_cast<std::int32_t>(problem.max_seq_kv));
    block_table = Buffer(static_cast<std::uint64_t>(problem.k.shape[0]) * sizeof(std::int32_t));
    const std::span<std::int32_t> pages = block_table.as<std::int32_t>();
    std::iota(pages.begin(), pages.end(), 0);
    std::shuffle(pages.begin(), pages.end(), std::mt19937_64(kSeed));
    args.kv_lengths = kv_lengths.data();
    args.block_table = block_table.data();
}

}  // namespace rocforge::cli
