// Philox 4x32-10 against its published known answers, and dropout's mapping of a mask element to a word of it.
#include "kernels/common/philox.h"

#include <doctest/doctest.h>

#include <cstdint>

using rocforge::kernels::Dropout;
using rocforge::kernels::philox_4x32_10;
using rocforge::kernels::PhiloxWords;

TEST_CASE("philox 4x32-10 gives the known answers of Random123") {
    // kat_vectors of the Random123 distribution (Salmon et al., SC 2011): counter, key, result.
    const struct {
        PhiloxWords counter;
        rocforge::kernels::PhiloxKey key;
        PhiloxWords result;
    } known[] = {
        {{{0, 0, 0, 0}}, {{0, 0}}, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}},
        {{{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}}, {{0xffffffff, 0xffffffff}}, {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}},
        {{{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, {{0xa4093822, 0x299f31d0}}, {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}},
    };
    for (const auto& each : known) {
        const PhiloxWords words = philox_4x32_10(each.counter, each.key);
        for (int i = 0; i < 4; ++i) CHECK(words.word[i] == each.result.word[i]);
    }
}

TEST_CASE("dropout puts seed and offset where rf_args says") {
    const Dropout dropout{0x1111222233334444u, 0x5555666677778888u, 0};
    const PhiloxWords drawn = dropout.words(3, 5, 7), expected = philox_4x32_10({{3, 5, 7, 0x77778888}}, {{0x33334444, 0x11112222u ^ 0x55556666u}});
    for (int i = 0; i < 4; ++i) CHECK(drawn.word[i] == expected.word[i]);
}

TEST_CASE("a probability of 0 keeps every word and a probability of 1 none") {
    const Dropout none{0, 0, Dropout::threshold_of(0.0)}, all{0, 0, Dropout::threshold_of(1.0)}, half{0, 0, Dropout::threshold_of(0.5)};
    CHECK(none.keeps(0));
    CHECK_FALSE(all.keeps(0xffffffff));
    CHECK(half.keeps(0x80000000));
    CHECK_FALSE(half.keeps(0x7fffffff));
}
