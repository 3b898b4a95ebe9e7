/* LSTM over a sequence, as torch.nn.LSTM (Hochreiter and Schmidhuber 1997, with the forget gate of
 * Gers et al. 2000):
 *
 *   i, f, o = sigmoid(W x + b + U h + d), g = tanh(..)      c = f c + i g      h = o tanh(c)
 *
 * and its variants: projected (Sak et al. 2014), with diagonal peepholes (Gers et al. 2002),
 * without forget gate (1997). The products with x are one matmul over all steps. */
#include <math.h>

#include "nn/params.h"

enum { W, B, U, R, PEEP }; /* parameters of the cell; PEEP, PEEP + 1, PEEP + 2 for i, f, o */

static wf_tensor prepare(const wf_cell *k, wf_tensor x) {
    return wf_sequence_product(x, k->param[W], k->param[B]);
}

static wf_tensor peep(const wf_cell *k, int gate, wf_tensor z, wf_tensor c) {
    return k->param[PEEP].graph && c.graph ? wf_add(z, wf_mul(k->param[PEEP + gate], c)) : z;
}

/* zx (N, gates H). */
static void step(const wf_cell *k, wf_tensor zx, wf_tensor *state) {
    const wf_lstm_opt *o = k->options;
    const wf_tensor h = state[0], c = state[1];
    wf_tensor z[4];
    wf_split(h.graph ? wf_add(zx, wf_matmul(h, k->param[U])) : zx, o->no_forget ? 3 : 4, -1, z);
    const int g = o->no_forget ? 1 : 2;
    const wf_tensor ig = wf_mul(o->gate(peep(k, 0, z[0], c)), o->activation(z[g]));
    if (!c.graph) state[1] = ig;
    else if (o->no_forget) state[1] = wf_add(c, ig);
    else state[1] = wf_add(wf_mul(o->gate(peep(k, 1, z[1], c)), c), ig);
    const wf_tensor out = o->gate(peep(k, 2, z[g + 1], state[1]));
    state[0] = wf_mul(out, o->activation(state[1]));
    if (o->projection > 0) state[0] = wf_matmul(state[0], k->param[R]);
}

static bool make(wf_cell *k, wf_params *p, wf_tensor x, const char *suffix, const void *options) {
    const wf_lstm_opt *o = options;
    const int64_t n = wf_dim(x, 1), hidden = o->hidden;
    const int64_t gates = o->no_forget ? 3 : 4, out = o->projection > 0 ? o->projection : hidden;
    if (wf_rank(x) != 3) {
        wf_layer_refuse(x, "real (T, N, C) with T >= 1");
        return false;
    }
    if (hidden < 1 || hidden > INT32_MAX || o->projection < 0 || o->projection > INT32_MAX) {
        wf_graph_fail(x.graph, "lstm: hidden is %lld and projection %lld; set hidden",
                      (long long)hidden, (long long)o->projection);
        return false;
    }
    const double bound = 1 / sqrt((double)hidden);
    const wf_shape bias = WF_SHAPE(gates * hidden);
    k->param[W] = wf_cell_param(p, x, "weight_ih", suffix,
                                WF_SHAPE(gates * hidden, wf_dim(x, 2)), bound);
    k->param[U] = wf_transpose(wf_cell_param(p, x, "weight_hh", suffix,
                                             WF_SHAPE(gates * hidden, out), bound), 0, 1);
    if (!o->no_bias) {
        const wf_tensor b = wf_cell_param(p, x, "bias_ih", suffix, bias, bound);
        k->param[B] = wf_add(b, wf_cell_param(p, x, "bias_hh", suffix, bias, bound));
    }
    if (o->projection > 0)
        k->param[R] = wf_transpose(
            wf_cell_param(p, x, "weight_hr", suffix, WF_SHAPE(out, hidden), bound), 0, 1);
    if (o->peephole) {
        const wf_tensor all = wf_cell_param(p, x, "weight_c", suffix, WF_SHAPE(3, hidden), bound);
        for (int i = 0; i < 3; i++) k->param[PEEP + i] = wf_index(all, 0, i);
    }
    k->n_states = 2;
    k->state_shape[0] = WF_SHAPE(n, out);
    k->state_shape[1] = WF_SHAPE(n, hidden);
    k->state_name[0] = "h";
    k->state_name[1] = "c";
    k->prepare = prepare;
    k->step = step;
    return true;
}

wf_tensor wf_nn_lstm(wf_params *p, const char *name, wf_tensor x, wf_lstm_opt o) {
    if (!o.activation) o.activation = wf_tanh;
    if (!o.gate) o.gate = wf_sigmoid;
    wf_recurrent_opt s = o.sequence;
    if (o.h0.graph) s.first[0] = o.h0;
    if (o.c0.graph) s.first[1] = o.c0;
    if (o.h) s.last[0] = o.h;
    if (o.c) s.last[1] = o.c;
    return wf_nn_recurrent(p, name, x, make, &o, s);
}
