// Philox 4x32-10: four random words from a counter and a key, so that element (b, h, i, j) of a dropout mask can be drawn by itself, on any
// device and in any order. No state, no seeding policy.
// Salmon, Moraes, Dror, Shaw: "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011.
#ifndef ROCFORGE_KERNELS_COMMON_PHILOX_H
#define ROCFORGE_KERNELS_COMMON_PHILOX_H

#include <cstdint>

namespace rocforge::kernels {

struct PhiloxWords {
    std::uint32_t word[4];
};
struct PhiloxKey {
    std::uint32_t word[2];
};

constexpr PhiloxWords philox_round(const PhiloxWords& counter, const PhiloxKey& key) {
    constexpr std::uint64_t kMultiplier0 = 0xD2511F53u, kMultiplier1 = 0xCD9E8D57u;
    const std::uint64_t product0 = kMultiplier0 * counter.word[0], product1 = kMultiplier1 * counter.word[2];
    return {{static_cast<std::uint32_t>(product1 >> 32) ^ counter.word[1] ^ key.word[0], static_cast<std::uint32_t>(product1),
             static_cast<std::uint32_t>(product0 >> 32) ^ counter.word[3] ^ key.word[1], static_cast<std::uint32_t>(product0)}};
}

constexpr PhiloxWords philox_4x32_10(PhiloxWords counter, PhiloxKey key) {
    constexpr std::uint32_t kWeyl0 = 0x9E3779B9u, kWeyl1 = 0xBB67AE85u;  // the golden ratio, sqrt(3) - 1
    for (int round = 0; round < 10; ++round) {
        if (round > 0) key = {{key.word[0] + kWeyl0, key.word[1] + kWeyl1}};
        counter = philox_round(counter, key);
    }
    return counter;
}

// What dropout draws with: rf_args' seed and offset, and the probability as a threshold on 32-bit words.
struct Dropout {
    std::uint64_t seed, offset;
    std::uint64_t threshold;  // floor(probability * 2^32): 33 bits, so that a probability of 1 keeps nothing

    static constexpr std::uint64_t threshold_of(double probability) { return static_cast<std::uint64_t>(probability * 4294967296.0); }

    // The words that decide keys 4 * quad .. 4 * quad + 3 of row i of head `head` (batch entry b * head_q + head_q index).
    constexpr PhiloxWords words(std::uint32_t quad, std::uint32_t row, std::uint32_t head) const {
        const auto low = [](std::uint64_t x) { return static_cast<std::uint32_t>(x); };
        const auto high = [](std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32); };
        return philox_4x32_10({{quad, row, head, low(offset)}}, {{low(seed), high(seed) ^ high(offset)}});
    }
    constexpr bool keeps(std::uint32_t word) const { return word >= threshold; }
};

}  // namespace rocforge::kernels
#endif
