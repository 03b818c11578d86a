// What happens to a block's 32 x 32 scores between the two products: to logits in units of log2, exclusion, probabilities in bf16 against a stale
// maximum. Part of tile_kernel.cpp: compiled for AVX-512 alone.
//
// The maximum is stale: a row keeps what an early block showed and takes no maximum after that. Larger logits only make larger probabilities, in
// range until 2^127; a row whose chunk sums up to more than kMostSum is done again by the careful path of tile_item-inl.h, which is rare.
#ifndef ROCFORGE_PLUGINS_CPU_TILE_SOFTMAX_INL_H
#define ROCFORGE_PLUGINS_CPU_TILE_SOFTMAX_INL_H

#include <immintrin.h>

#include <algorithm>

#include "kernels/common/tanh.h"
#include "plugins/cpu/lanes.h"
#include "plugins/cpu/tile_layout.h"

namespace rocforge::cpu::tiles {
namespace {

constexpr float kLog2e = 1.44269504f;

// 2^y for any y: polynomial on [0, 1), exact at 0, relative error 3.2e-6: an lse may be off by 1e-5. 2^-inf is 0, NaN stays.
inline __m512 exp2_of(__m512 y) {
    const __m512 f = _mm512_reduce_ps(y, 9);  // y - floor(y), no exceptions
    __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(0x1.b7f730f568e18p-7f), f, _mm512_set1_ps(0x1.abf868c320d9ep-5f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0x1.ee2450e569ca3p-3f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0x1.62d6c61f00aa6p-1f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(p, y);
}

// 2^y to 2e-7, for logits.
inline __m512 exact_exp2_of(__m512 y) {
    const __m512 f = _mm512_reduce_ps(y, 9);
    __m512 p = _mm512_set1_ps(0x1.c541741ce6ec3p-13f);
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0x1.46d64d19b2fa3p-10f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0x1.3d0b9206ba73bp-7f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0x1.c6891135590acp-5f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0x1.ebfd579719916p-3f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0x1.62e42b5e68032p-1f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(p, y);
}

// tanh(x) to 5e-7 of its value: multiplied by the softcap it is a logit.
inline __m512 tanh_of(__m512 x) {
    using kernels::SmallTanh;
    const __m512 z = _mm512_mul_ps(x, x), one = _mm512_set1_ps(1.0f);
    __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(SmallTanh::k11), z, _mm512_set1_ps(SmallTanh::k9));
    p = _mm512_fmadd_ps(p, z, _mm512_set1_ps(SmallTanh::k7));
    p = _mm512_fmadd_ps(p, z, _mm512_set1_ps(SmallTanh::k5));
    p = _mm512_fmadd_ps(p, z, _mm512_set1_ps(SmallTanh::k3));
    const __m512 small = _mm512_fmadd_ps(_mm512_mul_ps(x, z), p, x);
    const __m512 grown = exact_exp2_of(_mm512_mul_ps(x, _mm512_set1_ps(2 * kLog2e)));
    const __m512 large = _mm512_sub_ps(one, _mm512_div_ps(_mm512_set1_ps(2.0f), _mm512_add_ps(grown, one)));
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(_mm512_abs_ps(x), _mm512_set1_ps(SmallTanh::kBelow), _CMP_LT_OQ), large, small);
}

// Scores of row r of a block: keys 0..15, keys 16..31 lie a tile further.
inline float* score_row(float* s, std::int64_t r) { return s + r / kTile * 2 * kTileFloats + r % kTile * kTile; }

inline __m512i to_bf16(__m512 low, __m512 high) { return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low)); }

// The rows of a group as the rules see them.
struct GroupRows {
    std::int64_t row[kGroup];   // i, local to the sequence
    std::int64_t head[kGroup];  // query head
    kernels::Extent keys[kGroup];
};

// Bit j: does the row attend to key `first + j`, by its extent?
inline std::uint32_t inside(const kernels::Extent& keys, std::int64_t first) {
    return first_lanes(keys.end - first) & ~first_lanes(keys.first - first);
}

// -inf where the extent excludes; all that a block of a plain problem with a positive scale needs.
void exclude(float* s, const GroupRows& rows, std::int64_t key_first) {
    const __m512 excluded = _mm512_set1_ps(-kInfinity);
    for (std::int64_t r = 0; r < kGroup; ++r) {
        const std::uint32_t out = ~inside(rows.keys[r], key_first);
        float* row = score_row(s, r);
        _mm512_mask_store_ps(row, static_cast<__mmask16>(out), excluded);
        _mm512_mask_store_ps(row + kTileFloats, static_cast<__mmask16>(out >> 16), excluded);
    }
}

// 16 elements of an additive mask from element `at` on; lanes that `wanted` leaves out are not read.
__m512 load_added(const Operand& mask, const void* data, std::int64_t at, __mmask16 wanted) {
    if (mask.last == 1 && mask.type == Type::f32) return _mm512_maskz_loadu_ps(wanted, static_cast<const float*>(data) + at);
    if (mask.last == 1) {
        const __m256i halves = _mm256_maskz_loadu_epi16(wanted, static_cast<const std::uint16_t*>(data) + at);
        if (mask.type == Type::f16) return _mm512_cvtph_ps(halves);
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
    }
    alignas(64) float added[kTile] = {};
    for (std::int64_t j = 0; j < kTile; ++j)
        if (wanted >> j & 1) added[j] = element(mask.type, data, at + j * mask.last);
    return _mm512_load_ps(added);
}

// Of the lanes that are wanted, those that a boolean mask keeps.
__mmask16 load_kept(const Operand& mask, const void* data, std::int64_t at, __mmask16 wanted) {
    const std::uint8_t* keep = static_cast<const std::uint8_t*>(data) + at;
    if (mask.last == 1) {
        const __m128i bytes = _mm_maskz_loadu_epi8(wanted, keep);
        return _mm_test_epi8_mask(bytes, bytes);
    }
    std::uint32_t kept = 0;
    for (std::int64_t j = 0; j < kTile; ++j) kept |= static_cast<std::uint32_t>((wanted >> j & 1) && keep[j * mask.last]) << j;
    return static_cast<__mmask16>(kept);
}

// What makes a score a logit. Logits and maxima are in units of log2 where a positive factor is all that there is to do, so that a probability costs
// one multiplication less; else in natural units, in which a mask's lowest floats have room.
struct Rules {
    const Attention& a;
    const Pointers& p;
    std::int64_t batch, diagonal;
    bool plain;        // a positive factor is all
    float scale;       // from scores to the unit
    float unit_log2;   // from the unit to log2
    float unit_log_e;  // and to natural logarithms

    Rules(const Attention& attention, const Pointers& pointers, std::int64_t b, std::int64_t the_diagonal)
        : a(attention),
          p(pointers),
          batch(b),
          diagonal(the_diagonal),
          plain(attention.scale > 0 && attention.softcap == 0 && !attention.alibi && !attention.mask.present()),
          scale(plain ? attention.scale * kLog2e : attention.scale),
          unit_log2(plain ? 1 : kLog2e),
          unit_log_e(plain ? 0.693147181f : 1) {}
};

// 16 scores of row r, keys from `key` on, to logits: -inf for a key that is excluded and for no other that was finite.
inline __m512 logits_of(__m512 s, const Rules& rules, std::int64_t head, std::int64_t row, std::int64_t key, __mmask16 inside_lanes) {
    const Attention& a = rules.a;
    __m512 x = _mm512_mul_ps(s, _mm512_set1_ps(rules.scale));
    if (a.softcap != 0) x = _mm512_mul_ps(tanh_of(_mm512_mul_ps(s, _mm512_set1_ps(a.scale / a.softcap))), _mm512_set1_ps(a.softcap));
    if (a.alibi) {
        const __m512 lane = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        const __m512 ahead = _mm512_sub_ps(_mm512_set1_ps(static_cast<float>(row + rules.diagonal - key)), lane);
        x = _mm512_fnmadd_ps(_mm512_set1_ps(rules.p.alibi_slopes[head]), _mm512_abs_ps(ahead), x);
    }
    __mmask16 kept = inside_lanes;
    if (a.mask.present()) {
        const std::int64_t at = a.mask.offset(rules.batch, head, row) + key * a.mask.last;
        if (a.mask.type == Type::boolean) {
            kept = load_kept(a.mask, rules.p.mask, at, kept);
        } else {
            const __m512 added = load_added(a.mask, rules.p.mask, at, kept);
            kept &= static_cast<__mmask16>(~_mm512_cmp_ps_mask(added, _mm512_set1_ps(-kInfinity), _CMP_EQ_OQ));
            x = _mm512_add_ps(x, added);
        }
    }
    // No finite value excludes: a sum that overflows stays finite. The operands' order keeps a NaN.
    return _mm512_mask_blend_ps(kept, _mm512_set1_ps(-kInfinity), _mm512_max_ps(_mm512_set1_ps(kLowest), x));
}

void to_logits(float* s, const Rules& rules, const GroupRows& rows, std::int64_t key_first) {
    for (std::int64_t r = 0; r < kGroup; ++r) {
        const std::uint32_t in = inside(rows.keys[r], key_first);
        float* row = score_row(s, r);
        for (int half = 0; half < 2; ++half, row += kTileFloats) {
            const __mmask16 lanes = static_cast<__mmask16>(in >> (16 * half));
            _mm512_store_ps(row, logits_of(_mm512_load_ps(row), rules, rows.head[r], rows.row[r], key_first + 16 * half, lanes));
        }
    }
}

// The negative maximum of a row over `blocks` blocks of scores times `scale`; NaN is passed over, the lowest float stands for none.
inline float minus_peak_of(float* s, std::int64_t blocks, std::int64_t r, __m512 scale) {
    __m512 peak = _mm512_set1_ps(kLowest);
    for (std::int64_t block = 0; block < blocks; ++block) {
        const float* row = score_row(s + block * kSquare, r);
        peak = _mm512_max_ps(_mm512_mul_ps(_mm512_load_ps(row), scale), peak);
        peak = _mm512_max_ps(_mm512_mul_ps(_mm512_load_ps(row + kTileFloats), scale), peak);
    }
    return -_mm512_reduce_max_ps(peak);
}

// Is some row's maximum so large that its rounding shows in the exponent of a fused product's difference from it?
inline bool far(const float* minus_peak) {
    std::uint32_t found = 0;
    for (std::int64_t half = 0; half < kGroup; half += kTile) {
        const __m512 magnitude = _mm512_abs_ps(_mm512_load_ps(minus_peak + half));
        found |=
            _mm512_cmp_ps_mask(magnitude, _mm512_set1_ps(0x1p24f), _CMP_GT_OQ) & _mm512_cmp_ps_mask(magnitude, _mm512_set1_ps(-kLowest), _CMP_NEQ_OQ);
    }
    return found != 0;
}
inline bool lowest(const float* minus_peak) { return std::find(minus_peak, minus_peak + kGroup, -kLowest) != minus_peak + kGroup; }

// One block's scores on their way to probabilities: prepare(), then row by row in SoftmaxRows.
struct BlockSoftmax {
    float* s;
    Bf16* p;
    float* sums;  // [32][16]
    float* minus_peak;
    const Rules* rules;
    const GroupRows* rows;
    std::int64_t key_first;
    bool cut;                      // some row's extent ends within the block
    bool first;                    // of its rows' blocks: it shows the maximum that they keep
    const float* minus = nullptr;  // once it is prepared: p = 2^(SoftmaxRows' factor * s + minus), a row

    // A block of a plain problem that is neither cut nor the first has nothing to prepare.
    void prepare() {
        static constexpr float kNone[kGroup] = {};
        minus = rules->plain ? minus_peak : kNone;
        if (!rules->plain)
            to_logits(s, *rules, *rows, key_first);
        else if (cut)
            exclude(s, *rows, key_first);
        if (first) show_peaks();
        if (!rules->plain) shift();
    }

private:
    void show_peaks() const {
        const __m512 factor = _mm512_set1_ps(rules->plain ? rules->scale : 1.0f);
        for (std::int64_t r = 0; r < kGroup; ++r) minus_peak[r] = minus_peak_of(s, 1, r, factor);
        // The careful path's case, to which an infinite sum leads; so are rows of which an uncut block shows no maximum above the lowest float.
        if (rules->plain && (far(minus_peak) || (!cut && lowest(minus_peak)))) sums[0] = kInfinity;
    }
    // Natural logits to differences from the maximum in units of log2.
    void shift() const {
        for (std::int64_t r = 0; r < kGroup; ++r)
            for (float* at : {score_row(s, r), score_row(s, r) + kTileFloats})
                _mm512_store_ps(at,
                                _mm512_mul_ps(_mm512_add_ps(_mm512_load_ps(at), _mm512_set1_ps(minus_peak[r])), _mm512_set1_ps(rules->unit_log2)));
    }
};

// The softmax of one block after the other, four rows at a time, so that a matrix unit can run it between its products. Few squares of scores go
// round: each is in L1 when it is written again.
class SoftmaxRows {
public:
    struct Quad {
        const float* s;
        Bf16* p;
        float* sums;
        const float* minus;
    };

    SoftmaxRows(const Rules& rules, std::int64_t squares) : squares_(squares), factor_(rules.plain ? rules.scale : 1.0f) {}

    // The square for the next block's scores; free, if need be, once rows have run.
    std::int64_t square() {
        finish(queued_ - squares_ + 1);
        return queue_at_;
    }
    // The block whose scores come there: in memory with the unit's next call, at the latest.
    void queue(const BlockSoftmax& block) {
        block_[queue_at_] = block;
        queue_at_ = after(queue_at_);
        ++queued_;
    }
    // The unit's word: all scores of blocks that were queued are in memory.
    void arrived() {
        for (; arrived_ < queued_ * kQuads; arrived_ += kQuads, arrive_at_ = after(arrive_at_)) block_[arrive_at_].prepare();
    }
    std::int64_t queued() const { return queued_; }  // blocks so far
    // Runs what arrived of the first so many blocks.
    void finish(std::int64_t blocks) { catch_up(std::min(blocks * kQuads, arrived_) - done_); }
    // Runs so many quads at once.
    void catch_up(std::int64_t quads) {
        const __m512 factor = _mm512_set1_ps(factor_);
        for (; quads > 0; --quads) {
            const Quad quad = next();
#pragma GCC unroll 4
            for (int r = 0; r < 4; ++r) run(quad, r, factor);
        }
    }

    // So many blocks in so many steps of the unit.
    void pace(std::int64_t blocks, std::int64_t steps) { pace_ = (blocks * kQuads * kOne + steps - 1) / steps; }
    // The quads to run beside the next step.
    std::int64_t due() {
        credit_ = credit_ % kOne + pace_;
        return std::min(credit_ / kOne, arrived_ - done_);
    }
    float factor() const { return factor_; }
    Quad next() {
        const BlockSoftmax& block = block_[run_at_];
        const std::int64_t n = done_ & (kQuads - 1);
        if (n == kQuads - 1) run_at_ = after(run_at_);
        ++done_;
        return {block.s + (n + (n & 4)) * 4 * kTile, block.p + n * 4 * kBlock, block.sums + n * 4 * kTile, block.minus + n * 4};
    }
    // One row: its probabilities, and their sum.
    [[gnu::always_inline]] static void run(const Quad& quad, int r, __m512 factor) {
        const __m512 minus = _mm512_set1_ps(quad.minus[r]);
        const float* s = quad.s + r * kTile;
        const __m512 low = exp2_of(_mm512_fmadd_ps(_mm512_load_ps(s), factor, minus));
        const __m512 high = exp2_of(_mm512_fmadd_ps(_mm512_load_ps(s + kTileFloats), factor, minus));
        float* sum = quad.sums + r * kTile;
        _mm512_store_ps(sum, _mm512_add_ps(_mm512_load_ps(sum), _mm512_add_ps(low, high)));
        _mm512_store_si512(quad.p + r * kBlock, to_bf16(low, high));
    }

private:
    static constexpr std::int64_t kQuads = kGroup / 4;  // of a block; rows of a quad lie in one tile
    static constexpr std::int64_t kOne = 1 << 16;       // quad, in the pace's fixed point
    std::int64_t after(std::int64_t square) const { return square + 1 == squares_ ? 0 : square + 1; }

    const std::int64_t squares_;
    const float factor_;
    BlockSoftmax block_[kMostSquares];                        // by square
    std::int64_t queue_at_ = 0, arrive_at_ = 0, run_at_ = 0;  // squares
    std::int64_t queued_ = 0, arrived_ = 0, done_ = 0;        // blocks; quads
    std::int64_t pace_ = 0, credit_ = 0;                      // quads a step
};

}  // namespace
}  // namespace rocforge::cpu::tiles
#endif
