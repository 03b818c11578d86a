// CDNA's MFMA (gfx90a, gfx942), wave of 64: S^T = K Q^T and O^T = V^T P^T, four v_mfma_f32_16x16x16 to a product of 32 x 16 x 32.
//
// The unit gives lane l of group g = l / 16 rows 4g..4g+3 of its 16 x 16 result, column l % 16. Two results, fed with permuted rows (result j, row
// m = 4g + i is row 8g + 4j + i of the span), leave each lane eight neighbouring keys (or dims) of one query: its maximum and sum are one scalar,
// stores are 16 bytes, and the scores already lie as the next product's operand.
#ifndef ROCFORGE_KERNELS_MATRIX_GFX9_H
#define ROCFORGE_KERNELS_MATRIX_GFX9_H

#include "kernels/matrix/element.h"
#include "kernels/platform/device.h"

namespace rocforge::matrix {

template <class T> struct Unit {
    using Element = T;
    static constexpr int kSpan = 32, kLaneRows = 1;

    typedef float Float4 __attribute__((ext_vector_type(4)));
    typedef short Short4 __attribute__((ext_vector_type(4)));
    typedef _Float16 Half4 __attribute__((ext_vector_type(4)));

    struct Acc {
        Float4 half[2];
        RF_DEVICE float get(int i) const { return half[i / 4][i % 4]; }
        RF_DEVICE void set(int i, float x) { half[i / 4][i % 4] = x; }
    };
    struct Streamed {
        device::Words w[2];  // one a result: 8 elements of depth, group g's from 8g on
    };
    struct Fixed {
        device::Words w;
    };

    RF_DEVICE static int row(unsigned lane, int) { return static_cast<int>(lane % 16); }
    RF_DEVICE static constexpr int lane_row(int) { return 0; }
    RF_DEVICE static int column(unsigned lane, int element) { return static_cast<int>(lane / 16 * 8) + element; }

    // This lane's part of row `lane % 16` of a [row][depth] array in device memory, chunks of 8 elements from chunk0 on; zeros from `chunks` on.
    RF_DEVICE static Fixed load_fixed(const char* row, unsigned lane, int chunk0, int chunks) {
        const int chunk = chunk0 + static_cast<int>(lane / 16);
        return {device::load_words_or_zeros(row + (chunk < chunks ? chunk : 0) * 16, chunk < chunks)};
    }
    // Where lane `lane` reads from an array [row][depth] in shared memory: row 8 (m / 4) + m % 4 of the span, m = lane % 16, and the row 4 further
    // on.
    template <class Layout> RF_DEVICE static int k_at(unsigned lane) { return Layout::offset(lane % 16 / 4 * 8 + lane % 4, lane / 16); }
    template <class Layout> RF_DEVICE static int v_at(unsigned lane) { return k_at<Layout>(lane); }

    template <class Layout> RF_DEVICE static Streamed load_k(device::SharedAt shared, int at, int row0, int chunk0) {
        return {{device::load_shared(shared + Layout::moved(at, row0, chunk0)), device::load_shared(shared + Layout::moved(at, row0 + 4, chunk0))}};
    }
    // V transposed in shared memory: [dim][key].
    template <class Layout> RF_DEVICE static Streamed load_v(device::SharedAt shared, int at, int dim0, int key0) {
        return load_k<Layout>(shared, at, dim0, key0 / 8);
    }

    RF_DEVICE static void mma(Acc& acc, const Streamed& s, const Fixed& f) {
#pragma unroll
        for (int j = 0; j < 2; ++j)
#pragma unroll
            for (int k = 0; k < 2; ++k) acc.half[j] = product(quad(s.w[j], k), quad(f.w, k), acc.half[j]);
    }
    RF_DEVICE static Fixed to_fixed(const Acc& a, unsigned) {
        Fixed f;
#pragma unroll
        for (int i = 0; i < 4; ++i) f.w.w[i] = T::pack(a.get(2 * i), a.get(2 * i + 1));
        return f;
    }

    // Over the four groups of lanes that share a row.
    RF_DEVICE static float row_max(float x) {
        x = device::larger(x, device::exchange(x, 16));
        return device::larger(x, device::exchange(x, 32));
    }
    RF_DEVICE static float row_sum(float x) {
        x += device::exchange(x, 16);
        return x + device::exchange(x, 32);
    }
    // Matrix builtins are pure: the compiler would sink them past barriers and keep every operand alive. This holds their result in place.
    RF_DEVICE static void pin(Acc& a) { asm volatile("" : "+v"(a.half[0]), "+v"(a.half[1])); }

private:
    struct Pair {
        std::uint32_t w[2];
    };
    RF_DEVICE static Pair quad(const device::Words& words, int k) { return {{words.w[2 * k], words.w[2 * k + 1]}}; }
    RF_DEVICE static Float4 product(Pair a, Pair b, Float4 c) {
        if constexpr (T::kBf16)
            return __builtin_amdgcn_mfma_f32_16x16x16bf16_1k(__builtin_bit_cast(Short4, a), __builtin_bit_cast(Short4, b), c, 0, 0, 0);
        else
            return __builtin_amdgcn_mfma_f32_16x16x16f16(__builtin_bit_cast(Half4, a), __builtin_bit_cast(Half4, b), c, 0, 0, 0);
    }
};

}  // namespace rocforge::matrix
#endif
