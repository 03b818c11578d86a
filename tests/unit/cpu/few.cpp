// Few rows by units for bf16, AMX's order in software and AVX512-BF16: both products without softmax against sums in double, and whole calls under
// all rules against FMA. What reads K and V where they lie must find rows at any stride, on pages, and fewer than a tile takes. Needs a processor
// with AVX512-BF16.
#include <doctest/doctest.h>

#if defined(__x86_64__)
#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "bf16_call.hpp"
#include "kernels/common/half.h"
#include "plugins/cpu/few_bf16.h"
#include "worse.hpp"

#include "plugins/cpu/avx512_begin-inl.h"
#include "plugins/cpu/few_tiles-inl.h"
#include "software_tiles.hpp"

namespace {

using namespace rocforge::cpu;

struct Shape {
    const char* name;
    std::int64_t rows, keys, dim;
    std::int64_t stride;  // elements between rows
    std::int64_t page;    // rows that follow each other; the pages do so backwards
};
const Shape kShapes[] = {
    {"four rows, whole tiles", 4, 128, 128, 128, 1000},
    {"one row, one key", 1, 1, 32, 32, 1000},
    {"three rows, a tile and a half, rows apart", 3, 24, 64, 200, 1000},
    {"eight rows, pages of 16", 8, 96, 128, 128, 16},
    {"five rows, pages of 10 that no tile fits", 5, 77, 96, 96, 10},
    {"six rows of many strips", 6, 33, 480, 512, 32},
    {"two rows of three strips", 2, 128, 224, 224, 16},
};

// Aligned as a worker's scratch is.
template <class T> class Aligned {
public:
    explicit Aligned(std::int64_t count) : bytes_(static_cast<std::size_t>(count) * sizeof(T) + 64) {}
    T* data() { return reinterpret_cast<T*>((reinterpret_cast<std::uintptr_t>(bytes_.data()) + 63) / 64 * 64); }

private:
    std::vector<char> bytes_;
};

// A block of K or V, and its rows by their first elements.
struct Block {
    std::vector<std::uint16_t> values;
    std::vector<const void*> rows;

    Block(const Shape& shape, std::mt19937& dice) : values(static_cast<std::size_t>(shape.keys * shape.stride)) {
        std::uniform_real_distribution<float> value(-1, 1);
        for (auto& each : values) each = rocforge::kernels::bf16_from_f32(value(dice));
        const std::int64_t pages = (shape.keys + shape.page - 1) / shape.page;
        for (std::int64_t key = 0; key < shape.keys; ++key) {
            // Short of a page, the last one comes first in memory.
            const std::int64_t page = key / shape.page, tail = shape.keys - (pages - 1) * shape.page;
            const std::int64_t first = page + 1 == pages ? 0 : tail + (pages - 2 - page) * shape.page;
            rows.push_back(values.data() + (first + key % shape.page) * shape.stride);
        }
        rows.resize(static_cast<std::size_t>((shape.keys + 15) / 16 * 16 + kFewAhead), rows.back());
    }
    double at(std::int64_t key, std::int64_t dim) const {
        return static_cast<double>(rocforge::kernels::f32_from_bf16(static_cast<const std::uint16_t*>(rows[static_cast<std::size_t>(key)])[dim]));
    }
    FewKeys keys(const Shape& shape) const { return {rows.data(), shape.keys, shape.dim, kFewAhead}; }
};

// The largest error of the scores, as a share of the products' magnitudes.
double score_error(const FewBf16& unit, const Shape& shape, std::mt19937& dice) {
    Shape of_q = shape;
    of_q.keys = shape.rows, of_q.page = shape.rows;
    const Block q(of_q, dice), k(shape, dice);
    Aligned<float> packed(FewBf16::kMostRows * shape.dim), scores(FewBf16::kMostRows * kFewBlockKeys);
    Aligned<char> scratch(FewBf16::kScratchBytes);
    std::memset(scratch.data(), 0xFF, FewBf16::kScratchBytes);  // NaN
    unit.begin();
    unit.pack(q.rows.data(), shape.rows, shape.dim, packed.data());
    unit.scores(k.keys(shape), packed.data(), shape.rows, scores.data(), scratch.data());
    unit.end();
    double most = 0;
    for (std::int64_t row = 0; row < shape.rows; ++row)
        for (std::int64_t key = 0; key < shape.keys; ++key) {
            double sum = 0, magnitude = 0;
            for (std::int64_t e = 0; e < shape.dim; ++e) sum += q.at(row, e) * k.at(key, e), magnitude += std::abs(q.at(row, e) * k.at(key, e));
            most = worse_of(most, std::abs(static_cast<double>(scores.data()[row * kFewBlockKeys + key]) - sum) / magnitude);
        }
    return most;
}

// The same of the output, which held 2 and is rescaled by a half. From dim `wild` on a value is not finite: those dims must be left as they were.
double output_error(const FewBf16& unit, const Shape& shape, std::int64_t wild, std::mt19937& dice) {
    Block v(shape, dice);
    if (wild < shape.dim) v.values[static_cast<std::size_t>(wild)] = rocforge::kernels::bf16_from_f32(NAN);
    Aligned<float> p(FewBf16::kMostRows * kFewBlockKeys), out(shape.rows * shape.dim);
    Aligned<char> scratch(FewBf16::kScratchBytes);
    std::memset(scratch.data(), 0xFF, FewBf16::kScratchBytes);  // NaN
    std::uniform_real_distribution<float> value(0, 1);
    // Beyond the last key there may be anything.
    for (std::int64_t i = 0; i < FewBf16::kMostRows * kFewBlockKeys; ++i) p.data()[i] = i % kFewBlockKeys < shape.keys ? value(dice) : NAN;
    std::fill_n(out.data(), shape.rows * shape.dim, 2.0f);
    const std::vector<float> rescale(static_cast<std::size_t>(shape.rows), 0.5f);
    unit.begin();
    const std::int64_t done = unit.output(v.keys(shape), p.data(), shape.rows, rescale.data(), out.data(), shape.dim, scratch.data());
    unit.end();
    CHECK_MESSAGE((wild < shape.dim ? done <= wild : done == shape.dim), std::string(shape.name), ": ", done, " dims done");
    CHECK_MESSAGE(done >= wild / kBf16Dims * kBf16Dims - 3 * kBf16Dims, std::string(shape.name), ": ", done, " dims done");
    double most = 0;
    for (std::int64_t row = 0; row < shape.rows; ++row)
        for (std::int64_t e = 0; e < shape.dim; ++e) {
            double sum = e < done ? 1 : 2, magnitude = 1;
            for (std::int64_t key = 0; key < shape.keys && e < done; ++key) {
                const double product = static_cast<double>(p.data()[row * kFewBlockKeys + key]) * v.at(key, e);
                sum += product, magnitude += std::abs(product);
            }
            const std::int64_t at = e / kBf16Dims * kBf16Dims + e % 2 * 16 + e % kBf16Dims / 2;  // even dims of each 32, then odd ones
            most = worse_of(most, std::abs(static_cast<double>(out.data()[row * shape.dim + at]) - sum) / magnitude);
        }
    return most;
}

// p_error: of a probability, as the unit takes it.
void check(const FewBf16& unit, const char* name, double p_error) {
    std::mt19937 dice(7);
    for (const Shape& shape : kShapes) {
        const std::string where = std::string(name) + ", " + shape.name;
        CHECK_MESSAGE(score_error(unit, shape, dice) < 1e-6, where);
        CHECK_MESSAGE(output_error(unit, shape, shape.dim, dice) < p_error, where);
        CHECK_MESSAGE(output_error(unit, shape, shape.dim - 1, dice) < p_error, where << ", the last dim NaN");
    }
}

const Case kCalls[] = {
    {"one row, one key", 1, 1, 32, 32},
    {"four heads of a group, blocks of keys", 1, 300, 128, 128, {.head_q = 8, .head_kv = 2}},
    {"eight heads of a group, dims of no tile's sizes", 1, 77, 96, 160, {.head_q = 8}},
    {"two rows of two heads, causal", 2, 150, 64, 64, {.causal = true, .head_q = 4, .head_kv = 2}},
    {"three rows, a causal window", 3, 290, 64, 64, {.causal = true, .head_q = 2, .window_left = 40}},
    {"lengths: none, one key, a part of a tile, all", 1, 200, 128, 64, {.head_q = 4, .kv_lengths = {0, 1, 23, 200}}},
    {"ragged", 5, 180, 64, 64, {.causal = true, .q_lengths = {2, 0, 5, 1}, .kv_lengths = {180, 9, 33, 1}}},
    {"pages that no tile fits", 1, 140, 64, 128, {.head_q = 4, .kv_lengths = {140, 31}, .page = 10}},
    {"pages of a tile, a window", 2, 200, 128, 128, {.head_q = 6, .head_kv = 2, .window_left = 70, .kv_lengths = {200, 130}, .page = 16}},
    {"softcap and ALiBi", 1, 150, 64, 64, {.head_q = 4, .softcap = 2, .alibi = true}},
    {"an added mask that excludes, and a sink", 4, 90, 64, 96, {.head_q = 2, .sink = true, .mask = Type::f32}},
    {"a boolean mask, values that are not finite", 2, 90, 64, 64, {.causal = true, .wild = 88, .head_q = 4, .mask = Type::boolean}},
};

std::vector<float> run(const Case& c, const Kernel& kernel) {
    Bf16Call call(c);
    const auto slice = Bf16Call::slice(kernel.slice_bytes(kernel, call.a, c.rules.item_rows));
    kernel.attend(kernel, call.a, call.p, call.schedule, 0, call.schedule.items, slice.get());
    return call.results();
}

// out and lse; where FMA's is not finite, neither is the unit's.
void check_calls(const FewBf16& unit, const char* name, double p_error) {
    const std::vector<const Kernel*> kernels = highway_kernels();
    const auto avx512 = std::find_if(kernels.begin(), kernels.end(), [](const Kernel* each) { return std::string(each->isa) == "avx512"; });
    REQUIRE(avx512 != kernels.end());
    Kernel by_unit = **avx512;
    by_unit.few_bf16 = &unit;
    for (const Case& c : kCalls) {
        const std::string where = std::string(name) + ", " + c.name;
        const std::vector<float> want = run(c, **avx512), found = run(c, by_unit);
        double most = 0;
        for (std::size_t i = 0; i < want.size(); ++i) {
            CHECK_MESSAGE(std::isfinite(want[i]) == std::isfinite(found[i]), where);
            const double magnitude = std::max(1.0, std::abs(static_cast<double>(want[i])));
            if (std::isfinite(want[i])) most = worse_of(most, std::abs(static_cast<double>(found[i] - want[i])) / magnitude);
        }
        // Scores' sums, of up to 128 products, round in another order on each side: 1e-5 of a logit, and so of a probability.
        CHECK_MESSAGE(most < p_error + 1e-5, where << ": " << most);
        CHECK_MESSAGE(std::count(want.begin(), want.end(), Bf16Call::kUntouched) == 0, where);
    }
}

bool runs() {
    if (__builtin_cpu_supports("avx512bf16")) return true;
    MESSAGE("skipped: the processor lacks AVX512-BF16");
    return false;
}

}  // namespace
#include "plugins/cpu/avx512_end-inl.h"

// Of a probability: two bf16 of 8 bits each, or one.
constexpr double kTilesError = 0x1p-16, kDotsError = 0x1p-8;

using Software = FewTiles<SoftwareTiles>;
constexpr FewBf16 kSoftware{Software::begin, Software::end, Software::pack, Software::scores, Software::output};

TEST_CASE("AMX's order of tiles gives both products of few rows") {
    if (runs()) check(kSoftware, "tiles", kTilesError);
}

TEST_CASE("AVX512-BF16 gives both products of few rows") {
    if (runs()) check(*few_bf16_by(MatrixUnit::avx512_bf16), "dots", kDotsError);
}

TEST_CASE("few rows by AMX's order of tiles give what FMA gives, under all rules") {
    if (runs()) check_calls(kSoftware, "tiles", kTilesError);
}

TEST_CASE("few rows by AVX512-BF16 give what FMA gives, under all rules") {
    if (runs()) check_calls(*few_bf16_by(MatrixUnit::avx512_bf16), "dots", kDotsError);
}
#endif
