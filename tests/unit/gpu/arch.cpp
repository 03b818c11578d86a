// Architectures by name, and which code runs on which.
#include <doctest/doctest.h>

#include <iterator>

#include "plugins/adapter/gpu_arch.h"

using namespace rocforge;
using platform::Vendor;

namespace {

constexpr unsigned char kBytes[2] = {};
constexpr kernels::CodeObject kObjects[] = {
    {"gfx90a", kBytes, kBytes + 1}, {"gfx942", kBytes, kBytes + 1}, {"gfx942", kBytes + 1, kBytes + 2},
    {"sm_80", kBytes, kBytes + 1},  {"sm_90a", kBytes, kBytes + 1},
};

struct Row {
    const char* device;
    const char* code;  // that runs on it, of kObjects; nullptr: none
};
constexpr Row kRows[] = {
    {"gfx942:sramecc+:xnack-", "gfx942"},
    {"gfx942", "gfx942"},
    {"gfx90a:sramecc+:xnack-", "gfx90a"},
    {"gfx906", nullptr},
    {"gfx1100", nullptr},
    {"gfx94", nullptr},
    {"gfx9420", nullptr},
    {"sm_80", "sm_80"},
    {"sm_86", "sm_80"},
    {"sm_89", "sm_80"},
    {"sm_90", "sm_90a"},
    {"sm_75", nullptr},
    {"sm_91", nullptr},
    {"sm_100", nullptr},
    {"sm_120", nullptr},
    {"sm_8", nullptr},
    {"sm_", nullptr},
    {"", nullptr},
};

}  // namespace

TEST_CASE("the code object for a device is its own arch's on AMD, on NVIDIA one of its major version, and with suffix a exactly its own") {
    for (const Row& row : kRows) {
        CAPTURE(row.device);
        const auto found = adapter::objects_for(kObjects, row.device);
        REQUIRE(found.empty() == (row.code == nullptr));
        for (const kernels::CodeObject* object : found) CHECK(object->arch == doctest::String(row.code));
    }
    CHECK(adapter::objects_for(kObjects, "gfx942").size() == 2);
    CHECK(adapter::objects_for(kObjects, "gfx942")[0] == &kObjects[1]);
    CHECK(adapter::runs_on("sm_86", "sm_89"));
    CHECK_FALSE(adapter::runs_on("sm_86", "sm_80"));
}

TEST_CASE("the archs that a file holds are named once, vendor by vendor") {
    CHECK(adapter::archs_held(kObjects, Vendor::amd) == "gfx90a, gfx942");
    CHECK(adapter::archs_held(kObjects, Vendor::nvidia) == "sm_80, sm_90a");
    CHECK(adapter::archs_held({}, Vendor::amd).empty());
}

TEST_CASE("a device's family follows from its arch") {
    using kernels::Family;
    CHECK(adapter::family_of("gfx90a:sramecc+") == Family::gfx9);
    CHECK(adapter::family_of("gfx942") == Family::gfx9);
    CHECK(adapter::family_of("gfx1100") == Family::gfx11);
    CHECK(adapter::family_of("gfx1201") == Family::gfx12);
    CHECK(adapter::family_of("sm_86") == Family::sm80);
    CHECK(adapter::family_of("sm_90") == Family::sm90);
    CHECK_FALSE(adapter::family_of("gfx1030"));
    CHECK_FALSE(adapter::family_of("sm_100"));
    CHECK_FALSE(adapter::family_of("x86-64"));
}

TEST_CASE("known archs are described with plausible numbers, others are not known") {
    for (const char* arch : {"gfx90a", "gfx942", "gfx1100", "gfx1201"}) {
        CAPTURE(arch);
        const adapter::GpuArch* known = adapter::known_arch(Vendor::amd, arch);
        REQUIRE(known);
        CHECK(known->wave_size == (*adapter::family_of(arch) == kernels::Family::gfx9 ? 64 : 32));
        CHECK(known->lds_bytes == 64 * 1024);
        CHECK(known->compute_units >= 32);
        CHECK_FALSE(adapter::known_arch(Vendor::nvidia, arch));
    }
    for (const char* arch : {"sm_80", "sm_86", "sm_87", "sm_89", "sm_90"}) {
        CAPTURE(arch);
        const adapter::GpuArch* known = adapter::known_arch(Vendor::nvidia, arch);
        REQUIRE(known);
        CHECK(known->wave_size == 32);
        CHECK(known->lds_bytes > 48 * 1024);
        CHECK_FALSE(adapter::known_arch(Vendor::amd, arch));
    }
    CHECK(adapter::known_arch(Vendor::amd, "gfx942:sramecc+:xnack-") == adapter::known_arch(Vendor::amd, "gfx942"));
    for (const char* arch : {"gfx1030", "gfx9", "cpu", ""}) CHECK_FALSE(adapter::known_arch(Vendor::amd, arch));
    for (const char* arch : {"sm_100", "sm_90a", "gpu", ""}) CHECK_FALSE(adapter::known_arch(Vendor::nvidia, arch));
}
