// Attention on a GPU from a host that has no GPU runtime of its own: memory, copies and clock are lent by the backend that runs.
//     example-on_device cuda:0        (or rocm:0)
#include <rocforge/rocforge.hpp>

#include <cstdint>
#include <cstdio>
#include <vector>

namespace {

// bf16 is the upper half of a float; exact for the few numbers used here.
constexpr std::uint16_t kHalf = 0x3F00, kTwo = 0x4000;

int run(const char* where) {
    constexpr int heads = 32, kv_heads = 8, tokens = 16, dim = 64;
    const std::vector<std::uint16_t> q(heads * tokens * dim, kHalf), k(kv_heads * tokens * dim, kHalf), v(kv_heads * tokens * dim, kTwo);
    std::vector<std::uint16_t> out(q.size());

    const rocforge::Context context;
    const rf_device gpu = context.device(where);
    rf_problem problem = rocforge::dense_problem(rocforge::bf16, 1, heads, kv_heads, tokens, tokens, dim);
    problem.features = RF_F_CAUSAL;
    for (rf_tensor* each : {&problem.q, &problem.k, &problem.v, &problem.out}) each->align = 256;  // as device memory is; kernels ask for 16

    const rocforge::Choice choice = context.select(gpu, problem);
    const rocforge::Plan plan = choice.plan();
    const rocforge::Device device = context.open_device(gpu, choice.describe().backend);
    const auto upload = [&](const void* from, std::size_t bytes) {
        rocforge::DeviceMemory memory = device.allocate(bytes);
        device.to_device(memory.get(), from, bytes);
        return memory;
    };
    const std::vector<char> zeros(plan.describe().zeroed_bytes);  // counters: zero once, left zero by every call
    const rocforge::DeviceMemory q_there = upload(q.data(), q.size() * 2), k_there = upload(k.data(), k.size() * 2),
                                 v_there = upload(v.data(), v.size() * 2), out_there = device.allocate(out.size() * 2),
                                 workspace = device.allocate(plan.describe().workspace_bytes), zeroed = upload(zeros.data(), zeros.size());

    rf_args args = rocforge::args(q_there.get(), k_there.get(), v_there.get(), out_there.get());
    args.workspace = workspace.get();
    args.workspace_bytes = plan.describe().workspace_bytes;
    args.zeroed = zeroed.get();
    plan.forward(args);                                           // enqueued on the default stream
    device.to_host(out.data(), out_there.get(), out.size() * 2);  // waits for it
    std::printf("%s ran on %s, out[0] is %s\n", choice.describe().backend, where, out[0] == kTwo ? "2" : "wrong");
    return out[0] == kTwo ? 0 : 1;
}

}  // namespace

int main(int count, char** arguments) try { return run(count > 1 ? arguments[1] : "cuda:0"); } catch (const rocforge::Exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
}
