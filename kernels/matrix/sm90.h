// sm_90a's asynchronous matrix unit (wgmma): the four warps of a warpgroup multiply 64 rows at once, B always comes from shared memory, and products
// run on while the threads do other work. Rows in shared memory are boxes as the copy engine writes them: 64 columns (128 bytes), chunk c of row r at
// c ^ (r % 8), one box behind the other for further columns.
//
//   accumulator, 64 rows x N columns: lane l of warp w holds, with c = l % 4, columns 8 g + 2 c and 8 g + 2 c + 1 of
//   row 16 w + l / 4 (elements 4 g, 4 g + 1) and row 16 w + l / 4 + 8 (elements 4 g + 2, 4 g + 3)
//
// Between open() and await() accumulators and left operands in registers belong to the unit: whoever touches them earlier has the compiler serialise
// all products, which the build refuses.
#ifndef ROCFORGE_KERNELS_MATRIX_SM90_H
#define ROCFORGE_KERNELS_MATRIX_SM90_H

#include "kernels/matrix/element.h"
#include "kernels/platform/device.h"

namespace rocforge::matrix {

#if defined(RF_NVIDIA) && defined(__CUDA_ARCH_FEAT_SM90_ALL)

// An operand in shared memory: address, distance of boxes, distance of groups of 8 rows (all in 16 bytes), swizzle of 128 bytes.
struct Described {
    std::uint32_t low;  // the address, below 2^18, and the boxes' distance; the rest is the same for all

    RF_DEVICE std::uint64_t bits() const { return std::uint64_t{low} | std::uint64_t{1024 >> 4} << 32 | std::uint64_t{1} << 62; }
};
RF_DEVICE Described described(device::SharedAt at, int box_bytes) { return {at.address >> 4 | static_cast<std::uint32_t>(box_bytes >> 4) << 16}; }
RF_DEVICE Described moved(Described d, int bytes) { return {d.low + static_cast<std::uint32_t>(bytes >> 4)}; }

RF_DEVICE void open() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
RF_DEVICE void close() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// Until at most `Open` of the closed groups of products run.
template <int Open> RF_DEVICE void await() { asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Open) : "memory"); }

// Registers as they are here and now: the compiler moves no use across.
template <int N> RF_DEVICE void pin(float (&x)[N]) {
#pragma unroll
    for (int i = 0; i < N; ++i) asm volatile("" : "+f"(x[i])::"memory");
}
template <int N> RF_DEVICE void pin(std::uint32_t (&x)[N]) {
#pragma unroll
    for (int i = 0; i < N; ++i) asm volatile("" : "+r"(x[i])::"memory");
}

// held = next, once the products of `held` are awaited. The compiler takes a left operand's register for free as soon as products start, and would
// compute `next` in it; here it sees a use of the old value, as the last bytes that a selector could ask for.
RF_DEVICE void replace(std::uint32_t& held, std::uint32_t next) {
    std::uint32_t both = 0x3210;
    asm("" : "+r"(both));
    asm volatile("prmt.b32 %0, %1, %0, %2;" : "+r"(held) : "r"(next), "r"(both));
}

// One step of 16 deep. left_right: both from shared memory, rows of 16 neighbours (Q K^T); accumulate false starts from 0. held_right: the left
// operand from registers, the right one's 16 rows are the depth (P V). Macros, since the operands of an asm statement cannot be counted by a
// template.
template <class T, int N> struct Wgmma;

#define RF_FLOATS_8(d, i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), "+f"(d[i + 7])
#define RF_FLOATS_32(d, i) RF_FLOATS_8(d, i), RF_FLOATS_8(d, i + 8), RF_FLOATS_8(d, i + 16), RF_FLOATS_8(d, i + 24)
#define RF_FLOATS_40(d, i) RF_FLOATS_32(d, i), RF_FLOATS_8(d, i + 32)
#define RF_FLOATS_64(d, i) RF_FLOATS_32(d, i), RF_FLOATS_32(d, i + 32)
#define RF_FLOATS_128(d, i) RF_FLOATS_64(d, i), RF_FLOATS_64(d, i + 64)
#define RF_NAMES_32                                                          \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define RF_NAMES_40 \
    RF_NAMES_32     \
    ", "            \
    "%32, %33, %34, %35, %36, %37, %38, %39"
#define RF_NAMES_64                                                                    \
    RF_NAMES_40                                                                        \
    ", "                                                                               \
    "%40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, " \
    "%56, %57, %58, %59, %60, %61, %62, %63"
#define RF_NAMES_128                                                                               \
    RF_NAMES_64                                                                                    \
    ", "                                                                                           \
    "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "             \
    "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "             \
    "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
    "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"

#define RF_WGMMA(T, type, columns, registers, i0, i1, i2, i3, i4)                                                                             \
    template <> struct Wgmma<T, columns> {                                                                                                    \
        RF_DEVICE static void left_right(float (&acc)[registers], Described left, Described right, bool accumulate) {                         \
            asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" #i0 ", 0;\nwgmma.mma_async.sync.aligned.m64n" #columns "k16.f32." type "." type \
                         " {" RF_NAMES_##registers "}, %" #i1 ", %" #i2 ", p, 1, 1, 0, 0;\n}"                                                 \
                         : RF_FLOATS_##registers(acc, 0)                                                                                      \
                         : "r"(static_cast<int>(accumulate)), "l"(left.bits()), "l"(right.bits()));                                           \
        }                                                                                                                                     \
        RF_DEVICE static void held_right(float (&acc)[registers], const std::uint32_t* left, Described right) {                               \
            asm volatile("wgmma.mma_async.sync.aligned.m64n" #columns "k16.f32." type "." type " {" RF_NAMES_##registers                      \
                         "}, {%" #i0 ", %" #i1 ", %" #i2 ", %" #i3 "}, %" #i4 ", 1, 1, 1, 1;"                                                 \
                         : RF_FLOATS_##registers(acc, 0)                                                                                      \
                         : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "l"(right.bits()));                                        \
        }                                                                                                                                     \
    };
#define RF_WGMMA_TYPES(columns, registers, i0, i1, i2, i3, i4)     \
    RF_WGMMA(Bf16, "bf16", columns, registers, i0, i1, i2, i3, i4) \
    RF_WGMMA(F16, "f16", columns, registers, i0, i1, i2, i3, i4)
RF_WGMMA_TYPES(64, 32, 32, 33, 34, 35, 36)
RF_WGMMA_TYPES(80, 40, 40, 41, 42, 43, 44)
RF_WGMMA_TYPES(128, 64, 64, 65, 66, 67, 68)
RF_WGMMA_TYPES(256, 128, 128, 129, 130, 131, 132)
#undef RF_WGMMA_TYPES
#undef RF_WGMMA
#undef RF_NAMES_32
#undef RF_NAMES_40
#undef RF_NAMES_64
#undef RF_NAMES_128
#undef RF_FLOATS_8
#undef RF_FLOATS_32
#undef RF_FLOATS_40
#undef RF_FLOATS_64
#undef RF_FLOATS_128

#endif

}  // namespace rocforge::matrix
#endif
