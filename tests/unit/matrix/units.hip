// A matrix unit alone: its fragments, its product, and where its elements lie, as flash attention uses them but with nothing of it around.
#include "kernels/common/family.h"
#include "kernels/flash/tile.h"
#include "kernels/matrix/unit.h"
#include "tests/unit/matrix/units.h"

#if defined(RF_AMD) || defined(RF_NVIDIA)
namespace rocforge::tests {

namespace device = rocforge::device;
using kernels::kThisFamily;

constexpr int kChunks = kDims / 8, kPairs = kKeys * kDims / 2;
using QRows = kernels::flash::SharedRows<kernels::flash::Spread::swizzled, kQueries, kChunks>;
using KRows = kernels::flash::SharedRows<kernels::flash::k_spread(kThisFamily), kKeys, kChunks>;
using VRows = kernels::flash::SharedRows<kernels::flash::v_spread(kThisFamily, kKeys), kernels::flash::v_rows(kThisFamily, kDims, kKeys),
                                         kernels::flash::v_chunks(kThisFamily, kDims, kKeys)>;
constexpr int kSharedBytes = QRows::kBytes + KRows::kBytes + VRows::kBytes;

RF_DEVICE std::uint32_t element(const void* from, int row, int column) {
    return device::load(static_cast<const std::uint16_t*>(from) + row * kDims + column);
}
template <class Rows> RF_DEVICE void put(device::SharedAt to, int row, int column, std::uint32_t low, std::uint32_t high) {
    device::store_shared_word(to + (Rows::offset(row, column / 8) + column % 8 * 2), low | high << 16);
}

// Two neighbouring elements a time; V transposed where the unit wants it so.
RF_DEVICE void fill(const UnitsCall& call, device::SharedAt q, device::SharedAt k, device::SharedAt v) {
    for (int i = device::lane_index(); i < kPairs; i += device::kWaveSize) {
        const int row = i / (kDims / 2), column = i % (kDims / 2) * 2;
        if (row < kQueries) put<QRows>(q, row, column, element(call.q, row, column), element(call.q, row, column + 1));
        put<KRows>(k, row, column, element(call.k, row, column), element(call.k, row, column + 1));
        if (kernels::flash::is_nvidia(kThisFamily))
            put<VRows>(v, row, column, element(call.v, row, column), element(call.v, row, column + 1));
        else
            put<VRows>(v, row, column, element(call.v, column, row), element(call.v, column + 1, row));
    }
    device::barrier();
}

template <class U> RF_DEVICE typename U::Fixed queries([[maybe_unused]] const UnitsCall& call, [[maybe_unused]] device::SharedAt q, int chunk0) {
    const unsigned lane = static_cast<unsigned>(device::lane_index());
#if defined(RF_NVIDIA)
    return U::template load_fixed<QRows>(q, U::template fixed_at<QRows>(lane), 0, chunk0);
#else
    return U::load_fixed(static_cast<const char*>(call.q) + U::row(lane, 0) * kDims * 2, lane, chunk0, kChunks);
#endif
}

template <class U> RF_DEVICE void store(const typename U::Acc& acc, float* to, int column0) {
    const unsigned lane = static_cast<unsigned>(device::lane_index());
#pragma unroll
    for (int e = 0; e < 8; ++e) device::store(to + U::row(lane, U::lane_row(e)) * kKeys + column0 + U::column(lane, e), acc.get(e));
}

template <class T> RF_DEVICE void multiply(const UnitsCall& call) {
    using U = matrix::Unit<T>;
    constexpr int kSpan = U::kSpan, kSpans = kKeys / kSpan;
    const device::SharedAt q = device::shared_memory<kSharedBytes>(), k = q + QRows::kBytes, v = k + KRows::kBytes;
    const unsigned lane = static_cast<unsigned>(device::lane_index());
    fill(call, q, k, v);

    typename U::Acc scores[kSpans];
#pragma unroll
    for (int n = 0; n < kSpans; ++n) {
#pragma unroll
        for (int e = 0; e < 8; ++e) scores[n].set(e, 0);
#pragma unroll
        for (int d = 0; d < kSpans; ++d)
            U::mma(scores[n], U::template load_k<KRows>(k, U::template k_at<KRows>(lane), n * kSpan, d * (kSpan / 8)),
                   queries<U>(call, q, d * (kSpan / 8)));
        store<U>(scores[n], call.scores, n * kSpan);
    }
#pragma unroll
    for (int r = 0; r < U::kLaneRows; ++r) {
        float largest = -device::kInfinity, sum = 0;
#pragma unroll
        for (int n = 0; n < kSpans; ++n)
#pragma unroll
            for (int e = 0; e < 8; ++e)
                if (U::lane_row(e) == r) largest = device::larger(largest, scores[n].get(e)), sum += scores[n].get(e);
        device::store(call.largest + U::row(lane, r), U::row_max(largest));
        device::store(call.sum + U::row(lane, r), U::row_sum(sum));
    }
#pragma unroll
    for (int d = 0; d < kSpans; ++d) {
        typename U::Acc out;
#pragma unroll
        for (int e = 0; e < 8; ++e) out.set(e, 0);
#pragma unroll
        for (int n = 0; n < kSpans; ++n)
            U::mma(out, U::template load_v<VRows>(v, U::template v_at<VRows>(lane), d * kSpan, n * kSpan), U::to_fixed(scores[n], lane));
        store<U>(out, call.out, d * kSpan);
    }
}

}  // namespace rocforge::tests

RF_KERNEL((rocforge::device::kWaveSize), 1) matrix_unit_bf16(RF_KERNEL_PARAMETER rocforge::tests::UnitsCall call) {
    rocforge::tests::multiply<rocforge::matrix::Bf16>(rocforge::device::argument(call));
}
RF_KERNEL((rocforge::device::kWaveSize), 1) matrix_unit_f16(RF_KERNEL_PARAMETER rocforge::tests::UnitsCall call) {
    rocforge::tests::multiply<rocforge::matrix::F16>(rocforge::device::argument(call));
}
#endif
