/* A host as it was written for ABI 1.0: opens a context, looks at what is there, runs one problem by plan and forward and by the one call, with its
 * own memory. Compiled with the headers beside it, or with the simulated 1.1, it must run with every library of the same major.
 *
 *     host BACKEND      prints "BACKEND ran KERNEL" */
#include <rocforge/rocforge.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEADS = 4, KV_HEADS = 2, TOKENS = 5, DIM = 8 };
static float q[HEADS * TOKENS * DIM], k[KV_HEADS * TOKENS * DIM], v[KV_HEADS * TOKENS * DIM], out[HEADS * TOKENS * DIM];
static rf_error error = {.struct_size = sizeof error};

static void demand(int good, const char* what) {
    if (good) return;
    fprintf(stderr, "%s: %s\n", what, error.message);
    exit(1);
}

static void* lend(void* self, const rf_device* device, uint64_t bytes, void* stream) {
    (void)device, (void)stream;
    ++*(int*)self;
    return aligned_alloc(256, (bytes + 255) / 256 * 256);
}
static void take_back(void* self, const rf_device* device, void* memory, void* stream) {
    (void)self, (void)device, (void)stream;
    free(memory);
}
static void hear(void* self, int32_t level, const char* message) { (void)self, (void)level, (void)message; }

/* Every v is 3, so every out is. Cleared for the next call. */
static void demand_right(const char* what) {
    for (int i = 0; i < HEADS * TOKENS * DIM; ++i) demand(out[i] > 2.999f && out[i] < 3.001f, what);
    memset(out, 0, sizeof out);
}

/* Every plugin, backend, setting and place by index; struct sizes are this header's. */
static void look_around(rocforge_context* context) {
    uint32_t n;
    for (n = 0;; ++n) {
        rocforge_plugin_info plugin = {.struct_size = sizeof plugin};
        if (rocforge_plugin(context, n, &plugin) != RF_OK) break;
        demand(plugin.path && plugin.origin && plugin.reason, "plugin");
    }
    demand(n > 0, "no plugin");
    for (n = 0;; ++n) {
        rocforge_backend_info backend = {.struct_size = sizeof backend};
        if (rocforge_backend(context, n, &backend) != RF_OK) break;
        demand(backend.name && backend.version && backend.vendor && backend.device_kind, "backend");
    }
    demand(n > 0, "no backend");
    for (n = 0;; ++n) {
        rocforge_setting setting = {.struct_size = sizeof setting};
        if (rocforge_config(context, n, &setting) != RF_OK) break;
        demand(setting.key && setting.value && setting.origin, "setting");
    }
    for (n = 0;; ++n) {
        rocforge_place place = {.struct_size = sizeof place};
        if (rocforge_searched(context, n, &place) != RF_OK) break;
        demand(place.path != NULL, "place");
    }
    demand(strcmp(rocforge_kind_name(RF_DEVICE_CPU), "cpu") == 0 && strcmp(rocforge_feature_name(0), "causal") == 0, "names");
}

static void run(rocforge_context* context, const char* name) {
    rf_device device = {.struct_size = sizeof device};
    rf_problem problem;
    rocforge_choice* choice = NULL;
    rocforge_plan_t* plan = NULL;
    rocforge_choice_info chosen = {.struct_size = sizeof chosen};
    rocforge_plan_details details = {.struct_size = sizeof details};
    rf_kv_layout layout = {.struct_size = sizeof layout};
    rf_args args = {.struct_size = sizeof args, .q = q, .k = k, .v = v, .out = out};

    demand(rocforge_find_device(context, NULL, name, &device, &error) == RF_OK && device.kind == RF_DEVICE_CPU, "device");
    rocforge_problem_dense(&problem, (rf_dtype){RF_T_FLOAT, 32, 1}, 1, HEADS, KV_HEADS, TOKENS, TOKENS, DIM);
#ifdef RF_F_NEXT
    problem.features |= RF_F_NEXT; /* a library that does not know it, or whose backends do not, says no */
    demand(rocforge_select(context, &device, &problem, "cpu", &choice, &error) != RF_OK, "an unknown feature was accepted");
    rocforge_choice_release(choice);
    problem.features = 0;
#endif
    demand(rocforge_select(context, &device, &problem, name, &choice, &error) == RF_OK, "select");
    rocforge_choice_describe(choice, &chosen);
    demand(strcmp(chosen.backend, name) == 0 && chosen.candidates > 0, "choice");
    for (uint32_t n = 0; n < chosen.candidates; ++n) {
        rocforge_candidate candidate = {.struct_size = sizeof candidate};
        demand(rocforge_choice_candidate(choice, n, &candidate) == RF_OK && candidate.name, "candidate");
        for (uint32_t r = 0; r < candidate.reasons; ++r) {
            rf_reason reason = {.struct_size = sizeof reason};
            demand(rocforge_choice_reason(choice, n, r, &reason) == RF_OK && reason.field, "reason");
        }
    }
    demand(rocforge_plan_choice(choice, &plan, &error) == RF_OK, "plan");
    rocforge_plan_describe(plan, &details);
    args.workspace_bytes = details.workspace_bytes;
    args.workspace = aligned_alloc(256, (details.workspace_bytes + 256) / 256 * 256);
    demand(rocforge_forward(plan, &args, &error) == RF_OK, "forward");
    demand_right("forward's result");
    printf("%s ran %s\n", details.backend, details.kernel);
    rocforge_plan_release(plan);
    rocforge_choice_release(choice);
    free(args.workspace);

    demand(rocforge_set_default(context, name, &error) == RF_OK, "set_default");
    demand(rocforge_kv_layout(context, &device, &problem, 0, &layout, &error) == RF_OK && layout.kind, "kv_layout");
    demand(rocforge_attention(context, &device, &problem, &args, &error) == RF_OK, "attention");
    demand_right("attention's result");
    problem.batch = -1;
    demand(rocforge_attention(context, &device, &problem, &args, &error) != RF_OK && error.message[0], "a negative batch was accepted");
}

int main(int argc, char** argv) {
    int lent = 0;
    const rocforge_hooks hooks = {.struct_size = sizeof hooks, .self = &lent, .log = hear, .allocate = lend, .release = take_back};
    rocforge_context* context = NULL;
    if (argc != 2) return 2;
    for (int i = 0; i < HEADS * TOKENS * DIM; ++i) q[i] = (float)(i % 7) / 7;
    for (int i = 0; i < KV_HEADS * TOKENS * DIM; ++i) k[i] = (float)(i % 5) / 5, v[i] = 3;
    demand(rocforge_open(NULL, &hooks, &context, &error) == RF_OK, "open");
    look_around(context);
    run(context, argv[1]);
    rocforge_close(context);
    return 0;
}
