// How the reference kernels cut attention into blocks of threads, and what a block keeps in shared memory. Read by the host, which sizes grids and
// workspaces with it, and by the kernels. It computes no attention.
#ifndef ROCFORGE_KERNELS_REFERENCE_TILE_H
#define ROCFORGE_KERNELS_REFERENCE_TILE_H

#include "kernels/common/call.h"
#include "kernels/common/sequence.h"

namespace rocforge::kernels::reference {

// A block of threads owns kRows rows of one kv head and walks over their keys, kKeys at a time. Rows of the query heads that share the kv head are
// interleaved, row R of the sequence is row R / group of head R % group, so that decode with grouped heads fills a block and neighbouring rows
// attend to nearly the same keys.
//
//   scores    [kKeys][kRows]: lane = key, kRows / kRowsPerThread threads a key; K passes through shared memory kDepth dims at a time
//   softmax   kLanesPerRow neighbouring lanes a row, kKeysPerLane neighbouring keys each: one draw of Philox decides all of them
//   product   thread = dim of V, all rows of it in registers; dim_v below kThreads: groups of threads take every n-th key and are summed at the end
template <int MaxDim, int MaxDimV> struct Tile {
    static constexpr int kMaxDim = MaxDim, kMaxDimV = MaxDimV;
    static constexpr int kThreads = 256, kRows = 16, kKeys = 64, kDepth = 32;
    static constexpr int kRowsPerThread = kRows * kKeys / kThreads;
    static constexpr int kLanesPerRow = kThreads / kRows, kKeysPerLane = kKeys / kLanesPerRow;
    static constexpr int kMinColumns = 32;                                      // threads that share a key in the product
    static constexpr int kDimsPerThread = (MaxDimV + kThreads - 1) / kThreads;  // of V
    static constexpr int kBatch = 4;                                            // keys whose V is under way at once
    static constexpr int kKeyStride = kDepth + 4;                               // floats: 16-byte reads of neighbouring keys meet no bank twice
    static constexpr int kWeightStride = kRows + 4;                             // likewise
    static constexpr int kWeights = kKeys * kWeightStride + kKeys / kKeysPerLane * 4;  // four more every kKeysPerLane keys: the softmax's own stride

    static constexpr int weight_at(int key, int row) { return key * kWeightStride + key / kKeysPerLane * 4 + row; }

    static_assert(kRowsPerThread == 4 && kKeysPerLane == 4, "scores and draws are handled four at a time");
    static_assert(kLanesPerRow <= 32, "a row's maximum and sum stay within a wave");
    static_assert(kKeys % (kThreads / kMinColumns * kBatch) == 0, "the product's groups take whole batches of keys");
    static_assert(MaxDim % kDepth == 0, "Q is padded to whole steps of depth");
};
// Two sizes: shared memory and registers of the wide one would halve the blocks in flight at the dims that models have.
using Narrow = Tile<128, 128>;
using Wide = Tile<576, 512>;

// A row of the block: where it lies, in elements, and what its scores need.
struct Row {
    std::int64_t i;
    Extent keys;
    std::int64_t q, out, lse, mask;
    std::uint32_t head;          // query head
    std::uint32_t dropout_head;  // of the whole batch
};

// Where one key's k and v begin, and their scales, in elements.
struct KeyOffsets {
    std::int64_t k, v, k_scale, v_scale;
};

template <class T> struct Inputs {
    float q[T::kRows * T::kMaxDim];
    float k[T::kKeys * T::kKeyStride];
};

// weights: scores first, probabilities after the softmax. factor: what the rows' sums so far are multiplied with. products: once q and k are read for
// the last time, what each thread has summed up, [kRows][kDimsPerThread][kThreads].
template <class T> struct alignas(16) Shared {
    union {
        Inputs<T> in;
        float products[T::kRows * T::kDimsPerThread * T::kThreads];
    };
    float weights[T::kWeights];
    float factor[T::kRows];
    KeyOffsets key[T::kKeys];
    Row row[T::kRows];
    Span span;  // here, since registers are scarce
};
static_assert(sizeof(Shared<Wide>) <= 64 * 1024, "shared memory of an AMD workgroup");

// One piece of work: kRows rows, from row_first on, of (sequence b, kv head) against one split of the keys.
struct Work {
    std::int64_t b, kv_head, row_first, split;
};

constexpr std::int64_t rows_of(std::int64_t len_q, std::int64_t group) { return len_q * group; }

// Row blocks of one kv head: of each sequence where all are equally long, of all sequences together where they are ragged. There, sequence b has the
// blocks from first / kRows + b on, first being its first row among all rows: always enough, at most one more than needed.
constexpr std::int64_t row_blocks(const Attention& a) {
    if (a.ragged_q) return a.q_tokens * a.group() / Narrow::kRows + a.batch;
    return (a.max_seq_q * a.group() + Narrow::kRows - 1) / Narrow::kRows;
}
// Pieces of work with the splits counted as one.
constexpr std::int64_t items_of(const Attention& a) { return row_blocks(a) * a.head_kv * (a.ragged_q ? 1 : a.batch); }

// Blocks of a grid. AMD counts a grid's threads in 32 bits; a block goes on to the piece of work grid_of() further, so that this limits no problem.
constexpr std::int64_t kMaxGrid = 0xFFFFFFFF / Narrow::kThreads;
constexpr std::int64_t grid_of(std::int64_t work) { return work < kMaxGrid ? work : kMaxGrid; }

// The first sequence has block 0 whatever cu_seqlens says, so that no block comes before all sequences.
RF_HOST_DEVICE std::int64_t first_block_of(const Attention& a, const Pointers& p, std::int64_t b) {
    if (b == 0) return 0;
    return ExtentRule::clamp(index_at(p.cu_seqlens_q, a.wide_index, b), 0, a.q_tokens) * a.group() / Narrow::kRows + b;
}

RF_HOST_DEVICE Work work_of(const Attention& a, const Pointers& p, std::int64_t splits, std::int64_t index) {
    Work work{0, 0, 0, index % splits};
    index /= splits;
    const std::int64_t blocks = row_blocks(a), block = index % blocks;
    index /= blocks;
    if (!a.ragged_q) {
        work.kv_head = index % a.head_kv;
        work.b = index / a.head_kv;
        work.row_first = (blocks - 1 - block) * Narrow::kRows;  // last rows first: under a causal rule they have the most keys
        return work;
    }
    work.kv_head = index;
    for (std::int64_t end = a.batch; end - work.b > 1;) {
        const std::int64_t middle = (work.b + end) / 2;
        (first_block_of(a, p, middle) <= block ? work.b : end) = middle;
    }
    work.row_first = (block - first_block_of(a, p, work.b)) * Narrow::kRows;
    return work;
}

constexpr int kCombineThreads = 128;

// Partial results of a split item in the workspace, one slot a row: the maximum, the sum, then dim_v unnormalised outputs.
constexpr std::int64_t slot_rows(const Attention& a) {
    const std::int64_t rows = a.max_seq_q * a.group();
    return rows < Narrow::kRows ? rows : Narrow::kRows;
}
constexpr std::int64_t slot_floats(const Attention& a) { return 2 + a.dim_v; }

}  // namespace rocforge::kernels::reference
#endif
