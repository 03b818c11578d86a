#include "attention_input.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>
#include <utility>

#include "convert.hpp"
#include "status.hpp"
#include "text/text.hpp"

namespace rocforge::cli {
namespace {

using safetensors::Entry;
using Integers = std::optional<std::vector<std::int64_t>>;

constexpr std::array<const char*, 10> kKnown{"q",          "k", "v", "mask", "kv_lens", "alibi_slopes", "sink", "cu_seqlens_q", "cu_seqlens_kv",
                                             "block_table"};

template <class... Args> [[noreturn]] void reject(fmt::format_string<Args...> text, Args&&... args) {
    throw Quit(Status::kUsage, fmt::format(text, std::forward<Args>(args)...));
}

std::string shape_text(const Entry& entry) { return fmt::format("{} [{}]", entry.name, fmt::join(entry.shape, ", ")); }

std::string in_lower_case(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text;
}

// q, k or v with its axes named, whatever the file's order of them.
struct View {
    const Entry* entry = nullptr;
    std::int64_t batch = 0, head = 0, seq = 0, dim = 0;
};

// Builds the input step by step; each step reads what those before it found.
class Builder {
public:
    Builder(const safetensors::Reader& reader, const Rules& rules, Layout layout, std::optional<rf_dtype> dtype)
        : reader_(reader), rules_(rules), layout_(layout), dtype_(dtype) {}

    AttentionInput build() {
        rocforge_problem_init(&in_.problem);
        in_.args.struct_size = sizeof in_.args;
        list_unused();
        read_indices();
        view_tensors();
        check_shapes();
        set_lengths();
        set_pages();
        demand_room();
        load_tensors();
        load_indices();
        load_mask();
        load_per_head("alibi_slopes", RF_F_ALIBI, in_.args.alibi_slopes);
        load_per_head("sink", RF_F_SINK, in_.args.sink);
        set_results();
        return std::move(in_);
    }

private:
    const Entry* find(const char* name) const { return reader_.header().find(name); }
    const Entry& require(const char* name) const;
    Integers read_integers(const char* name, const char* axes, std::size_t rank) const;
    std::string axes_of(const char* name, bool flat) const;
    View view(const char* name, bool ragged) const;
    const void* load_floats(const Entry& entry, rf_dtype to, Overflow overflow);
    const void* store_indices(const std::vector<std::int64_t>& values);
    void check_cumulative(const char* name, const std::vector<std::int64_t>& cumulative, std::int64_t tokens, const View& of) const;

    void list_unused();
    void suspect(const std::string& unread);
    void read_indices();
    void view_tensors();
    void check_shapes() const;
    void set_lengths();
    void set_pages();
    void demand_room() const;
    void load_tensors();
    void load_indices();
    void load_mask();
    void load_per_head(const char* name, rf_features feature, const void*& slot);
    void set_results();

    rf_dtype storage(const Entry& entry) const;
    std::int64_t pages_a_row() const { return block_table_entry_->shape[1]; }

    const safetensors::Reader& reader_;
    const Rules& rules_;
    Layout layout_;
    std::optional<rf_dtype> dtype_;
    AttentionInput in_;
    View q_, k_, v_;
    Integers kv_lens_, cu_q_, cu_kv_, block_table_;
    const Entry* block_table_entry_ = nullptr;
};

const Entry& Builder::require(const char* name) const {
    if (const Entry* entry = find(name)) return *entry;
    std::vector<std::string> names;
    for (const Entry& entry : reader_.header().entries) names.push_back(safetensors::quoted_name(entry.name));
    constexpr std::size_t kShown = 12;
    const bool more = names.size() > kShown;
    if (more) names.resize(kShown);
    reject("{}: missing tensor {}: the file has {}{}", reader_.file(), name, names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", ")),
           more ? ", ..." : "");
}

void Builder::list_unused() {
    for (const Entry& entry : reader_.header().entries) {
        if (std::find(kKnown.begin(), kKnown.end(), entry.name) != kKnown.end()) continue;
        in_.unused.push_back(entry.name);
        suspect(entry.name);
    }
}

// A result computed without a mask that the file holds as "Mask" looks like any other. Known names of one letter are near to too much.
void Builder::suspect(const std::string& unread) {
    std::vector<std::string> absent;
    for (const char* known : kKnown) {
        if (std::strlen(known) > 1 && !find(known)) absent.emplace_back(known);
    }
    const std::string hint = did_you_mean(in_lower_case(unread), absent);
    if (!hint.empty()) in_.mistyped.push_back(fmt::format("{} is not read{}", safetensors::quoted_name(unread), hint));
}

Integers Builder::read_integers(const char* name, const char* axes, std::size_t rank) const {
    const Entry* entry = find(name);
    if (!entry) return std::nullopt;
    if (entry->dtype != "I32" && entry->dtype != "I64") reject("{} has dtype {}; it must be I32 or I64", name, entry->dtype);
    if (entry->shape.size() != rank) reject("{} has rank {}; it must have rank {}: {}", shape_text(*entry), entry->shape.size(), rank, axes);
    demand_memory(2 * entry->bytes());
    const Buffer raw(entry->bytes());
    reader_.read(*entry, raw.span());
    if (entry->dtype == "I64") return std::vector<std::int64_t>(raw.as<std::int64_t>().begin(), raw.as<std::int64_t>().end());
    return std::vector<std::int64_t>(raw.as<std::int32_t>().begin(), raw.as<std::int32_t>().end());
}

void Builder::read_indices() {
    kv_lens_ = read_integers("kv_lens", "[batch]", 1);
    cu_q_ = read_integers("cu_seqlens_q", "[batch + 1]", 1);
    cu_kv_ = read_integers("cu_seqlens_kv", "[batch + 1]", 1);
    block_table_ = read_integers("block_table", "[batch, pages a row]", 2);
    block_table_entry_ = find("block_table");
    if (cu_kv_ && kv_lens_) reject("cu_seqlens_kv and kv_lens both give the lengths of k and v; keep one");
    if (cu_kv_ && block_table_) reject("cu_seqlens_kv and block_table both say where k and v lie; keep one");
}

// "[batch, heads, tokens, dim]": how a tensor of that name is read here, whole or (flat) without its batch.
std::string Builder::axes_of(const char* name, bool flat) const {
    const bool paged = block_table_ && *name != 'q';
    const char *batch = flat ? "" : paged ? "pages, " : "batch, ", *tokens = paged ? "page_size" : "tokens";
    const bool heads_inside = layout_ == Layout::kBshd;
    return fmt::format("[{}{}, {}, dim]", batch, heads_inside ? tokens : "heads", heads_inside ? "heads" : tokens);
}

View Builder::view(const char* name, bool ragged) const {
    const Entry& entry = require(name);
    const std::vector<std::int64_t>& shape = entry.shape;
    if (!is_float(entry.dtype)) reject("{} has dtype {}; q, k and v are F32, F16, BF16 or F64", name, entry.dtype);
    const bool flat = ragged && shape.size() == 3;
    if (shape.size() != 4 && !flat)
        reject("{} has rank {}; it must have rank 4: {}{}", shape_text(entry), shape.size(), axes_of(name, false),
               ragged ? ", or, ragged, rank 3: " + axes_of(name, true) : "");
    const std::size_t at = flat ? 0 : 1;
    const bool heads_inside = layout_ == Layout::kBshd;
    const View view{&entry, flat ? 1 : shape[0], shape[at + (heads_inside ? 1 : 0)], shape[at + (heads_inside ? 0 : 1)], shape[at + 2]};
    if (view.head == 0 || view.dim == 0) reject("{} has {} 0; heads and dim must be at least 1", shape_text(entry), view.dim == 0 ? "dim" : "heads");
    if (ragged && view.batch != 1)
        reject("{} has batch {}; with cu_seqlens all tokens lie in one row: batch must be 1", shape_text(entry), view.batch);
    return view;
}

void Builder::view_tensors() {
    require("q");
    require("k");
    require("v");
    q_ = view("q", cu_q_.has_value());
    k_ = view("k", cu_kv_.has_value());
    v_ = view("v", cu_kv_.has_value());
}

void Builder::check_shapes() const {
    const std::string q = shape_text(*q_.entry), k = shape_text(*k_.entry), v = shape_text(*v_.entry);
    if (q_.dim != k_.dim) reject("{} and {} disagree in dim: {} and {}", q, k, q_.dim, k_.dim);
    if (k_.head != v_.head) reject("{} and {} disagree in heads: {} and {}", k, v, k_.head, v_.head);
    if (k_.seq != v_.seq) reject("{} and {} disagree in {}: {} and {}", k, v, block_table_ ? "page_size" : "length", k_.seq, v_.seq);
    if (k_.batch != v_.batch) reject("{} and {} disagree in {}: {} and {}", k, v, block_table_ ? "pages" : "batch", k_.batch, v_.batch);
    if (q_.head % k_.head != 0) reject("{} and {}: {} query heads are no multiple of {} key heads", q, k, q_.head, k_.head);
    if (cu_q_ && cu_q_->empty()) reject("cu_seqlens_q [0] is empty; it holds batch + 1 offsets");
    if (cu_kv_ && cu_kv_->empty()) reject("cu_seqlens_kv [0] is empty; it holds batch + 1 offsets");
    const std::int64_t batch = cu_q_ ? static_cast<std::int64_t>(cu_q_->size()) - 1 : q_.batch;
    const std::string from = cu_q_ ? fmt::format("cu_seqlens_q [{}]", cu_q_->size()) : q;
    const auto check = [&](const std::string& tensor, std::int64_t has) {
        if (has != batch) reject("{} and {} disagree in batch: {} and {}", from, tensor, batch, has);
    };
    if (!cu_kv_ && !block_table_) check(k, k_.batch);
    if (cu_kv_) check(fmt::format("cu_seqlens_kv [{}]", cu_kv_->size()), static_cast<std::int64_t>(cu_kv_->size()) - 1);
    if (kv_lens_) check(fmt::format("kv_lens [{}]", kv_lens_->size()), static_cast<std::int64_t>(kv_lens_->size()));
    if (block_table_) check(shape_text(*block_table_entry_), block_table_entry_->shape[0]);
}

void Builder::check_cumulative(const char* name, const std::vector<std::int64_t>& cumulative, std::int64_t tokens, const View& of) const {
    if (cumulative.front() != 0) reject("{}[0] is {}; it must be 0", name, cumulative.front());
    for (std::size_t i = 1; i < cumulative.size(); ++i) {
        if (cumulative[i] < cumulative[i - 1])
            reject("{}[{}] is {}, below {} before it; offsets must ascend", name, i, cumulative[i], cumulative[i - 1]);
    }
    if (cumulative.back() > tokens) {
        reject("{}[{}] is {}, past the {} tokens of {}", name, cumulative.size() - 1, cumulative.back(), tokens, shape_text(*of.entry));
    }
}

std::int64_t longest(const std::vector<std::int64_t>& cumulative) {
    std::int64_t most = 0;
    for (std::size_t i = 1; i < cumulative.size(); ++i) most = std::max(most, cumulative[i] - cumulative[i - 1]);
    return most;
}

void Builder::set_lengths() {
    rf_problem& problem = in_.problem;
    problem.batch = q_.batch;
    problem.max_seq_q = q_.seq;
    problem.max_seq_kv = k_.seq;
    if (cu_q_) {
        check_cumulative("cu_seqlens_q", *cu_q_, q_.seq, q_);
        problem.features |= RF_F_RAGGED_Q;
        problem.batch = static_cast<std::int64_t>(cu_q_->size()) - 1;
        problem.max_seq_q = longest(*cu_q_);
    }
    if (cu_kv_) {
        check_cumulative("cu_seqlens_kv", *cu_kv_, k_.seq, k_);
        problem.features |= RF_F_RAGGED_KV;
        problem.max_seq_kv = longest(*cu_kv_);
    }
    if (block_table_) problem.max_seq_kv = multiply(pages_a_row(), k_.seq, "pages x page_size");
    // A paged problem always has lengths in the ABI; without them in the file all pages count, as all keys do elsewhere.
    if (block_table_ && !kv_lens_) kv_lens_ = std::vector<std::int64_t>(static_cast<std::size_t>(problem.batch), problem.max_seq_kv);
    if (!kv_lens_) return;
    problem.features |= RF_F_KV_LENGTHS;
    for (std::size_t i = 0; i < kv_lens_->size(); ++i) {
        const std::int64_t length = (*kv_lens_)[i];
        if (length < 0 || length > problem.max_seq_kv) reject("kv_lens[{}] is {}; it must lie in [0, {}]", i, length, problem.max_seq_kv);
    }
}

void Builder::set_pages() {
    if (!block_table_) return;
    if (k_.seq == 0) reject("{} has pages of 0 tokens; a page must hold at least 1", shape_text(*k_.entry));
    in_.problem.features |= RF_F_PAGED_KV;
    in_.problem.page_size = k_.seq;
    in_.problem.block_table_stride = pages_a_row();
    for (std::size_t row = 0; row < kv_lens_->size(); ++row) {
        const std::int64_t used = divide_up((*kv_lens_)[row], k_.seq);
        for (std::int64_t column = 0; column < used; ++column) {
            const std::int64_t page = (*block_table_)[row * static_cast<std::size_t>(pages_a_row()) + static_cast<std::size_t>(column)];
            if (page < 0 || page >= k_.batch) {
                reject("block_table[{}, {}] is {}; {} has pages 0 to {}", row, column, page, shape_text(*k_.entry), k_.batch - 1);
            }
        }
    }
}

rf_dtype Builder::storage(const Entry& entry) const {
    if (dtype_) return *dtype_;
    return entry.dtype == "F16" ? kF16 : entry.dtype == "BF16" ? kBF16 : kF32;
}

// Input and output together, before any of it is allocated. dim_v is v's: out may be far larger than all that the file holds.
void Builder::demand_room() const {
    std::uint64_t bytes = 0;
    for (const char* name : {"q", "k", "v", "mask"}) {
        if (const Entry* entry = find(name)) bytes += 3 * entry->bytes();  // as read, and as cast to at most twice its size
    }
    const rf_tensor out = dense_tensor(storage(*q_.entry), q_.batch, q_.head, q_.seq, v_.dim, layout_);
    demand_memory(bytes + static_cast<std::uint64_t>(bytes_of(out)));
}

const void* Builder::load_floats(const Entry& entry, rf_dtype to, Overflow overflow) {
    Buffer raw(entry.bytes());
    reader_.read(entry, raw.span());
    if (safetensors_name(to) != entry.dtype) {
        if (entry.dtype == "F64" && same(to, kF32)) in_.narrowed.push_back(entry.name);
        Buffer cast(static_cast<std::uint64_t>(multiply(entry.elements(), element_bytes(to), entry.name.c_str())));
        convert(entry.dtype, raw.span(), to, cast.span(), overflow);
        raw = std::move(cast);
    }
    in_.buffers.push_back(std::move(raw));
    return in_.buffers.back().data();
}

void Builder::load_tensors() {
    const auto load = [&](const View& view, rf_tensor& tensor, const void*& pointer) {
        const rf_dtype stored = storage(*view.entry);
        tensor = dense_tensor(stored, view.batch, view.head, view.seq, view.dim, layout_);
        pointer = load_floats(*view.entry, stored, Overflow::kInfinity);
    };
    load(q_, in_.problem.q, in_.args.q);
    load(k_, in_.problem.k, in_.args.k);
    load(v_, in_.problem.v, in_.args.v);
}

const void* Builder::store_indices(const std::vector<std::int64_t>& values) {
    const bool wide = same(in_.problem.index_dtype, kI64);
    Buffer buffer(values.size() * (wide ? sizeof(std::int64_t) : sizeof(std::int32_t)));
    if (wide)
        std::copy(values.begin(), values.end(), buffer.as<std::int64_t>().begin());
    else
        std::transform(values.begin(), values.end(), buffer.as<std::int32_t>().begin(), [](std::int64_t v) { return static_cast<std::int32_t>(v); });
    in_.buffers.push_back(std::move(buffer));
    return in_.buffers.back().data();
}

// Arrays of I64 become I32 where all values fit, which every backend takes; the ABI has one index type for all of them.
void Builder::load_indices() {
    const std::array<std::pair<const Integers*, const void**>, 4> arrays{{{&kv_lens_, &in_.args.kv_lengths},
                                                                          {&cu_q_, &in_.args.cu_seqlens_q},
                                                                          {&cu_kv_, &in_.args.cu_seqlens_kv},
                                                                          {&block_table_, &in_.args.block_table}}};
    if (!(in_.problem.features & kIndexFeatures)) return;
    const auto narrow = [](const Integers& values) {
        return !values || std::all_of(values->begin(), values->end(), [](std::int64_t v) { return v >= INT32_MIN && v <= INT32_MAX; });
    };
    const bool all_narrow = std::all_of(arrays.begin(), arrays.end(), [&](const auto& array) { return narrow(*array.first); });
    in_.problem.index_dtype = all_narrow ? kI32 : kI64;
    for (const auto& [values, pointer] : arrays) {
        if (*values) *pointer = store_indices(**values);
    }
}

void Builder::load_mask() {
    const Entry* entry = find("mask");
    if (!entry) return;
    const bool boolean = entry->dtype == "BOOL";
    if (!boolean && !is_float(entry->dtype)) reject("mask has dtype {}; it must be BOOL, F32, F16, BF16 or F64", entry->dtype);
    if (entry->shape.size() > 4) reject("{} has rank {}; a mask has at most 4 axes", shape_text(*entry), entry->shape.size());
    std::array<std::int64_t, 4> shape{1, 1, 1, 1};
    std::copy(entry->shape.rbegin(), entry->shape.rend(), shape.rbegin());
    const std::array<std::int64_t, 4> full{in_.problem.batch, q_.head, in_.problem.max_seq_q, in_.problem.max_seq_kv};
    for (std::size_t axis = 0; axis < shape.size(); ++axis) {
        if (shape[axis] != 1 && shape[axis] != full[axis]) {
            reject("{} does not broadcast to [batch, head_q, seq_q, seq_kv] = [{}]", shape_text(*entry), fmt::join(full, ", "));
        }
    }
    const rf_dtype stored = boolean ? kBool : entry->dtype == "F16" ? kF16 : entry->dtype == "BF16" ? kBF16 : kF32;
    in_.problem.features |= boolean ? RF_F_MASK_BOOL : RF_F_MASK_ADD;
    in_.problem.mask = dense_tensor(stored, shape[0], shape[1], shape[2], shape[3], Layout::kBhsd);
    if (!boolean) {
        in_.args.mask = load_floats(*entry, stored, Overflow::kLargest);
        return;
    }
    in_.buffers.emplace_back(entry->bytes());
    reader_.read(*entry, in_.buffers.back().span());
    in_.args.mask = in_.buffers.back().data();
}

void Builder::load_per_head(const char* name, rf_features feature, const void*& slot) {
    const Entry* entry = find(name);
    if (!entry) return;
    if (!is_float(entry->dtype)) reject("{} has dtype {}; it must be F32", name, entry->dtype);
    if (entry->shape != std::vector<std::int64_t>{q_.head}) reject("{} must be [{}], one value a query head", shape_text(*entry), q_.head);
    in_.problem.features |= feature;
    slot = load_floats(*entry, kF32, Overflow::kInfinity);
}

void Builder::set_results() {
    rf_problem& problem = in_.problem;
    problem.out = dense_tensor(problem.q.dtype, q_.batch, q_.head, q_.seq, v_.dim, layout_);
    in_.out = Buffer(static_cast<std::uint64_t>(bytes_of(problem.out)));
    in_.args.out = in_.out.data();
    in_.out_shape = q_.entry->shape;
    in_.out_shape.back() = v_.dim;
    apply_rules(rules_, problem);
    if (!rules_.lse) return;
    in_.lse = Buffer(static_cast<std::uint64_t>(bytes_of(problem.lse)));
    in_.args.lse = in_.lse.data();
    in_.lse_shape = {q_.head, q_.seq};
    if (q_.entry->shape.size() == 4) in_.lse_shape.insert(in_.lse_shape.begin(), q_.batch);
}

}  // namespace

AttentionInput read_attention(const safetensors::Reader& reader, const Rules& rules, Layout layout, std::optional<rf_dtype> dtype) {
    return Builder(reader, rules, layout, dtype).build();
}

}  // namespace rocforge::cli
