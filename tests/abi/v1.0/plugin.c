/* A backend as it was written for ABI 1.0, in C. Compiled with the headers beside it, it must load and run for as long as the major stays; compiled
 * with the simulated 1.1, which defines RF_F_NEXT, it uses what those append where the core has it. */
#include <math.h>
#include <rocforge/slots.h>

static float dot(const float* a, const float* b, int64_t n) {
    float sum = 0;
    for (int64_t d = 0; d < n; ++d) sum += a[d] * b[d];
    return sum;
}

/* Fills one row of out and returns its lse. Each score is computed twice, so that no workspace is needed. */
static float attend(const rf_problem* p, const float* q, const float* k, const float* v, float* out) {
    const int64_t dim = p->q.shape[3], dim_v = p->v.shape[3], k_step = p->k.stride[2], v_step = p->v.stride[2];
    float largest = -INFINITY, sum = 0;
    for (int64_t d = 0; d < dim_v; ++d) out[d] = 0; /* what a row without keys keeps */
    for (int64_t j = 0; j < p->max_seq_kv; ++j) largest = fmaxf(largest, p->scale * dot(q, k + j * k_step, dim));
    for (int64_t j = 0; j < p->max_seq_kv; ++j) {
        const float weight = expf(p->scale * dot(q, k + j * k_step, dim) - largest);
        sum += weight;
        for (int64_t d = 0; d < dim_v; ++d) out[d] += weight * v[j * v_step + d];
    }
    for (int64_t d = 0; d < dim_v && p->max_seq_kv > 0; ++d) out[d] /= sum;
    return largest + logf(sum);
}

static rf_code forward(const rf_plan* plan, const rf_args* args, rf_error* error) {
    const rf_problem* p = rf_problem_of(plan);
    const float *q = args->q, *k = args->k, *v = args->v;
    for (int64_t b = 0; b < p->batch; ++b)
        for (int64_t h = 0, group = p->q.shape[1] / p->k.shape[1]; h < p->q.shape[1]; ++h)
            for (int64_t i = 0; i < p->max_seq_q; ++i) {
                const float lse = attend(p, q + rf_row(&p->q, b, h, i), k + rf_row(&p->k, b, h / group, 0), v + rf_row(&p->v, b, h / group, 0),
                                         (float*)args->out + rf_row(&p->out, b, h, i));
                if (p->features & RF_F_LSE) ((float*)args->lse)[rf_row(&p->lse, b, h, i)] = lse;
            }
    return RF_OK;
}

/* Sees geometry alone; the verdict is the same with and without a sink, and a sink hears every reason. */
static rf_code supports(rf_backend* self, const rf_device* device, const rf_problem* p, const rf_sink* sink) {
    const rf_dtype f32 = {RF_T_FLOAT, 32, 1};
    return rf_only_dtype(p, f32, sink, "use backend \"cpu\"");
}

static rf_code plan(rf_backend* self, const rf_device* device, const rf_problem* p, uint32_t algo, rf_plan** out, rf_plan_info* info,
                    rf_error* error) {
    const char* kernel = "textbook";
#ifdef RF_F_NEXT
    if (RF_HAS(p, next_field) && p->next_field == 0) kernel = "textbook of a later core";
#endif
    return rf_plan_problem(p, kernel, RF_P_DETERMINISTIC, algo, out, info, error);
}

#ifdef RF_F_NEXT
static int next_slot(void) { return 1; }
#define NEXT_FEATURE RF_F_NEXT
#else
#define NEXT_FEATURE 0
#endif

static const rf_backend_api table = {
    .struct_size = sizeof table,
    .abi_minor = RF_ABI_MINOR,
    .name = "frozen_c",
    .version = "0.1.0",
    .vendor = "the authors of frozen_c",
    .features = RF_F_GROUPED_HEADS | RF_F_DIM_V | RF_F_LSE | RF_F_DETERMINISTIC | NEXT_FEATURE,
    .device_kind = RF_DEVICE_CPU,
    .init = rf_stateless_init,
    .shutdown = rf_stateless_shutdown,
    .device = rf_any_cpu_device,
    .describe = rf_any_cpu_describe,
    .supports = supports,
    .kv_layout = rf_contiguous_kv_layout,
    .plan = plan,
    .forward = forward,
    .plan_free = rf_plan_problem_free,
#ifdef RF_F_NEXT
    .next_slot = next_slot,
#endif
};

rf_code rocforge_plugin_v1(const rf_host_api* host, rf_error* error) { return host->register_backend(host->self, &table); }
