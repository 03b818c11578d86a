// rocforge verify finds what is wrong: each row is a backend with one fault (plugins/faulty.cpp) and the case that must find it; the sound one passes
// everything. And whatever a backend does to the process that it runs in, the run goes on and names the case.
#include <doctest/doctest.h>

#include <rocforge/plugin.hpp>

#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "world.hpp"

using namespace hostile;
using nlohmann::json;

TEST_SUITE_BEGIN("verify");

namespace {

struct Verified {
    int status;
    json report;
    std::string people;  // what stood on stderr
};

// The time limit is for the hangs: far beyond any sound case, sanitized and on a busy machine.
Verified verify(const std::string& backend, std::vector<std::string> more) {
    std::vector<std::string> words{"verify", built_plugin("faulty").string(), "--backend", backend, "--json", "--jobs", "2"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome outcome = run(words);
    return {outcome.status, json::parse(outcome.out, nullptr, false), outcome.err};
}

std::set<std::string> failed_cases(const Verified& v) {
    std::set<std::string> names;
    if (v.report.contains("failures"))
        for (const json& each : v.report["failures"]) names.insert(each["case"]);
    return names;
}

struct Row {
    const char* fault;
    const char* found_by;  // a case of level quick
    const char* words;     // of the failure
};

constexpr Row kRows[] = {
    {"off_by_one_tail", "seq/13x31-f32", "out[b=0, h=0, i=0, d=0] is "},
    {"interleaved_heads", "heads/4-over-2", "out[b=0, h=1"},
    {"top_left", "causal/bottom-right-7x11", "out["},
    {"nan_on_empty_rows", "empty/rows-attend-to-nothing", "is nan, not 0"},
    {"nan_through_mask", "hidden-nan/boolean-mask", "is nan"},
    {"lse_in_log2", "seq/13x31-f32", "lse["},
    {"strides_ignored", "layout/bshd-f32", "out["},
    {"reads_past_kv_lens", "hidden-nan/lengths", "is nan"},
    {"writes_past_out", "seq/1x1-f32", "it touched memory 0 bytes past the end of out"},
    {"racing_plans", "law/concurrent-calls-do-not-meet", ""},
    {"impure_predicate", "law/predicate-is-pure", "supports answers something else"},
    {"softcap_dropped", "feature/softcap", "out["},
    {"f16_accumulation", "numbers/equal-values-f32", "out["},
    {"window_off_by_one", "window/top-left-7x11-left3-right1", "out["},
    {"broadcast_misread", "mask/bool-broadcast-batch", "out["},
    {"dim_v_ignored", "dim_v/32-to-64", "was never written"},
    {"page_order_ignored", "paged/page-16-f32", "out["},
    {"sink_forgotten_in_lse", "sink/random-f32", "lse["},
    {"differs_from_run_to_run", "law/results-repeat", "differs bitwise from the first"},
    {"workspace_overrun", "seq/13x31-f32", "it touched memory 0 bytes past the end of the workspace"},
    // Beyond the twenty.
    {"allocates_in_forward", "law/forward-allocates-nothing", "5 calls of forward made 5 allocations"},
    {"writes_an_input", "seq/13x31-f32", "k, an input, was written to"},
    {"writes_past_a_sequence", "ragged/q-f32", "belongs to no live row and was written to"},
    {"mute_failure", "seq/13x31-f32", "RF_DEVICE without a message"},
    {"plan_refuses", "dim/128-f32", "plan refuses what supports accepts"},
    {"refuses_without_reason", "law/any-problem-gets-an-answer", "refused without a reason"},
    {"another_verdict_without_sink", "law/verdict-is-the-same-without-a-sink", "no with a sink and yes without one"},
    {"first_reason_alone", "law/reasons-are-complete", "where it is the one fault, and not beside others"},
    {"workspace_limit_ignored", "law/workspace-limits-are-kept", "bytes of workspace, the problem allows 0"},
    {"old_struct_sizes", "law/longer-structs-are-accepted", "RF_HAS"},
    {"no_last_algo", "law/failures-have-messages", "not RF_NOT_FOUND"},
    {"counters_left", "seq/13x31-f32", "zeroed memory was not left zero"},
    {"crash_in_forward", "seq/1x1-f32", "crashed with SIGSEGV"},
    {"crash_in_supports", "seq/1x1-f32", "crashed with SIGSEGV"},
    {"crash_in_plan", "seq/1x1-f32", "crashed with SIGSEGV"},
    {"crash_in_supports", "law/any-problem-gets-an-answer", "problem 0 of seed 1"},
    {"crash_at_exit", "seq/1x1-f32", "when the backend was shut down or the process ended"},
    {"exit_at_exit", "seq/1x1-f32", "ended the process, with exit status 9, when the backend was shut down"},
    {"exit_in_forward", "seq/1x1-f32", "ended the process, with exit status 7"},
    {"exit_in_supports", "seq/1x1-f32", "ended the process, with exit status 3"},
    {"abort_in_plan", "seq/1x1-f32", "crashed with SIGABRT"},
    {"writes_to_descriptor_3", "seq/1x1-f32", "crashed with SIGSEGV"},
    {"writes_beside_the_report", "seq/1x1-f32", "spoilt the result, which is told through descriptor 3"},
    {"table_lacks_a_slot", "law/extensions-are-whole", "rocforge.memory/1: its slot stream_destroy is NULL"},
    {"table_for_any_id", "law/extensions-are-whole", "an id that there is not"},
    {"ordinal_minus_one", "law/devices-are-told", "device 0 has ordinal -1"},
    {"device_of_kind_3", "law/devices-are-told", "devices of kind 3, which is none of"},
    {"names_no_kernel", "law/plans-are-described", "plan names no kernel"},
    {"kernel_in_one_buffer", "law/plans-are-described", "is another once other plans were made"},
    {"unknown_plan_flags", "law/plans-are-described", "plan's flags are 131072"},
    {"layout_is_refused", "law/kv-layouts-are-told", "kv_layout 1 is told, and supports refuses"},
    {"layout_of_another_kind", "law/kv-layouts-are-told", "is contiguous, and the problem's K and V are in pages"},
    {"layout_without_pages", "law/kv-layouts-are-told", "no multiple of 2048 lies in pages of 1..1024 tokens"},
    // Backends without f32: cases that the table has in f32 alone find these in the type that they take.
    {"lengths_unclamped_in_16_bits", "lengths/clamped-to-the-capacity-as-f16", "past the end of k"},
    {"wide_table_misread_in_16_bits", "paged/wide-table-i64-as-f16", "crashed with SIGSEGV"},
    {"true_is_one_in_16_bits", "mask/bool-any-non-zero-byte-keeps-as-f16", "lse["},
};

constexpr bool kSanitized = rocforge::built_with_sanitizer() != RF_SANITIZER_NONE;
// A sanitized program takes half a second to start, twice a row: there every fourth row tells whether verify itself is sound.
constexpr std::size_t kEvery = kSanitized ? 4 : 1;

}  // namespace

TEST_CASE("each fault is found by the case that knows it") {
    const Outcome listed = run({"verify", "--list"});
    REQUIRE(listed.status == 0);
    for (std::size_t n = kEvery / 4; n < std::size(kRows); n += kEvery) {
        const Row& row = kRows[n];
        const std::string what = std::string(row.fault) + " by " + row.found_by;
        CAPTURE(what);
        const std::string found_by = row.found_by, in_table = found_by.substr(0, found_by.find("-as-"));
        CHECK_MESSAGE(contains("\n" + listed.out, "\n" + in_table + "\n"), "no case of level quick");
        const Verified v = verify(row.fault, {"--case", in_table});
        CHECK(v.status == 4);
        const bool found = v.report.is_object() && v.report.value("failed", 0) == 1;
        CHECK_MESSAGE(found, v.people);
        if (!found) continue;
        const json& failure = v.report["failures"][0];
        CHECK(failure["case"] == row.found_by);
        CHECK_MESSAGE(contains(failure["why"].get<std::string>(), row.words), failure["why"].get<std::string>());
    }
}

TEST_CASE("the sound twin of all of them passes") {
    // Sanitized, a case of each feature and the laws that run little: its arithmetic is slow there.
    std::vector<std::string> more;
    if (kSanitized) more = {"--case", "law/*,feature/*,layout/*,!law/any-problem*,!law/concurrent*,!law/results*,!law/workspace*"};
    const Verified v = verify("sound", more);
    CHECK_MESSAGE(v.status == 0, v.people);
    REQUIRE(v.report.is_object());
    CHECK(v.report["failed"] == 0);
    CHECK(v.report["not_run"] == 0);
    CHECK(v.report["passed"].get<int>() > (kSanitized ? 50 : 1300));
    CHECK(v.report["skipped"].get<int>() <= 9);  // the laws of devices and extensions; of allocations where they cannot be counted
}

TEST_CASE("what a backend refuses for its f32 alone is run in 16 bits, once, under a name that repeats it") {
    const Verified v = verify("only_16_bits", {"--case", "seq/1x1-*,heads/4-over-2,mask/additive-f32-full,types/q-bf16-kv-f32-out-f16"});
    CHECK_MESSAGE(v.status == 0, v.people);
    REQUIRE(v.report.is_object());
    CHECK(v.report["passed"] == 4);   // of the first three types two, and the next two in f16
    CHECK(v.report["skipped"] == 2);  // seq/1x1-f32, which is there in f16 and bf16; k in f32, of which the case is
    CHECK(v.report["retyped"] == 2);
    CHECK_MESSAGE(contains(v.people, "2 cases of f32 ran in a 16-bit type"), v.people);
    const Verified named = verify("true_is_one_in_16_bits", {"--case", "mask/bool-any-non-zero-byte-keeps-as-*"});
    CHECK(failed_cases(named) == std::set<std::string>{"mask/bool-any-non-zero-byte-keeps-as-f16", "mask/bool-any-non-zero-byte-keeps-as-bf16"});
    CHECK(verify("sound", {"--case", "heads/4-over-2-as-bf16"}).report["passed"] == 1);
}

TEST_CASE("after a crash the rest goes on") {
    const Verified v = verify("crash_on_dim_72", {"--case", "dim/7*,dim/8*,dim/9*"});
    CHECK(v.status == 4);
    CHECK(failed_cases(v) == std::set<std::string>{"dim/72-f32", "dim/72-f16", "dim/72-bf16"});
    CHECK(v.report["not_run"] == 0);
    CHECK(v.report["passed"] == 9);
}

TEST_CASE("a backend that hangs is ended at the time limit, and named") {
    for (const char* where : {"hang_in_forward", "hang_in_supports"}) {
        CAPTURE(where);
        const Folder folder;
        const Verified v = verify(where, {"--case", "seq/1x1-f32,seq/1x2-f32,seq/2x1-f32,seq/1x17-f32,seq/17x1-f32,seq/13x31-f32", "--timeout", "1",
                                          "--junit", (folder / "report.xml").string()});
        CHECK(v.status == 4);
        REQUIRE(v.report.is_object());
        REQUIRE(!v.report["failures"].empty());
        CHECK(v.report["failures"][0]["case"] == "seq/1x1-f32");
        CHECK(v.report["failures"][0]["why"] == "did not end within 1 s");
        const std::string given_up = v.report["given_up"];  // "after 3 that did not end", or 4: two run at a time
        CHECK_MESSAGE(contains(given_up, "that did not end"), given_up);
        CHECK_MESSAGE(contains(v.people, given_up), v.people);
        CHECK(v.report["not_run"].get<int>() > 0);  // given up before every case has taken its second
        const std::string text = read_file(folder / "report.xml");
        CHECK_MESSAGE(contains(text, "errors=\"1\""), text);
        CHECK_MESSAGE(contains(text, "<error message=\"" + given_up + "; "), text);
    }
}

TEST_CASE("a backend that hangs while its process ends is late, not crashed") {
    const Verified v = verify("hang_at_exit", {"--case", "seq/1x1-f32", "--timeout", "1"});
    CHECK(v.status == 4);
    REQUIRE_MESSAGE(v.report.value("failed", 0) == 1, v.people);
    CHECK(v.report["failures"][0]["why"] == "did not end within 1 s, when the backend was shut down or the process ended");
}

TEST_CASE("a run that is interrupted says so wherever it reports, and an earlier report is gone") {
    const Folder folder;
    const std::string file = (folder / "report.xml").string();
    write_file(file, "<testsuites/> of a run that passed");
    const Verified v = verify("interrupts_the_run", {"--case", "seq/1x1-f32", "--junit", file});
    CHECK(v.status == 130);
    CHECK(v.report["interrupted"] == true);
    CHECK_MESSAGE(contains(v.people, "interrupted\n"), v.people);
    CHECK(contains(read_file(file), "<error message=\"interrupted; not run: 1 of 1\"/>"));
    write_file(file, "<testsuites/> of a run that passed");
    CHECK(verify("crash_in_init", {"--case", "seq/1x1-f32", "--junit", file}).status == 4);
    CHECK(folder.names().empty());
}

TEST_CASE("what a plugin starts ends with the run, whatever session it is in") {
    const Folder folder;
    const std::string file = (folder / "left").string();
    const Outcome outcome =
        run({"verify", built_plugin("faulty").string(), "--backend", "leaves_a_process", "--case", "seq/1x1-f32"}, {{"ROCFORGE_HOSTILE_LEFT", file}});
    CHECK_MESSAGE(outcome.status == 0, outcome.err);
    const pid_t left = std::stoi(read_file(file));
    CHECK(kill(left, 0) == -1);
    CHECK(errno == ESRCH);

    // But not what the shell had started that became the program.
    const std::string line = "sleep 600 >/dev/null 2>&1 & echo $! >'" + file + "'; exec '" ROCFORGE_HOSTILE_PROGRAM "' verify '" +
                             built_plugin("faulty").string() + "' --backend sound --case seq/1x1-f32 >/dev/null 2>&1";
    CHECK(WEXITSTATUS(std::system(line.c_str())) == 0);
    CHECK(kill(std::stoi(read_file(file)), SIGKILL) == 0);
}

TEST_CASE("a crash keeps its name where the program was started with SIGCHLD ignored") {
    const std::string file = built_plugin("faulty").string();
    const Folder folder;
    const std::string out = (folder / "out").string();
    const int status = std::system(("env --ignore-signal=CHLD '" ROCFORGE_HOSTILE_PROGRAM "' verify '" + file +
                                    "' --backend crash_in_forward --case seq/1x1-f32 >'" + out + "' 2>&1")
                                       .c_str());
    CHECK(WEXITSTATUS(status) == 4);
    CHECK(contains(read_file(out), "crashed with SIGSEGV"));
}

TEST_CASE("what a plugin prints reaches a terminal as text, line by line, and not without end") {
    const std::string file = built_plugin("faulty").string();
    const Outcome spoken = run({"verify", file, "--backend", "speaks_to_the_terminal", "--case", "seq/1x1-f32", "--log", "warn"});
    CHECK(spoken.status == 4);
    for (const std::string& text : {spoken.out, spoken.err})
        CHECK_FALSE(std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 && c != '\n'; }));
    CHECK_MESSAGE(contains(spoken.err, "]  [2J [31mall is well\n"), spoken.err);
    CHECK_MESSAGE(contains(spoken.out, "RF_DEVICE:  [32m1000 passed no, none\n"), spoken.out);

    const Outcome endless = run({"verify", file, "--backend", "prints_without_end", "--case", "seq/1x1-f32", "--log", "warn", "--timeout", "1"});
    CHECK(endless.status == 4);
    CHECK(contains(endless.out, "did not end within 1 s; it said: again"));
    CHECK(contains(endless.err, "says more than 262144 bytes; the rest is left out\n"));
    CHECK(endless.err.size() < 2 * 262144);
}

TEST_CASE("a backend that cannot be opened is one failure, said once") {
    const std::tuple<const char*, int, const char*> rows[] = {
        {"crash_in_init", 4, "crashed with SIGSEGV while it was loaded and opened"},
        {"hang_in_init", 4, "did not end within 1 s while it was loaded and opened"},
        {"no_device", 4, "no_device has no device here: cpu: RF_UNAVAILABLE: its device is on loan"},
        {"nobody", 2, "registers no backend 'nobody'"},
    };
    for (const auto& [backend, status, words] : rows) {
        const std::string name = backend;
        CAPTURE(name);
        const Verified v = verify(name, {"--timeout", "1"});
        CHECK(v.status == status);
        CHECK_MESSAGE(contains(v.people, words), v.people);
        CHECK(v.report["error"]["status"] == status);
    }
}

TEST_CASE("a backend that refuses everything has not passed") {
    const Verified v = verify("takes_nothing", {"--case", "seq/*"});
    CHECK(v.status == 3);
    CHECK(v.report["passed"] == 0);
    CHECK(v.report["skips"][0]["reason"] == "q: needs nothing at all");
}

TEST_CASE("a law that had nothing to look at has not passed") {
    const Verified v = verify("promises_nothing", {"--case", "law/results-repeat"});
    CHECK(v.status == 3);
    REQUIRE_MESSAGE(v.report.value("skipped", 0) == 1, v.people);
    CHECK(v.report["skips"][0]["reason"] == "no plan is RF_P_DETERMINISTIC, and RF_F_DETERMINISTIC is refused");
}

TEST_CASE("an approximate backend is reported as one") {
    const Verified v = verify("approximate", {"--case", "seq/1x*-f32,law/kv-layouts-are-told"});
    CHECK(v.status == 0);
    CHECK(v.report["approximate"] == true);
    CHECK(v.report["failed"] == 0);
    CHECK(v.report["inexact"].get<int>() > 0);
    CHECK_MESSAGE(contains(v.people, "declares itself approximate"), v.people);
}

TEST_CASE("a reproduce line, typed into a shell, fails again") {
    const Verified v = verify("crash_on_dim_72", {"--case", "dim/7*,dim/8*", "--seed", "3"});
    REQUIRE(v.report["failed"] == 3);
    for (const json& failure : v.report["failures"]) {
        const std::string line = failure["reproduce"];
        CAPTURE(line);
        CHECK(contains(line, "--seed 3 --case " + failure["case"].get<std::string>()));
        CHECK(WEXITSTATUS(std::system((line + " >/dev/null 2>&1").c_str())) == 4);
    }
}

TEST_CASE("a reproduce line has every flag that decides") {
    const Verified v = verify("crash_in_forward",
                              {"--case", "seq/1x1-f32", "--level", "full", "--seed", "3", "--timeout", "77", "--device", "cpu:0", "--log", "warn"});
    REQUIRE(v.report.value("failed", 0) == 1);
    CHECK(contains(v.report["failures"][0]["reproduce"].get<std::string>(),
                   " --backend crash_in_forward --device cpu:0 --level full --seed 3 --timeout 77 --case seq/1x1-f32 --log warn"));
}

TEST_CASE("a file is named from where one stands") {
    const std::string folder = built_plugin("faulty").parent_path().string(), rest = " --backend sound --case seq/1x1-f32 >/dev/null 2>&1";
    for (const char* name : {"rocforge-hostile_faulty.so", "./rocforge-hostile_faulty.so", "../plugins/rocforge-hostile_faulty.so"}) {
        CAPTURE(name);
        CHECK(WEXITSTATUS(std::system(("cd '" + folder + "' && '" ROCFORGE_HOSTILE_PROGRAM "' verify " + name + rest).c_str())) == 0);
    }
}

TEST_CASE("a file whose name begins like a flag is a file") {
    const Folder folder;
    std::filesystem::copy_file(built_plugin("faulty"), folder / "-x.so");
    const std::string line =
        "cd '" + folder.path().string() + "' && '" ROCFORGE_HOSTILE_PROGRAM "' verify --backend crash_in_forward --case seq/1x1-f32 -- -x.so";
    CHECK(WEXITSTATUS(std::system((line + " >out 2>&1").c_str())) == 4);
    CHECK(contains(read_file(folder / "out"), "verify ./-x.so --backend crash_in_forward --case seq/1x1-f32\n"));
}

TEST_CASE("the log of a child is read on stderr, where --log asks for it") {
    const auto told = [](const char* level) {
        const Verified v = verify("sound", {"--case", "seq/1x1-f32", "--log", level});
        CHECK(v.status == 0);
        CHECK(v.report.value("passed", 0) == 1);  // stdout is JSON still
        return v.people;
    };
    const std::string people = told("debug");
    CHECK_MESSAGE(contains(people, "registers\n"), people);
    CHECK_FALSE(contains(told("info"), "registers"));
    CHECK_FALSE(contains(verify("sound", {"--case", "seq/1x1-f32"}).people, "registers"));
    const std::string opened = verify("logs_when_opened", {"--case", "seq/1x1-f32", "--log", "warn"}).people;
    CHECK_MESSAGE(contains(opened, "] rocforge: warn: logs_when_opened: is open\n"), opened);
    CHECK_FALSE(contains(verify("logs_when_opened", {"--case", "seq/1x1-f32", "--log", "error"}).people, "is open"));
}

TEST_CASE("a command line that names nothing to verify says what is missing") {
    const std::string plugin = built_plugin("faulty").string();
    struct Usage {
        std::vector<std::string> words;
        int status;
        const char* told;
    };
    const Usage rows[] = {
        {{}, 2, "name a plugin file or a backend"},
        {{plugin}, 2, "choose one with --backend"},
        {{"nobody"}, 2, "no backend is called 'nobody'"},
        {{"./no-such.so"}, 5, "no-such.so cannot be read: No such file or directory"},
        {{built_plugin("no_entry").string()}, 5, "rocforge_plugin_v1"},
        {{built_plugin("returns_error").string()}, 5, "rocforge_plugin_v1 returned"},
        {{plugin, "--backend", "soud"}, 2, "did you mean 'sound'?"},
        {{"cpu", "--backend", "sound"}, 2, "--backend chooses among those of a file"},
        {{plugin, "--backend", "sound", "--case", "seq/13x31-f33"}, 2, "did you mean 'seq/13x31-f32'?"},
        {{plugin, "--backend", "sound", "--case", "seq/1x1-f32,seq/13x31-f33"}, 2, "did you mean 'seq/13x31-f32'?"},
        {{plugin, "--backend", "sound", "--case", "seq/1x1-f32,tile-dim/*"}, 2, "of level full: add --level full"},
        {{plugin, "--backend", "sound", "--case", "seq/1x1-f32,!seq/*"}, 2, "leaves no case"},
        {{plugin, "--backend", "sound", "--level", "half"}, 2, "wanted quick or full"},
        {{plugin, "--backend", "sound", "--device", "gfx942"}, 2, "sound knows no 'gfx942'; wanted cpu, rocm:N, cuda:N or an arch that it describes"},
        {{plugin, "--backend", "sound", "--device", "cuda:0"}, 2, "is registered for no device of the kind"},
        {{plugin, "--backend", "sound", "--device", "cpu:7"}, 4, "it has no device of that number"},
        {{plugin, "--backend", "sound", "--jobs", "0"}, 2, "--jobs: 0 is below 1"},
        {{plugin, "--backend", "sound", "--timeout", "never"}, 2, "--timeout"},
        {{plugin, "--backend", "sound", "--case", "seq/1x1-f32", "--junit", "/dev/full"}, 5, "it is no regular file"},
        {{plugin, "--backend", "sound", "--config", "/no/such.toml"}, 5, "/no/such.toml"},
    };
    for (std::size_t n = 0; n < std::size(rows); n += kEvery) {
        const Usage& row = rows[n];
        std::vector<std::string> words{"verify"};
        words.insert(words.end(), row.words.begin(), row.words.end());
        const Outcome outcome = run(words);
        CAPTURE(outcome.err);
        CHECK(outcome.status == row.status);
        CHECK(outcome.out.empty());
        CHECK(contains(outcome.err, row.told));
        CHECK(std::count(outcome.err.begin(), outcome.err.end(), '\n') == 1);
    }
}

TEST_CASE("the JSON report is one object of the documented shape, and people read stderr") {
    const Verified v = verify("off_by_one_tail", {"--case", "seq/1x1-f32,seq/13x31-f32,law/marks-measure"});
    REQUIRE(v.report.is_object());
    CHECK(v.report["backend"] == "off_by_one_tail");
    CHECK(v.report["passed"] == 1);
    CHECK(v.report["failed"] == 1);
    CHECK(v.report["skipped"] == 1);
    CHECK(v.report["device"] == "cpu");
    CHECK(v.report["level"] == "quick");
    const json& failure = v.report["failures"].at(0);
    CHECK(failure["max_error"].get<double>() > failure["tolerance"].get<double>());
    CHECK(contains(v.people, "1 passed, 1 failed, 1 skipped"));
    CHECK_FALSE(contains(v.people, "\033"));  // no terminal: no colour, no progress
    CHECK_FALSE(contains(v.people, "\r"));
}

TEST_CASE("the JUnit report appears whole, with a line for every case") {
    const Folder folder;
    const std::string file = (folder / "report.xml").string();
    const Verified v = verify("crash_on_dim_72", {"--case", "dim/*-f32,law/marks-measure", "--junit", file});
    CHECK(v.status == 4);
    CHECK(folder.names() == "report.xml");  // and nothing beside it
    const std::string text = read_file(file);
    const auto count = [&](std::string_view part) {
        std::size_t found = 0;
        for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
        return found;
    };
    CHECK(text.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n<testsuite "));
    CHECK(count("<testcase ") == 20);
    CHECK(count("<failure message=\"crashed with SIGSEGV") == 1);
    CHECK(count("<skipped message=") == 1);
    CHECK(contains(text, "tests=\"20\" failures=\"1\" errors=\"0\" skipped=\"1\""));
    CHECK(count("<testcase ") == count("/>\n") + count("</testcase>"));
    CHECK(text.ends_with("</testsuite>\n</testsuites>\n"));
}

TEST_CASE("a report that does not fit on the disk is a failure, and leaves nothing") {
    const Folder folder;
    const Outcome outcome =
        run({"verify", built_plugin("faulty").string(), "--backend", "sound", "--case", "seq/1x*", "--junit", (folder / "report.xml").string()}, {},
            {.file_bytes = 1024, .standard_output = {}});
    CHECK(outcome.status != 0);
    CHECK(folder.names().empty());
}

TEST_CASE("another seed makes other values under the same names") {
    const Outcome first = run({"verify", "--list", "--seed", "1"}), second = run({"verify", "--list", "--seed", "2"});
    CHECK(first.status == 0);
    CHECK(first.out == second.out);
    const auto error = [](const char* seed) {
        const Verified v = verify("off_by_one_tail", {"--case", "seq/13x31-f32", "--seed", seed});
        REQUIRE_MESSAGE(v.report.value("failed", 0) == 1, v.people);
        CHECK(v.report["seed"] == std::stoi(seed));
        return v.report["failures"][0]["max_error"].get<double>();
    };
    const double one = error("1");
    CHECK(one == error("1"));
    CHECK(one != error("2"));
}

TEST_SUITE_END();
