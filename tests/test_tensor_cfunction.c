/* C functions as operations: both forms, gradients, and what registration refuses. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autograd/autograd.h"
#include "compiler/compiler.h"
#include "tensor/cfunction.h"
#include "tensor/graph.h"

static double hypotenuse(double a, double b) { return sqrt(a * a + b * b); }
static double hypotenuse_a(double a, double b, double y, double g) { return g * a / y; }
static double hypotenuse_b(double a, double b, double y, double g) { return g * b / y; }

Test(cfunction, scalar_form_maps_broadcasts_and_differentiates) {
    static double ad[6] = {1, 2, 3, 4, 5, 6}, bd[3] = {0.5, 1.5, 2.5};
    wf_cfunction *f, *d[2];
    cr_assert(wf_cfunction_new(&d[0], "hypot_a", "f64(f64 a, f64 b, f64 y, f64 g)",
                               (wf_anyfn *)hypotenuse_a, (wf_cfunction_opt){0}) == WF_OK);
    cr_assert(wf_cfunction_new(&d[1], "hypot_b", "f64(f64, f64, f64, f64)",
                               (wf_anyfn *)hypotenuse_b, (wf_cfunction_opt){0}) == WF_OK);
    cr_assert(wf_cfunction_new(&f, "hypot", "f64(f64, f64)", (wf_anyfn *)hypotenuse,
                               (wf_cfunction_opt){.grad = (const wf_cfunction *const *)d,
                                                  .n_grad = 2}) == WF_OK, "%s", wf_error());
    wf_graph *g = wf_graph_new();
    const wf_tensor x[2] = {wf_leaf(g, "a", WF_F64, WF_SHAPE(2, 3), ad),
                            wf_leaf(g, "b", WF_F64, WF_SHAPE(3), bd)};
    const wf_tensor y = wf_cfunction_call(f, x, 2);
    double out[6];
    cr_assert(wf_eval(y, out, sizeof out) == WF_OK, "%s", wf_error());
    for (int i = 0; i < 6; i++) cr_assert(out[i] == hypotenuse(ad[i], bd[i % 3]));
    const wf_tensor loss = wf_sum(wf_mul(y, y), (wf_reduce_opt){0});
    cr_assert(wf_gradcheck(loss, x, 2, (wf_gradcheck_opt){0}, NULL) == WF_OK, "%s", wf_error());
    wf_graph_free(g);
    wf_cfunction_free(f);
    wf_cfunction_free(d[0]);
    wf_cfunction_free(d[1]);
}

/* out[i] = scale * x[i] * cols, so that sizes and scalars are seen to arrive. */
static void scaled(const float *x, float *out, int64_t n, float scale, int64_t cols, int64_t n_x) {
    for (int64_t i = 0; i < n; i++) out[i] = n == n_x ? scale * x[i] * (float)cols : -1;
}

Test(cfunction, array_form_gets_sizes_scalars_and_dense_arrays) {
    static float xd[6] = {1, 2, 3, 4, 5, 6}, sd[1] = {10};
    wf_cfunction *f;
    cr_assert(wf_cfunction_new(&f, "scaled",
                               "void(const f32[] x, f32[] out, i64 n, f32 scale, "
                               "i64 x_1, i64 n_x)",
                               (wf_anyfn *)scaled, (wf_cfunction_opt){0}) == WF_OK,
              "%s", wf_error());
    wf_graph *g = wf_graph_new();
    const wf_tensor x = wf_leaf(g, "x", WF_F32, WF_SHAPE(2, 3), xd);
    const wf_tensor s = wf_leaf(g, "s", WF_F32, WF_SCALAR, sd);
    const wf_tensor y = wf_cfunction_call(f, (wf_tensor[]){wf_transpose(x, 0, 1), s}, 2);
    float out[6], want[6];
    cr_assert(wf_eval(y, out, sizeof out) == WF_OK, "%s", wf_error());
    for (int i = 0; i < 6; i++) want[i] = 20 * xd[i % 2 * 3 + i / 2];
    cr_assert(memcmp(out, want, sizeof out) == 0);
    void *to = out;
    memset(out, 0, sizeof out);
    cr_assert(wf_reference(g, &y.id, &to, 1, NULL, NULL) == WF_OK);
    cr_assert(memcmp(out, want, sizeof out) == 0);
    wf_tensor dx;
    cr_assert(wf_grad(wf_sum(y, (wf_reduce_opt){0}), &x, 1, &dx) == WF_MODEL);
    cr_assert(strstr(wf_error(), "without gradient functions"), "%s", wf_error());
    cr_assert(!wf_ok(wf_cfunction_call(f, (wf_tensor[]){x, x}, 2)));
    cr_assert(strstr(wf_graph_message(g), "rank 0"), "%s", wf_graph_message(g));
    wf_graph_free(g);
    wf_cfunction_free(f);
}

Test(cfunction, registration_refuses_what_it_cannot_call) {
    static const struct {
        const char *signature, *says;
    } bad[] = {{"f33(f32)", "void or a type"},
               {"f32", "expected ("},
               {"f32(f32", ", or )"},
               {"f32(f32) x", "the end"},
               {"f32()", "no operands"},
               {"f32(f32[] x)", "scalars only"},
               {"void(f32[] x, i64 n)", "named \"out\""},
               {"void(f32[] out)", "no operands"},
               {"void(f32[] x, f32[] out, i32 n)", "no meaning"},
               {"void(f32[] x, f32[] out, i64 m)", "no meaning"},
               {"void(f32[] x, f32[] x, f32[] out)", "distinct"},
               {"f32(bf16)", "a type"},
               {"f32(f32,f32,f32,f32,f32,f32,f32,f32,f32,f32,f32,f32,f32,f32,f32,f32,f32)", "16"}};
    wf_cfunction *f;
    for (size_t i = 0; i < WF_COUNT(bad); i++) {
        cr_assert(wf_cfunction_new(&f, "f", bad[i].signature, (wf_anyfn *)hypotenuse,
                                   (wf_cfunction_opt){0}) == WF_ARGUMENT, "%s", bad[i].signature);
        cr_assert(f == NULL && strstr(wf_error(), bad[i].says), "%s: %s", bad[i].signature,
                  wf_error());
    }
    cr_assert(wf_cfunction_new(&f, "f", "f32(f32)", NULL, (wf_cfunction_opt){0}) == WF_ARGUMENT);
    cr_assert(wf_cfunction_new(&f, NULL, "f32(f32)", (wf_anyfn *)hypotenuse,
                               (wf_cfunction_opt){0}) == WF_ARGUMENT);
    cr_assert(wf_cfunction_new(&f, "f", NULL, (wf_anyfn *)hypotenuse,
                               (wf_cfunction_opt){0}) == WF_ARGUMENT);
    cr_assert(wf_cfunction_new(NULL, "f", "f32(f32)", (wf_anyfn *)hypotenuse,
                               (wf_cfunction_opt){0}) == WF_ARGUMENT);
    cr_assert(
        wf_cfunction_new(&f, "f", "f64(f64, f64)", (wf_anyfn *)hypotenuse,
                         (wf_cfunction_opt){.n_grad = 1, .grad = (const wf_cfunction *[]){NULL}}) ==
        WF_ARGUMENT);
}

/* The example of models/plugin checks the gradient itself and fails unless it learns. */
Test(cfunction, the_example_trains_with_a_plain_shared_object) {
    const char *command = getenv("WEFT_PLUGIN");
    if (!command) {
        printf("skipped: the plugin example (make test sets WEFT_PLUGIN)\n");
        return;
    }
    cr_assert(system(command) == 0, "%s", command);
}
