/* Group normalisation (Wu and He, arXiv:1803.08494) and instance normalisation (Ulyanov et al.,
 * arXiv:1607.08022), as torch.nn.GroupNorm and InstanceNorm: (x - mean) / sqrt(var + eps), the
 * statistics of each image over its spatial axes and the channels of a group (one channel for
 * instance norm), biased variance; then * weight + bias a channel. */
#include "nn/params.h"

static wf_tensor group_norm(wf_params *p, wf_tensor x, const wf_group_norm_opt *o) {
    wf_graph *g = x.graph;
    const wf_param_opt own = {.dtype = wf_dtype_of(x)};
    const int rank = wf_rank(x);
    const int64_t c = wf_dim(x, -1);
    if (rank < 2 || rank >= WF_MAX_RANK || !wf_dtype_is_real(own.dtype))
        return wf_layer_refuse(x, "real (N, S.., C)");
    if (o->groups < 1 || c % o->groups != 0)
        return wf_graph_fail(g, "group_norm: %lld channels do not fall into %lld groups; set "
                                ".groups", (long long)c, (long long)o->groups);
    wf_shape split = wf_shape_of_tensor(x);
    split.dim[rank - 1] = o->groups;
    split.dim[split.rank++] = c / o->groups;
    wf_reduce_opt inner = {.n_axes = rank - 1, .keepdims = true};
    for (int i = 0; i < rank - 2; i++) inner.axes[i] = 1 + i;
    inner.axes[rank - 2] = rank;
    const wf_tensor part = wf_reshape(x, split), m = wf_moments(part, inner);
    const wf_tensor mean = wf_index(m, 0, 0), var = wf_index(m, 0, 1);
    wf_tensor y = wf_mul(wf_sub(part, mean), wf_rsqrt(wf_add_scalar(var, o->eps)));
    y = wf_reshape(y, wf_shape_of_tensor(x));
    if (o->no_affine) return y;
    const wf_init one = {.kind = WF_INIT_CONSTANT, .a = 1}, zero = {.kind = WF_INIT_CONSTANT};
    const wf_tensor weight = wf_param(g, p, "weight", WF_SHAPE(c), one, own);
    return wf_add(wf_mul(y, weight), wf_param(g, p, "bias", WF_SHAPE(c), zero, own));
}

wf_tensor wf_nn_group_norm(wf_params *p, const char *name, wf_tensor x, wf_group_norm_opt o) {
    if (o.eps == 0) o.eps = 1e-5;
    if (!wf_layer_enter(p, name, x)) return wf_poison(x);
    return wf_layer_leave(p, x, group_norm(p, x, &o));
}

wf_tensor wf_nn_instance_norm(wf_params *p, const char *name, wf_tensor x,
                              wf_instance_norm_opt o) {
    return wf_nn_group_norm(p, name, x, (wf_group_norm_opt){.groups = wf_dim(x, -1),
                                                            .eps = o.eps,
                                                            .no_affine = !o.affine});
}
