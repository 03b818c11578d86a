// The bf16 tile kernel's two instances, and what they need of machine and system. The region between avx512_begin-inl.h and
// avx512_end-inl.h alone is compiled for AVX-512.
#include "plugins/cpu/tile_kernel.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>

#include "plugins/cpu/few_bf16.h"
#include "plugins/cpu/tile_layout.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernels/common/half.h"

#include "plugins/cpu/avx512_begin-inl.h"
#include "plugins/cpu/tile_item-inl.h"

namespace rocforge::cpu::tiles {
namespace {

template <class Unit>
void attend_item(const Attention& a, const Pointers& p, const Schedule& schedule, const Placed& placed, const Scratch& scratch) {
    ItemRun<Unit>(a, p, schedule, placed, scratch).run();
}

}  // namespace
}  // namespace rocforge::cpu::tiles
#include "plugins/cpu/avx512_end-inl.h"
#endif

namespace rocforge::cpu {
bool tiles_take(const Attention& a, std::int64_t few_rows) {
    // Beyond, scale * log2(e) overflows; and scores are multiplied by scale over softcap, which has to be a normal number.
    constexpr float kMost = 1e30f;
    const float share = a.softcap == 0 ? 1.0f : std::abs(a.scale / a.softcap);
    if (std::abs(a.scale) > kMost || share > kMost || share < 1 / kMost) return false;
    return a.q.type == Type::bf16 && a.k.type == Type::bf16 && a.v.type == Type::bf16 && !a.k_scale.present() && !a.v_scale.present() && !a.dropout &&
           !all_few(a, few_rows);
}

#if defined(__x86_64__)
namespace {

std::int64_t slice_bytes(const Kernel& kernel, const Attention& a, std::int64_t rows) {
    return std::max(tiles::carve(a, rows, nullptr, nullptr), kernel.general->slice_bytes(kernel, a, rows));
}

// Items of few rows, which a ragged batch may hold, are the AVX-512 kernel's.
template <class Unit>
void attend(const Kernel& kernel, const Attention& a, const Pointers& p, const Schedule& schedule, std::int64_t begin, std::int64_t end,
            char* slice) {
    tiles::Scratch scratch;
    tiles::carve(a, schedule.item_rows, slice, &scratch);
    for (std::int64_t i = begin; i < end; ++i) {
        const Placed placed = place(a, schedule, i, false);
        if (placed.item.heads * placed.item.rows <= kernel.few_rows)
            kernel.general->attend(kernel, a, p, schedule, i, i + 1, slice);
        else
            tiles::attend_item<Unit>(a, p, schedule, placed, scratch);
    }
}

struct Cpuid {
    unsigned a = 0, b = 0, c = 0, d = 0;
    Cpuid(unsigned leaf, unsigned sub_leaf) { __get_cpuid_count(leaf, sub_leaf, &a, &b, &c, &d); }
};

// State components that the system saves: 17 and 18 are AMX's configuration and tiles.
bool system_saves_tiles() {
    if (!(Cpuid(1, 0).c >> 27 & 1)) return false;  // OSXSAVE
    unsigned low = 0, high = 0;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low >> 17 & 3) == 3;
}

// Linux gives a process the tiles' state when it asks (Documentation/arch/x86/xstate.rst): may it?
constexpr long kTileData = 18;
bool system_lends_tiles() {
    constexpr long kSupported = 0x1021;
    std::uint64_t components = 0;
    return syscall(SYS_arch_prctl, kSupported, &components) == 0 && (components >> kTileData & 1);
}
std::string ask_for_tiles() {
    constexpr long kRequest = 0x1023;
    if (syscall(SYS_arch_prctl, kRequest, kTileData) == 0) return {};
    const std::string hint = errno == ENOSPC ? "; a thread's alternate signal stack is too small for it" : "";
    return std::string("the system refuses this process AMX's state: ") + std::strerror(errno) + hint;
}

std::string amx_lacks() {
    const unsigned d = Cpuid(7, 0).d;
    if (!(d >> 22 & 1) || !(d >> 24 & 1)) return "the processor lacks AMX-BF16";
    if (!system_saves_tiles() || !system_lends_tiles()) return "the system does not save AMX's state";
    return {};
}

std::string avx512_bf16_lacks() { return Cpuid(7, 1).a >> 5 & 1 ? "" : "the processor lacks AVX512-BF16"; }

}  // namespace

std::string lacks(MatrixUnit unit) {
    static const std::string avx512_bf16 = avx512_bf16_lacks(), amx = avx512_bf16.empty() ? amx_lacks() : avx512_bf16;
    return unit == MatrixUnit::amx ? amx : avx512_bf16;
}

Kernel tile_kernel(MatrixUnit unit, const Kernel& general) {
    const bool amx = unit == MatrixUnit::amx;
    Kernel kernel = general;  // whose functions are handed this one: panels and the merge of splits are the same
    kernel.isa = amx ? "amx" : "avx512_bf16";
    kernel.general = &general;
    kernel.few_bf16 = few_bf16_by(unit);
    kernel.flops_per_us = amx ? 500e3 : 100e3;
    kernel.item_rows = tiles::item_rows;
    kernel.split_rows = 2 * tiles::kGroup;
    kernel.slice_bytes = slice_bytes;
    kernel.attend = amx ? attend<tiles::Amx> : attend<tiles::Avx512Bf16>;
    return kernel;
}

std::string claim_amx() {
    static const std::string refused = ask_for_tiles();
    return refused;
}
#else
std::string lacks(MatrixUnit) { return "it is no instruction set of this architecture"; }
Kernel tile_kernel(MatrixUnit, const Kernel& general) { return general; }
std::string claim_amx() { return {}; }
#endif

}  // namespace rocforge::cpu
