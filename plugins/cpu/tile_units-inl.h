// The matrix units behind one concept: they multiply packed tiles (layouts: tile_layout.h) and differ in nothing else. Part of tile_kernel.cpp.
//
//   scores(q, k, s, rows)        the 32 x 32 scores of a group and a block of keys
//   output(p, v, o, add, rows)   a group's share of a strip of the output, from `blocks` blocks of keys; added to what is there, or in its place
//   flush()                      both may leave their result in registers until the next call: it is in memory now
//
// Both tell the rows of softmax when the scores of earlier calls have arrived in memory. kOverlaps: both run rows that are due beside their products,
// so that it pays to put off a group's softmax and output until the next group's; else scores() runs all that are there first.
#ifndef ROCFORGE_PLUGINS_CPU_TILE_UNITS_INL_H
#define ROCFORGE_PLUGINS_CPU_TILE_UNITS_INL_H

#include <immintrin.h>

#include <cstring>

#include "plugins/cpu/tile_amx-inl.h"
#include "plugins/cpu/tile_softmax-inl.h"

namespace rocforge::cpu::tiles {
namespace {

// A square of 2 x 2 result tiles (0..3) from two tiles of A (4, 5) and two of B (6, 7). A tile store keeps the matrix unit waiting for the result's
// latency and then for itself; so a square stays in registers until the first step of the next one, where each store comes just before
// the register is needed again and products of other tiles are under way.
template <class Tiles> class TileUnit {
public:
    static constexpr bool kOverlaps = true;
    explicit TileUnit(const Shape& shape) : shape_(shape) { Tiles::configure(); }
    ~TileUnit() { Tiles::release(); }
    TileUnit(const TileUnit&) = delete;
    TileUnit& operator=(const TileUnit&) = delete;

    void scores(const Bf16* q, const Bf16* k, float* s, SoftmaxRows& rows) {
        square<false>({q, q + shape_.q_elems_of_tile(), k, kTileElems}, shape_.steps, s, rows);
    }

    void output(const Bf16* p, const Bf16* v, std::int64_t blocks, float* o, bool add, SoftmaxRows& rows) {
        const Operands from{p, p + kTileElems, v, 2 * kTileElems};
        if (add)
            square<true>(from, blocks, o, rows);
        else
            square<false>(from, blocks, o, rows);
    }

    void flush() {
        if (!pending_) return;
        store_pending<0>(), store_pending<1>(), store_pending<2>(), store_pending<3>();
        pending_ = nullptr;
    }

private:
    struct Operands {
        const Bf16 *a0, *a1, *b;
        std::int64_t a_stride;  // elements a step
        void advance() { a0 += a_stride, a1 += a_stride, b += 2 * kTileElems; }
    };

    template <int kC> void store_pending() {
        if (pending_) Tiles::template store<kC>(pending_ + kC * kTileFloats);
    }

    // `to`, with kAdd plus what it holds.
    template <bool kAdd> void square(Operands from, std::int64_t steps, float* to, SoftmaxRows& rows) {
        step<true, kAdd>(from, to, rows);
        pending_ = to;
        rows.arrived();
        for (std::int64_t n = 1; n < steps; ++n) {
            from.advance();
            step<false, kAdd>(from, to, rows);
        }
    }

    template <bool kFirst, bool kAdd> [[gnu::always_inline]] void step(const Operands& from, const float* c, SoftmaxRows& rows) {
        std::int64_t due = rows.due();
        if (due > 2) rows.catch_up(due - 2), due = 2;
        if (due == 0)
            products<kFirst, kAdd, 0>(from, c, rows);
        else if (due == 1)
            products<kFirst, kAdd, 1>(from, c, rows);
        else
            products<kFirst, kAdd, 2>(from, c, rows);
    }

    // Four products, and behind each a row of each of kQuads quads: some 16 vector operations issue beside a product, and a row has 20.
    template <bool kFirst, bool kAdd, int kQuads> [[gnu::always_inline]] void products(const Operands& from, const float* c, SoftmaxRows& rows) {
        const __m512 factor = _mm512_set1_ps(rows.factor());
        SoftmaxRows::Quad quads[kQuads + 1];
        for (int n = 0; n < kQuads; ++n) quads[n] = rows.next();
        const auto softmax = [&](int r) __attribute__((always_inline)) {
            for (int n = 0; n < kQuads; ++n) SoftmaxRows::run(quads[n], r, factor);
        };
        // B passes by once: only what is read again is worth a place in L1.
        Tiles::template load<4>(from.a0);
        Tiles::template load_passing<6>(from.b);
        if constexpr (!kFirst) Tiles::template load_passing<7>(from.b + kTileElems), Tiles::template load<5>(from.a1);
        begin<0, kFirst, kAdd>(c);
        Tiles::template multiply<0, 4, 6>();
        softmax(0);
        if constexpr (kFirst) Tiles::template load_passing<7>(from.b + kTileElems);
        begin<1, kFirst, kAdd>(c);
        Tiles::template multiply<1, 4, 7>();
        softmax(1);
        if constexpr (kFirst) Tiles::template load<5>(from.a1);
        begin<2, kFirst, kAdd>(c);
        Tiles::template multiply<2, 5, 6>();
        softmax(2);
        begin<3, kFirst, kAdd>(c);
        Tiles::template multiply<3, 5, 7>();
        softmax(3);
    }
    template <int kC, bool kFirst, bool kAdd> void begin(const float* c) {
        if constexpr (!kFirst) return;
        store_pending<kC>();
        if constexpr (kAdd)
            Tiles::template load_passing<kC>(c + kC * kTileFloats);
        else
            Tiles::template zero<kC>();
    }

    const Shape& shape_;
    float* pending_ = nullptr;  // where the square in registers belongs
};

using Amx = TileUnit<AmxTiles>;

// 8 rows of both tiles of columns are 16 registers: a row of B meets 8 broadcast pairs of A, so that 16 products take 10 loads. With 16 rows of one
// tile they took 17, of which two a cycle were the limit.
class Avx512Bf16 {
public:
    static constexpr bool kOverlaps = false;  // one kind of execution port for both
    explicit Avx512Bf16(const Shape& shape) : shape_(shape) {}

    void scores(const Bf16* q, const Bf16* k, float* s, SoftmaxRows& rows) {
        rows.arrived();
        rows.finish(rows.queued());
        for (int tile = 0; tile < 2; ++tile) products<false>(q + tile * shape_.q_elems_of_tile(), kTileElems, k, shape_.steps, s + tile * kTwoTiles);
    }
    void output(const Bf16* p, const Bf16* v, std::int64_t blocks, float* o, bool add, SoftmaxRows&) {
        for (int tile = 0; tile < 2; ++tile) {
            if (add)
                products<true>(p + tile * kTileElems, 2 * kTileElems, v, blocks, o + tile * kTwoTiles);
            else
                products<false>(p + tile * kTileElems, 2 * kTileElems, v, blocks, o + tile * kTwoTiles);
        }
    }
    void flush() {}

private:
    static constexpr int kRows = 8;
    static constexpr std::int64_t kTwoTiles = 2 * kTileFloats;

    // c [2 tiles of columns] of one tile of rows: the sum of `steps` products of a tile of A and two of B.
    template <bool kAdd> static void products(const Bf16* a, std::int64_t a_stride, const Bf16* b, std::int64_t steps, float* c) {
        for (int row = 0; row < kTile; row += kRows, a += kRows * 32, c += kRows * kTile) products_of_rows<kAdd>(a, a_stride, b, steps, c);
    }
    template <bool kAdd> static void products_of_rows(const Bf16* a, std::int64_t a_stride, const Bf16* b, std::int64_t steps, float* c) {
        __m512 sum[kRows][2];
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
            sum[r][0] = kAdd ? _mm512_load_ps(c + r * kTile) : _mm512_setzero_ps();
            sum[r][1] = kAdd ? _mm512_load_ps(c + kTileFloats + r * kTile) : _mm512_setzero_ps();
        }
        for (std::int64_t n = 0; n < steps; ++n, a += a_stride, b += 2 * kTileElems)
            for (int pair = 0; pair < 16; ++pair) {
                const __m512i left = _mm512_load_si512(b + pair * 32), right = _mm512_load_si512(b + kTileElems + pair * 32);
#pragma GCC unroll 8
                for (int r = 0; r < kRows; ++r) {
                    std::int32_t two = 0;
                    std::memcpy(&two, a + r * 32 + pair * 2, sizeof two);
                    const __m512bh both = (__m512bh)_mm512_set1_epi32(two);
                    sum[r][0] = _mm512_dpbf16_ps(sum[r][0], both, (__m512bh)left);
                    sum[r][1] = _mm512_dpbf16_ps(sum[r][1], both, (__m512bh)right);
                }
            }
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
            _mm512_store_ps(c + r * kTile, sum[r][0]);
            _mm512_store_ps(c + kTileFloats + r * kTile, sum[r][1]);
        }
    }

    const Shape& shape_;
};

}  // namespace
}  // namespace rocforge::cpu::tiles
#endif
