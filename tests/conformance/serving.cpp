// What an inference engine does with a plan: one plan for a whole decode loop, one for batches of prefill and decode over a paged cache, in host
// memory and on devices; and tensors whose strides pass 32 bits.
#include <doctest/doctest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "conformance/run.h"
#include "filter.h"
#include "host.h"
#include "on_device.h"

using namespace rocforge::conformance;
using namespace rocforge::tests;

namespace {

const Span& span_of(const Materialised& tensors, std::size_t args_offset) {
    return *std::find_if(tensors.spans().begin(), tensors.spans().end(), [&](const Span& s) { return s.args_offset == args_offset; });
}

void set_indices(const Materialised& tensors, std::size_t args_offset, const std::vector<std::int64_t>& values) {
    for (std::size_t n = 0; n < values.size(); ++n) store_index(kI32, span_of(tensors, args_offset).base, static_cast<std::int64_t>(n), values[n]);
}

// K or V of a cache that fills up: every token NaN but those that live.
class Cache {
public:
    Cache(const Materialised& tensors, const rf_tensor& t, std::size_t args_offset)
        : tensors_(tensors), t_(t), span_(span_of(tensors, args_offset)), full_(span_.base, span_.base + span_.bytes) {}

    void show(const std::vector<std::int64_t>& lengths) {
        for (std::int64_t n = 0; n < span_.bytes / bytes_of(t_.dtype); ++n) store(t_.dtype, span_.base, n, NAN);
        const rf_problem& p = tensors_.problem();
        for (std::int64_t b = 0; b < p.batch; ++b)
            for (std::int64_t h = 0; h < t_.shape[1]; ++h)
                for (std::int64_t j = 0; j < lengths[static_cast<std::size_t>(b)]; ++j) {
                    const Place at = place_of_key(p, tensors_.args(), {}, b, j);
                    const std::int64_t byte = offset_of(t_, at.axis0, h, at.axis2, 0) * bytes_of(t_.dtype);
                    std::memcpy(span_.base + byte, full_.data() + byte, static_cast<std::size_t>(t_.shape[3] * bytes_of(t_.dtype)));
                }
    }

private:
    const Materialised& tensors_;
    rf_tensor t_;
    Span span_;
    std::vector<std::byte> full_;
};

// One plan of one backend, in host memory or with the tensors staged on its device.
struct Opened {
    Planned planned;
    Device device;
    PlanHandle plan;
    std::unique_ptr<StagedCase> staged;
    bool refused = false;

    rf_code forward(const rf_args& args, std::string& why) {
        if (!staged) return planned.forward(args, why);
        try {
            staged->upload(nullptr);
            staged->enqueue(nullptr);
            staged->download(nullptr);
            return RF_OK;
        } catch (const std::runtime_error& failure) {
            why = failure.what();
            return RF_DEVICE;
        }
    }
};

// Forward on a plan made before, after the caller changed the inputs.
void check_step(Prepared& prepared, Opened& opened) {
    prepared.tensors.seal();
    prepared.expectation = expect(prepared.tensors.problem(), prepared.tensors.args());
    const Verdict v = run(prepared, [&](const rf_problem&, const rf_args& args, std::string& why) { return opened.forward(args, why); });
    CHECK_MESSAGE(v.outcome == Outcome::passed, v.where);
}

Opened open(const Host& host, const PlacedBackend& backend, const rf_problem& problem, const Materialised* tensors) {
    Opened opened;
    std::string why;
    const bool on_host = backend.device.kind == RF_DEVICE_CPU;
    const rf_code code = on_host ? opened.planned.open(host, backend, problem, why)
                                 : plan_on(host, backend, with_true_alignment(problem, tensors->args()), opened.plan, why);
    opened.refused = code == RF_UNSUPPORTED && backend.name != "cpu" && backend.name != "gpu";
    if (opened.refused) {
        MESSAGE("skipped: " << backend.name << " refuses: " << why);
        return opened;
    }
    REQUIRE_MESSAGE(code == RF_OK, why);
    if (on_host) return opened;
    opened.device = open_device(host, backend);
    opened.staged = std::make_unique<StagedCase>(opened.device.get(), *tensors, opened.plan.get());
    return opened;
}

// Every backend, in host memory and on devices; none where the name is not wanted.
std::vector<PlacedBackend> everywhere(const Host& host, const std::string& name) {
    std::vector<PlacedBackend> all;
    if (!wanted_case(name)) return all;
    all = host.backends();
    all.insert(all.end(), host.on_devices().begin(), host.on_devices().end());
    return all;
}

}  // namespace

TEST_CASE("one plan serves a decode loop whose keys grow by one token a step") {
    constexpr std::int64_t kCapacity = 70;
    Case c;
    c.features |= RF_F_KV_LENGTHS | RF_F_CAUSAL | RF_F_BOTTOM_RIGHT;
    c.batch = 3, c.head_q = 4, c.head_kv = 2, c.seq_q = 1, c.seq_kv = kCapacity, c.type = kF16, c.dim = 32;
    c.kv_lengths = {kCapacity, kCapacity, kCapacity};
    Host host(kThreeThreads);
    for (const PlacedBackend& backend : everywhere(host, "serving/decode-loop")) {
        CAPTURE(backend.name);
        Prepared prepared(c);
        Cache keys(prepared.tensors, prepared.tensors.problem().k, offsetof(rf_args, k)),
            values(prepared.tensors, prepared.tensors.problem().v, offsetof(rf_args, v));
        Opened opened = open(host, backend, prepared.tensors.problem(), &prepared.tensors);
        if (opened.refused) continue;
        for (std::int64_t step = 0; step <= kCapacity; ++step) {
            CAPTURE(step);
            const std::vector<std::int64_t> lengths{step, std::max<std::int64_t>(step - 20, 0),
                                                    step / 2};  // sequences that started at different times
            keys.show(lengths), values.show(lengths);
            set_indices(prepared.tensors, offsetof(rf_args, kv_lengths), lengths);
            check_step(prepared, opened);
        }
    }
}

TEST_CASE("one plan serves batches of prefill and decode over a paged cache") {
    struct Step {
        std::vector<std::int64_t> len_q, len_kv;  // by slot of the batch; a slot of 0 rows is free
    };
    const std::vector<Step> steps = {
        {{20, 0, 0, 0}, {20, 0, 0, 0}},    {{1, 13, 0, 0}, {21, 13, 0, 0}},    {{1, 1, 20, 0}, {22, 14, 20, 0}}, {{1, 1, 10, 5}, {23, 15, 30, 5}},
        {{1, 1, 1, 1}, {24, 16, 31, 6}},   {{0, 1, 1, 1}, {24, 17, 32, 7}},    {{7, 1, 1, 1}, {7, 18, 33, 8}},   {{0, 0, 0, 0}, {7, 18, 33, 8}},
        {{16, 3, 1, 9}, {23, 21, 34, 17}}, {{1, 20, 20, 1}, {24, 40, 40, 18}}, {{1, 0, 0, 0}, {40, 0, 0, 0}},
    };
    Case c;
    c.features |= RF_F_RAGGED_Q | RF_F_PAGED_KV | RF_F_KV_LENGTHS | RF_F_CAUSAL | RF_F_BOTTOM_RIGHT;
    c.batch = 4, c.head_q = 4, c.head_kv = 2, c.seq_q = 20, c.seq_kv = 40, c.page_size = 16, c.dim = 32, c.type = kBf16, c.layout = Layout::bshd;
    c.q_lengths = {20, 20, 1, 1}, c.kv_lengths = {40, 40, 40, 40};
    Host host(kThreeThreads);
    for (const PlacedBackend& backend : everywhere(host, "serving/batches-over-pages")) {
        CAPTURE(backend.name);
        Prepared prepared(c);
        Cache keys(prepared.tensors, prepared.tensors.problem().k, offsetof(rf_args, k)),
            values(prepared.tensors, prepared.tensors.problem().v, offsetof(rf_args, v));
        Opened opened = open(host, backend, prepared.tensors.problem(), &prepared.tensors);
        if (opened.refused) continue;
        for (const Step& step : steps) {
            CAPTURE(&step - steps.data());
            keys.show(step.len_kv), values.show(step.len_kv);
            std::vector<std::int64_t> cumulative{0};
            for (const std::int64_t length : step.len_q) cumulative.push_back(cumulative.back() + length);
            REQUIRE(cumulative.back() <= prepared.tensors.problem().q.shape[2]);
            set_indices(prepared.tensors, offsetof(rf_args, cu_seqlens_q), cumulative);
            set_indices(prepared.tensors, offsetof(rf_args, kv_lengths), step.len_kv);
            check_step(prepared, opened);
        }
    }
}

namespace {

// A context whose one-call form takes its memory from the backend's device, as a host's allocator would.
class Lending {
public:
    explicit Lending(const PlacedBackend& backend) {
        rocforge_hooks hooks{};
        hooks.struct_size = sizeof hooks;
        hooks.self = this;
        hooks.allocate = [](void* self, const rf_device*, std::uint64_t bytes, void*) -> void* {
            void* memory = nullptr;
            rocforge_device_allocate(static_cast<Lending*>(self)->device_.get(), bytes, &memory, nullptr);
            return memory;
        };
        hooks.release = [](void* self, const rf_device*, void* memory, void* stream) {
            rocforge_device_t* device = static_cast<Lending*>(self)->device_.get();
            rocforge_stream_synchronize(device, stream, nullptr);
            rocforge_device_release(device, memory);
        };
        rf_error error{};
        error.struct_size = sizeof error;
        rocforge_context* opened = nullptr;
        demand(rocforge_open(nullptr, &hooks, &opened, &error), error, "open");
        context_.reset(opened);
        rocforge_device_t* lent = nullptr;
        demand(rocforge_device_open(opened, &backend.device, backend.name.c_str(), &lent, &error), error, "device");
        device_.reset(lent);
        demand(rocforge_set_default(opened, backend.name.c_str(), &error), error, "default");
    }
    rocforge_context* context() const { return context_.get(); }
    rocforge_device_t* device() const { return device_.get(); }

private:
    struct Close {
        void operator()(rocforge_context* c) const { rocforge_close(c); }
    };
    Device device_;  // outlives the context, which gives its blocks back to it
    std::unique_ptr<rocforge_context, Close> context_;
};

}  // namespace

TEST_CASE("the one call serves short and long sequences in turn on two streams of a device") {
    constexpr std::int64_t kBatch = 2, kHeads = 4, kMostKeys = 4096, kDim = 64, kBytes = kBatch * kHeads * kMostKeys * kDim * 2;
    Host host(kThreeThreads);
    for (const PlacedBackend& backend : host.on_devices()) {
        if (!wanted_case("serving/one-call")) continue;
        CAPTURE(backend.name);
        const Lending lending(backend);
        rf_error error{};
        error.struct_size = sizeof error;
        const std::vector<std::uint16_t> twos(kBytes / 2, 0x4000);  // 2 as float16: whatever the weights, so is the result
        const Made tensors = allocate(lending.device(), kBytes), streams[]{create_stream(lending.device()), create_stream(lending.device())};
        const Made outs[]{allocate(lending.device(), kBytes), allocate(lending.device(), kBytes)};
        demand(rocforge_copy_to_device(lending.device(), tensors.get(), twos.data(), kBytes, nullptr, &error), error, "copy");
        for (const std::int64_t keys : {64, 4096, 64, 1000, 4096}) {
            CAPTURE(keys);
            rf_problem problem;
            rocforge_problem_dense(&problem, kF16, kBatch, kHeads, kHeads, 1, keys, kDim);
            for (const std::size_t n : {0, 1, 0, 1}) {
                rf_args args{};
                args.struct_size = sizeof args;
                args.q = args.k = args.v = tensors.get();
                args.out = outs[n].get();
                args.stream = streams[n].get();
                const rf_code code = rocforge_attention(lending.context(), &backend.device, &problem, &args, &error);
                REQUIRE_MESSAGE(code == RF_OK, error.message);
            }
            for (const std::size_t n : {0, 1}) {
                std::vector<std::uint16_t> out(kBatch * kHeads * kDim);
                demand(rocforge_copy_to_host(lending.device(), out.data(), outs[n].get(), out.size() * 2, streams[n].get(), &error), error, "copy");
                CHECK(std::count(out.begin(), out.end(), 0x4000) == static_cast<std::ptrdiff_t>(out.size()));
            }
        }
    }
}

namespace {

// Address space that costs memory only where it is touched.
class Sparse {
public:
    explicit Sparse(std::int64_t bytes) : bytes_(static_cast<std::size_t>(bytes)) {
        data_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    }
    Sparse(const Sparse&) = delete;
    Sparse& operator=(const Sparse&) = delete;
    ~Sparse() {
        if (ok()) munmap(data_, bytes_);
    }
    bool ok() const { return data_ != MAP_FAILED; }
    void* data() const { return data_; }

private:
    std::size_t bytes_;
    void* data_;
};

}  // namespace

TEST_CASE("strides past 2^31 elements reach the right elements") {
    if (!wanted_case("serving/strides-past-2^31-elements")) return;
    constexpr std::int64_t kHeadStride = (std::int64_t{1} << 31) + 4096, kHeads = 2, kBatch = 2, kTokens = 5, kDim = 16;
    constexpr std::int64_t kBytes = ((kHeads - 1) * kHeadStride + kBatch * kTokens * kDim) * 2;
    Sparse q(kBytes), k(kBytes), v(kBytes), out(kBytes);
    if (!q.ok() || !k.ok() || !v.ok() || !out.ok()) {
        MESSAGE("skipped: this machine gives no 17 GB of address space");
        return;
    }
    rf_problem p{};
    rocforge_problem_init(&p);
    p.batch = kBatch, p.max_seq_q = p.max_seq_kv = kTokens;
    p.q = p.k = p.v = p.out = {kF16, 0, {kBatch, kHeads, kTokens, kDim}, {kTokens * kDim, kHeadStride, kDim, 1}};
    p.scale = 0.25f;
    rf_args a{};
    a.struct_size = sizeof a;
    a.q = q.data(), a.k = k.data(), a.v = v.data(), a.out = out.data();
    for (std::int64_t b = 0; b < kBatch; ++b)
        for (std::int64_t h = 0; h < kHeads; ++h)
            for (std::int64_t n = 0; n < kTokens * kDim; ++n) {
                const std::int64_t at = b * p.q.stride[0] + h * kHeadStride + n, code = b * 977 + h * 131 + n;
                store(kF16, q.data(), at, std::sin(static_cast<double>(code)));
                store(kF16, k.data(), at, std::cos(static_cast<double>(3 * code)));
                store(kF16, v.data(), at, std::sin(static_cast<double>(7 * code)));
            }
    const Expectation expectation = expect(p, a);
    Host host(kThreeThreads);
    for (const PlacedBackend& backend : host.backends()) {
        CAPTURE(backend.name);
        Opened opened = open(host, backend, p, nullptr);
        if (opened.refused) continue;
        std::string why;
        CHECK_MESSAGE(opened.planned.forward(a, why) == RF_OK, why);
        const Comparison c = compare(expectation, p, a);
        CHECK_MESSAGE(c.passed, c.where);
    }
}
