// Prints what the compiled code of each fused kernel is held to, as kernels/flash states it: one JSON object a line, for check.py.
#include <cstdio>
#include <string>
#include <utility>

#include "kernels/flash/code_limits.h"

namespace {

using rocforge::kernels::Family;
using namespace rocforge::kernels::flash;

void print(const std::string& kernel, const char* arch, const CodeLimits& limits, int lds_bytes) {
    std::printf("{\"kernel\": \"%s\", \"arch\": \"%s\", \"vgprs\": %d, \"lds_bytes\": %d, \"instructions_per_matrix\": %g, \"kept_in_lanes\": %d}\n",
                kernel.c_str(), arch, limits.vgprs, lds_bytes, limits.instructions_per_matrix, limits.kept_in_lanes);
}

template <Family F, int Dim> void print_dim(const char* arch) {
    const std::pair<const char*, Variant> variants[] = {{"", Variant::plain}, {"_paged", Variant::paged}, {"_general", Variant::general}};
    for (const char* type : {"bf16_", "f16_"})
        for (const auto& [suffix, variant] : variants) {
            const std::string rest = type + std::to_string(Dim) + suffix;
            print("flash_prefill_" + rest, arch, code_limits(F, false, Dim, variant), PrefillTile<F, Dim>::kSharedBytes);
            print("flash_decode_" + rest, arch, code_limits(F, true, Dim, variant), DecodeTile<F, Dim>::kSharedBytes);
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
