// forward allocates nothing: every allocation of the process is counted while plans of each kind run, on whatever backend is installed here.
#include <rocforge/rocforge.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <vector>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kCounts = false;
std::atomic<long> allocations{0};
#else
constexpr bool kCounts = true;
std::atomic<long> allocations{0};
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);

// glibc's own entry points stay reachable under their internal names, so that these can count for every library of the process.
void* malloc(std::size_t bytes) { return ++allocations, __libc_malloc(bytes); }
void* calloc(std::size_t n, std::size_t bytes) { return ++allocations, __libc_calloc(n, bytes); }
void* realloc(void* p, std::size_t bytes) { return ++allocations, __libc_realloc(p, bytes); }
void* aligned_alloc(std::size_t align, std::size_t bytes) { return ++allocations, __libc_memalign(align, bytes); }
void* memalign(std::size_t align, std::size_t bytes) { return ++allocations, __libc_memalign(align, bytes); }
int posix_memalign(void** p, std::size_t align, std::size_t bytes) { return ++allocations, (*p = __libc_memalign(align, bytes)) ? 0 : 12; }
}
#endif

namespace {

struct Row {
    const char* what;
    std::int64_t batch, head_q, head_kv, seq_q, seq_kv, dim;
    rf_features features;
};
constexpr Row kRows[]{{"one token", 1, 4, 4, 1, 1, 64, 0},
                      {"prefill on all workers", 1, 8, 8, 512, 512, 64, RF_F_CAUSAL},
                      {"grouped decode, split over workers", 2, 16, 4, 1, 4096, 128, RF_F_KV_LENGTHS},
                      {"logits with everything on top", 2, 4, 2, 65, 130, 40,
                       RF_F_CAUSAL | RF_F_BOTTOM_RIGHT | RF_F_SOFTCAP | RF_F_ALIBI | RF_F_SINK | RF_F_LSE | RF_F_DROPOUT}};

struct Free {
    void operator()(void* p) const { std::free(p); }
};

// Everything that one call of a row needs, allocated before anything is counted.
struct Call {
    rf_problem problem;
    std::vector<float> q, k, v, out, lse, slopes, sink;
    std::vector<std::int32_t> lengths;
    std::unique_ptr<void, Free> workspace;
    rf_args args{};

    explicit Call(const Row& row)
        : problem(rocforge::dense_problem(rocforge::f32, row.batch, row.head_q, row.head_kv, row.seq_q, row.seq_kv, row.dim)),
          q(static_cast<std::size_t>(row.batch * row.head_q * row.seq_q * row.dim), 0.25f),
          k(static_cast<std::size_t>(row.batch * row.head_kv * row.seq_kv * row.dim), 0.5f),
          v(k),
          out(q),
          lse(static_cast<std::size_t>(row.batch * row.head_q * row.seq_q)),
          slopes(static_cast<std::size_t>(row.head_q), 0.1f),
          sink(slopes),
          lengths(static_cast<std::size_t>(row.batch), static_cast<std::int32_t>(row.seq_kv)) {
        problem.features = row.features;
        if (row.features & RF_F_SOFTCAP) problem.softcap = 30;
        if (row.features & RF_F_DROPOUT) problem.dropout_p = 0.1f;
        if (row.features & RF_F_LSE) problem.lse = rocforge_tensor(rocforge::f32, row.batch, row.head_q, row.seq_q, 1);
        if (row.features & RF_F_KV_LENGTHS) problem.index_dtype = rocforge::i32;
        args = rocforge::args(q.data(), k.data(), v.data(), out.data());
        args.lse = lse.data();
        args.alibi_slopes = slopes.data();
        args.sink = sink.data();
        args.kv_lengths = lengths.data();
    }
    void lend(const rocforge_plan_details& plan) {
        workspace.reset(std::aligned_alloc(256, (plan.workspace_bytes + 256) / 256 * 256));
        args.workspace = workspace.get();
        args.workspace_bytes = plan.workspace_bytes;
    }
};

}  // namespace

TEST_CASE("forward allocates nothing") {
    if (!kCounts) {
        MESSAGE("skipped: the sanitizer owns malloc, so that allocations cannot be counted");
        return;
    }
    rocforge::Context context;
    const rf_device device = context.device("cpu");
    for (const Row& row : kRows) {
        CAPTURE(row.what);
        Call call(row);
        const rocforge::Plan plan = context.plan(device, call.problem);
        call.lend(plan.describe());
        for (int i = 0; i < 3; ++i) plan.forward(call.args);  // the first call starts threads
        rf_error error{};
        error.struct_size = sizeof error;
        const long before = allocations;
        rf_code code = RF_OK;
        for (int i = 0; i < 10; ++i) code |= rocforge_forward(plan.get(), &call.args, &error);
        const long after = allocations;
        CHECK(code == RF_OK);
        CHECK(after - before == 0);
    }
}

TEST_CASE("the one-call form allocates nothing once its plan and workspace are kept") {
    if (!kCounts) {
        MESSAGE("skipped: the sanitizer owns malloc, so that allocations cannot be counted");
        return;
    }
    rocforge::Context context;
    const rf_device device = context.device("cpu");
    for (const Row& row : kRows) {
        CAPTURE(row.what);
        Call call(row);
        for (int i = 0; i < 3; ++i) context.attention(device, call.problem, call.args);
        rf_error error{};
        error.struct_size = sizeof error;
        const long before = allocations;
        rf_code code = RF_OK;
        for (int i = 0; i < 10; ++i) code |= rocforge_attention(context.get(), &device, &call.problem, &call.args, &error);
        const long after = allocations;
        CHECK(code == RF_OK);
        CHECK(after - before == 0);
    }
}

TEST_CASE("opening a context starts no thread") {
    const auto threads = [] {
        int count = -1;
        if (std::FILE* status = std::fopen("/proc/self/status", "r")) {
            char line[256];
            while (std::fgets(line, sizeof line, status))
                if (std::sscanf(line, "Threads: %d", &count) == 1) break;
            std::fclose(status);
        }
        return count;
    };
    const int before = threads();
    REQUIRE(before >= 1);
    rocforge::Context context;
    REQUIRE(!context.backends().empty());
    const rf_device device = context.device("cpu");
    const rocforge::Plan plan = context.plan(device, rocforge::dense_problem(rocforge::f32, 1, 8, 8, 1024, 1024, 64));
    CHECK(threads() == before);
}
