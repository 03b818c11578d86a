// AMX's tile registers by number. Own assembly, since compilers' intrinsics lack clobbers (GCC 12 tells that a load of the configuration reads 8
// bytes of 64, and that a tile load reads nothing). Part of tile_kernel.cpp.
#ifndef ROCFORGE_PLUGINS_CPU_TILE_AMX_INL_H
#define ROCFORGE_PLUGINS_CPU_TILE_AMX_INL_H

#include <cstdint>

namespace rocforge::cpu::tiles {
namespace {

struct AmxTiles {
    // All eight registers are 16 rows of 64 bytes.
    static void configure() {
        struct alignas(64) Configuration {
            std::uint8_t palette, start_row, reserved[14];
            std::uint16_t row_bytes[16];
            std::uint8_t rows[16];
        };
        Configuration all{.palette = 1};
        for (int i = 0; i < 8; ++i) all.row_bytes[i] = 64, all.rows[i] = 16;
        asm volatile("ldtilecfg %0" ::"m"(all));
    }
    static void release() { asm volatile("tilerelease"); }

    template <int kTo> static void zero() { asm volatile("tilezero %%tmm%c0" ::"i"(kTo)); }
    // Rows `stride` bytes apart.
    template <int kTo> static void load(const void* from, std::int64_t stride = 64) {
        asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "i"(kTo) : "memory");
    }
    // What is read once: it need not stay in L1.
    template <int kTo> static void load_passing(const void* from) {
        asm volatile("tileloaddt1 (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(std::int64_t{64}), "i"(kTo) : "memory");
    }
    template <int kFrom> static void store(void* to) {
        asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(std::int64_t{64}), "i"(kFrom) : "memory");
    }
    // C += A * B
    template <int kC, int kA, int kB> static void multiply() { asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kC), "i"(kA), "i"(kB)); }
};

}  // namespace
}  // namespace rocforge::cpu::tiles
#endif
