// rocforge bench: times forward on the shapes of presets, each the median of several runs after a warm-up. Inputs are random; results are not
// checked here. A shape that is refused or does not fit in memory is a row that says so. How a run is timed is bench_timer's business.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "bench_case.hpp"
#include "bench_timer.hpp"
#include "device.hpp"
#include "flags.hpp"
#include "forward.hpp"
#include "inventory.hpp"
#include "peak.hpp"
#include "signals.hpp"
#include "terminal.hpp"

namespace rocforge::cli {
namespace {

// A processor's clock, and where the system puts threads, take longer to settle than a device does.
constexpr Budget kFull{7, 5e4, 1e5}, kFullOnHost{7, 3e5, 1e5}, kQuick{3, 0, 0};
constexpr double kQuickFlops = 2e10, kQuickBytes = 1 << 30;  // some tenths of a second on a small CPU

struct BenchFlags {
    CommonFlags common;
    std::vector<std::string> backends;
    std::vector<std::string> presets;
    std::string device;
    std::optional<rf_dtype> dtype;
    std::size_t threads = 0;  // 0: all
    bool quick = false, json = false;
};

// A backend to be measured: a name ("" lets selection choose) and its device.
struct Peer {
    std::string name;
    rf_device device{};
};

struct Row {
    std::string backend, kernel, device;
    std::string name, arch;  // of the device, as the backend describes it
    Times times;
    std::size_t threads = 0;     // on a CPU
    std::optional<Limit> limit;  // what the machine's processors reach, on a CPU
    std::string error;           // why there is no figure
    Status status = Status::kDone;

    double us() const { return times.us[times.us.size() / 2]; }
};

// One query a sequence is bound by memory, many are bound by arithmetic.
bool bound_by_memory(const BenchCase& one) { return one.extents.seq_q == 1; }
double gflops(const BenchCase& one, const Row& row) { return one.flops() / row.us() / 1e3; }
double gbps(const BenchCase& one, const Row& row) { return one.kv_bytes() / row.us() / 1e3; }
double share_of_limit(const BenchCase& one, const Row& row) { return (bound_by_memory(one) ? gbps(one, row) : gflops(one, row)) / row.limit->rate; }

std::string utc_now() {
    const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
    std::tm utc{};
    gmtime_r(&now, &utc);
    char text[sizeof "2000-01-01T00:00:00Z"];
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return text;
}

double rounded(double value, double steps) { return std::round(value * steps) / steps; }

nlohmann::ordered_json to_json(const BenchCase& one, const Row& row) {
    const Extents& e = one.extents;
    nlohmann::ordered_json line{{"preset", one.preset},   {"peer", "rocforge:" + row.backend},
                                {"backend", row.backend}, {"dtype", torch_name(e.dtype)},
                                {"batch", e.batch},       {"head_q", e.head_q},
                                {"head_kv", e.head_kv},   {"seq_q", e.seq_q},
                                {"seq_kv", e.seq_kv},     {"dim", e.dim},
                                {"causal", one.causal}};
    if (!row.error.empty()) {
        line["error"] = row.error;
    } else {
        line["us"] = rounded(row.us(), 1e2);
        line["tflops"] = rounded(gflops(one, row) / 1e3, 1e3);
        line["gbps"] = rounded(gbps(one, row), 1e1);
        line["us_min"] = rounded(row.times.us.front(), 1e2);
        line["us_max"] = rounded(row.times.us.back(), 1e2);
        line["runs"] = row.times.us.size();
        line["timer"] = row.times.by_device ? "device" : "host";
        line["cache"] = row.times.cold ? "flushed" : "kept";
        line["kernel"] = row.kernel;
    }
    if (row.limit) {
        line[bound_by_memory(one) ? "limit_gbps" : "limit_gflops"] = rounded(row.limit->rate, 1e1);
        line["limit_by"] = row.limit->name;
        line["share_of_limit"] = rounded(share_of_limit(one, row), 1e3);
    }
    line["device"] = row.device;
    line["device_name"] = row.name;
    line["arch"] = row.arch;
    if (row.threads > 0) line["threads"] = row.threads;
    line["date"] = utc_now();
    return line;
}

std::string shape_text(const BenchCase& one) {
    const Extents& e = one.extents;
    const std::string heads = e.head_q == e.head_kv ? fmt::format("{}", e.head_q) : fmt::format("{}/{}", e.head_q, e.head_kv);
    return fmt::format("{}x{}x{}x{}x{}", e.batch, heads, e.seq_q, e.seq_kv, e.dim);
}

constexpr const char* kColumns = "  {:<22} {:<6} {:<8} {:<16} {:>10}  {:<22} {:>14} {:>9}  {}";

void print_header(const Terminal& terminal) {
    const std::string text =
        fmt::format(kColumns, "BxHxSqxSkvxD", "causal", "dtype", "backend", "median", "min .. max", "rate", "of limit", "kernel");
    terminal.line(terminal.paint(Colour::kDim, text));
}

void print_row(const Terminal& terminal, const BenchCase& one, const Row& row) {
    const char* causal = one.causal ? "causal" : "full";
    const std::string dtype = torch_name(one.extents.dtype), shape = shape_text(one);
    if (!row.error.empty()) {
        return terminal.line(
            fmt::format("  {:<22} {:<6} {:<8} {:<16} {}", shape, causal, dtype, row.backend, terminal.paint(Colour::kYellow, row.error)));
    }
    const std::string rate = bound_by_memory(one)     ? fmt::format("{:.1f} GB/s", gbps(one, row))
                             : gflops(one, row) < 1e4 ? fmt::format("{:.1f} GFLOP/s", gflops(one, row))
                                                      : fmt::format("{:.1f} TFLOP/s", gflops(one, row) / 1e3);
    const std::string share = row.limit ? fmt::format("{:.0f}%", 1e2 * share_of_limit(one, row)) : "";
    const std::string spread = human_us(row.times.us.front()) + " .. " + human_us(row.times.us.back());
    terminal.line(fmt::format(kColumns, shape, causal, dtype, row.backend, human_us(row.us()), spread, rate, share, row.kernel));
}

std::string refusal_text(const Verdict& verdict) {
    std::string text;
    for (const Candidate& candidate : verdict.candidates) {
        for (const Reason& reason : candidate.reasons) text += fmt::format("{}{}: {}", text.empty() ? "" : " | ", candidate.name, describe(reason));
    }
    return text.empty() ? "no backend is there to run it" : text;
}

Row row_of(const Peer& peer) {
    return {
        .backend = peer.name, .device = device_name(peer.device), .name = text_or_empty(peer.device.name), .arch = text_or_empty(peer.device.arch)};
}

Row refused_row(const Peer& peer, const std::string& error, Status status) {
    Row row = row_of(peer);
    row.error = error, row.status = status;
    return row;
}

class Bench {
public:
    explicit Bench(const BenchFlags& flags)
        : flags_(flags), people_(Terminal::for_people(flags.json)), progress_(stderr), context_(open_on_processors(flags)) {
        for (const std::string& name : flags.backends.empty() ? std::vector<std::string>{""} : flags.backends) {
            peers_.push_back({name, find_device(context_.get(), flags.device, name)});
            demand_present(peers_.back().device);
        }
    }

    Status run() {
        std::vector<BenchCase> cases = all_cases();
        const std::size_t all = cases.size();
        if (flags_.quick) std::erase_if(cases, [](const BenchCase& one) { return one.flops() > kQuickFlops || one.kv_bytes() > kQuickBytes; });
        if (cases.empty()) {
            throw Quit(Status::kUsage, fmt::format("--quick leaves out every shape of --preset {}: each is over its limits (rocforge bench --help); "
                                                   "drop --quick",
                                                   fmt::join(flags_.presets, ", ")));
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
    // Before any thread is started: those that a backend or a library starts later inherit what this one may use.
    static Context open_on_processors(const BenchFlags& flags) {
        if (flags.threads > 0) use_processors(flags.threads);
        return open_context(flags.common);
    }

    std::vector<BenchCase> all_cases() const {
        std::vector<BenchCase> cases;
        for (const std::string& preset : flags_.presets.empty() ? std::vector<std::string>{"cpu"} : flags_.presets)
            for (BenchCase& one : bench_cases(preset, flags_.dtype)) cases.push_back(std::move(one));
        return cases;
    }

    // nullptr: the host's.
    const Device* lent(const Verdict& verdict, const rf_device& device) {
        const std::string key = verdict.backend + " " + device_name(device);
        const auto known = lent_.find(key);
        if (known != lent_.end()) return known->second.get();
        return lent_.emplace(key, device_memory(context_.get(), device, verdict.backend)).first->second.get();
    }

    // What the processors reach at most on this input. `*limit` keeps the better of this and what it was.
    bool measure_limit(const BenchInput& input, const Tell& tell, std::optional<Limit>* limit) {
        if (!tell("the machine's limit")) return false;
        if (!peak_) peak_.emplace(usable_processors());
        const Limit now = input.problem.max_seq_q == 1 ? peak_->reads({input.k.span(), input.v.span()}) : peak_->arithmetic(input.problem.q.dtype);
        if (!*limit || now.rate > (*limit)->rate) *limit = now;
        return true;
    }

    // One peer on one case; nothing when Ctrl-C came meanwhile.
    std::optional<Row> measure(const Peer& peer, const BenchInput& input, const std::string& label) {
        Row row = row_of(peer);
        const Verdict verdict = select(context_.get(), peer.device, input.problem, peer.name);
        if (verdict.backend.empty()) { return refused_row(peer, refusal_text(verdict), Status::kUnsupported); }
        row.backend = verdict.backend;
        const Tell tell = [&](const std::string& step) {
            if (!step.empty()) progress_.progress(fmt::format("{} {}: {}", label, row.backend, step));
            return !NoteInterrupts::interrupted();
        };
        const Device* const memory = lent(verdict, peer.device);
        const Forward forward(verdict, memory);
        row.kernel = forward.kernel();
        std::optional<Times> times;
        if (!memory) {
            row.threads = usable_processors();
            // Before and behind the calls: a neighbour may take part of the machine at either time.
            if (!measure_limit(input, tell, &row.limit)) return std::nullopt;
            times = time_on_host(forward, input.args, flags_.quick ? kQuick : kFullOnHost, tell);
            if (!measure_limit(input, tell, &row.limit)) return std::nullopt;
        } else if (tell("copying inputs")) {
            const Staged staged(*memory, input.args, input.buffers());
            const auto flush = CacheFlush::make(context_.get(), peer.device, verdict.backend, *memory, input.problem);
            times = time_on_device(*memory, forward, staged.args(), flush.get(), flags_.quick ? kQuick : kFull, tell);
        }
        if (!times) return std::nullopt;
        row.times = std::move(*times);
        return row;
    }

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
                const std::optional<Row> row = measure(peer, input, label);
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
    std::map<std::string, std::unique_ptr<Device>> lent_;  // by backend and device; nullptr: the host
    std::optional<Peak> peak_;                             // of the processors, once a CPU has been timed
    std::size_t measured_ = 0;
    Status failure_ = Status::kDone, refused_ = Status::kDone;  // of the last row that failed, that was refused
};

constexpr const char* kBenchHelp =
    R"(Presets: prefill and decode (bf16, sizes of a GPU), paged (decode over shuffled pages of 16 tokens), cpu (f32 and bf16).
FLOPs are 4*batch*head_q*seq_q*seq_kv*dim, halved when causal; GB/s counts K and V once. min .. max is the spread of the runs.

On a CPU: the median of 7 runs, or of as many as take 100 ms, after a warm-up of 300 ms, by the host's clock; what fits into the caches stays there from
run to run. "of limit" is the share of what this process's processors reach, measured before and behind the runs (the better counts):
multiplications by its fastest unit for the type (FMA, AVX-512 bf16, AMX), for one query a sequence the reading of the same K and V.
On a GPU: the median of 7 runs or of as many as take 100 ms (1000 at most) after a warm-up of 50 ms, by the device's own clock where the backend lends
it, a mark before and one behind each run. Before each run, outside its marks, a forward of like shape that writes 256 MiB empties the caches and keeps the device
busy until the run is enqueued; inputs are copied once. JSON says so by row: "timer" is "device" or "host", "cache" "flushed" or "kept".

Examples:
  rocforge bench --preset cpu --quick
  rocforge bench --preset cpu --threads 2
  rocforge bench --preset decode --backend cpu --dtype f32 --json > rows.jsonl
  rocforge bench --device cuda:0 --preset prefill --preset decode --json

Exit status: 0 something was measured, 2 bad usage, 3 every shape was refused, 4 a backend failed or nothing fits in memory, 130 interrupted)";

// May be repeated; each value by the one parser.
void add_preset(CLI::App& command, std::vector<std::string>& presets) {
    const auto add = [&presets](const std::vector<std::string>& texts) {
        try {
            for (const std::string& text : texts) presets.push_back(parse_preset(text));
        } catch (const std::invalid_argument& wrong) { throw CLI::ValidationError("--preset", wrong.what()); }
    };
    command.add_option_function<std::vector<std::string>>("--preset", add, "prefill, decode, paged or cpu, may be repeated; default: cpu")
        ->type_name("PRESET")
        ->expected(1)
        ->take_all();
}

}  // namespace

Command add_bench(CLI::App& app) {
    CLI::App* command = app.add_subcommand("bench", "Time forward on a preset's shapes");
    auto flags = std::make_shared<BenchFlags>();
    command->footer(kBenchHelp);
    command->add_option("--backend", flags->backends, "Measure this backend; may be repeated. Unset: the one that selection chooses")
        ->type_name("NAME")
        ->expected(1)
        ->take_all();
    command->add_option("--device", flags->device, "cpu, rocm:0, cuda:0; unset: the backend's first device")->type_name("DEVICE");
    add_preset(*command, flags->presets);
    add_value(*command, "--dtype", flags->dtype, parse_dtype, "DTYPE", "f32, f16 or bf16, default: the preset's own");
    command->add_option("--threads", flags->threads, "Run on so many of the processors that this process may use; unset: on all")
        ->type_name("N")
        ->check(CLI::Range(std::size_t{1}, std::size_t{1024}));
    command->add_flag("--quick", flags->quick, "3 runs, a warm-up of one, and only shapes of at most 2e10 FLOP and 1 GiB of K and V");
    command->add_flag("--json", flags->json, "One object a line on stdout");
    add_common(*command, flags->common);
    return {command, [flags] { return Bench(*flags).run(); }};
}

}  // namespace rocforge::cli
