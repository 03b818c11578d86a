// The reference kernels: attention's definition, step by step, for every feature, type and stride, without matrix units and without memory that grows
// with rows x keys. Right everywhere first; tile.h draws who computes what. (Online softmax: Milakov and Gimelshein, arXiv:1805.02867; the split of
// keys: Dao et al., Flash-Decoding, 2023.)
#include "kernels/common/softcap.h"
#include "kernels/platform/device.h"
#include "kernels/reference/element.h"
#include "kernels/reference/softmax.h"
#include "kernels/reference/tile.h"

namespace rocforge::kernels::reference {
namespace {

using device::barrier;
using device::thread_index;

// The block's shared memory as the struct that it is, by a pointer on NVIDIA too: what device.h has there is an address for PTX.
template <class T> RF_DEVICE T& shared_object() {
#if defined(RF_NVIDIA)
    extern RF_SHARED char rocforge_reference_shared[];
    return *reinterpret_cast<T*>(rocforge_reference_shared);
#else
    return *reinterpret_cast<T*>(device::shared_memory<sizeof(T)>());
#endif
}

struct alignas(16) Four {
    float x[4];
};
RF_DEVICE Four load_four(const float* from) { return *reinterpret_cast<const Four*>(__builtin_assume_aligned(from, 16)); }
RF_DEVICE void store_four(float* to, const Four& four) { *reinterpret_cast<Four*>(__builtin_assume_aligned(to, 16)) = four; }

// One piece of work as its steps see it.
template <class T> struct Block {
    const Attention& a;
    const Pointers& p;
    Shared<T>& shared;
    Work work;
    Extent keys;  // of this split, that any of the rows attends to
    int rows;     // of this block; rows past them repeat the last one and are not stored
};

// Thread r < kRows describes row r.
template <class T> RF_DEVICE void place_row(const Block<T>& block) {
    if (thread_index() >= T::kRows) return;
    const Attention& a = block.a;
    const int r = thread_index() < block.rows ? thread_index() : block.rows - 1;
    const std::int64_t row = block.work.row_first + r;
    const std::int64_t i = row / a.group(), h = block.work.kv_head * a.group() + row % a.group(), token = block.shared.span.q_first + i;
    Row& to = block.shared.row[thread_index()];
    to.i = i;
    to.keys = block.shared.span.rule.of_row(i, block.shared.span.len_kv);
    to.q = a.q.offset(block.shared.span.q_batch, h, token);
    to.out = a.out.offset(block.shared.span.q_batch, h, token);
    to.lse = a.lse.offset(block.shared.span.q_batch, h, token);
    to.mask = a.mask.offset(block.work.b, h, i);
    to.head = static_cast<std::uint32_t>(h);
    to.dropout_head = static_cast<std::uint32_t>(block.work.b * a.head_q + h);
}

// q [kRows][kMaxDim] in shared memory, zeros up to a whole step of depth.
template <class T> RF_DEVICE void load_q(const Block<T>& block) {
    const int dim = static_cast<int>(block.a.dim), padded = (dim + T::kDepth - 1) / T::kDepth * T::kDepth;
    for (int r = thread_index() / T::kDepth; r < T::kRows; r += T::kThreads / T::kDepth) {
        const std::int64_t first = block.shared.row[r].q;
        for (int d = thread_index() % T::kDepth; d < padded; d += T::kDepth)
            block.shared.in.q[r * T::kMaxDim + d] = d < dim ? element(block.a.q.type, block.p.q, first + d) : 0.0f;
    }
}

// Thread n < kKeys places key first + n; a key outside block.keys stands for the nearest one inside, whose K and V may be read.
template <class T> RF_DEVICE void place_key(const Block<T>& block, std::int64_t first) {
    if (thread_index() >= T::kKeys) return;
    const Attention& a = block.a;
    const std::int64_t j = ExtentRule::clamp(first + thread_index(), block.keys.first, block.keys.end - 1);
    const KeyPlace at = place_of_key(a, block.p, block.shared.span, block.work.b, j);
    KeyOffsets& to = block.shared.key[thread_index()];
    to.k = a.k.offset(at.axis0, block.work.kv_head, at.axis2);
    to.v = a.v.offset(at.axis0, block.work.kv_head, at.axis2);
    if (a.k_scale.present()) to.k_scale = a.k_scale.offset(at.axis0, block.work.kv_head, at.axis2);
    if (a.v_scale.present()) to.v_scale = a.v_scale.offset(at.axis0, block.work.kv_head, at.axis2);
}

// dot[r] = q . k of this thread's key and rows. K passes through shared memory; the next step's part is under way while one is multiplied.
template <class T, class Reader> RF_DEVICE void multiply_keys(const Block<T>& block, const Reader& k, float (&dot)[T::kRowsPerThread]) {
    constexpr int kLoads = T::kKeys * T::kDepth / T::kThreads, kKeyStep = T::kThreads / T::kDepth;
    Shared<T>& shared = block.shared;
    const int dim = static_cast<int>(block.a.dim), my_d = thread_index() % T::kDepth, my_key = thread_index() / T::kDepth;
    float next[kLoads];
    const auto load = [&](int depth) {
#pragma unroll
        for (int n = 0; n < kLoads; ++n) {
            const KeyOffsets& at = shared.key[my_key + n * kKeyStep];
            next[n] = depth + my_d < dim ? k.at(at.k, at.k_scale, depth + my_d) : 0.0f;
        }
    };
    const float* from_q = shared.in.q + thread_index() / T::kKeys * T::kRowsPerThread * T::kMaxDim;
    const float* from_k = shared.in.k + thread_index() % T::kKeys * T::kKeyStride;
    load(0);
#pragma unroll 1
    for (int depth = 0; depth < dim; depth += T::kDepth) {
        barrier();  // the last step's part has been read
#pragma unroll
        for (int n = 0; n < kLoads; ++n) shared.in.k[(my_key + n * kKeyStep) * T::kKeyStride + my_d] = next[n];
        barrier();
        if (depth + T::kDepth < dim) load(depth + T::kDepth);
        float sum[T::kRowsPerThread] = {};  // of this step: shorter chains of roundings than adding each product to dot
#pragma unroll
        for (int d = 0; d < T::kDepth; d += 4) {
            const Four key = load_four(from_k + d);
#pragma unroll
            for (int r = 0; r < T::kRowsPerThread; ++r) {
                const Four row = load_four(from_q + r * T::kMaxDim + depth + d);
#pragma unroll
                for (int e = 0; e < 4; ++e) sum[r] += key.x[e] * row.x[e];
            }
        }
#pragma unroll
        for (int r = 0; r < T::kRowsPerThread; ++r) dot[r] += sum[r];
    }
}

// Steps 1 to 4 of the definition for one row and key j.
template <class T> RF_DEVICE float score_of(const Block<T>& block, const Row& row, std::int64_t j, float dot) {
    const Attention& a = block.a;
    const float excluded = device::as_float(kExcludedScore);
    if (j < row.keys.first || j >= row.keys.end || j < block.keys.first || j >= block.keys.end) return excluded;
    float score = a.scale * dot;
    if (a.softcap != 0) score = softcapped(score, a.softcap);
    if (a.alibi) {
        const std::int64_t distance = row.i + block.shared.span.rule.diagonal - j;
        score -= device::load(block.p.alibi_slopes + row.head) * static_cast<float>(distance < 0 ? -distance : distance);
    }
    if (a.mask.present()) {
        const float added = element(a.mask.type, block.p.mask, row.mask + j * a.mask.last);
        if (added == -device::kInfinity) return excluded;
        score += added;
        if (score < kLowest) score = kLowest;  // no finite mask value excludes
    }
    return plain_score(score);
}

template <class T> RF_DEVICE void score_keys(const Block<T>& block, std::int64_t first) {
    float dot[T::kRowsPerThread] = {};
    with_reader(block.a.k, block.p.k, block.a.k_scale, block.p.k_scale, block.a.k_scale_group,
                [&](const auto& reader) { multiply_keys(block, reader, dot); });
    const int key = thread_index() % T::kKeys, first_row = thread_index() / T::kKeys * T::kRowsPerThread;
    Four scores;
#pragma unroll
    for (int r = 0; r < T::kRowsPerThread; ++r) scores.x[r] = score_of(block, block.shared.row[first_row + r], first + key, dot[r]);
    store_four(block.shared.weights + T::weight_at(key, first_row), scores);
}

// What the lanes of a row carry from block of keys to block of keys. peak is the same in all of them, sum and attended are each lane's own.
struct Running {
    float peak = -device::kInfinity, sum = 0;
    bool attended = false;
};

// Scores to weights exp_below(score, peak), this thread's kKeysPerLane keys of its row.
template <class T> RF_DEVICE void soften(const Block<T>& block, std::int64_t first, Running& running) {
    const int row = thread_index() / T::kLanesPerRow, first_key = thread_index() % T::kLanesPerRow * T::kKeysPerLane;
    float* const weights = block.shared.weights + T::weight_at(first_key, row);
    float score[T::kKeysPerLane], peak = running.peak;
    bool excluded[T::kKeysPerLane];
#pragma unroll
    for (int n = 0; n < T::kKeysPerLane; ++n) {
        score[n] = weights[n * T::kWeightStride];
        excluded[n] = is_excluded_score(score[n]);
        if (!excluded[n]) {
            peak = device::larger(peak, score[n]);
            running.attended = true;
        }
    }
#pragma unroll
    for (int distance = 1; distance < T::kLanesPerRow; distance *= 2) peak = device::larger(peak, device::exchange(peak, distance));
    const float shift = shift_of(peak), factor = exp_below(running.peak, shift);
    running.peak = peak;
    running.sum *= factor;
    PhiloxWords words{};
    if (block.a.dropout)
        words = block.p.dropout.words(static_cast<std::uint32_t>((first + first_key) / 4), static_cast<std::uint32_t>(block.shared.row[row].i),
                                      block.shared.row[row].dropout_head);
#pragma unroll
    for (int n = 0; n < T::kKeysPerLane; ++n) {
        float weight = device::as_float(kExcludedWeight);
        if (!excluded[n]) {
            weight = exp_below(score[n], shift);
            running.sum += weight;  // before dropout: lse is of the undropped row
        }
        if (block.a.dropout && !block.p.dropout.keeps(words.word[n])) weight = device::as_float(kExcludedWeight);
        weights[n * T::kWeightStride] = weight;
    }
    if (first_key == 0) block.shared.factor[row] = factor;
}

// Which dims of V and which keys a thread has in the product.
struct Columns {
    int count, column, group, groups;
};
template <class T> RF_DEVICE Columns columns_of(std::int64_t dim_v) {
    int count = T::kMinColumns;
    while (count < dim_v && count < T::kThreads) count *= 2;
    return {count, thread_index() % count, thread_index() / count, T::kThreads / count};
}

template <class T> using Sums = float[T::kDimsPerThread][T::kRows];

// sums[r] += weights . v for kBatch keys. 0 times what an excluded key holds is NaN where that is not finite, so kSkipping leaves it out.
template <class T, bool kSkipping>
RF_DEVICE void add_batch(const Shared<T>& shared, const float (&value)[T::kBatch], int first, int step, float (&sums)[T::kRows]) {
#pragma unroll
    for (int n = 0; n < T::kBatch; ++n) {
        const float* weights = shared.weights + T::weight_at(first + n * step, 0);
#pragma unroll
        for (int r = 0; r < T::kRows; r += 4) {
            const Four four = load_four(weights + r);
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const float product = kSkipping && is_excluded_weight(four.x[e]) ? 0.0f : four.x[e] * value[n];
                sums[r + e] += product;
            }
        }
    }
}

// The same over `keys` keys of the block in shared memory, for dim d of V.
template <class T, class Reader>
RF_DEVICE void multiply_values(const Shared<T>& shared, const Reader& v, int d, const Columns& mine, int keys, float (&sums)[T::kRows]) {
#pragma unroll 1
    for (int first = mine.group; first < keys; first += T::kBatch * mine.groups) {
        float value[T::kBatch], check = 0;
#pragma unroll
        for (int n = 0; n < T::kBatch; ++n) {
            const KeyOffsets& at = shared.key[first + n * mine.groups];
            value[n] = v.at(at.v, at.v_scale, d);
            check += value[n] - value[n];
        }
        if (check == 0)
            add_batch<T, false>(shared, value, first, mine.groups, sums);
        else
            add_batch<T, true>(shared, value, first, mine.groups, sums);
    }
}

template <class T> RF_DEVICE void add_values(const Block<T>& block, const Columns& mine, int keys, Sums<T>& sums) {
#pragma unroll
    for (int n = 0; n < T::kDimsPerThread; ++n) {
        if (n * T::kThreads >= block.a.dim_v) break;
#pragma unroll
        for (int r = 0; r < T::kRows; r += 4) {
            const Four factor = load_four(block.shared.factor + r);
#pragma unroll
            for (int e = 0; e < 4; ++e) sums[n][r + e] *= factor.x[e];
        }
    }
    with_reader(block.a.v, block.p.v, block.a.v_scale, block.p.v_scale, block.a.v_scale_group, [&](const auto& reader) {
        const int last = static_cast<int>(block.a.dim_v) - 1;
#pragma unroll
        for (int n = 0; n < T::kDimsPerThread; ++n) {
            if (n * T::kThreads > last) break;
            const int d = mine.column + n * T::kThreads;
            multiply_values<T>(block.shared, reader, d < last ? d : last, mine, keys,
                               sums[n]);  // threads past dim_v repeat the last and store nothing
        }
    });
}

RF_DEVICE float sum_of_row(float x, int lanes) {
    for (int distance = 1; distance < lanes; distance *= 2) x += device::exchange(x, distance);
    return x;
}

RF_DEVICE float sink_of(const Attention& a, const Pointers& p, std::uint32_t head) {
    return a.sink ? device::load(p.sink + head) : -device::kInfinity;
}
RF_DEVICE float kept_scale(const Attention& a) { return !a.dropout ? 1.0f : a.dropout_p < 1 ? 1.0f / (1.0f - a.dropout_p) : 0.0f; }

// Ends the rows: lse, and the factor of each row's output for store_rows; or the row's slot in the workspace.
template <class T> RF_DEVICE void end_rows(const Block<T>& block, const Running& running, float* slots) {
    const Attention& a = block.a;
    const int r = thread_index() / T::kLanesPerRow;
    const bool attended = sum_of_row(running.attended ? 1.0f : 0.0f, T::kLanesPerRow) > 0;
    float sum = sum_of_row(running.sum, T::kLanesPerRow);
    // All scores that it attends to are -inf: the softmax of that is not a number, unlike that of no key at all.
    if (attended && running.peak == -device::kInfinity) sum = device::as_float(0x7FC00000u);
    if (thread_index() % T::kLanesPerRow != 0 || r >= block.rows) return;
    const Row& row = block.shared.row[r];
    if (slots) {
        device::store(slots + r * slot_floats(a), running.peak);
        device::store(slots + r * slot_floats(a) + 1, sum);
        return;
    }
    const RowEnd end = end_row(running.peak, sum, sink_of(a, block.p, row.head));
    block.shared.factor[r] = end.factor * kept_scale(a);
    if (a.lse.present()) device::store(block.p.lse + row.lse, end.lse);
}

template <class T> RF_DEVICE void keep_products(const Block<T>& block, const Sums<T>& sums) {
#pragma unroll
    for (int n = 0; n < T::kDimsPerThread; ++n) {
#pragma unroll
        for (int r = 0; r < T::kRows; ++r) block.shared.products[(r * T::kDimsPerThread + n) * T::kThreads + thread_index()] = sums[n][r];
    }
}

// Adds the groups' products in their order and stores the rows, or their slots in the workspace.
template <class T> RF_DEVICE void store_rows(const Block<T>& block, const Columns& mine, float* slots) {
    const Attention& a = block.a;
    for (int r = mine.group; r < block.rows; r += mine.groups) {
        const float* products = block.shared.products + r * T::kDimsPerThread * T::kThreads;
        for (int d = mine.column; d < a.dim_v; d += mine.count) {
            float sum = products[d];
            for (int group = 1; group < mine.groups; ++group) sum += products[group * mine.count + d];
            if (slots)
                device::store(slots + r * slot_floats(a) + 2 + d, sum);
            else
                store_element(a.out.type, block.p.out, block.shared.row[r].out + d, sum * block.shared.factor[r]);
        }
    }
}

template <class T> RF_DEVICE void attend(const Block<T>& block, const Span& span, float* slots) {
    if (thread_index() == 0) block.shared.span = span;
    barrier();
    place_row(block);
    barrier();
    load_q(block);
    barrier();  // also where no key follows: products take q's place
    const Columns mine = columns_of<T>(block.a.dim_v);
    Running running;
    Sums<T> sums = {};
    for (std::int64_t first = block.keys.first / T::kKeys * T::kKeys; first < block.keys.end; first += T::kKeys) {
        place_key(block, first);
        barrier();
        score_keys(block, first);
        barrier();
        soften(block, first, running);
        barrier();
        const std::int64_t left = block.keys.end - first;
        add_values(block, mine, static_cast<int>(left < T::kKeys ? left : T::kKeys), sums);
        barrier();  // weights and places have been read
    }
    keep_products(block, sums);
    end_rows(block, running, slots);
    barrier();
    store_rows(block, mine, slots);
}

// The keys of one split: equal shares of what the rows attend to in this call, whatever the capacity or the window. {0, 0} where there are none.
template <class T> RF_DEVICE Extent split_of(const Extent& keys, std::int64_t splits, std::int64_t split) {
    if (keys.empty()) return {0, 0};
    const std::int64_t start = keys.first / T::kKeys, blocks = (keys.end + T::kKeys - 1) / T::kKeys - start;
    const std::int64_t share = (blocks + splits - 1) / splits, first = (start + split * share) * T::kKeys, end = first + share * T::kKeys;
    const Extent part{keys.first > first ? keys.first : first, keys.end < end ? keys.end : end};
    return part.empty() ? Extent{0, 0} : part;
}

template <class T> RF_DEVICE void attend_all(const Call& call) {
    const Attention& a = call.attention;
    Shared<T>& shared = shared_object<Shared<T>>();
    const std::int64_t pieces = items_of(a) * call.cut.splits;
    for (std::int64_t n = device::block_x(); n < pieces; n += grid_of(pieces)) {
        const Work work = work_of(a, call.pointers, call.cut.splits, n);
        const Span span = span_of(a, call.pointers, work.b);
        const std::int64_t left = rows_of(span.len_q, a.group()) - work.row_first;
        if (left <= 0) continue;
        const int rows = static_cast<int>(left < T::kRows ? left : T::kRows);
        const Extent any = span.rule.any_of_rows(work.row_first / a.group(), (work.row_first + rows - 1) / a.group() + 1, span.len_kv);
        float* const slots = call.cut.splits == 1 ? nullptr : reinterpret_cast<float*>(call.workspace) + n * slot_rows(a) * slot_floats(a);
        attend(Block<T>{a, call.pointers, shared, work, split_of<T>(any, call.cut.splits, work.split), rows}, span, slots);
        barrier();  // before the next piece of work writes to shared memory
    }
}

// Row `row` from the slots of its splits, in the order of their keys. slots: of split 0; the others follow slot_rows rows apart.
RF_DEVICE void combine_row(const Call& call, const Span& span, const Work& work, std::int64_t row, const float* slots) {
    const Attention& a = call.attention;
    const std::int64_t i = row / a.group(), h = work.kv_head * a.group() + row % a.group(), step = slot_rows(a) * slot_floats(a);
    float peak = -device::kInfinity, sum = 0;
    for (int split = 0; split < call.cut.splits; ++split) peak = device::larger(peak, device::load(slots + split * step));
    const float shift = shift_of(peak);
    for (int split = 0; split < call.cut.splits; ++split) {
        const float* slot = slots + split * step;
        sum += device::load(slot + 1) * exp_below(device::load(slot), shift);
    }
    const RowEnd end = end_row(peak, sum, sink_of(a, call.pointers, static_cast<std::uint32_t>(h)));
    const std::int64_t token = span.q_first + i, out = a.out.offset(span.q_batch, h, token);
    for (int d = thread_index(); d < a.dim_v; d += kCombineThreads) {
        float value = 0;
        for (int split = 0; split < call.cut.splits; ++split) {
            const float* slot = slots + split * step;
            value += device::load(slot + 2 + d) * exp_below(device::load(slot), shift);
        }
        store_element(a.out.type, call.pointers.out, out + d, value * (end.factor * kept_scale(a)));
    }
    if (a.lse.present() && thread_index() == 0) device::store(call.pointers.lse + a.lse.offset(span.q_batch, h, token), end.lse);
}

RF_DEVICE void combine_all(const Call& call) {
    const Attention& a = call.attention;
    const std::int64_t per_item = slot_rows(a), rows = items_of(a) * per_item, splits = call.cut.splits;
    for (std::int64_t n = device::block_x(); n < rows; n += grid_of(rows)) {
        const std::int64_t first_piece = n / per_item * splits, r = n % per_item;
        const Work work = work_of(a, call.pointers, splits, first_piece);
        const Span span = span_of(a, call.pointers, work.b);
        if (work.row_first + r >= rows_of(span.len_q, a.group())) continue;
        const float* slots = reinterpret_cast<const float*>(call.workspace) + (first_piece * per_item + r) * slot_floats(a);
        combine_row(call, span, work, work.row_first + r, slots);
    }
}

}  // namespace
}  // namespace rocforge::kernels::reference

RF_KERNEL(256, 2) rocforge_reference_narrow(RF_KERNEL_PARAMETER rocforge::kernels::Call call) {
    rocforge::kernels::reference::attend_all<rocforge::kernels::reference::Narrow>(rocforge::device::argument(call));
}

RF_KERNEL(256, 1) rocforge_reference_wide(RF_KERNEL_PARAMETER rocforge::kernels::Call call) {
    rocforge::kernels::reference::attend_all<rocforge::kernels::reference::Wide>(rocforge::device::argument(call));
}

RF_KERNEL(128, 4) rocforge_reference_combine(RF_KERNEL_PARAMETER rocforge::kernels::Call call) {
    rocforge::kernels::reference::combine_all(rocforge::device::argument(call));
}
