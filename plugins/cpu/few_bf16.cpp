// Both products of few rows by AVX512-BF16: vdpbf16ps multiplies bf16 as it is stored, without the widening and with half the instructions of FMA.
// Sums are float32; inputs and sums below 1.2e-38 count as 0, as on every bf16 unit of x86. AMX's are few_tiles-inl.h's; softmax is few-inl.h's.
#include "plugins/cpu/few_bf16.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <cstring>
#include <type_traits>
#include <utility>

#include "plugins/cpu/avx512_begin-inl.h"
#include "plugins/cpu/few_sums-inl.h"
#include "plugins/cpu/few_tiles-inl.h"
#include "plugins/cpu/lanes.h"
#include "plugins/cpu/tile_amx-inl.h"
namespace rocforge::cpu {
namespace {

constexpr int kKeys = 4, kLine = 64;

inline __m512bh load(const void* from) { return __builtin_bit_cast(__m512bh, _mm512_loadu_si512(from)); }
inline __m512bh load(const void* const* rows, std::int64_t row, std::int64_t at) { return load(static_cast<const char*>(rows[row]) + at); }

inline void ask(const FewKeys& keys, std::int64_t row, std::int64_t at) {
    _mm_prefetch(static_cast<const char*>(keys.rows[row + keys.ahead]) + at, _MM_HINT_T0);
}

// The sums of two vectors' lanes, two lanes of each 128 bits a vector.
inline __m512d two_sums(__m512 a, __m512 b) { return _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b))); }
// The four vectors' sums side by side.
inline __m128 four_sums(__m512d ab, __m512d cd) {
    const __m512 all = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)), _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)));
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
    return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}

// Scores of all keys and up to three more, of kRows rows of kLines vectors, which stay in registers: rows of K are read one after the other, as
// memory likes it.
template <int kRows, int kLines> void score_short(const FewKeys& k, const char* q, float* scores) {
    __m512bh query[kRows][kLines];
#pragma GCC unroll 4
    for (int row = 0; row < kRows; ++row) {
#pragma GCC unroll 4
        for (int n = 0; n < kLines; ++n) query[row][n] = load(q + (row * kLines + n) * kLine);
    }
    for (std::int64_t key = 0; key < k.keys; key += kKeys) {
        __m512d sums[2][kRows];
#pragma GCC unroll 2
        for (int pair = 0; pair < 2; ++pair) {
            __m512 sum[2][kRows];
#pragma GCC unroll 2
            for (int i = 0; i < 2; ++i) {
#pragma GCC unroll 4
                for (int n = 0; n < kLines; ++n) {
                    const std::int64_t row_of_k = key + 2 * pair + i;
                    if (k.ahead) ask(k, row_of_k, n * kLine);
                    const __m512bh x = load(k.rows, row_of_k, n * kLine);
#pragma GCC unroll 4
                    for (int row = 0; row < kRows; ++row)
                        sum[i][row] = _mm512_dpbf16_ps(n == 0 ? _mm512_setzero_ps() : sum[i][row], x, query[row][n]);
                }
            }
#pragma GCC unroll 4
            for (int row = 0; row < kRows; ++row) sums[pair][row] = two_sums(sum[0][row], sum[1][row]);
        }
#pragma GCC unroll 4
        for (int row = 0; row < kRows; ++row) _mm_storeu_ps(scores + row * kFewBlockKeys + key, four_sums(sums[0][row], sums[1][row]));
    }
}

// The same of rows of any whole number of vectors: those of q are loaded for every four keys.
template <int kRows> void score_long(const FewKeys& k, const char* q, float* scores) {
    const std::int64_t bytes = k.dim * 2;
    for (std::int64_t key = 0; key < k.keys; key += kKeys) {
        for (std::int64_t i = key; k.ahead && i < key + kKeys; ++i) {
            for (std::int64_t at = 0; at < bytes; at += kLine) ask(k, i, at);
        }
        __m512 sum[kKeys][kRows];
#pragma GCC unroll 4
        for (int i = 0; i < kKeys; ++i) {
#pragma GCC unroll 4
            for (int row = 0; row < kRows; ++row) sum[i][row] = _mm512_setzero_ps();
        }
        for (std::int64_t at = 0; at < bytes; at += kLine) {
#pragma GCC unroll 4
            for (int i = 0; i < kKeys; ++i) {
                const __m512bh x = load(k.rows, key + i, at);
#pragma GCC unroll 4
                for (int row = 0; row < kRows; ++row) sum[i][row] = _mm512_dpbf16_ps(sum[i][row], x, load(q + row * bytes + at));
            }
        }
#pragma GCC unroll 4
        for (int row = 0; row < kRows; ++row)
            _mm_storeu_ps(scores + row * kFewBlockKeys + key, four_sums(two_sums(sum[0][row], sum[1][row]), two_sums(sum[2][row], sum[3][row])));
    }
}

// Sums of kLines * 32 dims from byte `at` of each row on, for kRows rows; even and odd dims of each 32 apart. pairs [row][kFewBlockKeys] of bf16, 0
// beyond the last key.
template <int kRows, int kLines> void sums_of(const FewKeys& v, std::int64_t at, const Bf16* pairs, float* sums) {
    __m512 low[kRows][kLines], high[kRows][kLines];
#pragma GCC unroll 2
    for (int row = 0; row < kRows; ++row) {
#pragma GCC unroll 4
        for (int n = 0; n < kLines; ++n) low[row][n] = high[row][n] = _mm512_setzero_ps();
    }
    for (std::int64_t key = 0; key < v.keys; key += 2) {
        __m512bh p[kRows];
#pragma GCC unroll 2
        for (int row = 0; row < kRows; ++row) {
            std::int32_t two = 0;
            std::memcpy(&two, pairs + row * kFewBlockKeys + key, sizeof two);
            p[row] = __builtin_bit_cast(__m512bh, _mm512_set1_epi32(two));
        }
#pragma GCC unroll 4
        for (int n = 0; n < kLines; ++n) {
            if (v.ahead) ask(v, key, at + n * kLine), ask(v, key + 1, at + n * kLine);
            const __m512i even = __builtin_bit_cast(__m512i, load(v.rows, key, at + n * kLine));
            __m512i odd = __builtin_bit_cast(__m512i, load(v.rows, key + 1, at + n * kLine));
            asm("" : "+v"(odd));  // a register: GCC would load it once for each of the two
            const __m512bh lower = __builtin_bit_cast(__m512bh, _mm512_unpacklo_epi16(even, odd)),
                           upper = __builtin_bit_cast(__m512bh, _mm512_unpackhi_epi16(even, odd));
#pragma GCC unroll 2
            for (int row = 0; row < kRows; ++row) {
                low[row][n] = _mm512_dpbf16_ps(low[row][n], lower, p[row]);
                high[row][n] = _mm512_dpbf16_ps(high[row][n], upper, p[row]);
            }
        }
    }
#pragma GCC unroll 2
    for (int row = 0; row < kRows; ++row) {
#pragma GCC unroll 4
        for (int n = 0; n < kLines; ++n) {
            float* to = sums + row * kFewBlockKeys + n * kBf16Dims;
            _mm512_store_ps(to, _mm512_shuffle_ps(low[row][n], high[row][n], _MM_SHUFFLE(2, 0, 2, 0)));
            _mm512_store_ps(to + 16, _mm512_shuffle_ps(low[row][n], high[row][n], _MM_SHUFFLE(3, 1, 3, 1)));
        }
    }
}

void pack_pairs(const float* p, std::int64_t keys, std::int64_t rows, Bf16* pairs) {
    const auto load_half = [&](std::int64_t row, std::int64_t first) {
        return _mm512_maskz_loadu_ps(static_cast<__mmask16>(first_lanes(keys - first)), p + row * kFewBlockKeys + first);
    };
    for (std::int64_t row = 0; row < rows; ++row)
        for (std::int64_t first = 0; first < keys; first += 32)
            _mm512_store_si512(pairs + row * kFewBlockKeys + first,
                               __builtin_bit_cast(__m512i, _mm512_cvtne2ps_pbh(load_half(row, first + 16), load_half(row, first))));
}

template <int kLines> void sums_of_rows(FewKeys v, std::int64_t at, const Bf16* pairs, std::int64_t rows, float* sums) {
    for (std::int64_t row = 0; row < rows; row += 2, v.ahead = 0) {
        if (row + 1 < rows)
            sums_of<2, kLines>(v, at, pairs + row * kFewBlockKeys, sums + row * kFewBlockKeys);
        else
            sums_of<1, kLines>(v, at, pairs + row * kFewBlockKeys, sums + row * kFewBlockKeys);
    }
}

template <int kLines>
bool output_lines(const FewKeys& v, const Bf16* pairs, std::int64_t rows, const float* rescale, float* out, std::int64_t out_stride, float* sums,
                  std::int64_t* first) {
    static_assert(kLines * kBf16Dims <= kFewBlockKeys, "sums [row][kFewBlockKeys]");
    const auto sum = [&](std::int64_t row, std::int64_t n) { return _mm512_load_ps(sums + row * kFewBlockKeys + n * 16); };
    for (; *first + kLines * kBf16Dims <= v.dim; *first += kLines * kBf16Dims) {
        sums_of_rows<kLines>(v, *first * 2, pairs, rows, sums);
        if (!add_sums(rows, 2 * kLines, rescale, out + *first, out_stride, sum)) return false;
    }
    return true;
}

void none() {}

void pack(const void* const* q_rows, std::int64_t rows, std::int64_t dim, void* packed) {
    for (std::int64_t row = 0; row < rows; ++row)
        std::memcpy(static_cast<char*>(packed) + row * dim * 2, q_rows[row], static_cast<std::size_t>(dim * 2));
}

void scores(const FewKeys& keys, const void* packed, std::int64_t rows, float* to, char*) {
    FewKeys k = keys;
    std::int64_t row = 0;
    const auto take = [&]<int kRows>(std::integral_constant<int, kRows>) {
        for (; row + kRows <= rows; row += kRows, k.ahead = 0) {
            const char* q = static_cast<const char*>(packed) + row * k.dim * 2;
            if (k.dim == 2 * kBf16Dims)
                score_short<kRows, 2>(k, q, to + row * kFewBlockKeys);
            else if (k.dim == 4 * kBf16Dims)
                score_short<kRows, 4>(k, q, to + row * kFewBlockKeys);
            else
                score_long<kRows>(k, q, to + row * kFewBlockKeys);
        }
    };
    take(std::integral_constant<int, 4>());
    take(std::integral_constant<int, 2>());
    take(std::integral_constant<int, 1>());
}

std::int64_t output(const FewKeys& v, const float* p, std::int64_t rows, const float* rescale, float* out, std::int64_t out_stride, char* scratch) {
    Bf16* const pairs = reinterpret_cast<Bf16*>(scratch);
    float* const sums = reinterpret_cast<float*>(scratch + FewBf16::kMostRows * kFewBlockKeys * 2);
    static_assert(FewBf16::kMostRows * kFewBlockKeys * (2 + 4) <= FewBf16::kScratchBytes);
    pack_pairs(p, v.keys, rows, pairs);
    std::int64_t first = 0;
    if (output_lines<4>(v, pairs, rows, rescale, out, out_stride, sums, &first) &&
        output_lines<2>(v, pairs, rows, rescale, out, out_stride, sums, &first))
        output_lines<1>(v, pairs, rows, rescale, out, out_stride, sums, &first);
    return first;
}

// AMX beside dots, to which a single row is left: tiles hold one row in sixteen then, and from cache take longer.
struct Amx {
    using Tiles = FewTiles<tiles::AmxTiles>;

    static void pack(const void* const* q_rows, std::int64_t rows, std::int64_t dim, void* packed) {
        return rows == 1 ? cpu::pack(q_rows, rows, dim, packed) : Tiles::pack(q_rows, rows, dim, packed);
    }
    static void scores(const FewKeys& k, const void* packed, std::int64_t rows, float* to, char* scratch) {
        return rows == 1 ? cpu::scores(k, packed, rows, to, scratch) : Tiles::scores(k, packed, rows, to, scratch);
    }
    static std::int64_t output(const FewKeys& v, const float* p, std::int64_t rows, const float* rescale, float* out, std::int64_t out_stride,
                               char* scratch) {
        const auto by = rows == 1 ? cpu::output : Tiles::output;
        return by(v, p, rows, rescale, out, out_stride, scratch);
    }
};

}  // namespace
}  // namespace rocforge::cpu
#include "plugins/cpu/avx512_end-inl.h"

namespace rocforge::cpu {

const FewBf16* few_bf16_by(MatrixUnit unit) {
    static constexpr FewBf16 kAmx{Amx::Tiles::begin, Amx::Tiles::end, Amx::pack, Amx::scores, Amx::output};
    static constexpr FewBf16 kDots{none, none, pack, scores, output};
    return unit == MatrixUnit::amx ? &kAmx : &kDots;
}

}  // namespace rocforge::cpu
#else
namespace rocforge::cpu {
const FewBf16* few_bf16_by(MatrixUnit) { return nullptr; }
}  // namespace rocforge::cpu
#endif
