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

Isa plain_isa(const Plain& plain, const std::vector<const Kernel*>& found) {
    const auto kernel = std::find_if(found.begin(), found.end(), [&](const Kernel* k) { return std::string_view(k->isa) == plain.name; });
    if (kernel != found.end()) return {plain.name, plain.arch, *kernel, nullptr, nullptr, {}};
    return {plain.name, plain.arch, nullptr, nullptr, nullptr, plain.lacks};
}

const Kernel* dots_kernel(const Kernel& avx512) {
    static const Kernel kKernel = [&] {
        Kernel kernel = avx512;
        kernel.isa = "avx512_bf16";
        kernel.score_bf16 = few_bf16_scores();
        return kernel;
    }();
    return &kKernel;
}

// A set with a matrix unit, beside AVX-512's kernel for all that the unit does not take.
Isa tile_isa(const char* name, MatrixUnit unit, const Isa& avx512) {
    if (!avx512.rows) return {name, avx512.arch, nullptr, nullptr, nullptr, avx512.missing};
    std::string missing;
    const Kernel* tiles = tile_kernel(unit, *avx512.rows, &missing);
    return {name, avx512.arch, avx512.rows, tiles, tiles ? dots_kernel(*avx512.rows) : nullptr, missing};
}

}  // namespace

std::vector<Isa> isas() {
    const std::vector<const Kernel*> found = highway_kernels();
    const Isa avx512 = plain_isa(kPlain[0], found);
    std::vector<Isa> all{tile_isa("amx", MatrixUnit::amx, avx512), tile_isa("avx512_bf16", MatrixUnit::avx512_bf16, avx512)};
    for (const Plain& plain : kPlain) all.push_back(plain_isa(plain, found));
    all.push_back({"sve", "aarch64", nullptr, nullptr, nullptr, kNoSve});
    return all;
}

std::string claim(const Isa& isa) { return std::string_view(isa.name) == "amx" ? claim_amx() : std::string(); }

const Kernel& kernel_for(const Isa& isa, const Attention& a) {
    if (isa.tiles && tiles_take(a, isa.rows->few_rows)) return *isa.tiles;
    return isa.dots && bf16_scores(a) && a.group() * a.max_seq_q <= isa.rows->few_rows ? *isa.dots : *isa.rows;
}

}  // namespace rocforge::cpu
