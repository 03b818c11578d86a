// Puts the splits of decode together: one wave a row. Always in the same order, so that results are bitwise equal from run to run.
#ifndef ROCFORGE_KERNELS_FLASH_COMBINE_H
#define ROCFORGE_KERNELS_FLASH_COMBINE_H

#include "kernels/flash/decode.h"

namespace rocforge::kernels::flash {

#if defined(RF_AMD) || defined(RF_NVIDIA)

// The waves of a block take neighbouring rows [batch, head_q, max_seq_q]; the lanes of a wave eight dims each, as many times as dim_v needs.
template <class T> RF_DEVICE void combine(const Call& call) {
    const Attention& a = call.attention;
    const Partials partials(call);
    const std::int64_t place = static_cast<std::int64_t>(device::block_x()) * kCombineWaves + device::wave_index();
    if (place >= partials.rows) return;
    const std::int64_t pair = place / a.max_seq_q, i = place - pair * a.max_seq_q, sequence = pair / a.head_q;
    const int head = static_cast<int>(pair - sequence * a.head_q);
    const kernels::Span span = span_of(a, call.pointers, sequence);
    if (i >= span.len_q) return;

    RowSum total{-device::kInfinity, 0};
    for (int s = 0; s < call.cut.splits; ++s) total.peak_log2 = device::larger(total.peak_log2, device::load(partials.sum_of(s, place)));
    const auto factor_of = [&](int s) {
        const float peak = device::load(partials.sum_of(s, place));
        return peak == -device::kInfinity ? 0.0f : device::exp2(peak - total.peak_log2);
    };
    for (int s = 0; s < call.cut.splits; ++s) total.sum += device::load(partials.sum_of(s, place) + 1) * factor_of(s);
    const Finished done = finish(total, call, head);
    if (device::lane_index() == 0) store_lse(call, span, head, i, done.lse);

    for (int chunk = device::lane_index(); chunk < static_cast<int>(a.dim_v / 8); chunk += device::kWaveSize) {
        float x[8] = {};
#pragma unroll 4
        for (int s = 0; s < call.cut.splits; ++s) {
            const float factor = factor_of(s);
            const float* from = partials.output_of(s, place) + chunk * 8;
            const device::Words low = device::load_words(from), high = device::load_words(from + 4);
#pragma unroll
            for (int k = 0; k < 4; ++k) {
                x[k] += device::as_float(low.w[k]) * factor;
                x[k + 4] += device::as_float(high.w[k]) * factor;
            }
        }
#pragma unroll
        for (int k = 0; k < 8; ++k) x[k] *= done.factor;
        device::store_words(out_row(call, span, head, i) + chunk * 16, narrowed<T>(x));
    }
}

#endif

}  // namespace rocforge::kernels::flash
#endif
