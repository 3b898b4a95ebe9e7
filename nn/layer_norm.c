/* Layer normalisation over the last n axes (Ba, Kiros, Hinton, arXiv:1607.06450), as PyTorch's
 * LayerNorm: (x - mean) / sqrt(var + eps) * weight + bias, biased variance. */
#include "nn/params.h"

static wf_tensor layer_norm(wf_params *p, wf_tensor x, const wf_layer_norm_opt *o) {
    wf_graph *g = x.graph;
    const wf_param_opt own = {.dtype = wf_dtype_of(x)};
    const int rank = wf_rank(x), n = o->n_axes;
    if (!wf_dtype_is_real(own.dtype)) return wf_layer_refuse(x, "real");
    if (n < 1 || n > rank)
        return wf_graph_fail(g, "layer_norm: cannot normalise over the last %d axes of rank %d", n,
                             rank);
    wf_reduce_opt last = {.n_axes = n, .keepdims = true};
    wf_shape shape = {.rank = n};
    for (int i = 0; i < n; i++) {
        last.axes[i] = rank - n + i;
        shape.dim[i] = wf_dim(x, rank - n + i);
    }
    const wf_tensor m = wf_moments(x, last);
    const wf_tensor mean = wf_index(m, 0, 0), var = wf_index(m, 0, 1);
    const wf_tensor y = wf_mul(wf_sub(x, mean), wf_rsqrt(wf_add_scalar(var, o->eps)));
    if (o->no_affine) return y;
    const wf_init one = {.kind = WF_INIT_CONSTANT, .a = 1}, zero = {.kind = WF_INIT_CONSTANT};
    const wf_tensor weight = wf_param(g, p, "weight", shape, one, own);
    return wf_add(wf_mul(y, weight), wf_param(g, p, "bias", shape, zero, own));
}

wf_tensor wf_nn_layer_norm(wf_params *p, const char *name, wf_tensor x, wf_layer_norm_opt o) {
    if (o.n_axes == 0) o.n_axes = 1;
    if (o.eps == 0) o.eps = 1e-5;
    if (!wf_layer_enter(p, name, x)) return wf_poison(x);
    return wf_layer_leave(p, x, layer_norm(p, x, &o));
}
