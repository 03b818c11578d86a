// The matrix unit of the machine that is compiled for, as Unit<T>: one file a unit, all behind the concept below, so that an algorithm is written
// once.
//
// A product is span x 16 x span: K (span keys, span dims deep) by Q (16 queries), then V (span dims, span keys deep) by P. The "streamed" operand
// passes through shared memory, the "fixed" one stays in registers. An accumulator is 8 floats a lane; which (row, column) each one is, the unit
// says.
#ifndef ROCFORGE_KERNELS_MATRIX_UNIT_H
#define ROCFORGE_KERNELS_MATRIX_UNIT_H

#include <concepts>

#include "kernels/platform/annotate.h"

#if defined(RF_NVIDIA)
#include "kernels/matrix/sm80.h"
#elif defined(__GFX12__)
#include "kernels/matrix/gfx12.h"
#elif defined(__GFX11__)
#include "kernels/matrix/gfx11.h"
#elif defined(__GFX9__)
#include "kernels/matrix/gfx9.h"
#endif

#if defined(RF_NVIDIA) || defined(RF_AMD)
namespace rocforge::matrix {

template <class U>
concept MatrixUnit = requires(typename U::Acc acc, const typename U::Streamed streamed, const typename U::Fixed fixed, float x, int n) {
    { U::kSpan } -> std::convertible_to<int>;         // 16 or 32
    { U::kLaneRows } -> std::convertible_to<int>;     // rows of an accumulator that a lane holds elements of
    { U::row(n, n) } -> std::convertible_to<int>;     // (lane, lane row) -> row
    { U::lane_row(n) } -> std::convertible_to<int>;   // element -> lane row
    { U::column(n, n) } -> std::convertible_to<int>;  // (lane, element) -> column
    {U::mma(acc, streamed, fixed)};                   // acc += streamed x fixed
    { U::to_fixed(acc, n) } -> std::same_as<typename U::Fixed>;
    { U::row_max(x) } -> std::same_as<float>;  // over the lanes that share a row
    { U::row_sum(x) } -> std::same_as<float>;
    {U::pin(acc)};
};
static_assert(MatrixUnit<Unit<Bf16>> && MatrixUnit<Unit<F16>>);

}  // namespace rocforge::matrix
#endif
#endif
