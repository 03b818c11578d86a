// Every refusal of the built gpu and flash_attention plugins, one row each, whether or not core would refuse first; what lies just within the limits;
// and what they say of devices. No GPU and no runtime is needed; where this build has no device code, that is one more refusal, put aside here.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "conformance/materialise.h"
#include "host.hpp"

using namespace rocforge::conformance;

namespace {

constexpr rf_dtype kF64{RF_T_FLOAT, 64, 1}, kF8{RF_T_F8_E4M3FN, 8, 1}, kU8{RF_T_UINT, 8, 1}, kI16{RF_T_INT, 16, 1};
constexpr std::int64_t kBeyond = std::int64_t{1} << 31, kBeyondFlash = std::int64_t{1} << 30;

struct Row {
    const char* name;
    void (*change)(rf_problem&);
    std::int32_t code;
    const char* field;
    const char* have;
    const char* need;
    const char* hint;
};

const Row kBoth[] = {
    {"a negative batch", [](rf_problem& p) { p.batch = -1; }, RF_R_SHAPE, "batch", "-1", "0..2147483647", ""},
    {"batch 2^31", [](rf_problem& p) { p.batch = kBeyond; }, RF_R_SHAPE, "batch", "2147483648", "0..2147483647", ""},
    {"2^31 query heads", [](rf_problem& p) { p.q.shape[1] = kBeyond; }, RF_R_SHAPE, "q.shape[1]", "2147483648", "1..2147483647", ""},
    {"no kv head", [](rf_problem& p) { p.k.shape[1] = 0; }, RF_R_SHAPE, "k.shape[1]", "0", "1..2147483647", ""},
    {"heads that no group divides", [](rf_problem& p) { p.q.shape[1] = 3; }, RF_R_SHAPE, "q.shape[1]", "3", "a multiple of 2 kv heads", ""},
    {"pages of nothing", [](rf_problem& p) { p.page_size = 0; }, RF_R_KV_LAYOUT, "page_size", "0", nullptr, ""},
    {"q in fp8", [](rf_problem& p) { p.q.dtype = kF8; }, RF_R_DTYPE, "q.dtype", "type code 10, 8 bits, 1 lanes", nullptr, "convert the tensor"},
    {"k in f64", [](rf_problem& p) { p.k.dtype = kF64; }, RF_R_DTYPE, "k.dtype", "type code 2, 64 bits, 1 lanes", nullptr, "convert the tensor"},
    {"v in uint8", [](rf_problem& p) { p.v.dtype = kU8; }, RF_R_DTYPE, "v.dtype", "type code 1, 8 bits, 1 lanes", nullptr, "convert the tensor"},
    {"out of booleans", [](rf_problem& p) { p.out.dtype = kBool; }, RF_R_DTYPE, "out.dtype", "bool (one byte)", nullptr, "convert the tensor"},
    {"a mask of uint8", [](rf_problem& p) { p.mask.dtype = kU8; }, RF_R_DTYPE, "mask.dtype", "type code 1, 8 bits, 1 lanes", "bool (one byte)", ""},
    {"lse in f16", [](rf_problem& p) { p.lse.dtype = kF16; }, RF_R_DTYPE, "lse.dtype", "f16", "f32", ""},
    {"indices of 16 bits", [](rf_problem& p) { p.index_dtype = kI16; }, RF_R_DTYPE, "index_dtype", "type code 0, 16 bits, 1 lanes", "i32, i64", ""},
    {"strided q", [](rf_problem& p) { p.q.stride[3] = 2; }, RF_R_STRIDE, "q.stride[3]", "2", "1", "dim innermost"},
    {"strided out", [](rf_problem& p) { p.out.stride[3] = 2; }, RF_R_STRIDE, "out.stride[3]", "2", "1", "dim innermost"},
};

const Row kFlash[] = {
    {"dim 264", [](rf_problem& p) { p.q.shape[3] = p.k.shape[3] = 264; }, RF_R_HEAD_DIM, "q.shape[3]", "264", "8..256, a multiple of 8", "\"gpu\""},
    {"dim 12", [](rf_problem& p) { p.q.shape[3] = p.k.shape[3] = 12; }, RF_R_HEAD_DIM, "q.shape[3]", "12", "8..256, a multiple of 8", "\"gpu\""},
    {"dim 0", [](rf_problem& p) { p.q.shape[3] = p.k.shape[3] = 0; }, RF_R_HEAD_DIM, "q.shape[3]", "0", "8..256, a multiple of 8", "\"gpu\""},
    {"dim_v 264", [](rf_problem& p) { p.v.shape[3] = p.out.shape[3] = 264; }, RF_R_HEAD_DIM, "v.shape[3]", "264", "8..256, a multiple of 8",
     "\"gpu\""},
    {"2^30 rows", [](rf_problem& p) { p.max_seq_q = kBeyondFlash; }, RF_R_SEQUENCE, "max_seq_q", "1073741824", "0..1073741823", "\"gpu\""},
    {"2^30 keys", [](rf_problem& p) { p.max_seq_kv = kBeyondFlash; }, RF_R_SEQUENCE, "max_seq_kv", "1073741824", "0..1073741823", "\"gpu\""},
    {"2^30 rows of two heads together", [](rf_problem& p) { p.q.shape[1] = 4, p.max_seq_q = kBeyondFlash / 2; }, RF_R_SEQUENCE,
     "q.shape[1] / k.shape[1] * max_seq_q", "1073741824", "0..1073741823", "\"gpu\""},
    {"more rows of all heads than 64 bits count", [](rf_problem& p) { p.q.shape[1] = kBeyond << 20, p.max_seq_q = kBeyond << 9; }, RF_R_SEQUENCE,
     "q.shape[1] / k.shape[1] * max_seq_q", "9223372036854775807", "0..1073741823", "\"gpu\""},
    {"2^40 rows and one head's more", [](rf_problem& p) { p.batch = std::int64_t{1} << 20, p.max_seq_q = (std::int64_t{1} << 19) + 1; }, RF_R_SHAPE,
     "batch * q.shape[1] * max_seq_q", "1099513724928", "0..1099511627776", "\"gpu\""},
    {"pages of 2^30", [](rf_problem& p) { p.page_size = kBeyondFlash; }, RF_R_KV_LAYOUT, "page_size", "1073741824", "1..1073741823", "\"gpu\""},
    {"keys 2^25 elements apart", [](rf_problem& p) { p.k.stride[2] = 1 << 25; }, RF_R_STRIDE, "k.stride[2]", "33554432", "0..33554431", "\"gpu\""},
    {"values 2^25 elements apart", [](rf_problem& p) { p.v.stride[2] = 1 << 25; }, RF_R_STRIDE, "v.stride[2]", "33554432", "0..33554431", "\"gpu\""},
    {"q in f32", [](rf_problem& p) { p.q.dtype = kF32; }, RF_R_DTYPE, "q.dtype", "f32", "f16, bf16", "\"gpu\""},
    {"v in f32", [](rf_problem& p) { p.v.dtype = kF32; }, RF_R_DTYPE, "v.dtype", "f32", "f16, bf16", "\"gpu\""},
    {"q at any element", [](rf_problem& p) { p.q.align = 0; }, RF_R_ALIGN, "q.align", "one element", "16 bytes or more", "promise"},
    {"k at 8 bytes", [](rf_problem& p) { p.k.align = 8; }, RF_R_ALIGN, "k.align", "8", "16 bytes or more", "promise"},
    {"out at 2 bytes", [](rf_problem& p) { p.out.align = 2; }, RF_R_ALIGN, "out.align", "2", "16 bytes or more", "promise"},
    {"q's tokens at 4 elements", [](rf_problem& p) { p.q.stride[2] = 20; }, RF_R_STRIDE, "q.stride[2]", "20",
     "a multiple of 8: rows begin at multiples of 16 bytes", "\"gpu\""},
    {"v's heads at odd places", [](rf_problem& p) { p.v.stride[1] = 101; }, RF_R_STRIDE, "v.stride[1]", "101",
     "a multiple of 8: rows begin at multiples of 16 bytes", "\"gpu\""},
    {"k's pages at odd places", [](rf_problem& p) { p.k.stride[0] = 4 * 16 * 2 + 2; }, RF_R_STRIDE, "k.stride[0]", "130",
     "a multiple of 8: rows begin at multiples of 16 bytes", "\"gpu\""},
    {"out's tokens at 4 elements", [](rf_problem& p) { p.out.stride[2] = 20; }, RF_R_STRIDE, "out.stride[2]", "20",
     "a multiple of 8: rows begin at multiples of 16 bytes", "\"gpu\""},
};
const Row kFlashAccepts[] = {
    {"as it is", [](rf_problem&) {}, 0, "", "", "", ""},
    {"dim 256 and dim_v 8", [](rf_problem& p) { p.q.shape[3] = p.k.shape[3] = 256, p.v.shape[3] = p.out.shape[3] = 8; }, 0, "", "", "", ""},
    {"dim 72", [](rf_problem& p) { p.q.shape[3] = p.k.shape[3] = 72; }, 0, "", "", "", ""},
    {"f16", [](rf_problem& p) { p.q.dtype = p.k.dtype = p.v.dtype = p.out.dtype = kF16; }, 0, "", "", "", ""},
    {"pages of one token", [](rf_problem& p) { p.page_size = 1; }, 0, "", "", "", ""},
    {"batch 0", [](rf_problem& p) { p.batch = 0; }, 0, "", "", "", ""},
    {"no rows", [](rf_problem& p) { p.max_seq_q = 0; }, 0, "", "", "", ""},
    {"no keys", [](rf_problem& p) { p.max_seq_kv = 0; }, 0, "", "", "", ""},
    {"2^30 - 1 keys", [](rf_problem& p) { p.max_seq_kv = kBeyondFlash - 1; }, 0, "", "", "", ""},
    {"a stride that is never taken", [](rf_problem& p) { p.v.shape[2] = 1, p.v.stride[2] = 3; }, 0, "", "", "", ""},
    {"a stride of 0", [](rf_problem& p) { p.k.stride[1] = 0; }, 0, "", "", "", ""},
    {"an odd mask", [](rf_problem& p) { p.mask.stride[2] = 13; }, 0, "", "", "", ""},
};

const Row kGpu[] = {
    {"dim 577", [](rf_problem& p) { p.q.shape[3] = p.k.shape[3] = 577; }, RF_R_HEAD_DIM, "q.shape[3]", "577", "1..576", "another backend"},
    {"dim 0", [](rf_problem& p) { p.q.shape[3] = p.k.shape[3] = 0; }, RF_R_HEAD_DIM, "q.shape[3]", "0", "1..576", "another backend"},
    {"dim_v 513", [](rf_problem& p) { p.v.shape[3] = p.out.shape[3] = 513; }, RF_R_HEAD_DIM, "v.shape[3]", "513", "1..512", "another backend"},
    {"2^31 rows", [](rf_problem& p) { p.max_seq_q = kBeyond; }, RF_R_SEQUENCE, "max_seq_q", "2147483648", "0..2147483647", "another backend"},
    {"2^31 keys", [](rf_problem& p) { p.max_seq_kv = kBeyond; }, RF_R_SEQUENCE, "max_seq_kv", "2147483648", "0..2147483647", "another backend"},
    {"pages of 2^31", [](rf_problem& p) { p.page_size = kBeyond; }, RF_R_KV_LAYOUT, "page_size", "2147483648", "1..2147483647", "another backend"},
    {"q in fp8", [](rf_problem& p) { p.q.dtype = kF8; }, RF_R_DTYPE, "q.dtype", "type code 10, 8 bits, 1 lanes", "f32, f16, bf16", "another backend"},
    {"k_scale in f64", [](rf_problem& p) { p.k_scale.dtype = kF64; }, RF_R_DTYPE, "k_scale.dtype", "type code 2, 64 bits, 1 lanes", "f32, f16, bf16",
     ""},
    {"scale groups across k", [](rf_problem& p) { p.k_scale.shape[3] = 3; }, RF_R_SHAPE, "k_scale.shape[3]", "3", "a divisor of 16", ""},
    {"no scale for v", [](rf_problem& p) { p.v_scale.shape[3] = 0; }, RF_R_SHAPE, "v_scale.shape[3]", "0", "a divisor of 16", ""},
};
const Row kGpuAccepts[] = {
    {"as it is", [](rf_problem&) {}, 0, "", "", "", ""},
    {"dim 576 and dim_v 512", [](rf_problem& p) { p.q.shape[3] = p.k.shape[3] = 576, p.v.shape[3] = p.out.shape[3] = 512; }, 0, "", "", "", ""},
    {"dim 1", [](rf_problem& p) { p.q.shape[3] = p.k.shape[3] = p.k_scale.shape[3] = 1; }, 0, "", "", "", ""},
    {"types that differ", [](rf_problem& p) { p.q.dtype = kF16, p.k.dtype = kBf16, p.v.dtype = kF32, p.out.dtype = kBf16; }, 0, "", "", "", ""},
    {"any element, any stride", [](rf_problem& p) { p.q.align = 0, p.q.stride[1] = 101, p.out.stride[2] = 17; }, 0, "", "", "", ""},
    {"2^31 - 1 keys", [](rf_problem& p) { p.max_seq_kv = kBeyond - 1; }, 0, "", "", "", ""},
    {"batch 0", [](rf_problem& p) { p.batch = 0; }, 0, "", "", "", ""},
};

// Problems that use what has limits of its own: pages, a mask, lse; for gpu also scales.
rf_problem for_flash() {
    Case c;
    c.features |= RF_F_PAGED_KV | RF_F_KV_LENGTHS | RF_F_MASK_BOOL;
    c.type = kBf16, c.align = 16;
    return Materialised(c).problem();
}
rf_problem for_gpu() {
    Case c;
    c.features |= RF_F_PAGED_KV | RF_F_KV_LENGTHS | RF_F_MASK_BOOL | RF_F_KV_SCALES;
    c.k_scale = c.v_scale = {2, 0};
    return Materialised(c).problem();
}

struct Plugin {
    const char* name;
    const char* file;
    rf_problem (*sound)();
    std::span<const Row> refuses, accepts;
    std::int64_t page_max;
    std::uint32_t align;
};
const Plugin kPlugins[] = {
    {"gpu", ROCFORGE_GPU_PLUGIN, for_gpu, kGpu, kGpuAccepts, kBeyond - 1, 1},
    {"flash_attention", ROCFORGE_FLASH_PLUGIN, for_flash, kFlash, kFlashAccepts, kBeyondFlash - 1, 16},
};

const char* hypothetical(const rf_backend_api& table) { return table.device_kind == RF_DEVICE_ROCM ? "gfx942" : "sm_90"; }

// Runs body(plugin, backend, hypothetical device) for every plugin and vendor.
template <class Body> void for_each_backend(Body&& body) {
    for (const Plugin& plugin : kPlugins) {
        for (const rf_backend_api* table : tiny::tables_of(tiny::entry_of(plugin.file))) {
            CAPTURE(plugin.name);
            CAPTURE(table->device_kind);
            const tiny::Backend backend(*table);
            body(plugin, backend, backend.describe(hypothetical(*table)));
        }
    }
}

// Refusals of the problem, those of the device put aside.
std::vector<tiny::Refusal> of_problem(const tiny::Backend& backend, const rf_device& device, const rf_problem& problem) {
    std::vector<tiny::Refusal> refusals = backend.refusals(device, problem);
    std::erase_if(refusals, [](const tiny::Refusal& r) { return r.code == RF_R_ARCH || r.code == RF_R_NOT_BUILT; });
    return refusals;
}

bool contains(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

void check_refused(const tiny::Backend& backend, const rf_device& device, rf_problem problem, const Row& row) {
    CAPTURE(row.name);
    row.change(problem);
    const std::vector<tiny::Refusal> refusals = of_problem(backend, device, problem);
    const auto found =
        std::find_if(refusals.begin(), refusals.end(), [&](const tiny::Refusal& r) { return r.code == row.code && r.field == row.field; });
    REQUIRE(found != refusals.end());
    CHECK(found->have == row.have);
    if (row.need) CHECK(found->need == row.need);
    CHECK_MESSAGE(contains(found->hint, row.hint), found->hint);
    const tiny::Plan plan(backend, device, problem);
    CHECK(plan.outcome().code == RF_UNSUPPORTED);
    CHECK_MESSAGE(plan.outcome().message.starts_with(std::string(backend.table().name) + ": "), plan.outcome().message);
}

}  // namespace

TEST_CASE("each limit of a GPU plugin refuses by field, value, need and hint, and plan refuses what supports does") {
    for_each_backend([](const Plugin& plugin, const tiny::Backend& backend, const rf_device& device) {
        for (const Row& row : kBoth) check_refused(backend, device, plugin.sound(), row);
        for (const Row& row : plugin.refuses) check_refused(backend, device, plugin.sound(), row);
    });
}

TEST_CASE("flash_attention runs dims up to 256 on every arch") {
    for (const char* arch : {"gfx90a", "gfx942", "gfx1100", "gfx1201", "sm_80", "sm_90"}) {
        CAPTURE(arch);
        const bool rocm = std::string(arch).starts_with("gfx");
        for (const rf_backend_api* table : tiny::tables_of(tiny::entry_of(ROCFORGE_FLASH_PLUGIN))) {
            if ((table->device_kind == RF_DEVICE_ROCM) != rocm) continue;
            const tiny::Backend backend(*table);
            const rf_device device = backend.describe(arch);
            rf_problem problem = for_flash();
            problem.q.shape[3] = problem.k.shape[3] = problem.v.shape[3] = problem.out.shape[3] = 256;
            CHECK(of_problem(backend, device, problem).empty());
            problem.v.shape[3] = problem.out.shape[3] = 264;
            const std::vector<tiny::Refusal> refusals = of_problem(backend, device, problem);
            REQUIRE(refusals.size() == 1);
            CHECK(refusals[0].field == "v.shape[3]");
            CHECK(refusals[0].need == "8..256, a multiple of 8");
        }
    }
}

TEST_CASE("what lies just within the limits of a GPU plugin is supported") {
    for_each_backend([](const Plugin& plugin, const tiny::Backend& backend, const rf_device& device) {
        for (const Row& row : plugin.accepts) {
            CAPTURE(row.name);
            rf_problem problem = plugin.sound();
            row.change(problem);
            const std::vector<tiny::Refusal> refusals = of_problem(backend, device, problem);
            CHECK_MESSAGE(refusals.empty(), refusals[0].field);
        }
    });
}

TEST_CASE("a GPU plugin says the same with and without a sink on random problems") {
    for_each_backend([](const Plugin& plugin, const tiny::Backend& backend, const rf_device& device) {
        std::mt19937 random(20251122);
        const auto roll = [&](std::size_t sides) { return static_cast<std::size_t>(random()) % sides; };
        for (int n = 0; n < 500; ++n) {
            rf_problem problem = plugin.sound();
            for (std::size_t changes = roll(3); changes > 0; --changes) plugin.refuses[roll(plugin.refuses.size())].change(problem);
            for (std::size_t changes = roll(3); changes > 0; --changes) plugin.accepts[roll(plugin.accepts.size())].change(problem);
            if (roll(4) == 0) problem.workspace_limit_bytes = std::uint64_t{1} << roll(30);
            REQUIRE_NOTHROW(backend.refusals(device, problem));
        }
    });
}

TEST_CASE("a GPU plugin describes the archs of its vendor, features of the arch put aside, and no other") {
    for_each_backend([](const Plugin& plugin, const tiny::Backend& backend, const rf_device&) {
        const bool rocm = backend.table().device_kind == RF_DEVICE_ROCM;
        for (const char* arch : {"gfx90a", "gfx942", "gfx1100", "gfx1201", "gfx942:sramecc+:xnack-", "sm_80", "sm_86", "sm_90"}) {
            CAPTURE(arch);
            const std::string name = arch;
            if (name.starts_with("gfx") != rocm) {
                CHECK_THROWS(backend.describe(arch));
                continue;
            }
            const rf_device device = backend.describe(arch);
            CHECK(device.kind == backend.table().device_kind);
            CHECK(device.ordinal == -1);
            CHECK(device.arch == name.substr(0, name.find(':')));
            CHECK(device.wave_size >= 32);
            CHECK(device.compute_units > 0);
            CHECK(device.lds_bytes >= 64 * 1024);
            CHECK(device.memory_bytes > 0);
            CHECK(std::string(device.runtime).empty());
            CHECK(of_problem(backend, device, plugin.sound()).empty());
        }
        for (const char* arch : {"", "cpu", "gfx", "gfx1030", "sm_", "sm_100", "x86-64-v3"}) CHECK_THROWS(backend.describe(arch));
    });
}

TEST_CASE("a device that a GPU plugin has no code for, and one of another kind, are refused by name") {
    for_each_backend([](const Plugin& plugin, const tiny::Backend& backend, const rf_device& described) {
        const rf_problem problem = plugin.sound();
        rf_device device = described;
        device.arch = backend.table().device_kind == RF_DEVICE_ROCM ? "gfx1030" : "sm_100";
        const std::vector<tiny::Refusal> refusals = backend.refusals(device, problem);
        REQUIRE(refusals.size() == 1);
        CHECK(refusals[0].field == "device.arch");
        CHECK(refusals[0].have == device.arch);
        const bool built = refusals[0].code == RF_R_ARCH;
        CHECK((built || refusals[0].code == RF_R_NOT_BUILT));
        const char* held = backend.table().device_kind == RF_DEVICE_ROCM ? "gfx942" : "sm_80";
        CHECK_MESSAGE(contains(refusals[0].need, built ? held : "built without a compiler for"), refusals[0].need);

        device = described;
        device.kind = RF_DEVICE_CPU;
        REQUIRE(backend.refusals(device, problem).size() == 1);
        CHECK(backend.refusals(device, problem)[0].code == RF_R_DEVICE_KIND);
    });
}

TEST_CASE("a GPU plugin makes no plan for a hypothetical device, and none but algo 0") {
    for_each_backend([](const Plugin& plugin, const tiny::Backend& backend, const rf_device& device) {
        const rf_problem problem = plugin.sound();
        CHECK(tiny::Plan(backend, device, problem, 1).outcome().code == RF_NOT_FOUND);
        const tiny::Plan plan(backend, device, problem);
        if (backend.refusals(device, problem).empty()) {
            CHECK(plan.outcome().code == RF_UNAVAILABLE);
            CHECK(plan.outcome().message == std::string(plugin.name) + ": a hypothetical device runs nothing; name a real one");
        } else {
            CHECK(plan.outcome().code == RF_UNSUPPORTED);  // no device code in this build
        }
    });
}

TEST_CASE("a GPU plugin's device is there, or it is unavailable for a stated reason") {
    for_each_backend([](const Plugin& plugin, const tiny::Backend& backend, const rf_device&) {
        rf_device device{};
        const tiny::Outcome outcome = backend.device(0, device);
        if (outcome.code == RF_OK) {
            CHECK(device.ordinal == 0);
            CHECK(std::string(device.arch).size() > 0);
            return;
        }
        CHECK(outcome.code == RF_UNAVAILABLE);
        const std::string none = std::string(plugin.name) + ": no " + (backend.table().device_kind == RF_DEVICE_ROCM ? "AMD" : "NVIDIA");
        CHECK_MESSAGE(outcome.message.starts_with(none), outcome.message);
    });
}

TEST_CASE("a GPU plugin's kv_layout offers heads before tokens, then tokens before heads, paged or not") {
    for_each_backend([](const Plugin& plugin, const tiny::Backend& backend, const rf_device& device) {
        for (const bool paged : {false, true}) {
            rf_problem problem = plugin.sound();
            if (!paged) problem.features &= ~RF_F_PAGED_KV;
            for (std::uint32_t index = 0; index < 3; ++index) {
                rf_kv_layout layout{};
                layout.struct_size = sizeof layout;
                const rf_code code = backend.table().kv_layout(backend.self(), &device, &problem, index, &layout);
                CHECK(code == (index < 2 ? rf_code{RF_OK} : rf_code{RF_NOT_FOUND}));
                if (code != RF_OK) continue;
                CHECK(layout.kind == (paged ? std::uint32_t{RF_KV_PAGED} : std::uint32_t{RF_KV_CONTIGUOUS}));
                CHECK(layout.page_min == (paged ? 1 : 0));
                CHECK(layout.page_max == (paged ? plugin.page_max : 0));
                CHECK(layout.page_multiple == (paged ? 1 : 0));
                CHECK(layout.align == plugin.align);
                CHECK(layout.order[1] == 1 + index);
                CHECK(layout.order[2] == 2 - index);
            }
        }
    });
}
