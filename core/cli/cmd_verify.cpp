// rocforge verify: a backend measured against the float64 oracle and the laws of its contract (sdk/conformance), in child processes. This file is the
// command line and the report: for people, as JSON, as JUnit. It decides nothing about right and wrong.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <deque>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>

#include "flags.hpp"
#include "output_file.hpp"
#include "terminal.hpp"
#include "text/text.hpp"
#include "verify.hpp"

namespace rocforge::cli {
namespace {

using conformance::Item;
using conformance::Outcome;
using nlohmann::ordered_json;

// The program as it was called, so that a line that it prints can be typed again.
std::string program_name() {
    std::ifstream words("/proc/self/cmdline");
    std::string first;
    std::getline(words, first, '\0');
    return first.empty() ? "rocforge" : first;
}

std::string shell_word(const std::string& word) {
    const auto plain = [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) || std::string_view("-_./:=+,@%").find(c) != std::string_view::npos;
    };
    if (!word.empty() && std::all_of(word.begin(), word.end(), plain)) return word;
    std::string quoted = "'";
    for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return quoted + "'";
}

// ---- What came out

struct FailedItem {
    std::string name, reproduce;
    const Finding* finding;
};

struct Report {
    const VerifyFlags& flags;
    const std::vector<Item>& items;
    Run run;
    double seconds = 0;
    std::size_t passed = 0, skipped = 0, inexact = 0, not_run = 0, retyped = 0;
    std::vector<FailedItem> failures;
    std::map<std::string, std::size_t> skips;  // by reason; a case may have several

    Report(const VerifyFlags& the_flags, const std::vector<Item>& the_items, Run the_run, double took)
        : flags(the_flags), items(the_items), run(std::move(the_run)), seconds(took) {
        for (std::size_t n = 0; n < items.size(); ++n) count(items[n].name, run.findings[n]);
    }

    // Of an approximate backend values are shown, not judged: it says itself that it is not attention as defined.
    bool only_inexact(const Finding& finding) const { return run.found.approximate && finding.by_values; }

    // Why not all was run, or "".
    std::string stopped() const { return run.interrupted ? "interrupted" : run.given_up; }

    Status status() const {
        if (run.interrupted) return Status::kInterrupted;
        if (!failures.empty() || !run.given_up.empty()) return Status::kBackend;
        return passed + inexact == 0 ? Status::kUnsupported : Status::kDone;
    }

private:
    void count(const std::string& name, const std::optional<Finding>& finding) {
        if (finding && finding->name != name) ++retyped;
        if (!finding) {
            ++not_run;
        } else if (finding->outcome == Outcome::passed) {
            ++passed;
        } else if (finding->outcome == Outcome::refused) {
            ++skipped;
            std::istringstream reasons(finding->why);
            for (std::string reason; std::getline(reasons, reason);) ++skips[reason];
        } else if (only_inexact(*finding)) {
            ++inexact;
        } else {
            std::string line;
            std::vector<std::string> words = flags.words(finding->name);
            words[0] = program_name();
            for (const std::string& word : words) line += (line.empty() ? "" : " ") + shell_word(word);
            failures.push_back({finding->name, line, &*finding});
        }
    }
};

ordered_json or_null(const std::optional<double>& value) { return value ? ordered_json(*value) : ordered_json(nullptr); }

ordered_json to_json(const Report& r) {
    ordered_json failures = ordered_json::array(), skips = ordered_json::array();
    for (const FailedItem& each : r.failures)
        failures.push_back({{"case", each.name},
                            {"max_error", or_null(each.finding->max_error)},
                            {"tolerance", or_null(each.finding->tolerance)},
                            {"reproduce", each.reproduce},
                            {"why", each.finding->why}});
    for (const auto& [reason, count] : r.skips) skips.push_back({{"reason", reason}, {"cases", count}});
    return {{"backend", r.run.found.backend},
            {"version", r.run.found.version},
            {"device", r.run.found.device},
            {"arch", r.run.found.arch},
            {"approximate", r.run.found.approximate},
            {"level", r.flags.level},
            {"seed", r.flags.seed},
            {"passed", r.passed},
            {"failed", r.failures.size()},
            {"skipped", r.skipped},
            {"inexact", r.inexact},
            {"retyped", r.retyped},
            {"not_run", r.not_run},
            {"interrupted", r.run.interrupted},
            {"given_up", r.run.given_up.empty() ? ordered_json(nullptr) : ordered_json(r.run.given_up)},
            {"seconds", r.seconds},
            {"failures", std::move(failures)},
            {"skips", std::move(skips)}};
}

// ---- For people

constexpr std::size_t kFailuresShown = 20, kSkipsShown = 12, kReasonShown = 160;

void print_failures(const Terminal& terminal, const Report& r) {
    for (std::size_t n = 0; n < std::min(r.failures.size(), kFailuresShown); ++n) {
        const FailedItem& each = r.failures[n];
        terminal.line(fmt::format("  {} {}", terminal.paint(Colour::kRed, "failed"), each.name));
        terminal.line("    " + printable(each.finding->why));
        if (each.finding->max_error && each.finding->tolerance)
            terminal.line(fmt::format("    error {:.3g}, tolerance {:.3g}", *each.finding->max_error, *each.finding->tolerance));
        terminal.line("    reproduce: " + each.reproduce);
    }
    if (r.failures.size() > kFailuresShown)
        terminal.line(fmt::format("  and {} more that failed; --json lists them all", r.failures.size() - kFailuresShown));
}

void print_skips(const Terminal& terminal, const Report& r) {
    if (r.skips.empty()) return;
    std::vector<std::pair<std::string, std::size_t>> by_count(r.skips.begin(), r.skips.end());
    std::stable_sort(by_count.begin(), by_count.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
    terminal.line(terminal.paint(Colour::kDim, "  skipped, by reason (a case may have several):"));
    for (std::size_t n = 0; n < std::min(by_count.size(), kSkipsShown); ++n) {
        const auto& [reason, count] = by_count[n];
        terminal.line(fmt::format("  {:>6}  {}{}", count, printable(reason).substr(0, kReasonShown), reason.size() > kReasonShown ? " ..." : ""));
    }
    if (by_count.size() > kSkipsShown)
        terminal.line(fmt::format("          and {} other reasons; --json lists them all", by_count.size() - kSkipsShown));
}

void print_people(const Terminal& terminal, const Report& r) {
    const Found& found = r.run.found;
    print_failures(terminal, r);
    print_skips(terminal, r);
    if (r.retyped) terminal.line(fmt::format("  {} cases of f32 ran in a 16-bit type, as it refuses f32: NAME-as-f16, NAME-as-bf16", r.retyped));
    if (found.approximate) terminal.line("  it declares itself approximate: values are shown, not judged, and only a caller who names it gets it");
    if (!r.stopped().empty()) terminal.line("  " + r.stopped());
    const std::string who =
        found.backend.empty() ? "nothing" : printable(fmt::format("{} {} on {} ({})", found.backend, found.version, found.device, found.arch));
    std::string counts = fmt::format("{} passed, {} failed, {} skipped", r.passed, r.failures.size(), r.skipped);
    if (r.inexact) counts += fmt::format(", {} beyond the tolerance", r.inexact);
    if (r.not_run) counts += fmt::format(", {} not run", r.not_run);
    const bool good = r.status() == Status::kDone;
    terminal.line(fmt::format("{}: {} (level {}, seed {}, {:.1f} s)", who, terminal.paint(good ? Colour::kGreen : Colour::kRed, counts),
                              r.flags.level, r.flags.seed, r.seconds));
    if (r.status() == Status::kUnsupported) terminal.line("nothing that it runs was found among the cases");
}

// ---- JUnit

// Text within an attribute; control characters are in no XML.
std::string xml(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c == '\n')
            out += "; ";
        else if (c == '&')
            out += "&amp;";
        else if (c == '<')
            out += "&lt;";
        else if (c == '>')
            out += "&gt;";
        else if (c == '"')
            out += "&quot;";
        else
            out += static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7E ? '?' : c;
    }
    return out;
}

std::string to_junit(const Report& r) {
    const std::string backend = xml(r.run.found.backend), stopped = r.stopped();
    std::string text = fmt::format(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n<testsuite name=\"rocforge verify {} on {}\" tests=\"{}\" failures=\"{}\" "
        "errors=\"{}\" skipped=\"{}\" time=\"{:.3f}\">\n",
        backend, xml(r.run.found.device), r.items.size() + (stopped.empty() ? 0 : 1), r.failures.size(), stopped.empty() ? 0 : 1,
        r.skipped + r.not_run, r.seconds);
    for (std::size_t n = 0; n < r.items.size(); ++n) {
        const std::optional<Finding>& finding = r.run.findings[n];
        const std::string& name = finding ? finding->name : r.items[n].name;
        text += fmt::format("<testcase classname=\"{}.{}\" name=\"{}\" time=\"{:.3f}\"", backend, xml(name.substr(0, name.find('/'))), xml(name),
                            finding ? finding->seconds : 0);
        if (!finding)
            text += "><skipped message=\"not run\"/></testcase>\n";
        else if (finding->outcome == Outcome::refused)
            text += fmt::format("><skipped message=\"{}\"/></testcase>\n", xml(finding->why));
        else if (finding->outcome == Outcome::failed && !r.only_inexact(*finding))
            text += fmt::format("><failure message=\"{}\"/></testcase>\n", xml(finding->why));
        else
            text += "/>\n";
    }
    if (!stopped.empty())
        text += fmt::format("<testcase classname=\"{}.run\" name=\"run/to-the-end\"><error message=\"{}; not run: {} of {}\"/></testcase>\n", backend,
                            xml(stopped), r.not_run, r.items.size());
    return text + "</testsuite>\n</testsuites>\n";
}

// ---- The command

void list_items(const VerifyFlags& flags, const std::vector<Item>& items) {
    const Terminal terminal(stdout);
    ordered_json names = ordered_json::array();
    for (const Item& item : items) flags.json ? names.push_back(item.name) : terminal.line(item.name);
    if (flags.json) print_json({{"cases", std::move(names)}});
}

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// How long the rest takes, by the pace of the last seconds: the laws, which come first, take far longer each than the cases behind them.
class Pace {
public:
    // "about 12 s left, ", or "" where it is too early to say.
    std::string time_left(std::size_t done, std::size_t all) {
        marks_.emplace_back(Clock::now(), done);
        while (marks_.size() > 2 && seconds_since(marks_[1].first) > kWindow) marks_.pop_front();
        const auto [since, before] = marks_.front();
        const double took = seconds_since(since);
        if (took < kWindow || done * 20 < all || done == before) return "";
        return fmt::format("about {:.0f} s left, ", std::ceil(took / static_cast<double>(done - before) * static_cast<double>(all - done)));
    }

private:
    static constexpr double kWindow = 3;
    std::deque<std::pair<Clock::time_point, std::size_t>> marks_;
};

Status verify(const VerifyFlags& flags) {
    if (!flags.child.empty()) return run_verify_child(flags);
    const std::vector<Item> items = chosen_items(flags);
    if (flags.list) {
        list_items(flags, items);
        return Status::kDone;
    }
    if (flags.target.empty() && flags.backend.empty())
        throw Quit(Status::kUsage, "what is to be verified? name a plugin file or a backend: rocforge verify build/rocforge-mine.so");
    if (!flags.of_file() && !flags.target.empty() && !flags.backend.empty() && flags.target != flags.backend)
        throw Quit(Status::kUsage, fmt::format("--backend {}: the backend is named '{}' already; --backend chooses among those of a file",
                                               flags.backend, flags.target));
    std::unique_ptr<OutputFile> junit;
    if (!flags.junit.empty()) {
        junit = std::make_unique<OutputFile>(flags.junit);
        junit->remove_old();
    }

    const Terminal people = Terminal::for_people(flags.json), progress(stderr);
    const bool logs = !flags.common.log.empty();  // its lines come where progress would stand
    const auto start = Clock::now();
    Pace pace;
    const auto tell = [&](std::size_t done, std::size_t failed, const std::string& name) {
        if (logs) return;
        progress.progress(fmt::format("[{}/{}] {}{}{}", done, items.size(), failed ? fmt::format("{} failed, ", failed) : "",
                                      pace.time_left(done, items.size()), printable(name)));
    };
    Run run;
    try {
        run = run_verify_children(flags, items, tell);
    } catch (...) {
        progress.progress("");
        throw;
    }
    progress.progress("");
    const Report report(flags, items, std::move(run), seconds_since(start));
    print_people(people, report);
    if (flags.json) print_json(to_json(report));
    if (junit) {
        const std::string text = to_junit(report);
        junit->write(std::as_bytes(std::span(text)));
        junit->commit();
    }
    return report.status();
}

std::string parse_level(std::string_view text) {
    if (text == "quick" || text == "full") return std::string(text);
    throw std::invalid_argument(fmt::format("'{}' is no level; wanted quick or full", text));
}

constexpr const char* kVerifyHelp =
    R"(Runs every named case of attention's definition against a float64 oracle, and the laws of the plugin contract: the predicate is pure and gives
reasons, forward allocates nothing and touches nothing outside its tensors (pages that nobody may touch lie around each of them), calls may run at
once, graphs replay without their plan. Cases that the backend refuses are skipped, with the reasons counted; one that it refuses for its f32 alone is
run in the 16-bit type that it takes, as NAME-as-f16. Everything runs in child processes, so that a crash or a hang is a failure of the case that it
happened in, and the rest goes on.

Levels: quick is the table of cases, each in one manner; full adds the cases of matrix units' tiles, every manner of calling, more repetitions.

Examples:
  rocforge verify build/rocforge-mine.so
  rocforge verify cpu --level full
  rocforge verify build/rocforge-mine.so --case 'paged/*,!paged/*bf16' --junit report.xml
  rocforge verify mine --device cuda:0 --json
  rocforge verify mine --device gfx942 --case 'law/*'
  rocforge verify --list --case 'law/*'

Exit status: 0 all passed that it runs, 2 bad usage, 3 it runs none of the cases, 4 something failed or it has no device here, 5 the file is refused,
130 interrupted)";

// A day at most: clocks add it to the time of day.
std::int64_t parse_timeout(std::string_view text) {
    constexpr std::int64_t kDay = 86400;
    const std::int64_t seconds = parse_positive(text);
    if (seconds > kDay) throw std::invalid_argument(fmt::format("{} is above {}, a day", seconds, kDay));
    return seconds;
}

}  // namespace

Command add_verify(CLI::App& app) {
    CLI::App* command = app.add_subcommand("verify", "Measure a backend against attention's definition and its contract");
    auto flags = std::make_shared<VerifyFlags>();
    command->footer(kVerifyHelp);
    command->add_option("TARGET", flags->target, "A plugin file (rocforge-mine.so), or the name of an installed backend");
    command->add_option("--backend", flags->backend, "The backend, where a file registers several; or the installed one of that name")
        ->type_name("NAME");
    command
        ->add_option("--device", flags->device,
                     "cpu, rocm:0, cuda:0; unset: the backend's first device. An arch (gfx942): what it says of problems there is judged")
        ->type_name("DEVICE");
    add_value(*command, "--level", flags->level, parse_level, "LEVEL", "quick (default), or full: more cases, each in every manner");
    add_value(*command, "--seed", flags->seed, parse_unsigned, "N", fmt::format("Of all random values; default {}", kDefaultSeed));
    command->add_option("--case", flags->cases, "Only cases of the level that one of these comma-separated globs (*, ?) matches; !GLOB takes away")
        ->type_name("GLOBS");
    add_value(*command, "--jobs", flags->jobs, parse_positive, "N", "Child processes at a time; default: processors, 8 at most");
    add_value(*command, "--timeout", flags->timeout_s, parse_timeout, "SECONDS",
              fmt::format("For one case, a day at most; default {}", kDefaultTimeoutSeconds));
    command->add_option("--junit", flags->junit, "Also write a JUnit report; one that stands there is removed at the start")->type_name("FILE");
    command->add_flag("--list", flags->list, "Print the names of the level's cases and run nothing");
    command->add_flag("--json", flags->json, "One object {backend, passed, failed, skipped, failures, ...} on stdout");
    command->add_option("--child", flags->child)->group("");  // this program's own
    add_common(*command, flags->common);
    return {command, [flags] { return verify(*flags); }};
}

}  // namespace rocforge::cli
