// What stands between a case and a device: the filters, the cases prepared on threads, and the image of a case that is copied to a device and back.
// Each way in which a kernel may write where it must not is told.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "conformance/glob.h"
#include "conformance/lent_threads.h"
#include "conformance/random_problem.h"
#include "filter.h"
#include "on_device.h"
#include "prepared.h"

using namespace rocforge::conformance;
using namespace rocforge::tests;

namespace {

// A case with gaps, a shifted base, lengths and lse: every kind of tensor that an image holds.
Case intricate() {
    Case c;
    c.features |= RF_F_KV_LENGTHS | RF_F_SINK;
    c.batch = 3, c.kv_lengths = {11, 0, 4}, c.layout = Layout::padded, c.shift_elems = 1;
    return c;
}

// An image and what a device would hold of it.
struct Staged {
    Staged() : tensors(intricate()), image(tensors, 100), device(image.bytes()) { std::copy_n(image.refresh(), device.size(), device.begin()); }
    rf_args args() { return image.args(device.data()); }
    // What a pointer of the image's arguments points to.
    template <class T> std::byte* at(T* rf_args::*member) {
        return static_cast<std::byte*>(const_cast<void*>(static_cast<const void*>(args().*member)));
    }
    std::uint64_t offset(const void* pointer) const { return static_cast<std::uint64_t>(static_cast<const std::byte*>(pointer) - device.data()); }
    Materialised tensors;
    Image image;
    std::vector<std::byte> device;
};

}  // namespace

TEST_CASE("globs match whole names") {
    CHECK(matches("pair/*", "pair/causal+window"));
    CHECK(matches("*bf16/?inks", "feature-bf16/sinks"));
    CHECK_FALSE(matches("pair", "pair/causal"));
    CHECK_FALSE(matches("pair/*", "tile-pair/causal"));
    CHECK(matches("*", ""));
    CHECK(matches_any("", "anything"));
    CHECK(matches_any("a,b*", "beta"));
    CHECK_FALSE(matches_any("a,b", "beta"));
    CHECK(matches_any("*,!b*", "alpha"));
    CHECK_FALSE(matches_any("*,!b*", "beta"));
    CHECK(matches_any("!b*", "alpha"));
    CHECK_FALSE(matches_any("!b*", "beta"));
}

TEST_CASE("random problems are sound: the core lets every one of them through") {
    const Host host;
    RandomProblems random(1, (std::uint64_t{1} << 21) - 1), again(1, (std::uint64_t{1} << 21) - 1);
    rf_device device{};
    device.struct_size = sizeof device;
    device.kind = RF_DEVICE_CPU;
    for (int n = 0; n < 3000; ++n) {
        CAPTURE(n);
        const rf_problem problem = random.next();
        const rf_problem same_again = again.next();
        CHECK(std::memcmp(&problem, &same_again, sizeof problem) == 0);
        rf_error error{};
        error.struct_size = sizeof error;
        rocforge_choice* choice = nullptr;
        const rf_code code = rocforge_select(host.context(), &device, &problem, nullptr, &choice, &error);
        CHECK_MESSAGE(code != RF_INVALID, error.message);
        rocforge_choice_release(choice);
    }
}

TEST_CASE("lent threads do every slice once, whoever calls meanwhile") {
    struct Sum {
        std::atomic<std::int64_t> total{0}, slices{0};
        std::atomic<std::uint32_t> highest{0};
    };
    const auto body = [](void* arg, std::int64_t begin, std::int64_t end, std::uint32_t worker) {
        auto& sum = *static_cast<Sum*>(arg);
        for (std::int64_t i = begin; i < end; ++i) sum.total += i, ++sum.slices;
        for (std::uint32_t seen = sum.highest; seen < worker && !sum.highest.compare_exchange_weak(seen, worker);) continue;
    };
    for (const Order order : {Order::as_they_come, Order::backwards}) {
        LentThreads threads(3, order);
        std::vector<std::thread> callers;
        Sum sums[4];
        for (Sum& sum : sums)
            callers.emplace_back([&] {
                for (int n = 0; n < 100; ++n) threads.parallel_for(50, 2, body, &sum);
            });
        for (std::thread& each : callers) each.join();
        threads.parallel_for(0, 2, body, nullptr);
        for (const Sum& sum : sums) {
            CHECK(sum.slices == 5000);
            CHECK(sum.total == 100 * 1225);
            CHECK(sum.highest < 2);
        }
    }
}

TEST_CASE("a device is named as the command line names it") {
    CHECK(device_name({.struct_size = sizeof(rf_device), .kind = RF_DEVICE_CUDA, .ordinal = 1}) == "cuda:1");
    CHECK(device_name({.struct_size = sizeof(rf_device), .kind = RF_DEVICE_CPU}) == "cpu");
}

TEST_CASE("cases prepared on threads come in the table's order, and one that cannot be made is told") {
    std::vector<Case> cases(40);
    for (std::size_t n = 0; n < cases.size(); ++n) cases[n].seq_q = static_cast<std::int64_t>(n % 7 + 1);
    cases[30].type = kBool;  // no type of numbers
    PreparedCases prepared(cases, 3);
    for (std::size_t n = 0; n < 30; ++n) CHECK(prepared.next()->tensors.problem().max_seq_q == static_cast<std::int64_t>(n % 7 + 1));
    CHECK_THROWS_AS(prepared.next(), std::invalid_argument);
    CHECK(prepared.next()->tensors.problem().max_seq_q == 31 % 7 + 1);
}

TEST_CASE("an image keeps contents, offsets and what two tensors share") {
    Staged s;
    const rf_args &host = s.tensors.args(), device = s.args();
    CHECK(s.offset(device.q) % 256 == 4);  // one f32 past an aligned base
    CHECK(s.offset(device.lse) % 256 == 0);
    CHECK(std::memcmp(s.at(&rf_args::kv_lengths), host.kv_lengths, 12) == 0);
    CHECK(std::memcmp(s.at(&rf_args::q), host.q, 64) == 0);
    CHECK(device.mask == nullptr);
    CHECK(s.image.collect(s.device.data()) == "");

    Case packed;
    packed.layout = Layout::packed_qkv, packed.seq_kv = packed.seq_q;
    const Materialised tensors(packed);
    const Image image(tensors, 0);
    std::vector<std::byte> device_memory(image.bytes());
    const rf_args moved = image.args(device_memory.data()), &own = tensors.args();
    const auto distance = [](const void* a, const void* b) { return static_cast<const char*>(b) - static_cast<const char*>(a); };
    CHECK(distance(moved.q, moved.v) == distance(own.q, own.v));
}

TEST_CASE("what a device wrote comes back, and what it may not write is told") {
    Staged s;
    std::byte* out = s.at(&rf_args::out);
    const float seven = 7;
    std::memcpy(out, &seven, sizeof seven);
    CHECK(s.image.collect(s.device.data()) == "");
    CHECK(load(kF32, s.tensors.args().out, 0) == 7);

    struct Row {
        const char* what;
        std::byte* (*place)(Staged&);
        const char* told;
    };
    const Row rows[] = {
        {"an input", [](Staged& w) { return w.at(&rf_args::k); }, "an input, was written to"},
        {"an index", [](Staged& w) { return w.at(&rf_args::kv_lengths); }, "an input, was written to"},
        {"before the first tensor", [](Staged& w) { return w.device.data(); }, "memory before"},
        {"before out", [](Staged& w) { return w.at(&rf_args::out) - 5; }, "memory before"},
        {"counters", [](Staged& w) { return w.at(&rf_args::zeroed) + 99; }, "not left zero"},
        {"behind the counters", [](Staged& w) { return w.at(&rf_args::zeroed) + 100; }, "behind zeroed"},
        {"the last byte", [](Staged& w) { return &w.device.back(); }, "behind zeroed"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.what);
        Staged spoilt;
        *row.place(spoilt) ^= std::byte{1};
        CHECK(spoilt.image.collect(spoilt.device.data()).find(row.told) != std::string::npos);
    }
}

TEST_CASE("alignment is promised as the pointers have it, and never over what a case promises") {
    Materialised tensors(intricate());
    const rf_problem p = with_true_alignment(tensors.problem(), tensors.args());
    CHECK(p.q.align == 4);
    CHECK(p.lse.align == 256);
    rf_problem promised = tensors.problem();
    promised.q.align = 2;
    CHECK(with_true_alignment(promised, tensors.args()).q.align == 2);
}
