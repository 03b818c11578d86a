// The second table: cases for kernels that work in tiles on matrix units. Each function below adds one group, as in cases.cpp.
#include "table.h"

namespace rocforge::conformance {
namespace {

constexpr rf_dtype kHalves[] = {kBf16, kF16};

std::string with_type(const char* group, rf_dtype type) { return std::string(group) + "-" + name_of(type) + "/"; }

// Gaps that leave rows at 16 bytes: else a kernel of vector loads refuses the case on their account and tells nothing of the rest.
void suit_vectors(Case& c) {
    if (c.layout == Layout::padded) c.layout = Layout::padded_by_8;
}

// One tile and its ragged edges: an emulator of the machine runs it in seconds.
void small(Case& c, rf_dtype type, std::int64_t dim) { seqs(c, 9, 19), c.type = type, c.dim = dim, c.batch = 1; }
// Two tiles of rows, three of keys, no multiple of either.
void wide(Case& c, rf_dtype type) { seqs(c, 70, 150), heads(c, 1, 1), c.type = type, c.dim = same(type, kBf16) ? 64 : 40, c.batch = 1; }

void features(Table& t) {
    for (const rf_dtype type : kHalves)
        for (const Feature& feature : kFeatures) {
            t.add(with_type("feature", type) + feature.name, [&](Case& c) { small(c, type, 64), feature.apply(c), suit_vectors(c); });
            t.add(with_type("tile-feature", type) + feature.name, [&](Case& c) { wide(c, type), feature.apply(c), suit_vectors(c); });
        }
}

// Over small shapes in both types, over wide ones in turn: which of two types a pair meets there says nothing that the single features do not.
void feature_pairs(Table& t) {
    std::size_t turn = 0;
    for (const Feature& first : kFeatures)
        for (const Feature& second : kFeatures) {
            if (&second <= &first || (first.excludes & second.excludes)) continue;
            const std::string name = std::string(first.name) + "+" + second.name;
            const auto both = [&](Case& c) { first.apply(c), second.apply(c), suit_vectors(c); };
            for (const rf_dtype type : kHalves) t.add(with_type("pair", type) + name, [&](Case& c) { small(c, type, 16), both(c); });
            t.add("tile-pair/" + name, [&](Case& c) { wide(c, kHalves[turn++ % 2]), both(c); });
        }
}

void dims_and_lengths(Table& t) {
    for (std::int64_t dim = 8; dim <= 256; dim += 8) {
        const rf_dtype type = kHalves[dim / 8 % 2];
        t.add("tile-dim/" + text(dim) + "-" + name_of(type),
              [&](Case& c) { seqs(c, 33, 70), heads(c, 2, 1), c.dim = dim, c.type = type, c.batch = 1; });
        t.add("tile-dim/decode-" + text(dim) + "-" + name_of(type),
              [&](Case& c) { seqs(c, 1, 270), heads(c, 4, 1), causal(c, true), c.dim = dim, c.type = type, c.batch = 1; });
    }
    for (const auto& [dim, dim_v] : {std::pair<std::int64_t, std::int64_t>{64, 128}, {128, 64}, {192, 128}, {96, 256}, {256, 8}, {40, 72}})
        t.add("tile-dim/" + text(dim) + "-to-" + text(dim_v),
              [&, dim = dim, dim_v = dim_v](Case& c) { seqs(c, 33, 70), c.type = kBf16, c.dim = dim, c.dim_v = dim_v, c.batch = 1; });
    for (const std::int64_t edge : {16, 32, 64, 128})
        for (const std::int64_t seq : {edge - 1, edge, edge + 1}) {
            const auto shape = [&](Case& c, std::int64_t kv) { seqs(c, seq, kv), heads(c, 1, 1), c.type = kBf16, c.dim = 64, c.batch = 1; };
            t.add("tile-seq/causal-" + text(seq), [&](Case& c) { shape(c, seq), causal(c, false); });
            t.add("tile-seq/causal-bottom-right-" + text(seq), [&](Case& c) { shape(c, 2 * seq + 1), causal(c, true), c.type = kF16; });
            t.add("tile-seq/full-" + text(seq), [&](Case& c) { shape(c, seq); });
            t.add("tile-seq/one-row-" + text(seq), [&](Case& c) { shape(c, seq), c.seq_q = 1, heads(c, 4, 1), c.type = kF16; });
        }
}

// Few rows over many keys, which kernels split among workgroups and combine.
void decode(Table& t) {
    const auto add = [&](const std::string& name, auto&& describe) {
        for (const rf_dtype type : kHalves)
            t.add(with_type("decode", type) + name, [&](Case& c) {
                seqs(c, 1, 1000), heads(c, 8, 1), causal(c, true), c.dim = 128, c.type = type, c.batch = 1;
                describe(c);
            });
    };
    add("8-over-1", [](Case&) {});
    add("32-over-8", [](Case& c) { heads(c, 32, 8); });
    add("one-head", [](Case& c) { heads(c, 1, 1); });
    add("71-over-1", [](Case& c) { heads(c, 71, 1), c.seq_kv = 300, c.dim = 64; });
    add("3-rows-700-keys", [](Case& c) { seqs(c, 3, 700), heads(c, 4, 2); });
    add("17-rows-700-keys", [](Case& c) { seqs(c, 17, 700), heads(c, 2, 1), c.dim = 64; });
    add("dim-64", [](Case& c) { c.dim = 64; });
    add("dim-256", [](Case& c) { c.dim = 256, heads(c, 2, 1); });
    add("dim-72-to-40", [](Case& c) { c.dim = 72, c.dim_v = 40; });
    add("not-causal", [](Case& c) { c.features &= ~(RF_F_CAUSAL | RF_F_BOTTOM_RIGHT); });
    add("window", [](Case& c) { window(c, 300, -1); });
    add("sink", [](Case& c) { c.features |= RF_F_SINK; });
    add("softcap", [](Case& c) { softcap(c, 2); });
    add("alibi", [](Case& c) { c.features |= RF_F_ALIBI; });
    add("mask-empties-whole-splits", [](Case& c) { bool_mask(c, Pattern::prefix_half), c.hide_nan = true; });
    add("mask-empties-the-row", [](Case& c) { bool_mask(c, Pattern::random), seqs(c, 3, 700), c.hide_nan = true; });
    add("additive-checkered", [](Case& c) { add_mask(c, kF32, Pattern::checkered_64), c.hide_nan = true; });
    add("lengths", [](Case& c) { kv_lengths(c, {1000, 1, 0, 517}), heads(c, 4, 2), c.hide_nan = true; });
    add("lengths-sink", [](Case& c) { kv_lengths(c, {1000, 0}), heads(c, 4, 2), c.features |= RF_F_SINK; });
    add("lengths-hints", [](Case& c) { kv_lengths(c, {30, 64, 0}), heads(c, 4, 2), c.live_hints = true; });
    // Kernels count lengths: alike, and more of them than a workgroup has threads.
    add("equal-lengths", [](Case& c) { kv_lengths(c, {700, 700, 700}), heads(c, 4, 2), c.hide_nan = true; });
    add("300-lengths", [](Case& c) {
        std::vector<std::int64_t> lengths(300);
        for (std::size_t i = 0; i < lengths.size(); ++i) lengths[i] = static_cast<std::int64_t>(i * 53 % 271);
        kv_lengths(c, lengths), c.seq_kv = 270, c.dim = 64, heads(c, 4, 2), c.hide_nan = true;
    });
    add("paged-16", [](Case& c) { paged(c, 16, {1000, 33, 0, 512}), heads(c, 4, 2), c.hide_nan = true; });
    add("paged-64", [](Case& c) { paged(c, 64, {1000, 33, 0, 512}), heads(c, 4, 2), c.hide_nan = true; });
    add("paged-1", [](Case& c) { paged(c, 1, {270, 33}), c.seq_kv = 270, heads(c, 4, 2); });
    add("paged-256-tokens-before-heads", [](Case& c) { paged(c, 256, {1000, 257}), heads(c, 4, 2), c.layout = Layout::bshd; });
    add("ragged-over-pages", [](Case& c) { ragged_q(c, {1, 3, 0, 1}), paged(c, 16, {1000, 33, 5, 512}), c.seq_q = 3, heads(c, 4, 2); });
    add("deterministic", [](Case& c) { c.features |= RF_F_DETERMINISTIC; });
    add("tokens-before-heads", [](Case& c) { c.layout = Layout::bshd, heads(c, 4, 2); });
    add("no-lse", [](Case& c) { c.features &= ~RF_F_LSE; });
    add("logits-of-1e9", [](Case& c) { c.q.amplitude = c.k.amplitude = 6e4; });
    add("nan-in-the-last-key", [](Case& c) { c.pokes = {{'v', 0, 0, 999, -1, NAN}}, seqs(c, 3, 1000), heads(c, 2, 2); });
}

void prefill(Table& t) {
    const auto add = [&](const std::string& name, auto&& describe) {
        for (const rf_dtype type : kHalves)
            t.add(with_type("prefill", type) + name, [&](Case& c) {
                seqs(c, 140, 140), heads(c, 2, 1), causal(c, false), c.dim = 64, c.type = type, c.batch = 1;
                describe(c);
            });
    };
    add("dim-128", [](Case& c) { c.dim = 128; });
    add("dim-256", [](Case& c) { c.dim = 256, heads(c, 1, 1); });
    add("window-over-blocks", [](Case& c) { seqs(c, 200, 200), heads(c, 1, 1), window(c, 90, -1), c.hide_nan = true; });
    add("window-of-one-block", [](Case& c) { window(c, 5, -1); });
    add("window-both-sides", [](Case& c) { c.features &= ~RF_F_CAUSAL, window(c, 70, 20); });
    add("window-leaves-early-keys-unseen", [](Case& c) { causal(c, true), seqs(c, 40, 300), window(c, 30, -1), c.hide_nan = true; });
    add("mask-checkered", [](Case& c) { bool_mask(c, Pattern::checkered_64), c.hide_nan = true; });
    add("mask-checkered-not-causal", [](Case& c) { c.features &= ~RF_F_CAUSAL, bool_mask(c, Pattern::checkered_64); });
    add("mask-checkered-additive", [](Case& c) { add_mask(c, c.type, Pattern::checkered_64); });
    add("mask-prefix", [](Case& c) { bool_mask(c, Pattern::prefix_half), c.hide_nan = true; });
    add("mask-hides-whole-blocks",
        [](Case& c) { c.features &= ~RF_F_CAUSAL, seqs(c, 128, 192), bool_mask(c, Pattern::prefix_half), c.hide_nan = true; });
    add("mask-hides-whole-blocks-additive",
        [](Case& c) { c.features &= ~RF_F_CAUSAL, seqs(c, 128, 192), add_mask(c, c.type, Pattern::prefix_half), c.hide_nan = true; });
    add("mask-one-key", [](Case& c) { bool_mask(c, Pattern::one_key); });
    add("mask-of-holes", [](Case& c) { bool_mask(c, Pattern::holes); });
    add("mask-of-holes-additive", [](Case& c) { add_mask(c, c.type, Pattern::holes); });
    add("lowest-row", [](Case& c) { add_mask(c, kF32, Pattern::lowest_row); });
    add("infinity-in-a-mask", [](Case& c) { add_mask(c, kF32, Pattern::keep_all), heads(c, 1, 1), c.pokes = {{'m', 0, 0, 80, 6, INFINITY}}; });
    add("infinity-in-k-under-a-mask", [](Case& c) { add_mask(c, kF32, Pattern::keep_all), heads(c, 1, 1), c.pokes = {{'k', 0, 0, 5, 1, INFINITY}}; });
    add("more-rows-than-keys", [](Case& c) { causal(c, true), seqs(c, 150, 70); });
    add("diagonal-far-left", [](Case& c) { c.diagonal = -100; });
    add("diagonal-far-right", [](Case& c) { c.diagonal = 100; });
    add("packed-qkv", [](Case& c) { heads(c, 2, 2), c.layout = Layout::packed_qkv; });
    add("ragged", [](Case& c) { ragged_q(c, {100, 1, 0, 64}), ragged_kv(c, {100, 65, 3, 64}), causal(c, true), heads(c, 1, 1); });
    add("ragged-over-pages", [](Case& c) {
        ragged_q(c, {100, 1, 0, 40}), paged(c, 16, {140, 90, 3, 40}), causal(c, true), heads(c, 2, 1), c.hide_nan = true;
    });
    add("lengths", [](Case& c) { kv_lengths(c, {140, 0, 65}), heads(c, 1, 1), c.hide_nan = true; });
    add("nan-in-v-under-causal", [](Case& c) {
        seqs(c, 200, 200), heads(c, 3, 3), c.pokes = {{'v', 0, 0, 0, -1, NAN}, {'v', 0, 1, 65, 3, NAN}, {'v', 0, 2, 199, -1, NAN}};
    });
    add("nan-in-k-under-causal", [](Case& c) { seqs(c, 200, 200), heads(c, 2, 2), c.pokes = {{'k', 0, 0, 63, 0, NAN}, {'k', 0, 1, 128, -1, NAN}}; });
    add("infinity-in-v-under-causal", [](Case& c) { heads(c, 1, 1), c.pokes = {{'v', 0, 0, 70, 1, INFINITY}}; });
    add("logits-of-1e4", [](Case& c) { c.q.amplitude = 150, c.k = {150, false, true}, heads(c, 1, 1); });
    add("logits-of-1e9", [](Case& c) { c.q.amplitude = c.k.amplitude = 6e4, c.dim = 128; });
    add("logits-of-1e9-in-pages-of-4", [](Case& c) { c.q.amplitude = c.k.amplitude = 6e4, paged(c, 4, {140, 33}); });
    add("growing-maximum", [](Case& c) { c.features = (c.features & ~RF_F_CAUSAL) | RF_F_ALIBI, c.diagonal = 200; });
    add("v-near-65504", [](Case& c) { c.v.amplitude = 65504; });
}

}  // namespace

std::vector<Case> tile_cases(std::uint64_t seed) {
    Table t(seed);
    for (void (*group)(Table&) : {features, feature_pairs, dims_and_lengths, decode, prefill}) group(t);
    return std::move(t.cases);
}

}  // namespace rocforge::conformance
