// What is done once to a row after its last key: the sink joins the denominator, the output is divided by it, lse is its natural log.
#ifndef ROCFORGE_KERNELS_FLASH_FINISH_H
#define ROCFORGE_KERNELS_FLASH_FINISH_H

#include "kernels/common/call.h"
#include "kernels/common/sequence.h"
#include "kernels/matrix/unit.h"
#include "kernels/platform/device.h"

namespace rocforge::kernels::flash {

#if defined(RF_AMD) || defined(RF_NVIDIA)

// A row's softmax so far: a score that no other exceeds by much, and the sum of exp(score - that).
struct RowSum {
    float peak, sum;
};
RF_DEVICE float exp(float x) { return device::exp2(x * device::kLog2E); }

struct Finished {
    float factor;  // of the unnormalised output
    float lse;
};

// An empty row has factor 0 and lse -inf (the sink, where there is one).
RF_DEVICE Finished finish(RowSum row, const Call& call, int head) {
    float factor = 1;
    if (call.attention.sink) {
        const float sink = device::load(call.pointers.sink + head), peak = device::larger(row.peak, sink);
        if (peak == -device::kInfinity) return {0, peak};
        factor = exp(row.peak - peak);
        row = {peak, row.sum * factor + exp(sink - peak)};
    }
    if (row.sum == 0) return {0, -device::kInfinity};
    return {factor / row.sum, row.peak + device::log2(row.sum) * device::kLn2};
}

// The output row of query i of `head`, and its lse.
RF_DEVICE char* out_row(const Call& call, const kernels::Span& span, int head, std::int64_t i) {
    return static_cast<char*>(call.pointers.out) + call.attention.out.offset(span.q_batch, head, span.q_first + i) * 2;
}
RF_DEVICE void store_lse(const Call& call, const kernels::Span& span, int head, std::int64_t i, float lse) {
    const Operand& o = call.attention.lse;
    if (o.present()) device::store(call.pointers.lse + o.offset(span.q_batch, head, span.q_first + i), lse);
}

// Eight neighbouring dims, rounded to nearest even.
template <class T> RF_DEVICE device::Words narrowed(const float (&x)[8]) {
    device::Words words;
#pragma unroll
    for (int i = 0; i < 4; ++i) words.w[i] = T::pack_exactly(x[2 * i], x[2 * i + 1]);
    return words;
}

#endif

}  // namespace rocforge::kernels::flash
#endif
