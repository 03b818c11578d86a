// The side that computes: one warpgroup, 64 rows. Scores of the next block are multiplied before the values of this one, so that the matrix unit
// works while this one's probabilities are made.
#ifndef ROCFORGE_KERNELS_FLASH_HOPPER_CONSUME_H
#define ROCFORGE_KERNELS_FLASH_HOPPER_CONSUME_H

#include "kernels/flash/hopper/careful.h"
#include "kernels/flash/hopper/softmax.h"
#include "kernels/flash/hopper/work.h"
#include "kernels/matrix/sm90.h"

namespace rocforge::kernels::flash::hopper {

#if defined(RF_NVIDIA) && defined(__CUDA_ARCH_FEAT_SM90_ALL)

template <class T, class Tile, Features F> class Consumer {
    static constexpr bool kScored = F != Features::none;

public:
    RF_DEVICE Consumer(const MappedCall& call, const Shared<Tile>& shared, int group)
        : call_(call),
          shared_(shared),
          group_(group),
          lane_(device::lane_index()),
          warp_(device::wave_index() % 4),
          softmax_(call, shared_, group * 4 + warp_) {}

    RF_DEVICE void run() {
        Cursor<kSlots> slot;
#pragma unroll 1
        for (std::uint32_t phase = 0;; phase ^= 1, slot.advance()) {
            shared_.work_full(slot.stage).await(slot.phase);
            const Work& work = shared_.work(slot.stage);
            if (!work.exists) break;
            shared_.query_full(group_).await(phase);
            attend(work);
            store(work);
            device::wave_barrier();
            arrive(shared_.work_empty(slot.stage));
        }
        if (leads()) device::await_boxes_read();
    }

private:
    using Qk = matrix::Wgmma<T, Tile::kKeys>;
    using Left = typename Softmax<T, Tile, F>::Left;
    using Pv = matrix::Wgmma<T, Tile::kDim>;

    RF_DEVICE bool leads() const { return warp_ == 0 && lane_ == 0; }
    RF_DEVICE void arrive(const device::Barrier& barrier) const {
        if (lane_ == 0) barrier.arrive();
    }
    RF_DEVICE int first_row(const Work& work) const { return work.row0 + group_ * kGroupRows; }
    RF_DEVICE int lane_row(const Work& work, int r) const { return first_row(work) + warp_ * 16 + lane_ / 4 + r * 8; }

    // All blocks of the tile; those that none of this group's rows attends to only pass by.
    RF_DEVICE void attend(const Work& work) {
        const int row = first_row(work), row_end = min(row + kGroupRows, work.rows);
        Keys blocks{0, 0};
        Keys sure{0, 0};
        if (row < row_end) blocks = work.reach.of_any(row, row_end - 1).blocks_of(Tile::kKeys), sure = work.reach.of_all(row, row_end - 1);
        const bool empty = blocks.first >= blocks.end;
        if (empty) blocks = {work.block_end, work.block_end};
        excludes_ = !empty && (softmax_.excludes() || blocks.first * Tile::kKeys < sure.first || blocks.end * Tile::kKeys > sure.end);
        row_ = row + warp_ * 16, release_ = shared_.nobodys();
#pragma unroll
        for (int i = 0; i < kOuts; ++i) out_[i] = 0;
#pragma unroll
        for (int i = 0; i < kScores / 2; ++i) probabilities_[i] = 0;
        softmax_.begin(work, row_, blocks.first, sure, !empty);
        pass(blocks.first - work.block_begin);
        if (!empty) {
            begin(work, blocks);
#pragma unroll 1
            for (int block = blocks.first;; ++block) {
                finish_scores(work, block);
                if (block + 1 == blocks.end) break;
                step(work, block + 1, blocks.end);
            }
            arrive(shared_.query_empty(group_));
            last(work, blocks.end - 1);
        } else {
            arrive(shared_.query_empty(group_));
        }
        pass(work.block_end - blocks.end);
    }
    // Blocks that this group has no use for.
    RF_DEVICE void pass(int blocks) {
#pragma unroll 1
        for (; blocks > 0; --blocks) {
            shared_.keys_full(k_.stage).await(k_.phase);
            release_keys();
            shared_.values_full(v_.stage).await(v_.phase);
            release_values();
            softmax_.pass();
        }
    }
    RF_DEVICE void release_keys() {
        arrive(shared_.keys_empty(k_.stage));
        k_.advance();
    }
    RF_DEVICE void release_values() {
        arrive(shared_.values_empty(v_.stage));
        v_.advance();
    }

    RF_DEVICE void multiply_qk(int block) {
        const matrix::Described q = matrix::described(shared_.query(group_), 0),
                                k = matrix::moved(matrix::described(shared_.keys(0), 0), k_.stage * Tile::kStageBytes);
#pragma unroll
        for (int d = 0; d < Tile::kDim / 16; ++d)
            Qk::left_right(scores_, matrix::moved(q, d / 4 * kGroupRows * kBoxBytes + d % 4 * 32),
                           matrix::moved(k, d / 4 * Tile::kKeys * kBoxBytes + d % 4 * 32), d > 0);
        softmax_.multiply(scores_, block);
        matrix::close();
    }
    RF_DEVICE void multiply_pv() {
        const matrix::Described v = matrix::moved(matrix::described(shared_.values(0), Tile::kKeys * kBoxBytes), v_.stage * Tile::kStageBytes);
#pragma unroll
        for (int n = 0; n < Tile::kKeys / 16; ++n) Pv::held_right(out_, probabilities_ + n * 4, matrix::moved(v, n * 16 * kBoxBytes));
        matrix::close();
    }
    RF_DEVICE void pin() {
        matrix::pin(scores_);
        matrix::pin(out_);
        matrix::pin(probabilities_);
    }

    // The first scores.
    RF_DEVICE void begin(const Work& work, const Keys& blocks) {
        shared_.keys_full(k_.stage).await(k_.phase);
        matrix::pin(scores_);
        matrix::open();
        multiply_qk(blocks.first);
        softmax_.turn(work, row_, blocks.first, blocks.end);
        matrix::await<0>();
        matrix::pin(scores_);
        release_keys();
    }
    // Scores of a block to what multiplies its values, while those of the last block are multiplied.
    RF_DEVICE void finish_scores(const Work& work, int block) {
        // Asked early: the answers take a while.
        all_is_there_ =
            static_cast<int>(shared_.keys_full(k_.stage).ended(k_.phase)) & static_cast<int>(shared_.values_full(v_.stage).ended(v_.phase));
        if constexpr (Softmax<T, Tile, F>::kAtOnce)
            finish_at_once(work, block);
        else
            finish_in_turn(work, block);
    }
    RF_DEVICE void finish_in_turn(const Work& work, int block) {
        const Left left = softmax_.in_turn(scores_, work, row_, block);
        await_values_multiplied();  // they read the probabilities of the block before
        if (left == Left::shrink) rescale();
        softmax_.pack(scores_, probabilities_);
    }
    // Scores stay as they are until the probabilities hold:
    //
    //   at once, usual: nothing is left, but what a settled block before owes      at once, unusual: what is owed, then settle()
    //     settle() true: the peak follows, and the output owes a factor              settle() false: again, in turn
    //   in turn: the factor of a peak that follows, times what is owed
    RF_DEVICE void finish_at_once(const Work& work, int block) {
#pragma unroll 1
        for (;;) {
            std::uint32_t next[kScores / 2];
            Left left;
            if (softmax_.excludes_all()) {
                left = Left::nothing;
#pragma unroll
                for (int i = 0; i < kScores / 2; ++i) next[i] = 0;
            } else if (softmax_.goes_at_once(block)) {
                left = softmax_.at_once(scores_, next, block);
            } else {
                left = softmax_.in_turn(scores_, work, row_, block);
                softmax_.pack(scores_, next);
            }
            await_values_multiplied();
#pragma unroll
            for (int i = 0; i < kScores / 2; ++i) matrix::replace(probabilities_[i], next[i]);
            if (left == Left::nothing && !softmax_.owes()) return;
            if (left == Left::shrink || softmax_.owes()) rescale();
            if (left != Left::settle || softmax_.settle(block)) return;
        }
    }
    RF_DEVICE void await_values_multiplied() {
        matrix::await<0>();
        pin();
        arrive(release_);
        release_ = shared_.nobodys();
    }
    // The next scores, and after them the values of this block: these are still multiplied at the end.
    RF_DEVICE void step(const Work& work, int next, int end) {
        if (!all_is_there_) shared_.keys_full(k_.stage).await(k_.phase), shared_.values_full(v_.stage).await(v_.phase);
        pin();
        matrix::open();
        multiply_qk(next);
        matrix::open();
        multiply_pv();
        release_ = shared_.values_empty(v_.stage);
        v_.advance();
        softmax_.turn(work, row_, next, end);  // while the scores are multiplied
        matrix::await<1>();
        matrix::pin(scores_);
        release_keys();
    }
    RF_DEVICE void last(const Work& work, int block) {
        shared_.values_full(v_.stage).await(v_.phase);
        const Attention& a = call_.call.attention;
        if ((a.kv_lengths || a.ragged_kv) && (block + 1) * Tile::kKeys > work.reach.length) clear_values(work.reach.length - block * Tile::kKeys);
        pin();
        matrix::open();
        multiply_pv();
        matrix::await<0>();
        pin();
        release_values();
        if (softmax_.owes()) rescale();
    }
    // Values past the sequence's end may be anything. All groups may do this at once: they write the same zeros.
    RF_DEVICE void clear_values(int row) {
        const int thread = warp_ * 32 + lane_;
#pragma unroll 1
        for (int at = row * 8 + thread; at < Tile::kKeys * 8; at += device::kGroupSize)
#pragma unroll
            for (int box = 0; box < Tile::kBoxes; ++box)
                device::store_shared(shared_.values(v_.stage) + (box * Tile::kKeys * kBoxBytes + at * 16), device::Words{});
        device::publish_shared();
        device::group_barrier(group_);
    }

    RF_DEVICE void rescale() {
        softmax_.pay();
#pragma unroll
        for (int i = 0; i < kOuts; ++i) out_[i] *= softmax_.factor(i / 2 % 2);
    }
    // Output and lse of this group's rows to device memory.
    RF_DEVICE void store(const Work& work) {
        if constexpr (Tile::kBoxedOut) {
            if (leads()) device::await_boxes_read();  // the last tile's output is still read from where this one's goes
            device::group_barrier(group_);
        }
        if (softmax_.lost() || ((excludes_ || softmax_.large()) && device::any_in_wave(!finite())))
            write_carefully(work);
        else
            write(work);
        if constexpr (Tile::kBoxedOut) {
            device::publish_shared();
            device::group_barrier(group_);
            const int row = first_row(work);
            if (row >= work.rows) return;
            if (call_.call.attention.ragged_q && row + kGroupRows > work.rows)
                copy_rows(work, work.rows - row);
            else if (leads())
                send(work);
        }
    }
    RF_DEVICE bool finite() const {
        float zero = 0;
#pragma unroll
        for (int i = 0; i < kOuts; ++i) zero = __builtin_fmaf(out_[i], 0.0f, zero);
        return zero == 0;
    }
    RF_DEVICE Finished finished(const Work& work, int row, RowSum sum, bool writes) const {
        const Call& call = call_.call;
        const Finished done = finish(sum, call, work.head);
        const Operand& lse = call.attention.lse;
        if (writes && row < work.rows && lse.present())
            device::store(call.pointers.lse + lse.offset(work.q_batch, work.head, work.q_first + row), done.lse);
        return done;
    }
    // Chunk of 8 dims of a row of the group.
    RF_DEVICE device::SharedAt out_at(int row, int chunk) const {
        return shared_.out(group_) + (chunk / 8 * kGroupRows * kBoxBytes + row * kBoxBytes + (chunk % 8 ^ row % 8) * 16);
    }
    RF_DEVICE void write(const Work& work) {
        float factor[2];
#pragma unroll
        for (int r = 0; r < 2; ++r) { factor[r] = finished(work, lane_row(work, r), softmax_.sum(r), lane_ % 4 == 0).factor; }
        if constexpr (Tile::kBoxedOut)
            write_boxes(factor);
        else
            write_rows(work, factor);
    }
    RF_DEVICE void write_boxes(const float (&factor)[2]) const {
        const int row = warp_ * 16 + lane_ % 16, chunk = lane_ / 16;
#pragma unroll
        for (int d = 0; d < Tile::kDim / 16; ++d)
            device::store_matrices(out_at(row, d * 2 + chunk), packed(4 * d, factor[0]), packed(4 * d + 1, factor[1]), packed(4 * d + 2, factor[0]),
                                   packed(4 * d + 3, factor[1]));
    }
    // Four neighbouring lanes hold two columns each of four chunks; they exchange them, so that each stores a chunk.
    RF_DEVICE void write_rows(const Work& work, const float (&factor)[2]) const {
        const int chunks = static_cast<int>(call_.call.attention.dim_v / 8);
#pragma unroll
        for (int r = 0; r < 2; ++r) {
            const int row = lane_row(work, r);
            char* to = out_row(work, row);
#pragma unroll
            for (int d = 0; d < Tile::kDim / 32; ++d) {
                device::Words words{packed(8 * d + r, factor[r]), packed(8 * d + 2 + r, factor[r]), packed(8 * d + 4 + r, factor[r]),
                                    packed(8 * d + 6 + r, factor[r])};
                transpose(words);
                if (row < work.rows && d * 4 + lane_ % 4 < chunks) device::store_words(to + (d * 4 + lane_ % 4) * 16, words);
            }
        }
    }
    // Word i of lane c, of four lanes, becomes word c of lane i.
    RF_DEVICE void transpose(device::Words& words) const {
        const bool odd = lane_ % 2 != 0, high = lane_ / 2 % 2 != 0;
        std::uint32_t* w = words.w;
        const std::uint32_t a = other(odd ? w[0] : w[1], 1), b = other(odd ? w[2] : w[3], 1);
        (odd ? w[0] : w[1]) = a, (odd ? w[2] : w[3]) = b;
        const std::uint32_t c = other(high ? w[0] : w[2], 2), d = other(high ? w[1] : w[3], 2);
        (high ? w[0] : w[2]) = c, (high ? w[1] : w[3]) = d;
    }
    RF_DEVICE std::uint32_t other(std::uint32_t word, int mask) const { return device::from_lane(word, lane_ ^ mask); }
    // Pair i of the output, in storage type.
    RF_DEVICE std::uint32_t packed(int i, float factor) const { return T::pack(out_[2 * i] * factor, out_[2 * i + 1] * factor); }
    RF_DEVICE char* out_row(const Work& work, int row) const {
        const Operand& out = call_.call.attention.out;
        return static_cast<char*>(call_.call.pointers.out) + out.offset(work.q_batch, work.head, work.q_first + row) * 2;
    }

    RF_DEVICE void write_carefully(const Work& work) {
#pragma unroll 1
        for (int number = warp_ * 16; number < warp_ * 16 + 16; ++number) {
            const int row = first_row(work) + number;
            if (row >= work.rows) return;
            const CarefulRow<T, Tile::kDim, kScored> result(call_.call, work, row);
            const Finished done = finished(work, row, result.sum(), lane_ == 0);
#pragma unroll
            for (int i = 0; i < Tile::kDim / 64; ++i) {
                const std::uint32_t pair = T::pack(result.out(2 * i) * done.factor, result.out(2 * i + 1) * done.factor);
                const int dim = i * 64 + lane_ * 2;
                if constexpr (Tile::kBoxedOut)
                    device::store_shared_word(out_at(number, dim / 8) + dim % 8 * 2, pair);
                else if (dim < static_cast<int>(call_.call.attention.dim_v))
                    device::store(reinterpret_cast<std::uint32_t*>(out_row(work, row) + dim * 2), pair);
            }
        }
    }
    RF_DEVICE void send(const Work& work) {
#pragma unroll
        for (int box = 0; box < Tile::kBoxes; ++box)
            device::copy_box_out(call_.out, shared_.out(group_) + box * kGroupRows * kBoxBytes, box * 64, work.q_first + first_row(work), work.head,
                                 work.q_batch);
        device::close_boxes_out();
    }
    // The rows before a sequence's end; the copy engine would go on into the next one's.
    RF_DEVICE void copy_rows(const Work& work, int rows) const {
        const int chunks = static_cast<int>(call_.call.attention.dim_v / 8);
#pragma unroll 1
        for (int at = warp_ * 32 + lane_; at < rows * Tile::kBoxes * 8; at += device::kGroupSize) {
            const int row = at / (Tile::kBoxes * 8), chunk = at % (Tile::kBoxes * 8);
            if (chunk < chunks) device::store_words(out_row(work, first_row(work) + row) + chunk * 16, device::load_shared(out_at(row, chunk)));
        }
    }

    static constexpr int kScores = Softmax<T, Tile, F>::kScores, kOuts = Tile::kDim / 2;
    const MappedCall& call_;
    const Shared<Tile> shared_;
    int group_, lane_, warp_;
    Softmax<T, Tile, F> softmax_;
    Cursor<Tile::kStages> k_, v_;
    device::Barrier release_;  // of the stage whose values are multiplied now
    int row_ = 0;              // this warp's first
    int all_is_there_ = 0;
    bool excludes_ = false;  // a key of a block that some row attends to
    float scores_[kScores], out_[kOuts];
    std::uint32_t probabilities_[kScores / 2];
};

#endif

}  // namespace rocforge::kernels::flash::hopper
#endif
