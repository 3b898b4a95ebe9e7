/* Losses against PyTorch's numbers: values and gradients, f64 and f32; and their edges. */
#include "tests/parity/parity.h"

static wf_tensor huber(wf_tensor y, wf_tensor t) { return wf_nn_huber(y, t, 0.3); }
static wf_tensor cross_entropy(wf_tensor y, wf_tensor t) {
    static const int64_t label[3] = {2, 0, 3};
    const wf_tensor index = wf_const(y.graph, WF_I64, WF_SHAPE(3), label);
    return wf_nn_cross_entropy(y, index);
}

/* A loss as recorded: of scale * y + shift_y and target + shift_target. */
typedef struct loss_case {
    const char *name;
    wf_tensor (*loss)(wf_tensor y, wf_tensor target);
    double scale, shift_y, shift_target;
} loss_case;

static const loss_case cases[] = {
    {"mse", wf_nn_mse, 1, 0, 0},
    {"l1", wf_nn_l1, 1, 0, 0},
    {"huber", huber, 1, 0, 0},
    {"bce", wf_nn_bce, 0.9, 0.5, 0.5},
    {"bce_with_logits", wf_nn_bce_with_logits, 30, 0, 0.5},
    {"cross_entropy", cross_entropy, 30, 0, 0},
};

static void check_loss(const loss_case *k, wf_dtype dtype) {
    char name[64];
    double data[2][12];
    wf_tensor leaf[2];
    wf_graph *g = wf_graph_new();
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "%s.%s", k->name, i ? "target" : "y");
        fill_closed(name, dtype, 12, data[i]);
        leaf[i] = wf_leaf(g, i ? "target" : "y", dtype, WF_SHAPE(3, 4), data[i]);
    }
    const wf_tensor y = wf_add_scalar(wf_mul_scalar(leaf[0], k->scale), k->shift_y);
    wf_tensor out[2] = {k->loss(y, wf_add_scalar(leaf[1], k->shift_target))};
    cr_assert(!wf_grad(out[0], leaf, 1, out + 1), "%s: %s", k->name, wf_error());
    wf_program *p;
    cr_assert(!wf_compile(&p, g, out, 2, (wf_compile_opt){0}), "%s: %s", k->name, wf_error());
    cr_assert(!wf_run(p), "%s", wf_error());
    expect_recorded(k->name, dtype, 1, wf_data(p, out[0]));
    snprintf(name, sizeof name, "%s.dy", k->name);
    expect_recorded(name, dtype, 12, wf_data(p, out[1]));
    if (dtype == WF_F64)
        cr_assert(!wf_gradcheck(out[0], leaf, 1, (wf_gradcheck_opt){0}, NULL), "%s: %s", k->name,
                  wf_error());
    wf_program_free(p);
    wf_graph_free(g);
}

Test(nn_loss, parity_f64) {
    for (size_t i = 0; i < WF_COUNT(cases); i++) check_loss(&cases[i], WF_F64);
}
Test(nn_loss, parity_f32) {
    for (size_t i = 0; i < WF_COUNT(cases); i++) check_loss(&cases[i], WF_F32);
}

/* Certain and wrong: 100 an element, as PyTorch; gradients stay finite; NaN is not hidden. */
Test(nn_loss, bce_at_its_poles) {
    wf_graph *g = wf_graph_new();
    float y[4] = {0, 1, 0, 1}, t[4] = {1, 0, 0, 1}, d[4], loss;
    const wf_tensor ly = wf_leaf(g, "y", WF_F32, WF_SHAPE(4), y);
    const wf_tensor lt = wf_leaf(g, "t", WF_F32, WF_SHAPE(4), t);
    const wf_tensor l = wf_nn_bce(ly, lt);
    wf_tensor dy;
    cr_assert(!wf_grad(l, &ly, 1, &dy), "%s", wf_error());
    cr_assert(!wf_eval(l, &loss, sizeof loss), "%s", wf_error());
    cr_assert(!wf_eval(dy, d, sizeof d), "%s", wf_error());
    cr_assert(loss == 50, "loss %g", loss);
    for (int i = 0; i < 4; i++) cr_assert(isfinite(d[i]), "gradient %d is %g", i, d[i]);
    y[0] = NAN;
    cr_assert(!wf_eval(l, &loss, sizeof loss) && isnan(loss), "loss %g", loss);
    wf_graph_free(g);
}

Test(nn_loss, bce_with_logits_does_not_overflow) {
    wf_graph *g = wf_graph_new();
    const float x[3] = {1000, -1000, 0}, t[3] = {1, 0, 0};
    float loss;
    const wf_tensor l = wf_nn_bce_with_logits(wf_const(g, WF_F32, WF_SHAPE(3), x),
                                              wf_const(g, WF_F32, WF_SHAPE(3), t));
    cr_assert(!wf_eval(l, &loss, sizeof loss), "%s", wf_error());
    cr_assert(fabsf(loss - logf(2) / 3) < 1e-7f, "loss %g", loss);
    wf_graph_free(g);
}

Test(nn_loss, shapes_must_agree) {
    wf_graph *g = wf_graph_new();
    const wf_tensor y = wf_full(g, WF_F32, WF_SHAPE(3, 4), 1);
    const wf_tensor t = wf_full(g, WF_F32, WF_SHAPE(4), 1);
    cr_assert(!wf_ok(wf_nn_mse(y, t)));
    cr_assert(strstr(wf_graph_message(g), "mse: y f32[3,4] and target f32[4]"), "%s",
              wf_graph_message(g));
    wf_graph_free(g);
    g = wf_graph_new();
    const wf_tensor z = wf_full(g, WF_F32, WF_SHAPE(3, 4), 1);
    cr_assert(!wf_ok(wf_nn_huber(z, (wf_tensor){0}, 1)));
    cr_assert(strstr(wf_graph_message(g), "empty handle"), "%s", wf_graph_message(g));
    wf_graph_free(g);
    g = wf_graph_new();
    cr_assert(!wf_ok(wf_nn_cross_entropy(wf_full(g, WF_F32, WF_SHAPE(3, 4), 1),
                                         wf_full(g, WF_I32, WF_SHAPE(4), 1))));
    cr_assert(strstr(wf_graph_message(g), "logits [3,4] and index [4]"), "%s", wf_graph_message(g));
    wf_graph_free(g);
}
