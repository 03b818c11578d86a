// One item on a matrix unit: chunks of keys outside, groups of 32 rows inside. While a group's scores are made, a few blocks of 32 keys at a time,
// the group before it gets its output, a few strips of 32 dims at a time; the softmax runs beside the products of both:
//
//   scores of 2 blocks, group g + 1  ->  strips of output, group g  ->  2 more blocks  ->  ...
//   softmax, row by row, of the blocks that went before
//
// Part of tile_kernel.cpp: compiled for AVX-512 alone.
#ifndef ROCFORGE_PLUGINS_CPU_TILE_ITEM_INL_H
#define ROCFORGE_PLUGINS_CPU_TILE_ITEM_INL_H

#include <immintrin.h>

#include <algorithm>
#include <cmath>

#include "plugins/cpu/lanes.h"
#include "plugins/cpu/tile_layout.h"
#include "plugins/cpu/tile_pack-inl.h"
#include "plugins/cpu/tile_softmax-inl.h"
#include "plugins/cpu/tile_units-inl.h"

namespace rocforge::cpu::tiles {
namespace {

// A group of rows and the blocks of the chunk that some of them attend to: [first_block, end_block).
struct Group {
    std::int64_t index;
    kernels::Extent all;  // keys that every row attends to
    std::int64_t first_block, end_block;
    int place = 0;  // which of the two places for probabilities and sums is its own

    std::int64_t blocks() const { return end_block - first_block; }
};

template <class Unit> class ItemRun {
public:
    ItemRun(const Attention& a, const Pointers& p, const Schedule& schedule, const Placed& placed, const Scratch& scratch)
        : a_(a), p_(p), schedule_(schedule), placed_(placed), scratch_(scratch) {}

    void run() {
        pack_queries();
        const std::int64_t groups = (total_ + kGroup - 1) / kGroup;
        std::fill(scratch_.minus_peak, scratch_.minus_peak + groups * kGroup, -kLowest);
        std::fill(scratch_.sums, scratch_.sums + groups * kGroup * kTile, 0.0f);
        std::fill(scratch_.started, scratch_.started + groups, false);
        std::fill(scratch_.chunk_sums, scratch_.chunk_sums + 2 * kGroup * kTile, 0.0f);
        // From a multiple of a block, so that a diagonal crosses one block of each group.
        for (chunk_ = item_.keys.first / kBlock * kBlock; chunk_ < item_.keys.end; chunk_ += shape_.chunk) {
            pack_chunk();
            for (std::int64_t g = 0; g < groups; ++g) attend(group_at(g));
            finish_group();
        }
        ItemRows at(placed_);
        for (std::int64_t r = 0; r < total_; ++r, at.next()) store(r, at);
    }

private:
    void pack_queries() {
        const Bf16* q = static_cast<const Bf16*>(p_.q);
        ItemRows at(placed_);
        for (std::int64_t r = 0; r < total_; ++r, at.next()) pack_q_row(q + at.offset(a_, a_.q), a_.dim, shape_, r, scratch_.q);
        for (std::int64_t r = total_; r < round_up(total_, kGroup); ++r) pack_q_row(nullptr, a_.dim, shape_, r, scratch_.q);
    }

    // Rows of k and v of the block's keys that the item reads; null for others.
    void find_keys(std::int64_t block_first, KeyRows* k, KeyRows* v) const {
        *k = *v = {};
        const std::int64_t end = std::min(block_first + kBlock, item_.keys.end);
        for (std::int64_t key = std::max(block_first, item_.keys.first); key < end;) {
            const KeyRun run = run_of_keys(a_, p_, placed_, key, end);
            for (std::int64_t i = 0; i < run.count; ++i, ++key) {
                k->row[key - block_first] = static_cast<const Bf16*>(p_.k) + a_.k.offset(run.batch, item_.kv_head, run.token + i);
                v->row[key - block_first] = static_cast<const Bf16*>(p_.v) + a_.v.offset(run.batch, item_.kv_head, run.token + i);
            }
        }
    }

    void pack_chunk() {
        v_bounded_ = true;
        KeyRows k, v;
        for (std::int64_t block = 0; block * kBlock < shape_.chunk && chunk_ + block * kBlock < item_.keys.end; ++block) {
            find_keys(chunk_ + block * kBlock, &k, &v);
            pack_k(k, a_.dim, shape_, k_of(block));
            v_bounded_ &= pack_v(v, a_.dim_v, shape_, scratch_.v + block * 2 * kTileElems);
        }
    }

    // Keys that some row, that every row of group g attends to; a group that spans heads counts all rows of the item.
    Group group_at(std::int64_t g) const {
        const kernels::Extent rows = rows_covered(item_, g * kGroup, std::min((g + 1) * kGroup, total_));
        const kernels::Extent any = clipped(rule_.any_of_rows(rows.first, rows.end, sequence_.len_kv));
        const std::int64_t low = std::max(any.first, chunk_), high = std::min(any.end, chunk_ + shape_.chunk);
        if (low >= high) return {.index = g, .all = {0, 0}, .first_block = 0, .end_block = 0};
        return {.index = g,
                .all = clipped(rule_.all_of_rows(rows.first, rows.end, sequence_.len_kv)),
                .first_block = (low - chunk_) / kBlock,
                .end_block = (high - chunk_ + kBlock - 1) / kBlock};
    }
    // Of the split's keys.
    kernels::Extent clipped(const kernels::Extent& keys) const {
        return {std::max(keys.first, item_.keys.first), std::min(keys.end, item_.keys.end)};
    }

    bool cut(const Group& group, std::int64_t block) const {
        const std::int64_t first = chunk_ + block * kBlock;
        return !group.all.covers(first, first + kBlock);
    }
    // A cut block is at an end, or there is one at an end, too.
    bool excludes(const Group& group) const { return a_.mask.present() || cut(group, group.first_block) || cut(group, group.end_block - 1); }

    GroupRows rows_of(std::int64_t g) const {
        GroupRows rows;
        ItemRows at(placed_, g * kGroup);
        for (std::int64_t i = 0; i < kGroup; ++i, at.next()) {  // rows past the last repeat it: they are never stored
            rows.row[i] = at.row();
            rows.head[i] = at.head();
            rows.keys[i] = clipped(rule_.of_row(rows.row[i], sequence_.len_kv));
        }
        return rows;
    }

    const Bf16* q_of(const Group& group) const { return scratch_.q + group.index * 2 * shape_.q_elems_of_tile(); }
    Bf16* k_of(std::int64_t block) const { return scratch_.k + block * shape_.k_elems_of_block(); }
    Bf16* p_of(const Group& group) const { return scratch_.p + group.place * shape_.p_elems(); }
    float* chunk_sums_of(const Group& group) const { return scratch_.chunk_sums + group.place * kGroup * kTile; }
    float* minus_peak_of_group(const Group& group) const { return scratch_.minus_peak + group.index * kGroup; }

    // One group against the chunk: its scores, and the output of the group before it. Its own output is left to the next group, or to finish_group().
    void attend(Group group) {
        if (group.blocks() <= 0) return;
        if (!v_bounded_ || (rules_.plain && far(minus_peak_of_group(group)))) {
            finish_group();
            return attend_carefully(group);
        }
        if constexpr (Unit::kOverlaps) group.place = 1 - group_.place;
        GroupRows& rows = rows_[group.place];
        if (!rules_.plain || excludes(group)) rows = rows_of(group.index);
        softmax_.pace(group.blocks(), group.blocks() * shape_.steps + (open_ ? shape_.strips * group_.blocks() : 0));
        // A new row learns its maximum from the first block; best from one that all its rows attend to, since they need one.
        std::int64_t start = group.first_block;
        while (start + 1 < group.end_block && cut(group, start)) ++start;
        if (cut(group, start)) start = group.first_block;
        for (std::int64_t n = 0; n < group.blocks(); ++n) {
            const std::int64_t block = n == 0 ? start : group.first_block + n - (group.first_block + n <= start ? 1 : 0);
            float* s = scratch_.s + softmax_.square() * kSquare;
            unit_.scores(q_of(group), k_of(block), s, softmax_);
            softmax_.queue({.s = s,
                            .p = p_of(group) + block * 2 * kTileElems,
                            .sums = chunk_sums_of(group),
                            .minus_peak = minus_peak_of_group(group),
                            .rules = &rules_,
                            .rows = &rows,
                            .key_first = chunk_ + block * kBlock,
                            .cut = cut(group, block),
                            .first = n == 0 && !scratch_.started[group.index]});
            if (n % kBurst == kBurst - 1 || n == group.blocks() - 1) add_output_before(shape_.strips * (n + 1) / group.blocks());
        }
        group_ = group;
        open_ = true;
        group_end_ = softmax_.queued();
        strip_ = 0;
        if constexpr (!Unit::kOverlaps) finish_group();
    }

    // Ends the group that is under way, if one is.
    void finish_group() {
        unit_.flush();
        softmax_.arrived();
        add_output_before(shape_.strips);
        unit_.flush();
    }

    // The group before: its strips of output before `end`; or all of it again where its stale maximum turns out to be too low.
    void add_output_before(std::int64_t end) {
        if (open_) {
            open_ = false;
            softmax_.finish(group_end_);
            if (!take_sums(group_)) {
                unit_.flush();
                attend_carefully(group_);
                strip_ = shape_.strips;
            }
        }
        for (; strip_ < end; ++strip_) add_strip(group_, strip_, softmax_);
    }

    // Moves the chunk's sums to the rows'; false, and nothing is moved, if one is too large, infinite or NaN.
    bool take_sums(const Group& group) const {
        const __m512 most = _mm512_set1_ps(kMostSum);
        float *from = chunk_sums_of(group), *to = scratch_.sums + group.index * kGroup * kTile;
        std::uint32_t wrong = 0;
        for (std::int64_t r = 0; r < kGroup; ++r) wrong |= _mm512_cmp_ps_mask(_mm512_load_ps(from + r * kTile), most, _CMP_NLE_UQ);
        for (std::int64_t r = 0; r < kGroup; ++r, from += kTile, to += kTile) {
            if (!wrong) _mm512_store_ps(to, _mm512_add_ps(_mm512_load_ps(to), _mm512_load_ps(from)));
            _mm512_store_ps(from, _mm512_setzero_ps());
        }
        return !wrong;
    }

    void add_strip(const Group& group, std::int64_t strip, SoftmaxRows& rows) {
        const std::int64_t skipped = group.first_block * 2 * kTileElems;
        unit_.output(p_of(group) + skipped, scratch_.v + strip * shape_.v_elems_of_strip() + skipped, group.blocks(),
                     scratch_.o + group.index * shape_.o_floats_of_group() + strip * kSquare, scratch_.started[group.index], rows);
        if (strip == shape_.strips - 1) scratch_.started[group.index] = true;
    }

    // The same with the exact maximum of the chunk and with values of v that are excluded left out of the products, in steps that follow each other.
    void attend_carefully(const Group& group) {
        SoftmaxRows none(rules_, 1);
        for (std::int64_t block = group.first_block; block < group.end_block; ++block)
            unit_.scores(q_of(group), k_of(block), scratch_.all_s + block * kSquare, none);
        unit_.flush();
        const GroupRows rows = rows_of(group.index);
        for (std::int64_t block = group.first_block; block < group.end_block; ++block)
            to_logits(scratch_.all_s + block * kSquare, rules_, rows, chunk_ + block * kBlock);
        for (std::int64_t r = 0; r < kGroup; ++r) probabilities_of_row(group, r);
        if (v_bounded_ || !excludes(group)) {
            for (std::int64_t strip = 0; strip < shape_.strips; ++strip) add_strip(group, strip, none);
            return unit_.flush();
        }
        for (std::int64_t r = 0; r < kGroup; ++r) add_output_of_row(group, r);
        scratch_.started[group.index] = true;
    }

    // One row's probabilities, maximum, sum and output so far. What is excluded becomes -0.
    void probabilities_of_row(const Group& group, std::int64_t r) {
        const __m512 one = _mm512_set1_ps(1.0f), excluded = _mm512_set1_ps(-kInfinity), minus_zero = _mm512_set1_ps(-0.0f);
        float& minus_peak = minus_peak_of_group(group)[r];
        const float before = minus_peak,
                    after = std::min(before, minus_peak_of(scratch_.all_s + group.first_block * kSquare, group.blocks(), r, one));
        minus_peak = after;
        const __m512 shift = _mm512_set1_ps(after), to_log2 = _mm512_set1_ps(rules_.unit_log2);
        __m512 sum = _mm512_setzero_ps();
        for (std::int64_t block = group.first_block; block < group.end_block; ++block) {
            const float* s = score_row(scratch_.all_s + block * kSquare, r);
            __m512 p[2];
            for (int half = 0; half < 2; ++half) {
                const __m512 x = _mm512_load_ps(s + half * kTileFloats);
                p[half] = exp2_of(_mm512_mul_ps(_mm512_add_ps(x, shift), to_log2));
                sum = _mm512_add_ps(sum, p[half]);
                p[half] = _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, excluded, _CMP_EQ_OQ), p[half], minus_zero);
            }
            _mm512_store_si512(p_of(group) + block * 2 * kTileElems + r * kBlock, to_bf16(p[0], p[1]));
        }
        float* sums = scratch_.sums + (group.index * kGroup + r) * kTile;
        const __m512 rescale = _mm512_set1_ps(before == after ? 1.0f : std::exp2((after - before) * rules_.unit_log2));
        _mm512_store_ps(sums, _mm512_fmadd_ps(_mm512_load_ps(sums), rescale, sum));
        if (before == after || !scratch_.started[group.index]) return;
        float* o = score_row(scratch_.o + group.index * shape_.o_floats_of_group(), r);
        for (std::int64_t strip = 0; strip < shape_.strips; ++strip, o += kSquare)
            for (int half = 0; half < 2; ++half)
                _mm512_store_ps(o + half * kTileFloats, _mm512_mul_ps(_mm512_load_ps(o + half * kTileFloats), rescale));
    }

    // One row's output from the chunk without the keys that it does not attend to: their values may be NaN.
    void add_output_of_row(const Group& group, std::int64_t r) {
        float* o = score_row(scratch_.o + group.index * shape_.o_floats_of_group(), r);
        const bool add = scratch_.started[group.index];
        for (std::int64_t strip = 0; strip < shape_.strips; ++strip, o += kSquare) {
            __m512 sum[2] = {add ? _mm512_load_ps(o) : _mm512_setzero_ps(), add ? _mm512_load_ps(o + kTileFloats) : _mm512_setzero_ps()};
            for (std::int64_t block = group.first_block; block < group.end_block; ++block)
                for (std::int64_t key = 0; key < kBlock; ++key) {
                    const Bf16 p = p_of(group)[block * 2 * kTileElems + r * kBlock + key];
                    if (p == 0x8000) continue;
                    const Bf16* v = scratch_.v + strip * shape_.v_elems_of_strip() + block * 2 * kTileElems + key / 2 * 32;
                    for (int half = 0; half < 2; ++half)
                        sum[half] =
                            _mm512_fmadd_ps(_mm512_set1_ps(kernels::f32_from_bf16(p)), half_of_pair(v + half * kTileElems, key % 2), sum[half]);
                }
            _mm512_store_ps(o, sum[0]);
            _mm512_store_ps(o + kTileFloats, sum[1]);
        }
    }
    // The even or the odd elements of a row of pairs.
    static __m512 half_of_pair(const Bf16* row, std::int64_t odd) {
        const __m512i pairs = _mm512_load_si512(row);
        return _mm512_castsi512_ps(odd ? _mm512_and_si512(pairs, _mm512_set1_epi32(static_cast<int>(0xFFFF0000u))) : _mm512_slli_epi32(pairs, 16));
    }

    // Row r to out and lse, or to the item's slot.
    void store(std::int64_t r, const ItemRows& at) const {
        const float sum = _mm512_reduce_add_ps(_mm512_load_ps(scratch_.sums + r * kTile)), peak = -scratch_.minus_peak[r] * rules_.unit_log_e;
        if (item_.slot >= 0) {
            const Slot slot = slot_at(schedule_, item_.slot, total_);
            slot.peak[r] = sum == 0 ? -kInfinity : peak;
            slot.sum[r] = sum;
            return store_values<Type::f32>(r, 1.0f, sum == 0, slot.out, r * a_.dim_v);
        }
        const RowEnd end = end_row(a_, p_, at.head(), peak, sum);
        store_row(r, end.weight, end.empty, at.offset(a_, a_.out));
        if (a_.lse.present()) p_.lse[at.offset(a_, a_.lse)] = end.lse;
    }

    void store_row(std::int64_t r, float weight, bool empty, std::int64_t at) const {
        if (a_.out.type == Type::f32)
            store_values<Type::f32>(r, weight, empty, p_.out, at);
        else if (a_.out.type == Type::f16)
            store_values<Type::f16>(r, weight, empty, p_.out, at);
        else
            store_values<Type::bf16>(r, weight, empty, p_.out, at);
    }

    // The output of a row that attends to nothing may never have been written.
    template <Type kType> void store_values(std::int64_t r, float weight, bool empty, void* out, std::int64_t at) const {
        const __m512 factor = _mm512_set1_ps(weight);
        const float* o = score_row(scratch_.o + r / kGroup * shape_.o_floats_of_group(), r % kGroup);
        for (std::int64_t dim = 0; dim < a_.dim_v; dim += kBlock, o += kSquare) {
            const StripRow strip = in_order(_mm512_load_ps(o), _mm512_load_ps(o + kTileFloats));
            const std::uint32_t lanes = first_lanes(a_.dim_v - dim);
            put<kType>(empty ? _mm512_setzero_ps() : _mm512_mul_ps(strip.low, factor), static_cast<__mmask16>(lanes), out, at + dim);
            put<kType>(empty ? _mm512_setzero_ps() : _mm512_mul_ps(strip.high, factor), static_cast<__mmask16>(lanes >> 16), out, at + dim + kTile);
        }
    }
    template <Type kType> static void put(__m512 x, __mmask16 lanes, void* out, std::int64_t at) {
        if constexpr (kType == Type::f32)
            _mm512_mask_storeu_ps(static_cast<float*>(out) + at, lanes, x);
        else if constexpr (kType == Type::f16)
            _mm256_mask_storeu_epi16(static_cast<std::uint16_t*>(out) + at, lanes, _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
        else
            _mm256_mask_storeu_epi16(static_cast<std::uint16_t*>(out) + at, lanes, reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x)));
    }

    const Attention& a_;
    const Pointers& p_;
    const Schedule& schedule_;
    const Placed& placed_;
    const Scratch& scratch_;
    const Sequence& sequence_ = *placed_.sequence;
    const Item& item_ = placed_.item;
    const Shape shape_{a_};
    const kernels::ExtentRule rule_ = rule_of(a_, sequence_);
    const Rules rules_{a_, p_, item_.batch, rule_.diagonal};
    const std::int64_t total_ = item_.heads * item_.rows;  // rows of all heads
    Unit unit_{shape_};

    std::int64_t chunk_ = 0;  // first key
    bool v_bounded_ = true;   // v of the chunk: large probabilities cannot overflow the output, and 0 * v is 0
    SoftmaxRows softmax_{rules_, Unit::kOverlaps ? shape_.squares : 1};
    GroupRows rows_[2]{};                 // by place, where the groups' rules need them
    Group group_{};                       // the group before, whose output is due
    bool open_ = false;                   // are its sums still to be taken?
    std::int64_t group_end_ = 0;          // its softmax is through when so many blocks are
    std::int64_t strip_ = shape_.strips;  // the first of its strips that is still to come
};

}  // namespace
}  // namespace rocforge::cpu::tiles
#endif
