/* Layers against PyTorch's numbers, in f64 and f32: values, gradients with respect to the input and
 * every parameter; and each layer's gradient against differences. */
#include "tests/parity/layer.h"

static wf_tensor linear(wf_params *p, const char *name, wf_tensor x) {
    return wf_nn_linear(p, name, x, (wf_linear_opt){.out = 4});
}
static wf_tensor linear_plain(wf_params *p, const char *name, wf_tensor x) {
    return wf_nn_linear(p, name, x, (wf_linear_opt){.out = 4, .no_bias = true});
}
static wf_tensor conv1d(wf_params *p, const char *name, wf_tensor x) {
    return wf_nn_conv1d(p, name, x, (wf_conv_layer_opt){
        .out = 6, .kernel = 3, .stride = 2, .pad = 1, .groups = 2});
}
static wf_tensor conv2d(wf_params *p, const char *name, wf_tensor x) {
    return wf_nn_conv2d(p, name, x, (wf_conv_layer_opt){
        .out = 4, .kernels = {3, 1}, .dilation = 2, .same = true});
}
static wf_tensor conv3d(wf_params *p, const char *name, wf_tensor x) {
    return wf_nn_conv3d(p, name, x, (wf_conv_layer_opt){
        .out = 3, .kernel = 3, .same = true, .no_bias = true});
}
static wf_tensor lstm(wf_params *p, const char *name, wf_tensor x) {
    return wf_nn_lstm(p, name, x, (wf_lstm_opt){.hidden = 4});
}
static wf_tensor convlstm(wf_params *p, const char *name, wf_tensor x) {
    return wf_nn_convlstm(p, name, x, (wf_convlstm_opt){
        .hidden = 3, .kernel = 3, .activation = wf_relu});
}
static wf_tensor convlstm_separate(wf_params *p, const char *name, wf_tensor x) {
    return wf_nn_convlstm(p, name, x, (wf_convlstm_opt){
        .hidden = 3, .kernel = 3, .activation = wf_relu, .separate = true});
}
static wf_tensor convlstm_peephole(wf_params *p, const char *name, wf_tensor x) {
    return wf_nn_convlstm(p, name, x, (wf_convlstm_opt){
        .hidden = 3, .kernel = 3, .peephole = true});
}
static wf_tensor layer_norm(wf_params *p, const char *name, wf_tensor x) {
    return wf_nn_layer_norm(p, name, x, (wf_layer_norm_opt){0});
}
static wf_tensor layer_norm_2(wf_params *p, const char *name, wf_tensor x) {
    return wf_nn_layer_norm(p, name, x, (wf_layer_norm_opt){.n_axes = 2, .eps = 1e-3});
}
static wf_tensor batch_norm(wf_params *p, const char *name, wf_tensor x) {
    return wf_nn_batch_norm(p, name, x, (wf_batch_norm_opt){.training = true});
}
static wf_tensor batch_norm_cumulative(wf_params *p, const char *name, wf_tensor x) {
    return wf_nn_batch_norm(p, name, x, (wf_batch_norm_opt){.training = true, .cumulative = true});
}
static wf_tensor batch_norm_eval(wf_params *p, const char *name, wf_tensor x) {
    return wf_nn_batch_norm(p, name, x, (wf_batch_norm_opt){0});
}

#define CASES(X)                                                                                   \
    X(linear, linear, 2, 5, 3)                                                                     \
    X(linear_plain, linear_plain, 3)                                                               \
    X(conv1d, conv1d, 2, 9, 4)                                                                     \
    X(conv2d, conv2d, 2, 6, 7, 3)                                                                  \
    X(conv3d, conv3d, 1, 4, 5, 3, 2)                                                               \
    X(lstm, lstm, 5, 2, 3)                                                                         \
    X(convlstm, convlstm, 3, 2, 4, 5, 2)                                                           \
    X(convlstm, convlstm_separate, 3, 2, 4, 5, 2)                                                  \
    X(convlstm_peephole, convlstm_peephole, 3, 2, 4, 5, 2)                                         \
    X(layer_norm, layer_norm, 2, 3, 8)                                                             \
    X(layer_norm_2, layer_norm_2, 2, 3, 8)                                                         \
    X(batch_norm, batch_norm, 3, 2, 5, 4)                                                          \
    X(batch_norm_cumulative, batch_norm_cumulative, 3, 2, 5, 4)                                    \
    X(batch_norm_eval, batch_norm_eval, 3, 2, 5, 4)

#define X(record, function, ...)                                                                   \
    Test(nn_layers, function) {                                                                    \
        check_layer(&(layer_case){#record, function, WF_SHAPE(__VA_ARGS__)});                      \
    }
CASES(X)
#undef X

/* --- states, embedding, dropout --------------------------------------------------------------- */

/* A sequence cut in two, with the state handed over, gives what the whole sequence gives. */
Test(nn_layers, convlstm_state_is_handed_over) {
    wf_graph *g = wf_graph_new();
    wf_params *p = wf_params_new(1);
    static double data[4 * 2 * 3 * 3 * 2];
    fill_closed("data", WF_F64, WF_COUNT(data), data);
    const wf_tensor x = wf_leaf(g, "x", WF_F64, WF_SHAPE(4, 2, 3, 3, 2), data);
    wf_convlstm_opt o = {.hidden = 3, .kernel = 3, .peephole = true};
    const wf_tensor whole = wf_nn_convlstm(p, "cell", x, o);
    wf_tensor h, c;
    o.h = &h;
    o.c = &c;
    const wf_tensor first = wf_nn_convlstm(p, "cell", wf_slice(x, 0, 0, 3, 1), o);
    o.h0 = h;
    o.c0 = c;
    const wf_tensor last = wf_nn_convlstm(p, "cell", wf_slice(x, 0, 3, 1, 1), o);
    fill_params(p, 0);
    const wf_tensor both = wf_concat((wf_tensor[]){first, last}, 2, 0);
    const wf_tensor gap = wf_max(wf_abs(wf_sub(whole, both)), (wf_reduce_opt){0});
    const wf_tensor size = wf_max(wf_abs(whole), (wf_reduce_opt){0});
    double off, all;
    cr_assert(!wf_eval(gap, &off, sizeof off), "%s", wf_error());
    cr_assert(!wf_eval(size, &all, sizeof all), "%s", wf_error());
    cr_assert(off <= 1e-14 && all > 0.01, "gap %g of %g", off, all);
    cr_assert(wf_params_count(p) == 5, "parameters are found again by name");
    wf_graph_free(g);
    wf_params_free(p);
}

Test(nn_layers, lstm_state_is_handed_over) {
    wf_graph *g = wf_graph_new();
    wf_params *p = wf_params_new(1);
    static double data[4 * 2 * 3];
    fill_closed("data", WF_F64, WF_COUNT(data), data);
    const wf_tensor x = wf_leaf(g, "x", WF_F64, WF_SHAPE(4, 2, 3), data);
    wf_tensor h, c, h2, c2;
    const wf_tensor whole = wf_nn_lstm(p, "lstm", x,
                                       (wf_lstm_opt){.hidden = 5, .h = &h2, .c = &c2});
    wf_nn_lstm(p, "lstm", wf_slice(x, 0, 0, 1, 1), (wf_lstm_opt){.hidden = 5, .h = &h, .c = &c});
    const wf_tensor rest = wf_nn_lstm(p, "lstm", wf_slice(x, 0, 1, 3, 1),
                                      (wf_lstm_opt){.hidden = 5, .h0 = h, .c0 = c});
    const wf_tensor gap = wf_max(wf_abs(wf_sub(wf_slice(whole, 0, 1, 3, 1), rest)),
                                 (wf_reduce_opt){0});
    const wf_tensor last = wf_max(wf_abs(wf_sub(wf_index(whole, 0, 3), h2)), (wf_reduce_opt){0});
    double off, end;
    cr_assert(!wf_eval(gap, &off, sizeof off), "%s", wf_error());
    cr_assert(!wf_eval(last, &end, sizeof end), "%s", wf_error());
    cr_assert(off <= 1e-14 && end == 0, "gap %g, last %g", off, end);
    wf_graph_free(g);
    wf_params_free(p);
}

Test(nn_layers, embedding_picks_rows) {
    wf_graph *g = wf_graph_new();
    wf_params *p = wf_params_new(1);
    int32_t index[6] = {4, 0, 2, 2, 1, 4};
    const wf_tensor i = wf_leaf(g, "index", WF_I32, WF_SHAPE(2, 3), index);
    const wf_tensor y = wf_nn_embedding(p, "embed", i, 5, 7);
    float out[6 * 7];
    cr_assert(!wf_eval(y, out, sizeof out), "%s", wf_error());
    wf_param_info w;
    cr_assert(wf_params_find(p, "embed.weight", &w));
    for (int k = 0; k < 6; k++)
        cr_assert(!memcmp(out + 7 * k, (float *)w.data + 7 * index[k], 7 * sizeof(float)), "%d", k);
    wf_graph_free(g);
    wf_params_free(p);
}

/* In f64, so that a whole model can be checked in it. */
Test(nn_layers, embedding_of_a_dtype) {
    wf_graph *g = wf_graph_new();
    wf_params *p = wf_params_new(1);
    const int64_t index[2] = {3, 1};
    const wf_tensor i = wf_const(g, WF_I64, WF_SHAPE(2), index);
    const wf_tensor y = wf_nn_embedding_of(p, "embed", i, 4, 2, WF_F64);
    double out[4];
    wf_param_info w;
    cr_assert(!wf_eval(y, out, sizeof out) && wf_params_find(p, "embed.weight", &w));
    cr_assert(w.dtype == WF_F64 && !memcmp(out, (double *)w.data + 6, 2 * sizeof(double)));
    wf_graph_free(g);
    wf_params_free(p);
}

Test(nn_layers, dropout_draws_anew_and_keeps_the_mean) {
    enum { n = 20000 };
    wf_graph *g = wf_graph_new();
    wf_params *p = wf_params_new(7);
    const wf_tensor x = wf_full(g, WF_F32, WF_SHAPE(n), 3);
    const wf_tensor y = wf_nn_dropout(p, "drop", x, (wf_dropout_opt){.p = 0.25, .training = true});
    wf_program *program;
    cr_assert(!wf_compile(&program, g, &y, 1, (wf_compile_opt){0}), "%s", wf_error());
    static float first[n];
    int64_t same = 0;
    for (int run = 0; run < 2; run++) {
        cr_assert(!wf_run(program), "%s", wf_error());
        const float *v = wf_data(program, y);
        double sum = 0;
        for (int i = 0; i < n; i++) {
            cr_assert(v[i] == 0 || v[i] == 4, "x / (1 - p) is 4, not %g", v[i]);
            sum += v[i];
            same += run && v[i] == first[i];
            first[i] = v[i];
        }
        /* 5 standard deviations of the mean: 4 sqrt(0.25 0.75 / n) = 0.0122 */
        cr_assert(fabs(sum / n - 3) < 0.062, "mean %g", sum / n);
    }
    /* Equal with probability 0.75^2 + 0.25^2 = 0.625. */
    cr_assert(fabs((double)same / n - 0.625) < 0.02, "%lld of %d equal", (long long)same, n);
    wf_program_free(program);
    const wf_tensor z = wf_nn_dropout(p, "drop", x, (wf_dropout_opt){.p = 0.25});
    cr_assert(z.id == x.id, "in evaluation dropout is the identity");
    wf_graph_free(g);
    wf_params_free(p);
}

/* --- mistakes --------------------------------------------------------------------------------- */

Test(nn_layers, mistakes_name_the_layer) {
    wf_params *p = wf_params_new(1);
    wf_graph *g = wf_graph_new();
    wf_tensor x = wf_full(g, WF_F32, WF_SHAPE(2, 5, 5, 3), 1);
    expect_message(g, wf_nn_conv2d(p, "conv1", x, (wf_conv_layer_opt){.out = 4}),
                   "conv1/conv2d: kernel 0");
    g = wf_graph_new();
    x = wf_full(g, WF_F32, WF_SHAPE(2, 5, 3), 1);
    expect_message(g, wf_nn_conv2d(p, "conv1", x, (wf_conv_layer_opt){.out = 4, .kernel = 3}),
                   "conv1: x f32[2,5,3] is not real (N, H, W, C)");
    g = wf_graph_new();
    x = wf_full(g, WF_F32, WF_SHAPE(3, 2, 5, 5, 1), 1);
    expect_message(g, wf_nn_convlstm(p, "cell", x, (wf_convlstm_opt){.hidden = 4, .kernel = 4}),
                   "kernel 4 odd");
    g = wf_graph_new();
    x = wf_full(g, WF_F32, WF_SHAPE(2, 3), 1);
    wf_nn_linear(p, "fc", x, (wf_linear_opt){.out = 4});
    expect_message(g, wf_nn_linear(p, "fc", x, (wf_linear_opt){.out = 5}),
                   "parameter \"fc.weight\" is f32[4,3], asked for as f32[5,3]");
    g = wf_graph_new();
    x = wf_full(g, WF_F32, WF_SHAPE(1, 3), 1);
    expect_message(g, wf_nn_batch_norm(p, "bn", x, (wf_batch_norm_opt){.training = true}),
                   "several values a channel");
    g = wf_graph_new();
    x = wf_full(g, WF_F32, WF_SHAPE(2, 3), 1);
    expect_message(g, wf_nn_dropout(p, "drop", x, (wf_dropout_opt){.p = 1, .training = true}),
                   "[0, 1)");
    g = wf_graph_new();
    x = wf_full(g, WF_F32, WF_SHAPE(2, 3), 1);
    expect_message(g, wf_nn_layer_norm(p, "ln", x, (wf_layer_norm_opt){.n_axes = 3}),
                   "last 3 axes");
    wf_params_free(p);
}

/* Poison and zeroed handles pass through every layer. */
Test(nn_layers, poison_flows) {
    wf_params *p = wf_params_new(1);
    const wf_tensor none = {0};
    cr_assert(!wf_ok(wf_nn_linear(p, "a", none, (wf_linear_opt){.out = 4})));
    cr_assert(!wf_ok(wf_nn_convlstm(p, "b", none, (wf_convlstm_opt){.hidden = 4, .kernel = 3})));
    cr_assert(!wf_ok(wf_nn_lstm(p, "c", none, (wf_lstm_opt){.hidden = 4})));
    cr_assert(!wf_ok(wf_nn_embedding(p, "d", none, 3, 4)));
    cr_assert(!wf_ok(wf_nn_mse(none, none)));
    cr_assert(!wf_ok(wf_nn_cross_entropy(none, none)));
    cr_assert(!wf_ok(wf_nn_adam(p, none, (wf_optimizer_opt){0})));
    cr_assert(wf_params_count(p) == 0);
    wf_params_free(p);
}

/* A causal convolution: what comes later changes nothing, and it is the one with zeros in front. */
Test(nn_layers, causal_convolution) {
    wf_graph *g = wf_graph_new();
    wf_params *p = wf_params_new(1);
    double data[2 * 6 * 4 * 3 * 2];
    fill_closed("causal", WF_F64, WF_COUNT(data), data);
    const wf_tensor x = wf_const(g, WF_F64, WF_SHAPE(2, 6, 4, 3, 2), data);
    const wf_conv_layer_opt o = {.out = 3, .kernels = {3, 3, 1}, .causal = true};
    const wf_tensor y = wf_nn_conv3d(p, "a", x, o);
    const wf_tensor early = wf_nn_conv3d(p, "a", wf_slice(x, 1, 0, 4, 1), o);
    const wf_tensor padded = wf_pad(wf_pad(x, 1, 2, 0, 1), 2, 1, 1, 1);
    const wf_tensor plain = wf_nn_conv3d(p, "a", padded, (wf_conv_layer_opt){
        .out = 3, .kernels = {3, 3, 1}});
    const wf_tensor off[] = {wf_sub(wf_slice(y, 1, 0, 4, 1), early), wf_sub(y, plain)};
    double sum[2];
    for (int i = 0; i < 2; i++) {
        const wf_tensor all = wf_sum(wf_abs(off[i]), (wf_reduce_opt){0});
        cr_assert(!wf_eval(all, &sum[i], sizeof sum[i]), "%s", wf_graph_message(g));
    }
    cr_expect(sum[0] == 0 && sum[1] < 1e-13, "%g, %g", sum[0], sum[1]);
    wf_params_free(p);
    wf_graph_free(g);
}
