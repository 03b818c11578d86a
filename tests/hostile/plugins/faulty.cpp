// One sound backend, "sound", and one for each fault that `rocforge verify` must find, each named after it: attention by the textbook in float32,
// slow and plain, with that one thing wrong. Which case finds it stands in tests/hostile/verify.cpp.
#include <rocforge/plugin.hpp>

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

#include "conformance/oracle.h"
#include "conformance/storage.h"

namespace {

using namespace rocforge::conformance;
using rocforge::Failure;

// It would indent every line further:
// clang-format off
#define FAULTS(X) \
    X(sound) X(off_by_one_tail) X(interleaved_heads) X(top_left) X(nan_on_empty_rows) X(nan_through_mask) X(lse_in_log2) X(strides_ignored) \
    X(reads_past_kv_lens) X(writes_past_out) X(racing_plans) X(impure_predicate) X(softcap_dropped) X(f16_accumulation) X(window_off_by_one) \
    X(broadcast_misread) X(dim_v_ignored) X(page_order_ignored) X(sink_forgotten_in_lse) X(differs_from_run_to_run) X(workspace_overrun) \
    X(allocates_in_forward) X(writes_an_input) X(writes_past_a_sequence) X(mute_failure) X(plan_refuses) X(refuses_without_reason) \
    X(another_verdict_without_sink) X(first_reason_alone) X(workspace_limit_ignored) X(old_struct_sizes) X(no_last_algo) X(counters_left) \
    X(crash_in_forward) X(crash_in_supports) X(crash_in_plan) X(crash_in_init) X(crash_at_exit) X(exit_at_exit) X(hang_in_forward) X(hang_in_supports) \
    X(hang_in_init) X(exit_in_forward) X(exit_in_supports) X(abort_in_plan) X(crash_on_dim_72) X(approximate) X(no_device) X(takes_nothing) \
    X(writes_to_descriptor_3) X(writes_beside_the_report) X(promises_nothing) X(only_16_bits) X(lengths_unclamped_in_16_bits) \
    X(wide_table_misread_in_16_bits) X(true_is_one_in_16_bits) X(table_lacks_a_slot) X(table_for_any_id) X(ordinal_minus_one) X(device_of_kind_3) \
    X(names_no_kernel) X(kernel_in_one_buffer) X(unknown_plan_flags) X(layout_is_refused) X(layout_of_another_kind) X(layout_without_pages) \
    X(leaves_a_process) X(interrupts_the_run) X(hang_at_exit) X(prints_without_end) X(speaks_to_the_terminal) X(logs_when_opened)
// clang-format on

enum class Fault {
#define NAME(fault) fault,
    FAULTS(NAME)
#undef NAME
};

std::int64_t round_up(std::int64_t bytes) { return (bytes + 255) / 256 * 256; }

// The workspace: scores and which keys are kept [max_seq_kv], sums [dim_v].
struct Space {
    explicit Space(const rf_problem& p)
        : scores(0), kept(round_up(p.max_seq_kv * 4)), sums(kept + round_up(p.max_seq_kv)), end(sums + round_up(p.v.shape[3] * 4)) {}
    std::int64_t scores, kept, sums, end;
};

[[noreturn]] void hang() {
    for (;;) ::pause();
}
void* (*volatile allocate)(std::size_t) = std::malloc;  // a pair of malloc and free that it saw through, a compiler would drop
void crash() { std::raise(SIGSEGV); }
// Where the child of rocforge verify tells its parent what it finds.
void write_to_descriptor_3(const char* text) { [[maybe_unused]] const ssize_t ignored = ::write(3, text, std::strlen(text)); }

// In a session of its own, where no signal to the group of the one that started it arrives. Its number goes to a file for the test to read.
void leave_a_process() {
    const pid_t left = ::fork();
    if (left == 0) {
        ::setsid();
        hang();
    }
    if (const char* file = std::getenv("ROCFORGE_HOSTILE_LEFT")) std::ofstream(file) << left;
}

// The problem as a faulty backend understands it.
rf_problem misunderstood(Fault fault, rf_problem p) {
    if (fault == Fault::top_left) p.features &= ~RF_F_BOTTOM_RIGHT;
    if (fault == Fault::softcap_dropped) p.features &= ~RF_F_SOFTCAP;
    if (fault == Fault::window_off_by_one && p.window_left > 0) --p.window_left;
    if (fault == Fault::strides_ignored) {
        p.k.stride[2] = p.k.shape[3], p.k.stride[1] = p.k.shape[2] * p.k.stride[2], p.k.stride[0] = p.k.shape[1] * p.k.stride[1];
    }
    if (fault == Fault::wide_table_misread_in_16_bits && p.page_size > 0) p.block_table_stride = (p.max_seq_kv + p.page_size - 1) / p.page_size;
    if (fault == Fault::broadcast_misread && p.mask.stride[0] == 0) p.mask.stride[1] = 0;
    return p;
}

class Row {
public:
    Row(Fault fault, const rf_problem& problem, const rf_args& args, std::int64_t batch, std::int64_t head, std::int64_t row)
        : fault_(fault), p(problem), a(args), b(batch), h(head), i(row), sequence_(sequence_of(p, a, b)) {
        const Space space(p);
        auto* base = static_cast<std::byte*>(a.workspace);
        static float racing[1 << 16];  // a plan that keeps its scratch to itself, and shares it
        scores_ = fault == Fault::racing_plans && p.max_seq_kv <= std::int64_t{1} << 16 ? racing : reinterpret_cast<float*>(base + space.scores);
        kept_ = reinterpret_cast<std::uint8_t*>(base + space.kept), sums_ = reinterpret_cast<float*>(base + space.sums);
        head_kv_ = fault == Fault::interleaved_heads ? h % p.k.shape[1] : h / (p.q.shape[1] / p.k.shape[1]);
        if (fault == Fault::off_by_one_tail && sequence_.len_kv > 1) --sequence_.len_kv;
        if (fault == Fault::lengths_unclamped_in_16_bits && has(RF_F_KV_LENGTHS)) sequence_.len_kv = load_index(p.index_dtype, a.kv_lengths, b);
    }
    void compute() {
        attend();
        if (any_ || has(RF_F_SINK))
            normalise();
        else
            top_ = -INFINITY;
        write();
    }

private:
    bool has(rf_features bit) const { return (p.features & bit) != 0; }
    std::uint8_t byte(std::int64_t row, std::int64_t j) const { return static_cast<const std::uint8_t*>(a.mask)[offset_of(p.mask, b, h, row, j)]; }
    Place place(std::int64_t j) const {
        if (fault_ != Fault::page_order_ignored || !has(RF_F_PAGED_KV)) return place_of_key(p, a, sequence_, b, j);
        return {std::min(b * p.block_table_stride + j / p.page_size, p.k.shape[0] - 1), j % p.page_size};
    }
    float scale_of(const rf_tensor& scale, const void* data, const Place& at, std::int64_t d, std::int64_t dim) const {
        if (!has(RF_F_KV_SCALES) || absent(scale.dtype)) return 1;
        return static_cast<float>(load(scale.dtype, data, offset_of(scale, at.axis0, head_kv_, at.axis2, d / (dim / scale.shape[3]))));
    }
    float score(std::int64_t j) const {
        const Place query = place_of_query(p, sequence_, b, i), key = place(j);
        float s = 0;
        for (std::int64_t d = 0; d < p.q.shape[3]; ++d)
            s += static_cast<float>(load(p.q.dtype, a.q, offset_of(p.q, query.axis0, h, query.axis2, d))) *
                 static_cast<float>(load(p.k.dtype, a.k, offset_of(p.k, key.axis0, head_kv_, key.axis2, d))) *
                 scale_of(p.k_scale, a.k_scale, key, d, p.q.shape[3]);
        s *= p.scale;
        if (has(RF_F_SOFTCAP)) s = p.softcap * std::tanh(s / p.softcap);
        if (has(RF_F_ALIBI)) s -= static_cast<float>(load(kF32, a.alibi_slopes, h)) * static_cast<float>(std::abs(i + sequence_.diagonal - j));
        if (has(RF_F_MASK_ADD)) s += static_cast<float>(load(p.mask.dtype, a.mask, offset_of(p.mask, b, h, i, j)));
        return s;
    }
    void attend() {
        for (std::int64_t j = 0; j < sequence_.len_kv; ++j) {
            kept_[j] = attends(p, a, sequence_, b, h, i, j) && !(fault_ == Fault::true_is_one_in_16_bits && has(RF_F_MASK_BOOL) && byte(i, j) > 1);
            scores_[j] = kept_[j] ? score(j) : -INFINITY;
            if (!kept_[j]) continue;
            any_ = true;
            top_ = std::fmax(top_, scores_[j]);
        }
        if (has(RF_F_SINK)) top_ = std::fmax(top_, static_cast<float>(load(kF32, a.sink, h)));
    }
    void normalise() {
        if (has(RF_F_SINK)) sum_ = std::exp(static_cast<float>(load(kF32, a.sink, h)) - top_);
        for (std::int64_t j = 0; j < sequence_.len_kv; ++j)
            if (kept_[j]) sum_ += std::exp(scores_[j] - top_);
        std::fill_n(sums_, p.v.shape[3], 0.0f);
        const std::int64_t capacity = fault_ == Fault::reads_past_kv_lens && !has(RF_F_PAGED_KV | RF_F_RAGGED_KV) ? p.max_seq_kv : sequence_.len_kv;
        for (std::int64_t j = 0; j < capacity; ++j) {
            const bool kept = j < sequence_.len_kv && kept_[j];
            const bool read = kept || (fault_ == Fault::nan_through_mask && j < sequence_.len_kv) || j >= sequence_.len_kv;
            if (read) accumulate(j, kept ? std::exp(scores_[j] - top_) / sum_ : 0);
        }
    }
    void accumulate(std::int64_t j, float weight) {
        if (has(RF_F_DROPOUT)) weight = dropout_keeps(p, a, b, h, i, j) ? weight / (1 - p.dropout_p) : 0;
        if (weight == 0 && has(RF_F_DROPOUT) && kept_[j]) return;
        const Place at = place(j);
        for (std::int64_t d = 0; d < p.v.shape[3]; ++d) {
            sums_[d] += weight * static_cast<float>(load(p.v.dtype, a.v, offset_of(p.v, at.axis0, head_kv_, at.axis2, d))) *
                        scale_of(p.v_scale, a.v_scale, at, d, p.v.shape[3]);
            if (fault_ == Fault::f16_accumulation) sums_[d] = static_cast<float>(rounded(kF16, sums_[d]));
        }
    }
    void write() const {
        const Place at = place_of_query(p, sequence_, b, i);
        const std::int64_t written = fault_ == Fault::dim_v_ignored ? std::min(p.q.shape[3], p.v.shape[3]) : p.v.shape[3];
        static std::atomic<int> calls{0};
        for (std::int64_t d = 0; d < written; ++d) {
            float value = any_ ? sums_[d] : fault_ == Fault::nan_on_empty_rows ? NAN : 0;
            if (fault_ == Fault::approximate) value *= 1.01f;
            if (fault_ == Fault::differs_from_run_to_run) value += 1e-7f * static_cast<float>(++calls % 7);
            store(p.out.dtype, a.out, offset_of(p.out, at.axis0, h, at.axis2, d), value);
        }
        if (!has(RF_F_LSE)) return;
        const bool sink_alone_missing = fault_ == Fault::sink_forgotten_in_lse && has(RF_F_SINK);
        const float sum = sink_alone_missing ? sum_ - std::exp(static_cast<float>(load(kF32, a.sink, h)) - top_) : sum_;
        const float lse = any_ || has(RF_F_SINK) ? top_ + std::log(sum) : -INFINITY;
        store(kF32, a.lse, offset_of(p.lse, at.axis0, h, at.axis2, 0), fault_ == Fault::lse_in_log2 ? lse * std::log2(std::exp(1.0f)) : lse);
    }

    Fault fault_;
    const rf_problem& p;
    const rf_args& a;
    std::int64_t b, h, i, head_kv_ = 0;
    Sequence sequence_;
    float *scores_ = nullptr, *sums_ = nullptr;
    std::uint8_t* kept_ = nullptr;
    bool any_ = false;
    float top_ = -INFINITY, sum_ = 0;
};

void misbehave(Fault fault, const rf_problem& p, const rf_args& a) {
    switch (fault) {
        case Fault::crash_in_forward:
            return crash();
        case Fault::crash_on_dim_72:
            if (p.q.shape[3] == 72) crash();
            return;
        case Fault::hang_in_forward:
            hang();
        case Fault::exit_in_forward:
            std::exit(7);
        case Fault::writes_to_descriptor_3:
            write_to_descriptor_3(
                "{\"begin\":99999999}\n{\"begin\":\"x\"}\n{\"begin\":-1}\n{\"end\":99999999}\n{\"end\":0}\n{\"backend\":1}\n[]\n\"\n");
            return crash();
        case Fault::writes_beside_the_report:
            return write_to_descriptor_3("a line without an end");
        case Fault::leaves_a_process:
            return leave_a_process();
        case Fault::interrupts_the_run:
            ::kill(::getppid(), SIGINT);
            hang();
        case Fault::prints_without_end:
            for (;;) std::fputs("again\n", stderr);
        case Fault::speaks_to_the_terminal:
            std::fputs("\033[2J\033[31mall is well\n\a", stderr);
            throw Failure(RF_DEVICE, "\033[32m1000 passed\nno, none");
        case Fault::mute_failure:
            throw Failure(RF_DEVICE, "");
        case Fault::allocates_in_forward:
            return std::free(allocate(100));
        case Fault::workspace_overrun:
            static_cast<char*>(a.workspace)[a.workspace_bytes] = 1;
            return;
        case Fault::counters_left:
            *static_cast<char*>(a.zeroed) = 1;
            return;
        case Fault::writes_an_input:
            store(p.k.dtype, const_cast<void*>(a.k), 0, 0.5);
            return;
        case Fault::writes_past_out:
            if (!(p.features & RF_F_RAGGED_Q)) store(p.out.dtype, a.out, p.batch * p.out.stride[0], 1);
            return;
        case Fault::writes_past_a_sequence:
            if (p.features & RF_F_RAGGED_Q)
                store(p.out.dtype, a.out, offset_of(p.out, 0, 0, load_index(p.index_dtype, a.cu_seqlens_q, p.batch), 0), 1);
            return;
        default:
            return;
    }
}

void forward(Fault fault, const rf_problem& told, const rf_args& a) {
    misbehave(fault, told, a);
    const rf_problem p = misunderstood(fault, told);
    for (std::int64_t b = 0; b < p.batch; ++b)
        for (std::int64_t h = 0; h < p.q.shape[1]; ++h)
            for (std::int64_t i = 0, rows = sequence_of(p, a, b).len_q; i < rows; ++i) Row(fault, p, a, b, h, i).compute();
}

bool only_16_bits(Fault fault) {
    return fault == Fault::only_16_bits || fault == Fault::lengths_unclamped_in_16_bits || fault == Fault::wide_table_misread_in_16_bits ||
           fault == Fault::true_is_one_in_16_bits;
}

bool number(rf_dtype type) { return same(type, kF32) || same(type, kF16) || same(type, kBf16); }

void judge(Fault fault, const rf_problem& p, rocforge::Reasons& reasons) {
    if (fault == Fault::promises_nothing && (p.features & RF_F_DETERMINISTIC)) reasons.refuse(RF_R_FEATURE, "features", "deterministic", "none");
    const std::pair<const char*, const rf_tensor*> numbers[] = {
        {"q.dtype", &p.q}, {"k.dtype", &p.k}, {"v.dtype", &p.v}, {"out.dtype", &p.out}, {"k_scale.dtype", &p.k_scale}, {"v_scale.dtype", &p.v_scale}};
    for (const auto& [field, tensor] : numbers) {
        if (number(tensor->dtype) || (tensor->dtype.bits == 0 && tensor != &p.q)) continue;
        reasons.refuse(RF_R_DTYPE, field, "code " + std::to_string(tensor->dtype.code), "f32, f16, bf16");
        if (fault == Fault::first_reason_alone) return;
    }
    if (fault == Fault::layout_is_refused && p.k.shape[2] > 1 && p.k.stride[1] < p.k.stride[2])
        reasons.refuse(RF_R_STRIDE, "k.stride", "tokens before heads", "heads before tokens");
    if (only_16_bits(fault) && (same(p.q.dtype, kF32) || same(p.k.dtype, kF32))) reasons.refuse(RF_R_DTYPE, "q.dtype", "f32", "f16, bf16");
    for (const auto& [scale, dim] : {std::pair{&p.k_scale, p.q.shape[3]}, {&p.v_scale, p.v.shape[3]}})
        if (!absent(scale->dtype) && (scale->shape[3] < 1 || dim % scale->shape[3] != 0))
            reasons.refuse(RF_R_SHAPE, "scale.shape[3]", std::to_string(scale->shape[3]), "a divisor of " + std::to_string(dim));
    if (fault == Fault::takes_nothing) reasons.refuse(RF_R_DISABLED, "q", "anything", "nothing at all");
    if (fault != Fault::workspace_limit_ignored && static_cast<std::uint64_t>(Space(p).end) > p.workspace_limit_bytes)
        reasons.refuse(RF_R_WORKSPACE, "workspace_limit_bytes", std::to_string(p.workspace_limit_bytes), std::to_string(Space(p).end));
}

// A device's memory that is the host's.
rf_code allocate_memory(rf_backend*, const rf_device*, std::uint64_t bytes, void** out, rf_error*) {
    *out = std::aligned_alloc(256, static_cast<std::size_t>((bytes + 255) / 256 * 256));
    return *out ? RF_OK : RF_NO_MEMORY;
}
void release_memory(rf_backend*, const rf_device*, void* memory) { std::free(memory); }
rf_code copy_memory(rf_backend*, const rf_device*, void* to, const void* from, std::uint64_t bytes, void*, rf_error*) {
    std::memcpy(to, from, static_cast<std::size_t>(bytes));
    return RF_OK;
}
rf_code make_stream(rf_backend*, const rf_device*, void** out, rf_error*) {
    static int stream;
    *out = &stream;
    return RF_OK;
}
void destroy_stream(rf_backend*, const rf_device*, void*) {}
rf_code wait_for_stream(rf_backend*, const rf_device*, void*, rf_error*) { return RF_OK; }
constexpr rf_memory_api kMemory{sizeof(rf_memory_api), 0,           allocate_memory, release_memory, copy_memory,
                                copy_memory,           make_stream, destroy_stream,  wait_for_stream};
constexpr rf_memory_api kMemoryWithoutSlot{sizeof(rf_memory_api), 0,           allocate_memory, release_memory, copy_memory,
                                           copy_memory,           make_stream, nullptr,         wait_for_stream};

struct AtExit {
    bool crashes = false, exits = false, hangs = false;
    ~AtExit() {
        if (crashes) crash();
        if (hangs) hang();
        if (exits) _exit(9);
    }
} at_exit;

template <Fault kFault> struct Backend {
    struct Plan {
        rf_problem p;
        void forward(const rf_args& args) const { ::forward(kFault, p, args); }
    };
    explicit Backend(const rf_host_api& host) {
        if (kFault == Fault::logs_when_opened) host.log(host.self, RF_LOG_WARN, "logs_when_opened", "is open");
        if (kFault == Fault::crash_in_init) crash();
        if (kFault == Fault::hang_in_init) hang();
        at_exit.crashes = kFault == Fault::crash_at_exit, at_exit.exits = kFault == Fault::exit_at_exit;
        at_exit.hangs = kFault == Fault::hang_at_exit;
    }
    rf_code device(std::int32_t index, rf_device& out) const {
        if (kFault == Fault::no_device) throw Failure(RF_UNAVAILABLE, "its device is on loan");
        if (index > 0) return RF_NOT_FOUND;
        out.arch = out.name = "any";
        if (kFault == Fault::ordinal_minus_one) out.ordinal = -1;
        return RF_OK;
    }
    const void* extension(const char* id) const {
        const bool memory = std::strcmp(id, "rocforge.memory/1") == 0;
        if (kFault == Fault::table_lacks_a_slot) return memory ? &kMemoryWithoutSlot : nullptr;
        const bool lends = (kFault == Fault::device_of_kind_3 && memory) || kFault == Fault::table_for_any_id;
        return lends ? &kMemory : nullptr;
    }
    rf_code describe(std::string_view, rf_device&) const { return RF_NOT_FOUND; }
    void supports(const rf_device&, const rf_problem& p, rocforge::Reasons& reasons) const {
        static std::atomic<int> calls{0};
        if (kFault == Fault::crash_in_supports) crash();
        if (kFault == Fault::hang_in_supports) hang();
        if (kFault == Fault::exit_in_supports) ::_exit(3);
        if (kFault == Fault::impure_predicate && ++calls % 97 == 0) reasons.refuse(RF_R_DISABLED, "q", "tired", "a rest");
        if (kFault == Fault::another_verdict_without_sink && reasons.enough()) return;
        judge(kFault, p, reasons);
    }
    rf_code kv_layout(const rf_device&, const rf_problem& p, std::uint32_t index, rf_kv_layout& out) const {
        if (index > (kFault == Fault::layout_is_refused ? 1 : 0)) return RF_NOT_FOUND;
        for (std::uint8_t axis = 0; axis < 4; ++axis) out.order[axis] = axis;
        if (index == 1) std::swap(out.order[1], out.order[2]);
        out.kind = RF_KV_CONTIGUOUS;
        if (kFault == Fault::layout_of_another_kind || !(p.features & RF_F_PAGED_KV)) return RF_OK;
        out.kind = RF_KV_PAGED, out.page_min = 1, out.page_max = 1024, out.page_multiple = kFault == Fault::layout_without_pages ? 2048 : 1;
        return RF_OK;
    }
    std::unique_ptr<Plan> plan(const rf_device&, const rf_problem& p, std::uint32_t algo, rf_plan_info& info) const {
        if (kFault == Fault::crash_in_plan) crash();
        if (kFault == Fault::abort_in_plan) std::abort();
        if (kFault == Fault::plan_refuses && p.q.shape[3] > 64) throw Failure(RF_UNSUPPORTED, "on second thoughts, no");
        if (algo > 0 && kFault != Fault::no_last_algo) throw Failure(RF_NOT_FOUND, "there is one algorithm");
        info.kernel = kFault == Fault::names_no_kernel ? nullptr : "textbook";
        static char buffer[32];
        if (kFault == Fault::kernel_in_one_buffer) info.kernel = std::strcpy(buffer, std::to_string(p.max_seq_kv).c_str());
        info.flags = kFault == Fault::promises_nothing ? 0 : kFault == Fault::unknown_plan_flags ? 1u << 17 : RF_P_DETERMINISTIC;
        info.workspace_bytes = static_cast<std::uint64_t>(Space(p).end);
        info.zeroed_bytes = kFault == Fault::counters_left ? 4 : 0;
        return std::make_unique<Plan>(Plan{p});
    }
};

template <Fault kFault> rf_code supports(rf_backend* self, const rf_device* device, const rf_problem* problem, const rf_sink* sink) {
    if (kFault == Fault::old_struct_sizes && problem->struct_size != sizeof(rf_problem)) return RF_INVALID;
    if (kFault == Fault::another_verdict_without_sink && !sink) return RF_OK;
    if (kFault == Fault::refuses_without_reason) sink = nullptr;
    return rocforge::detail::supports<Backend<kFault>>(self, device, problem, sink);
}

template <Fault kFault> rf_backend_api made(const char* name) {
    rf_backend_api api = rocforge::backend_table<Backend<kFault>>(
        {.name = name,
         .version = "1.0.0",
         .vendor = "tests/hostile",
         .features = kFault == Fault::promises_nothing ? RF_F_ALL & ~RF_F_DETERMINISTIC
                                                       : RF_F_ALL,  // no plugin but one that is built with its host declares that
         .device_kind = kFault == Fault::device_of_kind_3 ? 3 : RF_DEVICE_CPU,
         .flags = kFault == Fault::approximate ? RF_B_APPROXIMATE : 0});
    api.supports = supports<kFault>;
    return api;
}

#define TABLE(fault) const rf_backend_api fault##_table = made<Fault::fault>(#fault);
FAULTS(TABLE)

}  // namespace

extern "C" rf_code rocforge_plugin_v1(const rf_host_api* host, rf_error*) {
    host->log(host->self, RF_LOG_DEBUG, "faulty", "registers");
#define REGISTER(fault) \
    if (const rf_code code = host->register_backend(host->self, &fault##_table); code != RF_OK) return code;
    FAULTS(REGISTER)
    return RF_OK;
}
