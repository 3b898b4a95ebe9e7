/* Losses against PyTorch's numbers: values and gradients, f64 and f32; and their edges. */
#include "tests/parity/parity.h"

static wf_tensor huber(wf_tensor y, wf_tensor t) { return wf_nn_huber(y, t, 0.3); }
static wf_tensor cross_entropy(wf_tensor y, wf_tensor t) {
    static const int64_t label[3] = {2, 0, 3};
    const wf_tensor index = wf_const(y.graph, WF_I64, WF_SHAPE(3), label);
    return wf_nn_cross_entropy(y, index);
}

static wf_tensor with(wf_tensor y, wf_cross_entropy_opt o) {
    static const int32_t label[3] = {2, 0, 3};
    return wf_nn_cross_entropy_with(y, wf_const(y.graph, WF_I32, WF_SHAPE(3), label), o);
}
static wf_tensor smoothed(wf_tensor y, wf_tensor t) {
    return with(y, (wf_cross_entropy_opt){.smoothing = 0.1});
}
static wf_tensor ignoring(wf_tensor y, wf_tensor t) {
    return with(y, (wf_cross_entropy_opt){.smoothing = 0.1, .ignore = true});
}
static wf_tensor nll(wf_tensor y, wf_tensor t) {
    static const int64_t label[3] = {2, 0, 3};
    return wf_nn_nll(y, wf_const(y.graph, WF_I64, WF_SHAPE(3), label));
}
static wf_tensor kl(wf_tensor y, wf_tensor t) { return wf_nn_kl(y, wf_relu(t)); }
static wf_tensor smooth_l1(wf_tensor y, wf_tensor t) { return wf_nn_smooth_l1(y, t, 0.3); }

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
    {"cross_entropy_smooth", smoothed, 3, 0, 0},
    {"cross_entropy_ignore", ignoring, 3, 0, 0},
    {"nll", nll, 1, 0, 0},
    {"kl", kl, 1, 0, 0},
    {"smooth_l1", smooth_l1, 1, 0, 0},
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
    cr_assert(!wf_compile(&p, g, out, 2, (wf_compile_opt){.precision = WF_PRECISION_F32}), "%s: %s",
              k->name, wf_error());
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

/* --- images ----------------------------------------------------------------------------------- */

static void check_ssim(wf_dtype dtype) {
    enum { n = 2 * 12 * 13 * 2 };
    double data[2][n];
    wf_tensor leaf[2], image[2];
    wf_graph *g = wf_graph_new();
    for (int i = 0; i < 2; i++) {
        fill_closed(i ? "ssim_loss.target" : "ssim_loss.y", dtype, n, data[i]);
        leaf[i] = wf_leaf(g, i ? "t" : "y", dtype, WF_SHAPE(2, 12, 13, 2), data[i]);
        image[i] = wf_add_scalar(leaf[i], 0.5);
    }
    double value[n];
    wf_tensor dy;
    const wf_tensor s = wf_nn_ssim(image[0], image[1]);
    cr_assert(!wf_grad(s, leaf, 1, &dy), "%s", wf_error());
    cr_assert(!wf_eval(s, value, wf_dtype_bytes(dtype)), "%s", wf_error());
    expect_recorded("ssim_loss", dtype, 1, value);
    cr_assert(!wf_eval(dy, value, n * wf_dtype_bytes(dtype)), "%s", wf_error());
    expect_recorded("ssim_loss.dy", dtype, n, value);
    wf_graph_free(g);
}

Test(nn_loss, ssim) {
    check_ssim(WF_F64);
    check_ssim(WF_F32);
}

/* The loss and the metric are the same number; two equal images have 1. */
Test(nn_loss, ssim_is_the_metric) {
    enum { h = 15, w = 17, images = 3, n = images * h * w };
    float y[n], t[n], v;
    fill_closed("a", WF_F32, n, y);
    fill_closed("b", WF_F32, n, t);
    for (int i = 0; i < n; i++) {
        y[i] += 0.5f;
        t[i] += 0.5f;
    }
    wf_image_metrics m = {0};
    wf_image_metrics_add(&m, y, t, images, h, w);
    wf_graph *g = wf_graph_new();
    const wf_tensor a = wf_const(g, WF_F32, WF_SHAPE(images, h, w, 1), y);
    const wf_tensor b = wf_const(g, WF_F32, WF_SHAPE(images, h, w, 1), t);
    cr_assert(!wf_eval(wf_nn_ssim(a, b), &v, sizeof v), "%s", wf_error());
    const double want = wf_image_metrics_scores(&m).ssim;
    cr_assert(fabs(v - want) < 1e-5, "%g, the metric says %g", v, want);
    cr_assert(!wf_eval(wf_nn_ssim(a, a), &v, sizeof v) && fabsf(v - 1) < 1e-6f, "%g", v);
    wf_graph_free(g);
}

Test(nn_loss, nothing_but_ignored_rows) {
    wf_graph *g = wf_graph_new();
    const int64_t none[2] = {-100, -100};
    const float y[6] = {1, 2, 3, 4, 5, 6};
    float loss;
    const wf_tensor l = wf_nn_cross_entropy_with(
        wf_const(g, WF_F32, WF_SHAPE(2, 3), y), wf_const(g, WF_I64, WF_SHAPE(2), none),
        (wf_cross_entropy_opt){.ignore = true, .ignore_index = -100});
    cr_assert(!wf_eval(l, &loss, sizeof loss) && loss == 0, "loss %g", loss);
    wf_graph_free(g);
}

Test(nn_loss, mistakes_of_the_others) {
    wf_graph *g = wf_graph_new();
    wf_tensor y = wf_full(g, WF_F32, WF_SHAPE(2, 9, 12, 1), 1);
    cr_assert(!wf_ok(wf_nn_ssim(y, y)));
    cr_assert(strstr(wf_graph_message(g), "ssim: y f32[2,9,12,1] and target [2,9,12,1] are not"),
              "%s", wf_graph_message(g));
    wf_graph_free(g);
    g = wf_graph_new();
    y = wf_full(g, WF_F32, WF_SHAPE(3, 4), 1);
    cr_assert(!wf_ok(with(y, (wf_cross_entropy_opt){.smoothing = 1})));
    cr_assert(strstr(wf_graph_message(g), "smoothing is 1"), "%s", wf_graph_message(g));
    wf_graph_free(g);
    g = wf_graph_new();
    cr_assert(!wf_ok(wf_nn_nll(wf_full(g, WF_F32, WF_SHAPE(3, 4), 1),
                               wf_full(g, WF_I32, WF_SHAPE(4), 1))));
    cr_assert(strstr(wf_graph_message(g), "nll: logp [3,4] and index [4]"), "%s",
              wf_graph_message(g));
    wf_graph_free(g);
}

/* Rows whose largest logit is at index; the first of equals counts. */
Test(nn_loss, accuracy) {
    const float y[4][3] = {{1, 2, 0}, {5, 5, 1}, {-3, -2, -1}, {0, 0, 9}};
    const int64_t wide[4] = {1, 0, 1, 2};
    const int32_t narrow[4] = {1, 1, 1, 2};
    wf_graph *g = wf_graph_new();
    const wf_tensor logits = wf_const(g, WF_F32, WF_SHAPE(4, 3), y);
    float share[2];
    cr_assert(!wf_eval(wf_nn_accuracy(logits, wf_const(g, WF_I64, WF_SHAPE(4), wide)), &share[0],
                       sizeof share[0]), "%s", wf_error());
    cr_assert(!wf_eval(wf_nn_accuracy(logits, wf_const(g, WF_I32, WF_SHAPE(4), narrow)), &share[1],
                       sizeof share[1]), "%s", wf_error());
    cr_assert(share[0] == 0.75f && share[1] == 0.5f, "%g, %g", share[0], share[1]);
    cr_assert(!wf_ok(wf_nn_accuracy(logits, wf_const(g, WF_I64, WF_SHAPE(2), wide))));
    cr_assert(strstr(wf_graph_message(g), "accuracy: rows of logits [4] and index i64[2]"), "%s",
              wf_graph_message(g));
    wf_graph_free(g);
}
