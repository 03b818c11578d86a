// Prints what the compiled code of each fused kernel is held to, as kernels/flash/tile.h states it: one JSON object a line, for check.py.
#include <cstdio>
#include <string>

#include "kernels/flash/tile.h"

namespace {

using rocforge::kernels::Family;
using namespace rocforge::kernels::flash;

constexpr int kRegisters = 256;  // that a lane can have with two waves a SIMD

template <class Tile> void print(const std::string& kernel, const char* arch) {
    int vgprs = kRegisters;
    double per_matrix = 0;  // 0: not limited
    if constexpr (requires { Tile::kLimits; }) {
        vgprs = Tile::kLimits.vgprs;
        per_matrix = Tile::kLimits.instructions_per_matrix;
    }
    for (const char* features : {"", "_general", "_paged", "_general_paged"})
        std::printf("{\"kernel\": \"%s%s\", \"arch\": \"%s\", \"vgprs\": %d, \"lds_bytes\": %d, \"instructions_per_matrix\": %g}\n", kernel.c_str(),
                    features, arch, vgprs, Tile::kSharedBytes, per_matrix);
}

template <Family F, int Dim> void print_dim(const char* arch) {
    for (const char* type : {"bf16", "f16"}) {
        print<PrefillTile<F, Dim>>("flash_prefill_" + std::string(type) + "_" + std::to_string(Dim), arch);
        print<DecodeTile<F, Dim>>("flash_decode_" + std::string(type) + "_" + std::to_string(Dim), arch);
    }
}

template <Family F> void print_arch(const char* arch) {
    print_dim<F, 64>(arch);
    print_dim<F, 128>(arch);
    print_dim<F, 256>(arch);
}

}  // namespace

int main() {
    print_arch<Family::gfx9>("gfx90a");
    print_arch<Family::gfx9>("gfx942");
    print_arch<Family::gfx11>("gfx1100");
    print_arch<Family::gfx12>("gfx1201");
}
