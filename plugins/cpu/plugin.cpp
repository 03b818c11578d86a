// The cpu backend: its options, devices, limits, plan and forward, on any machine that Highway knows. Forward's threads come from the host's
// parallel_for alone, its memory from the workspace. Which kernel runs, isa.h says; plugins/adapter turns problems and arguments into attention.h's.
#include <rocforge/plugin.hpp>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/adapter/attention.h"
#include "plugins/adapter/limits.h"
#include "plugins/cpu/attention.h"
#include "plugins/cpu/isa.h"
#include "plugins/cpu/machine.h"

namespace rocforge::cpu {
namespace {

constexpr const char* kName = "cpu";

constexpr std::int64_t kMaxDim = 1024;                            // bounds a worker's scratch: 384 rows of q and out in f32, 3 MiB
constexpr std::int64_t kMaxLength = (std::int64_t{1} << 31) - 1;  // Philox counts rows and keys in 32 bits

constexpr adapter::Limits kLimits{.types = adapter::kFloats,
                                  .max_dim = kMaxDim,
                                  .max_dim_v = kMaxDim,
                                  .dim_multiple = 1,
                                  .max_batch = kMaxLength,
                                  .max_heads = kMaxLength,
                                  .max_seq = kMaxLength,
                                  .max_page = kMaxLength};

// decode: every item takes the path of few rows. ragged: each call's lengths decide, sequence by sequence. prefill: the largest items take the path
// of many rows; what is left over at a sequence's end may be few.
std::string kernel_name(const Attention& a, const Kernel& kernel) {
    const char* types[] = {"", "f32", "f16", "bf16", ""};
    const bool few = all_few(a, kernel.few_rows);
    return std::string(few ? "decode_" : a.ragged_q ? "ragged_" : "prefill_") + types[static_cast<int>(a.k.type)] + " " + kernel.isa;
}

class Plan {
public:
    Plan(const rf_host_api& host, const Kernel& kernel, const Attention& attention, const Workspace& space)
        : host_(host), kernel_(kernel), attention_(attention), space_(space), name_(kernel_name(attention, kernel)) {}

    const char* name() const { return name_.c_str(); }

    void forward(const rf_args& args) const {
        if (attention_.batch == 0 || attention_.max_seq_q == 0) return;
        if (!args.workspace || args.workspace_bytes < static_cast<std::uint64_t>(space_.bytes)) {
            throw Failure(RF_INVALID,
                          "cpu: workspace of " + std::to_string(args.workspace_bytes) + " bytes; the plan needs " + std::to_string(space_.bytes));
        }
        Call call{*this, adapter::pointers_of(args, attention_.dropout_p), {}};
        const std::string wrong =
            schedule(attention_, call.pointers, kernel_, space_, args.live_batch, static_cast<char*>(args.workspace), &call.schedule);
        if (!wrong.empty()) throw Failure(RF_INVALID, "cpu: " + wrong);
        spread<&Kernel::attend>(call, call.schedule.items);
        if (call.schedule.split_keys > 0) spread<&Kernel::merge>(call, call.schedule.whole_items);
    }

private:
    struct Call {
        const Plan& plan;
        Pointers pointers;
        Schedule schedule;
    };

    template <auto kStep> static void body(void* arg, std::int64_t begin, std::int64_t end, std::uint32_t worker) {
        const Call& call = *static_cast<const Call*>(arg);
        (call.plan.kernel_.*kStep)(call.plan.kernel_, call.plan.attention_, call.pointers, call.schedule, begin, end,
                                   call.schedule.slices + worker * call.schedule.slice_bytes);
    }

    template <auto kStep> void spread(Call& call, std::int64_t items) const {
        const std::uint32_t workers = static_cast<std::uint32_t>(std::min<std::int64_t>(call.schedule.workers, items));
        if (workers > 1)
            host_.parallel_for(host_.self, items, workers, body<kStep>, &call);
        else if (workers == 1)
            body<kStep>(&call, 0, items, 0);
    }

    const rf_host_api& host_;
    const Kernel kernel_;
    Attention attention_;
    Workspace space_;
    std::string name_;
};

constexpr rf_option kThreads{sizeof(rf_option), 0, "threads", "0..1024", "0", "threads of a call; 0: as many as the host lends"};
constexpr rf_option kIsa{sizeof(rf_option),
                         0,
                         "isa",
                         "auto|amx|avx512_bf16|avx512|avx2|sse4|neon|sve|scalar",
                         "auto",
                         "instruction set; auto: the best of this machine; ROCFORGE_CPU_ISA comes before it"};
constexpr const rf_option* kOptions[] = {&kThreads, &kIsa, nullptr};

constexpr const char* kKnownArchs[] = {"x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4", "aarch64"};

class Backend {
public:
    using Plan = cpu::Plan;

    explicit Backend(const rf_host_api& host)
        : host_(host), machine_(this_machine()), isa_(choose_isa()), workers_(choose_workers(option(kThreads))) {}

    rf_code device(std::int32_t index, rf_device& out) const {
        if (index != 0) return RF_NOT_FOUND;
        out = {.struct_size = out.struct_size,
               .kind = RF_DEVICE_CPU,
               .ordinal = 0,
               .wave_size = static_cast<std::uint32_t>(isa_.general.lanes),
               .compute_units = machine_.cores,
               .lds_bytes = 0,
               .memory_bytes = machine_.memory_bytes,
               .arch = isa_.arch,
               .name = machine_.name.c_str(),
               .runtime = isa_.name};
        return RF_OK;
    }

    rf_code describe(std::string_view arch, rf_device& out) const {
        const auto* known = std::find(std::begin(kKnownArchs), std::end(kKnownArchs), arch);
        if (known == std::end(kKnownArchs)) return RF_NOT_FOUND;
        out = {.struct_size = out.struct_size,
               .kind = RF_DEVICE_CPU,
               .ordinal = -1,
               .wave_size = 0,
               .compute_units = 0,
               .lds_bytes = 0,
               .memory_bytes = 0,
               .arch = *known,
               .name = *known,
               .runtime = ""};
        return RF_OK;
    }

    void supports(const rf_device& device, const rf_problem& problem, Reasons& reasons) const { shape(device, problem, reasons); }

    rf_code kv_layout(const rf_device&, const rf_problem& problem, std::uint32_t index, rf_kv_layout& out) const {
        return adapter::kv_layout(kLimits, problem, index, out);
    }

    std::unique_ptr<Plan> plan(const rf_device& device, const rf_problem& problem, std::uint32_t algo, rf_plan_info& info) const {
        if (algo != 0) throw Failure(RF_NOT_FOUND, "cpu: algo " + std::to_string(algo) + "; there is algo 0 alone");
        if (device.ordinal < 0) throw Failure(RF_UNAVAILABLE, "cpu: a hypothetical device runs nothing; use cpu:0");
        adapter::FirstRefusal refusal;
        const rf_sink sink = refusal.sink();
        Reasons reasons(&sink);
        const std::optional<Shaped> shaped = shape(device, problem, reasons);
        if (!shaped) throw Failure(RF_UNSUPPORTED, "cpu: " + refusal.text);
        auto made = std::make_unique<Plan>(host_, shaped->kernel, shaped->attention, shaped->space);
        info = {.struct_size = info.struct_size,
                .flags = RF_P_DETERMINISTIC,
                .workspace_bytes = static_cast<std::uint64_t>(shaped->space.bytes),
                .zeroed_bytes = 0,
                .estimate_us = -1,
                .kernel = made->name()};
        return made;
    }

private:
    // A problem as it would run, with the best workspace within its limit; nothing where it is refused, for the reasons that are told.
    struct Shaped {
        Attention attention;
        Kernel kernel;
        Workspace space;
    };
    std::optional<Shaped> shape(const rf_device& device, const rf_problem& problem, Reasons& reasons) const {
        if (device.kind != RF_DEVICE_CPU) reasons.refuse(RF_R_DEVICE_KIND, "device.kind", std::to_string(device.kind), "1 (cpu)");
        adapter::check(kLimits, problem, reasons);
        if (reasons.verdict() != RF_OK) return std::nullopt;  // a workspace is counted for problems within the limits alone
        const Attention attention = adapter::attention_of(problem);
        const Kernel kernel = kernel_for(isa_, attention);
        const Workspace space = plan_workspace(attention, kernel, workers_, problem.workspace_limit_bytes);
        if (static_cast<std::uint64_t>(space.bytes) <= problem.workspace_limit_bytes) return Shaped{attention, kernel, space};
        reasons.refuse(RF_R_WORKSPACE, "workspace_limit_bytes", std::to_string(problem.workspace_limit_bytes),
                       "at least " + std::to_string(space.bytes) + " for one worker", "raise the limit");
        return std::nullopt;
    }

    std::string option(const rf_option& declared) const {
        const char* value = host_.option(host_.self, kName, declared.key);
        return value && *value ? value : declared.preset;
    }

    // The one that is asked for, else the best that runs here.
    Isa choose_isa() const {
        const char* forced = secure_getenv("ROCFORGE_CPU_ISA");
        const bool by_environment = forced && *forced;
        const std::string wanted = by_environment ? forced : option(kIsa);
        std::string here, missing = "there is no such instruction set";
        std::vector<Isa> all = isas();
        for (Isa& isa : all) {
            if (isa.missing.empty() && (wanted == "auto" || wanted == isa.name)) isa.missing = claim(isa);
            if (isa.missing.empty() && (wanted == "auto" || wanted == isa.name)) return isa;
            if (isa.missing.empty()) here += (here.empty() ? "" : ", ") + std::string(isa.name);
            if (wanted == isa.name) missing = isa.missing;
            if (wanted == "auto") host_.log(host_.self, RF_LOG_INFO, kName, (std::string(isa.name) + " is passed over: " + isa.missing).c_str());
        }
        throw Failure(RF_INVALID, std::string("cpu: ") + (by_environment ? "ROCFORGE_CPU_ISA" : "option isa") + " is \"" + wanted + "\": " + missing +
                                      "; this machine runs " + here);
    }

    std::uint32_t choose_workers(const std::string& threads) const {
        std::uint32_t value = 0;
        const auto [end, wrong] = std::from_chars(threads.data(), threads.data() + threads.size(), value);
        if (wrong != std::errc() || end != threads.data() + threads.size() || value > 1024) {
            throw Failure(RF_INVALID, "cpu: option threads is \"" + threads + "\"; need 0..1024");
        }
        const std::uint32_t lent = std::max(host_.workers, 1u);
        return value == 0 ? lent : std::min(value, lent);
    }

    const rf_host_api& host_;
    Machine machine_;
    Isa isa_;
    std::uint32_t workers_;
};

constexpr rf_features kFeatures = RF_F_CAUSAL | RF_F_BOTTOM_RIGHT | RF_F_WINDOW | RF_F_GROUPED_HEADS | RF_F_MASK_BOOL | RF_F_MASK_ADD | RF_F_ALIBI |
                                  RF_F_SOFTCAP | RF_F_SINK | RF_F_KV_LENGTHS | RF_F_RAGGED_Q | RF_F_PAGED_KV | RF_F_LSE | RF_F_DIM_V | RF_F_DROPOUT |
                                  RF_F_DETERMINISTIC | RF_F_KV_DTYPE | RF_F_KV_SCALES | RF_F_RAGGED_KV | RF_F_DIAGONAL | RF_F_OUT_DTYPE;

constexpr rf_backend_api kTable = rocforge::backend_table<Backend>(
    {.name = kName, .version = "0.1.0", .vendor = "rocforge", .features = kFeatures, .device_kind = RF_DEVICE_CPU, .options = kOptions});

}  // namespace
}  // namespace rocforge::cpu

extern "C" rf_code rocforge_plugin_v1(const rf_host_api* host, rf_error*) { return host->register_backend(host->self, &rocforge::cpu::kTable); }
