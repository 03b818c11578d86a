// Blocked attention with an online softmax: the spine of the CPU kernels, compiled once per instruction set through Highway.
// One item at a time, in one worker's scratch. Which items there are is schedule.cpp's business; that the problem is one it runs, plugin.cpp's.
// (Dao et al., FlashAttention, arXiv:2205.14135; the split of keys: Dao et al., Flash-Decoding, 2023.)

// Left out: SSSE3, and what lies beyond AVX-512's common subset (the bits below HWY_AVX3), which gain nothing here and cost compile time; SVE,
// whose sizeless vectors cannot be kept in arrays of accumulators (NEON runs there).
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | (HWY_AVX3 - 1) | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "plugins/cpu/kernel.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>

#include "plugins/cpu/attention.h"
#include "plugins/cpu/few-inl.h"
#include "plugins/cpu/panels-inl.h"
#include "plugins/cpu/softmax-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rocforge::cpu::HWY_NAMESPACE {

// What the steps of one item share.
struct Task {
    const Kernel& kernel;
    const Attention& attention;
    const Pointers& pointers;
    const Placed& placed;
    const Scratch& scratch;

    const Sequence& sequence = *placed.sequence;
    const Item& item = placed.item;
    kernels::ExtentRule rule = rule_of(attention, sequence);
    std::int64_t rows = item.heads * item.rows;  // of all its heads
    bool few = rows <= Panel::kFewRows;          // rows enough for few-inl.h alone
    InPlace direct = in_place(attention, kernel, few);
    // As the products read them: f32 where rows are widened first.
    Type k_type = direct.k ? attention.k.type : Type::f32, v_type = direct.v ? attention.v.type : Type::f32;
    // Of few rows: a unit for bf16 makes the scores, the output. Null: FMA.
    const FewBf16* scores_by = few && bf16_scores(attention) ? kernel.few_bf16 : nullptr;
    const FewBf16* output_by = few && bf16_output(attention) ? kernel.few_bf16 : nullptr;
};

// Packs the item's queries as f32 [row][q_stride] in read order; 0 beyond dim.
void pack_few(const Task& task) {
    const Attention& a = task.attention;
    const Scratch& scratch = task.scratch;
    ItemRows at(task.placed);
    for (std::int64_t r = 0; r < task.rows; ++r, at.next()) {
        float* to = scratch.q + r * scratch.q_stride;
        if (task.k_type == Type::bf16) {
            widen(a.q.type, task.pointers.q, at.offset(a, a.q), a.dim, scratch.row);
            to_read_order(task.k_type, scratch.row, a.dim, to);
        } else {
            widen(a.q.type, task.pointers.q, at.offset(a, a.q), a.dim, to);
            std::fill(to + a.dim, to + scratch.q_stride, 0.0f);
        }
    }
}

// The same as f32 [panel][dim][kRows]; beyond the last row it again, up to a whole vector.
void pack_many(const Task& task) {
    const Attention& a = task.attention;
    const Scratch& scratch = task.scratch;
    ItemRows at(task.placed);
    for (std::int64_t r = 0; r < round_up(task.rows, std::max(kLanes, Panel::kTransposed)); r += Panel::kTransposed) {
        const float* rows[Panel::kTransposed];
        for (int i = 0; i < Panel::kTransposed; ++i, at.next()) {
            if (a.q.type == Type::f32) {
                rows[i] = static_cast<const float*>(task.pointers.q) + at.offset(a, a.q);
                continue;
            }
            float* widened = scratch.row + i * a.dim;
            widen(a.q.type, task.pointers.q, at.offset(a, a.q), a.dim, widened);
            rows[i] = widened;
        }
        rows_to_columns(rows, a.dim, scratch.q + r / Panel::kRows * Panel::kRows * a.dim + r % Panel::kRows);
    }
}

void reset_state(const Task& task) {
    const Scratch& scratch = task.scratch;
    const std::int64_t columns = round_up(task.rows, Panel::kRows);
    std::fill(scratch.peak, scratch.peak + columns, -kInfinity);
    std::fill(scratch.sum, scratch.sum + columns, 0.0f);
    const std::int64_t floats = task.few ? task.rows * scratch.out_stride : columns * round_up(task.attention.dim_v, Panel::kStep);
    std::fill(scratch.out, scratch.out + floats, 0.0f);
}

// One of k and v, as load_rows takes it.
struct Source {
    const Operand& operand;
    const void* data;
    const Operand& scale;
    const void* scale_data;
    std::int64_t scale_group, dim;
    bool direct;  // rows are used where they lie
    float* widened;
    std::int64_t stride;  // of widened
    const void** rows;
};

// Element of (batch | page, head, token) times its scale, as f32, zero-padded to the stride.
HWY_INLINE void widen_scaled(const Source& source, std::int64_t b, std::int64_t h, std::int64_t s, float* to) {
    widen(source.operand.type, source.data, source.operand.offset(b, h, s), source.dim, to);
    std::fill(to + source.dim, to + source.stride, 0.0f);
    if (!source.scale.present()) return;
    const std::int64_t first = source.scale.offset(b, h, s);
    for (std::int64_t e = 0; e < source.dim; ++e) {
        to[e] *= element(source.scale.type, source.scale_data, first + e / source.scale_group * source.scale.last);
    }
}

// rows[0, count) = first, first + step, ...: for short rows a visible share of their reading, if not done in vectors.
HWY_INLINE void point_rows(const void** rows, const char* first, std::int64_t step, std::int64_t count) {
    std::int64_t i = 0;
#if HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_SSE4
    const hn::ScalableTag<std::uint64_t> d;
    constexpr std::int64_t kPointers = HWY_LANES(std::uint64_t);
    static_assert(sizeof(void*) == sizeof(std::uint64_t));
    HWY_ALIGN std::uint64_t start[kPointers];
    for (std::int64_t lane = 0; lane < kPointers; ++lane)
        start[lane] = reinterpret_cast<std::uint64_t>(first) + static_cast<std::uint64_t>(lane * step);
    auto at = hn::Load(d, start);
    const auto next = hn::Set(d, static_cast<std::uint64_t>(kPointers * step));
    for (; i + kPointers <= count; i += kPointers, at = hn::Add(at, next)) hn::StoreU(at, d, reinterpret_cast<std::uint64_t*>(rows + i));
#endif
    for (; i < count; ++i) rows[i] = first + i * step;
}

// Points rows[0, keys) at the block's keys (or values) from `key_first` on, wherever they lie: one run of tokens a page.
void load_rows(const Task& task, const Source& source, std::int64_t key_first, std::int64_t keys) {
    for (std::int64_t done = 0; done < keys;) {
        const KeyRun run = run_of_keys(task.attention, task.pointers, task.placed, key_first + done, key_first + keys);
        if (source.direct) {
            const std::int64_t bytes = bytes_of(source.operand.type), step = source.operand.sequence * bytes;
            const char* row = static_cast<const char*>(source.data) + source.operand.offset(run.batch, task.item.kv_head, run.token) * bytes;
            point_rows(source.rows + done, row, step, run.count);
        } else {
            for (std::int64_t i = 0; i < run.count; ++i) {
                float* to = source.widened + (done + i) * source.stride;
                widen_scaled(source, run.batch, task.item.kv_head, run.token + i, to);
                source.rows[done + i] = to;
            }
        }
        done += run.count;
    }
}

Source k_of(const Task& task) {
    const Attention& a = task.attention;
    const Pointers& p = task.pointers;
    const Scratch& s = task.scratch;
    return {a.k, p.k, a.k_scale, p.k_scale, a.k_scale_group, a.dim, task.direct.k, s.k, s.k_stride, s.k_rows};
}
Source v_of(const Task& task) {
    const Attention& a = task.attention;
    const Pointers& p = task.pointers;
    const Scratch& s = task.scratch;
    return {a.v, p.v, a.v_scale, p.v_scale, a.v_scale_group, a.dim_v, task.direct.v, s.v, s.v_stride, s.v_rows};
}

// A block's scores to probabilities by the passes that their layout chooses; with peak, sum and rescale of each row, from first_row on, brought up to
// date.
template <class Layout>
HWY_INLINE void make_probabilities(const Task& task, Layout layout, std::int64_t first_row, const PanelRows& rows, const kernels::Extent& span) {
    const Attention& a = task.attention;
    const Scratch& s = task.scratch;
    const std::int64_t keys = span.end - span.first;
    const bool cut = !rows.all.covers(span.first, span.end), masked = a.mask.present();
    // The maximum may be taken before scaling only where scaling keeps the order.
    const bool plain = !cut && !masked && !a.alibi && a.softcap == 0 && a.scale > 0;
    if (!plain) {
        scale_and_cap(layout, s.scores, rows.count, keys, a.scale, a.softcap);
        if (a.alibi) add_alibi(layout, s.scores, span, rows, task.pointers.alibi_slopes, task.rule.diagonal);
        if (masked) apply_mask(s.scores, layout.kStrides, span.first, keys, rows, a.mask, task.pointers.mask, task.item.batch);
        if (cut) exclude_outside(layout, s.scores, span, rows, task.rule, task.sequence.len_kv);
    }
    const float scale = plain ? a.scale : 1.0f;
    float *peaks = s.peak + first_row, *sums = s.sum + first_row, *rescales = s.rescale + first_row;
    if (cut || masked)
        online_softmax<true>(layout, s.scores, rows.count, keys, scale, peaks, sums, rescales);
    else
        online_softmax<false>(layout, s.scores, rows.count, keys, scale, peaks, sums, rescales);
    if (a.dropout) {
        const float kept_scale = a.dropout_p < 1 ? 1 / (1 - a.dropout_p) : 0.0f;
        drop(s.scores, layout.kStrides, span.first, keys, rows, task.pointers.dropout, kept_scale, task.item.batch * a.head_q);
    }
}

// ---- few rows ----------------------------------------------------------------------------------------------------------------------

// Keys of a block: a block of K and one of V stay in L1, or nearly, and each change from one to the other makes memory wait.
std::int64_t few_block_keys(const Task& task) {
    constexpr std::int64_t kLongRow = 256;  // bytes
    const Attention& a = task.attention;
    return std::max(a.dim * bytes_of(a.k.type), a.dim_v * bytes_of(a.v.type)) > kLongRow ? kFewBlockKeys / 2 : kFewBlockKeys;
}

// A block's rows of one operand and, where they are read in place, the kFewAhead that follow; the last is repeated beyond. unit: reads them, or null.
FewKeys load_few_rows(const Task& task, const Source& source, const kernels::Extent& span, const FewBf16* unit) {
    // FMA reads 16-bit rows of V in halves, one after the other: as many bytes are twice as many rows.
    const std::int64_t bytes_ahead = !unit && bytes_of(source.operand.type) == 2 ? 8192 : 4096;
    const std::int64_t keys = span.end - span.first, loaded = source.direct ? std::min(keys + kFewAhead, task.item.keys.end - span.first) : keys;
    load_rows(task, source, span.first, loaded);
    std::fill(source.rows + loaded, source.rows + round_up(keys, kFewStep) + kFewAhead, source.rows[loaded - 1]);
    const std::int64_t ahead = std::clamp<std::int64_t>(bytes_ahead / (source.dim * bytes_of(source.operand.type)), 4, kFewAhead);
    return {source.rows, keys, source.dim, source.direct ? ahead : 0};
}

template <Type kType> using TypeConstant = std::integral_constant<Type, kType>;

// each(type) for the type that an operand's rows are read as.
template <class Each> HWY_INLINE void with_type(Type type, const Each& each) {
    if (type == Type::f32) return each(TypeConstant<Type::f32>());
    if (type == Type::bf16) return each(TypeConstant<Type::bf16>());
    each(TypeConstant<Type::f16>());
}

// Rows are taken by four, two and one, at most kMost: the shapes that the products have.
template <int kMost, class Each> HWY_INLINE void for_few_rows(std::int64_t rows, const Each& each) {
    std::int64_t row = 0;
    if constexpr (kMost == 4)
        for (; row + 4 <= rows; row += 4) each(std::integral_constant<int, 4>(), row);
    for (; row + 2 <= rows; row += 2) each(std::integral_constant<int, 2>(), row);
    for (; row < rows; ++row) each(std::integral_constant<int, 1>(), row);
}

void score_few_rows(const Task& task, FewKeys k) {
    const Scratch& s = task.scratch;
    if (task.scores_by) return task.scores_by->scores(k, s.q, task.rows, s.scores, s.bf16);
    with_type(task.k_type, [&](auto type) {
        for_few_rows<4>(task.rows, [&](auto rows, std::int64_t row) {
            score_few<type.value, rows.value>(k, s.q + row * s.q_stride, s.q_stride, s.scores + row * kFewBlockKeys);
            k.ahead = 0;  // the first rows have asked for all
        });
    });
}

void output_few_rows(const Task& task, FewKeys v) {
    const Scratch& s = task.scratch;
    const std::int64_t first = task.output_by ? task.output_by->output(v, s.scores, task.rows, s.rescale, s.out, s.out_stride, s.bf16) : 0;
    if (first == s.out_stride) return;
    with_type(task.v_type, [&](auto type) {
        for_few_rows<Few::kOutputRows<type.value>>(task.rows, [&](auto rows, std::int64_t row) {
            output_few<type.value, rows.value>(v, first, s.scores + row * kFewBlockKeys, s.rescale + row, s.out + row * s.out_stride, s.out_stride);
            v.ahead = 0;
        });
    });
}

static_assert(Panel::kFewRows <= FewBf16::kMostRows);

// Queries as the scores' unit takes them.
void pack_few_bf16(const Task& task) {
    const Attention& a = task.attention;
    const void* q_rows[Panel::kFewRows];
    ItemRows at(task.placed);
    for (std::int64_t r = 0; r < task.rows; ++r, at.next())
        q_rows[r] = static_cast<const char*>(task.pointers.q) + at.offset(a, a.q) * bytes_of(a.q.type);
    task.scores_by->pack(q_rows, task.rows, a.dim, task.scratch.q);
}

void attend_few(const Task& task) {
    const PanelRows panel_rows = rows_of_panel(task.placed, 0, task.rule);
    const Source k = k_of(task), v = v_of(task);
    const std::int64_t end = task.item.keys.end, step = few_block_keys(task);
    for (std::int64_t first = task.item.keys.first; first < end; first += step) {
        const kernels::Extent span{first, std::min(first + step, end)};
        score_few_rows(task, load_few_rows(task, k, span, task.scores_by));
        make_probabilities(task, FewScores(), 0, panel_rows, span);
        output_few_rows(task, load_few_rows(task, v, span, task.output_by));
    }
}

// One item of few rows. A unit for bf16 has a state, around all blocks.
void attend_item_of_few(const Task& task) {
    const FewBf16* unit = task.scores_by ? task.scores_by : task.output_by;
    if (unit) unit->begin();
    if (task.scores_by)
        pack_few_bf16(task);
    else
        pack_few(task);
    attend_few(task);
    if (unit) unit->end();
}

// ---- many rows ---------------------------------------------------------------------------------------------------------------------

void load_block(const Task& task, std::int64_t key_first, std::int64_t keys) {
    load_rows(task, k_of(task), key_first, keys);
    load_rows(task, v_of(task), key_first, keys);
}

// One panel of rows against keys [key_first, key_end) of the loaded block that starts at block_first.
template <int kUsed>
void attend_panel(const Task& task, std::int64_t panel, const PanelRows& panel_rows, std::int64_t block_first, const kernels::Extent& span) {
    const Attention& a = task.attention;
    const Scratch& s = task.scratch;
    const std::int64_t keys = span.end - span.first, first = panel * Panel::kRows;
    score_rows<kUsed>(s.k_rows + (span.first - block_first), keys, s.q + first * a.dim, a.dim, s.scores);
    make_probabilities(task, PanelScores<kUsed>(), first, panel_rows, span);
    output_rows<kUsed>(s.v_rows + (span.first - block_first), a.dim_v, keys, s.scores, s.rescale + first,
                       s.out + first * round_up(a.dim_v, Panel::kStep));
}

void attend_block(const Task& task, const PanelRows* panels, std::int64_t block_first, std::int64_t block_end) {
    load_block(task, block_first, block_end - block_first);
    for (std::int64_t panel = 0; panel * Panel::kRows < task.rows; ++panel) {
        const PanelRows& panel_rows = panels[panel];
        const kernels::Extent span{std::max(block_first, panel_rows.any.first), std::min(block_end, panel_rows.any.end)};
        if (span.empty()) continue;
        if (panel_rows.count <= kLanes)
            attend_panel<1>(task, panel, panel_rows, block_first, span);
        else if (Panel::kVectors == 2 || panel_rows.count <= 2 * kLanes)
            attend_panel<2>(task, panel, panel_rows, block_first, span);
        else
            attend_panel<Panel::kVectors>(task, panel, panel_rows, block_first, span);
    }
}

void attend_many(const Task& task) {
    const Item& item = task.item;
    static_assert(kMaxItemRows % Panel::kRows == 0);
    PanelRows panels[kMaxItemRows / Panel::kRows];
    for (std::int64_t first = 0; first < task.rows; first += Panel::kRows) {
        panels[first / Panel::kRows] = rows_of_panel(task.placed, first, task.rule);
    }
    for (std::int64_t first = item.keys.first; first < item.keys.end; first += kBlockKeys) {
        attend_block(task, panels, first, std::min(first + kBlockKeys, item.keys.end));
    }
}

// each(r, row): the unnormalised output of every row of the item.
template <class Each> HWY_INLINE void for_outputs(const Task& task, const Each& each) {
    const Scratch& s = task.scratch;
    const std::int64_t dim_v = task.attention.dim_v;
    if (task.few) {
        for (std::int64_t r = 0; r < task.rows; ++r) {
            to_natural_order(task.v_type, s.out + r * s.out_stride, dim_v, s.row);
            each(r, s.row);
        }
        return;
    }
    float* rows[Panel::kTransposed];
    for (int i = 0; i < Panel::kTransposed; ++i) rows[i] = s.row + i * dim_v;
    for (std::int64_t r = 0; r < task.rows; r += Panel::kTransposed) {
        columns_to_rows(s.out + r / Panel::kRows * Panel::kRows * round_up(dim_v, Panel::kStep) + r % Panel::kRows, dim_v, rows);
        for (int i = 0; i < Panel::kTransposed && r + i < task.rows; ++i) each(r + i, rows[i]);
    }
}

// Normalises one row, sink included, and stores out and lse. `row` holds sum_j exp(s_j - peak) v_j.
void store_row(const Attention& a, const Pointers& p, const ItemRows& at, float peak, float sum, float* row) {
    const RowEnd end = end_row(a, p, at.head(), peak, sum);
    if (end.empty) std::fill(row, row + a.dim_v, 0.0f);
    narrow(a.out.type, row, end.weight, a.dim_v, p.out, at.offset(a, a.out));
    if (a.lse.present()) p.lse[at.offset(a, a.lse)] = end.lse;
}

void store_partial(const Task& task, const Slot& slot) {
    const std::int64_t dim_v = task.attention.dim_v;
    std::copy(task.scratch.peak, task.scratch.peak + task.rows, slot.peak);
    std::copy(task.scratch.sum, task.scratch.sum + task.rows, slot.sum);
    for_outputs(task, [&](std::int64_t r, const float* row) { std::copy(row, row + dim_v, slot.out + r * dim_v); });
}

void store_item(const Task& task) {
    ItemRows at(task.placed);
    for_outputs(task, [&](std::int64_t r, float* row) {
        store_row(task.attention, task.pointers, at, task.scratch.peak[r], task.scratch.sum[r], row);
        at.next();
    });
}

void attend_item(const Kernel& kernel, const Attention& attention, const Pointers& pointers, const Schedule& schedule, const Placed& placed,
                 const Scratch& scratch) {
    const Task task{kernel, attention, pointers, placed, scratch};
    reset_state(task);
    if (task.few) {
        attend_item_of_few(task);
    } else {
        pack_many(task);
        attend_many(task);
    }
    if (task.item.slot < 0)
        store_item(task);
    else
        store_partial(task, slot_at(schedule, task.item.slot, task.rows));
}

// Adds the splits of an item in the order of their keys, so that the result does not depend on who computed them.
void merge_item(const Attention& a, const Pointers& p, const Schedule& schedule, const Placed& placed, const Scratch& scratch) {
    const Item& item = placed.item;
    const Sequence& sequence = *placed.sequence;
    if (item.slot < 0) return;
    const std::int64_t rows = item.heads * item.rows;
    ItemRows at(placed);
    for (std::int64_t r = 0; r < rows; ++r, at.next()) {
        const auto slot_of = [&](std::int64_t split) { return slot_at(schedule, item.slot + split, rows); };
        float peak = -kInfinity;
        for (std::int64_t split = 0; split < sequence.splits; ++split) peak = std::max(peak, slot_of(split).peak[r]);
        const float shift = peak == -kInfinity ? 0.0f : peak;
        float sum = 0;
        std::fill(scratch.row, scratch.row + a.dim_v, 0.0f);
        for (std::int64_t split = 0; split < sequence.splits; ++split) {
            const Slot slot = slot_of(split);
            if (slot.sum[r] == 0) continue;  // nothing attended to in this split
            const float weight = std::exp(slot.peak[r] - shift);
            sum += weight * slot.sum[r];
            const float* part = slot.out + r * a.dim_v;
            for (std::int64_t e = 0; e < a.dim_v; ++e) scratch.row[e] += weight * part[e];
        }
        store_row(a, p, at, peak, sum, scratch.row);
    }
}

template <class Each>
void for_items(const Kernel& kernel, const Attention& attention, const Schedule& schedule, std::int64_t begin, std::int64_t end, bool merging,
               char* slice, const Each& each) {
    Scratch scratch;
    carve(attention, kernel, schedule.item_rows, slice, &scratch);
    for (std::int64_t i = begin; i < end; ++i) each(place(attention, schedule, i, merging), scratch);
}

void attend(const Kernel& kernel, const Attention& attention, const Pointers& pointers, const Schedule& schedule, std::int64_t begin,
            std::int64_t end, char* slice) {
    for_items(kernel, attention, schedule, begin, end, false, slice,
              [&](const Placed& placed, const Scratch& scratch) { attend_item(kernel, attention, pointers, schedule, placed, scratch); });
}

void merge(const Kernel& kernel, const Attention& attention, const Pointers& pointers, const Schedule& schedule, std::int64_t begin, std::int64_t end,
           char* slice) {
    for_items(kernel, attention, schedule, begin, end, true, slice,
              [&](const Placed& placed, const Scratch& scratch) { merge_item(attention, pointers, schedule, placed, scratch); });
}

std::int64_t item_rows(const Attention&) { return kMaxItemRows; }
std::int64_t slice_bytes(const Kernel& kernel, const Attention& attention, std::int64_t rows) {
    return carve(attention, kernel, rows, nullptr, nullptr);
}

const Kernel& kernel_here() {
    static constexpr const char* kIsa = HWY_TARGET == HWY_AVX3   ? "avx512"
                                        : HWY_TARGET == HWY_AVX2 ? "avx2"
                                        : HWY_TARGET == HWY_SSE4 ? "sse4"
                                        : HWY_TARGET == HWY_NEON ? "neon"
                                                                 : "scalar";
    static const Kernel kKernel{.isa = kIsa,
                                .general = nullptr,
                                .panel_rows = Panel::kRows,
                                .lanes = kLanes,
                                .step = Panel::kStep,
                                .few_rows = Panel::kFewRows,
                                .few_f16 = ROCFORGE_CPU_VECTOR_F16,
                                .few_bf16 = nullptr,
                                .split_rows = 48 / Panel::kRows * Panel::kRows,
                                .flops_per_us = 6e3 * kLanes,
                                .item_rows = item_rows,
                                .slice_bytes = slice_bytes,
                                .attend = attend,
                                .merge = merge};
    return kKernel;
}

}  // namespace rocforge::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rocforge::cpu {

// A kernel that the machine cannot run is left out.
std::vector<const Kernel*> highway_kernels() {
    std::vector<const Kernel*> found;
    const std::int64_t runs = hwy::SupportedTargets();
    const auto add = [&](std::int64_t target, const Kernel& kernel) {
        if (runs & target) found.push_back(&kernel);
    };
#if HWY_TARGETS & HWY_AVX3
    add(HWY_AVX3, N_AVX3::kernel_here());
#endif
#if HWY_TARGETS & HWY_AVX2
    add(HWY_AVX2, N_AVX2::kernel_here());
#endif
#if HWY_TARGETS & HWY_SSE4
    add(HWY_SSE4, N_SSE4::kernel_here());
#endif
#if HWY_TARGETS & HWY_NEON
    add(HWY_NEON, N_NEON::kernel_here());
#endif
    const Kernel& baseline = HWY_STATIC_DISPATCH(kernel_here)();
    if (std::find(found.begin(), found.end(), &baseline) == found.end()) found.push_back(&baseline);
    return found;
}

}  // namespace rocforge::cpu
#endif
