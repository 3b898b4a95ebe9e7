/* Convolution layers over 1, 2 or 3 spatial axes, as torch.nn.Conv1d, Conv2d, Conv3d. */
#include "nn/params.h"

/* The layer's options as those of wf_conv; false after a message. */
static bool conv_options(wf_graph *g, const wf_conv_layer_opt *o, int n, int32_t kernel[3],
                         wf_conv_opt *c) {
    c->groups = o->groups ? o->groups : 1;
    for (int i = 0; i < n; i++) {
        kernel[i] = o->kernels[i] ? o->kernels[i] : o->kernel;
        c->stride[i] = o->stride ? o->stride : 1;
        c->dilation[i] = o->dilation ? o->dilation : 1;
        c->pad[i] = o->pad;
        if (kernel[i] < 1 || c->dilation[i] < 1) {
            wf_graph_fail(g, "conv%dd: kernel %d and dilation %d must be positive; set .kernel", n,
                          kernel[i], c->dilation[i]);
            return false;
        }
        c->pad_after[i] = c->pad[i];
        if (!o->same && !o->causal) continue;
        const int64_t reach = (int64_t)c->dilation[i] * (kernel[i] - 1);
        if (o->causal && i == 0 && reach <= INT32_MAX) {
            c->use_pad_after = true;
            c->pad[i] = (int32_t)reach;
            c->pad_after[i] = 0;
            continue;
        }
        if (reach % 2 != 0 || reach > INT32_MAX) {
            wf_graph_fail(g, "conv%dd: same needs an odd kernel (or an even dilation), not %d", n,
                          kernel[i]);
            return false;
        }
        c->pad[i] = c->pad_after[i] = (int32_t)(reach / 2);
    }
    return true;
}

static wf_tensor conv(wf_params *p, wf_tensor x, const wf_conv_layer_opt *o, int n) {
    static const char *const expected[] = {"", "real (N, W, C)", "real (N, H, W, C)",
                                           "real (N, D, H, W, C)"};
    wf_graph *g = x.graph;
    const wf_dtype dtype = wf_dtype_of(x);
    if (wf_rank(x) != n + 2 || !wf_dtype_is_real(dtype)) return wf_layer_refuse(x, expected[n]);
    int32_t kernel[3];
    wf_conv_opt c = {0};
    if (!conv_options(g, o, n, kernel, &c)) return wf_poison(x);
    const int64_t in = wf_dim(x, -1);
    if (o->out < 1 || c.groups < 1 || in % c.groups != 0 || o->out % c.groups != 0)
        return wf_graph_fail(g, "conv%dd: %lld channels in, %lld out do not fall into %d groups", n,
                             (long long)in, (long long)o->out, c.groups);
    wf_shape shape = {.rank = n + 2, .dim = {o->out}};
    for (int i = 0; i < n; i++) shape.dim[1 + i] = kernel[i];
    shape.dim[n + 1] = in / c.groups;
    wf_tensor w = wf_param(g, p, "weight", shape, o->init,
                           (wf_param_opt){.dtype = dtype, .conv_layout = true});
    wf_tensor y = wf_conv(x, w, c);
    if (o->no_bias) return y;
    wf_init init = o->init_bias;
    if (init.kind == WF_INIT_DEFAULT) init.fan_in = wf_count(w) / o->out;
    const wf_param_opt own = {.dtype = dtype};
    return wf_add(y, wf_param(g, p, "bias", WF_SHAPE(o->out), init, own));
}

static wf_tensor conv_layer(wf_params *p, const char *name, wf_tensor x, const wf_conv_layer_opt *o,
                            int n) {
    if (!wf_layer_enter(p, name, x)) return wf_poison(x);
    return wf_layer_leave(p, x, conv(p, x, o, n));
}

wf_tensor wf_nn_conv1d(wf_params *p, const char *name, wf_tensor x, wf_conv_layer_opt o) {
    return conv_layer(p, name, x, &o, 1);
}
wf_tensor wf_nn_conv2d(wf_params *p, const char *name, wf_tensor x, wf_conv_layer_opt o) {
    return conv_layer(p, name, x, &o, 2);
}
wf_tensor wf_nn_conv3d(wf_params *p, const char *name, wf_tensor x, wf_conv_layer_opt o) {
    return conv_layer(p, name, x, &o, 3);
}
