// See tile_layout.h.
#include "plugins/cpu/tile_layout.h"

#include <unistd.h>

#include <algorithm>
#include <bit>

namespace rocforge::cpu::tiles {

std::int64_t carve(const Attention& a, std::int64_t rows, char* base, Scratch* scratch) {
    constexpr std::int64_t kAlign = 256;  // bytes
    const Shape shape(a);
    const std::int64_t groups = (rows + kGroup - 1) / kGroup, blocks = shape.chunk / kBlock;
    std::int64_t used = 0;
    const auto take = [&]<class T>(std::int64_t count, T*) {
        char* start = base ? base + used : nullptr;
        used += round_up(count * std::int64_t{sizeof(T)}, kAlign);
        return reinterpret_cast<T*>(start);
    };
    const auto elems = [&](std::int64_t count) { return take(count, static_cast<Bf16*>(nullptr)); };
    const auto floats = [&](std::int64_t count) { return take(count, static_cast<float*>(nullptr)); };
    const Scratch laid{
        .q = elems(groups * 2 * shape.q_elems_of_tile()),
        .k = elems(blocks * shape.k_elems_of_block()),
        .v = elems(shape.strips * shape.v_elems_of_strip()),
        .p = elems(2 * shape.p_elems()),
        .o = floats(groups * shape.o_floats_of_group()),
        .s = floats(shape.squares * kSquare),
        .all_s = floats(blocks * kSquare),
        .minus_peak = floats(groups * kGroup),
        .sums = floats(groups * kGroup * kTile),
        .chunk_sums = floats(2 * kGroup * kTile),
        .started = take(groups, static_cast<bool*>(nullptr)),
    };
    if (scratch) *scratch = laid;
    return used;
}

std::int64_t item_rows(const Attention& a) {
    constexpr std::int64_t kL2Bytes = 1 << 20;  // at least, and where the system does not tell
    static const std::int64_t l2_bytes = std::max<std::int64_t>(sysconf(_SC_LEVEL2_CACHE_SIZE), kL2Bytes);
    const Shape shape(a);
    const std::int64_t bytes_of_row = shape.steps * kBlock * 2 + shape.strips * kBlock * 4 + kTile * 4 + 4;
    const std::int64_t fitting = l2_bytes / 2 / bytes_of_row;
    return std::clamp<std::int64_t>(static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(std::max<std::int64_t>(fitting, 1)))),
                                    kMinRows, kMaxRows);
}

}  // namespace rocforge::cpu::tiles
