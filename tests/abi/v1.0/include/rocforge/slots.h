/* Slots that many backends answer alike, for backends in C: put them into the table and replace one when yours has more to say. Header-only, C11 and
 * C++17, optional; the ABI stays plugin.h's. For C++ there is plugin.hpp, which makes a whole table from a class. */
#ifndef ROCFORGE_SLOTS_H
#define ROCFORGE_SLOTS_H

#include <rocforge/plugin.h>

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Says why where the caller wants to know, and returns code: `return rf_fail(error, RF_NO_MEMORY, "mine: out of memory");` */
static inline rf_code rf_fail(rf_error* error, rf_code code, const char* message) {
    if (error && error->struct_size >= sizeof(rf_error)) {
        error->code = code;
        snprintf(error->message, sizeof error->message, "%s", message);
    }
    return code;
}

/* Reports one refusal and returns RF_UNSUPPORTED: `verdict = rf_refuse(sink, RF_R_DTYPE, "q.dtype", "f16", "f32", "");` sink may be NULL. */
static inline rf_code rf_refuse(const rf_sink* sink, int32_t code, const char* field, const char* have, const char* need, const char* hint) {
    if (sink) {
        const rf_reason reason = {sizeof(rf_reason), code, field, have, need, hint};
        sink->report(sink->self, &reason);
    }
    return RF_UNSUPPORTED;
}

/* "f32", "bf16", "i64"; "type 10/8" for what has no such name. */
static inline void rf_dtype_text(rf_dtype dtype, char text[16]) {
    const char* const prefix = dtype.code == RF_T_FLOAT ? "f" : dtype.code == RF_T_BFLOAT ? "bf" : dtype.code == RF_T_INT ? "i" : NULL;
    if (prefix)
        snprintf(text, 16, "%s%d", prefix, dtype.bits);
    else
        snprintf(text, 16, "type %d/%d", dtype.code, dtype.bits);
}

/* Refuses each of q, k, v and out that is not stored as dtype; RF_OK where there is none. */
static inline rf_code rf_only_dtype(const rf_problem* problem, rf_dtype dtype, const rf_sink* sink, const char* hint) {
    const rf_tensor* const tensors[4] = {&problem->q, &problem->k, &problem->v, &problem->out};
    static const char* const fields[4] = {"q.dtype", "k.dtype", "v.dtype", "out.dtype"};
    rf_code verdict = RF_OK;
    for (int t = 0; t < 4; ++t) {
        const rf_dtype have = tensors[t]->dtype;
        char told[2][16];
        if (have.code == dtype.code && have.bits == dtype.bits && have.lanes == dtype.lanes) continue;
        rf_dtype_text(have, told[0]);
        rf_dtype_text(dtype, told[1]);
        verdict = rf_refuse(sink, RF_R_DTYPE, fields[t], told[0], told[1], hint);
    }
    return verdict;
}

/* Where row s of head h of sequence b begins, in elements. */
static inline int64_t rf_row(const rf_tensor* t, int64_t b, int64_t h, int64_t s) { return b * t->stride[0] + h * t->stride[1] + s * t->stride[2]; }

/* A problem to keep: the maker's header may be older or newer than this one. */
static inline rf_problem rf_problem_copy(const rf_problem* from) {
    rf_problem copy;
    memset(&copy, 0, sizeof copy);
    memcpy(&copy, from, from->struct_size < sizeof copy ? from->struct_size : sizeof copy);
    copy.struct_size = sizeof copy;
    return copy;
}

/* plan and plan_free of a backend with one kernel whose plan is the problem: call rf_plan_problem() from your plan slot, read with rf_problem_of().
 * The kernel's name is a constant. */
static inline rf_code rf_plan_problem(const rf_problem* problem, const char* kernel, uint32_t flags, uint32_t algo, rf_plan** out, rf_plan_info* info,
                                      rf_error* error) {
    rf_problem* kept = NULL;
    if (algo > 0) return rf_fail(error, RF_NOT_FOUND, "there is one algorithm, 0");
    kept = (rf_problem*)malloc(sizeof *kept);
    if (!kept) return rf_fail(error, RF_NO_MEMORY, "out of host memory");
    *kept = rf_problem_copy(problem);
    info->kernel = kernel;
    info->flags = flags;
    *out = (rf_plan*)kept;
    return RF_OK;
}
static inline const rf_problem* rf_problem_of(const rf_plan* plan) { return (const rf_problem*)plan; }
static inline void rf_plan_problem_free(rf_plan* plan) { free(plan); }

/* init and shutdown of a backend that keeps nothing: its handle is a constant's address, never read. */
static inline rf_code rf_stateless_init(const rf_host_api* host, rf_backend** out, rf_error* error) {
    static char handle;
    (void)host, (void)error;
    *out = (rf_backend*)(void*)&handle;
    return RF_OK;
}
static inline void rf_stateless_shutdown(rf_backend* self) { (void)self; }

/* device and describe of a backend that runs on whatever CPU there is. */
static inline rf_code rf_any_cpu_describe(rf_backend* self, const char* arch, rf_device* out) {
    (void)self;
    if (strcmp(arch, "any") != 0) return RF_NOT_FOUND;
    out->arch = "any";
    out->name = "any CPU";
    return RF_OK;
}
static inline rf_code rf_any_cpu_device(rf_backend* self, int32_t index, rf_device* out, rf_error* error) {
    if (index != 0) return rf_fail(error, RF_NOT_FOUND, "there is one CPU, of index 0");
    return rf_any_cpu_describe(self, "any", out);
}

/* kv_layout of a backend that takes k and v in any strides: [batch, head, seq, dim] first, [batch, seq, head, dim] next. */
static inline rf_code rf_contiguous_kv_layout(rf_backend* self, const rf_device* device, const rf_problem* problem, uint32_t index,
                                              rf_kv_layout* out) {
    static const uint8_t orders[2][4] = {{0, 1, 2, 3}, {0, 2, 1, 3}};
    (void)self, (void)device;
    if (index > 1 || (problem->features & RF_F_PAGED_KV)) return RF_NOT_FOUND;
    out->kind = RF_KV_CONTIGUOUS;
    out->align = problem->k.dtype.bits / 8u;
    memcpy(out->order, orders[index], sizeof out->order);
    return RF_OK;
}

#ifdef __cplusplus
}
#endif
#endif
