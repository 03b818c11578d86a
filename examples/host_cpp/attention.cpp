#include <rocforge/rocforge.hpp>

#include <cstdio>
#include <vector>

int main() try {
    constexpr int heads = 32, kv_heads = 8, tokens = 128, dim = 64;
    const std::vector<float> q(heads * tokens * dim, 0.5f), k(kv_heads * tokens * dim, 0.25f), v(kv_heads * tokens * dim, 2.0f);
    std::vector<float> out(q.size());

    const rocforge::Context context;                 // reads the configuration, loads the plugins
    const rf_device device = context.device("cpu");  // "cuda:0" wants pointers of that device: examples/host_cpp/on_device.cpp
    rf_problem problem = rocforge::dense_problem(rocforge::f32, 1, heads, kv_heads, tokens, tokens, dim);
    problem.features = RF_F_CAUSAL | RF_F_BOTTOM_RIGHT;

    const rocforge::Choice choice = context.select(device, problem);
    for (const rocforge_candidate& each : choice.candidates())
        if (each.supported) std::printf("%s can run it\n", each.name);
    context.attention(device, problem, rocforge::args(q.data(), k.data(), v.data(), out.data()));
    std::printf("%s ran, out[0] = %.3f\n", choice.describe().backend, out[0]);
} catch (const rocforge::Exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
}
