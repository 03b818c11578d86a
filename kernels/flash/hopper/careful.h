// Rows once more, of which some are not finite, or whose scores are so large that only their differences can be scaled: 0 x NaN is NaN, so a value of
// V behind an exclusion can reach rows that do not attend to it. That shows in the output itself, which costs nothing to look for; then the rows'
// warp visits the keys that each row attends to and no others. Without the matrix unit and some hundred times slower: right, and rare.
#ifndef ROCFORGE_KERNELS_FLASH_HOPPER_CAREFUL_H
#define ROCFORGE_KERNELS_FLASH_HOPPER_CAREFUL_H

#include "kernels/flash/finish.h"
#include "kernels/flash/hopper/work.h"

namespace rocforge::kernels::flash::hopper {

#if defined(RF_NVIDIA) && defined(__CUDA_ARCH_FEAT_SM90_ALL)

// Lane l of a warp has key l of 32 while scores are computed, then dims 2 l and 2 l + 1 of every 64.
template <class T, int Dim, bool General> class CarefulRow {
public:
    RF_DEVICE CarefulRow(const Call& call, const Work& work, int row) : call_(call), work_(work), row_(row) {
        q_ = static_cast<const char*>(call.pointers.q) + call.attention.q.offset(work.q_batch, work.head, work.q_first + row) * 2;
        const Keys keys = work.reach.of_row(row);
#pragma unroll 1
        for (int key = keys.first; key < keys.end; key += 32) add(key, keys.end);
    }
    RF_DEVICE RowSum sum() const { return {peak_, sum_}; }
    RF_DEVICE float out(int i) const { return out_[i]; }

private:
    RF_DEVICE void add(int key0, int end) {
        const int lane = device::lane_index(), count = min(32, end - key0);
        const float score = lane < count ? score_of(key0 + lane) : -device::kInfinity;
        float peak = score;
#pragma unroll
        for (int mask = 16; mask > 0; mask /= 2) peak = device::larger(peak, device::exchange(peak, mask));
        peak = device::larger(peak, peak_);
        const float base = peak == -device::kInfinity ? 0 : peak, factor = flash::exp(peak_ - base);
        const float p = flash::exp(score - base);
        float sum = p;
#pragma unroll
        for (int mask = 16; mask > 0; mask /= 2) sum += device::exchange(sum, mask);
        sum_ = sum_ * factor + sum;
        peak_ = peak;
#pragma unroll
        for (int i = 0; i < Dim / 32; ++i) out_[i] *= factor;
#pragma unroll 1
        for (int j = 0; j < count; ++j)
            if (device::from_lane(score, j) != -device::kInfinity) add_value(key0 + j, device::from_lane(p, j));
    }
    RF_DEVICE float score_of(int key) const {
        const Attention& a = call_.attention;
        const char* row = row_of(a.k, call_.pointers.k, key);
        float product = 0;
#pragma unroll 1
        for (int chunk = 0; chunk < static_cast<int>(a.dim) / 8; ++chunk) {
            const device::Words q = device::load_words(q_ + chunk * 16), k = device::load_words(row + chunk * 16);
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                product += T::widen(q.w[i] & 0xFFFF) * T::widen(k.w[i] & 0xFFFF);
                product += T::widen(q.w[i] >> 16) * T::widen(k.w[i] >> 16);
            }
        }
        if constexpr (General) return GeneralScore(call_, work_.sequence, work_.reach.length, {row_, work_.head, true}, 0)(product, key);
        return product * a.scale;
    }
    RF_DEVICE const char* row_of(const Operand& operand, const void* elements, int key) const {
        std::int64_t axis0 = work_.kv_batch, axis2 = work_.kv_first + key;
        if (call_.attention.paged) axis0 = page_of(call_, work_, key), axis2 = key % static_cast<int>(call_.attention.page_size);
        return static_cast<const char*>(elements) + operand.offset(axis0, work_.kv_head, axis2) * 2;
    }
    RF_DEVICE void add_value(int key, float p) {
        const Attention& a = call_.attention;
        const char* row = row_of(a.v, call_.pointers.v, key);
#pragma unroll
        for (int i = 0; i < Dim / 64; ++i) {
            const int dim = i * 64 + device::lane_index() * 2;
            if (dim >= static_cast<int>(a.dim_v)) continue;
            const std::uint32_t pair = device::load(reinterpret_cast<const std::uint32_t*>(row + dim * 2));
            out_[2 * i] += p * T::widen(pair & 0xFFFF);
            out_[2 * i + 1] += p * T::widen(pair >> 16);
        }
    }

    const Call& call_;
    const Work& work_;
    const int row_;
    const char* q_;
    float peak_ = -device::kInfinity, sum_ = 0, out_[Dim / 32] = {};
};

#endif

}  // namespace rocforge::kernels::flash::hopper
#endif
