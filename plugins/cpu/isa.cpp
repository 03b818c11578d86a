// See isa.h.
#include "plugins/cpu/isa.h"

#include <algorithm>
#include <string_view>

#include "plugins/cpu/few_bf16.h"
#include "plugins/cpu/tile_kernel.h"

namespace rocforge::cpu {
namespace {

#if defined(__x86_64__)
constexpr bool kX86 = true;
#else
constexpr bool kX86 = false;
#endif
#if defined(__aarch64__)
constexpr bool kArm = true;
#else
constexpr bool kArm = false;
#endif

constexpr const char* kNoSve = "no kernel is built for it: its vectors have no size at compile time; a machine with SVE runs neon";

constexpr const char* kForeign = "it is no instruction set of this architecture";

// A set that one kernel of Highway's serves.
struct Plain {
    const char *name, *arch;
    const char* lacks;  // where Highway does not find it
};
constexpr Plain kPlain[] = {
    {"avx512", "x86-64-v4", kX86 ? "the processor or the system lacks AVX-512 F, BW, CD, DQ or VL" : kForeign},
    {"avx2", "x86-64-v3", kX86 ? "the processor or the system lacks AVX2, FMA or BMI2" : kForeign},
    {"sse4", "x86-64-v2", kX86 ? "the processor lacks SSE4.2 or PCLMUL" : kForeign},
    {"neon", "aarch64", kArm ? "the processor lacks AES" : kForeign},
    {"scalar", kX86 ? "x86-64" : "cpu", "neon is the least of this architecture"},
};

const Kernel* find(const char* name, const std::vector<const Kernel*>& kernels) {
    const auto found = std::find_if(kernels.begin(), kernels.end(), [&](const Kernel* k) { return std::string_view(k->isa) == name; });
    return found == kernels.end() ? nullptr : *found;
}

Isa plain_isa(const Plain& plain, const Kernel* kernel) {
    if (!kernel) return {.name = plain.name, .arch = plain.arch, .missing = plain.lacks};
    return {.name = plain.name, .arch = plain.arch, .general = *kernel};
}

// A set with a matrix unit, beside AVX-512's kernel for all that the unit does not take.
Isa tile_isa(const char* name, MatrixUnit unit, const Plain& avx512, const Kernel* kernel) {
    if (!kernel) return {.name = name, .arch = avx512.arch, .missing = avx512.lacks};
    if (std::string missing = lacks(unit); !missing.empty()) return {.name = name, .arch = avx512.arch, .missing = missing};
    Kernel few_by_unit = *kernel;
    few_by_unit.isa = name;
    few_by_unit.few_bf16 = few_bf16_by(unit);
    return {.name = name, .arch = avx512.arch, .general = *kernel, .tiles = tile_kernel(unit, *kernel), .few_by_unit = few_by_unit};
}

}  // namespace

std::vector<Isa> isas() {
    const std::vector<const Kernel*> kernels = highway_kernels();
    const Plain& avx512 = kPlain[0];
    const Kernel* kernel = find(avx512.name, kernels);
    std::vector<Isa> all{tile_isa("amx", MatrixUnit::amx, avx512, kernel), tile_isa("avx512_bf16", MatrixUnit::avx512_bf16, avx512, kernel)};
    for (const Plain& plain : kPlain) all.push_back(plain_isa(plain, find(plain.name, kernels)));
    all.push_back({.name = "sve", .arch = "aarch64", .missing = kNoSve});
    return all;
}

std::string claim(const Isa& isa) { return std::string_view(isa.name) == "amx" ? claim_amx() : std::string(); }

Kernel kernel_for(const Isa& isa, const Attention& a) {
    const std::int64_t few_rows = isa.general.few_rows;
    if (isa.tiles && tiles_take(a, few_rows)) return *isa.tiles;
    return isa.few_by_unit && bf16_scores(a) && all_few(a, few_rows) ? *isa.few_by_unit : isa.general;
}

}  // namespace rocforge::cpu
