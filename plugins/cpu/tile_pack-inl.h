// Rows of q, k and v copied into tiles (layouts: tile_layout.h). Part of tile_kernel.cpp: compiled for AVX-512 alone.
#ifndef ROCFORGE_PLUGINS_CPU_TILE_PACK_INL_H
#define ROCFORGE_PLUGINS_CPU_TILE_PACK_INL_H

#include <immintrin.h>

#include <bit>

#include "plugins/cpu/lanes.h"
#include "plugins/cpu/tile_layout.h"

namespace rocforge::cpu::tiles {
namespace {

// 32 rows of k or v, or fewer: null rows count as zeros.
struct KeyRows {
    const Bf16* row[kBlock];
};

// 32 elements of a row from dim `first` on, zeros beyond the last.
inline __m512i load_elems(const Bf16* row, std::int64_t first, std::int64_t dim) {
    return row ? _mm512_maskz_loadu_epi16(first_lanes(dim - first), row + first) : _mm512_setzero_si512();
}

// 16 rows of 16 dwords into their transpose: pairs of dwords, of quadwords, of lanes, of pairs of lanes.
inline void transpose_dwords(__m512i (&r)[16]) {
    __m512i t[16];
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
        r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    // r[4g + c], lane l: dwords 4l + c of rows 4g .. 4g + 3.
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
        t[c] = _mm512_shuffle_i32x4(r[c], r[4 + c], 0x88);
        t[4 + c] = _mm512_shuffle_i32x4(r[c], r[4 + c], 0xDD);
        t[8 + c] = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0x88);
        t[12 + c] = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0xDD);
    }
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
        r[c] = _mm512_shuffle_i32x4(t[c], t[8 + c], 0x88);
        r[8 + c] = _mm512_shuffle_i32x4(t[c], t[8 + c], 0xDD);
        r[4 + c] = _mm512_shuffle_i32x4(t[4 + c], t[12 + c], 0x88);
        r[12 + c] = _mm512_shuffle_i32x4(t[4 + c], t[12 + c], 0xDD);
    }
}

// One block of keys.
void pack_k(const KeyRows& keys, std::int64_t dim, const Shape& shape, Bf16* to) {
    for (std::int64_t step = 0; step < shape.steps; ++step)
        for (int half = 0; half < 2; ++half, to += kTileElems) {
            __m512i r[16];
#pragma GCC unroll 16
            for (int i = 0; i < 16; ++i) r[i] = load_elems(keys.row[half * 16 + i], step * kBlock, dim);
            transpose_dwords(r);
#pragma GCC unroll 16
            for (int i = 0; i < 16; ++i) _mm512_store_si512(to + i * 32, r[i]);
        }
}

// One block of keys of every strip; `to` is the block's place in the first strip. Is every value bounded: finite, and below kMostV in magnitude?
bool pack_v(const KeyRows& keys, std::int64_t dim_v, const Shape& shape, Bf16* to) {
    const __m512i magnitude = _mm512_set1_epi16(0x7FFF), least = _mm512_set1_epi16(std::bit_cast<std::uint32_t>(kMostV) >> 16);
    __mmask32 unbounded = 0;
    for (std::int64_t strip = 0; strip < shape.strips; ++strip, to += shape.v_elems_of_strip())
        for (int pair = 0; pair < 16; ++pair) {
            const __m512i even = load_elems(keys.row[2 * pair], strip * kBlock, dim_v),
                          odd = load_elems(keys.row[2 * pair + 1], strip * kBlock, dim_v);
            unbounded |= _mm512_cmpge_epi16_mask(_mm512_and_si512(even, magnitude), least);
            unbounded |= _mm512_cmpge_epi16_mask(_mm512_and_si512(odd, magnitude), least);
            _mm512_store_si512(to + pair * 32, _mm512_unpacklo_epi16(even, odd));
            _mm512_store_si512(to + kTileElems + pair * 32, _mm512_unpackhi_epi16(even, odd));
        }
    return unbounded == 0;
}

// One row of q, or zeros, as row `row % 16` of its tiles.
void pack_q_row(const Bf16* from, std::int64_t dim, const Shape& shape, std::int64_t row, Bf16* q) {
    Bf16* to = q + row / kTile * shape.q_elems_of_tile() + row % kTile * 32;
    for (std::int64_t step = 0; step < shape.steps; ++step) _mm512_store_si512(to + step * kTileElems, load_elems(from, step * kBlock, dim));
}

// The columns of a strip's two tiles in the order of dims: dims 0..15 and 16..31.
struct StripRow {
    __m512 low, high;
};
inline StripRow in_order(__m512 tile0, __m512 tile1) {
    const __m512i low = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), high = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    const __m512d a = _mm512_castps_pd(tile0), b = _mm512_castps_pd(tile1);
    return {_mm512_castpd_ps(_mm512_permutex2var_pd(a, low, b)), _mm512_castpd_ps(_mm512_permutex2var_pd(a, high, b))};
}

}  // namespace
}  // namespace rocforge::cpu::tiles
#endif
