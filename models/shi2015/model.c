/* The encoder-forecaster network; see model.h. */
#include "models/shi2015/model.h"

/* (T, N, H, W, 1) -> (T, N, H / 4, W / 4, 16): what a patch shows lies along the channels. */
static wf_tensor to_patches(wf_tensor x) {
    const int64_t t = wf_dim(x, 0), n = wf_dim(x, 1), k = SHI_PATCH;
    const int64_t rows = wf_dim(x, 2) / k, columns = wf_dim(x, 3) / k;
    static const int order[] = {0, 1, 2, 4, 3, 5};
    x = wf_reshape(x, WF_SHAPE(t, n, rows, k, columns, k));
    return wf_reshape(wf_permute(x, order), WF_SHAPE(t, n, rows, columns, k * k));
}

static wf_tensor from_patches(wf_tensor x) {
    const int64_t t = wf_dim(x, 0), n = wf_dim(x, 1), k = SHI_PATCH;
    const int64_t rows = wf_dim(x, 2), columns = wf_dim(x, 3);
    static const int order[] = {0, 1, 2, 4, 3, 5};
    x = wf_permute(wf_reshape(x, WF_SHAPE(t, n, rows, columns, k, k)), order);
    return wf_reshape(x, WF_SHAPE(t, n, rows * k, columns * k, 1));
}

static wf_convlstm_opt cell(const shi_opt *o, int layer) {
    return (wf_convlstm_opt){.hidden = o->hidden[layer],
                             .kernel_x = o->kernel_input,
                             .kernel = o->kernel,
                             .peephole = true,
                             .peephole_shared = o->shared_peephole,
                             .one_bias = true};
}

static wf_tensor layer(wf_params *p, const char *network, int i, wf_tensor x, wf_convlstm_opt o) {
    char name[32];
    snprintf(name, sizeof name, "%s.%d", network, i);
    return wf_nn_convlstm(p, name, x, o);
}

wf_tensor shi2015(wf_params *p, wf_tensor x, const shi_opt *o) {
    wf_tensor h[SHI_LAYERS], c[SHI_LAYERS], y[SHI_LAYERS];
    x = to_patches(x);
    const int64_t n = wf_dim(x, 1), rows = wf_dim(x, 2), columns = wf_dim(x, 3);
    for (int i = 0; i < o->layers; i++) {
        wf_convlstm_opt k = cell(o, i);
        k.h = &h[i];
        k.c = &c[i];
        x = layer(p, "encoder", i, x, k);
    }
    /* The forecaster's first layer runs on its state alone. */
    x = wf_full(x.graph, wf_dtype_of(x), WF_SHAPE(o->predicted, n, rows, columns, 0), 0);
    for (int i = 0; i < o->layers; i++) {
        wf_convlstm_opt k = cell(o, i);
        k.h0 = h[i];
        k.c0 = c[i];
        x = y[i] = layer(p, "forecaster", i, x, k);
    }
    x = wf_concat(y, o->layers, -1);
    x = wf_reshape(x, WF_SHAPE(o->predicted * n, rows, columns, wf_dim(x, -1)));
    x = wf_nn_conv2d(p, "output", x,
                     (wf_conv_layer_opt){.out = SHI_PATCH * SHI_PATCH, .kernel = 1});
    return from_patches(wf_reshape(x, WF_SHAPE(o->predicted, n, rows, columns, wf_dim(x, -1))));
}

shi_graph shi_write(wf_graph *g, wf_params *p, const shi_opt *o) {
    const wf_shape shape = WF_SHAPE(o->seen + o->predicted, o->batch, o->side, o->side, 1);
    const wf_tensor clip = wf_input(g, "clip", o->dtype, shape);
    const wf_tensor logits = shi2015(p, wf_slice(clip, 0, 0, o->seen, 1), o);
    const wf_tensor target = wf_slice(clip, 0, o->seen, o->predicted, 1);
    const double pixels = (double)(o->predicted * o->side * o->side);
    const wf_tensor loss = wf_mul_scalar(wf_nn_bce_with_logits(logits, target), pixels);
    return (shi_graph){wf_name(wf_sigmoid(logits), "y"), wf_name(loss, "loss")};
}

/* Theano's RMSProp: rate 1e-3, decay 0.9. The gradient of the mean over pixels is what the rate
 * does not depend on; clipping is by the norm of that mean's gradient. */
wf_status shi_trainer(wf_program **out, wf_params *p, const shi_opt *o, double clip,
                      wf_compile_opt c) {
    wf_graph *g = wf_graph_new();
    if (!g) return wf_fail(WF_MEMORY, "no memory for the graph");
    const double pixels = (double)(o->predicted * o->side * o->side);
    const wf_tensor loss = shi_write(g, p, o).loss;
    const wf_tensor norm = wf_nn_rmsprop(p, wf_mul_scalar(loss, 1 / pixels),
                                         (wf_optimizer_opt){.alpha = 0.9, .clip_norm = clip});
    const wf_tensor outputs[] = {loss, wf_name(norm, "grad_norm")};
    const wf_status status = wf_compile(out, g, outputs, WF_COUNT(outputs), c);
    wf_graph_free(g);
    return status;
}

wf_status shi_predictor(wf_program **out, wf_params *p, const shi_opt *o, wf_compile_opt c) {
    wf_graph *g = wf_graph_new();
    if (!g) return wf_fail(WF_MEMORY, "no memory for the graph");
    const shi_graph s = shi_write(g, p, o);
    const wf_tensor outputs[] = {s.y, s.loss};
    const wf_status status = wf_compile(out, g, outputs, WF_COUNT(outputs), c);
    wf_graph_free(g);
    return status;
}
