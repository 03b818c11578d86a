// How the tables of cases are written: the words for one feature each, and the list of features that are combined. For the tables' own files alone.
#ifndef ROCFORGE_CONFORMANCE_TABLE_H
#define ROCFORGE_CONFORMANCE_TABLE_H

#include "cases.h"

#include <string>
#include <utility>
#include <vector>

namespace rocforge::conformance {

inline constexpr rf_dtype kFloats[] = {kF32, kF16, kBf16};

inline std::uint64_t hash_name(const std::string& name, std::uint64_t seed) {  // FNV-1a
    std::uint64_t hash = 0xCBF29CE484222325ull ^ seed;
    for (const char each : name) hash = (hash ^ static_cast<unsigned char>(each)) * 0x100000001B3ull;
    return hash;
}

class Table {
public:
    explicit Table(std::uint64_t seed) : seed_(seed) {}
    template <class Describe> void add(std::string name, Describe&& describe) {
        Case c;
        c.seed = hash_name(name, seed_);
        c.name = std::move(name);
        describe(c);
        cases.push_back(std::move(c));
    }
    std::vector<Case> cases;

private:
    std::uint64_t seed_;
};

inline std::string text(std::int64_t n) { return std::to_string(n); }

inline void heads(Case& c, std::int64_t q, std::int64_t kv) { c.head_q = q, c.head_kv = kv; }
inline void seqs(Case& c, std::int64_t q, std::int64_t kv) { c.seq_q = q, c.seq_kv = kv; }
inline void causal(Case& c, bool bottom_right) { c.features |= RF_F_CAUSAL | (bottom_right ? RF_F_BOTTOM_RIGHT : 0); }
inline void window(Case& c, std::int64_t left, std::int64_t right) {
    c.features |= RF_F_WINDOW;
    c.window_left = left, c.window_right = right;
}
inline void bool_mask(Case& c, Pattern pattern = Pattern::random, std::uint32_t broadcast_axes = 0) {
    c.features |= RF_F_MASK_BOOL;
    c.mask = {kBool, pattern, broadcast_axes};
}
inline void add_mask(Case& c, rf_dtype type, Pattern pattern = Pattern::random, std::uint32_t broadcast_axes = 0) {
    c.features |= RF_F_MASK_ADD;
    c.mask = {type, pattern, broadcast_axes};
}
inline void kv_lengths(Case& c, std::vector<std::int64_t> lengths = {}) {
    c.features |= RF_F_KV_LENGTHS;
    c.kv_lengths = std::move(lengths);
    c.batch = c.kv_lengths.empty() ? 4 : static_cast<std::int64_t>(c.kv_lengths.size());
}
inline void ragged_q(Case& c, std::vector<std::int64_t> lengths = {}) {
    c.features |= RF_F_RAGGED_Q;
    c.q_lengths = std::move(lengths);
    c.batch = c.q_lengths.empty() ? 4 : static_cast<std::int64_t>(c.q_lengths.size());
}
inline void ragged_kv(Case& c, std::vector<std::int64_t> lengths = {}) {
    c.features |= RF_F_RAGGED_KV;
    c.ragged_kv_lengths = std::move(lengths);
    c.batch = c.ragged_kv_lengths.empty() ? 4 : static_cast<std::int64_t>(c.ragged_kv_lengths.size());
}
inline void paged(Case& c, std::int64_t page_size, std::vector<std::int64_t> lengths = {}) {
    kv_lengths(c, std::move(lengths));
    c.features |= RF_F_PAGED_KV;
    c.page_size = page_size;
}
inline void dropout(Case& c, float probability, std::uint64_t seed, std::uint64_t offset) {
    c.features |= RF_F_DROPOUT;
    c.dropout_p = probability, c.dropout_seed = seed, c.dropout_offset = offset;
}
inline void softcap(Case& c, float cap) { c.features |= RF_F_SOFTCAP, c.softcap = cap; }
inline void kv_scales(Case& c, std::int64_t groups, std::uint32_t broadcast_axes) {
    c.features |= RF_F_KV_SCALES;
    c.k_scale = c.v_scale = {groups, broadcast_axes};
}
inline constexpr std::uint64_t kBigSeed = 0x123456789ABCDEF0ull, kBigOffset = 0x0FEDCBA987654321ull;  // both halves of both are in use

// ---- Features as the generated groups combine them

struct Feature {
    const char* name;
    void (*apply)(Case&);
    std::uint32_t excludes;  // bits of groups: two features that share one cannot be combined
};
enum : std::uint32_t { kMask = 1, kKvSequence = 2, kKvPages = 4, kPadded = 8 };

inline void grow_batch(Case& c) { c.batch = 4; }

inline const Feature kFeatures[] = {
    {"causal", [](Case& c) { causal(c, false); }, 0},
    {"bottom-right", [](Case& c) { causal(c, true); }, 0},
    {"window", [](Case& c) { window(c, 4, 2); }, 0},
    {"diagonal", [](Case& c) { causal(c, false), c.diagonal = 2; }, 0},
    {"grouped-heads", [](Case& c) { heads(c, 4, 2); }, 0},
    {"bool-mask", [](Case& c) { bool_mask(c); }, kMask},
    {"additive-mask", [](Case& c) { add_mask(c, kF32); }, kMask},
    {"alibi", [](Case& c) { c.features |= RF_F_ALIBI; }, 0},
    {"softcap", [](Case& c) { softcap(c, 1.5f); }, 0},
    {"sink", [](Case& c) { c.features |= RF_F_SINK; }, 0},
    {"kv-lengths", [](Case& c) { c.features |= RF_F_KV_LENGTHS, grow_batch(c); }, kKvSequence},
    {"ragged-kv", [](Case& c) { c.features |= RF_F_RAGGED_KV, grow_batch(c); }, kKvSequence | kKvPages},
    {"paged", [](Case& c) { c.features |= RF_F_PAGED_KV | RF_F_KV_LENGTHS, grow_batch(c); }, kKvPages},
    {"ragged-q", [](Case& c) { c.features |= RF_F_RAGGED_Q, grow_batch(c); }, 0},
    {"no-lse", [](Case& c) { c.features &= ~RF_F_LSE; }, 0},
    {"dim_v", [](Case& c) { c.dim_v = c.dim * 2; }, 0},
    {"dropout", [](Case& c) { dropout(c, 0.3f, kBigSeed, kBigOffset); }, 0},
    {"deterministic", [](Case& c) { c.features |= RF_F_DETERMINISTIC; }, 0},
    {"kv-type", [](Case& c) { c.k_type = c.v_type = same(c.type, kF16) ? kBf16 : kF16; }, 0},
    {"kv-scales", [](Case& c) { kv_scales(c, 2, 4); }, 0},
    {"out-type", [](Case& c) { c.out_type = same(c.type, kBf16) ? kF32 : kBf16; }, 0},
    {"bshd", [](Case& c) { c.layout = Layout::bshd; }, kPadded},
    {"gaps", [](Case& c) { c.layout = Layout::padded; }, kPadded},
    {"hidden-nan", [](Case& c) { c.hide_nan = true; }, 0},
    {"hints", [](Case& c) { c.live_hints = true; }, 0},
};

}  // namespace rocforge::conformance
#endif
