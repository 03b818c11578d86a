#include "peak.hpp"

#include <doctest/doctest.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "names.hpp"
#include "status.hpp"

using namespace rocforge::cli;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

// Memory for a few more threads alone, as long as it lives.
class FewMoreThreads {
public:
    FewMoreThreads() {
        pthread_attr_t standard;
        std::size_t stack_bytes = 0, pages = 0;
        REQUIRE(pthread_getattr_default_np(&standard) == 0);
        pthread_attr_getstacksize(&standard, &stack_bytes);
        pthread_attr_destroy(&standard);
        std::ifstream("/proc/self/statm") >> pages;
        REQUIRE(pages > 0);
        REQUIRE(getrlimit(RLIMIT_AS, &before_) == 0);
        const rlimit few{pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE)) + 4 * stack_bytes, before_.rlim_max};
        REQUIRE(setrlimit(RLIMIT_AS, &few) == 0);
    }
    ~FewMoreThreads() { setrlimit(RLIMIT_AS, &before_); }
    FewMoreThreads(const FewMoreThreads&) = delete;
    FewMoreThreads& operator=(const FewMoreThreads&) = delete;

private:
    rlimit before_{};
};

}  // namespace

TEST_CASE("the reading loop reads every whole word once, whatever the size and the alignment") {
    std::mt19937_64 random(7);
    std::vector<std::byte> bytes(70000);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
    for (const std::size_t size : {0u, 7u, 8u, 63u, 64u, 255u, 256u, 257u, 4096u, 5000u, 65536u, 69992u}) {
        for (const std::size_t from : {0u, 1u, 8u}) {
            CAPTURE(size);
            CAPTURE(from);
            std::uint64_t want = 0;
            for (std::size_t at = from; at + 8 <= from + size; at += 8) {
                std::uint64_t word;
                std::memcpy(&word, bytes.data() + at, 8);
                want ^= word;
            }
            for (const bool ahead : {false, true}) CHECK(read_all(std::span(bytes).subspan(from, size), ahead) == want);
        }
    }
}

TEST_CASE("the multiplying loop multiplies and adds in every lane of every chain, so often as it is asked") {
    constexpr std::size_t kRounds = 5;
    double want = 0;
    for (int chain = 1; chain <= FmaLoop::kChains; ++chain) {
        double x = chain;
        for (std::size_t round = 0; round < kRounds; ++round) x = x * 0.5 + 3;  // exact in f32
        want += x * static_cast<double>(FmaLoop::lanes());
    }
    CHECK(FmaLoop::run(kRounds, 0.5f, 3.0f) == doctest::Approx(want).epsilon(1e-6));
}

TEST_CASE("the bf16 loop adds the same products in every round") {
    if (Bf16Loop::unit().empty()) {
        MESSAGE("skipped: this machine multiplies bf16 by neither AMX nor AVX-512");
        return;
    }
    const float once = Bf16Loop::run(1);
    CHECK(once != 0);
    CHECK(std::isfinite(once));
    // Sums of up to 5 rounds of 24 chains' products round by 2^-24 each.
    for (const std::size_t rounds : {2u, 5u}) CHECK(Bf16Loop::run(rounds) == doctest::Approx(once * static_cast<double>(rounds)).epsilon(1e-5));
}

TEST_CASE("bf16 has a unit of its own only where the machine has") {
    const Peak peak(1);
    const Limit f32 = peak.arithmetic(kF32), bf16 = peak.arithmetic(kBF16);
    CHECK(f32.name == "FMA f32");
    CHECK(f32.rate > 0);
    CHECK((bf16.name == "FMA f32") == Bf16Loop::unit().empty());
    CHECK(bf16.rate > 0);
    const std::vector<std::byte> bytes(1 << 16);
    CHECK(peak.reads({bytes, bytes}).rate > 0);
}

TEST_CASE("threads that the system does not start are told, and those that it started are let go") {
    if (kSanitized) {
        MESSAGE("skipped: a sanitizer takes memory of its own for each thread, and ends the process where it gets none");
        return;
    }
    const std::vector<std::byte> bytes(64);
    std::string told;
    {
        const FewMoreThreads few;
        try {
            Peak(1000).reads({bytes});
        } catch (const Quit& quit) { told = quit.what(); }
    }
    CHECK(told.find("takes 1000 threads, of which the system started ") != std::string::npos);
    CHECK(told.find("started 1:") == std::string::npos);  // some waited for the others
    CHECK(told.find("--threads") != std::string::npos);
}

TEST_CASE("more processors than there are are refused with their number") {
    CHECK_THROWS_WITH_AS(use_processors(100000), doctest::Contains("--threads 100000: this process may run on"), Quit);
}
