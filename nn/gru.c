/* Gated recurrent unit, as torch.nn.GRU (Cho et al., arXiv:1406.1078, the reset gate applied after
 * the product, which lets the products of all gates be one):
 *
 *   r, z = sigmoid(W x + b + U h + d)    n = tanh(W x + b + r (U h + d))    h = (1 - z) n + z h */
#include <math.h>

#include "nn/params.h"

enum { W, B, U, D };

static wf_tensor prepare(const wf_cell *k, wf_tensor x) {
    return wf_sequence_product(x, k->param[W], k->param[B]);
}

static wf_tensor plus(wf_tensor a, wf_tensor b) { return b.graph ? wf_add(a, b) : a; }

/* zx (N, 3 H) */
static void step(const wf_cell *k, wf_tensor zx, wf_tensor *state) {
    const wf_tensor h = state[0], d = k->param[D];
    wf_tensor a[3], b[3] = {0};
    wf_split(zx, 3, -1, a);
    if (h.graph) wf_split(plus(wf_matmul(h, k->param[U]), d), 3, -1, b);
    else if (d.graph) wf_split(d, 3, -1, b);
    const wf_tensor r = wf_sigmoid(plus(a[0], b[0])), z = wf_sigmoid(plus(a[1], b[1]));
    const wf_tensor n = wf_tanh(b[2].graph ? wf_add(a[2], wf_mul(r, b[2])) : a[2]);
    state[0] = wf_add(n, wf_mul(z, h.graph ? wf_sub(h, n) : wf_neg(n)));
}

static bool make(wf_cell *k, wf_params *p, wf_tensor x, const char *suffix, const void *options) {
    const wf_gru_opt *o = options;
    const int64_t hidden = o->hidden;
    if (wf_rank(x) != 3) {
        wf_layer_refuse(x, "real (T, N, C) with T >= 1");
        return false;
    }
    if (hidden < 1 || hidden > INT32_MAX) {
        wf_graph_fail(x.graph, "gru: hidden is %lld; set it", (long long)hidden);
        return false;
    }
    const double bound = 1 / sqrt((double)hidden);
    const wf_shape bias = WF_SHAPE(3 * hidden);
    k->param[W] = wf_cell_param(p, x, "weight_ih", suffix, WF_SHAPE(3 * hidden, wf_dim(x, 2)),
                                bound);
    k->param[U] = wf_transpose(
        wf_cell_param(p, x, "weight_hh", suffix, WF_SHAPE(3 * hidden, hidden), bound), 0, 1);
    if (!o->no_bias) {
        k->param[B] = wf_cell_param(p, x, "bias_ih", suffix, bias, bound);
        k->param[D] = wf_cell_param(p, x, "bias_hh", suffix, bias, bound);
    }
    k->n_states = 1;
    k->state_shape[0] = WF_SHAPE(wf_dim(x, 1), hidden);
    k->state_name[0] = "h";
    k->prepare = prepare;
    k->step = step;
    return true;
}

wf_tensor wf_nn_gru(wf_params *p, const char *name, wf_tensor x, wf_gru_opt o) {
    wf_recurrent_opt s = o.sequence;
    if (o.h0.graph) s.first[0] = o.h0;
    if (o.h) s.last[0] = o.h;
    return wf_nn_recurrent(p, name, x, make, &o, s);
}
