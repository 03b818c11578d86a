// Cuts one call into items and lays out its workspace. Everything that comes from an index tensor is checked here, before any kernel reads
// through it: lengths are clamped, wrong offsets and page numbers are refused by name and value. No math on tensors, no threads.
#include <algorithm>
#include <cstddef>
#include <iterator>

#include "plugins/cpu/attention.h"

namespace rocforge::cpu {
namespace {

constexpr std::int64_t kAlign = 256;  // bytes: of a slice, as plugin.h promises of the workspace

std::string number(std::int64_t value) { return std::to_string(value); }
std::string at(const char* name, std::int64_t index, std::int64_t value) { return std::string(name) + "[" + number(index) + "] = " + number(value); }

// cu_seqlens of one side: [offsets[b], offsets[b + 1]) are sequence b's tokens.
struct Offsets {
    const char* name;
    Indices offsets;
    std::int64_t capacity;  // tokens
    std::int64_t longest;   // max_seq_q or max_seq_kv
    const char* longest_name;

    std::string check(std::int64_t b) const {
        const std::int64_t first = offsets[b], end = offsets[b + 1];
        if (b == 0 && first != 0) return at(name, 0, first) + "; must be 0";
        if (end < first) return at(name, b + 1, end) + " after " + number(first) + "; must ascend";
        if (end > capacity) return at(name, b + 1, end) + " is past the tensor's " + number(capacity) + " tokens";
        if (end - first > longest)
            return at(name, b + 1, end) + " after " + number(first) + ": a sequence longer than " + longest_name + " = " + number(longest);
        return {};
    }
};

std::string measure_sequence(const Attention& a, const Pointers& p, std::int64_t b, Sequence* sequence) {
    *sequence = {.len_q = a.max_seq_q, .len_kv = a.max_seq_kv};
    if (a.ragged_q) {
        const Offsets q{"cu_seqlens_q", {p.cu_seqlens_q, a.wide_index}, a.q_tokens, a.max_seq_q, "max_seq_q"};
        if (std::string wrong = q.check(b); !wrong.empty()) return wrong;
        sequence->q_first = q.offsets[b];
        sequence->len_q = q.offsets[b + 1] - q.offsets[b];
    }
    if (a.ragged_kv) {
        const Offsets kv{"cu_seqlens_kv", {p.cu_seqlens_kv, a.wide_index}, a.kv_tokens, a.max_seq_kv, "max_seq_kv"};
        if (std::string wrong = kv.check(b); !wrong.empty()) return wrong;
        sequence->kv_first = kv.offsets[b];
        sequence->len_kv = kv.offsets[b + 1] - kv.offsets[b];
    }
    if (a.kv_lengths) sequence->len_kv = std::clamp<std::int64_t>(Indices{p.kv_lengths, a.wide_index}[b], 0, a.max_seq_kv);
    return {};
}

// The keys that any row of the sequence attends to.
kernels::Extent reach_of(const Attention& a, const Sequence& s) {
    if (s.len_q == 0) return {0, 0};
    return rule_of(a, s).any_of_rows(0, s.len_q, s.len_kv);
}

// Only pages that will be read are judged: engines leave other entries unset.
std::string check_pages(const Attention& a, const Pointers& p, std::int64_t b, const kernels::Extent& reach) {
    const Indices table{p.block_table, a.wide_index};
    const kernels::Extent pages = kernels::blocks_of(reach, a.page_size);
    for (std::int64_t page = pages.first; page < pages.end; ++page) {
        const std::int64_t entry = table[b * a.block_table_stride + page];
        if (entry >= 0 && entry < a.pages) continue;
        return "block_table[" + number(b) + "][" + number(page) + "] = " + number(entry) + " is outside the cache's " + number(a.pages) + " pages";
    }
    return {};
}

// What decides how the call is spread.
struct Load {
    double flops = 0, bytes = 0;
    std::int64_t longest_reach = 0;
};

void add_load(const Attention& a, const Sequence& s, const kernels::Extent& reach, Load* load) {
    const double keys = static_cast<double>(reach.end - reach.first), dims = static_cast<double>(a.dim + a.dim_v);
    const double seen = a.causal && s.len_q > 1 ? 0.5 : 1.0;
    load->flops += 2.0 * static_cast<double>(a.head_q) * static_cast<double>(s.len_q) * keys * dims * seen;
    load->bytes += static_cast<double>(a.head_kv) * keys * dims * static_cast<double>(bytes_of(a.k.type));
    load->longest_reach = std::max(load->longest_reach, reach.end - reach.first);
}

// Waking workers costs about 25 us (oneTBB, workers asleep): a call is spread only where it gains clearly more.
bool worth_waking(const Kernel& kernel, const Load& load) {
    constexpr double kInlineUs = 60, kBytesPerUs = 12e3;
    return std::max(load.flops / kernel.flops_per_us, load.bytes / kBytesPerUs) > kInlineUs;
}

// Cuts one sequence for items of at most `rows` rows.
void cut_rows(const Attention& a, std::int64_t rows, Sequence* s) {
    const std::int64_t group = a.group(), len_q = std::max<std::int64_t>(s->len_q, 1);
    s->heads_per_item = std::clamp<std::int64_t>(rows / len_q, 1, group);
    s->rows_per_item = std::min(len_q, rows);
    s->head_chunks = (group + s->heads_per_item - 1) / s->heads_per_item;
    s->row_blocks = (s->len_q + s->rows_per_item - 1) / s->rows_per_item;
    s->splits = 1;
}

std::int64_t cut_all_rows(const Attention& a, std::int64_t rows, Sequence* sequences, std::int64_t count) {
    std::int64_t items = 0;
    for (std::int64_t b = 0; b < count; ++b) {
        cut_rows(a, rows, &sequences[b]);
        items += a.head_kv * sequences[b].head_chunks * sequences[b].row_blocks;
    }
    return items;
}

// The largest items that still leave every worker enough of them.
void choose_rows(const Attention& a, const Workspace& space, std::int64_t split_rows, Sequence* sequences, Schedule* out) {
    const std::int64_t wanted = out->workers > 1 ? kItemsPerWorker * out->workers : 1;
    out->item_rows = space.item_rows;
    for (;;) {
        out->whole_items = cut_all_rows(a, out->item_rows, sequences, out->count);
        if (out->whole_items >= wanted || out->item_rows <= split_rows) return;
        out->item_rows = std::max(split_rows, out->item_rows / 2);
    }
}

void choose_splits(const Attention& a, const Workspace& space, const Load& load, std::int64_t split_rows, Sequence* sequences, Schedule* out) {
    const std::int64_t wanted = kItemsPerWorker * out->workers;
    out->split_keys = 0;
    if (out->workers == 1 || space.split_slots == 0 || out->item_rows > split_rows || out->whole_items == 0 || out->whole_items >= wanted) return;
    const std::int64_t splits = (wanted + out->whole_items - 1) / out->whole_items;
    const std::int64_t keys = round_up(std::max((load.longest_reach + splits - 1) / splits, kMinSplitKeys), kBlockKeys);
    if (keys >= load.longest_reach) return;
    out->split_keys = keys;
    for (std::int64_t b = 0; b < out->count; ++b) {
        const kernels::Extent reach = reach_of(a, sequences[b]);
        sequences[b].splits = std::max<std::int64_t>(1, (reach.end - reach.first + keys - 1) / keys);
    }
}

void number_items(const Attention& a, Sequence* sequences, Schedule* out) {
    std::int64_t whole = 0, all = 0;
    for (std::int64_t b = 0; b < out->count; ++b) {
        Sequence& s = sequences[b];
        s.first_item = all;
        s.first_whole_item = whole;
        const std::int64_t items = a.head_kv * s.head_chunks * s.row_blocks;
        whole += items;
        all += items * s.splits;
    }
    out->items = all;
}

std::int64_t sequence_bytes(const Attention& a) { return round_up(std::max<std::int64_t>(a.batch, 1) * std::int64_t{sizeof(Sequence)}, kAlign); }

Workspace workspace_of(const Attention& a, const Kernel& kernel, std::uint32_t workers, std::int64_t item_rows, bool splits) {
    Workspace space{.workers = workers, .item_rows = item_rows};
    if (splits && workers > 1) {
        // choose_splits makes fewer than two items for each one wanted.
        space.split_slots = 2 * kItemsPerWorker * workers;
        space.slot_floats = round_up(std::min(kernel.split_rows, item_rows) * (a.dim_v + 2), kAlign / 4);
    }
    space.slice_bytes = kernel.slice_bytes(kernel, a, item_rows);
    space.bytes = sequence_bytes(a) + space.split_slots * space.slot_floats * 4 + workers * space.slice_bytes;
    return space;
}

}  // namespace

std::int64_t carve(const Attention& a, const Kernel& kernel, std::int64_t rows, char* base, Scratch* scratch) {
    const std::int64_t padded = round_up(rows, kernel.panel_rows), lanes = kernel.lanes, whole = std::max(lanes, kernel.step);
    // One cache line beyond the row: rows of a power of two would all start in a few sets of L1.
    const std::int64_t k_stride = round_up(a.dim, lanes) + 16, v_stride = round_up(a.dim_v, whole) + 16;
    const std::int64_t q_stride = round_up(a.dim, lanes), out_stride = round_up(a.dim_v, lanes);
    // One slice serves items of both paths.
    const InPlace few = in_place(a, kernel, true), many = in_place(a, kernel, false);
    std::int64_t used = 0;
    const auto take = [&](std::int64_t floats) {
        char* start = base ? base + used : nullptr;
        used += round_up(floats * 4, kAlign);
        return reinterpret_cast<float*>(start);
    };
    static_assert(sizeof(void*) == 2 * sizeof(float) && kFewBlockKeys + kFewAhead <= kBlockKeys);
    const auto take_rows = [&] { return reinterpret_cast<const void**>(take(kBlockKeys * 2)); };
    const Scratch laid{
        .q = take(std::max(padded * a.dim, kernel.few_rows * q_stride)),
        .out = take(std::max(padded * round_up(a.dim_v, kernel.step), kernel.few_rows * out_stride)),
        .scores = take(round_up(kBlockKeys, kernel.step) * kernel.panel_rows),
        .peak = take(padded),
        .sum = take(padded),
        .rescale = take(padded),
        .k = take(few.k && many.k ? 0 : kBlockKeys * k_stride),
        .v = take(few.v && many.v ? 0 : kBlockKeys * v_stride),
        .row = take(kMaxTransposed * std::max(a.dim, a.dim_v)),
        .bf16 = reinterpret_cast<char*>(take(kernel.few_bf16 ? FewBf16::kScratchBytes / 4 : 0)),
        .k_rows = take_rows(),
        .v_rows = take_rows(),
        .k_stride = k_stride,
        .v_stride = v_stride,
        .q_stride = q_stride,
        .out_stride = out_stride,
    };
    if (scratch) *scratch = laid;
    return used;
}

Workspace plan_workspace(const Attention& a, const Kernel& kernel, std::uint32_t workers, std::uint64_t limit_bytes) {
    const std::int64_t most = kernel.item_rows(a), all_rows = std::max<std::int64_t>(a.group() * std::min(a.max_seq_q, most), 1);
    std::int64_t rows = std::min(most, round_up(all_rows, kernel.panel_rows));
    bool splits = true;
    for (;;) {
        const Workspace space = workspace_of(a, kernel, workers, rows, splits);
        if (static_cast<std::uint64_t>(space.bytes) <= limit_bytes) return space;
        if (rows > kernel.panel_rows)
            rows = std::max(kernel.panel_rows, round_up(rows / 2, kernel.panel_rows));
        else if (splits)
            splits = false;
        else if (workers > 1)
            workers = (workers + 1) / 2;
        else
            return space;
    }
}

std::string schedule(const Attention& a, const Pointers& p, const Kernel& kernel, const Workspace& space, std::int64_t live_batch, char* memory,
                     Schedule* out) {
    Sequence* sequences = reinterpret_cast<Sequence*>(memory);
    *out = {.sequences = sequences, .count = live_batch > 0 ? std::min(live_batch, a.batch) : a.batch, .workers = space.workers};
    Load load;
    for (std::int64_t b = 0; b < out->count; ++b) {
        if (std::string wrong = measure_sequence(a, p, b, &sequences[b]); !wrong.empty()) return wrong;
        const kernels::Extent reach = reach_of(a, sequences[b]);
        if (a.paged) {
            if (std::string wrong = check_pages(a, p, b, reach); !wrong.empty()) return wrong;
        }
        add_load(a, sequences[b], reach, &load);
    }
    if (!worth_waking(kernel, load)) out->workers = 1;
    choose_rows(a, space, kernel.split_rows, sequences, out);
    choose_splits(a, space, load, kernel.split_rows, sequences, out);
    number_items(a, sequences, out);
    char* next = memory + sequence_bytes(a);
    out->partials = reinterpret_cast<float*>(next);
    out->slot_floats = space.slot_floats;
    out->slices = next + space.split_slots * space.slot_floats * 4;
    out->slice_bytes = space.slice_bytes;
    return {};
}

Placed place(const Attention& a, const Schedule& schedule, std::int64_t index, bool merging) {
    const auto first_of = [&](const Sequence& s) { return merging ? s.first_whole_item : s.first_item; };
    // The last sequence that starts at or before the index: empty ones share their start with the next.
    const Sequence* found = std::upper_bound(schedule.sequences, schedule.sequences + schedule.count, index,
                                             [&](std::int64_t i, const Sequence& s) { return i < first_of(s); }) -
                            1;
    const Sequence& s = *found;
    std::int64_t rest = index - first_of(s);
    const std::int64_t split = merging ? 0 : rest % s.splits;
    if (!merging) rest /= s.splits;
    // A causal sequence's last rows attend to the most keys: theirs come first, of all heads, so that workers end together.
    const std::int64_t whole = rest, heads = a.head_kv * s.head_chunks;
    const std::int64_t row_block = a.causal ? s.row_blocks - 1 - rest / heads : rest % s.row_blocks;
    const std::int64_t head_chunk = a.causal ? rest % heads : rest / s.row_blocks;
    const std::int64_t kv_head = head_chunk / s.head_chunks, first_head = head_chunk % s.head_chunks * s.heads_per_item;

    Item item{.batch = found - schedule.sequences, .kv_head = kv_head, .head_first = kv_head * a.group() + first_head};
    item.heads = std::min(s.heads_per_item, a.group() - first_head);
    item.row_first = row_block * s.rows_per_item;
    item.rows = std::min(s.rows_per_item, s.len_q - item.row_first);
    item.keys = rule_of(a, s).any_of_rows(item.row_first, item.row_first + item.rows, s.len_kv);
    item.slot = -1;
    if (s.splits > 1) {
        item.slot = s.first_item + whole * s.splits + split;
        if (!merging) {
            const std::int64_t first = item.keys.first + split * schedule.split_keys;
            item.keys = {first, std::min(item.keys.end, first + schedule.split_keys)};
        }
    }
    return {found, item};
}

}  // namespace rocforge::cpu
