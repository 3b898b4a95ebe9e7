/* Small models of every sort, trained some steps in f64 with every pass on and with every pass off:
 * the same numbers to 1e-12. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "compiler/compiler.h"
#include "nn/nn.h"

enum { STEPS = 3 };

static double noise(uint64_t i) { return sin(12.9898 * (double)i + 0.7) * 0.9; }

static wf_tensor data(wf_graph *g, wf_shape shape, uint64_t seed) {
    const int64_t n = wf_shape_count(&shape);
    double *v = malloc((size_t)n * sizeof *v);
    for (int64_t i = 0; i < n; i++) v[i] = noise((uint64_t)i * 7 + seed * 1009);
    const wf_tensor t = wf_const(g, WF_F64, shape, v);
    free(v);
    return t;
}

static wf_tensor labels(wf_graph *g, int64_t n, int64_t classes) {
    int64_t v[64];
    for (int64_t i = 0; i < n; i++) v[i] = (i * 5 + 3) % classes;
    return wf_const(g, WF_I64, WF_SHAPE(n), v);
}

/* --- models: each gives its loss -------------------------------------------------------------- */

static wf_tensor mlp(wf_graph *g, wf_params *p) {
    wf_tensor x = data(g, WF_SHAPE(9, 13), 1);
    for (int i = 0; i < 3; i++)
        x = wf_tanh(wf_nn_linear(p, (const char *[]){"a", "b", "c"}[i], x,
                                 (wf_linear_opt){.out = 11 + i}));
    x = wf_nn_dropout(p, "drop", x, (wf_dropout_opt){.p = 0.3, .training = true});
    return wf_nn_cross_entropy(wf_nn_linear(p, "out", x, (wf_linear_opt){.out = 5}),
                               labels(g, 9, 5));
}

static wf_tensor conv_net(wf_graph *g, wf_params *p) {
    wf_tensor x = data(g, WF_SHAPE(3, 9, 8, 2), 2);
    const wf_batch_norm_opt bn = {.training = true};
    x = wf_nn_conv2d(p, "c1", x, (wf_conv_layer_opt){.out = 6, .kernel = 3, .same = true,
                                                    .no_bias = true});
    x = wf_max_pool(wf_relu(wf_nn_batch_norm(p, "n1", x, bn)), (wf_pool_opt){.kernel = {2, 2}});
    x = wf_nn_conv2d(p, "c2", x, (wf_conv_layer_opt){.out = 6, .kernel = 3, .pad = 1, .groups = 2,
                                                    .stride = 2, .no_bias = true});
    x = wf_nn_batch_norm(p, "n2", x, bn);
    x = wf_gelu(wf_nn_conv2d(p, "c3", x, (wf_conv_layer_opt){.out = 5, .kernel = 2,
                                                            .dilation = 1}));
    x = wf_mean(x, (wf_reduce_opt){.n_axes = 2, .axes = {1, 2}});
    return wf_nn_cross_entropy(x, labels(g, 3, 5));
}

static wf_tensor lstm(wf_graph *g, wf_params *p) {
    wf_tensor h = wf_nn_lstm(p, "l0", data(g, WF_SHAPE(7, 3, 5), 3), (wf_lstm_opt){.hidden = 6});
    h = wf_nn_lstm(p, "l1", wf_nn_layer_norm(p, "ln", h, (wf_layer_norm_opt){0}),
                   (wf_lstm_opt){.hidden = 4});
    return wf_nn_mse(h, data(g, WF_SHAPE(7, 3, 4), 4));
}

static wf_tensor conv_lstm(wf_graph *g, wf_params *p, bool separate) {
    const wf_convlstm_opt o = {.hidden = 4, .kernel = 3, .activation = wf_relu,
                               .separate = separate};
    wf_tensor x = wf_nn_convlstm(p, "r0", data(g, WF_SHAPE(5, 2, 6, 7, 1), 5), o);
    x = wf_nn_batch_norm(p, "n", x, (wf_batch_norm_opt){.training = true});
    x = wf_nn_convlstm(p, "r1", x, (wf_convlstm_opt){.hidden = 1, .kernel = 1, .peephole = true});
    return wf_nn_mse(x, data(g, WF_SHAPE(5, 2, 6, 7, 1), 6));
}
static wf_tensor conv_lstm_packed(wf_graph *g, wf_params *p) { return conv_lstm(g, p, false); }
static wf_tensor conv_lstm_separate(wf_graph *g, wf_params *p) { return conv_lstm(g, p, true); }

static wf_tensor linear(wf_params *p, const char *name, wf_tensor x, int64_t out) {
    return wf_nn_linear(p, name, x, (wf_linear_opt){.out = out});
}

static wf_tensor attention(wf_graph *g, wf_params *p) {
    enum { B = 2, T = 6, D = 8 };
    const wf_tensor x = data(g, WF_SHAPE(B, T, D), 7);
    const wf_tensor y = wf_nn_layer_norm(p, "ln", x, (wf_layer_norm_opt){0});
    const wf_tensor q = linear(p, "q", y, D), k = linear(p, "k", y, D), v = linear(p, "v", y, D);
    wf_tensor s = wf_einsum("bid,bjd->bij", (wf_tensor[]){q, k}, 2);
    s = wf_select(wf_tril_mask(g, T, T, 0), wf_mul_scalar(s, 1 / sqrt(D)),
                  wf_scalar(g, WF_F64, -1e30));
    const wf_tensor h = wf_add(x, linear(p, "o", wf_matmul(wf_softmax(s, -1), v), D));
    const wf_tensor m = linear(p, "up", wf_nn_layer_norm(p, "ln2", h, (wf_layer_norm_opt){0}), 16);
    return wf_nn_mse(wf_add(h, linear(p, "down", wf_gelu(m), D)), data(g, WF_SHAPE(B, T, D), 8));
}

/* --- both ways -------------------------------------------------------------------------------- */

typedef wf_tensor model_fn(wf_graph *g, wf_params *p);

static void train(model_fn *model, unsigned off, wf_params *p, double loss[STEPS]) {
    wf_graph *g = wf_graph_new();
    wf_program *program;
    const wf_tensor l = model(g, p);
    const wf_tensor norm = wf_nn_adam(p, l, (wf_optimizer_opt){.lr = 0.01, .eps = 1e-4,
                                                              .clip_norm = 0.5});
    const wf_tensor out[] = {l, norm};
    const wf_compile_opt o = {.precision = WF_PRECISION_F32, .off = off, .threads = 2};
    cr_assert_eq(wf_compile(&program, g, out, 2, o), WF_OK,
                 "%s", wf_error());
    for (int i = 0; i < STEPS; i++) {
        cr_assert_eq(wf_run(program), WF_OK);
        loss[i] = *(const double *)wf_data(program, l);
    }
    wf_program_free(program);
    wf_graph_free(g);
}

static double gap(const wf_param_info *a, const wf_param_info *b) {
    double off = 0, all = 0;
    for (int64_t i = 0; i < wf_shape_count(&a->shape); i++) {
        const size_t at = (size_t)i * wf_dtype_bytes(a->dtype);
        const double x = wf_load(a->dtype, (const char *)a->data + at);
        const double y = wf_load(b->dtype, (const char *)b->data + at);
        off += (x - y) * (x - y);
        all += y * y;
    }
    return sqrt(off / (all > 0 ? all : 1));
}

static void compare(const char *name, model_fn *model) {
    wf_params *p[2];
    double loss[2][STEPS], worst = 0;
    for (int i = 0; i < 2; i++) {
        p[i] = wf_params_new(5);
        train(model, i ? WF_PASS_ALL : 0, p[i], loss[i]);
    }
    for (int i = 0; i < STEPS; i++) {
        const double d = fabs(loss[0][i] - loss[1][i]) / fabs(loss[1][i]);
        cr_assert(d <= 1e-12, "%s: the loss of step %d differs by %.2g", name, i + 1, d);
    }
    cr_assert(loss[1][STEPS - 1] < loss[1][0], "%s does not learn", name);
    cr_assert_eq(wf_params_count(p[0]), wf_params_count(p[1]));
    for (size_t i = 0; i < wf_params_count(p[0]); i++) {
        const wf_param_info a = wf_params_at(p[0], i), b = wf_params_at(p[1], i);
        const double d = gap(&a, &b);
        worst = fmax(worst, d);
        cr_assert(d <= 1e-12, "%s: %s differs by %.2g", name, a.name, d);
    }
    printf("%s: %d steps with and without passes differ by %.2g\n", name, STEPS, worst);
    for (int i = 0; i < 2; i++) wf_params_free(p[i]);
}

#define MODEL(name)                                                                                \
    Test(nn_passes, name) { compare(#name, name); }
MODEL(mlp)
MODEL(conv_net)
MODEL(lstm)
MODEL(conv_lstm_packed)
MODEL(conv_lstm_separate)
MODEL(attention)
