// The matrix units behind one concept: they multiply packed tiles (layouts: tile_layout.h) and differ in nothing else. Part of tile_kernel.cpp.
//
//   scores(q, k, s, softmax)   the 32 x 32 scores of a group and a block of keys; on the way, the softmax of the block before it
//   output(p, v, o, add)       a group's share of a strip of the output, from `blocks` blocks of keys; added to what is there, or in its place
//   flush()                   both may leave their result in registers until the next call: it is in memory now
#ifndef ROCFORGE_PLUGINS_CPU_TILE_UNITS_INL_H
#define ROCFORGE_PLUGINS_CPU_TILE_UNITS_INL_H

#include <immintrin.h>

#include "plugins/cpu/tile_amx-inl.h"
#include "plugins/cpu/tile_softmax-inl.h"

namespace rocforge::cpu::tiles {
namespace {

// A square of 2 x 2 result tiles (0..3) from two tiles of A (4, 5) and two of B (6, 7). A tile store keeps the matrix unit waiting for the result's
// latency and then for itself; so a square stays in registers until the first step of the next one, where each store comes just before
// the register is needed again and products of other tiles are under way.
template <class Tiles> class TileUnit {
public:
    explicit TileUnit(const Shape& shape) : shape_(shape) { Tiles::configure(); }
    ~TileUnit() { Tiles::release(); }
    TileUnit(const TileUnit&) = delete;
    TileUnit& operator=(const TileUnit&) = delete;

    void scores(const Bf16* q, const Bf16* k, float* s, const BlockSoftmax& softmax) {
        const Operands step{q, q + shape_.q_elems_of_tile(), k, kTileElems, 2 * kTileElems};
        first_step<false>(step, nullptr);
        pending_ = s;
        for (std::int64_t n = 1; n < shape_.steps; ++n) further_step(step.at(n));
        softmax.run();  // products are still under way
    }

    void output(const Bf16* p, const Bf16* v, std::int64_t blocks, float* o, bool add) {
        const Operands step{p, p + kTileElems, v, 2 * kTileElems, 2 * kTileElems};
        if (add)
            first_step<true>(step, o);
        else
            first_step<false>(step, o);
        pending_ = o;
        // The strip that comes next in memory is next in time; its lines are all that the copies of a group do not find in L1.
        const char* ahead = reinterpret_cast<const char*>(o + kSquare);
        for (std::int64_t n = 1; n < blocks; ++n, ahead += kLinesAhead * 64) {
            for (int line = 0; line < kLinesAhead; ++line) _mm_prefetch(ahead + line * 64, _MM_HINT_T0);
            further_step(step.at(n));
        }
    }

    void flush() {
        if (!pending_) return;
        store_pending<0>(), store_pending<1>(), store_pending<2>(), store_pending<3>();
        pending_ = nullptr;
    }

private:
    struct Operands {
        const Bf16 *a0, *a1, *b;
        std::int64_t a_stride, b_stride;  // elements a step
        Operands at(std::int64_t n) const { return {a0 + n * a_stride, a1 + n * a_stride, b + n * b_stride, a_stride, b_stride}; }
    };

    template <int kC> void store_pending() {
        if (pending_) Tiles::template store<kC>(pending_ + kC * kTileFloats);
    }
    template <int kC, bool kAdd> void begin(const float* o) {
        store_pending<kC>();
        if constexpr (kAdd)
            Tiles::template load<kC>(o + kC * kTileFloats);
        else
            Tiles::template zero<kC>();
    }
    template <bool kAdd> void first_step(const Operands& from, const float* o) {
        Tiles::template load<4>(from.a0);
        Tiles::template load<6>(from.b);
        begin<0, kAdd>(o);
        Tiles::template multiply<0, 4, 6>();
        Tiles::template load<7>(from.b + kTileElems);
        begin<1, kAdd>(o);
        Tiles::template multiply<1, 4, 7>();
        Tiles::template load<5>(from.a1);
        begin<2, kAdd>(o);
        Tiles::template multiply<2, 5, 6>();
        begin<3, kAdd>(o);
        Tiles::template multiply<3, 5, 7>();
    }
    static void further_step(const Operands& from) {
        Tiles::template load<4>(from.a0);
        Tiles::template load<6>(from.b);
        Tiles::template load<7>(from.b + kTileElems);
        Tiles::template load<5>(from.a1);
        Tiles::template multiply<0, 4, 6>();
        Tiles::template multiply<1, 4, 7>();
        Tiles::template multiply<2, 5, 6>();
        Tiles::template multiply<3, 5, 7>();
    }

    static constexpr int kLinesAhead = 9;  // a step of 8: the next 4 KB
    const Shape& shape_;
    float* pending_ = nullptr;  // where the square in registers belongs
};

using Amx = TileUnit<AmxTiles>;

// 8 rows of both tiles of columns are 16 registers: a row of B meets 8 broadcast pairs of A, so that 16 products take 10 loads. With 16 rows of one
// tile they took 17, of which two a cycle were the limit.
class Avx512Bf16 {
public:
    explicit Avx512Bf16(const Shape& shape) : shape_(shape) {}

    void scores(const Bf16* q, const Bf16* k, float* s, const BlockSoftmax& softmax) {
        softmax.run();
        for (int tile = 0; tile < 2; ++tile) multiply<false>(q + tile * shape_.q_elems_of_tile(), kTileElems, k, shape_.steps, s + tile * kTwoTiles);
    }
    void output(const Bf16* p, const Bf16* v, std::int64_t blocks, float* o, bool add) {
        for (int tile = 0; tile < 2; ++tile) {
            if (add)
                multiply<true>(p + tile * kTileElems, 2 * kTileElems, v, blocks, o + tile * kTwoTiles);
            else
                multiply<false>(p + tile * kTileElems, 2 * kTileElems, v, blocks, o + tile * kTwoTiles);
        }
    }
    void flush() {}

private:
    static constexpr int kRows = 8;
    static constexpr std::int64_t kTwoTiles = 2 * kTileFloats;

    // c [2 tiles of columns] of one tile of rows: the sum of `steps` products of a tile of A and two of B.
    template <bool kAdd> static void multiply(const Bf16* a, std::int64_t a_stride, const Bf16* b, std::int64_t steps, float* c) {
        for (int row = 0; row < kTile; row += kRows, a += kRows * 32, c += kRows * kTile) rows<kAdd>(a, a_stride, b, steps, c);
    }
    template <bool kAdd> static void rows(const Bf16* a, std::int64_t a_stride, const Bf16* b, std::int64_t steps, float* c) {
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
