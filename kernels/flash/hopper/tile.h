// Prefill on Hopper (sm_90a) in files of their own, since this machine wants another algorithm than attend.h: its matrix unit runs beside the threads
// that feed it (wgmma) and its copy engine fills shared memory by itself (TMA). A block of threads stays on its unit and takes tile after tile; one
// warpgroup gives registers away and only orders copies, the others each own 64 rows and compute the next scores while the last values are
// multiplied:
//
//   producers:   K0 V0 K1 V1 K2 V2 ...                       (as far ahead as there are stages)
//   consumers:   S0 = Q K0 | S1 = Q K1, O += P0 V0 | S2 = Q K2, O += P1 V1 | ... | O += Pn Vn
//                  P0 = exp2(S0)      P1 = exp2(S1), while P0 V0 runs
//
// This file has every size of tiles, of memory and of registers, for device and host alike; work.h the order of tiles, produce.h and consume.h the
// two sides, softmax.h what makes P of S, scoring.h, capping.h and masking.h ALiBi, softcap and masks, careful.h rows whose values are not finite
// behind an exclusion. What these kernels do not take (takes() in hopper.cpp) goes to the portable ones (kernels/flash/prefill.h).
#ifndef ROCFORGE_KERNELS_FLASH_HOPPER_TILE_H
#define ROCFORGE_KERNELS_FLASH_HOPPER_TILE_H

#include "kernels/platform/annotate.h"

namespace rocforge::kernels::flash::hopper {

constexpr int kGroupRows = 64;    // of one consumer: what wgmma multiplies at once
constexpr int kBoxBytes = 128;    // a row of one box: 64 columns of 16 bits
constexpr int kSwizzledRows = 8;  // a box in shared memory begins at a multiple of
constexpr int kSlots = 2;         // tiles that are known: the one in work and the next
constexpr int kSlotBytes = 80;    // of a tile's Work
constexpr int kUnitRegisters = 65536;
constexpr int kWarpRows = 16;   // of a consumer's warp
constexpr int kMaskBlocks = 2;  // of a mask in shared memory, for each consumer

// What a kernel can do to scores besides bounds on keys: nothing, one thing, or all that is asked for. One kernel for all took 1.3 times as long as
// the plain one before it did anything (README.md).
enum class Features { none, softcap, alibi, mask, all };  // mask: of 8 or 16 bits
// Of a scale or softcap: what is divided by less, or multiplied by more, might leave float32.
constexpr float kLeastUnit = 1e-6f, kMostUnit = 1e30f;
// Of softcap, and of scale over softcap: where the coefficients of a polynomial of degree 7, in products, stay within float32 (capping.h).
constexpr float kLeastCap = 0.1f, kMostCap = 1e6f, kLeastSteepness = 1e-5f, kMostSteepness = 1e4f;

// What else lies in shared memory: blocks of the mask, or what makes ALiBi's ramp (scoring.h).
enum class Extra { none, masks, ramp };

// Dim: columns in shared memory; Rows of a tile, 64 a consumer; Keys of a block; Stages: blocks of K, and of V, in shared memory.
template <int Dim, int Rows, int Keys, int Stages, int ProducerRegisters, int ConsumerRegisters, Extra Also = Extra::none> struct Tile {
    static constexpr bool kMasked = Also == Extra::masks, kRamped = Also == Extra::ramp;
    static constexpr int kDim = Dim, kRows = Rows, kKeys = Keys, kStages = Stages;
    static constexpr int kConsumers = Rows / kGroupRows, kThreads = 128 * (1 + kConsumers), kBoxes = Dim / 64;
    static constexpr int kProducerRegisters = ProducerRegisters, kConsumerRegisters = ConsumerRegisters;
    // Whether the output leaves through shared memory by the copy engine. Dim 256 has no room for it, nor dim 128 beside a mask: there it leaves from
    // registers.
    static constexpr bool kBoxedOut = Dim <= 64 || (Dim <= 128 && !kMasked);

    // Whether a block's probabilities can be made while the last block's are still multiplied: for output, scores and both.
    static constexpr bool kAtOnce = Dim / 2 + Keys / 2 + 2 * (Keys / 4) + 24 <= ConsumerRegisters;

    // Rows of the last tiles of a call, in which one consumer rests.
    static constexpr int kShortRows = Rows - kGroupRows;

    // Shared memory: [Q][O][K stages][V stages][masks][ramp][barriers][tiles known ahead]
    static constexpr int kGroupBytes = kGroupRows * Dim * 2, kStageBytes = Keys * Dim * 2;
    static constexpr int kQuery = 0, kOut = kConsumers * kGroupBytes;
    static constexpr int kKeysAt = kOut + (kBoxedOut ? kConsumers * kGroupBytes : 0), kValuesAt = kKeysAt + Stages * kStageBytes;
    static constexpr int kMaskBytes = kGroupRows * kBoxBytes, kMasks = kMasked ? kConsumers * kMaskBlocks : 0;  // a consumer's block; all of them
    static constexpr int kMasksAt = kValuesAt + Stages * kStageBytes, kRampAt = kMasksAt + kMasks * kMaskBytes;
    static constexpr int kBarriers = kRampAt + (kRamped ? (kConsumers * kGroupRows + Keys) * kBoxBytes : 0);
    static constexpr int kBarrierCount = 4 * Stages + 2 * kConsumers + 2 * kSlots + 2 + 2 * kMasks;
    static constexpr int kWork = (kBarriers + kBarrierCount * 8 + 15) / 16 * 16;
    static constexpr int kSharedBytes = kWork + kSlots * kSlotBytes;

    static_assert(Dim % 64 == 0 && Rows % kGroupRows == 0 && Keys % 16 == 0 && Keys <= 256, "boxes and products");
    static_assert(kStageBytes % 1024 == 0 && kGroupBytes % 1024 == 0, "a swizzled box begins at a multiple of 1,024 bytes");
    static_assert(!kMasked || Keys == 64, "a box of the mask");
    static_assert(kSharedBytes <= 227 * 1024, "shared memory of a block on sm_90");
    static_assert(128 * (ProducerRegisters + kConsumers * ConsumerRegisters) <= kUnitRegisters / (kThreads * 8) * (kThreads * 8),
                  "a unit's registers");
    static_assert(ProducerRegisters % 8 == 0 && ConsumerRegisters % 8 == 0, "registers move by eights");
};

// By use: hopper.cpp chooses. Small: least is lost where tiles are few; medium and large: most is gained from each
// key in shared memory. Masked ones have room for blocks of a mask, which are of 64 keys, ramped ones for ALiBi's operands.
using Dim64Small = Tile<64, 256, 64, 4, 32, 112>;
using Dim64Large = Tile<64, 192, 128, 2, 32, 160>;
using Dim64Scored = Tile<64, 192, 64, 4, 32, 160>;
using Dim64Ramped = Tile<64, 192, 64, 4, 32, 160, Extra::ramp>;
using Dim64Masked = Tile<64, 192, 64, 4, 32, 160, Extra::masks>;
using Dim128Small = Tile<128, 128, 128, 2, 40, 232>;
using Dim128Medium = Tile<128, 192, 64, 3, 32, 160>;
using Dim128Large = Tile<128, 192, 80, 3, 32, 160>;
using Dim128Ramped = Tile<128, 192, 64, 3, 32, 160, Extra::ramp>;
using Dim128Masked = Tile<128, 192, 64, 3, 32, 160, Extra::masks>;
using Dim256Small = Tile<256, 128, 64, 2, 40, 232>;
using Dim256Ramped = Tile<256, 128, 64, 2, 40, 232, Extra::ramp>;
using Dim256Masked = Tile<256, 128, 64, 2, 40, 232, Extra::masks>;

}  // namespace rocforge::kernels::flash::hopper
#endif
