// The order in which the AMX kernel loads, multiplies and stores its tiles, proven without AMX: the same kernel over registers in software must give
// the bits that AVX512-BF16 gives over the same packed operands, also where chunks are done again carefully. Needs a processor with AVX512-BF16.
#include <doctest/doctest.h>

#if defined(__x86_64__)
#include <immintrin.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/common/half.h"
#include "plugins/cpu/tile_layout.h"
#include "worse.hpp"

#include "plugins/cpu/avx512_begin-inl.h"
#include "plugins/cpu/tile_item-inl.h"
#include "software_tiles.hpp"

namespace {

using namespace rocforge::cpu;

struct Shape {
    const char* name;
    std::int64_t rows, keys, dim, dim_v;
    bool causal;
    float spike;        // a key of such values
    std::int64_t wild;  // a value of v there is 1e30, the next one NaN; -1: none
};
const Shape kShapes[] = {
    {"two chunks", 70, 300, 64, 64, false, 0, -1},
    {"causal, a later key outgrows the maximum", 100, 600, 128, 96, true, 250, -1},
    {"one step of dims", 33, 280, 20, 40, false, 250, -1},
    {"wild values in the last chunk, none excluded", 40, 288, 32, 64, false, 0, 270},
    {"wild values in the last chunk, causal", 300, 300, 64, 64, true, 0, 270},
    {"wild values in the first chunk", 64, 290, 64, 160, true, 0, 3},
    {"one step and one strip: four rows' softmax beside each product", 128, 520, 16, 16, false, 0, -1},
    {"one step and one strip, causal, a later key outgrows the maximum", 200, 520, 32, 32, true, 250, -1},
    {"chunks of four blocks, a row beside every other product", 96, 300, 320, 256, true, 0, -1},
};

template <class Unit> std::vector<float> run(const Shape& shape) {
    std::mt19937 dice(5);
    std::uniform_real_distribution<float> value(-1, 1);
    const auto random = [&](std::int64_t count) {
        std::vector<std::uint16_t> made(static_cast<std::size_t>(count));
        for (auto& each : made) each = rocforge::kernels::bf16_from_f32(value(dice));
        return made;
    };
    std::vector<std::uint16_t> q = random(shape.rows * shape.dim), k = random(shape.keys * shape.dim), v = random(shape.keys * shape.dim_v);
    if (shape.spike > 0) std::fill_n(k.begin() + (shape.keys - 20) * shape.dim, shape.dim, rocforge::kernels::bf16_from_f32(shape.spike));
    if (shape.wild >= 0) {
        v[static_cast<std::size_t>(shape.wild * shape.dim_v)] = rocforge::kernels::bf16_from_f32(1e30f);
        v[static_cast<std::size_t>((shape.wild + 1) * shape.dim_v + 1)] = rocforge::kernels::bf16_from_f32(NAN);
    }
    std::vector<float> out(static_cast<std::size_t>(shape.rows * shape.dim_v), -7.0f);

    Attention a{.batch = 1, .head_q = 1, .head_kv = 1, .max_seq_q = shape.rows, .max_seq_kv = shape.keys, .dim = shape.dim, .dim_v = shape.dim_v};
    a.q = {Type::bf16, 0, 0, shape.dim, 1}, a.k = a.q, a.v = {Type::bf16, 0, 0, shape.dim_v, 1}, a.out = {Type::f32, 0, 0, shape.dim_v, 1};
    a.scale = 1 / std::sqrt(static_cast<float>(shape.dim)), a.causal = shape.causal, a.bottom_right = true;
    const Pointers p{.q = q.data(), .k = k.data(), .v = v.data(), .out = out.data()};
    const Schedule schedule{};
    const Sequence sequence{.len_q = shape.rows, .len_kv = shape.keys};
    Item item{.heads = 1, .rows = shape.rows, .keys = rule_of(a, sequence).any_of_rows(0, shape.rows, shape.keys), .slot = -1};
    const std::unique_ptr<char, decltype(&std::free)> slice(
        static_cast<char*>(std::aligned_alloc(256, static_cast<std::size_t>(tiles::carve(a, shape.rows, nullptr, nullptr)))), std::free);
    tiles::Scratch scratch;
    tiles::carve(a, shape.rows, slice.get(), &scratch);
    const Placed placed{&sequence, item};
    tiles::ItemRun<Unit>(a, p, schedule, placed, scratch).run();
    return out;
}

void check(const Shape& shape) {
    const std::vector<float> tiled = run<tiles::TileUnit<SoftwareTiles>>(shape), plain = run<tiles::Avx512Bf16>(shape);
    std::size_t different = 0;
    for (std::size_t i = 0; i < plain.size(); ++i) different += tiled[i] != plain[i] && !(std::isnan(tiled[i]) && std::isnan(plain[i]));
    CHECK_MESSAGE(different == 0, std::string(shape.name), ": ", different, " of ", plain.size(), " values differ");
}

// The largest relative error of kF over [low, high].
template <__m512 (*kF)(__m512)> double worst(float low, float high, double (*exact)(double)) {
    double most = 0;
    for (int n = 0; n < 20000; ++n) {
        alignas(64) float x[16], y[16];
        for (int i = 0; i < 16; ++i) x[i] = low + (high - low) * static_cast<float>(n * 16 + i) / 320000;
        _mm512_store_ps(y, kF(_mm512_load_ps(x)));
        for (int i = 0; i < 16; ++i)
            if (const double want = exact(static_cast<double>(x[i])); want != 0)
                most = worse_of(most, std::abs(static_cast<double>(y[i]) / want - 1));
    }
    return most;
}

void check_functions() {
    CHECK(worst<tiles::exp2_of>(-120, 50, std::exp2) < 3.2e-6);
    CHECK(worst<tiles::tanh_of>(-1, 1, std::tanh) < 5e-7);
    CHECK(worst<tiles::tanh_of>(-1e-3f, 1e-3f, std::tanh) < 5e-7);
    CHECK(worst<tiles::tanh_of>(-60, 60, std::tanh) < 5e-7);
}

}  // namespace
#include "plugins/cpu/avx512_end-inl.h"

TEST_CASE("the AMX kernel's order of tiles gives AVX512-BF16's bits") {
    if (!__builtin_cpu_supports("avx512bf16")) {
        MESSAGE("skipped: the processor lacks AVX512-BF16");
        return;
    }
    for (const Shape& shape : kShapes) check(shape);
}

TEST_CASE("the tile kernel's exp2 and tanh keep their bounds") {
    if (!__builtin_cpu_supports("avx512bf16")) {
        MESSAGE("skipped: the processor lacks AVX512-BF16");
        return;
    }
    check_functions();
}
#endif
