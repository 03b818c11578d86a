// NVIDIA's mma.sync (sm_80 and later): S = Q K^T with queries as rows of the accumulator, so that the scores already lie as the next product's left
// operand. Operands come from shared memory through ldmatrix.
//
//   accumulator, 16 rows x 16 columns: lane l holds, with c = l % 4, rows l / 4 (elements 0, 1, 4, 5) and l / 4 + 8 (2, 3, 6, 7),
//   columns 2c, 2c + 1 (elements 0..3) and 2c + 8, 2c + 9 (elements 4..7)
#ifndef ROCFORGE_KERNELS_MATRIX_SM80_H
#define ROCFORGE_KERNELS_MATRIX_SM80_H

#include "kernels/matrix/element.h"
#include "kernels/platform/device.h"

namespace rocforge::matrix {

template <class T> struct Unit {
    using Element = T;
    static constexpr int kSpan = 16, kLaneRows = 2;

    struct Acc {
        float e[8];
        RF_DEVICE float get(int i) const { return e[i]; }
        RF_DEVICE void set(int i, float x) { e[i] = x; }
    };
    struct Streamed {
        std::uint32_t w[4];  // columns 0..7 low and high depth, columns 8..15 low and high depth
    };
    struct Fixed {
        std::uint32_t w[4];  // rows 0..7 and 8..15 at low depth, then at high depth
    };

    RF_DEVICE static int row(unsigned lane, int lane_row) { return static_cast<int>(lane / 4) + 8 * lane_row; }
    RF_DEVICE static constexpr int lane_row(int element) { return element / 2 % 2; }
    RF_DEVICE static int column(unsigned lane, int element) { return static_cast<int>(lane % 4 * 2) + element % 2 + element / 4 * 8; }

    // Where lane `lane` reads from an array in shared memory: of Q [row][depth], of K [key][depth], of V [key][dim], all in chunks of 8 elements.
    template <class Layout> RF_DEVICE static int fixed_at(unsigned lane) { return Layout::offset(lane % 16, lane / 16); }
    template <class Layout> RF_DEVICE static int k_at(unsigned lane) { return Layout::offset(lane / 16 * 8 + lane % 8, lane / 8 % 2); }
    template <class Layout> RF_DEVICE static int v_at(unsigned lane) { return Layout::offset(lane % 16, lane / 16); }

    // 16 rows from row0, 16 deep from chunk0.
    template <class Layout> RF_DEVICE static Fixed load_fixed(device::SharedAt shared, int at, int row0, int chunk0) {
        Fixed f;
        load_four(f.w, shared + Layout::moved(at, row0, chunk0));
        return f;
    }
    // 16 keys from key0 as columns, 16 dims deep from chunk0.
    template <class Layout> RF_DEVICE static Streamed load_k(device::SharedAt shared, int at, int key0, int chunk0) {
        Streamed s;
        load_four(s.w, shared + Layout::moved(at, key0, chunk0));
        return s;
    }
    // 16 dims from dim0 as columns, 16 keys deep from key0.
    template <class Layout> RF_DEVICE static Streamed load_v(device::SharedAt shared, int at, int dim0, int key0) {
        Streamed s;
        load_four_transposed(s.w, shared + Layout::moved(at, key0, dim0 / 8));
        return s;
    }

    RF_DEVICE static void mma(Acc& acc, const Streamed& s, const Fixed& f) {
        product(acc.e[0], acc.e[1], acc.e[2], acc.e[3], f, s.w[0], s.w[1]);
        product(acc.e[4], acc.e[5], acc.e[6], acc.e[7], f, s.w[2], s.w[3]);
    }
    // Rounded to nearest even.
    RF_DEVICE static Fixed to_fixed(const Acc& a, unsigned) {
        return {{T::pack(a.e[0], a.e[1]), T::pack(a.e[2], a.e[3]), T::pack(a.e[4], a.e[5]), T::pack(a.e[6], a.e[7])}};
    }

    // Over the four lanes that share a row.
    RF_DEVICE static float row_max(float x) {
        x = device::larger(x, device::exchange(x, 1));
        return device::larger(x, device::exchange(x, 2));
    }
    RF_DEVICE static float row_sum(float x) {
        x += device::exchange(x, 1);
        return x + device::exchange(x, 2);
    }
    RF_DEVICE static void pin(Acc&) {}

private:
    RF_DEVICE static void load_four(std::uint32_t (&w)[4], device::SharedAt from) {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(w[0]), "=r"(w[1]), "=r"(w[2]), "=r"(w[3])
                     : "r"(from.address)
                     : "memory");
    }
    RF_DEVICE static void load_four_transposed(std::uint32_t (&w)[4], device::SharedAt from) {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(w[0]), "=r"(w[1]), "=r"(w[2]), "=r"(w[3])
                     : "r"(from.address)
                     : "memory");
    }
    RF_DEVICE static void product(float& a, float& b, float& c, float& d, const Fixed& f, std::uint32_t low, std::uint32_t high) {
        if constexpr (T::kBf16) {
            asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                         : "+f"(a), "+f"(b), "+f"(c), "+f"(d)
                         : "r"(f.w[0]), "r"(f.w[1]), "r"(f.w[2]), "r"(f.w[3]), "r"(low), "r"(high));
        } else {
            asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                         : "+f"(a), "+f"(b), "+f"(c), "+f"(d)
                         : "r"(f.w[0]), "r"(f.w[1]), "r"(f.w[2]), "r"(f.w[3]), "r"(low), "r"(high));
        }
    }
};

}  // namespace rocforge::matrix
#endif
