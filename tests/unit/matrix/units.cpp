// Each matrix unit against a plain product. On the device that ROCFORGE_TEST_DEVICE names (rocm:0, cuda:0); on AMD's by the emulator's tests.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "kernels/common/launch.h"
#include "kernels/platform/runtime.h"
#include "tests/unit/matrix/units.h"

namespace rocforge::kernels::units {
std::span<const CodeObject> code_objects();
}

namespace rocforge::tests {
namespace {

using platform::Runtime, platform::Vendor;

Vendor vendor_named() {
    const char* const device = std::getenv("ROCFORGE_TEST_DEVICE");
    REQUIRE_MESSAGE(device != nullptr, "ROCFORGE_TEST_DEVICE is unset: name a device, rocm:0 or cuda:0");
    return std::string(device).starts_with("rocm") ? Vendor::amd : Vendor::nvidia;
}

// "gfx942:sramecc+" runs gfx942's code, "sm_90" sm_90a's, "sm_86" sm_80's.
const void* image_for(const std::string& told) {
    const std::string arch = told.substr(0, told.find(':'));
    const auto runs = [&](const std::string& code) { return arch.starts_with("sm_8") ? code == "sm_80" : code == arch || code == arch + "a"; };
    for (const kernels::CodeObject& object : kernels::units::code_objects())
        if (runs(object.arch)) return object.begin;
    FAIL("this build has no code for " << arch);
    return nullptr;
}

// Small integers, so that every product, sum and rounded value here is exact.
struct Integers {
    std::vector<float> values;
    Integers(int rows, std::mt19937& random) : values(static_cast<std::size_t>(rows * kDims)) {
        for (float& x : values) x = static_cast<float>(static_cast<int>(random() % 5) - 2);
    }
    float at(int row, int column) const { return values[static_cast<std::size_t>(row * kDims + column)]; }
    std::vector<std::uint16_t> stored(bool bf16) const {
        std::vector<std::uint16_t> bits;
        for (const float x : values) bits.push_back(bf16 ? static_cast<std::uint16_t>(bits_of(x) >> 16) : f16_of(static_cast<int>(x)));
        return bits;
    }

private:
    static std::uint32_t bits_of(float x) {
        std::uint32_t bits = 0;
        std::memcpy(&bits, &x, sizeof bits);
        return bits;
    }
    static std::uint16_t f16_of(int x) {
        constexpr std::uint16_t kMagnitude[] = {0, 0x3C00, 0x4000};
        return static_cast<std::uint16_t>(kMagnitude[std::abs(x)] | (x < 0 ? 0x8000 : 0));
    }
};

class Uploaded {
public:
    Uploaded(const Runtime& runtime, const void* from, std::size_t bytes) : runtime_(runtime), memory_(runtime.allocate(0, bytes)) {
        runtime_.copy_to_device(0, memory_, from, bytes, nullptr);
    }
    ~Uploaded() { runtime_.release(0, memory_); }
    Uploaded(const Uploaded&) = delete;
    Uploaded& operator=(const Uploaded&) = delete;
    void* get() const { return memory_; }
    std::vector<float> floats(std::size_t count) const {
        std::vector<float> values(count);
        runtime_.copy_to_host(0, values.data(), memory_, count * sizeof(float), nullptr);
        return values;
    }

private:
    const Runtime& runtime_;
    void* memory_;
};

void check_row(const std::vector<float>& scores, const std::vector<float>& out, int row, const Integers& q, const Integers& k, const Integers& v,
               float largest, float sum) {
    std::vector<float> expected(kDims, 0.0f);
    float expected_largest = -INFINITY, expected_sum = 0;
    for (int key = 0; key < kKeys; ++key) {
        float score = 0;
        for (int d = 0; d < kDims; ++d) score += q.at(row, d) * k.at(key, d);
        CAPTURE(key);
        REQUIRE(scores[static_cast<std::size_t>(row * kKeys + key)] == score);
        expected_largest = std::fmax(expected_largest, score), expected_sum += score;
        for (int d = 0; d < kDims; ++d) expected[static_cast<std::size_t>(d)] += score * v.at(key, d);
    }
    CHECK(largest == expected_largest);
    CHECK(sum == expected_sum);
    for (int d = 0; d < kDims; ++d) {
        CAPTURE(d);
        REQUIRE(out[static_cast<std::size_t>(row * kDims + d)] == expected[static_cast<std::size_t>(d)]);
    }
}

TEST_CASE("products of the matrix unit, maxima and sums of its rows are those of a plain loop") {
    const Runtime& runtime = Runtime::of(vendor_named());
    const platform::DeviceFacts facts = runtime.facts(0);
    const platform::Module module = runtime.load(0, image_for(facts.arch));
    for (const bool bf16 : {true, false}) {
        CAPTURE(facts.arch);
        CAPTURE(bf16);
        std::mt19937 random(7);
        const Integers q(kQueries, random), k(kKeys, random), v(kKeys, random);
        const auto upload = [&](const Integers& x) {
            const std::vector<std::uint16_t> bits = x.stored(bf16);
            return Uploaded(runtime, bits.data(), bits.size() * sizeof bits[0]);
        };
        const std::vector<float> poison(kQueries * kKeys, NAN);
        const Uploaded q_there = upload(q), k_there = upload(k), v_there = upload(v);
        const Uploaded scores(runtime, poison.data(), poison.size() * 4), out(runtime, poison.data(), poison.size() * 4);
        const Uploaded largest(runtime, poison.data(), kQueries * 4), sum(runtime, poison.data(), kQueries * 4);
        const UnitsCall call{q_there.get(),
                             k_there.get(),
                             v_there.get(),
                             static_cast<float*>(scores.get()),
                             static_cast<float*>(out.get()),
                             static_cast<float*>(largest.get()),
                             static_cast<float*>(sum.get())};
        const bool nvidia = vendor_named() == Vendor::nvidia;
        constexpr std::uint32_t kSharedBytes = (kQueries + 2 * kKeys) * kDims * 2;  // NVIDIA's rows lie without gaps; AMD's memory is static
        const platform::Function function = runtime.function(0, module, bf16 ? "matrix_unit_bf16" : "matrix_unit_f16", nvidia ? kSharedBytes : 0);
        REQUIRE(function != nullptr);
        const platform::Launchable launch{function, {1, 1, 1}, facts.wave_size, nvidia ? kSharedBytes : 0};
        runtime.launch(0, std::span(&launch, 1), &call, nullptr);
        runtime.synchronize(0, nullptr);
        const std::vector<float> all_scores = scores.floats(kQueries * kKeys), all_out = out.floats(kQueries * kDims),
                                 maxima = largest.floats(kQueries), sums = sum.floats(kQueries);
        for (int row = 0; row < kQueries; ++row) {
            CAPTURE(row);
            check_row(all_scores, all_out, row, q, k, v, maxima[static_cast<std::size_t>(row)], sums[static_cast<std::size_t>(row)]);
        }
    }
    runtime.unload(0, module);
}

}  // namespace
}  // namespace rocforge::tests
