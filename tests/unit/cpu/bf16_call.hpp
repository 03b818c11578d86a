// One call on random bf16 tensors, made from a row of a table: what the tests of the kernels on units for bf16 share. Nothing that a kernel must not
// read is a number: keys behind a sequence's length are NaN, and so are pages' ends.
#ifndef ROCFORGE_TESTS_UNIT_CPU_BF16_CALL_HPP
#define ROCFORGE_TESTS_UNIT_CPU_BF16_CALL_HPP

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/common/half.h"
#include "plugins/cpu/attention.h"

struct Rules {
    bool causal = false;
    float spike = 0;         // a late key of such values
    std::int64_t wild = -1;  // at this key a value of v is 1e30, at the next NaN; -1: none
    std::int64_t head_q = 1, head_kv = 1;
    std::int64_t item_rows = 512;
    std::int64_t window_left = -1, window_right = -1;
    // A sequence each. Keys' lengths are those of a ragged batch where queries have some too and there are no pages.
    std::vector<std::int32_t> q_lengths = {}, kv_lengths = {};
    std::int64_t page = 0;  // tokens of a page, which lie backwards; 0: no pages
    float softcap = 0;
    bool alibi = false, sink = false;
    rocforge::cpu::Type mask = rocforge::cpu::Type::absent;
};

struct Case {
    const char* name;
    std::int64_t seq_q, seq_kv, dim, dim_v;  // of the longest sequence
    Rules rules = {};
};

class Bf16Call {
public:
    explicit Bf16Call(const Case& c) {
        using namespace rocforge::cpu;
        const std::size_t sequences = std::max({c.rules.q_lengths.size(), c.rules.kv_lengths.size(), std::size_t{1}});
        a = {.batch = static_cast<std::int64_t>(sequences),
             .head_q = c.rules.head_q,
             .head_kv = c.rules.head_kv,
             .max_seq_q = c.seq_q,
             .max_seq_kv = c.seq_kv};
        a.dim = c.dim, a.dim_v = c.dim_v, a.scale = 1 / std::sqrt(static_cast<float>(c.dim)), a.softcap = c.rules.softcap;
        a.causal = c.rules.causal, a.bottom_right = true, a.window_left = c.rules.window_left, a.window_right = c.rules.window_right;
        a.ragged_q = !c.rules.q_lengths.empty(), a.paged = c.rules.page > 0, a.ragged_kv = a.ragged_q && !c.rules.kv_lengths.empty() && !a.paged;
        a.kv_lengths = !c.rules.kv_lengths.empty() && !a.ragged_kv, a.alibi = c.rules.alibi, a.sink = c.rules.sink;
        std::vector<std::int32_t> q_lengths = c.rules.q_lengths, kv_lengths = c.rules.kv_lengths;
        q_lengths.resize(sequences, static_cast<std::int32_t>(c.seq_q));
        kv_lengths.resize(sequences, static_cast<std::int32_t>(c.seq_kv));
        fill_queries(q_lengths);
        fill_keys(c, kv_lengths);
        fill_rules(c);
        lengths_ = kv_lengths;
        p.kv_lengths = lengths_.data();
        schedule_items(c);
    }
    Bf16Call(const Bf16Call&) = delete;
    Bf16Call& operator=(const Bf16Call&) = delete;

    // Memory of a worker.
    static std::unique_ptr<char, decltype(&std::free)> slice(std::int64_t bytes) {
        return {static_cast<char*>(std::aligned_alloc(256, static_cast<std::size_t>(bytes))), std::free};
    }
    // out, then lse.
    std::vector<float> results() const {
        std::vector<float> both = out_;
        both.insert(both.end(), lse_.begin(), lse_.end());
        return both;
    }
    static constexpr float kUntouched = -7;

    rocforge::cpu::Attention a;
    rocforge::cpu::Pointers p{};
    rocforge::cpu::Schedule schedule{};

private:
    using Bf16 = std::uint16_t;
    using Operand = rocforge::cpu::Operand;
    static Bf16 stored(float value) { return rocforge::kernels::bf16_from_f32(value); }
    float random() { return std::uniform_real_distribution<float>(-1, 1)(dice_); }

    // [sequence | page, token, head, dim]
    static Operand tokens_first(rocforge::cpu::Type type, std::int64_t tokens, std::int64_t heads, std::int64_t dim) {
        return {type, tokens * heads * dim, dim, heads * dim, 1};
    }

    void fill_queries(const std::vector<std::int32_t>& lengths) {
        using rocforge::cpu::Type;
        cu_q_.push_back(0);
        for (const std::int32_t length : lengths) cu_q_.push_back(cu_q_.back() + length);
        a.q_tokens = cu_q_.back();
        for (std::int64_t i = 0; i < a.q_tokens * a.head_q * a.dim; ++i) q_.push_back(stored(random()));
        out_.resize(static_cast<std::size_t>(a.q_tokens * a.head_q * a.dim_v), kUntouched);
        lse_.resize(static_cast<std::size_t>(a.q_tokens * a.head_q), kUntouched);
        a.q = tokens_first(Type::bf16, a.max_seq_q, a.head_q, a.dim);
        a.out = tokens_first(Type::f32, a.max_seq_q, a.head_q, a.dim_v);
        a.lse = tokens_first(Type::f32, a.max_seq_q, a.head_q, 1);
        p.q = q_.data(), p.out = out_.data(), p.lse = lse_.data(), p.cu_seqlens_q = cu_q_.data();
    }

    void fill_keys(const Case& c, const std::vector<std::int32_t>& lengths) {
        cu_kv_.push_back(0);
        for (const std::int32_t length : lengths) cu_kv_.push_back(cu_kv_.back() + length);
        const std::int64_t pages_each = a.paged ? (a.max_seq_kv + c.rules.page - 1) / c.rules.page : 0;
        a.page_size = c.rules.page, a.pages = a.batch * pages_each, a.block_table_stride = pages_each;
        for (std::int64_t page = 0; page < a.pages; ++page) table_.push_back(static_cast<std::int32_t>(a.pages - 1 - page));
        const std::int64_t part = a.paged ? c.rules.page : a.max_seq_kv;  // tokens that lie together
        a.kv_tokens = a.ragged_kv ? cu_kv_.back() : a.paged ? a.pages * part : a.batch * part;
        k_.resize(static_cast<std::size_t>(a.kv_tokens * a.head_kv * a.dim), stored(NAN));
        v_.resize(static_cast<std::size_t>(a.kv_tokens * a.head_kv * a.dim_v), stored(NAN));
        a.k = tokens_first(rocforge::cpu::Type::bf16, part, a.head_kv, a.dim);
        a.v = tokens_first(rocforge::cpu::Type::bf16, part, a.head_kv, a.dim_v);
        for (std::int64_t b = 0; b < a.batch; ++b)
            for (std::int64_t key = 0; key < lengths[static_cast<std::size_t>(b)]; ++key) fill_key(c, b, key, lengths[static_cast<std::size_t>(b)]);
        p.k = k_.data(), p.v = v_.data(), p.cu_seqlens_kv = cu_kv_.data(), p.block_table = table_.data();
    }

    void fill_key(const Case& c, std::int64_t b, std::int64_t key, std::int64_t length) {
        const std::int64_t token =
            a.ragged_kv ? cu_kv_[static_cast<std::size_t>(b)] + key
            : a.paged   ? table_[static_cast<std::size_t>(b * a.block_table_stride + key / c.rules.page)] * c.rules.page + key % c.rules.page
                        : b * a.max_seq_kv + key;
        Bf16* k = k_.data() + token * a.head_kv * a.dim;
        Bf16* v = v_.data() + token * a.head_kv * a.dim_v;
        for (std::int64_t i = 0; i < a.head_kv * a.dim; ++i) k[i] = stored(c.rules.spike > 0 && key == length - 20 ? c.rules.spike : random());
        for (std::int64_t i = 0; i < a.head_kv * a.dim_v; ++i) v[i] = stored(random());
        if (c.rules.wild >= 0 && key == c.rules.wild) v[0] = stored(1e30f);
        if (c.rules.wild >= 0 && key == c.rules.wild + 1) v[1] = stored(NAN);
    }

    // The mask is the same for all sequences.
    void fill_rules(const Case& c) {
        using rocforge::cpu::Type;
        for (std::int64_t head = 0; head < a.head_q; ++head) slopes_.push_back(0.3f + random() / 4), sinks_.push_back(random());
        p.alibi_slopes = slopes_.data(), p.sink = sinks_.data();
        if (c.rules.mask == Type::absent) return;
        a.mask = {c.rules.mask, 0, a.max_seq_q * a.max_seq_kv, a.max_seq_kv, 1};
        for (std::int64_t i = 0; i < a.head_q * a.max_seq_q * a.max_seq_kv; ++i) {
            const bool kept = random() < 0.6f;
            kept_.push_back(kept);
            added_.push_back(kept ? random() : -rocforge::cpu::kInfinity);
        }
        p.mask = c.rules.mask == Type::boolean ? static_cast<const void*>(kept_.data()) : added_.data();
    }

    // One worker's, without splits.
    void schedule_items(const Case& c) {
        sequences_.resize(static_cast<std::size_t>(a.batch));
        const rocforge::cpu::Kernel any{.flops_per_us = 1};
        const rocforge::cpu::Workspace space{.workers = 1, .item_rows = c.rules.item_rows};
        REQUIRE(rocforge::cpu::schedule(a, p, any, space, 0, reinterpret_cast<char*>(sequences_.data()), &schedule) == "");
    }

    std::mt19937 dice_{5};
    std::vector<Bf16> q_, k_, v_;
    std::vector<float> out_, lse_, slopes_, sinks_, added_;
    std::vector<std::uint8_t> kept_;
    std::vector<std::int32_t> cu_q_, cu_kv_, lengths_, table_;
    std::vector<rocforge::cpu::Sequence> sequences_;
};

#endif
