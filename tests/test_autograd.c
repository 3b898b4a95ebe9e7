/* wf_grad as a user relies on it: values by hand, identities, what it refuses and how. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "autograd/autograd.h"
#include "tensor/graph.h"

static void values(wf_tensor t, double *out) {
    float f[64];
    void *to = f;
    cr_assert(wf_count(t) <= 64);
    cr_assert(wf_reference(t.graph, &t.id, &to, 1, NULL, NULL) == WF_OK, "%s", wf_error());
    for (int64_t i = 0; i < wf_count(t); i++)
        out[i] = wf_load(wf_dtype_of(t), (char *)f + i * (int64_t)wf_dtype_bytes(wf_dtype_of(t)));
}

Test(autograd, chain_and_sum_of_paths) {
    static float data[2] = {3, -1};
    wf_graph *g = wf_graph_new();
    const wf_tensor x = wf_leaf(g, "x", WF_F32, WF_SHAPE(2), data);
    const wf_tensor y = wf_sum(wf_add(wf_mul(x, x), wf_mul_scalar(x, 5)), (wf_reduce_opt){0});
    wf_tensor dx;
    double v[2];
    cr_assert(wf_grad(y, &x, 1, &dx) == WF_OK, "%s", wf_error());
    values(dx, v);
    cr_assert(v[0] == 11 && v[1] == 3);
    wf_graph_free(g);
}

Test(autograd, what_y_does_not_depend_on_has_zero_gradient) {
    static float data[2] = {3, -1}, other[3];
    wf_graph *g = wf_graph_new();
    const wf_tensor x = wf_leaf(g, "x", WF_F32, WF_SHAPE(2), data);
    const wf_tensor z = wf_leaf(g, "z", WF_F32, WF_SHAPE(3), other);
    const wf_tensor y = wf_sum(wf_exp(x), (wf_reduce_opt){0});
    wf_tensor d[3];
    double v[3];
    cr_assert(wf_grad(y, (wf_tensor[]){x, z, x}, 3, d) == WF_OK);
    values(d[1], v);
    cr_assert(wf_dim(d[1], 0) == 3 && v[0] == 0 && v[2] == 0);
    cr_assert(d[0].id == d[2].id || wf_count(d[2]) == 2);
    wf_graph_free(g);
}

Test(autograd, intermediate_values_and_y_itself) {
    static float data[1] = {2};
    wf_graph *g = wf_graph_new();
    const wf_tensor x = wf_leaf(g, "x", WF_F32, WF_SHAPE(1), data);
    const wf_tensor m = wf_mul(x, x), y = wf_mul(m, m);
    wf_tensor d[3];
    double v[1];
    cr_assert(wf_grad(y, (wf_tensor[]){x, m, y}, 3, d) == WF_OK, "%s", wf_error());
    values(d[0], v);
    cr_assert(v[0] == 32);
    values(d[1], v);
    cr_assert(v[0] == 8);
    values(d[2], v);
    cr_assert(v[0] == 1);
    wf_graph_free(g);
}

Test(autograd, third_derivative) {
    static double data[1] = {0.7};
    wf_graph *g = wf_graph_new();
    const wf_tensor x = wf_leaf(g, "x", WF_F64, WF_SHAPE(1), data);
    wf_tensor y = wf_sin(x);
    for (int i = 0; i < 3; i++) cr_assert(wf_grad(y, &x, 1, &y) == WF_OK, "%s", wf_error());
    double v;
    void *to = &v;
    cr_assert(wf_reference(g, &y.id, &to, 1, NULL, NULL) == WF_OK);
    cr_assert(fabs(v + cos(0.7)) < 1e-12);
    wf_graph_free(g);
}

Test(autograd, gradients_pass_through_storage_types) {
    static float data[2] = {3, -1};
    wf_graph *g = wf_graph_new();
    const wf_tensor x = wf_leaf(g, "x", WF_F32, WF_SHAPE(2), data);
    const wf_tensor half = wf_cast(x, WF_BF16);
    const wf_tensor a = wf_cast(half, WF_F32), b = wf_cast(half, WF_F32);
    wf_tensor d;
    double v[2];
    cr_assert(wf_grad(wf_sum(wf_mul(a, wf_exp(wf_neg(wf_mul(b, b)))), (wf_reduce_opt){0}), &x, 1,
                      &d) == WF_OK, "%s", wf_error());
    values(d, v);
    cr_assert(fabs(v[1] + exp(-1)) < 4e-3, "%g", v[1]);
    wf_graph_free(g);
}

Test(autograd, stop_gradient_and_kinks) {
    static float data[3] = {0, 2, -2};
    wf_graph *g = wf_graph_new();
    const wf_tensor x = wf_leaf(g, "x", WF_F32, WF_SHAPE(3), data);
    wf_tensor d;
    double v[3];
    cr_assert(wf_grad(wf_sum(wf_mul(x, wf_stop_gradient(x)), (wf_reduce_opt){0}), &x, 1, &d) == 0);
    values(d, v);
    cr_assert(v[0] == 0 && v[1] == 2 && v[2] == -2);
    cr_assert(wf_grad(wf_sum(wf_relu(x), (wf_reduce_opt){0}), &x, 1, &d) == 0);
    values(d, v);
    cr_assert(v[0] == 0 && v[1] == 1 && v[2] == 0, "relu'(0) = 0");
    cr_assert(wf_grad(wf_sum(wf_maximum(x, wf_mul_scalar(x, 1)), (wf_reduce_opt){0}), &x, 1, &d) ==
              0);
    values(d, v);
    cr_assert(v[0] == 1 && v[1] == 1 && v[2] == 1, "a tie shares the gradient");
    wf_graph_free(g);
}

Test(autograd, refusals_name_what_is_wrong) {
    static float data[2];
    wf_graph *g = wf_graph_new();
    const wf_tensor x = wf_leaf(g, "x", WF_F32, WF_SHAPE(2), data);
    wf_tensor d;
    cr_assert(wf_grad(x, &x, 1, &d) == WF_MODEL && strstr(wf_error(), "one element"), "%s",
              wf_error());
    cr_assert(!wf_ok(d));
    cr_assert(wf_grad((wf_tensor){NULL, 0}, &x, 1, &d) == WF_MODEL);
    cr_assert(wf_grad(wf_sum(x, (wf_reduce_opt){0}), &x, 1, NULL) == WF_ARGUMENT);
    wf_scope_push(g, "head");
    const wf_tensor up = wf_assign(x, wf_mul(x, x));
    wf_scope_pop(g);
    cr_assert(wf_grad(wf_sum(up, (wf_reduce_opt){0}), &x, 1, &d) == WF_MODEL);
    cr_assert(strstr(wf_error(), "head/assign has no gradient"), "%s", wf_error());
    wf_graph_fail(g, "broken");
    cr_assert(wf_grad(x, &x, 1, &d) == WF_MODEL && strstr(wf_error(), "broken"), "%s", wf_error());
    wf_graph_free(g);
}

Test(autograd, gradcheck_finds_a_wrong_rule) {
    static double data[3] = {0.3, -0.4, 0.9};
    wf_graph *g = wf_graph_new();
    const wf_tensor x = wf_leaf(g, "x", WF_F64, WF_SHAPE(3), data);
    const wf_tensor right = wf_sum(wf_tanh(x), (wf_reduce_opt){0});
    const wf_tensor wrong = wf_sum(wf_mul(x, wf_stop_gradient(x)), (wf_reduce_opt){0});
    double worst;
    cr_assert(wf_gradcheck(right, &x, 1, (wf_gradcheck_opt){0}, &worst) == WF_OK && worst < 1);
    cr_assert(wf_gradcheck(right, &x, 1, (wf_gradcheck_opt){.direction = true}, NULL) == WF_OK);
    cr_assert(wf_gradcheck(wrong, &x, 1, (wf_gradcheck_opt){0}, &worst) == WF_MODEL && worst > 1);
    cr_assert(strstr(wf_error(), "dx["), "%s", wf_error());
    cr_assert(wf_gradcheck(wrong, &x, 1, (wf_gradcheck_opt){.direction = true}, NULL) == WF_MODEL);
    cr_assert(data[0] == 0.3 && data[1] == -0.4 && data[2] == 0.9, "the data is restored");
    wf_graph_free(g);
}

Test(autograd, adjoint_identity_of_the_contraction) {
    /* <conv(x, w), g> = <x, vjp(g)>, for a linear map: exact up to rounding. */
    static double xd[2 * 6 * 5 * 3], wd[4 * 3 * 2 * 3];
    for (size_t i = 0; i < WF_COUNT(xd); i++) xd[i] = sin(0.7 * (double)i);
    for (size_t i = 0; i < WF_COUNT(wd); i++) wd[i] = cos(1.3 * (double)i);
    wf_graph *g = wf_graph_new();
    const wf_tensor x = wf_leaf(g, "x", WF_F64, WF_SHAPE(2, 6, 5, 3), xd);
    const wf_tensor w = wf_leaf(g, "w", WF_F64, WF_SHAPE(4, 3, 2, 3), wd);
    const wf_tensor y = wf_conv(x, w, (wf_conv_opt){.stride = {2, 1}, .pad = {1, 0}});
    const wf_tensor c = wf_sin(y);
    wf_tensor dx;
    cr_assert(wf_vjp(y, c, &x, 1, &dx) == WF_OK, "%s", wf_error());
    const wf_tensor sums[2] = {wf_sum(wf_mul(y, c), (wf_reduce_opt){0}),
                               wf_sum(wf_mul(x, dx), (wf_reduce_opt){0})};
    double a, b;
    void *to[2] = {&a, &b};
    cr_assert(wf_reference(g, (uint32_t[]){sums[0].id, sums[1].id}, to, 2, NULL, NULL) == WF_OK);
    cr_assert(fabs(a - b) < 1e-10 * fabs(a), "%g %g", a, b);
    wf_graph_free(g);
}
