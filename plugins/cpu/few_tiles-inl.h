// Both products of few rows on AMX, which reads K and V where they lie: 16 rows at one stride are a tile.
//
//   scores   A = 16 keys x 32 dims of K, B = 32 dims x the rows of q (packed once an item); C is [key][row] and turned in registers
//   output   B = 16 keys x 32 dims of V. A tile's dword multiplies dims 2n and 2n + 1 of one key, so p goes into its low half for the even dims
//            and, in another row of A, into its high half for the odd ones: no two keys need be interleaved. p is the sum of two bf16, since a
//            product of 16 rows costs what one of fewer does: up to four query rows have both halves in one tile.
//
// Part of few_bf16.cpp: compiled for AVX-512 alone. Tiles is AmxTiles, or software in tests.
#ifndef ROCFORGE_PLUGINS_CPU_FEW_TILES_INL_H
#define ROCFORGE_PLUGINS_CPU_FEW_TILES_INL_H

#include <immintrin.h>

#include <cstdint>
#include <cstring>
#include <utility>

#include "plugins/cpu/attention.h"
#include "plugins/cpu/few_sums-inl.h"
#include "plugins/cpu/lanes.h"

namespace rocforge::cpu {
namespace {

template <class Tiles> class FewTiles {
public:
    static void begin() { Tiles::configure(); }
    static void end() { Tiles::release(); }

    // [step of 32 dims][pair of dims][16 columns, a row each][2]; columns beyond the rows are 0.
    static void pack(const void* const* q_rows, std::int64_t rows, std::int64_t dim, void* packed) {
        std::memset(packed, 0, static_cast<std::size_t>(dim / kBf16Dims * kTileBytes));
        std::uint32_t* pairs = static_cast<std::uint32_t*>(packed);
        for (std::int64_t row = 0; row < rows; ++row)
            for (std::int64_t pair = 0; pair < dim / 2; ++pair)
                std::memcpy(pairs + pair * kKeys + row, static_cast<const char*>(q_rows[row]) + pair * 4, 4);
    }

    static void scores(const FewKeys& k, const void* packed, std::int64_t rows, float* scores, char* scratch) {
        const char* q = static_cast<const char*>(packed);
        if (k.dim == 64)
            scores_of<2>(k, q, rows, scores, scratch);
        else if (k.dim == 128)
            scores_of<4>(k, q, rows, scores, scratch);
        else
            scores_of<0>(k, q, rows, scores, scratch);
    }

    static std::int64_t output(const FewKeys& v, const float* p, std::int64_t rows, const float* rescale, float* out, std::int64_t out_stride,
                               char* scratch) {
        return rows <= 4 ? output_of<4>(v, p, rows, rescale, out, out_stride, scratch) : output_of<8>(v, p, rows, rescale, out, out_stride, scratch);
    }

private:
    static constexpr std::int64_t kKeys = 16, kTileBytes = 1024, kTileFloats = 256;
    static constexpr std::int64_t kMostGroups = kFewBlockKeys / kKeys;
    static_assert(kKeys <= kFewStep && (2 * kMostGroups + 4 + 1) * kTileBytes <= FewBf16::kScratchBytes);

    // 16 rows as a tile load takes them.
    class KeyTile {
    public:
        explicit KeyTile(const void* const* rows)
            : rows_(rows), stride_(static_cast<const char*>(rows[1]) - static_cast<const char*>(rows[0])), even_(at_one_stride()) {}

        // Bytes [at, at + 64) of each row; `copy` takes rows that are at no one stride (the last ones of a page, of a sequence).
        template <int kTo> void load(std::int64_t at, char* copy) const {
            if (even_) return Tiles::template load<kTo>(static_cast<const char*>(rows_[0]) + at, stride_);
            for (std::int64_t i = 0; i < kKeys; ++i) _mm512_store_si512(copy + i * 64, _mm512_loadu_si512(static_cast<const char*>(rows_[i]) + at));
            Tiles::template load<kTo>(copy);
        }

    private:
        bool at_one_stride() const {
            const __m512i step = _mm512_set1_epi64(stride_), index = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
            const __m512i low = _mm512_add_epi64(_mm512_set1_epi64(reinterpret_cast<std::int64_t>(rows_[0])), _mm512_mullo_epi64(step, index));
            const __m512i high = _mm512_add_epi64(low, _mm512_slli_epi64(step, 3));
            return (_mm512_cmpneq_epi64_mask(low, _mm512_loadu_si512(rows_)) | _mm512_cmpneq_epi64_mask(high, _mm512_loadu_si512(rows_ + 8))) == 0;
        }

        const void* const* rows_;
        std::int64_t stride_;
        bool even_;
    };

    // Asks memory for bytes [first, end) of rows [from, to) of a group, `ahead` rows on.
    static void ask(const FewKeys& keys, std::int64_t from, std::int64_t to, std::int64_t first, std::int64_t end) {
        for (std::int64_t row = from + keys.ahead; row < to + keys.ahead; ++row)
            for (std::int64_t at = first; at < end; at += 64) _mm_prefetch(static_cast<const char*>(keys.rows[row]) + at, _MM_HINT_T0);
    }

    // kSteps of 32 dims whose queries stay in registers 4.., or 0: as many as there are, queries loaded for each group of keys.
    template <int kSteps> static void scores_of(const FewKeys& k, const char* q, std::int64_t rows, float* scores, char* scratch) {
        float* const squares = reinterpret_cast<float*>(scratch);  // two, in turns: [key][row]
        char* const copy = scratch + 2 * kTileBytes;
        const auto load_query = [&]<int kN>(std::integral_constant<int, kN>) { Tiles::template load<4 + kN>(q + kN * kTileBytes); };
        unrolled<kSteps>(load_query);
        const std::int64_t groups = (k.keys + kKeys - 1) / kKeys;
        for (std::int64_t group = 0; group < groups; ++group) {
            float* const square = squares + group % 2 * kTileFloats;
            // The group before is turned while the products of this one are under way; two registers, so that its store does not wait for them.
            const auto step = [&]<int kC>(std::integral_constant<int, kC>) {
                products_of_group<kSteps, kC>(k, group * kKeys, q, copy);
                if (group > 0) turn(squares + (group - 1) % 2 * kTileFloats, rows, scores + (group - 1) * kKeys);
                Tiles::template store<kC>(square);
            };
            if (group % 2 == 0)
                step(std::integral_constant<int, 0>());
            else
                step(std::integral_constant<int, 1>());
        }
        turn(squares + (groups - 1) % 2 * kTileFloats, rows, scores + (groups - 1) * kKeys);
    }

    template <int kSteps, int kC> static void products_of_group(const FewKeys& k, std::int64_t first, const char* q, char* copy) {
        const KeyTile keys(k.rows + first);
        const std::int64_t bytes = k.dim * 2;
        Tiles::template zero<kC>();
        if constexpr (kSteps == 0) {
            ask(k, first, first + kKeys, 0, bytes);
            for (std::int64_t at = 0; at < bytes; at += 64) {
                keys.template load<2>(at, copy);
                Tiles::template load<4>(q + at / 64 * kTileBytes);
                Tiles::template multiply<kC, 2, 4>();
            }
        }
        // A share of what is asked for between any two loads: all at once would keep these waiting.
        unrolled<kSteps>([&]<int kN>(std::integral_constant<int, kN>) {
            keys.template load<2 + kN % 2>(kN * 64, copy);
            ask(k, first + kN * kKeys / kSteps, first + (kN + 1) * kKeys / kSteps, 0, bytes);
            Tiles::template multiply<kC, 2 + kN % 2, 4 + kN>();
        });
    }

    // [key][16] to [row][kFewBlockKeys]: 4 rows at a time, whose 16 keys are four vectors of [key][row], each lane of 128 bits a key.
    static void turn(const float* square, std::int64_t rows, float* scores) {
        for (std::int64_t row = 0; row < rows; row += 4, square += 4, scores += 4 * kFewBlockKeys) {
            __m512 z[4];
#pragma GCC unroll 4
            for (int i = 0; i < 4; ++i) {
                z[i] = _mm512_castps128_ps512(_mm_load_ps(square + i * 16));
                z[i] = _mm512_mask_broadcast_f32x4(z[i], 0x00F0, _mm_load_ps(square + (4 + i) * 16));
                z[i] = _mm512_mask_broadcast_f32x4(z[i], 0x0F00, _mm_load_ps(square + (8 + i) * 16));
                z[i] = _mm512_mask_broadcast_f32x4(z[i], 0xF000, _mm_load_ps(square + (12 + i) * 16));
            }
            const __m512d low01 = _mm512_castps_pd(_mm512_unpacklo_ps(z[0], z[1])), high01 = _mm512_castps_pd(_mm512_unpackhi_ps(z[0], z[1]));
            const __m512d low23 = _mm512_castps_pd(_mm512_unpacklo_ps(z[2], z[3])), high23 = _mm512_castps_pd(_mm512_unpackhi_ps(z[2], z[3]));
            const __m512d turned[4] = {_mm512_unpacklo_pd(low01, low23), _mm512_unpackhi_pd(low01, low23), _mm512_unpacklo_pd(high01, high23),
                                       _mm512_unpackhi_pd(high01, high23)};
#pragma GCC unroll 4
            for (int i = 0; i < 4; ++i)
                if (row + i < rows) _mm512_store_ps(scores + i * kFewBlockKeys, _mm512_castpd_ps(turned[i]));
        }
    }

    // kSlots rows of A for the even dims, as many for the odd ones; both bf16 of p in one tile (kSlots 4) or in two.
    template <int kSlots>
    static std::int64_t output_of(const FewKeys& v, const float* p, std::int64_t rows, const float* rescale, float* out, std::int64_t out_stride,
                                  char* scratch) {
        char* const tiles = scratch;
        char* const rest = scratch + (kSlots / 4) * kMostGroups * kTileBytes;
        pack_p<kSlots>(p, v.keys, rows, tiles);
        std::int64_t first = 0;
        const auto take = [&]<int kStrips>(std::integral_constant<int, kStrips>) {
            for (; first + kStrips * kBf16Dims <= v.dim; first += kStrips * kBf16Dims) {
                output_of_strips<kSlots, kStrips>(v, first * 2, tiles, rest);
                const float* squares = reinterpret_cast<const float*>(rest);
                const auto sum = [&](std::int64_t row, std::int64_t half) {
                    const float* at = squares + half / 2 * kTileFloats + (half % 2 * kSlots + row) * 16;
                    return kSlots == 8 ? _mm512_load_ps(at) : _mm512_add_ps(_mm512_load_ps(at), _mm512_load_ps(at + 8 * 16));
                };
                if (!add_sums(rows, 2 * kStrips, rescale, out + first, out_stride, sum)) return false;
            }
            return true;
        };
        return take(std::integral_constant<int, 4>()) && take(std::integral_constant<int, 2>()) && take(std::integral_constant<int, 1>()), first;
    }

    // A tiles of 16 keys, kSlots / 4 a group: p in the low halves for even dims, in the high ones for odd dims; keys beyond the last are 0.
    template <int kSlots> static void pack_p(const float* p, std::int64_t keys, std::int64_t rows, char* tiles) {
        const auto put = [](char* tile, std::int64_t row, __m256i half) {
            const __m512i even = _mm512_cvtepu16_epi32(half);
            _mm512_store_si512(tile + row * 64, even);
            _mm512_store_si512(tile + (kSlots + row) * 64, _mm512_slli_epi32(even, 16));
        };
        for (std::int64_t first = 0; first < keys; first += kKeys, tiles += kSlots / 4 * kTileBytes) {
            const __mmask16 there = static_cast<__mmask16>(first_lanes(keys - first));
            for (std::int64_t row = 0; row < rows; ++row) {
                const __m512 all = _mm512_maskz_load_ps(there, p + row * kFewBlockKeys + first);
                const __m256i high = (__m256i)_mm512_cvtneps_pbh(all);
                const __m512 left = _mm512_sub_ps(all, _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16)));
                put(tiles, row, high);
                put(kSlots == 4 ? tiles + 8 * 64 : tiles + kTileBytes, row, (__m256i)_mm512_cvtneps_pbh(left));
            }
        }
    }

    // Squares of kStrips strips of 32 dims, from byte `at` of each row on, left in `to`.
    template <int kSlots, int kStrips> static void output_of_strips(const FewKeys& v, std::int64_t at, const char* p, char* to) {
        char* const copy = to + kStrips * kTileBytes;
        unrolled<kStrips>([&]<int kN>(std::integral_constant<int, kN>) { Tiles::template zero<kN>(); });
        for (std::int64_t first = 0; first < v.keys; first += kKeys, p += kSlots / 4 * kTileBytes) {
            const KeyTile keys(v.rows + first);
            Tiles::template load<4>(p);
            if constexpr (kSlots == 8) Tiles::template load<7>(p + kTileBytes);
            unrolled<kStrips>([&]<int kN>(std::integral_constant<int, kN>) {
                keys.template load<5 + kN % 2>(at + kN * 64, copy);
                ask(v, first + kN * kKeys / kStrips, first + (kN + 1) * kKeys / kStrips, at, at + kStrips * 64);
                Tiles::template multiply<kN, 4, 5 + kN % 2>();
                if constexpr (kSlots == 8) Tiles::template multiply<kN, 7, 5 + kN % 2>();
            });
        }
        unrolled<kStrips>([&]<int kN>(std::integral_constant<int, kN>) { Tiles::template store<kN>(to + kN * kTileBytes); });
    }

    // each(0), each(1), ..., each(kCount - 1) as constants, which register numbers must be.
    template <int kCount, class Each> static void unrolled(const Each& each) {
        [&]<int... kN>(std::integer_sequence<int, kN...>) { (each(std::integral_constant<int, kN>()), ...); }
        (std::make_integer_sequence<int, kCount>());
    }
};

}  // namespace
}  // namespace rocforge::cpu
#endif
