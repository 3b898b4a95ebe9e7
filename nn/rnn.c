/* The simple recurrent network (Elman 1990), as torch.nn.RNN: h = act(W x + b + U h + d). */
#include <math.h>

#include "nn/params.h"

enum { W, B, U };

static wf_tensor prepare(const wf_cell *k, wf_tensor x) {
    return wf_sequence_product(x, k->param[W], k->param[B]);
}

/* zx (N, H) */
static void step(const wf_cell *k, wf_tensor zx, wf_tensor *state) {
    const wf_rnn_opt *o = k->options;
    const wf_tensor h = state[0];
    state[0] = o->activation(h.graph ? wf_add(zx, wf_matmul(h, k->param[U])) : zx);
}

static bool make(wf_cell *k, wf_params *p, wf_tensor x, const char *suffix, const void *options) {
    const wf_rnn_opt *o = options;
    const int64_t hidden = o->hidden;
    if (wf_rank(x) != 3) {
        wf_layer_refuse(x, "real (T, N, C) with T >= 1");
        return false;
    }
    if (hidden < 1 || hidden > INT32_MAX) {
        wf_graph_fail(x.graph, "rnn: hidden is %lld; set it", (long long)hidden);
        return false;
    }
    const double bound = 1 / sqrt((double)hidden);
    k->param[W] = wf_cell_param(p, x, "weight_ih", suffix, WF_SHAPE(hidden, wf_dim(x, 2)), bound);
    k->param[U] = wf_transpose(
        wf_cell_param(p, x, "weight_hh", suffix, WF_SHAPE(hidden, hidden), bound), 0, 1);
    if (!o->no_bias) {
        const wf_tensor b = wf_cell_param(p, x, "bias_ih", suffix, WF_SHAPE(hidden), bound);
        k->param[B] = wf_add(b, wf_cell_param(p, x, "bias_hh", suffix, WF_SHAPE(hidden), bound));
    }
    k->n_states = 1;
    k->state_shape[0] = WF_SHAPE(wf_dim(x, 1), hidden);
    k->state_name[0] = "h";
    k->prepare = prepare;
    k->step = step;
    return true;
}

wf_tensor wf_nn_rnn(wf_params *p, const char *name, wf_tensor x, wf_rnn_opt o) {
    if (!o.activation) o.activation = wf_tanh;
    wf_recurrent_opt s = o.sequence;
    if (o.h0.graph) s.first[0] = o.h0;
    if (o.h) s.last[0] = o.h;
    return wf_nn_recurrent(p, name, x, make, &o, s);
}
