/* Transposed convolution over 1, 2 or 3 spatial axes, as torch.nn.ConvTranspose1d, 2d, 3d: the
 * adjoint of the convolution with the same weight (C, K.., out / groups). */
#include "nn/params.h"

static wf_tensor conv_transpose(wf_params *p, wf_tensor x, const wf_conv_transpose_opt *o, int n) {
    static const char *const expected[] = {"", "real (N, W, C)", "real (N, H, W, C)",
                                           "real (N, D, H, W, C)"};
    wf_graph *g = x.graph;
    const wf_dtype dtype = wf_dtype_of(x);
    if (wf_rank(x) != n + 2 || !wf_dtype_is_real(dtype)) return wf_layer_refuse(x, expected[n]);
    const int64_t in = wf_dim(x, -1);
    wf_conv_opt c = {.groups = o->groups ? o->groups : 1};
    if (o->out < 1 || c.groups < 1 || in % c.groups != 0 || o->out % c.groups != 0)
        return wf_graph_fail(g, "conv_transpose%dd: %lld channels in, %lld out do not fall into %d "
                                "groups; set .out", n, (long long)in, (long long)o->out, c.groups);
    wf_shape shape = {.rank = n + 2, .dim = {in}};
    int32_t out_pad[3] = {0};
    for (int i = 0; i < n; i++) {
        const int32_t kernel = o->kernels[i] ? o->kernels[i] : o->kernel;
        if (kernel < 1)
            return wf_graph_fail(g, "conv_transpose%dd: kernel %d must be positive; set .kernel", n,
                                 kernel);
        shape.dim[1 + i] = kernel;
        c.stride[i] = o->stride ? o->stride : 1;
        c.dilation[i] = o->dilation ? o->dilation : 1;
        c.pad[i] = o->pad;
        out_pad[i] = o->out_pad;
    }
    shape.dim[n + 1] = o->out / c.groups;
    const wf_tensor w = wf_param(g, p, "weight", shape, o->init,
                                 (wf_param_opt){.dtype = dtype, .conv_layout = true});
    const wf_tensor y = wf_conv_transpose(x, w, c, out_pad);
    if (o->no_bias) return y;
    const wf_init init = {.fan_in = wf_count(w) / (in > 0 ? in : 1)};
    return wf_add(y, wf_param(g, p, "bias", WF_SHAPE(o->out), init,
                              (wf_param_opt){.dtype = dtype}));
}

static wf_tensor layer(wf_params *p, const char *name, wf_tensor x, const wf_conv_transpose_opt *o,
                       int n) {
    if (!wf_layer_enter(p, name, x)) return wf_poison(x);
    return wf_layer_leave(p, x, conv_transpose(p, x, o, n));
}

wf_tensor wf_nn_conv_transpose1d(wf_params *p, const char *name, wf_tensor x,
                                 wf_conv_transpose_opt o) {
    return layer(p, name, x, &o, 1);
}
wf_tensor wf_nn_conv_transpose2d(wf_params *p, const char *name, wf_tensor x,
                                 wf_conv_transpose_opt o) {
    return layer(p, name, x, &o, 2);
}
wf_tensor wf_nn_conv_transpose3d(wf_params *p, const char *name, wf_tensor x,
                                 wf_conv_transpose_opt o) {
    return layer(p, name, x, &o, 3);
}
