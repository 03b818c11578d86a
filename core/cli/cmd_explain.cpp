// rocforge explain: which backend would run a problem, what named it, and why not the others. Sees geometry alone and computes nothing, so it
// answers for hardware that is not in this machine too.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string_view>

#include "flags.hpp"
#include "matrix.hpp"
#include "problem.hpp"
#include "terminal.hpp"

namespace rocforge::cli {
namespace {

struct ExplainFlags {
    CommonFlags common;
    Rules rules;
    std::optional<std::array<std::int64_t, 4>> q;
    std::optional<std::int64_t> kv_heads, kv_len, dim_v;
    rf_dtype dtype = kF32;
    Extents extents;  // what the flags below set directly
    std::string device, backend;
    bool json = false, matrix = false;
};

constexpr const char* kExplainHelp =
    R"(--ragged packs B sequences of up to S tokens into one row; k and v are packed alike unless --paged or --kv-lens is given.

Examples:
  rocforge explain --q 2x16x512x64
  rocforge explain --q 1x32x1x128 --kv-heads 8 --kv-len 8192 --dtype bf16 --paged 16
  rocforge explain --q 8x32x512x128 --ragged --paged 16 --causal bottom-right --device x86-64-v3 --json
  rocforge explain --q 1x32x1x128 --kv-heads 8 --kv-len 8192 --dtype bf16 --kv-dtype f16 --kv-scales 64
  rocforge explain --matrix

Exit status: 0 a backend would run it, 3 none would (all reasons printed), 2 bad usage, 4 no such device here)";

rf_dtype parse_mask(std::string_view text) {
    if (text == "bool") return kBool;
    if (text == "add") return kF32;
    throw std::invalid_argument(fmt::format("'{}' is none of bool, add", text));
}

rf_problem problem_of_flags(const ExplainFlags& flags) {
    const auto [batch, head_q, seq_q, dim] = *flags.q;
    Extents extents = flags.extents;
    extents.dtype = flags.dtype;
    extents.batch = batch;
    extents.head_q = head_q;
    extents.head_kv = flags.kv_heads.value_or(head_q);
    extents.seq_q = seq_q;
    extents.seq_kv = flags.kv_len.value_or(seq_q);
    extents.dim = dim;
    extents.dim_v = flags.dim_v.value_or(dim);
    return problem_of(extents, flags.rules);
}

void print_people(const Terminal& terminal, const Verdict& verdict, const rf_device& device) {
    const std::string where = fmt::format("{}{}", device_name(device), device.ordinal < 0 ? " (not in this machine)" : "");
    if (verdict.backend.empty()) {
        terminal.line(terminal.paint(Colour::kRed, verdict.why) + (device.ordinal < 0 ? " (not in this machine)" : ""));
    } else {
        terminal.line(fmt::format("{} would run this on {}", terminal.paint(Colour::kGreen, verdict.backend), where));
        terminal.line(
            fmt::format("chosen by {}{}", verdict.why, verdict.fell_back ? "; a named choice refused and select.fallback let the order decide" : ""));
        if (verdict.chosen_was_dropped_in())
            terminal.line("it is a dropped-in backend: nobody named it, '*' in select.order puts it where it stands");
    }
    for (const Candidate& candidate : verdict.candidates) {
        if (!candidate.supported || candidate.name == verdict.backend) continue;
        terminal.line(fmt::format("  {} {} ({}){}", terminal.paint(Colour::kGreen, "can run it:"), candidate.name,
                                  rocforge_kind_name(candidate.device_kind), candidate.dropped_in ? " dropped in" : ""));
    }
    terminal.lines(refusal_lines(terminal, verdict.candidates));
}

// A flag that would change nothing is no flag to give.
void demand_matrix_flags(const CLI::App& command) {
    constexpr std::array<std::string_view, 5> kApply{"--matrix", "--device", "--json", "--config", "--log"};
    for (const CLI::Option* option : command.get_options()) {
        const std::string name = option->get_name();
        if (option->count() == 0 || std::find(kApply.begin(), kApply.end(), name) != kApply.end()) continue;
        throw Quit(
            Status::kUsage,
            fmt::format("{} does not apply to --matrix, which asks about problems of its own; --device does. See rocforge explain --help", name));
    }
}

Status print_matrix(const ExplainFlags& flags) {
    const Context context = open_context(flags.common);
    const std::vector<Support> matrix = support_matrix(context.get(), flags.device);
    if (flags.json)
        print_json(to_json(matrix));
    else
        fmt::print("{}", to_markdown(matrix));
    for (const Support& support : matrix) Terminal(stderr).lines(support.faults);
    return Status::kDone;
}

Status explain(const ExplainFlags& flags) {
    if (flags.matrix) return print_matrix(flags);
    if (!flags.q) throw Quit(Status::kUsage, "--q is required (or --matrix). See rocforge explain --help");
    const rf_problem problem = problem_of_flags(flags);
    const Context context = open_context(flags.common);
    const rf_device device = find_device(context.get(), flags.device, flags.backend);
    const Verdict verdict = select(context.get(), device, problem, flags.backend);
    print_people(Terminal::for_people(flags.json), verdict, device);
    if (flags.json) {
        nlohmann::ordered_json chosen = nullptr;
        if (!verdict.backend.empty()) chosen = verdict.backend;
        print_json({{"chosen", std::move(chosen)}, {"why", verdict.why}, {"backends", to_json(verdict.candidates)}});
    }
    return verdict.backend.empty() ? Status::kUnsupported : Status::kDone;
}

void add_geometry(CLI::App& command, ExplainFlags& flags) {
    add_value(command, "--q", flags.q, parse_shape, "BxHxSxD", "Shape of q: batch, query heads, sequence, dim");
    add_value(command, "--kv-heads", flags.kv_heads, parse_extent, "N", "Heads of k and v; unset: q's");
    add_value(command, "--kv-len", flags.kv_len, parse_extent, "N", "Keys, or with lengths their capacity; unset: q's sequence");
    add_value(command, "--dim-v", flags.dim_v, parse_extent, "N", "Dim of v and out; unset: q's");
    add_value(command, "--dtype", flags.dtype, parse_dtype, "DTYPE", "f32, f16 or bf16; default: f32");
    add_value(command, "--layout", flags.extents.layout, parse_layout, "LAYOUT", "Axes of q, k, v and out in memory, bhsd or bshd; default: bhsd");
    add_value(command, "--mask", flags.extents.mask, parse_mask, "KIND", "bool or add: a full mask [batch, head_q, seq_q, seq_kv]");
    add_value(command, "--kv-dtype", flags.extents.kv_dtype, parse_dtype, "DTYPE", "Of k and v; unset: --dtype");
    add_value(command, "--out-dtype", flags.extents.out_dtype, parse_dtype, "DTYPE", "Of out; unset: --dtype");
    add_value(command, "--kv-scales", flags.extents.scale_group, parse_positive, "N", "Scales of k and v, f32, one for each N elements of dim");
    add_value(command, "--diagonal", flags.extents.diagonal, parse_integer, "N", "Moves the diagonal of causal rule, window and ALiBi N keys right");
    add_value(command, "--paged", flags.extents.page_size, parse_positive, "N", "k and v in pages of N tokens, with lengths");
    command.add_flag("--ragged", flags.extents.ragged, "Sequences packed into one row (cu_seqlens)");
    command.add_flag("--kv-lens", flags.extents.kv_lengths, "A length per sequence of k and v");
    command.add_flag("--alibi", flags.extents.alibi, "ALiBi slopes");
    command.add_flag("--sink", flags.extents.sink, "A sink logit per head");
    command.add_flag("--deterministic", flags.extents.deterministic, "Bitwise equal results from run to run");
}

}  // namespace

Command add_explain(CLI::App& app) {
    CLI::App* const command = app.add_subcommand("explain", "Say which backend would run a problem, and why not the others");
    auto flags = std::make_shared<ExplainFlags>();
    command->footer(kExplainHelp);
    add_geometry(*command, *flags);
    add_rules(*command, flags->rules);
    command->add_option("--device", flags->device, "cpu, rocm:0, or an arch: x86-64-v3, gfx942 once a GPU backend is installed")->type_name("DEVICE");
    command->add_option("--backend", flags->backend, "As a named choice: would this backend run it?")->type_name("NAME");
    command->add_flag("--json", flags->json, "One object {chosen, why, backends} on stdout");
    command->add_flag("--matrix", flags->matrix, "Instead: what each backend runs on --device, or on every known arch, as Markdown or JSON");
    add_common(*command, flags->common);
    return {command, [flags, command] {
                if (flags->matrix) demand_matrix_flags(*command);
                return explain(*flags);
            }};
}

}  // namespace rocforge::cli
