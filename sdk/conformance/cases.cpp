// The table. Each function below adds one group; a name is group/what, and stays: people reproduce failures by it.
#include "table.h"

#include <functional>
#include <set>
#include <string_view>
#include <utility>

namespace rocforge::conformance {
namespace {

void sequences(Table& t) {
    for (const auto& [q, kv] : std::vector<std::pair<std::int64_t, std::int64_t>>{
             {1, 1},  {1, 2},  {2, 1},   {1, 17},  {17, 1},  {13, 31}, {31, 13}, {61, 127}, {127, 61},  {3, 251}, {251, 5}, {1, 63},
             {1, 64}, {1, 65}, {63, 63}, {64, 64}, {65, 65}, {2, 127}, {2, 128}, {2, 129},  {129, 129}, {5, 257}, {5, 512}, {7, 1021}})
        for (const rf_dtype type : kFloats)
            t.add("seq/" + text(q) + "x" + text(kv) + "-" + name_of(type),
                  [&, q = q, kv = kv](Case& c) { seqs(c, q, kv), c.type = type, c.batch = q * kv > 10000 ? 1 : 2; });
    for (const auto& [q, kv] : {std::pair<std::int64_t, std::int64_t>{1, 1}, {3, 3}, {5, 5}, {4, 2}, {6, 3}, {6, 2}, {8, 1}, {71, 1}, {14, 2}})
        t.add("heads/" + text(q) + "-over-" + text(kv), [&, q = q, kv = kv](Case& c) { heads(c, q, kv); });
    t.add("batch/11", [](Case& c) { c.batch = 11; });
    for (const rf_dtype type : kFloats) {
        t.add(std::string("long/5000-keys-") + name_of(type), [&](Case& c) { seqs(c, 3, 5000), c.dim = 32, c.batch = 1, c.type = type; });
        t.add(std::string("long/5000-keys-decode-grouped-") + name_of(type), [&](Case& c) {
            seqs(c, 1, 5000), heads(c, 4, 2), causal(c, true), kv_lengths(c, {5000, 4999, 1}), c.dim = 32, c.type = type;
        });
    }
    t.add("long/5000-keys-window", [](Case& c) { seqs(c, 4, 5000), causal(c, true), window(c, 700, -1), c.batch = 1, c.head_q = c.head_kv = 1; });
    t.add("long/1500-rows", [](Case& c) { seqs(c, 1500, 9), c.batch = 1, c.dim = 8; });
}

// Enough work that a backend on the host spreads it over threads: decode whose keys are split, prefill of several items, both over pages and ragged
// batches, and splits in which some rows attend to nothing.
void heavy(Table& t) {
    const auto decode = [](Case& c) { seqs(c, 1, 3000), heads(c, 2, 1), c.dim = 128, c.batch = 1, causal(c, true); };
    const auto prefill = [](Case& c) { seqs(c, 120, 260), heads(c, 2, 1), c.dim = 64, c.batch = 1; };
    for (const rf_dtype type : kFloats) {
        const std::string suffix = std::string("-") + name_of(type);
        t.add("heavy/decode" + suffix, [&](Case& c) { decode(c), c.type = type; });
        t.add("heavy/prefill" + suffix, [&](Case& c) { prefill(c), causal(c, true), c.type = type; });
    }
    t.add("heavy/decode-one-head", [&](Case& c) { decode(c), heads(c, 1, 1), c.features |= RF_F_SINK | RF_F_DETERMINISTIC; });
    t.add("heavy/decode-paged", [&](Case& c) { decode(c), paged(c, 16, {3000, 0, 700}), c.type = kBf16; });
    t.add("heavy/decode-scales-and-dim_v", [&](Case& c) { decode(c), kv_scales(c, 4, 0), c.dim_v = 72, c.k_type = c.v_type = kF16; });
    t.add("heavy/decode-mask-empties-half-the-keys", [&](Case& c) { decode(c), bool_mask(c, Pattern::prefix_half); });
    t.add("heavy/decode-window", [&](Case& c) { decode(c), window(c, 2000, -1), c.type = kF16; });
    t.add("heavy/prefill-few-rows-many-keys", [&](Case& c) { prefill(c), seqs(c, 24, 2000), causal(c, false), c.diagonal = 1500; });
    t.add("heavy/prefill-all-features", [&](Case& c) {
        prefill(c), causal(c, true), window(c, 150, -1), softcap(c, 8), dropout(c, 0.2f, kBigSeed, kBigOffset), add_mask(c, kF32);
        c.features |= RF_F_ALIBI | RF_F_SINK | RF_F_DETERMINISTIC;
    });
    t.add("heavy/ragged-prefill-and-decode", [&](Case& c) {
        ragged_q(c, {100, 1, 0, 1, 7}), paged(c, 16, {200, 3000, 0, 2000, 600}), seqs(c, 100, 3000), heads(c, 2, 1), causal(c, true), c.dim = 64;
    });
}

void dims(Table& t) {
    for (const std::int64_t dim : {8, 16, 24, 32, 40, 48, 64, 72, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 512})
        for (const rf_dtype type : kFloats)
            t.add("dim/" + text(dim) + "-" + name_of(type), [&](Case& c) { seqs(c, 5, 9), c.dim = dim, c.type = type; });
    for (const std::int64_t dim : {1, 2, 3, 5, 7, 12, 33, 65, 100, 127, 257})
        for (const rf_dtype type : kFloats)
            t.add("odd-dim/" + text(dim) + "-" + name_of(type), [&](Case& c) { seqs(c, 5, 9), c.dim = dim, c.type = type; });
    for (const auto& [dim, dim_v] : {std::pair<std::int64_t, std::int64_t>{64, 32}, {32, 64}, {128, 8}, {16, 512}, {192, 128}, {8, 24}, {576, 512}})
        t.add("dim_v/" + text(dim) + "-to-" + text(dim_v), [&, dim = dim, dim_v = dim_v](Case& c) { seqs(c, 5, 9), c.dim = dim, c.dim_v = dim_v; });
    t.add("odd-dim/dim_v-5-to-3", [](Case& c) { c.dim = 5, c.dim_v = 3; });
}

void diagonals(Table& t) {
    for (const auto& [q, kv] : {std::pair<std::int64_t, std::int64_t>{7, 11}, {11, 7}, {9, 9}, {1, 33}, {67, 130}, {130, 67}})
        for (const bool bottom_right : {false, true}) {
            const std::string where = std::string(bottom_right ? "bottom-right-" : "top-left-") + text(q) + "x" + text(kv);
            t.add("causal/" + where, [&, q = q, kv = kv](Case& c) { seqs(c, q, kv), causal(c, bottom_right); });
            t.add("causal/" + where + "-f16", [&, q = q, kv = kv](Case& c) { seqs(c, q, kv), causal(c, bottom_right), c.type = kF16; });
            t.add("alibi/" + where, [&, q = q, kv = kv](Case& c) {
                seqs(c, q, kv), heads(c, 3, 3);
                c.features |= RF_F_ALIBI | (bottom_right ? RF_F_BOTTOM_RIGHT : 0);
            });
            for (const auto& [left, right] :
                 {std::pair<std::int64_t, std::int64_t>{2, -1}, {-1, 2}, {3, 1}, {0, 0}, {0, -1}, {-1, 0}, {-1, -1}, {1000, 1000}})
                t.add("window/" + where + "-left" + text(left) + "-right" + text(right), [&, q = q, kv = kv, left = left, right = right](Case& c) {
                    seqs(c, q, kv), window(c, left, right);
                    if (bottom_right) c.features |= RF_F_BOTTOM_RIGHT;
                });
        }
    for (const std::int64_t diagonal : {1, 3, 40, 100000, -1, -3, -40, -100000}) {
        const std::string where = diagonal < 0 ? "minus" + text(-diagonal) : "plus" + text(diagonal);
        t.add("diagonal/causal-" + where, [&](Case& c) { causal(c, false), c.diagonal = diagonal; });
        t.add("diagonal/causal-bottom-right-" + where, [&](Case& c) { causal(c, true), c.diagonal = diagonal; });
        t.add("diagonal/window-" + where, [&](Case& c) { window(c, 2, 1), c.diagonal = diagonal; });
        t.add("diagonal/alibi-" + where, [&](Case& c) { c.features |= RF_F_ALIBI, c.diagonal = diagonal; });
    }
    t.add("window/causal-left-4", [](Case& c) { seqs(c, 33, 33), causal(c, false), window(c, 4, -1); });
    t.add("window/causal-narrows-right-3", [](Case& c) { seqs(c, 33, 33), causal(c, false), window(c, 4, 3); });
    t.add("window/causal-bottom-right-left-0", [](Case& c) { seqs(c, 5, 70), causal(c, true), window(c, 0, 0); });
    t.add("window/left-70-of-300", [](Case& c) { seqs(c, 150, 300), causal(c, true), window(c, 70, -1), c.batch = 1; });
    t.add("alibi/71-heads", [](Case& c) { heads(c, 71, 1), c.features |= RF_F_ALIBI, c.batch = 1; });
}

void masks(Table& t) {
    static const char* const kAxis[] = {"batch", "head", "rows", "keys"};
    for (std::uint32_t axes = 0; axes < 16; ++axes) {
        std::string where = axes ? "broadcast" : "full";
        for (int axis = 0; axis < 4; ++axis)
            if (axes >> axis & 1) where += std::string("-") + kAxis[axis];
        // One value for all keys of all rows excludes everything or nothing: the latter tells more.
        const Pattern pattern = (axes & 12) == 12 ? Pattern::keep_all : Pattern::random;
        t.add("mask/bool-" + where, [&](Case& c) { bool_mask(c, pattern, axes), c.batch = 3; });
        for (const rf_dtype type : kFloats)
            t.add(std::string("mask/additive-") + name_of(type) + "-" + where, [&](Case& c) { add_mask(c, type, pattern, axes), c.batch = 3; });
    }
    t.add("mask/bool-any-non-zero-byte-keeps", [](Case& c) {
        bool_mask(c, Pattern::every_other_key);
        c.pokes = {{'m', 0, 0, 2, 4, 2}, {'m', 0, 1, 3, 6, 128}, {'m', 1, 1, 4, 0, 255}, {'m', 1, 0, 5, 1, 254}};
    });
    const std::pair<const char*, Pattern> patterns[] = {{"keep-all", Pattern::keep_all},
                                                        {"one-key", Pattern::one_key},
                                                        {"prefix", Pattern::prefix_half},
                                                        {"every-other-key", Pattern::every_other_key}};
    for (const auto& [name, pattern] : patterns) {
        t.add(std::string("mask/bool-") + name, [&, pattern = pattern](Case& c) { bool_mask(c, pattern), seqs(c, 9, 70); });
        t.add(std::string("mask/additive-") + name, [&, pattern = pattern](Case& c) { add_mask(c, kF32, pattern), seqs(c, 9, 70); });
        t.add(std::string("mask/bool-causal-") + name, [&, pattern = pattern](Case& c) { bool_mask(c, pattern), causal(c, true), seqs(c, 9, 70); });
    }
    for (const rf_dtype type : kFloats) {
        t.add(std::string("mask/lowest-row-") + name_of(type), [&](Case& c) { add_mask(c, type, Pattern::lowest_row); });
        t.add(std::string("mask/lowest-row-causal-") + name_of(type),
              [&](Case& c) { add_mask(c, type, Pattern::lowest_row), causal(c, true), c.type = type; });
        t.add(std::string("mask/lowest-row-softcap-") + name_of(type), [&](Case& c) { add_mask(c, type, Pattern::lowest_row), softcap(c, 5); });
        t.add(std::string("mask/lowest-row-alibi-") + name_of(type),
              [&](Case& c) { add_mask(c, type, Pattern::lowest_row), c.features |= RF_F_ALIBI; });
    }
    t.add("mask/bool-5-by-300", [](Case& c) { bool_mask(c), seqs(c, 5, 300); });
    t.add("mask/additive-130-by-130-causal", [](Case& c) { add_mask(c, kF32), causal(c, false), seqs(c, 130, 130), c.batch = 1; });
    t.add("mask/additive-causal-bottom-right-dead-rows", [](Case& c) { add_mask(c, kF16), causal(c, true), seqs(c, 19, 7); });
}

// NaN in every key that no row attends to, whatever hides it.
void hidden_nans(Table& t) {
    const std::pair<const char*, std::function<void(Case&)>> hiders[] = {
        {"boolean-mask", [](Case& c) { bool_mask(c, Pattern::every_other_key); }},
        {"boolean-mask-prefix", [](Case& c) { bool_mask(c, Pattern::prefix_half), seqs(c, 7, 150); }},
        {"additive-minus-infinity", [](Case& c) { add_mask(c, kF32, Pattern::every_other_key); }},
        {"additive-minus-infinity-f16", [](Case& c) { add_mask(c, kF16, Pattern::prefix_half), seqs(c, 7, 150); }},
        {"causal-rule", [](Case& c) { causal(c, false), seqs(c, 7, 140); }},
        {"causal-rule-f16", [](Case& c) { causal(c, false), seqs(c, 7, 140), c.type = kF16; }},
        {"causal-rule-bf16", [](Case& c) { causal(c, false), seqs(c, 7, 140), c.type = kBf16; }},
        {"window", [](Case& c) { window(c, 2, 2), c.features |= RF_F_BOTTOM_RIGHT, seqs(c, 7, 140); }},
        {"lengths",
         [](Case& c) {
             kv_lengths(c, {5, 64, 65, 0}), seqs(c, 7, 140);
         }},
        {"lengths-f16",
         [](Case& c) {
             kv_lengths(c, {5, 64, 65, 0}), seqs(c, 7, 140), c.type = kF16;
         }},
        {"pages",
         [](Case& c) {
             paged(c, 16, {5, 64, 65, 0}), seqs(c, 7, 140);
         }},
        {"window-of-pages",
         [](Case& c) {
             paged(c, 16, {90, 64, 65, 140}), seqs(c, 3, 140), causal(c, true), window(c, 20, -1);
         }},
        {"dead-rows", [](Case& c) { causal(c, true), seqs(c, 40, 3); }},
        {"dropout-and-mask", [](Case& c) { bool_mask(c, Pattern::every_other_key), dropout(c, 0.3f, 1, 2); }},
        {"alibi-and-mask", [](Case& c) { bool_mask(c, Pattern::every_other_key), c.features |= RF_F_ALIBI; }},
        {"softcap-and-mask", [](Case& c) { bool_mask(c, Pattern::every_other_key), softcap(c, 3); }},
    };
    for (const auto& [name, hide] : hiders) t.add(std::string("hidden-nan/") + name, [&hide = hide](Case& c) { hide(c), c.hide_nan = true; });
    t.add("hidden-nan/one-head-only", [](Case& c) { bool_mask(c, Pattern::random), c.hide_nan = true, heads(c, 4, 4); });
    t.add("hidden-nan/causal-shows-it-to-later-rows", [](Case& c) {
        causal(c, false), seqs(c, 40, 40), c.pokes = {{'k', 0, 0, 20, -1, NAN}, {'v', 0, 1, 30, 3, NAN}, {'v', 1, 0, 39, -1, NAN}};
    });
    t.add("hidden-nan/window-passes-it", [](Case& c) {
        causal(c, false), window(c, 3, 0), seqs(c, 90, 90), c.pokes = {{'k', 0, 0, 20, -1, NAN}, {'v', 1, 1, 70, -1, NAN}};
    });
}

void non_finite(Table& t) {
    for (const rf_dtype type : kFloats) {
        const std::string suffix = std::string("-") + name_of(type);
        t.add("non-finite/infinity-in-v" + suffix, [&](Case& c) { c.type = type, c.pokes = {{'v', 0, 1, 3, 5, INFINITY}}; });
        t.add("non-finite/nan-in-k" + suffix, [&](Case& c) { c.type = type, c.pokes = {{'k', 1, 0, 10, 2, NAN}}; });
        t.add("non-finite/nan-in-one-row-of-q" + suffix, [&](Case& c) { c.type = type, c.pokes = {{'q', 0, 0, 2, 0, NAN}}; });
        t.add("non-finite/nan-in-v" + suffix, [&](Case& c) { c.type = type, c.pokes = {{'v', 1, 1, 0, -1, NAN}}; });
    }
    t.add("non-finite/minus-infinity-in-v-causal", [](Case& c) { causal(c, false), seqs(c, 70, 70), c.pokes = {{'v', 0, 0, 65, 1, -INFINITY}}; });
    t.add("non-finite/infinity-in-k", [](Case& c) { c.pokes = {{'k', 0, 0, 4, 1, INFINITY}}; });
    t.add("non-finite/nan-in-an-additive-mask", [](Case& c) { add_mask(c, kF32, Pattern::keep_all), c.pokes = {{'m', 1, 1, 3, 2, NAN}}; });
    t.add("non-finite/plus-infinity-in-an-additive-mask", [](Case& c) {
        add_mask(c, kF32, Pattern::keep_all), c.pokes = {{'m', 1, 0, 2, 6, INFINITY}};
    });
    t.add("non-finite/nan-in-a-row-of-q-that-attends-to-nothing", [](Case& c) {
        bool_mask(c), c.pokes = {{'q', 0, 0, 1, -1, NAN}, {'q', 1, 1, 4, 0, INFINITY}};
    });
}

// Scores so large that a rounding of one, or of what stands for it, is a factor of the softmax: what is compared has to be subtracted first. Over few
// rows and over more than a few, for which kernels differ.
template <class Add> void far_numbers(const Add& add) {
    for (const auto& [rows, where] : {std::pair<std::int64_t, std::string>{3, "-few-rows"}, {40, ""}}) {
        const auto far = [&add, rows = rows, where = where](const char* name, const std::function<void(Case&)>& describe) {
            add(name + where, [&](Case& c) { seqs(c, rows, 70), describe(c); });
        };
        far("logits-of-1e9-one-key-each", [](Case& c) { c.q.amplitude = c.k.amplitude = 6e4; });
        // Exact products, which log2(e) makes no float of.
        far("equal-logits-of-1e10", [](Case& c) { c.q = {32512, true, false}, c.k = {65280, true, false}; });
        far("equal-logits-of-minus-1e10", [](Case& c) { c.q = {-32512, true, false}, c.k = {65280, true, false}; });
        far("scale-1e30", [](Case& c) { c.scale = 1e30f; });
        far("scale-near-the-largest", [](Case& c) { c.scale = 3e38f, c.q = {0.05, true, false}; });
        far("softcap-1e5", [](Case& c) { softcap(c, 1e5f); });
        far("softcap-3e38", [](Case& c) { softcap(c, 3e38f); });
        far("softcap-1e6-and-nan-behind-lengths", [](Case& c) { softcap(c, 1e6f), kv_lengths(c, {61, 7}), c.hide_nan = true; });
        far("alibi-from-2^24", [](Case& c) { c.features |= RF_F_ALIBI, c.diagonal = std::int64_t{1} << 24; });
        far("alibi-from-2^40", [](Case& c) { c.features |= RF_F_ALIBI, c.diagonal = std::int64_t{1} << 40; });
    }
}

void numbers(Table& t) {
    for (const rf_dtype type : kFloats) {
        const std::string suffix = std::string("-") + name_of(type);
        const auto add = [&](const std::string& name, const std::function<void(Case&)>& describe) {
            t.add(std::string("numbers/").append(name).append(suffix), [&](Case& c) { c.type = type, describe(c); });
        };
        // At such logits nearly every row's softmax is one key's, exactly, for the textbook formula too: E says nothing, and what is left of the
        // tolerance is its floor. Twin keys give every row two maxima so close that the rounding of a logit shows in out, hence in E.
        add("logits-of-1e4", [](Case& c) { c.q.amplitude = 150, c.k = {150, false, true}, seqs(c, 40, 70); });
        add("logits-of-1e4-causal", [](Case& c) { c.q.amplitude = 150, c.k = {150, false, true}, seqs(c, 40, 40), causal(c, false); });
        add("logits-of-1e4-one-key-each", [](Case& c) { c.q.amplitude = c.k.amplitude = 150, seqs(c, 40, 70); });
        add("logits-all-minus-1e4", [](Case& c) { c.q = {-100, true, false}, c.k = {25, true, false}, c.scale = 0.25f, seqs(c, 3, 70); });
        add("v-near-f16s-limit", [](Case& c) { c.v.amplitude = 65504; });
        add("v-all-at-f16s-limit", [](Case& c) { c.v = {65504, true, false}, seqs(c, 3, 70); });
        add("k-near-f16s-limit", [](Case& c) { c.k.amplitude = 65504, c.q.amplitude = 1e-4; });
        add("minus-zero", [](Case& c) { c.q = c.k = c.v = {-0.0, true, false}; });
        add("all-zero-q", [](Case& c) { c.q = {0, true, false}; });
        add("equal-maxima", [](Case& c) { c.k = {0.5, true, false}, seqs(c, 3, 131); });
        add("equal-values", [](Case& c) { c.v = {0.75, true, false}, seqs(c, 3, 131); });
        add("denormal-v", [&](Case& c) { c.v.amplitude = same(type, kF16) ? 3e-5 : 1e-39; });
        add("denormal-k", [&](Case& c) { c.k.amplitude = same(type, kF16) ? 3e-5 : 1e-39; });
        add("scale-zero", [](Case& c) { c.scale = 0, seqs(c, 5, 70); });
        add("scale-negative", [](Case& c) { c.scale = -0.7f; });
        add("scale-negative-causal-softcap", [](Case& c) { c.scale = -0.7f, causal(c, true), softcap(c, 2); });
        add("scale-large", [](Case& c) { c.scale = 40; });
        add("softcap-50", [](Case& c) { softcap(c, 50); });
        add("softcap-tiny", [](Case& c) { softcap(c, 0.01f); });
        add("softcap-of-large-logits", [](Case& c) { softcap(c, 30), c.q.amplitude = c.k.amplitude = 100; });
        add("growing-maximum", [](Case& c) { c.features |= RF_F_ALIBI, seqs(c, 3, 260), c.diagonal = 300; });
        far_numbers(add);
    }
}

void lengths(Table& t) {
    for (const rf_dtype type : kFloats) {
        const std::string suffix = std::string("-") + name_of(type);
        t.add("lengths/generated" + suffix, [&](Case& c) { kv_lengths(c), c.type = type, seqs(c, 9, 70); });
        t.add("lengths/causal-bottom-right" + suffix, [&](Case& c) {
            kv_lengths(c, {70, 9, 3, 0, 64}), causal(c, true), c.type = type, seqs(c, 9, 70);
        });
        t.add("lengths/causal-top-left-padded-self-attention" + suffix, [&](Case& c) {
            kv_lengths(c, {40, 17, 1}), causal(c, false), c.type = type, seqs(c, 40, 40);
        });
    }
    t.add("lengths/clamped-to-the-capacity", [](Case& c) { kv_lengths(c, {-3, 999, 11, 12}), c.index_type = kI64; });
    t.add("lengths/clamped-causal-bottom-right", [](Case& c) { kv_lengths(c, {-3, 999, 2000000000, 5}), causal(c, true); });
    t.add("lengths/all-zero", [](Case& c) { kv_lengths(c, {0, 0}); });
    t.add("lengths/i64", [](Case& c) { kv_lengths(c, {3, 11, 0}), c.index_type = kI64; });
    t.add("lengths/decode-loop-capacity", [](Case& c) {
        kv_lengths(c, {1, 2, 130, 256}), causal(c, true), seqs(c, 1, 256), heads(c, 8, 2), c.live_hints = true;
    });
    t.add("lengths/live-hints", [](Case& c) { kv_lengths(c, {30, 17, 0}), seqs(c, 5, 500), c.live_hints = true; });
    t.add("empty/kv-of-length-0", [](Case& c) { seqs(c, 5, 0); });
    t.add("empty/kv-of-length-0-with-sink", [](Case& c) { seqs(c, 5, 0), c.features |= RF_F_SINK; });
    t.add("empty/kv-of-length-0-causal-bottom-right", [](Case& c) { seqs(c, 5, 0), causal(c, true); });
    t.add("empty/batch-0", [](Case& c) { c.batch = 0; });
    t.add("empty/seq_q-0", [](Case& c) { c.seq_q = 0; });
    t.add("empty/rows-attend-to-nothing", [](Case& c) { bool_mask(c, Pattern::random, 0), seqs(c, 40, 9); });
    t.add("empty/q-longer-than-kv-bottom-right", [](Case& c) { causal(c, true), seqs(c, 100, 30); });
    t.add("empty/q-longer-than-kv-bottom-right-with-sink", [](Case& c) { causal(c, true), seqs(c, 100, 30), c.features |= RF_F_SINK; });
    t.add("empty/no-row-attends-to-anything", [](Case& c) { causal(c, false), c.diagonal = -1000; });
}

void ragged(Table& t) {
    for (const rf_dtype type : kFloats) {
        const std::string suffix = std::string("-") + name_of(type);
        t.add("ragged/q" + suffix, [&](Case& c) { ragged_q(c), c.type = type; });
        t.add("ragged/q-and-kv" + suffix, [&](Case& c) {
            ragged_q(c, {5, 0, 33, 1, 8}), ragged_kv(c, {5, 7, 33, 64, 0}), seqs(c, 33, 64), c.type = type;
        });
        t.add("ragged/q-and-kv-causal-bottom-right" + suffix, [&](Case& c) {
            ragged_q(c, {5, 0, 33, 1, 8}), ragged_kv(c, {5, 7, 33, 64, 3}), seqs(c, 33, 64), causal(c, true), c.type = type;
        });
        t.add("ragged/q-over-paged-kv" + suffix, [&](Case& c) {
            ragged_q(c, {1, 20, 1, 7, 0}), paged(c, 16, {100, 20, 1, 64, 9}), seqs(c, 20, 100), heads(c, 4, 2), causal(c, true), c.type = type;
        });
    }
    t.add("ragged/kv-alone", [](Case& c) { ragged_kv(c, {5, 7, 0, 11}); });
    t.add("ragged/q-with-lengths", [](Case& c) { ragged_q(c, {5, 0, 7, 1}), kv_lengths(c, {11, 3, 0, 7}), causal(c, true); });
    t.add("ragged/q-with-full-capacity", [](Case& c) { ragged_q(c, {5, 7, 2}), c.spare_tokens = 0; });
    t.add("ragged/q-mostly-capacity", [](Case& c) { ragged_q(c, {2, 1, 0, 0, 0, 0}), c.spare_tokens = 300, c.live_hints = true; });
    t.add("ragged/no-token-at-all", [](Case& c) { ragged_q(c, {0, 0, 0}), c.spare_tokens = 8; });
    t.add("ragged/mask-is-local-to-the-sequence", [](Case& c) { ragged_q(c, {5, 0, 7, 3}), ragged_kv(c, {4, 6, 11, 1}), bool_mask(c); });
    t.add("ragged/alibi-is-local-to-the-sequence", [](Case& c) {
        ragged_q(c, {5, 0, 7, 3}), ragged_kv(c, {4, 6, 11, 1}), c.features |= RF_F_ALIBI | RF_F_BOTTOM_RIGHT;
    });
    t.add("ragged/dropout-is-local-to-the-sequence", [](Case& c) {
        ragged_q(c, {5, 0, 7, 3}), ragged_kv(c, {4, 6, 11, 1}), dropout(c, 0.4f, kBigSeed, 3);
    });
    t.add("ragged/tokens-before-heads", [](Case& c) {
        ragged_q(c, {5, 0, 7, 3}), ragged_kv(c, {4, 6, 11, 1}), c.layout = Layout::bshd, causal(c, true);
    });
    t.add("ragged/i64", [](Case& c) { ragged_q(c, {5, 0, 7, 3}), ragged_kv(c, {4, 6, 11, 1}), c.index_type = kI64; });
    t.add("ragged/first-sequence-empty", [](Case& c) { ragged_q(c, {0, 6}), ragged_kv(c, {0, 9}); });
}

void paging(Table& t) {
    for (const std::int64_t page_size : {1, 2, 16, 17, 64, 256})
        for (const rf_dtype type : kFloats)
            t.add("paged/page-" + text(page_size) + "-" + name_of(type), [&](Case& c) {
                paged(c, page_size, {100, 0, 33, 1}), seqs(c, 3, 100), c.type = type;
            });
    t.add("paged/tokens-before-heads", [](Case& c) { paged(c, 16, {100, 0, 33, 1}), seqs(c, 3, 100), heads(c, 4, 2), c.layout = Layout::bshd; });
    t.add("paged/gaps-between-rows", [](Case& c) { paged(c, 16, {100, 0, 33, 1}), seqs(c, 3, 100), heads(c, 4, 2), c.layout = Layout::padded; });
    t.add("paged/decode-grouped", [](Case& c) {
        paged(c, 16, {100, 1, 33, 17}), seqs(c, 1, 100), heads(c, 8, 2), causal(c, true), c.type = kF16, c.dim = 64;
    });
    t.add("paged/wide-table-i64", [](Case& c) { paged(c, 4), c.spare_columns = 5, c.index_type = kI64; });
    t.add("paged/lengths-clamped", [](Case& c) { paged(c, 4, {-5, 999, 11}); });
    t.add("paged/shared-prefix", [](Case& c) { paged(c, 4, {9, 11, 4}), c.shared_first_page = true; });
    t.add("paged/capacity-no-multiple-of-the-page", [](Case& c) { paged(c, 16, {97, 96, 1}), seqs(c, 2, 97), causal(c, true); });
    t.add("paged/scales", [](Case& c) { paged(c, 4), kv_scales(c, 2, 0); });
    t.add("paged/hints", [](Case& c) { paged(c, 16, {30, 7, 0}), seqs(c, 2, 2000), c.live_hints = true; });
}

void layouts_and_types(Table& t) {
    const std::pair<const char*, Layout> layouts[] = {{"bshd", Layout::bshd}, {"padded", Layout::padded}, {"packed-qkv", Layout::packed_qkv}};
    for (const rf_dtype type : kFloats) {
        const std::string suffix = std::string("-") + name_of(type);
        for (const auto& [name, layout] : layouts)
            t.add(std::string("layout/") + name + suffix,
                  [&, the_layout = layout](Case& c) { seqs(c, 9, 9), heads(c, 3, 3), c.type = type, c.layout = the_layout, causal(c, true); });
        t.add("layout/off-alignment" + suffix, [&](Case& c) { c.type = type, c.shift_elems = 1, c.dim = 32; });
        t.add("layout/padded-off-alignment" + suffix, [&](Case& c) { c.type = type, c.shift_elems = 1, c.layout = Layout::padded, c.dim = 40; });
        t.add("layout/aligned-16" + suffix, [&](Case& c) { c.type = type, c.align = 16; });
        t.add("layout/aligned-256" + suffix, [&](Case& c) { c.type = type, c.align = 256, c.dim = 128; });
    }
    for (const rf_dtype q : kFloats)
        for (const rf_dtype kv : kFloats)
            for (const rf_dtype out : kFloats)
                if (!same(q, kv) || !same(q, out))
                    t.add(std::string("types/q-") + name_of(q) + "-kv-" + name_of(kv) + "-out-" + name_of(out),
                          [&](Case& c) { c.type = q, c.k_type = c.v_type = kv, c.out_type = out; });
    t.add("types/k-and-v-differ", [](Case& c) { c.type = kF16, c.k_type = kBf16, c.v_type = kF32; });
    for (const std::uint32_t axes : {0u, 4u, 5u, 7u, 15u})
        for (const std::int64_t groups : {1, 2, 4, 16})
            if (!(axes & 8u) || groups > 1)
                t.add("kv-scales/groups-" + text(groups) + "-broadcast-" + text(axes),
                      [&](Case& c) { kv_scales(c, groups, axes), c.type = kF16, c.k_type = c.v_type = kBf16; });
}

void extras(Table& t) {
    for (const rf_dtype type : kFloats) {
        const std::string suffix = std::string("-") + name_of(type);
        t.add("sink/random" + suffix, [&](Case& c) { c.features |= RF_F_SINK, c.type = type, seqs(c, 5, 70); });
        t.add("sink/dominates" + suffix, [&](Case& c) { c.features |= RF_F_SINK, c.type = type, c.sinks = {30, 80}; });
        t.add("sink/vanishes" + suffix, [&](Case& c) { c.features |= RF_F_SINK, c.type = type, c.sinks = {-30, -1e4}; });
        t.add("sink/empty-rows" + suffix, [&](Case& c) { c.features |= RF_F_SINK, bool_mask(c), c.type = type, seqs(c, 9, 5); });
        t.add("dropout/half" + suffix, [&](Case& c) { dropout(c, 0.5f, 42, 0), c.type = type, seqs(c, 9, 70); });
        t.add("dropout/64-bit-seed-and-offset" + suffix,
              [&](Case& c) { dropout(c, 0.3f, kBigSeed, kBigOffset), c.type = type, seqs(c, 9, 70), heads(c, 4, 2); });
    }
    t.add("sink/uncapped-and-unscaled", [](Case& c) { c.features |= RF_F_SINK, softcap(c, 1), c.scale = 0.01f, c.sinks = {2, -2}; });
    t.add("dropout/none", [](Case& c) { dropout(c, 0, 42, 7); });
    t.add("dropout/nearly-all", [](Case& c) { dropout(c, 0.96875f, 42, 7), seqs(c, 9, 70); });
    t.add("dropout/causal-window", [](Case& c) { dropout(c, 0.25f, 1ull << 63, 1ull << 32), causal(c, true), window(c, 9, -1), seqs(c, 33, 66); });
    t.add("dropout/odd-tail", [](Case& c) { dropout(c, 0.5f, 9, 9), seqs(c, 3, 67); });
    t.add("no-lse/dense", [](Case& c) { c.features &= ~RF_F_LSE; });
    t.add("deterministic/2000-keys", [](Case& c) { c.features |= RF_F_DETERMINISTIC, seqs(c, 2, 2000), c.batch = 1; });
}

// ---- Generated: every feature alone, every pair that may be combined, and random mixtures ----

void pairs(Table& t) {
    for (const Feature& first : kFeatures) {
        t.add(std::string("feature/") + first.name, [&](Case& c) { seqs(c, 9, 19), first.apply(c); });
        for (const Feature& second : kFeatures) {
            if (&second <= &first || (first.excludes & second.excludes)) continue;
            t.add(std::string("pair/") + first.name + "+" + second.name, [&](Case& c) { seqs(c, 9, 19), first.apply(c), second.apply(c); });
        }
    }
}

// Each feature with probability 1/3, over a few shapes and types; what a mixture holds follows from its name's hash.
void mixtures(Table& t) {
    constexpr int kMixtures = 300;
    constexpr std::pair<std::int64_t, std::int64_t> kShapes[] = {{1, 67}, {9, 19}, {19, 9}, {5, 130}, {33, 33}};
    constexpr std::int64_t kDims[] = {8, 16, 40, 64};
    for (int n = 0; n < kMixtures; ++n)
        t.add("mixture/" + text(n), [&](Case& c) {
            std::uint64_t dice = c.seed;
            const auto roll = [&](std::uint64_t sides) {  // Knuth's MMIX generator; the high bits are the good ones
                dice = dice * 6364136223846793005ull + 1442695040888963407ull;
                return (dice >> 33) % sides;
            };
            const auto [q, kv] = kShapes[roll(std::size(kShapes))];
            seqs(c, q, kv), c.dim = kDims[roll(std::size(kDims))], c.type = kFloats[roll(3)], c.index_type = roll(2) ? kI32 : kI64;
            std::uint32_t taken = 0;
            for (const Feature& feature : kFeatures) {
                if (roll(3) != 0 || (feature.excludes & taken)) continue;
                taken |= feature.excludes;
                feature.apply(c);
            }
        });
}

void everything(Table& t) {
    const auto shared = [](Case& c) {
        heads(c, 4, 2), causal(c, true), window(c, 40, -1), softcap(c, 8), kv_scales(c, 2, 0);
        dropout(c, 0.2f, kBigSeed, kBigOffset);
        c.features |= RF_F_ALIBI | RF_F_SINK | RF_F_DETERMINISTIC;
        c.diagonal = 1, c.dim = 32, c.dim_v = 64, c.hide_nan = true, c.live_hints = true;
    };
    for (const rf_dtype type : kFloats) {
        t.add(std::string("all-at-once/dense-") + name_of(type), [&](Case& c) {
            shared(c), seqs(c, 21, 75), kv_lengths(c, {75, 0, 30, 64}), add_mask(c, kF32), c.type = type;
            c.k_type = c.v_type = kBf16, c.out_type = kF32, c.layout = Layout::padded;
        });
        t.add(std::string("all-at-once/ragged-paged-") + name_of(type), [&](Case& c) {
            shared(c), seqs(c, 21, 75), ragged_q(c, {21, 1, 0, 7}), paged(c, 16, {75, 0, 30, 64}), bool_mask(c), c.type = type;
            c.k_type = c.v_type = kBf16, c.out_type = kF32, c.layout = Layout::bshd, c.index_type = kI64;
        });
    }
}

// Cases of all types differ in the end of their names.
void mark_f32_alone(std::vector<Case>& cases) {
    constexpr std::string_view kEnd = "-f32";
    std::set<std::string> in_f16;
    for (const Case& c : cases)
        if (same(c.type, kF16)) in_f16.insert(c.name);
    for (Case& c : cases) {
        const bool ends_so = c.name.size() > kEnd.size() && c.name.ends_with(kEnd);
        const bool elsewhere = ends_so && in_f16.count(c.name.substr(0, c.name.size() - kEnd.size()) + "-f16") > 0;
        c.f32_alone = same(c.type, kF32) && !elsewhere;
    }
}

}  // namespace

std::vector<Case> all_cases(std::uint64_t seed) {
    Table t(seed);
    for (void (*group)(Table&) : {sequences, heavy, dims, diagonals, masks, hidden_nans, non_finite, numbers, lengths, ragged, paging,
                                  layouts_and_types, extras, pairs, mixtures, everything})
        group(t);
    mark_f32_alone(t.cases);
    return std::move(t.cases);
}

std::vector<Case> in_16_bits(const Case& c) {
    std::vector<Case> all;
    if (!c.f32_alone) return all;
    for (const rf_dtype type : {kF16, kBf16}) {
        Case in_type = c;
        in_type.name += std::string("-as-") + name_of(type);
        in_type.f32_alone = false;
        in_type.type = type;
        for (rf_dtype* each : {&in_type.k_type, &in_type.v_type, &in_type.out_type})
            if (same(*each, kF32)) *each = type;
        all.push_back(in_type);
        if (!(c.features & RF_F_MASK_ADD) || !same(c.mask.type, kF32)) continue;
        in_type.name = c.name + "-and-mask-as-" + name_of(type);
        in_type.mask.type = type;
        all.push_back(std::move(in_type));
    }
    return all;
}

}  // namespace rocforge::conformance
