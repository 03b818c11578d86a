// RDNA 3's WMMA (gfx1100), wave of 32: S^T = K Q^T and O^T = V^T P^T, one v_wmma_f32_16x16x16 to a product of 16 x 16 x 16.
//
// Both halves of the wave hold the same operands, 16 elements of depth a lane. Of the result, lane l of half h = l / 16 holds rows 2e + h of column
// l % 16; fed with permuted rows (row m = 2e + h is row 8h + e of the span) it holds eight neighbouring keys (or dims) of one query. The scores
// become the next product's operand by exchanging four registers between the halves.
#ifndef ROCFORGE_KERNELS_MATRIX_GFX11_H
#define ROCFORGE_KERNELS_MATRIX_GFX11_H

#include "kernels/matrix/element.h"
#include "kernels/platform/device.h"

namespace rocforge::matrix {

template <class T> struct Unit {
    using Element = T;
    static constexpr int kSpan = 16, kLaneRows = 1;

    typedef float Float8 __attribute__((ext_vector_type(8)));
    typedef short Short16 __attribute__((ext_vector_type(16)));
    typedef _Float16 Half16 __attribute__((ext_vector_type(16)));

    struct Acc {
        Float8 e;
        RF_DEVICE float get(int i) const { return e[i]; }
        RF_DEVICE void set(int i, float x) { e[i] = x; }
    };
    struct Streamed {
        device::Words w[2];
    };
    struct Fixed {
        device::Words w[2];
    };

    RF_DEVICE static int row(unsigned lane, int) { return static_cast<int>(lane % 16); }
    RF_DEVICE static constexpr int lane_row(int) { return 0; }
    RF_DEVICE static int column(unsigned lane, int element) { return static_cast<int>(lane / 16 * 8) + element; }

    RF_DEVICE static Fixed load_fixed(const char* row, unsigned, int chunk0, int chunks) {
        const auto load = [&](int chunk) { return device::load_words_or_zeros(row + (chunk < chunks ? chunk : 0) * 16, chunk < chunks); };
        return {{load(chunk0), load(chunk0 + 1)}};
    }
    // Where lane `lane` reads from an array [row][depth] in shared memory: row 8 (m % 2) + m / 2 of the span, m = lane % 16.
    template <class Layout> RF_DEVICE static int k_at(unsigned lane) { return Layout::offset(lane % 2 * 8 + lane % 16 / 2, 0); }
    template <class Layout> RF_DEVICE static int v_at(unsigned lane) { return k_at<Layout>(lane); }

    template <class Layout> RF_DEVICE static Streamed load_k(device::SharedAt shared, int at, int row0, int chunk0) {
        return {{device::load_shared(shared + Layout::moved(at, row0, chunk0)), device::load_shared(shared + Layout::moved(at, row0, chunk0 + 1))}};
    }
    // V transposed in shared memory: [dim][key].
    template <class Layout> RF_DEVICE static Streamed load_v(device::SharedAt shared, int at, int dim0, int key0) {
        return load_k<Layout>(shared, at, dim0, key0 / 8);
    }

    RF_DEVICE static void mma(Acc& acc, const Streamed& s, const Fixed& f) {
        if constexpr (T::kBf16)
            acc.e = __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32(__builtin_bit_cast(Short16, s), __builtin_bit_cast(Short16, f), acc.e);
        else
            acc.e = __builtin_amdgcn_wmma_f32_16x16x16_f16_w32(__builtin_bit_cast(Half16, s), __builtin_bit_cast(Half16, f), acc.e);
    }
    RF_DEVICE static Fixed to_fixed(const Acc& a, unsigned lane) {
        Fixed f;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const std::uint32_t own = T::pack(a.get(2 * i), a.get(2 * i + 1)), other = device::exchange_halves(own);
            f.w[0].w[i] = lane < 16 ? own : other;
            f.w[1].w[i] = lane < 16 ? other : own;
        }
        return f;
    }

    RF_DEVICE static float row_max(float x) { return device::larger(x, device::exchange_halves(x)); }
    RF_DEVICE static float row_sum(float x) { return x + device::exchange_halves(x); }
    RF_DEVICE static void pin(Acc& a) { asm volatile("" : "+v"(a.e)); }
};

}  // namespace rocforge::matrix
#endif
