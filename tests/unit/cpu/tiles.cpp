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
#include <string>
#include <vector>

#include "bf16_call.hpp"
#include "plugins/cpu/tile_layout.h"
#include "worse.hpp"

#include "plugins/cpu/avx512_begin-inl.h"
#include "plugins/cpu/tile_item-inl.h"
#include "software_tiles.hpp"

namespace {

using namespace rocforge::cpu;

const Case kCases[] = {
    {"two chunks", 70, 300, 64, 64},
    {"causal, a later key outgrows the maximum", 100, 600, 128, 96, {.causal = true, .spike = 250}},
    {"one step of dims", 33, 280, 20, 40, {.spike = 250}},
    {"wild values in the last chunk, none excluded", 40, 288, 32, 64, {.wild = 270}},
    {"wild values in the last chunk, causal", 300, 300, 64, 64, {.causal = true, .wild = 270}},
    {"wild values in the first chunk", 64, 290, 64, 160, {.causal = true, .wild = 3}},
    {"one step and one strip: four rows' softmax beside each product", 128, 520, 16, 16},
    {"one step and one strip, causal, a later key outgrows the maximum", 200, 520, 32, 32, {.causal = true, .spike = 250}},
    {"chunks of four blocks, a row beside every other product", 96, 300, 320, 256, {.causal = true}},
    {"groups of rows that span heads", 20, 300, 64, 64, {.causal = true, .head_q = 6, .head_kv = 2}},
    {"groups that span heads, wild values", 20, 300, 64, 64, {.causal = true, .wild = 285, .head_q = 3}},
    {"items of one head and one block of rows", 150, 290, 32, 64, {.causal = true, .head_q = 4, .head_kv = 2, .item_rows = 64}},
    {"a window to both sides", 200, 420, 64, 64, {.head_q = 2, .window_left = 60, .window_right = 9}},
    {"a causal window of one key, which leaves blocks and chunks out", 130, 530, 64, 32, {.causal = true, .head_q = 2, .window_left = 0}},
    {"lengths: none, one key, a whole block, all", 40, 300, 64, 64, {.kv_lengths = {0, 1, 32, 300}}},
    {"lengths, causal: rows before the first key", 70, 300, 64, 64, {.causal = true, .head_q = 2, .kv_lengths = {20, 299}}},
    {"ragged", 90, 300, 64, 64, {.causal = true, .spike = 250, .head_q = 2, .q_lengths = {33, 1, 0, 90, 5}, .kv_lengths = {300, 40, 7, 90, 0}}},
    {"ragged, on pages that no block fits",
     60,
     290,
     96,
     64,
     {.causal = true, .head_q = 2, .q_lengths = {3, 60}, .kv_lengths = {290, 75}, .page = 10}},
    {"softcap and ALiBi", 50, 300, 64, 64, {.causal = true, .head_q = 2, .softcap = 2, .alibi = true}},
    {"an added mask that excludes, wild values, a sink", 50, 300, 64, 64, {.wild = 270, .head_q = 3, .sink = true, .mask = Type::f32}},
    {"a boolean mask, causal, over lengths", 40, 300, 64, 64, {.causal = true, .head_q = 2, .kv_lengths = {300, 33}, .mask = Type::boolean}},
};

template <class Unit> std::vector<float> run(const Case& c) {
    Bf16Call call(c);
    const auto slice = Bf16Call::slice(tiles::carve(call.a, c.rules.item_rows, nullptr, nullptr));
    tiles::Scratch scratch;
    tiles::carve(call.a, c.rules.item_rows, slice.get(), &scratch);
    for (std::int64_t i = 0; i < call.schedule.items; ++i) {
        const Placed placed = place(call.a, call.schedule, i, false);
        tiles::ItemRun<Unit>(call.a, call.p, call.schedule, placed, scratch).run();
    }
    return call.results();
}

void check(const Case& c) {
    const std::vector<float> tiled = run<tiles::TileUnit<SoftwareTiles>>(c), plain = run<tiles::Avx512Bf16>(c);
    std::size_t different = 0;
    for (std::size_t i = 0; i < plain.size(); ++i) different += tiled[i] != plain[i] && !(std::isnan(tiled[i]) && std::isnan(plain[i]));
    CHECK_MESSAGE(different == 0, std::string(c.name), ": ", different, " of ", plain.size(), " values differ");
    CHECK_MESSAGE(std::count(plain.begin(), plain.end(), Bf16Call::kUntouched) == 0, std::string(c.name));
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
    for (const Case& c : kCases) check(c);
}

TEST_CASE("the tile kernel's exp2 and tanh keep their bounds") {
    if (!__builtin_cpu_supports("avx512bf16")) {
        MESSAGE("skipped: the processor lacks AVX512-BF16");
        return;
    }
    check_functions();
}
#endif
