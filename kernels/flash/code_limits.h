// What AMD's compiler may make of the tiles in tile.h, and no worse: tests/code_objects reads it off every code object. No kernel spills or uses
// scratch. The numbers are those of clang 19, and some 5%: a change that costs more is seen.
#ifndef ROCFORGE_KERNELS_FLASH_CODE_LIMITS_H
#define ROCFORGE_KERNELS_FLASH_CODE_LIMITS_H

#include "kernels/flash/tile.h"

namespace rocforge::kernels::flash {

// Which kernel of a tile: _paged reads a block table, _general scores with masks and biases.
enum class Variant { plain, paged, general };

struct CodeLimits {
    int vgprs;
    double instructions_per_matrix;  // of the main loop, its edges included
    int kept_in_lanes;               // scalar registers kept in a vector register's lanes, in the main loop: it costs an instruction, no memory
};

namespace detail {
struct PerVariant {
    double plain, paged, general;
};
struct PerDim {
    PerVariant dim_64, dim_128, dim_256;
};
constexpr PerDim kPrefill[] = {{{7.5, 9.5, 28}, {5, 6.2, 16}, {5.8, 6.8, 9.5}},         // gfx9
                               {{21.5, 25.5, 70}, {16, 20.5, 38}, {25.1, 28.8, 36.4}},  // gfx11
                               {{17, 21, 64}, {13, 17.5, 32.5}, {17.6, 21, 28.8}}};     // gfx12
constexpr PerDim kDecode[] = {{{13, 17.5, 26}, {10.6, 14.7, 20}, {9.8, 14.5, 13}},
                              {{30.4, 40, 60}, {32.2, 42, 44}, {32.4, 40.4, 41.4}},
                              {{26, 35, 55}, {26, 35.2, 37.2}, {24.3, 31.7, 33.3}}};
}  // namespace detail

// Family: gfx9, gfx11 or gfx12.
constexpr CodeLimits code_limits(Family family, bool decode, int dim, Variant variant) {
    const detail::PerDim& dims = (decode ? detail::kDecode : detail::kPrefill)[family == Family::gfx9 ? 0 : family == Family::gfx11 ? 1 : 2];
    const detail::PerVariant& variants = dim == 64 ? dims.dim_64 : dim == 128 ? dims.dim_128 : dims.dim_256;
    const double per_matrix = variant == Variant::plain ? variants.plain : variant == Variant::paged ? variants.paged : variants.general;
    return {256, per_matrix, decode ? 48 : variant == Variant::general ? 28 : variant == Variant::paged ? 4 : 0};
}

}  // namespace rocforge::kernels::flash
#endif
