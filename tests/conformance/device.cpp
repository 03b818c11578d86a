// What a device must do beyond one call at a time: the same bits again and again, two streams, two host threads, NaN under the causal rule row by
// row, shapes of real models and offsets past 2^31 elements, whose rows are sampled. Each test names itself like a case, so that ROCFORGE_TEST_CASES
// chooses among them ("device/*"), and is skipped with its reason where no device offers what it needs.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <numeric>
#include <optional>
#include <random>
#include <stdexcept>
#include <thread>

#include "conformance/run.h"
#include "filter.h"
#include "host.h"
#include "on_device.h"

using namespace rocforge::conformance;
using namespace rocforge::tests;

namespace {

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;

// Runs `test` on every device that is wanted and has that much memory; says why where none did.
void on_every_device(const std::string& name, std::uint64_t memory_bytes, const std::function<void(const Host&, const PlacedBackend&)>& test) {
    if (!wanted_case(name)) return;
    const Host host;
    bool ran = false;
    for (const PlacedBackend& backend : host.on_devices()) {
        if (backend.device.memory_bytes < memory_bytes) {
            MESSAGE("skipped: " << name << ": " << backend.name << " has " << backend.device.memory_bytes / kGiB << " GiB of device memory, wants "
                                << memory_bytes / kGiB);
            continue;
        }
        CAPTURE(name);
        CAPTURE(backend.name);
        ran = true;
        try {
            test(host, backend);
        } catch (const std::runtime_error& failure) { FAIL_CHECK(name << ": " << backend.name << ": " << std::string(failure.what())); }
    }
    if (!ran && host.on_devices().empty()) MESSAGE("skipped: " << name << ": no device here lends its memory");
}

Case table_case(const std::string& name) {
    static const std::vector<Case> cases = tile_cases();
    const auto found = std::find_if(cases.begin(), cases.end(), [&](const Case& c) { return c.name == name; });
    REQUIRE_MESSAGE(found != cases.end(), name);
    return *found;
}

// nullptr where the backend refuses, which is told.
PlanHandle plan_for(const Host& host, const PlacedBackend& backend, const rf_problem& problem, const rf_args& args) {
    PlanHandle plan;
    std::string why;
    const rf_code code = plan_on(host, backend, with_true_alignment(problem, args), plan, why);
    if (code == RF_UNSUPPORTED) MESSAGE("skipped: " << backend.name << " refuses: " << why);
    if (code != RF_OK && code != RF_UNSUPPORTED) throw std::runtime_error("plan: " + why);
    return plan;
}

void demand_right(const Prepared& prepared, const char* when) {
    const Comparison c = compare(prepared.expectation, prepared.tensors.problem(), prepared.tensors.args());
    CHECK_MESSAGE(c.passed, when, ": ", c.where);
}

// Kernels of each family: split and combined, one pass, over pages, ragged.
const char* const kFamilies[] = {"decode-bf16/32-over-8", "decode-f16/paged-16", "prefill-bf16/dim-128", "prefill-f16/ragged-over-pages"};

}  // namespace

TEST_CASE("a hundred runs give the same bits") {
    for (const char* name : kFamilies)
        on_every_device(std::string("device/same-bits-") + name, 0, [&](const Host& host, const PlacedBackend& backend) {
            Prepared prepared(table_case(name));
            rf_problem problem = prepared.tensors.problem();
            problem.features |= RF_F_DETERMINISTIC;
            const PlanHandle plan = plan_for(host, backend, problem, prepared.tensors.args());
            if (!plan) return;
            const Device device = open_device(host, backend);
            StagedCase staged(device.get(), prepared.tensors, plan.get());
            std::vector<std::byte> first;
            for (int run = 0; run < 100; ++run) {
                prepared.tensors.poison();
                staged.upload(nullptr);
                staged.enqueue(nullptr);
                staged.download(nullptr);
                if (run == 0) {
                    first = output_bytes(prepared.tensors);
                    demand_right(prepared, "the first run");
                }
                CHECK_MESSAGE(output_bytes(prepared.tensors) == first, name, ": run ", run, " differs");
            }
        });
}

TEST_CASE("calls on two streams at once do not meet") {
    for (const char* name : kFamilies)
        on_every_device(std::string("device/two-streams-") + name, 0, [&](const Host& host, const PlacedBackend& backend) {
            Case other = table_case(name);
            other.seed += 1;
            Prepared one(table_case(name)), two(other);
            const PlanHandle plan = plan_for(host, backend, one.tensors.problem(), one.tensors.args());
            const PlanHandle second = plan_for(host, backend, two.tensors.problem(), two.tensors.args());
            if (!plan || !second) return;
            const Device device = open_device(host, backend);
            StagedCase first_call(device.get(), one.tensors, plan.get()), second_call(device.get(), two.tensors, second.get());
            const Made first_stream = create_stream(device.get()), second_stream = create_stream(device.get());
            first_call.upload(first_stream.get());
            second_call.upload(second_stream.get());
            for (int run = 0; run < 20; ++run) {
                first_call.enqueue(first_stream.get());
                second_call.enqueue(second_stream.get());
            }
            first_call.download(first_stream.get());
            second_call.download(second_stream.get());
            demand_right(one, "the first stream");
            demand_right(two, "the second stream");
        });
}

TEST_CASE("two host threads share a plan") {
    for (const char* name : kFamilies)
        on_every_device(std::string("device/two-threads-") + name, 0, [&](const Host& host, const PlacedBackend& backend) {
            Prepared one(table_case(name)), two(table_case(name));
            const PlanHandle plan = plan_for(host, backend, one.tensors.problem(), one.tensors.args());
            if (!plan) return;
            const Device device = open_device(host, backend);
            std::string failed[2];
            const auto work = [&](Prepared& prepared, std::string& failure) {
                try {
                    StagedCase staged(device.get(), prepared.tensors, plan.get());
                    const Made stream = create_stream(device.get());
                    for (int run = 0; run < 20; ++run) {
                        prepared.tensors.poison();
                        staged.upload(stream.get());
                        staged.enqueue(stream.get());
                        staged.download(stream.get());
                    }
                } catch (const std::exception& e) { failure = e.what(); }
            };
            std::thread beside(work, std::ref(two), std::ref(failed[1]));
            work(one, failed[0]);
            beside.join();
            for (const std::string& failure : failed) CHECK_MESSAGE(failure.empty(), failure);
            if (!failed[0].empty() || !failed[1].empty()) return;
            demand_right(one, "this thread");
            demand_right(two, "the thread beside it");
        });
}

// ---- NaN under the causal rule

namespace {

// Head h has its NaN in key `places[h]` of tensor 'k' or 'v', or none. The rows of out, [head_q][seq][dim].
Case with_nans(rf_dtype type, std::int64_t seq, std::int64_t dim, char tensor, const std::vector<std::int64_t>& places) {
    Case c;
    c.name = "nan";
    c.features = RF_F_CAUSAL | RF_F_LSE;
    c.batch = 1, c.head_q = c.head_kv = static_cast<std::int64_t>(places.size()), c.seq_q = c.seq_kv = seq, c.dim = dim, c.type = type;
    for (std::size_t h = 0; tensor != 0 && h < places.size(); ++h) c.pokes.push_back({tensor, 0, static_cast<std::int64_t>(h), places[h], -1, NAN});
    return c;
}

void run_once(rocforge_device_t* device, const Materialised& tensors, const rocforge_plan_t* plan) {
    StagedCase staged(device, tensors, plan);
    staged.upload(nullptr);
    staged.enqueue(nullptr);
    staged.download(nullptr);
}

// Rows before the NaN as in a run without it, rows from it on not finite throughout; "" or the first that is not. Not bitwise: a backend may take
// another path where it meets a NaN. The slack is the tolerance rule's floor, 4 eps.
std::string check_law(const Materialised& clean, const Materialised& poisoned, const std::vector<std::int64_t>& places) {
    const rf_problem& p = clean.problem();
    const double slack = 4 * epsilon(p.out.dtype);
    for (std::int64_t h = 0; h < p.q.shape[1]; ++h)
        for (std::int64_t i = 0; i < p.max_seq_q; ++i)
            for (std::int64_t d = 0; d < p.v.shape[3]; ++d) {
                const std::int64_t at = offset_of(p.out, 0, h, i, d), place = places[static_cast<std::size_t>(h)];
                const double with = load(p.out.dtype, poisoned.args().out, at), without = load(p.out.dtype, clean.args().out, at);
                if (i < place ? std::abs(with - without) <= slack * std::max(1.0, std::abs(without)) : !std::isfinite(with)) continue;
                return "NaN in key " + std::to_string(place) + ": out[h=" + std::to_string(h) + ", i=" + std::to_string(i) +
                       ", d=" + std::to_string(d) + "] is " + std::to_string(with) + ", " + std::to_string(without) + " without it";
            }
    return {};
}

}  // namespace

TEST_CASE("a NaN in key k of V or K reaches the rows from k on and no row before, under the causal rule") {
    on_every_device("device/nan-law", 0, [&](const Host& host, const PlacedBackend& backend) {
        const Device device = open_device(host, backend);
        for (const rf_dtype type : {kBf16, kF16})
            for (const std::int64_t seq : {200, 333})
                for (const std::int64_t dim : {64, 128, 256}) {
                    const std::vector<std::int64_t> places{0, 1, 31, 63, 64, 65, 127, 128, 150, seq - 1};
                    const Materialised clean(with_nans(type, seq, dim, 0, places));
                    const PlanHandle plan = plan_for(host, backend, clean.problem(), clean.args());
                    if (!plan) continue;
                    run_once(device.get(), clean, plan.get());
                    for (const char tensor : {'v', 'k'}) {
                        const Materialised poisoned(with_nans(type, seq, dim, tensor, places));
                        run_once(device.get(), poisoned, plan.get());
                        const std::string wrong = check_law(clean, poisoned, places);
                        CHECK_MESSAGE(wrong.empty(), backend.name, ": ", name_of(type), ", ", seq, " tokens, dim ", dim, ", in ",
                                      std::string(1, tensor), ": ", wrong);
                    }
                }
    });
}

// ---- Shapes of real models, rows sampled

namespace {

// Uniform in [-1, 1), from a fixed seed; repeated after a prime number of elements, so that rows of a power of two differ.
class Noise {
public:
    Noise(rf_dtype type, std::uint64_t seed) : type_(type), bytes_(static_cast<std::size_t>(kElements * bytes_of(type))) {
        std::mt19937_64 random(seed);
        for (std::int64_t n = 0; n < kElements; ++n) store(type, bytes_.data(), n, static_cast<double>(random() >> 11) * 0x1p-52 - 1);
    }
    std::vector<std::byte> fill(std::int64_t elements) const {
        std::vector<std::byte> all(static_cast<std::size_t>(elements * bytes_of(type_)));
        for (std::size_t at = 0; at < all.size(); at += bytes_.size())
            std::copy_n(bytes_.begin(), std::min(bytes_.size(), all.size() - at), all.begin() + static_cast<std::ptrdiff_t>(at));
        return all;
    }

private:
    static constexpr std::int64_t kElements = 65521;
    rf_dtype type_;
    std::vector<std::byte> bytes_;
};

struct RowId {
    std::int64_t b, h, i;
};

// A problem in host memory, too large for an oracle of every row.
struct Big {
    Big(rf_dtype type, std::int64_t batch, std::int64_t head_q, std::int64_t head_kv, std::int64_t seq_q, std::int64_t seq_kv, std::int64_t dim,
        std::int64_t page_size = 0) {
        rocforge_problem_dense(&p, type, batch, head_q, head_kv, seq_q, seq_kv, dim);
        p.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(dim)));
        p.features = RF_F_CAUSAL | RF_F_BOTTOM_RIGHT | (head_q != head_kv ? RF_F_GROUPED_HEADS : 0);
        if (page_size) pages(page_size);
        q = Noise(type, 1).fill(batch * head_q * seq_q * dim);
        k = Noise(type, 2).fill(batch * head_kv * seq_kv * dim);
        v = Noise(type, 3).fill(batch * head_kv * seq_kv * dim);
        out.resize(q.size());
        a.struct_size = sizeof a;
        a.q = q.data(), a.k = k.data(), a.v = v.data(), a.out = out.data();
    }
    Big(Big&&) = default;  // vectors keep their addresses
    // Pages in a shuffled order, every sequence full.
    void pages(std::int64_t page_size) {
        p.features |= RF_F_PAGED_KV | RF_F_KV_LENGTHS;
        p.index_dtype = kI32;
        p.page_size = page_size;
        p.block_table_stride = p.max_seq_kv / page_size;
        const std::int64_t all = p.batch * p.block_table_stride;
        p.k = p.v = rocforge_tensor(p.k.dtype, all, p.k.shape[1], page_size, p.k.shape[3]);
        table.resize(static_cast<std::size_t>(all));
        std::iota(table.begin(), table.end(), 0);
        std::shuffle(table.begin(), table.end(), std::mt19937_64(4));
        lengths.assign(static_cast<std::size_t>(p.batch), static_cast<std::int32_t>(p.max_seq_kv));
        a.block_table = table.data(), a.kv_lengths = lengths.data();
    }
    Expectation expectation(const std::vector<RowId>& rows) const {
        Expectation e;
        for (const RowId& r : rows) {
            const Row exact = oracle_row(p, a, r.b, r.h, r.i), textbook = textbook_row(p, a, r.b, r.h, r.i);
            e.largest_v = std::max(e.largest_v, exact.largest_v);
            for (std::size_t d = 0; d < exact.out.size(); ++d)
                e.textbook_error = std::max(e.textbook_error, std::abs(textbook.out[d] - exact.out[d]));
            e.rows.push_back({r.b, r.h, r.i, exact});
        }
        return e;
    }

    rf_problem p{};
    rf_args a{};
    std::vector<std::byte> q, k, v, out;
    std::vector<std::int32_t> table, lengths;
};

// Memory of a device for one tensor, with a copy of host memory in it.
Made uploaded(rocforge_device_t* device, const void* from, std::uint64_t bytes) {
    Made memory = allocate(device, bytes);
    rf_error error{};
    error.struct_size = sizeof error;
    demand(rocforge_copy_to_device(device, memory.get(), from, bytes, nullptr, &error), error, "copying");
    return memory;
}

// Workspace and counters of a plan.
struct Scratch {
    Scratch(rocforge_device_t* device, const rocforge_plan_t* plan, rf_args& args) {
        rocforge_plan_details details{};
        details.struct_size = sizeof details;
        rocforge_plan_describe(plan, &details);
        if (details.workspace_bytes) workspace = allocate(device, details.workspace_bytes);
        const std::vector<std::byte> zeros(details.zeroed_bytes);
        if (!zeros.empty()) zeroed = uploaded(device, zeros.data(), zeros.size());
        args.workspace = workspace.get(), args.workspace_bytes = details.workspace_bytes, args.zeroed = zeroed.get();
    }
    Made workspace, zeroed;
};

void forward(const rocforge_plan_t* plan, const rf_args& args) {
    rf_error error{};
    error.struct_size = sizeof error;
    demand(rocforge_forward(plan, &args, &error), error, "forward");
}

void download(rocforge_device_t* device, void* to, const void* from, std::uint64_t bytes) {
    rf_error error{};
    error.struct_size = sizeof error;
    demand(rocforge_copy_to_host(device, to, from, bytes, nullptr, &error), error, "copying back");
}

// False: refused.
bool run_big(const Host& host, const PlacedBackend& backend, Big& big) {
    rf_problem aligned = big.p;
    for (rf_tensor* t : {&aligned.q, &aligned.k, &aligned.v, &aligned.out}) t->align = 256;
    const PlanHandle plan = plan_for(host, backend, aligned, big.a);
    if (!plan) return false;
    const Device device = open_device(host, backend);
    const auto copy = [&](const auto& from) { return uploaded(device.get(), from.data(), from.size() * sizeof from[0]); };
    const Made q = copy(big.q), k = copy(big.k), v = copy(big.v), out = copy(big.out);
    rf_args args = big.a;
    args.q = q.get(), args.k = k.get(), args.v = v.get(), args.out = out.get();
    Made table, lengths;
    if (!big.table.empty()) {
        table = copy(big.table), lengths = copy(big.lengths);
        args.block_table = table.get(), args.kv_lengths = lengths.get();
    }
    const Scratch scratch(device.get(), plan.get(), args);
    forward(plan.get(), args);
    download(device.get(), big.out.data(), out.get(), big.out.size());
    return true;
}

void check_big(const std::string& name, const std::function<Big()>& make, const std::vector<RowId>& rows) {
    std::optional<Big> big;  // made once some device takes it
    Expectation expectation;
    on_every_device(name, 8 * kGiB, [&](const Host& host, const PlacedBackend& backend) {
        if (!big) expectation = big.emplace(make()).expectation(rows);
        std::fill(big->out.begin(), big->out.end(), std::byte{0xFF});
        if (!run_big(host, backend, *big)) return;
        const Comparison c = compare(expectation, big->p, big->a);
        CHECK_MESSAGE(c.passed, backend.name, ": ", name, ": ", c.where, "; tolerance ", c.tolerance);
    });
}

}  // namespace

TEST_CASE("shapes of real models match the oracle in sampled rows") {
    std::vector<RowId> prefill, decode;
    for (const std::int64_t h : {0, 7, 31})
        for (const std::int64_t i : {0, 1, 63, 64, 65, 1000, 2047, 4095}) prefill.push_back({0, h, i});
    for (const std::int64_t h : {0, 5, 31}) decode.push_back({0, h, 0});
    for (const rf_dtype type : {kBf16, kF16}) {
        const std::string suffix = std::string("-") + name_of(type);
        check_big(
            "device/big-prefill" + suffix, [&] { return Big(type, 1, 32, 8, 4096, 4096, 128); }, prefill);
        check_big(
            "device/big-decode" + suffix, [&] { return Big(type, 1, 32, 8, 1, 32768, 128); }, decode);
        for (const std::int64_t page_size : {16, 64})
            check_big(
                "device/big-decode-pages-of-" + std::to_string(page_size) + suffix, [&] { return Big(type, 1, 32, 8, 1, 32768, 128, page_size); },
                decode);
    }
}

// ---- Offsets past 2^31 elements

TEST_CASE("a cache of more than 2^31 elements is read to its end") {
    constexpr std::int64_t kBatch = 520, kHeads = 8, kKeys = 4096, kDim = 128, kSequence = kHeads * kKeys * kDim;
    static_assert(kBatch * kSequence > std::int64_t{1} << 31);
    on_every_device("device/cache-past-2^31-elements", 16 * kGiB, [&](const Host& host, const PlacedBackend& backend) {
        // Sequence b holds what sequence b % 3 of the small problem does: the host keeps three.
        Big small(kBf16, 3, 32, kHeads, 1, kKeys, kDim);
        rf_problem p = small.p;
        p.batch = kBatch;
        for (rf_tensor* t : {&p.q, &p.k, &p.v, &p.out}) t->shape[0] = kBatch, t->align = 256;
        const PlanHandle plan = plan_for(host, backend, p, small.a);
        if (!plan) return;
        const Device device = open_device(host, backend);
        const auto repeated = [&](const std::vector<std::byte>& three) {
            const std::uint64_t bytes = three.size() / 3;
            Made memory = allocate(device.get(), kBatch * bytes);
            rf_error error{};
            error.struct_size = sizeof error;
            for (std::uint64_t b = 0; b < kBatch; ++b)
                demand(rocforge_copy_to_device(device.get(), static_cast<std::byte*>(memory.get()) + b * bytes, three.data() + b % 3 * bytes, bytes,
                                               nullptr, &error),
                       error, "copying");
            return memory;
        };
        const Made q = repeated(small.q), k = repeated(small.k), v = repeated(small.v), out = repeated(small.out);
        rf_args args = small.a;
        args.q = q.get(), args.k = k.get(), args.v = v.get(), args.out = out.get();
        const Scratch scratch(device.get(), plan.get(), args);
        forward(plan.get(), args);
        std::vector<std::byte> all(small.out.size() / 3 * kBatch);
        download(device.get(), all.data(), out.get(), all.size());
        const Expectation expectation = small.expectation({{0, 0, 0}, {1, 17, 0}, {2, 31, 0}});
        for (const std::int64_t b : {0, 511, 512, 513, 517}) {  // sequence 512 begins at element 2^31
            const std::int64_t first = b / 3 * 3;
            std::copy_n(all.begin() + first * static_cast<std::int64_t>(small.out.size() / 3), small.out.size(), small.out.begin());
            const Comparison c = compare(expectation, small.p, small.a);
            CHECK_MESSAGE(c.passed, backend.name, ": sequences from ", first, ": ", c.where);
        }
    });
}

TEST_CASE("strides past 2^31 elements reach the right elements of a device") {
    constexpr std::int64_t kStride = (std::int64_t{1} << 31) + 4096, kTokens = 130, kDim = 64, kHead = kTokens * kDim;
    on_every_device("device/strides-past-2^31-elements", 24 * kGiB, [&](const Host& host, const PlacedBackend& backend) {
        Big compact(kBf16, 1, 2, 2, kTokens, kTokens, kDim);
        rf_problem p = compact.p;
        for (rf_tensor* t : {&p.q, &p.k, &p.v, &p.out}) t->stride[0] = 2 * kStride, t->stride[1] = kStride, t->align = 256;
        const PlanHandle plan = plan_for(host, backend, p, compact.a);
        if (!plan) return;
        const Device device = open_device(host, backend);
        rf_error error{};
        error.struct_size = sizeof error;
        const auto apart = [&](const std::vector<std::byte>& heads) {
            Made memory = allocate(device.get(), static_cast<std::uint64_t>((kStride + kHead) * 2));
            for (std::int64_t h = 0; h < 2; ++h)
                demand(rocforge_copy_to_device(device.get(), static_cast<std::byte*>(memory.get()) + h * kStride * 2, heads.data() + h * kHead * 2,
                                               kHead * 2, nullptr, &error),
                       error, "copying");
            return memory;
        };
        const Made q = apart(compact.q), k = apart(compact.k), v = apart(compact.v), out = apart(compact.out);
        rf_args args = compact.a;
        args.q = q.get(), args.k = k.get(), args.v = v.get(), args.out = out.get();
        const Scratch scratch(device.get(), plan.get(), args);
        forward(plan.get(), args);
        for (std::int64_t h = 0; h < 2; ++h)
            download(device.get(), compact.out.data() + h * kHead * 2, static_cast<std::byte*>(out.get()) + h * kStride * 2, kHead * 2);
        std::vector<RowId> rows;
        for (std::int64_t h = 0; h < 2; ++h)
            for (std::int64_t i = 0; i < kTokens; ++i) rows.push_back({0, h, i});
        const Comparison c = compare(compact.expectation(rows), compact.p, compact.a);
        CHECK_MESSAGE(c.passed, backend.name, ": ", c.where);
    });
}
