// Backend my_backend: dense float32 attention by the textbook, rows shared among the threads that the host lends, one row of scores a thread. It says
// no, with a reason, to everything else.
#include <rocforge/plugin.hpp>

#include <algorithm>
#include <cmath>

namespace {

std::uint64_t scores_bytes(const rf_problem& p) { return (static_cast<std::uint64_t>(p.max_seq_kv) * sizeof(float) + 255) / 256 * 256; }

const float* row(const void* data, const rf_tensor& t, std::int64_t b, std::int64_t h, std::int64_t s) {
    return static_cast<const float*>(data) + b * t.stride[0] + h * t.stride[1] + s * t.stride[2];
}

struct Plan {
    rf_problem p;
    const rf_host_api* host;

    // scores [max_seq_kv]
    void attend(const rf_args& args, std::int64_t b, std::int64_t h, std::int64_t i, float* scores) const {
        const std::int64_t head_kv = h / (p.q.shape[1] / p.k.shape[1]), dim = p.q.shape[3], dim_v = p.v.shape[3];
        const float* q = row(args.q, p.q, b, h, i);
        auto* out = const_cast<float*>(row(args.out, p.out, b, h, i));
        float largest = -INFINITY, sum = 0;
        for (std::int64_t j = 0; j < p.max_seq_kv; ++j) {
            const float* k = row(args.k, p.k, b, head_kv, j);
            scores[j] = 0;
            for (std::int64_t d = 0; d < dim; ++d) scores[j] += q[d] * k[d];
            scores[j] *= p.scale;
            largest = std::fmax(largest, scores[j]);
        }
        std::fill(out, out + dim_v, 0.0f);  // what a row without keys keeps
        for (std::int64_t j = 0; j < p.max_seq_kv; ++j) {
            const float weight = std::exp(scores[j] - largest);
            const float* v = row(args.v, p.v, b, head_kv, j);
            sum += weight;
            for (std::int64_t d = 0; d < dim_v; ++d) out[d] += weight * v[d];
        }
        for (std::int64_t d = 0; d < dim_v && p.max_seq_kv > 0; ++d) out[d] /= sum;
        if (p.features & RF_F_LSE) *const_cast<float*>(row(args.lse, p.lse, b, h, i)) = largest + std::log(sum);
    }

    void forward(const rf_args& args) const {
        struct Call {
            const Plan* plan;
            const rf_args* args;
        } call{this, &args};
        const auto rows = [](void* arg, std::int64_t begin, std::int64_t end, std::uint32_t worker) {
            const auto& [plan, a] = *static_cast<const Call*>(arg);
            auto* scores = reinterpret_cast<float*>(static_cast<char*>(a->workspace) + worker * scores_bytes(plan->p));
            const std::int64_t heads = plan->p.q.shape[1], seq_q = plan->p.max_seq_q;
            for (std::int64_t n = begin; n < end; ++n) plan->attend(*a, n / (heads * seq_q), n / seq_q % heads, n % seq_q, scores);
        };
        host->parallel_for(host->self, p.batch * p.q.shape[1] * p.max_seq_q, host->workers, rows, &call);
    }
};

// Its table's slots: what throws becomes a code and a message at the boundary.
class Backend {
public:
    using Plan = ::Plan;
    explicit Backend(const rf_host_api& host) : host_(host) {}

    rf_code device(std::int32_t index, rf_device& out) const { return index == 0 ? describe("any", out) : rf_code{RF_NOT_FOUND}; }
    rf_code describe(std::string_view arch, rf_device& out) const {
        if (arch != "any") return RF_NOT_FOUND;
        out.arch = "any";
        out.name = "any CPU";
        return RF_OK;
    }
    // Sees geometry alone, and reports every reason.
    void supports(const rf_device&, const rf_problem& p, rocforge::Reasons& reasons) const {
        reasons.only_dtype(p, {RF_T_FLOAT, 32, 1}, "use backend \"cpu\"");
        if (const std::uint64_t wanted = host_.workers * scores_bytes(p); wanted > p.workspace_limit_bytes)
            reasons.refuse(RF_R_WORKSPACE, "workspace_limit_bytes", std::to_string(p.workspace_limit_bytes), "at least " + std::to_string(wanted));
    }
    rf_code kv_layout(const rf_device&, const rf_problem&, std::uint32_t index, rf_kv_layout& out) const {
        if (index > 0) return RF_NOT_FOUND;
        out.kind = RF_KV_CONTIGUOUS;
        out.align = sizeof(float);
        for (std::uint8_t axis = 0; axis < 4; ++axis) out.order[axis] = axis;
        return RF_OK;
    }
    std::unique_ptr<Plan> plan(const rf_device&, const rf_problem& p, std::uint32_t algo, rf_plan_info& info) const {
        if (algo > 0) throw rocforge::Failure(RF_NOT_FOUND, "my_backend: there is one algorithm, 0");
        info.kernel = "textbook";
        info.flags = RF_P_DETERMINISTIC;
        info.workspace_bytes = host_.workers * scores_bytes(p);
        return std::make_unique<Plan>(Plan{p, &host_});
    }

private:
    const rf_host_api& host_;
};

constexpr rf_backend_api kTable = rocforge::backend_table<Backend>({.name = "my_backend",
                                                                    .version = "0.1.0",
                                                                    .vendor = "the authors of my_backend",
                                                                    .features = RF_F_GROUPED_HEADS | RF_F_DIM_V | RF_F_LSE | RF_F_DETERMINISTIC,
                                                                    .device_kind = RF_DEVICE_CPU});

}  // namespace

extern "C" rf_code rocforge_plugin_v1(const rf_host_api* host, rf_error*) { return host->register_backend(host->self, &kTable); }
