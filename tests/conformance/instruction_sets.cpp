// The cpu backend as each of its instruction sets, and with one thread, on every case; and proof that the heavy cases leave the calling thread.
// A set that the machine lacks is skipped with the backend's own words. Other backends are backends.cpp's business.
#include <doctest/doctest.h>
#include <rocforge/plugin.hpp>

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "conformance/run.h"
#include "host.h"

using namespace rocforge::conformance;
using namespace rocforge::tests;

namespace {

// Sanitized kernels are slow, and every case runs under them in backends.cpp as the machine's best set: here every seventh, and all that are heavy;
// with ThreadSanitizer little else than these, which alone have threads.
constexpr std::size_t kEvery = rocforge::built_with_sanitizer() == RF_SANITIZER_NONE     ? 1
                               : rocforge::built_with_sanitizer() == RF_SANITIZER_THREAD ? 29
                                                                                         : 7;

bool heavy(const Case& c) { return c.name.starts_with("heavy/"); }

// Must this machine be able to run it? By the compiler's own detection or the system's, not the backend's.
bool has_flag(const std::string& flag) {
    std::ifstream info("/proc/cpuinfo");
    for (std::string line; std::getline(info, line);)
        if (line.starts_with("flags")) return (line + " ").find(" " + flag + " ") != std::string::npos;
    return false;
}
bool has_amx() { return has_flag("amx_bf16"); }
bool has_avx512_bf16() { return has_flag("avx512_bf16"); }
bool has_avx512() {
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("bmi2");
#else
    return false;
#endif
}
bool has_avx2() {
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
#else
    return false;
#endif
}
bool has_sse4() {
#if defined(__x86_64__)
    return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
#else
    return false;
#endif
}
bool has_neon() {
#if defined(__aarch64__)
    return true;
#else
    return false;
#endif
}
bool has_scalar() { return !has_neon(); }
bool always() { return true; }

struct Setting {
    const char* name;
    const char* toml;
    Threads threads;
    bool (*must_run)();
};
const Setting kSettings[] = {
    {"amx", "[backend.cpu]\nisa = 'amx'\n", kThreeThreads, has_amx},
    {"avx512_bf16", "[backend.cpu]\nisa = 'avx512_bf16'\n", kThreeThreads, has_avx512_bf16},
    {"avx512", "[backend.cpu]\nisa = 'avx512'\n", kThreeThreads, has_avx512},
    {"avx2", "[backend.cpu]\nisa = 'avx2'\n", kThreeThreads, has_avx2},
    {"sse4", "[backend.cpu]\nisa = 'sse4'\n", kThreeThreads, has_sse4},
    {"neon", "[backend.cpu]\nisa = 'neon'\n", kThreeThreads, has_neon},
    {"scalar", "[backend.cpu]\nisa = 'scalar'\n", kThreeThreads, has_scalar},
    {"one thread", "[backend.cpu]\nthreads = 1\n", kLibraryThreads, always},
};

const PlacedBackend* cpu_of(const Host& host) {
    const auto found = std::find_if(host.backends().begin(), host.backends().end(), [](const PlacedBackend& b) { return b.name == "cpu"; });
    return found == host.backends().end() ? nullptr : &*found;
}

struct Opened {
    const Setting* setting;
    Host host;
    int ran = 0, failed = 0;
    double worst = 0;        // largest share of a tolerance that an error took
    std::string worst_case;  // whose it was
};

std::vector<Opened> open_all() {
    std::vector<Opened> opened;
    for (const Setting& setting : kSettings) {
        Opened next{&setting, Host(setting.threads, setting.toml)};
        if (cpu_of(next.host)) {
            opened.push_back(std::move(next));
            continue;
        }
        for (const std::string& why : next.host.left_out()) {
            if (!why.starts_with("cpu")) continue;
            MESSAGE("skipped: " << std::string(setting.name) << ": " << why);
            CHECK_MESSAGE(!setting.must_run(), std::string(setting.name), " is refused on a machine that has it");
        }
    }
    return opened;
}

Verdict run_on(const Host& host, Prepared& prepared) {
    return run(prepared, [&](const rf_problem& p, const rf_args& a, std::string& why) { return run_planned(host, *cpu_of(host), p, a, why); });
}

}  // namespace

TEST_CASE("every instruction set of the cpu backend, and one thread, match the oracle in every case") {
    std::vector<Opened> opened = open_all();
    REQUIRE(opened.size() >= 2);  // the architecture's least and one thread are always there
    const std::vector<Case> cases = all_cases();
    for (std::size_t n = 0; n < cases.size(); ++n) {
        if (n % kEvery != 0 && !heavy(cases[n])) continue;
        Prepared prepared(cases[n]);
        for (Opened& each : opened) {
            const Verdict v = run_on(each.host, prepared);
            ++each.ran;
            each.failed += v.outcome != Outcome::passed;
            if (v.tolerance > 0 && v.max_error / v.tolerance > each.worst) each.worst = v.max_error / v.tolerance, each.worst_case = cases[n].name;
            CHECK_MESSAGE(v.outcome == Outcome::passed, std::string(each.setting->name), ": ", cases[n].name, ": ", v.where, "; error ", v.max_error,
                          ", tolerance ", v.tolerance);
        }
    }
    for (const Opened& each : opened)
        MESSAGE(std::string(each.setting->name) << ": " << each.ran << " of " << cases.size() << " cases, " << each.failed
                                                << " failed; the largest error took " << each.worst << " of its tolerance, in " << each.worst_case);
}

TEST_CASE("a plan's kernel is of the instruction set that was asked for") {
    Case c;
    c.type = kBf16, c.seq_q = 40;  // what matrix units take
    const Prepared prepared(c);
    for (const Opened& each : open_all()) {
        Planned planned;
        std::string why;
        REQUIRE_MESSAGE(planned.open(each.host, *cpu_of(each.host), prepared.tensors.problem(), why) == RF_OK, why);
        const std::string name = each.setting->name;
        if (name == "one thread") continue;  // of the machine's best
        CHECK_MESSAGE(planned.kernel().ends_with(" " + name), name, ": ", planned.kernel());
    }
}

// What kernels on matrix units do beyond their first chunk of keys: maxima that later keys outgrow, rows that begin late, values too large for a
// stale maximum, several items. (A poke of 250 makes logits that differ by some 2^200 from the others'.)
std::vector<Case> long_cases() {
    const auto make = [](const char* name, std::int64_t rows, std::int64_t keys, std::int64_t dim) {
        Case c;
        c.name = name, c.type = kBf16, c.batch = c.head_q = c.head_kv = 1;
        c.seq_q = rows, c.seq_kv = keys, c.dim = dim;
        return c;
    };
    std::vector<Case> cases{make("a key outgrows the first block", 70, 600, 64),
                            make("two keys do, causal", 200, 620, 32),
                            make("a window that most rows enter late", 300, 300, 32),
                            make("values beyond 2^60", 70, 600, 64),
                            make("NaN behind the causal rule", 300, 300, 32),
                            make("three heads of several items", 400, 290, 32),
                            make("dims of five and three tiles", 40, 300, 160),
                            make("sums of 2^85", 70, 600, 64),
                            make("logits of 1e11", 40, 300, 64),
                            make("a sink outweighs a NaN", 40, 300, 32),
                            make("a scale of 3e38", 40, 70, 32),
                            make("logits that bf16 holds", 40, 290, 64),
                            make("spread: 16 rows, keys split", 16, 2048, 64),
                            make("spread: 330 rows", 330, 330, 64),
                            make("a scale far below its softcap", 40, 70, 32),
                            make("a scale so far below that their quotient has no digits", 40, 70, 32),
                            make("a scale far above its softcap, and a row of zeros", 40, 70, 32)};
    cases[0].pokes = {{'k', 0, 0, 300, -1, 250}};
    cases[1].features |= RF_F_CAUSAL | RF_F_BOTTOM_RIGHT, cases[1].pokes = {{'k', 0, 0, 270, -1, 250}, {'k', 0, 0, 550, -1, 1000}};
    cases[2].features |= RF_F_CAUSAL | RF_F_WINDOW, cases[2].window_left = 33;
    cases[3].v.amplitude = 1e30, cases[3].pokes = {{'k', 0, 0, 400, -1, 25}};
    cases[4].features |= RF_F_CAUSAL, cases[4].pokes = {{'v', 0, 0, 270, -1, NAN}, {'v', 0, 0, 100, 3, INFINITY}};
    cases[5].features |= RF_F_CAUSAL, cases[5].head_q = 3;
    cases[6].dim_v = 96;
    cases[7].v.amplitude = 5e17, cases[7].pokes = {{'k', 0, 0, 400, -1, 70}};
    cases[8].q = {1.3e6, true, false}, cases[8].k.amplitude = 1e6, cases[8].pokes = {{'k', 0, 0, 3, -1, 1e6}};
    cases[9].features |= RF_F_SINK, cases[9].sinks = {200}, cases[9].pokes = {{'v', 0, 0, 5, -1, NAN}};
    cases[10].scale = 3e38f, cases[10].q.amplitude = 1e-30, cases[10].k.amplitude = 1e-8;
    cases[11].q = {1, true, false}, cases[11].scale = 1.0f / 64;  // exact: an lse's tolerance is 1e-5
    for (std::int64_t j = 0; j < cases[11].seq_kv; ++j) cases[11].pokes.push_back({'k', 0, 0, j, -1, static_cast<double>(j % 13) / 8});
    cases[12].features |= RF_F_SINK, cases[12].head_q = 4;
    cases[13].features |= RF_F_CAUSAL, cases[13].head_q = 4;
    for (const std::size_t i : {14, 15, 16}) cases[i].features |= RF_F_SOFTCAP;
    cases[14].scale = 1e-3f, cases[14].softcap = 3e38f;
    cases[15].scale = 1e-8f, cases[15].softcap = 3e38f, cases[15].q.amplitude = cases[15].k.amplitude = 1e4;
    cases[16].scale = 1e10f, cases[16].softcap = 1e-29f, cases[16].pokes = {{'q', 0, 0, 3, -1, 0}};
    return cases;
}

TEST_CASE("kernels on matrix units match the oracle beyond their first chunk of keys") {
    const std::vector<Case> cases = long_cases();
    for (const Opened& each : open_all()) {
        const std::string name = each.setting->name;
        if (name != "amx" && name != "avx512_bf16") continue;
        for (const Case& c : cases) {
            const bool threads_alone = rocforge::built_with_sanitizer() == RF_SANITIZER_THREAD;  // the others have one, and the oracle is slow there
            if (threads_alone && !c.name.starts_with("spread")) continue;
            Prepared prepared(c);
            const int lent_before = each.host.lent_calls();
            const Verdict v = run_on(each.host, prepared);
            if (c.name.starts_with("spread")) CHECK_MESSAGE(each.host.lent_calls() > lent_before, name, ": ", c.name);
            CHECK_MESSAGE(v.outcome == Outcome::passed, name, ": ", c.name, ": ", v.where, "; error ", v.max_error, ", tolerance ", v.tolerance);
        }
    }
}

TEST_CASE("every heavy case is spread over the workers that a host lends, and no light one is") {
    int spread = 0, light = 0;
    for (const Case& c : all_cases()) {
        if (!heavy(c) && c.name != "seq/1x64-f32") continue;
        Prepared prepared(c);
        const Host host(kThreeThreads);
        REQUIRE(cpu_of(host));
        Planned planned;
        std::string why;
        REQUIRE_MESSAGE(planned.open(host, *cpu_of(host), prepared.tensors.problem(), why) == RF_OK, why);
        if (planned.kernel().ends_with(" amx")) {
            MESSAGE("skipped: " << c.name << ": light for " << planned.kernel());
            continue;
        }
        CHECK_MESSAGE(run_on(host, prepared).outcome == Outcome::passed, c.name);
        CHECK_MESSAGE((host.lent_calls() > 0) == heavy(c), c.name, ": parallel_for was called ", host.lent_calls(), " times");
        spread += host.lent_calls() > 0;
        light += !heavy(c);
    }
    CHECK(light > 0);
    CHECK(spread >= 10);
}
