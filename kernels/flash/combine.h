// Puts the splits of decode together: one block of threads a row, its waves a share of the splits each, so that the latency of reading them is met
// once. Always in the same order, so that results are bitwise equal from run to run.
#ifndef ROCFORGE_KERNELS_FLASH_COMBINE_H
#define ROCFORGE_KERNELS_FLASH_COMBINE_H

#include "kernels/flash/decode.h"

namespace rocforge::kernels::flash {

#if defined(RF_AMD) || defined(RF_NVIDIA)

// Over all lanes of a wave.
RF_DEVICE float wave_max(float x) {
#pragma unroll
    for (int mask = 1; mask < device::kWaveSize; mask *= 2) x = device::larger(x, device::exchange(x, mask));
    return x;
}

// A wave's share of a row: splits wave, wave + kCombineWaves, ... Lane l holds dims 4 (l + kWaveSize k) to + 3 for k = 0, 1.
struct Share {
    static constexpr int kParts = 256 / 4 / 32;  // of 4 dims, at the most, in waves of 32
    RowSum total;
    float x[kParts][4];
};
RF_DEVICE Share share_of(const Partials& partials, int splits, std::int64_t place, int wave, int lane) {
    Share share{{-device::kInfinity, 0}, {}};
    for (int s = wave + lane * kCombineWaves; s < splits; s += device::kWaveSize * kCombineWaves)
        share.total.peak = device::larger(share.total.peak, device::load(partials.sum_of(s, place)));
    share.total.peak = wave_max(share.total.peak);
#pragma unroll 4
    for (int s = wave; s < splits; s += kCombineWaves) {
        const float peak = device::load(partials.sum_of(s, place)), sum = device::load(partials.sum_of(s, place) + 1);
        const float factor = peak == -device::kInfinity ? 0.0f : exp(peak - share.total.peak);
        share.total.sum += sum * factor;
#pragma unroll
        for (int k = 0; k < Share::kParts; ++k) {
            const int part = lane + k * device::kWaveSize;
            if (part * 4 >= partials.dim_v) continue;
            const device::Words words = device::load_words(partials.output_of(s, place) + part * 4);
#pragma unroll
            for (int i = 0; i < 4; ++i) share.x[k][i] += device::as_float(words.w[i]) * factor;
        }
    }
    return share;
}

template <class T> RF_DEVICE void combine(const Call& call) {
    const Attention& a = call.attention;
    const Partials partials(call);
    const device::SharedAt shared = device::shared_memory<kCombineSharedBytes>();
    const int lane = device::lane_index(), wave = device::wave_index(), dim_v = static_cast<int>(a.dim_v);
    const std::int64_t place = device::block_x(), pair = place / a.max_seq_q, i = place - pair * a.max_seq_q, sequence = pair / a.head_q;
    const int head = static_cast<int>(pair - sequence * a.head_q);
    const kernels::Span span = span_of(a, call.pointers, sequence);
    if (i >= span.len_q) return;

    const Share own = share_of(partials, call.cut.splits, place, wave, lane);
    const device::SharedAt sums = shared + kCombineWaves * 256 * 4;
    if (lane == 0) {
        device::store_shared_float(sums + wave * 8, own.total.peak);
        device::store_shared_float(sums + (wave * 8 + 4), own.total.sum);
    }
#pragma unroll
    for (int k = 0; k < Share::kParts; ++k)
        if ((lane + k * device::kWaveSize) * 4 < 256)
            device::store_shared(
                shared + (wave * 256 + (lane + k * device::kWaveSize) * 4) * 4,
                {device::as_bits(own.x[k][0]), device::as_bits(own.x[k][1]), device::as_bits(own.x[k][2]), device::as_bits(own.x[k][3])});
    device::barrier();

    const int chunk = device::thread_index();  // eight dims a thread
    if (chunk * 8 >= dim_v) return;
    RowSum total{-device::kInfinity, 0};
#pragma unroll
    for (int w = 0; w < kCombineWaves; ++w) total.peak = device::larger(total.peak, device::load_shared_float(sums + w * 8));
    float x[8] = {};
#pragma unroll
    for (int w = 0; w < kCombineWaves; ++w) {
        const float peak = device::load_shared_float(sums + w * 8), factor = peak == -device::kInfinity ? 0.0f : exp(peak - total.peak);
        total.sum += device::load_shared_float(sums + (w * 8 + 4)) * factor;
#pragma unroll
        for (int k = 0; k < 8; ++k) x[k] += device::load_shared_float(shared + (w * 256 + chunk * 8 + k) * 4) * factor;
    }
    const Finished done = finish(total, call, head);
    if (chunk == 0) store_lse(call, span, head, i, done.lse);
#pragma unroll
    for (int k = 0; k < 8; ++k) x[k] *= done.factor;
    device::store_words(out_row(call, span, head, i) + chunk * 16, narrowed<T>(x));
}

#endif

}  // namespace rocforge::kernels::flash
#endif
