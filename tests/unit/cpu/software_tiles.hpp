// AMX's tile registers in software, as tile_amx-inl.h's AmxTiles: the orders in which kernels load, multiply and store them are proven without AMX.
// Included where AVX-512 is compiled for (avx512_begin-inl.h); needs a processor with AVX512-BF16.
#ifndef ROCFORGE_TESTS_UNIT_CPU_SOFTWARE_TILES_HPP
#define ROCFORGE_TESTS_UNIT_CPU_SOFTWARE_TILES_HPP

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace {

// A register that is read before it is written holds NaN.
struct SoftwareTiles {
    static unsigned char (&tile(int n))[1024] {
        alignas(64) static unsigned char tiles[8][1024];
        return tiles[n];
    }
    static void configure() {
        for (int n = 0; n < 8; ++n) std::memset(tile(n), 0xFF, 1024);
    }
    static void release() { configure(); }
    template <int kTo> static void zero() { std::memset(tile(kTo), 0, 1024); }
    template <int kTo> static void load(const void* from, std::int64_t stride = 64) {
        for (int row = 0; row < 16; ++row) std::memcpy(tile(kTo) + row * 64, static_cast<const char*>(from) + row * stride, 64);
    }
    template <int kTo> static void load_passing(const void* from) { load<kTo>(from); }
    template <int kFrom> static void store(void* to) { std::memcpy(to, tile(kFrom), 1024); }
    template <int kC, int kA, int kB> static void multiply() {
        for (int r = 0; r < 16; ++r) {
            __m512 sum = _mm512_loadu_ps(tile(kC) + r * 64);
            for (int pair = 0; pair < 16; ++pair) {
                std::int32_t two = 0;
                std::memcpy(&two, tile(kA) + r * 64 + pair * 4, sizeof two);
                sum = _mm512_dpbf16_ps(sum, (__m512bh)_mm512_set1_epi32(two), (__m512bh)_mm512_loadu_si512(tile(kB) + pair * 64));
            }
            _mm512_storeu_ps(tile(kC) + r * 64, sum);
        }
    }
};

}  // namespace
#endif
