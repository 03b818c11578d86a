// The loops of peak.hpp, compiled once per instruction set through Highway; the units for bf16, which Highway 1.0 does not know, by themselves. They
// drive the same units as a CPU backend may, and share no line with one: this program knows no plugin.

// SSSE3, and what lies beyond AVX-512's common subset (the bits below HWY_AVX3), are no faster here; SVE's vectors have no size at compile time.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | (HWY_AVX3 - 1) | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "peak_loops.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include "peak.hpp"

#if HWY_ARCH_X86_64 && HWY_ONCE
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <array>
#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace rocforge::cli::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

std::size_t lanes() { return hn::Lanes(hn::ScalableTag<float>()); }

float multiply_add(std::size_t rounds, float a, float b) {
    constexpr hn::ScalableTag<float> d;
    const auto factor = hn::Set(d, a), addend = hn::Set(d, b);
    // By name: arrays of vectors are kept in memory by some compilers.
    auto x0 = hn::Set(d, 1.0f), x1 = hn::Set(d, 2.0f), x2 = hn::Set(d, 3.0f), x3 = hn::Set(d, 4.0f), x4 = hn::Set(d, 5.0f), x5 = hn::Set(d, 6.0f);
    auto x6 = hn::Set(d, 7.0f), x7 = hn::Set(d, 8.0f), x8 = hn::Set(d, 9.0f), x9 = hn::Set(d, 10.0f), xa = hn::Set(d, 11.0f), xb = hn::Set(d, 12.0f);
    for (std::size_t round = 0; round < rounds; ++round) {
        x0 = hn::MulAdd(x0, factor, addend), x1 = hn::MulAdd(x1, factor, addend), x2 = hn::MulAdd(x2, factor, addend);
        x3 = hn::MulAdd(x3, factor, addend), x4 = hn::MulAdd(x4, factor, addend), x5 = hn::MulAdd(x5, factor, addend);
        x6 = hn::MulAdd(x6, factor, addend), x7 = hn::MulAdd(x7, factor, addend), x8 = hn::MulAdd(x8, factor, addend);
        x9 = hn::MulAdd(x9, factor, addend), xa = hn::MulAdd(xa, factor, addend), xb = hn::MulAdd(xb, factor, addend);
    }
    const auto low = hn::Add(hn::Add(hn::Add(x0, x1), hn::Add(x2, x3)), hn::Add(x4, x5));
    const auto high = hn::Add(hn::Add(hn::Add(x6, x7), hn::Add(x8, x9)), hn::Add(xa, xb));
    return hn::GetLane(hn::SumOfLanes(d, hn::Add(low, high)));
}

// Four places at once, a page apart from each other at least: one stream alone leaves a core's miss buffers idle. With a prefetch ahead of each, or
// without: from memory the one is faster, from the caches the other.
std::uint64_t exclusive_or(const std::uint8_t* bytes, std::size_t count, bool ahead) {
    constexpr hn::ScalableTag<std::uint64_t> d;
    constexpr std::size_t kStreams = 4, kLine = 64, kAhead = 1024;
    const std::size_t part = count / kStreams / kLine * kLine, step = hn::Lanes(d) * sizeof(std::uint64_t);
    auto x0 = hn::Zero(d), x1 = hn::Zero(d), x2 = hn::Zero(d), x3 = hn::Zero(d);
    const auto load = [&](std::size_t at) { return hn::LoadU(d, reinterpret_cast<const std::uint64_t*>(bytes + at)); };
    for (std::size_t line = 0; line < part; line += kLine) {
        for (std::size_t stream = 0; ahead && stream < kStreams; ++stream) {
            const std::size_t next = stream * part + line + kAhead;
            if (next < count) hwy::Prefetch(bytes + next);
        }
        for (std::size_t at = line; at < line + kLine; at += step) {
            x0 = hn::Xor(x0, load(at)), x1 = hn::Xor(x1, load(part + at));
            x2 = hn::Xor(x2, load(2 * part + at)), x3 = hn::Xor(x3, load(3 * part + at));
        }
    }
    HWY_ALIGN std::uint64_t lane[HWY_MAX_BYTES / sizeof(std::uint64_t)];
    hn::Store(hn::Xor(hn::Xor(x0, x1), hn::Xor(x2, x3)), d, lane);
    std::uint64_t all = 0;
    for (std::size_t i = 0; i < hn::Lanes(d); ++i) all ^= lane[i];
    for (std::size_t at = kStreams * part; at + sizeof all <= count; at += sizeof all) {
        std::uint64_t word = 0;
        std::memcpy(&word, bytes + at, sizeof word);
        all ^= word;
    }
    return all;
}

}  // namespace rocforge::cli::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rocforge::cli {

HWY_EXPORT(lanes);
HWY_EXPORT(multiply_add);
HWY_EXPORT(exclusive_or);

std::size_t FmaLoop::lanes() { return HWY_DYNAMIC_DISPATCH(lanes)(); }
float FmaLoop::run(std::size_t rounds, float a, float b) { return HWY_DYNAMIC_DISPATCH(multiply_add)(rounds, a, b); }
std::uint64_t read_all(std::span<const std::byte> span, bool ahead) {
    return HWY_DYNAMIC_DISPATCH(exclusive_or)(reinterpret_cast<const std::uint8_t*>(span.data()), span.size(), ahead);
}

#if HWY_ARCH_X86_64
namespace {

// AMX: the processor's bits (leaf 7: AMX-BF16, AMX-TILE), and Linux's permission for this process to keep tiles, asked once.
bool has_amx() {
    static const bool has = [] {
        unsigned a = 0, b = 0, c = 0, d = 0;
        constexpr unsigned kBf16 = 1u << 22, kTile = 1u << 24;
        constexpr long kRequestPermission = 0x1023, kTileData = 18;
        if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & kBf16) == 0 || (d & kTile) == 0) return false;
        return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
    }();
    return has;
}

constexpr double kTileFlops = 2.0 * 16 * 16 * 32;  // one TDPBF16PS: 16 x 32 times 32 x 16

// Four accumulators, so that none waits for its own last product. Values other than 0: those let the unit draw less power and run faster.
float amx_products(std::size_t rounds) {
    alignas(64) static const auto kTiles = [] {
        std::array<std::uint16_t, 512> tile{};
        // From 0.125 to 32, of both signs; the ten upper bits of a product in 32.
        for (std::uint32_t i = 0; i < tile.size(); ++i) tile[i] = static_cast<std::uint16_t>(0x3e00 + (i * 2654435761u >> 22) + (i % 2 << 15));
        return tile;
    }();
    alignas(64) std::uint8_t config[64] = {1};
    for (int tile = 0; tile < 8; ++tile) config[16 + 2 * tile] = 64, config[48 + tile] = 16;
    alignas(64) float out[256];
    asm volatile("ldtilecfg (%0)" ::"r"(config), "m"(config) : "memory");
    asm volatile(
        "tilezero %%tmm0\n tilezero %%tmm1\n tilezero %%tmm2\n tilezero %%tmm3\n"
        "tileloadd (%0,%1,1), %%tmm4\n tileloadd (%0,%1,1), %%tmm5\n tileloadd (%0,%1,1), %%tmm6\n tileloadd (%0,%1,1), %%tmm7\n" ::"r"(
            kTiles.data()),
        "r"(std::size_t{64})
        : "memory");
    for (std::size_t round = 0; round < rounds; ++round) {
        asm volatile(
            "tdpbf16ps %%tmm6, %%tmm4, %%tmm0\n tdpbf16ps %%tmm7, %%tmm4, %%tmm1\n"
            "tdpbf16ps %%tmm6, %%tmm5, %%tmm2\n tdpbf16ps %%tmm7, %%tmm5, %%tmm3\n" ::
                : "memory");
    }
    asm volatile("tilestored %%tmm0, (%0,%1,1)\n tilerelease\n" ::"r"(out), "r"(std::size_t{64}) : "memory");
    return out[0];
}

constexpr int kDotChains = 24;  // six cycles by two ports make twelve at least; that few lost 9 % on a Zen 5

__attribute__((target("avx512f,avx512bf16"))) float dot_products(std::size_t rounds) {
    __m512 x[kDotChains];
    for (__m512& each : x) each = _mm512_setzero_ps();
    const __m512bh a = (__m512bh)_mm512_set1_epi32(0x3f003e80), b = (__m512bh)_mm512_set1_epi32(static_cast<int>(0xbf003f00));
    for (std::size_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 24
        for (__m512& each : x) each = _mm512_dpbf16_ps(each, a, b);
    }
    __m512 sum = x[0];
    for (int chain = 1; chain < kDotChains; ++chain) sum = _mm512_add_ps(sum, x[chain]);
    return _mm512_reduce_add_ps(sum);
}

bool has_dot() { return __builtin_cpu_supports("avx512bf16"); }

}  // namespace

std::string Bf16Loop::unit() { return has_amx() ? "AMX bf16" : has_dot() ? "AVX-512 bf16" : ""; }
double Bf16Loop::flops_per_round() { return has_amx() ? 4 * kTileFlops : 2.0 * 32 * kDotChains; }
float Bf16Loop::run(std::size_t rounds) { return has_amx() ? amx_products(rounds) : dot_products(rounds); }
#else
std::string Bf16Loop::unit() { return {}; }
double Bf16Loop::flops_per_round() { return 0; }
float Bf16Loop::run(std::size_t) { return 0; }
#endif

}  // namespace rocforge::cli
#endif
