// The cpu backend obeys its options and the problem's workspace limit: workers, kernels, memory. Results stay what the oracle says throughout.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "conformance/run.h"
#include "host.hpp"

using namespace rocforge::conformance;

namespace {

// Heavy enough to be spread over any number of workers here: 2 kv heads, few rows, thousands of keys.
Case heavy_decode() {
    Case c;
    c.name = "a heavy decode", c.batch = 2, c.head_q = 4, c.head_kv = 2, c.seq_q = 1, c.seq_kv = 4000, c.dim = 64;
    return c;
}
Case heavy_prefill() {
    Case c;
    c.name = "a heavy prefill", c.batch = 1, c.head_q = 2, c.head_kv = 1, c.seq_q = 100, c.seq_kv = 400, c.dim = 64;
    return c;
}

#if defined(__x86_64__)
constexpr const char* kForeign = "neon";
#else
constexpr const char* kForeign = "avx2";
#endif

// As the backend lists them, best first.
std::vector<std::string> instruction_sets_here() {
    const std::string all = tiny::Cpu(8, {{"isa", "mmx"}}).error();
    std::string rest = all.substr(all.rfind("runs ") + 5);
    std::vector<std::string> names;
    for (std::size_t comma = 0; comma != std::string::npos; rest.erase(0, comma == std::string::npos ? comma : comma + 2)) {
        comma = rest.find(", ");
        names.push_back(rest.substr(0, comma));
    }
    return names;
}

// A variable of this process for as long as the object lives.
class Environment {
public:
    Environment(const char* name, const char* value) : name_(name) {
        if (const char* old = std::getenv(name)) before_ = old;
        setenv(name, value, 1);
    }
    ~Environment() { setenv(name_, before_.c_str(), 1); }
    Environment(const Environment&) = delete;
    Environment& operator=(const Environment&) = delete;

private:
    const char* name_;
    std::string before_;
};

Verdict run_plan(Prepared& prepared, const tiny::Plan& plan) {
    return run(prepared, [&](const rf_problem&, const rf_args& args, std::string& why) { return plan.forward(args, why); });
}

struct Kernel {
    const char* what;
    void (*change)(Case&);
    const char* name;  // how it starts
};
const Kernel kKernels[] = {
    {"one row, one head", [](Case& c) { c.seq_q = 1; }, "decode_f32 "},
    {"one row of four grouped heads", [](Case& c) { c.seq_q = 1, c.head_q = 4, c.head_kv = 1; }, "decode_f32 "},
    {"one row, bf16 cache", [](Case& c) { c.seq_q = 1, c.k_type = c.v_type = kBf16; }, "decode_bf16 "},
    {"many rows", [](Case& c) { c.seq_q = 40; }, "prefill_f32 "},
    {"many rows in f16", [](Case& c) { c.seq_q = 40, c.type = kF16; }, "prefill_f16 "},
    {"ragged, up to 40 rows", [](Case& c) { c.seq_q = 40, c.features |= RF_F_RAGGED_Q; }, "ragged_f32 "},
    {"ragged, one row each", [](Case& c) { c.seq_q = 1, c.features |= RF_F_RAGGED_Q; }, "decode_f32 "},
};

}  // namespace

TEST_CASE("threads bounds the workers of a call by the option and by what the host lends") {
    struct Row {
        const char* threads;
        std::uint32_t lent, workers;  // 0: not spread
    };
    Prepared prepared(heavy_decode());
    for (const Row& row : {Row{"0", 8, 8}, {"", 8, 8}, {"3", 8, 3}, {"99", 8, 8}, {"1024", 2, 2}, {"1", 8, 0}, {"0", 1, 0}, {"5", 1, 0}}) {
        CAPTURE(row.threads);
        CAPTURE(row.lent);
        tiny::Cpu cpu(row.lent, {{"threads", row.threads}});
        REQUIRE(cpu.code() == RF_OK);
        const tiny::Plan plan(cpu, prepared.tensors.problem());
        CHECK(run_plan(prepared, plan).outcome == Outcome::passed);
        CHECK(cpu.most_workers == row.workers);
    }
}

TEST_CASE("a light call wakes no worker") {
    const Case small;
    Prepared prepared(small);
    const tiny::Cpu cpu(8);
    CHECK(run_plan(prepared, tiny::Plan(cpu, prepared.tensors.problem())).outcome == Outcome::passed);
    CHECK(cpu.most_workers == 0);
}

TEST_CASE("options that are not obeyed are refused at init") {
    for (const char* threads : {"x", "-1", "1025", "3 ", "0x2", "99999999999999999999"}) {
        const tiny::Cpu cpu(8, {{"threads", threads}});
        CHECK(cpu.code() == RF_INVALID);
        CHECK(cpu.error() == "cpu: option threads is \"" + std::string(threads) + "\"; need 0..1024");
    }
    struct Row {
        const char *isa, *why;
    };
    for (const Row& row : {Row{"mmx", "there is no such instruction set; this machine runs "},
                           {"", ""},
                           {"sve", "no kernel is built for it: "},
                           {kForeign, "it is no instruction set of this architecture; this machine runs "}}) {
        const tiny::Cpu cpu(8, {{"isa", row.isa}});
        if (!*row.isa) {
            CHECK(cpu.code() == RF_OK);  // unset
            continue;
        }
        CHECK(cpu.code() == RF_INVALID);
        CHECK_MESSAGE(cpu.error().starts_with("cpu: option isa is \"" + std::string(row.isa) + "\": " + row.why), cpu.error());
    }
}

TEST_CASE("isa chooses the kernel by name, and auto the first of those that the machine runs") {
    Prepared prepared(heavy_prefill());
    const std::vector<std::string> names = instruction_sets_here();
    REQUIRE_FALSE(names.empty());
    for (const std::string& name : names) {
        CAPTURE(name);
        const tiny::Cpu cpu(2, {{"isa", name}});
        REQUIRE_MESSAGE(cpu.code() == RF_OK, cpu.error());
        CHECK(cpu.device().runtime == name);
        const bool matrix = name == "amx" || name == "avx512_bf16";
        const tiny::Plan plan(cpu, prepared.tensors.problem());
        CHECK(plan.info().kernel == "prefill_f32 " + (matrix ? "avx512" : name));  // their units multiply bf16 alone
        CHECK(run_plan(prepared, plan).outcome == Outcome::passed);
        for (Case half : {heavy_prefill(), heavy_decode()}) {
            half.type = kBf16, half.head_q = half.head_kv;  // one row of decode is few to every set
            Prepared prepared_half(half);
            const tiny::Plan plan_half(cpu, prepared_half.tensors.problem());
            const bool decode = half.seq_q == 1;
            CHECK(plan_half.info().kernel == (decode ? "decode_bf16 " : "prefill_bf16 ") + name);
            CHECK(run_plan(prepared_half, plan_half).outcome == Outcome::passed);
        }
    }
    CHECK(tiny::Cpu(2).device().runtime == names.front());
}

TEST_CASE("ROCFORGE_CPU_ISA comes before the option, and what it cannot have is refused in its name") {
    const std::vector<std::string> names = instruction_sets_here();
    const Environment forced("ROCFORGE_CPU_ISA", names.back().c_str());
    CHECK(tiny::Cpu(2, {{"isa", names.front()}}).device().runtime == names.back());
    const Environment wrong("ROCFORGE_CPU_ISA", "sse9");
    const tiny::Cpu cpu(2);
    CHECK(cpu.code() == RF_INVALID);
    CHECK_MESSAGE(cpu.error().starts_with("cpu: ROCFORGE_CPU_ISA is \"sse9\": there is no such instruction set; this machine runs "), cpu.error());
    const Environment unset("ROCFORGE_CPU_ISA", "");
    CHECK(tiny::Cpu(2).device().runtime == names.front());
}

TEST_CASE("a plan's kernel is named by what it runs") {
    const tiny::Cpu cpu;
    for (const Kernel& row : kKernels) {
        CAPTURE(row.what);
        Case c;
        row.change(c);
        const Materialised tensors(c);
        const tiny::Plan plan(cpu, tensors.problem());
        REQUIRE(plan.code() == RF_OK);
        CHECK_MESSAGE(std::string(plan.info().kernel).starts_with(row.name), plan.info().kernel);
    }
}

TEST_CASE("a tighter workspace limit is kept, takes workers away step by step, and changes no result") {
    for (const Case& c : {heavy_decode(), heavy_prefill()}) {
        CAPTURE(c.name);
        Prepared prepared(c);
        tiny::Cpu cpu;
        rf_problem problem = prepared.tensors.problem();
        problem.workspace_limit_bytes = 1;
        const std::vector<tiny::Refusal> refusals = cpu.refusals(problem);
        REQUIRE(refusals.size() == 1);
        CHECK(refusals[0].code == RF_R_WORKSPACE);
        CHECK(refusals[0].field == "workspace_limit_bytes");
        REQUIRE(refusals[0].need.starts_with("at least "));
        const std::uint64_t least = std::stoull(refusals[0].need.substr(std::strlen("at least ")));
        CHECK(cpu.verdict(problem) == RF_UNSUPPORTED);
        CHECK(tiny::Plan(cpu, problem).code() == RF_UNSUPPORTED);
        problem.workspace_limit_bytes = least - 1;
        CHECK(cpu.verdict(problem) == RF_UNSUPPORTED);

        problem.workspace_limit_bytes = UINT64_MAX;
        std::uint32_t workers = 9, steps = 0;
        for (std::uint64_t limit = tiny::Plan(cpu, problem).info().workspace_bytes; limit >= least;
             limit = limit == least ? 0 : std::max(limit / 2, least)) {
            CAPTURE(limit);
            problem.workspace_limit_bytes = limit;
            REQUIRE(cpu.verdict(problem) == RF_OK);
            const tiny::Plan plan(cpu, problem);
            REQUIRE(plan.code() == RF_OK);
            CHECK(plan.info().workspace_bytes <= limit);
            cpu.most_workers = 0;
            const Verdict v = run_plan(prepared, plan);
            CHECK_MESSAGE(v.outcome == Outcome::passed, v.where);
            CHECK(cpu.most_workers <= workers);
            steps += cpu.most_workers < workers;
            workers = cpu.most_workers;
        }
        CHECK(workers == 0);  // one worker's workspace: not spread
        CHECK(steps >= 3);
    }
}

TEST_CASE("forward refuses a workspace that is too small or absent") {
    Case c;
    Materialised tensors(c);
    const tiny::Cpu cpu;
    const tiny::Plan plan(cpu, tensors.problem());
    const rf_device device = cpu.device();
    rf_plan* made = nullptr;
    rf_plan_info info{};
    info.struct_size = sizeof info;
    REQUIRE(cpu.table().plan(cpu.backend(), &device, &tensors.problem(), 0, &made, &info, nullptr) == RF_OK);
    rf_args args = tensors.args();
    args.workspace = nullptr;
    args.workspace_bytes = info.workspace_bytes;
    CHECK(cpu.table().forward(made, &args, nullptr) == RF_INVALID);
    std::vector<std::byte> small(static_cast<std::size_t>(info.workspace_bytes));
    args.workspace = small.data();
    args.workspace_bytes = info.workspace_bytes - 1;
    CHECK(cpu.table().forward(made, &args, nullptr) == RF_INVALID);
    cpu.table().plan_free(made);
}

TEST_CASE("forward refuses index tensors that describe no batch, by name, place and value") {
    struct Row {
        const char* what;
        std::size_t args_offset;  // offsetof(rf_args, ...)
        std::int64_t place, value;
        const char* message;
    };
    Case c;
    c.features |= RF_F_RAGGED_Q | RF_F_PAGED_KV | RF_F_KV_LENGTHS;
    c.batch = 3, c.q_lengths = {5, 0, 7}, c.kv_lengths = {11, 3, 7}, c.spare_tokens = 0;
    for (const Row& row : {
             Row{"a first offset", offsetof(rf_args, cu_seqlens_q), 0, 1, "cpu: cu_seqlens_q[0] = 1; must be 0"},
             {"a descent", offsetof(rf_args, cu_seqlens_q), 2, 4, "cpu: cu_seqlens_q[2] = 4 after 5; must ascend"},
             {"tokens past the tensor", offsetof(rf_args, cu_seqlens_q), 3, 13, "cpu: cu_seqlens_q[3] = 13 is past the tensor's 12 tokens"},
             {"a long sequence", offsetof(rf_args, cu_seqlens_q), 1, 8, "cpu: cu_seqlens_q[1] = 8 after 0: a sequence longer than max_seq_q = 7"},
             {"a negative page", offsetof(rf_args, block_table), 1, -1, "cpu: block_table[0][1] = -1 is outside the cache's "},
             {"the first page past the cache", offsetof(rf_args, block_table), 0, 8, "cpu: block_table[0][0] = 8 is outside the cache's 8 pages"},
         }) {
        CAPTURE(row.what);
        Materialised tensors(c);
        const tiny::Cpu cpu;
        const tiny::Plan plan(cpu, tensors.problem());
        std::string why;
        REQUIRE(plan.forward(tensors.args(), why) == RF_OK);
        const auto span =
            std::find_if(tensors.spans().begin(), tensors.spans().end(), [&](const Span& s) { return s.args_offset == row.args_offset; });
        REQUIRE(span != tensors.spans().end());
        store_index(kI32, span->base, row.place, row.value);
        CHECK(plan.forward(tensors.args(), why) == RF_INVALID);
        CHECK_MESSAGE(why.starts_with(row.message), why);
    }
}
