/* Causal self-attention of 2 heads over 4 tokens, in C. Prints what ran and the first row of the result. */
#include <rocforge/rocforge.h>
#include <stdio.h>

enum { HEADS = 2, TOKENS = 4, DIM = 8 };

int main(void) {
    static float q[HEADS * TOKENS * DIM], k[HEADS * TOKENS * DIM], v[HEADS * TOKENS * DIM], out[HEADS * TOKENS * DIM];
    for (int i = 0; i < HEADS * TOKENS * DIM; ++i) q[i] = k[i] = (float)(i % 5) / 4, v[i] = (float)(i % 8);

    rf_error error = {.struct_size = sizeof error};
    rf_device device = {.struct_size = sizeof device};
    rocforge_context* context = NULL;
    rocforge_plan_t* plan = NULL;
    rf_problem problem;
    rocforge_problem_dense(&problem, (rf_dtype){RF_T_FLOAT, 32, 1}, 1, HEADS, HEADS, TOKENS, TOKENS, DIM);
    problem.features = RF_F_CAUSAL;
    rf_args args = {.struct_size = sizeof args, .q = q, .k = k, .v = v, .out = out};

    rf_code code = rocforge_open(NULL, NULL, &context, &error);
    if (code == RF_OK) code = rocforge_find_device(context, "cpu", NULL, &device, &error);
    if (code == RF_OK) code = rocforge_attention(context, &device, &problem, &args, &error);
    if (code == RF_OK) code = rocforge_plan(context, &device, &problem, &plan, &error); /* from the cache: what ran */
    if (code == RF_OK) {
        rocforge_plan_details ran = {.struct_size = sizeof ran};
        rocforge_plan_describe(plan, &ran);
        printf("backend %s\nout[0] ", ran.backend);
        for (int d = 0; d < DIM; ++d) printf(" %.3f", out[d]);
        printf("\n");
    } else {
        fprintf(stderr, "%s: %s\n", rocforge_code_name(code), error.message);
    }
    rocforge_plan_release(plan);
    rocforge_close(context);
    return code;
}
