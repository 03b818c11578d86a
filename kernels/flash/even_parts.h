// How a decode's tiles are cut over blocks of threads where all are alike. Host and device come to the same: lengths may be on either.
#ifndef ROCFORGE_KERNELS_FLASH_EVEN_PARTS_H
#define ROCFORGE_KERNELS_FLASH_EVEN_PARTS_H

#include <cstdint>

#include "kernels/platform/annotate.h"

namespace rocforge::kernels::flash {

// Even parts of a tile, and the blocks of keys of each (the last may have fewer). parts 0: not evenly.
struct EvenParts {
    std::int32_t parts, blocks;

    // shares: blocks of threads that the machine holds. busy: so many keep the memory busy by themselves as long as tiles are short; to hand parts on
    // costs more than it saves then.
    RF_HOST_DEVICE static EvenParts of(std::int32_t tiles, std::int32_t tile_blocks, std::int32_t waves, std::int32_t shares, std::int32_t busy) {
        const auto quotient = [](std::int32_t a, std::int32_t b) {
            return static_cast<std::int32_t>(static_cast<std::uint32_t>(a) / static_cast<std::uint32_t>(b));
        };
        const std::int32_t steps = quotient(tile_blocks + waves - 1, waves), fitting = quotient(shares, tiles);
        const bool short_tiles = steps <= 16;
        if (steps <= 1 || (short_tiles && tiles >= busy)) return {1, tile_blocks};
        if (fitting <= 1) {  // whole tiles, if that leaves no more than a quarter idle
            const std::int32_t rounds = quotient(tiles + shares - 1, shares);
            return {short_tiles || quotient(tiles, rounds) >= shares - shares / 4, tile_blocks};
        }
        const std::int32_t part_steps = quotient(steps + fitting - 1, fitting);
        return {quotient(steps + part_steps - 1, part_steps), part_steps * waves};
    }
};

}  // namespace rocforge::kernels::flash
#endif
