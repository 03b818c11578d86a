// rocforge run: attention on the tensors of a safetensors file. The output appears complete or not at all, and is known to be writable before
// anything is computed. On a device that has its own memory the tensors are staged there and back.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <vector>

#include "attention_input.hpp"
#include "flags.hpp"
#include "forward.hpp"
#include "output_file.hpp"
#include "safetensors.hpp"
#include "terminal.hpp"

namespace rocforge::cli {
namespace {

struct RunFlags {
    CommonFlags common;
    Rules rules;
    std::string in, out, backend, device;
    Layout layout = Layout::kBhsd;
    std::optional<rf_dtype> dtype;
    std::uint64_t seed = 0, offset = 0;
    bool json = false;
};

constexpr const char* kRunHelp =
    R"(Tensors read, where present: q, k, v (needed); mask (BOOL or float, rank <= 4, broadcast); kv_lens; alibi_slopes; sink;
cu_seqlens_q, cu_seqlens_kv (ragged: all tokens in one row); block_table (paged: k, v are pages).
Tensors written: out, and with --lse lse. Rows past a sequence's end are 0 in both.

Examples:
  rocforge run in.safetensors out.safetensors
  rocforge run in.safetensors out.safetensors --causal top-left --dtype bf16 --lse
  rocforge run in.safetensors out.safetensors --backend cpu --layout bshd --json
  rocforge run in.safetensors out.safetensors --device cuda:0

Exit status: 0 done, 2 bad usage or input, 3 no backend supports the problem, 4 the backend failed or is unavailable, 5 file error)";

void write_result(const AttentionInput& input, OutputFile& file) {
    const std::string dtype = safetensors_name(input.problem.out.dtype);
    std::vector<safetensors::Output> tensors{{"out", dtype, input.out_shape, input.out.span()}};
    if (input.problem.features & RF_F_LSE) tensors.push_back({"lse", "F32", input.lse_shape, input.lse.span()});
    // By element size, largest first: every tensor is aligned to its elements then, as readers that map the file like it.
    std::stable_sort(tensors.begin(), tensors.end(),
                     [](const auto& a, const auto& b) { return safetensors::element_bytes(a.dtype) > safetensors::element_bytes(b.dtype); });
    const std::string header = safetensors::encode_header(tensors);
    file.write(std::as_bytes(std::span(header)));
    for (const safetensors::Output& tensor : tensors) file.write(tensor.data);
    file.commit();
}

// How the file's shapes were read, so that a transposed file is seen: "batch 1, 64 query heads over 8, ...".
std::string problem_text(const rf_problem& problem, Layout layout) {
    const auto extents = [](const rf_tensor& tensor) { return std::pair(tensor.shape[1], tensor.shape[3]); };
    const auto [head_q, dim] = extents(problem.q);
    const auto [head_kv, dim_v] = extents(problem.v);
    const bool varied = (problem.features & kIndexFeatures) != 0;
    return fmt::format("batch {}, {} query heads, {} kv heads, {}{} x {} tokens, dim {}{}, {}{}", problem.batch, head_q, head_kv,
                       varied ? "up to " : "", problem.max_seq_q, problem.max_seq_kv, dim, dim_v == dim ? "" : fmt::format(" (v: {})", dim_v),
                       layout_name(layout), problem.features & RF_F_PAGED_KV ? fmt::format(", pages of {}", problem.page_size) : "");
}

// What stands on the terminal while forward runs, and is gone when it has ended, however it ended.
class Waiting {
public:
    Waiting(bool wanted, const Verdict& verdict, const Forward& forward, const rf_problem& problem) : terminal_(stderr), wanted_(wanted) {
        constexpr double kLong = 1e10;  // from tenths of a second to seconds on a CPU
        const double flops = flops_of(problem);
        const std::string work = flops > kLong ? fmt::format(" about {:.0f} GFLOP", flops / 1e9) : "";
        if (wanted_) terminal_.progress(fmt::format("{}, kernel {}: computing{} ...", verdict.backend, forward.kernel(), work));
    }
    ~Waiting() {
        if (wanted_) terminal_.progress("");
    }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;

private:
    Terminal terminal_;
    bool wanted_;
};

void print_people(const Terminal& terminal, const RunFlags& flags, const AttentionInput& input, const Verdict& verdict, const rf_device& device,
                  const Forward& forward, double forward_us) {
    terminal.line(fmt::format("{} ran on {}{}, kernel {}", terminal.paint(Colour::kBold, verdict.backend), device_name(device),
                              device.name && *device.name ? fmt::format(" ({})", device.name) : "", forward.kernel()));
    terminal.line(
        fmt::format("chosen by {}{}", verdict.why, verdict.fell_back ? "; a named choice refused and select.fallback let the order decide" : ""));
    if (verdict.chosen_was_dropped_in()) {
        terminal.line("it is a dropped-in backend: '*' in select.order puts it where it stands; name it, or name others before '*', to change that");
    }
    terminal.lines(refusal_lines(terminal, verdict.candidates));
    terminal.line("read as " + problem_text(input.problem, flags.layout));
    if (!input.narrowed.empty()) {
        const bool one = input.narrowed.size() == 1;
        terminal.line(fmt::format("{} {} F64 and {} cast to F32", fmt::join(input.narrowed, ", "), one ? "is" : "are", one ? "was" : "were"));
    }
    terminal.line(fmt::format("plan {}, forward {}", human_us(forward.plan_us()), human_us(forward_us)));
    if (!input.unused.empty()) terminal.line(fmt::format("not read: {}", fmt::join(input.unused, ", ")));
    const bool diagonal = (input.problem.features & (RF_F_CAUSAL | RF_F_WINDOW | RF_F_ALIBI)) != 0;
    if (flags.rules.align && !diagonal) terminal.line("--align has no effect: there is no causal rule, window or ALiBi");
    terminal.line(fmt::format("wrote {}: out {} [{}]{}", flags.out, safetensors_name(input.problem.out.dtype), fmt::join(input.out_shape, ", "),
                              flags.rules.lse ? fmt::format(", lse F32 [{}]", fmt::join(input.lse_shape, ", ")) : ""));
}

// Runs in the memory of `device`, or (nullptr) the host's; the results are in `input` then.
double compute(const RunFlags& flags, const AttentionInput& input, const Verdict& verdict, const Forward& forward, const Device* device) {
    const Waiting waiting(!flags.json, verdict, forward, input.problem);
    if (!device) return forward(input.args);
    std::vector<const Buffer*> buffers{&input.out, &input.lse};
    for (const Buffer& each : input.buffers) buffers.push_back(&each);
    const Staged staged(*device, input.args, buffers);
    const double us = forward(staged.args());
    staged.fetch(input.out);
    staged.fetch(input.lse);
    return us;
}

Status run(const RunFlags& flags) {
    const Context context = open_context(flags.common);
    const safetensors::Reader reader(flags.in);
    OutputFile file(flags.out);
    AttentionInput input = read_attention(reader, flags.rules, flags.layout, flags.dtype);
    const Terminal warnings(stderr);
    for (const std::string& text : input.mistyped) warnings.line(fmt::format("{} {}", warnings.paint(Colour::kYellow, "warning:"), text));
    input.args.dropout_seed = flags.seed;
    input.args.dropout_offset = flags.offset;

    const rf_device device = find_device(context.get(), flags.device, flags.backend);
    const Verdict verdict = select(context.get(), device, input.problem, flags.backend);
    if (verdict.backend.empty()) throw refused(verdict);
    demand_present(device);
    const std::unique_ptr<Device> memory = device_memory(context.get(), device, verdict.backend);
    const Forward forward(verdict, memory.get());
    const double forward_us = compute(flags, input, verdict, forward, memory.get());
    write_result(input, file);

    const rf_device own = device_as_named_by(context.get(), verdict, device);
    print_people(Terminal::for_people(flags.json), flags, input, verdict, own, forward, forward_us);
    if (flags.json) {
        print_json({{"backend", verdict.backend},
                    {"device", device_name(device)},
                    {"kernel", forward.kernel()},
                    {"plan_us", forward.plan_us()},
                    {"forward_us", forward_us}});
    }
    return Status::kDone;
}

}  // namespace

Command add_run(CLI::App& app) {
    CLI::App* command = app.add_subcommand("run", "Run attention on the tensors of a safetensors file");
    auto flags = std::make_shared<RunFlags>();
    command->footer(kRunHelp);
    command->add_option("IN", flags->in, "Input safetensors file")->required()->type_name("");
    command->add_option("OUT", flags->out, "Output safetensors file; may be IN")->required()->type_name("");
    command->add_option("--backend", flags->backend, "Run on this backend; an error with every reason when it refuses")->type_name("NAME");
    command->add_option("--device", flags->device, "cpu, rocm:0, cuda:0; unset: the backend's first device")->type_name("DEVICE");
    add_value(*command, "--layout", flags->layout, parse_layout, "LAYOUT",
              "Axes of q, k, v and out: bhsd or bshd, default: bhsd; mask and lse stay bhsd");
    add_value(*command, "--dtype", flags->dtype, parse_dtype, "DTYPE", "Cast q, k and v before the call: f32, f16 or bf16; out is written so");
    add_rules(*command, flags->rules);
    add_value(*command, "--seed", flags->seed, parse_unsigned, "N", "Dropout's Philox seed")->needs("--dropout");
    add_value(*command, "--offset", flags->offset, parse_unsigned, "N", "Dropout's Philox offset")->needs("--dropout");
    command->add_flag("--json", flags->json, "One object {backend, device, kernel, plan_us, forward_us} on stdout");
    add_common(*command, flags->common);
    return {command, [flags] { return run(*flags); }};
}

}  // namespace rocforge::cli
