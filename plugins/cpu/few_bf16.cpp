// The scores of a few rows by AVX512-BF16: vdpbf16ps multiplies bf16 as it is stored, without the widening and with half the instructions of FMA.
// Sums are float32; inputs and sums below 1.2e-38 count as 0, as on every bf16 unit of x86. The rest of such an item is few-inl.h's.
#include "plugins/cpu/few_bf16.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include "plugins/cpu/avx512_begin-inl.h"
namespace rocforge::cpu {
namespace {

constexpr int kKeys = 4, kLine = 64;

inline __m512bh load(const void* from) { return __builtin_bit_cast(__m512bh, _mm512_loadu_si512(from)); }

// The four vectors' sums side by side, as four_sums of few-inl.h.
inline __m128 four_sums(__m512 a, __m512 b, __m512 c, __m512 d) {
    const __m512 ac = _mm512_add_ps(_mm512_unpacklo_ps(a, c), _mm512_unpackhi_ps(a, c)),
                 bd = _mm512_add_ps(_mm512_unpacklo_ps(b, d), _mm512_unpackhi_ps(b, d));
    const __m512 all = _mm512_add_ps(_mm512_unpacklo_ps(ac, bd), _mm512_unpackhi_ps(ac, bd));
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
    return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}

// scores[row][0, kKeys) of kRows rows.
template <int kRows> void score_step(const void* const* k_rows, const void* const* q_rows, std::int64_t bytes, float* scores) {
    __m512 sum[kKeys][kRows];
#pragma GCC unroll 4
    for (int key = 0; key < kKeys; ++key) {
#pragma GCC unroll 4
        for (int row = 0; row < kRows; ++row) sum[key][row] = _mm512_setzero_ps();
    }
    for (std::int64_t at = 0; at < bytes; at += kLine) {
        __m512bh q[kRows];
#pragma GCC unroll 4
        for (int row = 0; row < kRows; ++row) q[row] = load(static_cast<const char*>(q_rows[row]) + at);
#pragma GCC unroll 4
        for (int key = 0; key < kKeys; ++key) {
            const __m512bh k = load(static_cast<const char*>(k_rows[key]) + at);
#pragma GCC unroll 4
            for (int row = 0; row < kRows; ++row) sum[key][row] = _mm512_dpbf16_ps(sum[key][row], k, q[row]);
        }
    }
#pragma GCC unroll 4
    for (int row = 0; row < kRows; ++row) _mm_storeu_ps(scores + row * kFewBlockKeys, four_sums(sum[0][row], sum[1][row], sum[2][row], sum[3][row]));
}

template <int kRows>
void score_rows(const void* const* k_rows, bool ask, std::int64_t keys, const void* const* q_rows, std::int64_t bytes, float* scores) {
    for (std::int64_t key = 0; key < keys; key += kKeys) {
        for (std::int64_t i = key; ask && i < key + kKeys; ++i) {
            for (std::int64_t at = 0; at < bytes; at += kLine) _mm_prefetch(static_cast<const char*>(k_rows[i + kFewAhead]) + at, _MM_HINT_T0);
        }
        score_step<kRows>(k_rows + key, q_rows, bytes, scores + key);
    }
}

}  // namespace
}  // namespace rocforge::cpu
#include "plugins/cpu/avx512_end-inl.h"

namespace rocforge::cpu {
namespace {

void score(const void* const* k_rows, std::int64_t keys, const void* const* q_rows, std::int64_t rows, std::int64_t dim, float* scores) {
    const std::int64_t bytes = dim * 2;
    std::int64_t row = 0;
    const auto take = [&](auto score_rows_of, std::int64_t count) {
        for (; row + count <= rows; row += count) score_rows_of(k_rows, row == 0, keys, q_rows + row, bytes, scores + row * kFewBlockKeys);
    };
    take(score_rows<4>, 4);
    take(score_rows<2>, 2);
    take(score_rows<1>, 1);
}

}  // namespace

ScoreBf16 few_bf16_scores() { return score; }

}  // namespace rocforge::cpu
#else
namespace rocforge::cpu {
ScoreBf16 few_bf16_scores() { return nullptr; }
}  // namespace rocforge::cpu
#endif
