/* wf_find_anomaly: the operation that a NaN or infinity comes from. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "nn/nn.h"

static char text[1024];

/* Compiles y, feeds x and looks. */
static wf_status look(wf_graph *g, wf_tensor y, const float *x, size_t n) {
    wf_program *p;
    cr_assert_eq(wf_compile(&p, g, &y, 1, (wf_compile_opt){.threads = 1}), WF_OK, "%s", wf_error());
    size_t bytes;
    void *input = wf_data_named(p, "x", &bytes);
    cr_assert(input && bytes == n * sizeof *x);
    memcpy(input, x, bytes);
    cr_assert_eq(wf_run(p), WF_OK);
    const wf_status status = wf_find_anomaly(g, p, (wf_compile_opt){.threads = 1}, text,
                                             sizeof text);
    wf_program_free(p);
    return status;
}

static wf_tensor input4(wf_graph *g) { return wf_input(g, "x", WF_F32, WF_SHAPE(4)); }

Test(compiler_anomaly, names_operation_and_scope) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = wf_exp(input4(g));
    wf_scope_push(g, "head");
    const wf_tensor y = wf_log(wf_sub(x, x));
    wf_scope_pop(g);
    const wf_tensor loss = wf_mean(wf_mul(y, y), (wf_reduce_opt){0});
    const float zero[4] = {0};
    cr_assert_eq(look(g, loss, zero, 4), WF_OK, "%s", wf_error());
    cr_assert(strstr(text, "operation log in head"), "%s", text);
    wf_graph_free(g);
}

Test(compiler_anomaly, the_first_of_many) {
    wf_graph *g = wf_graph_new();
    const wf_tensor big = wf_exp(input4(g)); /* inf; inf - inf is the NaN that is seen */
    const wf_tensor loss = wf_mean(wf_sub(big, wf_mul_scalar(big, 2)), (wf_reduce_opt){0});
    const float x[4] = {0, 1, 1000, 2};
    cr_assert_eq(look(g, loss, x, 4), WF_OK, "%s", wf_error());
    cr_assert(strstr(text, "operation exp is"), "%s", text);
    wf_graph_free(g);
}

Test(compiler_anomaly, in_a_gradient) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = input4(g);
    wf_scope_push(g, "norm");
    const wf_tensor loss = wf_sqrt(wf_sum(wf_mul(x, x), (wf_reduce_opt){0}));
    wf_scope_pop(g);
    wf_tensor dx;
    cr_assert_eq(wf_grad(loss, &x, 1, &dx), WF_OK);
    const float zero[4] = {0};
    cr_assert_eq(look(g, dx, zero, 4), WF_OK, "%s", wf_error());
    cr_assert(strstr(text, "in norm'"), "%s", text);
    wf_graph_free(g);
}

Test(compiler_anomaly, a_bad_input_is_named) {
    wf_graph *g = wf_graph_new();
    const wf_tensor loss = wf_mean(wf_sigmoid(input4(g)), (wf_reduce_opt){0});
    const float x[4] = {0, NAN, 0, 0};
    cr_assert_eq(look(g, loss, x, 4), WF_OK, "%s", wf_error());
    cr_assert(strstr(text, "input \"x\""), "%s", text);
    wf_graph_free(g);
}

Test(compiler_anomaly, infinities_that_reach_no_result_are_meant) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = input4(g), zero = wf_scalar(g, WF_F32, 0);
    const wf_tensor safe = wf_select(wf_greater(x, zero), wf_log(x), zero);
    const wf_tensor loss = wf_mean(safe, (wf_reduce_opt){0});
    const float some[4] = {0, 1, 2, 3};
    cr_assert_eq(look(g, loss, some, 4), WF_NOT_FOUND, "%s", text);
    wf_graph_free(g);

    /* The same infinity, and a NaN elsewhere that does reach the loss. */
    g = wf_graph_new();
    const wf_tensor u = input4(g), nil = wf_scalar(g, WF_F32, 0);
    const wf_tensor picked = wf_select(wf_greater(u, nil), wf_log(u), nil);
    const wf_tensor sum = wf_add(picked, wf_sqrt(wf_add_scalar(u, -0.5)));
    cr_assert_eq(look(g, wf_mean(sum, (wf_reduce_opt){0}), some, 4), WF_OK, "%s", wf_error());
    cr_assert(strstr(text, "operation sqrt"), "%s", text);
    wf_graph_free(g);
}
