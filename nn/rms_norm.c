/* Root mean square normalisation over the last axis (Zhang and Sennrich, arXiv:1910.07467), as
 * torch.nn.RMSNorm: x / sqrt(mean(x^2) + eps) * weight. */
#include <float.h>

#include "nn/params.h"

static wf_tensor rms_norm(wf_params *p, wf_tensor x, const wf_rms_norm_opt *o) {
    const wf_dtype dtype = wf_dtype_of(x);
    const double epsilon = dtype == WF_F64 ? DBL_EPSILON : FLT_EPSILON;
    if (wf_rank(x) < 1 || !wf_dtype_is_real(dtype)) return wf_layer_refuse(x, "real (.., C)");
    const wf_reduce_opt last = {.n_axes = 1, .axes = {-1}, .keepdims = true};
    const wf_tensor size = wf_mean(wf_square(x), last);
    const wf_tensor y = wf_mul(x, wf_rsqrt(wf_add_scalar(size, o->eps == 0 ? epsilon : o->eps)));
    if (o->no_affine) return y;
    return wf_mul(y, wf_param(x.graph, p, "weight", WF_SHAPE(wf_dim(x, -1)),
                              (wf_init){.kind = WF_INIT_CONSTANT, .a = 1},
                              (wf_param_opt){.dtype = dtype}));
}

wf_tensor wf_nn_rms_norm(wf_params *p, const char *name, wf_tensor x, wf_rms_norm_opt o) {
    if (!wf_layer_enter(p, name, x)) return wf_poison(x);
    return wf_layer_leave(p, x, rms_norm(p, x, &o));
}
