// rocforge bench: times forward on the shapes of a preset, each the median of several runs after a warm-up. Inputs are random; results are not
// checked here. A shape that is refused or does not fit in memory is a row that says so.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <vector>

#include "bench_case.hpp"
#include "flags.hpp"
#include "forward.hpp"
#include "signals.hpp"
#include "terminal.hpp"

namespace rocforge::cli {
namespace {

constexpr std::size_t kRuns = 7, kQuickRuns = 3;
constexpr double kQuickFlops = 2e10, kQuickBytes = 1 << 30;  // some tenths of a second on a small CPU

struct BenchFlags {
    CommonFlags common;
    std::vector<std::string> backends;
    std::string device, preset;
    std::optional<rf_dtype> dtype;
    bool quick = false, json = false;
};

// A backend to be measured: a name ("" lets selection choose) and its device.
struct Peer {
    std::string name;
    rf_device device{};
};

struct Row {
    std::string backend, kernel, device;
    double us = 0, least_us = 0, most_us = 0;
    std::size_t runs = 0;
    std::string error;  // why there is no figure
    Status status = Status::kDone;
};

double rounded(double value, double steps) { return std::round(value * steps) / steps; }

nlohmann::ordered_json to_json(const BenchCase& one, const Row& row) {
    const Extents& e = one.extents;
    nlohmann::ordered_json line{{"preset", one.preset},
                                {"peer", "rocforge:" + row.backend},
                                {"dtype", torch_name(e.dtype)},
                                {"batch", e.batch},
                                {"head_q", e.head_q},
                                {"head_kv", e.head_kv},
                                {"seq_q", e.seq_q},
                                {"seq_kv", e.seq_kv},
                                {"dim", e.dim},
                                {"causal", one.causal}};
    if (!row.error.empty()) {
        line["error"] = row.error;
    } else {
        line["us"] = rounded(row.us, 1e2);
        line["tflops"] = rounded(one.flops() / row.us / 1e6, 1e3);
        line["gbps"] = rounded(one.kv_bytes() / row.us / 1e3, 1e1);
        line["us_min"] = rounded(row.least_us, 1e2);
        line["us_max"] = rounded(row.most_us, 1e2);
        line["runs"] = row.runs;
        line["kernel"] = row.kernel;
    }
    line["device"] = row.device;
    return line;
}

std::string shape_text(const BenchCase& one) {
    const Extents& e = one.extents;
    const std::string heads = e.head_q == e.head_kv ? fmt::format("{}", e.head_q) : fmt::format("{}/{}", e.head_q, e.head_kv);
    return fmt::format("{}x{}x{}x{}x{}", e.batch, heads, e.seq_q, e.seq_kv, e.dim);
}

constexpr const char* kColumns = "  {:<22} {:<6} {:<8} {:<16} {:>10}  {:<22} {:>14}  {}";

void print_header(const Terminal& terminal) {
    const std::string text = fmt::format(kColumns, "BxHxSqxSkvxD", "causal", "dtype", "backend", "median", "min .. max", "rate", "kernel");
    terminal.line(terminal.paint(Colour::kDim, text));
}

void print_row(const Terminal& terminal, const BenchCase& one, const Row& row) {
    const char* causal = one.causal ? "causal" : "full";
    const std::string dtype = torch_name(one.extents.dtype), shape = shape_text(one);
    if (!row.error.empty()) {
        return terminal.line(
            fmt::format("  {:<22} {:<6} {:<8} {:<16} {}", shape, causal, dtype, row.backend, terminal.paint(Colour::kYellow, row.error)));
    }
    // One query a sequence is bound by memory, many are bound by arithmetic.
    const std::string rate = one.extents.seq_q == 1 ? fmt::format("{:.1f} GB/s", one.kv_bytes() / row.us / 1e3)
                                                    : fmt::format("{:.1f} GFLOP/s", one.flops() / row.us / 1e3);
    terminal.line(fmt::format(kColumns, shape, causal, dtype, row.backend, human_us(row.us), human_us(row.least_us) + " .. " + human_us(row.most_us),
                              rate, row.kernel));
}

std::string refusal_text(const Verdict& verdict) {
    std::string text;
    for (const Candidate& candidate : verdict.candidates) {
        for (const Reason& reason : candidate.reasons) text += fmt::format("{}{}: {}", text.empty() ? "" : " | ", candidate.name, describe(reason));
    }
    return text.empty() ? "no backend is there to run it" : text;
}

// One peer on one case; nothing when Ctrl-C came meanwhile.
std::optional<Row> measure(rocforge_context* context, const Peer& peer, const BenchInput& input, std::size_t runs, const std::string& label,
                           const Terminal& progress) {
    Row row{.backend = peer.name, .device = device_name(peer.device)};
    const Verdict verdict = select(context, peer.device, input.problem, peer.name);
    if (verdict.backend.empty()) {
        row.error = refusal_text(verdict);
        row.status = Status::kUnsupported;
        return row;
    }
    row.backend = verdict.backend;
    const Forward forward(verdict);
    row.kernel = forward.kernel();
    row.runs = runs;
    std::vector<double> times;
    for (std::size_t run = 0; run <= runs; ++run) {
        progress.progress(fmt::format("{} {}: {}", label, row.backend, run == 0 ? "warm-up" : fmt::format("run {}/{}", run, runs)));
        const double us = forward(input.args);
        if (NoteInterrupts::interrupted()) return std::nullopt;
        if (run > 0) times.push_back(us);
    }
    std::sort(times.begin(), times.end());
    row.least_us = times.front();
    row.us = times[times.size() / 2];
    row.most_us = times.back();
    return row;
}

Row refused_row(const Peer& peer, const std::string& error, Status status) {
    return {.backend = peer.name, .device = device_name(peer.device), .error = error, .status = status};
}

class Bench {
public:
    explicit Bench(const BenchFlags& flags)
        : flags_(flags), people_(Terminal::for_people(flags.json)), progress_(stderr), context_(open_context(flags.common)) {
        for (const std::string& name : flags.backends.empty() ? std::vector<std::string>{""} : flags.backends) {
            peers_.push_back({name, find_device(context_.get(), flags.device, name)});
            demand_host_device(peers_.back().device);
        }
    }

    Status run() {
        std::vector<BenchCase> cases = bench_cases(flags_.preset.empty() ? "cpu" : flags_.preset, flags_.dtype);
        const std::size_t all = cases.size();
        if (flags_.quick) std::erase_if(cases, [](const BenchCase& one) { return one.flops() > kQuickFlops || one.kv_bytes() > kQuickBytes; });
        if (cases.empty()) {
            throw Quit(Status::kUsage,
                       fmt::format("--quick leaves out every shape of the preset {}: each is over its limits (rocforge bench --help); "
                                   "drop --quick",
                                   flags_.preset));
        }
        print_header(people_);
        const NoteInterrupts guard;
        for (std::size_t i = 0; i < cases.size(); ++i) {
            if (!run_case(cases[i], fmt::format("[{}/{}] {}", i + 1, cases.size(), shape_text(cases[i])))) {
                progress_.progress("");
                people_.line("interrupted");
                return Status::kInterrupted;
            }
        }
        if (cases.size() < all) people_.line(fmt::format("  --quick left out {} shapes", all - cases.size()));
        if (failure_ == Status::kDone && measured_ == 0) return refused_;
        return failure_;
    }

private:
    // False: interrupted.
    bool run_case(const BenchCase& one, const std::string& label) {
        const std::uint64_t needed = memory_bytes(one), available = available_memory_bytes();
        if (needed > available) {
            const std::string error =
                fmt::format("needs {}, {} are free", human_bytes(static_cast<double>(needed)), human_bytes(static_cast<double>(available)));
            for (const Peer& peer : peers_) show(one, refused_row(peer, error, Status::kBackend));
            return true;
        }
        progress_.progress(label + ": making inputs");
        const BenchInput input(one);
        for (const Peer& peer : peers_) {
            try {
                const std::optional<Row> row = measure(context_.get(), peer, input, flags_.quick ? kQuickRuns : kRuns, label, progress_);
                if (!row) return false;
                show(one, *row);
            } catch (const Quit& quit) {
                failure_ = quit.status();
                show(one, refused_row(peer, quit.what(), quit.status()));
            }
        }
        return !NoteInterrupts::interrupted();
    }

    void show(const BenchCase& one, const Row& row) {
        if (row.error.empty())
            ++measured_;
        else
            refused_ = row.status;
        progress_.progress("");
        print_row(people_, one, row);
        if (flags_.json)
            print_json(to_json(one, row));
        else
            std::fflush(stdout);
    }

    const BenchFlags& flags_;
    Terminal people_, progress_;
    Context context_;
    std::vector<Peer> peers_;
    std::size_t measured_ = 0;
    Status failure_ = Status::kDone, refused_ = Status::kDone;  // of the last row that failed, that was refused
};

constexpr const char* kHelp =
    R"(Presets: prefill and decode (bf16, sizes of a GPU), paged (decode over shuffled pages of 16 tokens), cpu (f32 and bf16).
A median of 7 runs after a warm-up; min .. max is their spread. FLOPs are 4*batch*head_q*seq_q*seq_kv*dim, halved when causal; GB/s counts K and V once.

Examples:
  rocforge bench --preset cpu --quick
  rocforge bench --preset decode --backend cpu --dtype f32 --json > rows.jsonl

Exit status: 0 something was measured, 2 bad usage, 3 every shape was refused, 4 a backend failed or nothing fits in memory, 130 interrupted)";

}  // namespace

Command add_bench(CLI::App& app) {
    CLI::App* command = app.add_subcommand("bench", "Time forward on a preset's shapes");
    auto flags = std::make_shared<BenchFlags>();
    command->footer(kHelp);
    command->add_option("--backend", flags->backends, "Measure this backend; may be repeated. Unset: the one that selection chooses")
        ->type_name("NAME")
        ->expected(1)
        ->take_all();
    command->add_option("--device", flags->device, "Unset: the backend's first device")->type_name("DEVICE");
    add_value(*command, "--preset", flags->preset, parse_preset, "PRESET", "prefill, decode, paged or cpu; default: cpu");
    add_value(*command, "--dtype", flags->dtype, parse_dtype, "DTYPE", "f32, f16 or bf16, default: the preset's own");
    command->add_flag("--quick", flags->quick, "3 runs, and only shapes of at most 2e10 FLOP and 1 GiB of K and V");
    command->add_flag("--json", flags->json, "One object a line on stdout");
    add_common(*command, flags->common);
    return {command, [flags] { return Bench(*flags).run(); }};
}

}  // namespace rocforge::cli
