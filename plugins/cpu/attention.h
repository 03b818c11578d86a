// How the CPU kernels cut one attention problem into work items. It knows no ABI type and starts no thread. Kernels allocate and validate nothing:
// plugin.cpp has refused what they do not run, schedule.cpp what the index tensors get wrong.
#ifndef ROCFORGE_PLUGINS_CPU_ATTENTION_H
#define ROCFORGE_PLUGINS_CPU_ATTENTION_H

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/common/attention.h"
#include "kernels/common/extent.h"
#include "kernels/common/half.h"

namespace rocforge::cpu {

using kernels::Attention;
using kernels::bytes_of;
using kernels::Operand;
using kernels::Pointers;
using kernels::Type;

using Bf16 = std::uint16_t;

constexpr float kInfinity = __builtin_huge_valf();
constexpr float kLowest = -3.402823466e38f;  // the lowest finite float

// An index tensor of either width.
struct Indices {
    const void* data;
    bool wide;

    std::int64_t operator[](std::int64_t i) const {
        return wide ? static_cast<const std::int64_t*>(data)[i] : static_cast<const std::int32_t*>(data)[i];
    }
};

// One element of any storage type.
inline float element(Type type, const void* data, std::int64_t index) {
    if (type == Type::f32) return static_cast<const float*>(data)[index];
    const std::uint16_t bits = static_cast<const std::uint16_t*>(data)[index];
    return type == Type::bf16 ? kernels::f32_from_bf16(bits) : kernels::f32_from_f16(bits);
}

// One sequence of the batch, and how its rows are cut into items.
//
//   item = heads_per_item query heads of one kv head  x  rows_per_item rows  x  one split of the keys
//
// so that a block of K and V that was read and widened once serves every row of the item, whichever query head it belongs to.
struct Sequence {
    std::int64_t q_first, len_q;    // first row on q's and out's sequence axis
    std::int64_t kv_first, len_kv;  // first token on k's and v's sequence axis
    std::int64_t heads_per_item, rows_per_item, head_chunks, row_blocks, splits;
    std::int64_t first_item;        // among the items of all sequences
    std::int64_t first_whole_item;  // the same with every split counted as one
};

// Its rows are counted by head, then by row: ItemRows.
struct Item {
    std::int64_t batch, kv_head, head_first, heads, row_first, rows;
    kernels::Extent keys;  // this split's keys that any of its rows attends to
    std::int64_t slot;     // where its partial result goes; -1: not split, rows go to out
};
struct Placed {
    const Sequence* sequence;
    Item item;
};

// Walks an item's rows in their order, from one on; stays at the last. No division a row: they would cost as much as a small call's packing.
class ItemRows {
public:
    explicit ItemRows(const Placed& placed, std::int64_t first = 0)
        : item_(placed.item), q_first_(placed.sequence->q_first), head_(first / item_.rows), row_(first % item_.rows) {}
    std::int64_t head() const { return item_.head_first + head_; }
    std::int64_t row() const { return item_.row_first + row_; }  // local to the sequence
    // Where the row lies in q, out or lse.
    std::int64_t offset(const Attention& a, const Operand& operand) const {
        return operand.offset(a.ragged_q ? 0 : item_.batch, head(), q_first_ + row());
    }
    void next() {
        if (row_ + 1 < item_.rows)
            ++row_;
        else if (head_ + 1 < item_.heads)
            row_ = 0, ++head_;
    }

private:
    const Item& item_;
    std::int64_t q_first_, head_, row_;
};

// The sequence's rows that rows [first, end) of the item are; where these are of several heads, all of the item's.
inline kernels::Extent rows_covered(const Item& item, std::int64_t first, std::int64_t end) {
    if (first / item.rows != (end - 1) / item.rows) return {item.row_first, item.row_first + item.rows};
    return {item.row_first + first % item.rows, item.row_first + (end - 1) % item.rows + 1};
}

// Keys that follow each other in memory, from one key on: where the first lies (batch index, or page, and token there) and how many they are.
struct KeyRun {
    std::int64_t batch, token, count;
};
// The run of the item's keys [key, end) that starts at `key`: of one page, or all.
inline KeyRun run_of_keys(const Attention& a, const Pointers& p, const Placed& placed, std::int64_t key, std::int64_t end) {
    if (!a.paged) return {a.ragged_kv ? 0 : placed.item.batch, placed.sequence->kv_first + key, end - key};
    const std::int64_t token = key % a.page_size, left = a.page_size - token;
    const Indices table{p.block_table, a.wide_index};
    return {table[placed.item.batch * a.block_table_stride + key / a.page_size], token, end - key < left ? end - key : left};
}

// One worker's slice of the workspace. carve() lays it out; with a null base it only counts.
struct Scratch {
    float *q, *out, *scores;        // packed rows; unnormalised output; scores, then probabilities, of one panel and one block of keys
    float *peak, *sum, *rescale;    // per row: running maximum, running sum, exp(old maximum - new maximum)
    float *k, *v;                   // widened keys and values of one block
    float* row;                     // kMaxTransposed rows of q or out
    char* bf16;                     // FewBf16's
    const void **k_rows, **v_rows;  // per key of the block, and on the path of few rows of the next
    std::int64_t k_stride, v_stride, q_stride, out_stride;
};

// Rows of K or V of one block, by their first elements, in whole kFewStep, and the kFewAhead that follow. Memory is asked for a row `ahead` rows
// before its use.
struct FewKeys {
    const void* const* rows;
    std::int64_t keys, dim, ahead;
};

// Both products of few rows by a unit for bf16, of K and V that are bf16, used where they lie, and of whole kBf16Dims. Scores and probabilities are
// [row][kFewBlockKeys].
struct FewBf16 {
    // Around the blocks of an item: a unit has a state.
    void (*begin)();
    void (*end)();
    // Queries as scores() reads them, in as many bytes as kMostRows rows have in f32.
    void (*pack)(const void* const* q_rows, std::int64_t rows, std::int64_t dim, void* packed);
    // Of all keys of the block, and up to 15 more.
    void (*scores)(const FewKeys& k, const void* packed, std::int64_t rows, float* scores, char* scratch);
    // out [row][out_stride] = out * rescale + p * v, even and odd dims of each kBf16Dims apart. Returns the dims that are done: all, or those before
    // the first sum that is not finite.
    std::int64_t (*output)(const FewKeys& v, const float* p, std::int64_t rows, const float* rescale, float* out, std::int64_t out_stride,
                           char* scratch);

    static constexpr std::int64_t kMostRows = 8, kScratchBytes = 21 << 10;
};

// How a call's items are spread over workers.
struct Schedule {
    const Sequence* sequences;
    std::int64_t count;        // of sequences
    std::int64_t items;        // of all sequences, splits counted
    std::int64_t whole_items;  // splits not counted
    std::int64_t item_rows;    // at most so many rows an item
    std::int64_t split_keys;   // keys a split, a multiple of kBlockKeys; 0: no splits
    std::uint32_t workers;     // 1: run inline
    float* partials;           // slots of slot_floats, one an item
    std::int64_t slot_floats;
    char* slices;  // one a worker
    std::int64_t slice_bytes;
};

// What a split leaves for the merge, a value a row: running maximum and sum, and the unnormalised output [rows][dim_v].
struct Slot {
    float *peak, *sum, *out;
};
inline Slot slot_at(const Schedule& schedule, std::int64_t slot, std::int64_t rows) {
    float* first = schedule.partials + slot * schedule.slot_floats;
    return {first, first + rows, first + 2 * rows};
}

// How a row ends that has seen its last key: its output is weight times what it summed up, 0 where it attended to nothing. The sink joins here.
struct RowEnd {
    bool empty;
    float weight, lse;
};
inline RowEnd end_row(const Attention& a, const Pointers& p, std::int64_t head, float peak, float sum) {
    const bool empty = sum == 0;
    if (!a.sink) return {empty, empty ? 0.0f : 1 / sum, empty || !a.lse.present() ? -kInfinity : peak + std::log(sum)};
    const float sink = p.sink[head], total_peak = empty || sink > peak ? sink : peak, shift = total_peak == -kInfinity ? 0.0f : total_peak;
    const float share = empty ? 0.0f : std::exp(peak - shift), total = (empty ? 0.0f : sum * share) + std::exp(sink - shift);
    return {empty, empty ? 0.0f : share / total, total == 0 ? -kInfinity : total_peak + std::log(total)};
}

// The math of one instruction set. Its functions are handed the kernel that they are called through.
struct Kernel {
    const char* isa;          // isa.h's name: "avx512"
    const Kernel* general;    // whose functions run what this one leaves, for the life of the process; null: this one runs all of attention
    std::int64_t panel_rows;  // rows that go through softmax side by side, one a lane
    std::int64_t lanes;
    std::int64_t step;        // dims and keys that a micro-kernel takes at once
    std::int64_t few_rows;    // an item of up to so many rows takes the path whose lanes are dims
    bool few_f16;             // which reads f16 as it is, as it does f32 and bf16
    const FewBf16* few_bf16;  // for their products with bf16; null: FMA
    std::int64_t split_rows;  // the least rows that items are cut to where many are wanted; items of more are not split: enough of them exist
    double flops_per_us;      // a cautious half of what one core reaches: decides whether a call is worth waking workers
    // An item has at most so many rows, and a worker's scratch for items of `rows` rows so many bytes.
    std::int64_t (*item_rows)(const Attention&);
    std::int64_t (*slice_bytes)(const Kernel&, const Attention&, std::int64_t rows);
    // Items [begin, end) of the schedule with one worker's scratch.
    void (*attend)(const Kernel&, const Attention&, const Pointers&, const Schedule&, std::int64_t begin, std::int64_t end, char* slice);
    // Merges the splits of items [begin, end), counted without splits, in order of their keys.
    void (*merge)(const Kernel&, const Attention&, const Pointers&, const Schedule&, std::int64_t begin, std::int64_t end, char* slice);
};

constexpr std::int64_t kBlockKeys = 256;     // of items of many rows: 128 folds sums into the output twice as often
constexpr std::int64_t kFewBlockKeys = 128;  // of items of few rows: README.md; half of it where rows of K and V are long
constexpr std::int64_t kFewStep = 16;        // keys that a unit takes at once, at most: rows are there for whole steps
constexpr std::int64_t kFewAhead = 32;       // keys, at most, before its use that memory is asked for a row
constexpr std::int64_t kMaxItemRows = 384;   // beyond, widening K and V costs under 2%
constexpr std::int64_t kMaxTransposed = 4;   // rows of q or out that are turned at once
constexpr std::int64_t kMinSplitKeys = 512;  // a split costs an extra pass over its rows' outputs
constexpr std::int64_t kItemsPerWorker = 4;  // so that workers end together

constexpr std::int64_t kBf16Dims = 32;  // a vector of bf16 on AVX-512

constexpr std::int64_t round_up(std::int64_t x, std::int64_t multiple) { return (x + multiple - 1) / multiple * multiple; }

// The causal rule, window and diagonal of one sequence.
inline kernels::ExtentRule rule_of(const Attention& a, const Sequence& s) {
    return kernels::ExtentRule::aligned(a.causal, a.bottom_right, a.diagonal, a.window_left, a.window_right, s.len_q, s.len_kv);
}

// Item `index` of the schedule; `merging`: of its whole items, where slot is that of the first split.
Placed place(const Attention&, const Schedule&, std::int64_t index, bool merging);

// Are rows of k and v used where they lie, or widened first? In place: unscaled, of whole vectors where the micro-kernels read vectors, and of a type
// that they read: few rows take dims in steps of a vector, many read elements of f32 and take v in steps of kernel.step.
struct InPlace {
    bool k, v;
};
inline InPlace in_place(const Attention& a, const Kernel& kernel, bool few) {
    const auto readable = [&](Type type) { return type == Type::f32 || (few && (type == Type::bf16 || kernel.few_f16)); };
    return {readable(a.k.type) && !a.k_scale.present() && (!few || a.dim % kernel.lanes == 0),
            readable(a.v.type) && !a.v_scale.present() && a.dim_v % (few ? kernel.lanes : kernel.step) == 0};
}

// Does every item of this problem take the path of few rows?
inline bool all_few(const Attention& a, std::int64_t few_rows) { return a.group() * a.max_seq_q <= few_rows; }

// May FewBf16 make the scores of this problem's few rows, and their output?
inline bool bf16_scores(const Attention& a) {
    return a.q.type == Type::bf16 && a.k.type == Type::bf16 && !a.k_scale.present() && a.dim % kBf16Dims == 0;
}
inline bool bf16_output(const Attention& a) { return a.v.type == Type::bf16 && !a.v_scale.present() && a.dim_v % kBf16Dims == 0; }

// Bytes of a slice for items of at most `rows` rows; fills *scratch where it is given, for which base is the slice (null: to count alone).
std::int64_t carve(const Attention&, const Kernel&, std::int64_t rows, char* base, Scratch* scratch);

// The kernels compiled through Highway that this machine can run: never empty.
std::vector<const Kernel*> highway_kernels();

// The workspace that a plan asks for.
struct Workspace {
    std::uint32_t workers;     // slices
    std::int64_t item_rows;    // what a slice is made for
    std::int64_t split_slots;  // 0: no splits
    std::int64_t slot_floats, slice_bytes, bytes;
};

// The best workspace within limit_bytes: rows, then splits, then workers are given up. bytes > limit_bytes where nothing fits.
Workspace plan_workspace(const Attention&, const Kernel&, std::uint32_t workers, std::uint64_t limit_bytes);

// Why index tensors do not describe a batch: "cu_seqlens_q[3] = 17 ...". Empty: they do.
std::string schedule(const Attention&, const Pointers&, const Kernel&, const Workspace&, std::int64_t live_batch, char* memory, Schedule*);

}  // namespace rocforge::cpu
#endif
