// A decode loop with one plan: K and V have the shape of their capacity, kv_lengths says how much of it lives, so that a cache that grows by a token
// a step is the same problem at every step. Keys are zero, so each query averages the values, which are their own positions: len tokens give
// (len - 1) / 2, and the program checks that.
#include <rocforge/rocforge.hpp>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

namespace {

constexpr std::int64_t kBatch = 2, kHeadQ = 8, kHeadKv = 2, kCapacity = 300, kDim = 64, kSteps = 200;

std::size_t elements(std::int64_t a, std::int64_t b, std::int64_t c, std::int64_t d) { return static_cast<std::size_t>(a * b * c * d); }

}  // namespace

int main() try {
    const rocforge::Context context;
    const rf_device device = context.device("cpu");
    rf_problem problem = rocforge::dense_problem(rocforge::f32, kBatch, kHeadQ, kHeadKv, 1, kCapacity, kDim);
    problem.features = RF_F_KV_LENGTHS;
    problem.index_dtype = rocforge::i32;

    const rocforge::Plan plan = context.plan(device, problem);
    const auto details = plan.describe();
    const std::unique_ptr<void, void (*)(void*)> workspace(std::aligned_alloc(256, details.workspace_bytes + 256), std::free);

    const std::vector<float> q(elements(kBatch, kHeadQ, 1, kDim), 1.0f), k(elements(kBatch, kHeadKv, kCapacity, kDim));
    std::vector<float> v(k.size(), NAN), out(q.size());  // what does not live yet may hold anything
    std::vector<std::int32_t> lengths(kBatch);
    rf_args args = rocforge::args(q.data(), k.data(), v.data(), out.data());
    args.kv_lengths = lengths.data();
    args.workspace = workspace.get();
    args.workspace_bytes = details.workspace_bytes;

    for (std::int64_t step = 0; step < kSteps; ++step) {
        for (std::int64_t b = 0; b < kBatch; ++b) {
            const std::int64_t length = step + 1 + 50 * b;  // the second sequence started with a prompt of 50
            for (std::int64_t j = lengths[static_cast<std::size_t>(b)]; j < length; ++j)
                for (std::int64_t h = 0; h < kHeadKv; ++h)
                    for (std::int64_t d = 0; d < kDim; ++d)
                        v[elements(b * kHeadKv + h, kCapacity, kDim, 1) + elements(j, kDim, 1, 1) + static_cast<std::size_t>(d)] =
                            static_cast<float>(j);
            lengths[static_cast<std::size_t>(b)] = static_cast<std::int32_t>(length);
        }
        plan.forward(args);
        for (std::int64_t b = 0; b < kBatch; ++b) {
            const float wanted = static_cast<float>(lengths[static_cast<std::size_t>(b)] - 1) / 2, have = out[elements(b, kHeadQ, kDim, 1)];
            if (std::fabs(have - wanted) > 1e-3f) return std::fprintf(stderr, "step %d: %g, wanted %g\n", static_cast<int>(step), have, wanted), 1;
        }
    }
    std::printf("%d steps on one plan of %s, lengths up to %d of %d\n", static_cast<int>(kSteps), details.backend, lengths[1],
                static_cast<int>(kCapacity));
} catch (const rocforge::Exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
}
