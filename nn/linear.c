/* Fully connected layer: y = x W^T + b, as torch.nn.Linear. */
#include "nn/params.h"

/* (.., C) to (M, C), so that the product is one plain matmul. */
static wf_tensor flatten(wf_tensor x) {
    const int rank = wf_rank(x);
    int64_t m = 1;
    for (int i = 0; i < rank - 1; i++) m *= wf_dim(x, i);
    return wf_reshape(x, WF_SHAPE(m, wf_dim(x, -1)));
}

static wf_tensor linear(wf_params *p, wf_tensor x, const wf_linear_opt *o) {
    wf_graph *g = x.graph;
    const wf_dtype dtype = wf_dtype_of(x);
    const int64_t in = wf_dim(x, -1);
    if (wf_rank(x) < 1 || !wf_dtype_is_real(dtype)) return wf_layer_refuse(x, "real (.., C)");
    if (o->out < 1) return wf_graph_fail(g, "linear: out is %lld; set it", (long long)o->out);
    wf_tensor w = wf_param(g, p, "weight", WF_SHAPE(o->out, in), o->init,
                           (wf_param_opt){.dtype = dtype});
    wf_tensor y = wf_matmul(flatten(x), wf_transpose(w, 0, 1));
    if (!o->no_bias)
        y = wf_add(y, wf_param(g, p, "bias", WF_SHAPE(o->out), (wf_init){.fan_in = in},
                               (wf_param_opt){.dtype = dtype}));
    wf_shape shape = wf_shape_of_tensor(x);
    shape.dim[shape.rank - 1] = o->out;
    return wf_reshape(y, shape);
}

wf_tensor wf_nn_linear(wf_params *p, const char *name, wf_tensor x, wf_linear_opt o) {
    if (!wf_layer_enter(p, name, x)) return wf_poison(x);
    return wf_layer_leave(p, x, linear(p, x, &o));
}
