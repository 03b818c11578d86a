// Every refusal of the cpu backend, one row each, whether or not core would refuse first; what lies just within the limits; and that the verdict is
// the same with and without a sink.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "conformance/materialise.h"
#include "host.hpp"

using namespace rocforge::conformance;

namespace {

constexpr rf_dtype kF64{RF_T_FLOAT, 64, 1}, kF8{RF_T_F8_E4M3FN, 8, 1}, kU8{RF_T_UINT, 8, 1}, kI8{RF_T_INT, 8, 1}, kI16{RF_T_INT, 16, 1};
constexpr std::int64_t kBeyond = std::int64_t{1} << 31;

// A problem that uses what has limits of its own: pages, scales, a mask, lse.
rf_problem sound() {
    Case c;
    c.features |= RF_F_PAGED_KV | RF_F_KV_LENGTHS | RF_F_KV_SCALES | RF_F_MASK_BOOL;
    c.k_scale = c.v_scale = {2, 0};
    return Materialised(c).problem();
}
rf_problem sound_with_added_mask() {
    Case c;
    c.features |= RF_F_MASK_ADD;
    c.mask.type = kF32;
    return Materialised(c).problem();
}

struct Row {
    const char* name;
    void (*change)(rf_problem&);
    std::int32_t code;
    const char* field;
    const char* have;
    const char* need;
};
const Row kRefused[] = {
    {"dim 1025", [](rf_problem& p) { p.q.shape[3] = p.k.shape[3] = 1025; }, RF_R_HEAD_DIM, "q.shape[3]", "1025", "1..1024"},
    {"dim 0", [](rf_problem& p) { p.q.shape[3] = p.k.shape[3] = 0; }, RF_R_HEAD_DIM, "q.shape[3]", "0", "1..1024"},
    {"dim_v 1025", [](rf_problem& p) { p.v.shape[3] = p.out.shape[3] = 1025; }, RF_R_HEAD_DIM, "v.shape[3]", "1025", "1..1024"},
    {"a negative batch", [](rf_problem& p) { p.batch = -1; }, RF_R_SHAPE, "batch", "-1", "0..2147483647"},
    {"batch 2^31", [](rf_problem& p) { p.batch = kBeyond; }, RF_R_SHAPE, "batch", "2147483648", "0..2147483647"},
    {"2^31 query heads", [](rf_problem& p) { p.q.shape[1] = kBeyond; }, RF_R_SHAPE, "q.shape[1]", "2147483648", "1..2147483647"},
    {"no kv head", [](rf_problem& p) { p.k.shape[1] = 0; }, RF_R_SHAPE, "k.shape[1]", "0", "1..2147483647"},
    {"heads that no group divides", [](rf_problem& p) { p.q.shape[1] = 3; }, RF_R_SHAPE, "q.shape[1]", "3", "a multiple of 2 kv heads"},
    {"2^31 rows", [](rf_problem& p) { p.max_seq_q = kBeyond; }, RF_R_SEQUENCE, "max_seq_q", "2147483648", "0..2147483647"},
    {"2^31 keys", [](rf_problem& p) { p.max_seq_kv = kBeyond; }, RF_R_SEQUENCE, "max_seq_kv", "2147483648", "0..2147483647"},
    {"pages of nothing", [](rf_problem& p) { p.page_size = 0; }, RF_R_KV_LAYOUT, "page_size", "0", "1..2147483647"},
    {"pages of 2^31", [](rf_problem& p) { p.page_size = kBeyond; }, RF_R_KV_LAYOUT, "page_size", "2147483648", "1..2147483647"},
    {"q in fp8", [](rf_problem& p) { p.q.dtype = kF8; }, RF_R_DTYPE, "q.dtype", "type code 10, 8 bits, 1 lanes", "f32, f16, bf16"},
    {"k in fp8", [](rf_problem& p) { p.k.dtype = kF8; }, RF_R_DTYPE, "k.dtype", "type code 10, 8 bits, 1 lanes", "f32, f16, bf16"},
    {"v in f64", [](rf_problem& p) { p.v.dtype = kF64; }, RF_R_DTYPE, "v.dtype", "type code 2, 64 bits, 1 lanes", "f32, f16, bf16"},
    {"out in int8", [](rf_problem& p) { p.out.dtype = kI8; }, RF_R_DTYPE, "out.dtype", "type code 0, 8 bits, 1 lanes", "f32, f16, bf16"},
    {"vectors of two", [](rf_problem& p) { p.q.dtype.lanes = 2; }, RF_R_DTYPE, "q.dtype", "type code 2, 32 bits, 2 lanes", "f32, f16, bf16"},
    {"q of booleans", [](rf_problem& p) { p.q.dtype = kBool; }, RF_R_DTYPE, "q.dtype", "bool (one byte)", "f32, f16, bf16"},
    {"a mask of uint8", [](rf_problem& p) { p.mask.dtype = kU8; }, RF_R_DTYPE, "mask.dtype", "type code 1, 8 bits, 1 lanes", "bool (one byte)"},
    {"lse in f16", [](rf_problem& p) { p.lse.dtype = kF16; }, RF_R_DTYPE, "lse.dtype", "f16", "f32"},
    {"k_scale in f64", [](rf_problem& p) { p.k_scale.dtype = kF64; }, RF_R_DTYPE, "k_scale.dtype", "type code 2, 64 bits, 1 lanes", "f32, f16, bf16"},
    {"v_scale in fp8", [](rf_problem& p) { p.v_scale.dtype = kF8; }, RF_R_DTYPE, "v_scale.dtype", "type code 10, 8 bits, 1 lanes", "f32, f16, bf16"},
    {"indices of 16 bits", [](rf_problem& p) { p.index_dtype = kI16; }, RF_R_DTYPE, "index_dtype", "type code 0, 16 bits, 1 lanes", "i32, i64"},
    {"indices in f32", [](rf_problem& p) { p.index_dtype = kF32; }, RF_R_DTYPE, "index_dtype", "f32", "i32, i64"},
    {"strided q", [](rf_problem& p) { p.q.stride[3] = 2; }, RF_R_STRIDE, "q.stride[3]", "2", "1"},
    {"strided k", [](rf_problem& p) { p.k.stride[3] = 2; }, RF_R_STRIDE, "k.stride[3]", "2", "1"},
    {"strided v", [](rf_problem& p) { p.v.stride[3] = 0; }, RF_R_STRIDE, "v.stride[3]", "0", "1"},
    {"strided out", [](rf_problem& p) { p.out.stride[3] = 2; }, RF_R_STRIDE, "out.stride[3]", "2", "1"},
    {"scale groups across k", [](rf_problem& p) { p.k_scale.shape[3] = 3; }, RF_R_SHAPE, "k_scale.shape[3]", "3", "a divisor of 16"},
    {"no scale for v", [](rf_problem& p) { p.v_scale.shape[3] = 0; }, RF_R_SHAPE, "v_scale.shape[3]", "0", "a divisor of 16"},
};

const Row kAccepted[] = {
    {"as it is", [](rf_problem&) {}, 0, "", "", ""},
    {"dim 1024", [](rf_problem& p) { p.q.shape[3] = p.k.shape[3] = 1024; }, 0, "", "", ""},
    {"dim_v 1", [](rf_problem& p) { p.v.shape[3] = p.out.shape[3] = 1, p.v_scale.shape[3] = 1; }, 0, "", "", ""},
    {"a stride that is never taken", [](rf_problem& p) { p.v.shape[3] = p.out.shape[3] = p.v_scale.shape[3] = 1, p.v.stride[3] = 7; }, 0, "", "", ""},
    {"batch 0", [](rf_problem& p) { p.batch = 0; }, 0, "", "", ""},
    {"2^31 - 1 keys", [](rf_problem& p) { p.max_seq_kv = kBeyond - 1; }, 0, "", "", ""},
    {"k scaled alone", [](rf_problem& p) { p.v_scale = {}; }, 0, "", "", ""},
    {"types that differ", [](rf_problem& p) { p.q.dtype = kF16, p.k.dtype = kBf16, p.out.dtype = kBf16; }, 0, "", "", ""},
    {"a mask without its feature", [](rf_problem& p) { p.features &= ~RF_F_MASK_BOOL, p.mask.dtype = kF8; }, 0, "", "", ""},
};

// The one refusal of that field and code, or nullptr.
const tiny::Refusal* find(const std::vector<tiny::Refusal>& refusals, const Row& row) {
    const auto found = std::find_if(refusals.begin(), refusals.end(),
                                    [&](const tiny::Refusal& r) { return r.code == row.code && r.field == row.field && r.need == row.need; });
    return found == refusals.end() ? nullptr : &*found;
}

void check_refused(const tiny::Cpu& cpu, const rf_problem& problem, const Row& row) {
    const std::vector<tiny::Refusal> refusals = cpu.refusals(problem);
    const tiny::Refusal* refusal = find(refusals, row);
    REQUIRE(refusal);
    CHECK(refusal->have == row.have);
    CHECK(cpu.verdict(problem) == RF_UNSUPPORTED);
    const tiny::Plan plan(cpu, problem);
    CHECK(plan.code() == RF_UNSUPPORTED);
    CHECK_MESSAGE(plan.error() == "cpu: " + refusals[0].field + " is " + refusals[0].have + "; need " + refusals[0].need, plan.error());
}

}  // namespace

TEST_CASE("each limit refuses by field, value and need, and plan refuses what supports does") {
    const tiny::Cpu cpu;
    for (const Row& row : kRefused) {
        CAPTURE(row.name);
        rf_problem problem = sound();
        row.change(problem);
        check_refused(cpu, problem, row);
    }
    rf_problem problem = sound_with_added_mask();
    REQUIRE(cpu.refusals(problem).empty());
    problem.mask.dtype = kBool;
    check_refused(cpu, problem, {"", nullptr, RF_R_DTYPE, "mask.dtype", "bool (one byte)", "f32, f16, bf16"});
}

TEST_CASE("what lies just within the limits is supported") {
    const tiny::Cpu cpu;
    for (const Row& row : kAccepted) {
        CAPTURE(row.name);
        rf_problem problem = sound();
        row.change(problem);
        CHECK_MESSAGE(cpu.refusals(problem).empty(), cpu.refusals(problem)[0].field);
        CHECK(cpu.verdict(problem) == RF_OK);
    }
}

TEST_CASE("with a sink every refusal is reported, not the first alone") {
    const tiny::Cpu cpu;
    rf_problem problem = sound();
    problem.q.shape[3] = problem.k.shape[3] = 2000;
    problem.v.dtype = kF8;
    problem.out.stride[3] = 2;
    CHECK(cpu.refusals(problem).size() >= 3);
}

TEST_CASE("a device of another kind, a hypothetical one and another algorithm are refused") {
    const tiny::Cpu cpu;
    const rf_problem problem = sound();
    rf_device device = cpu.device();
    device.kind = RF_DEVICE_CUDA;
    const std::vector<tiny::Refusal> refusals = cpu.refusals(problem, device);
    REQUIRE(refusals.size() == 1);
    CHECK(refusals[0].code == RF_R_DEVICE_KIND);
    CHECK(tiny::Plan(cpu, problem, device).code() == RF_UNSUPPORTED);
    CHECK(tiny::Plan(cpu, problem, cpu.device(), 1).code() == RF_NOT_FOUND);

    rf_device described{};
    described.struct_size = sizeof described;
    REQUIRE(cpu.table().describe(cpu.backend(), "x86-64-v3", &described) == RF_OK);
    CHECK(described.ordinal == -1);
    CHECK(cpu.refusals(problem, described).empty());
    CHECK(tiny::Plan(cpu, problem, described).code() == RF_UNAVAILABLE);
    CHECK(cpu.table().describe(cpu.backend(), "gfx942", &described) == RF_NOT_FOUND);
    CHECK(cpu.table().device(cpu.backend(), 1, &described, nullptr) == RF_NOT_FOUND);
}

TEST_CASE("supports says the same with and without a sink on random problems") {
    const tiny::Cpu cpu;
    std::mt19937 random(20251122);
    const auto roll = [&](std::size_t sides) { return static_cast<std::size_t>(random()) % sides; };
    int refused = 0;
    constexpr int kProblems = 4000;
    for (int n = 0; n < kProblems; ++n) {
        rf_problem problem = roll(4) ? sound() : sound_with_added_mask();
        for (std::size_t changes = roll(3); changes > 0; --changes) kRefused[roll(std::size(kRefused))].change(problem);
        for (std::size_t changes = roll(3); changes > 0; --changes) kAccepted[roll(std::size(kAccepted))].change(problem);
        if (roll(4) == 0) problem.workspace_limit_bytes = std::uint64_t{1} << roll(30);
        const rf_code verdict = cpu.verdict(problem);
        REQUIRE((verdict == RF_OK) == cpu.refusals(problem).empty());
        refused += verdict != RF_OK;
    }
    CHECK(refused > kProblems / 4);
    CHECK(refused < kProblems * 3 / 4);
}

TEST_CASE("kv_layout offers heads before tokens, then tokens before heads, paged or not") {
    const tiny::Cpu cpu;
    const rf_device device = cpu.device();
    for (const bool paged : {false, true}) {
        const rf_problem problem = paged ? sound() : sound_with_added_mask();
        for (std::uint32_t index = 0; index < 2; ++index) {
            rf_kv_layout layout{};
            layout.struct_size = sizeof layout;
            REQUIRE(cpu.table().kv_layout(cpu.backend(), &device, &problem, index, &layout) == RF_OK);
            CHECK(layout.kind == (paged ? std::uint32_t{RF_KV_PAGED} : std::uint32_t{RF_KV_CONTIGUOUS}));
            CHECK(layout.page_min == (paged ? 1 : 0));
            CHECK(layout.page_max == (paged ? kBeyond - 1 : 0));
            CHECK(layout.page_multiple == (paged ? 1 : 0));
            CHECK(layout.align == 1);
            CHECK(layout.order[0] == 0);
            CHECK(layout.order[1] == (index == 0 ? 1 : 2));
            CHECK(layout.order[2] == (index == 0 ? 2 : 1));
            CHECK(layout.order[3] == 3);
        }
        rf_kv_layout none{};
        none.struct_size = sizeof none;
        CHECK(cpu.table().kv_layout(cpu.backend(), &device, &problem, 2, &none) == RF_NOT_FOUND);
    }
}
