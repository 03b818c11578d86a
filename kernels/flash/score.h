// From products of q and k to scores: scale, softcap, ALiBi, additive and boolean masks, and the keys that a row may not attend to (-inf).
// Steps 1 to 4 of attention's definition; knows where an element lies from the matrix unit and nothing of tiles' memory.
#ifndef ROCFORGE_KERNELS_FLASH_SCORE_H
#define ROCFORGE_KERNELS_FLASH_SCORE_H

#include "kernels/common/call.h"
#include "kernels/common/sequence.h"
#include "kernels/common/softcap.h"
#include "kernels/matrix/unit.h"
#include "kernels/platform/device.h"

namespace rocforge::kernels::flash {

// 32 bits, unsigned: a 64-bit division costs some hundred instructions, which is much where a whole call takes ten microseconds.
RF_DEVICE int quotient(std::int64_t a, std::int64_t b) { return static_cast<int>(static_cast<unsigned>(a) / static_cast<unsigned>(b)); }

// Of operands that are the same in every lane.
RF_DEVICE int scalar_quotient(std::int64_t a, std::int64_t b) {
    return static_cast<int>(device::to_scalar(static_cast<std::uint32_t>(quotient(a, b))));
}

// Parts of the output that are tiles of their own (see tile.h, out_dim).
template <class Tile> RF_DEVICE int passes_of(const Call& call) {
    return Tile::kOutDim == Tile::kDim || call.attention.dim_v <= Tile::kOutDim ? 1 : Tile::kDim / Tile::kOutDim;
}

// A row of the tile: query i of query head `head`. Rows past the sequence's end do not exist and attend to nothing.
struct Row {
    int i;
    int head;
    bool exists;
};

// The running maximum may lag behind by 2^kLag: rescaling the output waits until then. P is at most 2^8, sums stay far inside float32.
constexpr float kLag = 8;
// Where a row's maximum is so far from 0, in units of log2, it is subtracted before anything else (Worker::kSubtractFirst). Below, its rounding is at
// most 2^-5, and lse's error no more than that of rounding lse.
constexpr float kFar = 1 << 20;

// Keys [first, end).
struct Keys {
    int first, end;

    // The blocks of `size` keys, counted from key 0, that these touch.
    RF_DEVICE Keys blocks_of(int size) const {
        if (first >= end) return {0, 0};
        return {quotient(first, size), quotient(end + size - 1, size)};
    }
};

// Which keys row i may attend to, in 32 bits: [i + first, i + end) within [0, length). The predicate holds lengths below kFar, so that an offset that
// is cut to +-kFar excludes and admits the same keys as the offset itself.
struct Reach {
    static constexpr int kFar = (1 << 30) - 1;
    int first, end, length;

    RF_DEVICE static Reach of(const kernels::Span& span) {
        const ExtentRule& rule = span.rule;
        Reach reach{-kFar, kFar, static_cast<int>(span.len_kv)};
        if (!rule.causal && rule.window_left < 0 && rule.window_right < 0) return reach;  // 64-bit integers cost a decode some 100 cycles
        if (rule.causal) reach.end = cut(rule.diagonal + 1);
        if (rule.window_right >= 0 && rule.diagonal + rule.window_right + 1 < reach.end) reach.end = cut(rule.diagonal + rule.window_right + 1);
        if (rule.window_left >= 0) reach.first = cut(rule.diagonal - rule.window_left);
        return reach;
    }
    RF_DEVICE Keys of_row(int i) const {
        const int from = within(i + first), to = within(i + end);
        return {from, to > from ? to : from};
    }
    // The keys that any row from row `top` to row `bottom`, both included, attends to: both ends of a row's keys grow with the row.
    RF_DEVICE Keys of_any(int top, int bottom) const {
        const Keys a = of_row(top), b = of_row(bottom);
        return {a.first < b.first ? a.first : b.first, a.end > b.end ? a.end : b.end};
    }
    // The keys that each of them attends to.
    RF_DEVICE Keys of_all(int top, int bottom) const {
        const Keys a = of_row(top), b = of_row(bottom);
        return {a.first > b.first ? a.first : b.first, a.end < b.end ? a.end : b.end};
    }
    // Columns of a block of keys that starts at key0; a row that does not exist attends to nothing.
    struct Bounds {
        int first, end;
        RF_DEVICE float keep(float score, int column) const { return column >= first && column < end ? score : -device::kInfinity; }
    };
    RF_DEVICE Bounds bounds(const Row& row, int key0) const {
        const int stop = row.i + end < length ? row.i + end : length;
        return {row.i + first - key0, row.exists ? stop - key0 : -1};
    }

private:
    RF_DEVICE int within(int key) const { return key < 0 ? 0 : key < length ? key : length; }
    RF_DEVICE static int cut(std::int64_t offset) { return static_cast<int>(ExtentRule::clamp(offset, -kFar, kFar)); }
};

// The general score of one element: everything that is not a bound on keys. One object a row and block of keys.
class GeneralScore {
public:
    RF_DEVICE GeneralScore(const Call& call, int sequence, int len_kv, const Row& row, int key0) : call_(call), keys_left_(len_kv - key0), row_(row) {
        const Attention& a = call_.attention;
        if (a.alibi) {
            slope_ = device::load(call_.pointers.alibi_slopes + row.head);
            distance_ = row.i + span_of(call.attention, call.pointers, sequence).rule.diagonal - key0;
        }
        mask_ = a.mask.offset(sequence, row.head, row.i) + key0 * a.mask.last;
    }

    RF_DEVICE float operator()(float product, int column) const {
        const Attention& a = call_.attention;
        float s = product * a.scale;
        if (a.softcap > 0) s = softcapped(s, a.softcap);
        if (a.alibi) s -= slope_ * distance_to(column);
        if (a.mask.present() && row_.exists && column < keys_left_) s = masked(s, mask_ + column * a.mask.last);
        return s;
    }

    // Of an additive mask: excluded where -inf. A finite value does not exclude: a sum that leaves float32 though neither part is infinite is held
    // inside; what was infinite or NaN stays so.
    RF_DEVICE static float joined(float s, float x) {
        if (x == -device::kInfinity) return x;
        const float sum = s + x, magnitude = sum < 0 ? -sum : sum;
        const bool overflowed = magnitude == device::kInfinity && s - s == 0 && x - x == 0;
        return overflowed ? __builtin_copysignf(kLargest, sum) : sum;
    }

    // Element `at` of an additive mask.
    RF_DEVICE static float added(Type type, const void* mask, std::int64_t at) {
        if (type == Type::f32) return device::load(static_cast<const float*>(mask) + at);
        const std::uint32_t bits = device::load(static_cast<const std::uint16_t*>(mask) + at);
        return type == Type::bf16 ? matrix::Bf16::widen(bits) : matrix::F16::widen(bits);
    }

private:
    RF_DEVICE float distance_to(int column) const {
        const float distance = static_cast<float>(distance_ - column);
        return distance < 0 ? -distance : distance;
    }
    // Boolean: excluded where zero.
    RF_DEVICE float masked(float s, std::int64_t at) const {
        if (call_.attention.mask.type == Type::boolean)
            return device::load(static_cast<const std::uint8_t*>(call_.pointers.mask) + at) ? s : -device::kInfinity;
        return joined(s, added(call_.attention.mask.type, call_.pointers.mask, at));
    }

    static constexpr float kLargest = 3.40282347e38f;
    const Call& call_;
    int keys_left_;
    Row row_;
    float slope_ = 0;
    std::int64_t distance_ = 0, mask_ = 0;
};

}  // namespace rocforge::kernels::flash
#endif
