// The scalar mathematics of one row's softmax in device code: exponentials, what an excluded key looks like, how a row ends.
#ifndef ROCFORGE_KERNELS_REFERENCE_SOFTMAX_H
#define ROCFORGE_KERNELS_REFERENCE_SOFTMAX_H

#include "kernels/platform/device.h"

namespace rocforge::kernels::reference {

constexpr float kLowest = -3.402823466e38f;

// An excluded key's score is a NaN that no arithmetic leaves behind (see plain_score), its weight is -0 where all others are +0 or more: so a score
// of -inf that was attended to and a weight that vanished stay what they are, and the key's V is skipped, not multiplied.
constexpr std::uint32_t kExcludedScore = 0xFFFFFFFFu, kExcludedWeight = 0x80000000u;

RF_DEVICE bool is_excluded_score(float score) { return device::as_bits(score) == kExcludedScore; }
RF_DEVICE bool is_excluded_weight(float weight) { return device::as_bits(weight) == kExcludedWeight; }
// A NaN from the inputs may carry any bits.
RF_DEVICE float plain_score(float score) { return score == score ? score : device::as_float(0x7FC00000u); }

// e^(x - peak). The difference comes first: its rounding error stays small where that of a score times log2(e) does not.
RF_DEVICE float exp_below(float x, float peak) { return device::exp2((x - peak) * device::kLog2E); }

// What scores are compared with: (-inf) - (-inf) is NaN, so rows without a key so far take 0.
RF_DEVICE float shift_of(float peak) { return peak == -device::kInfinity ? 0.0f : peak; }

// The end of a row: what its weighted sum of V is multiplied with, and its lse.
struct RowEnd {
    float factor, lse;
};

// peak: largest score attended to, -inf for none. sum: of exp_below(score, shift_of(peak)). sink: -inf for none.
RF_DEVICE RowEnd end_row(float peak, float sum, float sink) {
    const float top = device::larger(peak, sink), shift = shift_of(top);
    const float share = exp_below(peak, shift), total = sum * share + exp_below(sink, shift);
    if (total == 0) return {0.0f, -device::kInfinity};
    return {share / total, top + device::log2(total) * device::kLn2};
}

}  // namespace rocforge::kernels::reference
#endif
