/* Batch normalisation over the last axis (Ioffe and Szegedy, arXiv:1502.03167), as PyTorch's
 * BatchNorm: y = (x - mean) / sqrt(var + eps) * weight + bias.
 *
 * Training normalises with the batch's mean and biased variance and assigns
 *   running_mean += r (mean - running_mean),  running_var += r (unbiased var - running_var)
 * with r = momentum, or 1 / batches seen if cumulative. The assignments are effects of the program:
 * readers of the running statistics in the same run see the values before it. */
#include "nn/params.h"

typedef struct statistics {
    wf_tensor mean, var, tracked; /* leaves: (C), (C), i64 () */
} statistics;

static statistics make_statistics(wf_params *p, wf_tensor x, wf_shape channels) {
    wf_graph *g = x.graph;
    const wf_param_opt o = {.role = WF_ROLE_STATE, .dtype = wf_dtype_of(x)};
    const wf_param_opt count = {.role = WF_ROLE_STATE, .dtype = WF_I64};
    const wf_init zero = {.kind = WF_INIT_CONSTANT}, one = {.kind = WF_INIT_CONSTANT, .a = 1};
    return (statistics){
        .mean = wf_param(g, p, "running_mean", channels, zero, o),
        .var = wf_param(g, p, "running_var", channels, one, o),
        .tracked = wf_param(g, p, "num_batches_tracked", WF_SCALAR, zero, count),
    };
}

/* old + rate (new - old), written as PyTorch does: (1 - rate) old + rate new. */
static wf_tensor blend(wf_tensor old, wf_tensor new, wf_tensor rate) {
    const wf_tensor keep = wf_sub(wf_scalar(rate.graph, wf_dtype_of(rate), 1), rate);
    return wf_add(wf_mul(old, keep), wf_mul(new, rate));
}

static void track(const statistics *s, wf_tensor mean, wf_tensor var, double n,
                  const wf_batch_norm_opt *o) {
    wf_graph *g = mean.graph;
    const wf_dtype dtype = wf_dtype_of(mean);
    const wf_tensor tracked = wf_add(s->tracked, wf_scalar(g, WF_I64, 1));
    const wf_tensor rate = o->cumulative ? wf_recip(wf_cast(tracked, dtype))
                                         : wf_scalar(g, dtype, o->momentum);
    wf_assign(s->mean, blend(s->mean, mean, rate));
    wf_assign(s->var, blend(s->var, wf_mul_scalar(var, n / (n - 1)), rate));
    wf_assign(s->tracked, tracked);
}

static wf_tensor batch_norm(wf_params *p, wf_tensor x, const wf_batch_norm_opt *o) {
    wf_graph *g = x.graph;
    const wf_dtype dtype = wf_dtype_of(x);
    if (wf_rank(x) < 2 || !wf_dtype_is_real(dtype)) return wf_layer_refuse(x, "real (N, .., C)");
    const wf_shape channels = WF_SHAPE(wf_dim(x, -1));
    const wf_init one = {.kind = WF_INIT_CONSTANT, .a = 1}, zero = {.kind = WF_INIT_CONSTANT};
    const wf_param_opt own = {.dtype = dtype};
    const wf_tensor weight = wf_param(g, p, "weight", channels, one, own);
    const wf_tensor bias = wf_param(g, p, "bias", channels, zero, own);
    const statistics s = make_statistics(p, x, channels);
    wf_tensor mean = s.mean, var = s.var;
    if (o->training) {
        const int64_t n = channels.dim[0] ? wf_count(x) / channels.dim[0] : 0;
        if (n < 2)
            return wf_graph_fail(g, "batch_norm: training needs several values a channel, not %lld",
                                 (long long)n);
        wf_reduce_opt all_but_last = {.n_axes = wf_rank(x) - 1};
        for (int i = 0; i < all_but_last.n_axes; i++) all_but_last.axes[i] = i;
        const wf_tensor m = wf_moments(x, all_but_last);
        mean = wf_index(m, 0, 0);
        var = wf_index(m, 0, 1);
        track(&s, mean, var, (double)n, o);
    }
    const wf_tensor scale = wf_mul(weight, wf_rsqrt(wf_add_scalar(var, o->eps)));
    return wf_add(wf_mul(wf_sub(x, mean), scale), bias);
}

wf_tensor wf_nn_batch_norm(wf_params *p, const char *name, wf_tensor x, wf_batch_norm_opt o) {
    if (o.eps == 0) o.eps = 1e-5;
    if (o.momentum == 0) o.momentum = 0.1;
    if (!wf_layer_enter(p, name, x)) return wf_poison(x);
    return wf_layer_leave(p, x, batch_norm(p, x, &o));
}
