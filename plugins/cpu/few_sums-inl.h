// How sums of one block join the output of few rows, for units for bf16. Part of few_bf16.cpp: compiled for AVX-512 alone.
#ifndef ROCFORGE_PLUGINS_CPU_FEW_SUMS_INL_H
#define ROCFORGE_PLUGINS_CPU_FEW_SUMS_INL_H

#include <immintrin.h>

#include <cstdint>

namespace rocforge::cpu {
namespace {

// out [row][out_stride] = out * rescale[row] + sum(row, n), of `vectors` vectors; false, and nothing is added, where a sum is not finite.
template <class Sum>
bool add_sums(std::int64_t rows, std::int64_t vectors, const float* rescale, float* out, std::int64_t out_stride, const Sum& sum) {
    __m512 check = _mm512_setzero_ps();
    for (std::int64_t row = 0; row < rows; ++row)
        for (std::int64_t n = 0; n < vectors; ++n) check = _mm512_add_ps(check, _mm512_sub_ps(sum(row, n), sum(row, n)));
    if (_mm512_cmp_ps_mask(check, check, _CMP_UNORD_Q) != 0) return false;
    for (std::int64_t row = 0; row < rows; ++row, out += out_stride)
        for (std::int64_t n = 0; n < vectors; ++n)
            _mm512_store_ps(out + n * 16, _mm512_fmadd_ps(_mm512_load_ps(out + n * 16), _mm512_set1_ps(rescale[row]), sum(row, n)));
    return true;
}

}  // namespace
}  // namespace rocforge::cpu
#endif
