// The smallest honest backend: dense float32 attention by the textbook, one thread, one row of scores at a time. It says no to all else.
#include <rocforge/plugin.hpp>

#include <algorithm>
#include <cmath>

namespace {

struct Plain {
    struct Plan {
        rf_problem p;
        void forward(const rf_args& args) const;
    };
    explicit Plain(const rf_host_api&) {}
    rf_code device(std::int32_t index, rf_device& out) const {
        if (index > 0) return RF_NOT_FOUND;
        out.arch = out.name = "any CPU";
        return RF_OK;
    }
    rf_code describe(std::string_view, rf_device&) const { return RF_NOT_FOUND; }
    void supports(const rf_device&, const rf_problem& p, rocforge::Reasons& reasons) const {
        for (const auto& [tensor, field] : {std::pair{&p.q, "q.dtype"}, {&p.k, "k.dtype"}, {&p.v, "v.dtype"}, {&p.out, "out.dtype"}})
            if (tensor->dtype.code != RF_T_FLOAT || tensor->dtype.bits != 32)
                reasons.refuse(RF_R_DTYPE, field, "another type", "f32", "use backend \"cpu\"");
        if (p.max_seq_kv * 4 > static_cast<std::int64_t>(p.workspace_limit_bytes & INT64_MAX))
            reasons.refuse(RF_R_WORKSPACE, "workspace_limit_bytes", std::to_string(p.workspace_limit_bytes), std::to_string(p.max_seq_kv * 4));
    }
    rf_code kv_layout(const rf_device&, const rf_problem&, std::uint32_t index, rf_kv_layout& out) const {
        if (index > 0) return RF_NOT_FOUND;
        out.kind = RF_KV_CONTIGUOUS;
        out.align = 4;
        for (std::uint8_t axis = 0; axis < 4; ++axis) out.order[axis] = axis;
        return RF_OK;
    }
    std::unique_ptr<Plan> plan(const rf_device&, const rf_problem& p, std::uint32_t algo, rf_plan_info& info) const {
        if (algo > 0) throw rocforge::Failure(RF_NOT_FOUND, "plain: there is one algorithm");
        info.kernel = "textbook";
        info.flags = RF_P_DETERMINISTIC;
        info.workspace_bytes = (static_cast<std::uint64_t>(p.max_seq_kv) * 4 + 255) / 256 * 256;  // one row of scores
        return std::make_unique<Plan>(Plan{p});
    }
};

std::int64_t row(const rf_tensor& t, std::int64_t b, std::int64_t h, std::int64_t s) { return b * t.stride[0] + h * t.stride[1] + s * t.stride[2]; }

void Plain::Plan::forward(const rf_args& args) const {
    const auto *q = static_cast<const float*>(args.q), *k = static_cast<const float*>(args.k), *v = static_cast<const float*>(args.v);
    auto *out = static_cast<float*>(args.out), *score = static_cast<float*>(args.workspace);
    const std::int64_t group = p.q.shape[1] / p.k.shape[1], dim = p.q.shape[3], dim_v = p.v.shape[3];
    for (std::int64_t b = 0; b < p.batch; ++b)
        for (std::int64_t h = 0; h < p.q.shape[1]; ++h)
            for (std::int64_t i = 0; i < p.max_seq_q; ++i) {
                const float* q_row = q + row(p.q, b, h, i);
                float* out_row = out + row(p.out, b, h, i);
                float largest = -INFINITY, sum = 0;
                for (std::int64_t j = 0; j < p.max_seq_kv; ++j) {
                    const float* k_row = k + row(p.k, b, h / group, j);
                    score[j] = 0;
                    for (std::int64_t d = 0; d < dim; ++d) score[j] += q_row[d] * k_row[d];
                    score[j] *= p.scale;
                    largest = std::fmax(largest, score[j]);
                }
                std::fill(out_row, out_row + dim_v, 0.0f);  // what a row without keys keeps
                for (std::int64_t j = 0; j < p.max_seq_kv; ++j) {
                    const float weight = std::exp(score[j] - largest);
                    const float* v_row = v + row(p.v, b, h / group, j);
                    sum += weight;
                    for (std::int64_t d = 0; d < dim_v; ++d) out_row[d] += weight * v_row[d];
                }
                for (std::int64_t d = 0; d < dim_v && sum != 0; ++d) out_row[d] /= sum;
            }
}

constexpr rf_backend_api kTable = rocforge::backend_table<Plain>(
    {.name = "plain", .version = "1.0.0", .vendor = "you", .features = RF_F_GROUPED_HEADS | RF_F_DIM_V, .device_kind = RF_DEVICE_CPU});

}  // namespace

extern "C" rf_code rocforge_plugin_v1(const rf_host_api* host, rf_error*) { return host->register_backend(host->self, &kTable); }
