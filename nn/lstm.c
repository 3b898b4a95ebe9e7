/* LSTM over a sequence, as torch.nn.LSTM with one layer (Hochreiter and Schmidhuber 1997, with the
 * forget gate of Gers et al. 2000):
 *
 *   i, f, o = sigmoid(W x + b + U h + d), g = tanh(..)      c = f c + i g      h = o tanh(c)
 *
 * The products with x are one matmul over all steps. */
#include <math.h>
#include <stdlib.h>

#include "nn/params.h"

typedef struct lstm_weights {
    wf_tensor w, u, b, d; /* (4 H, C), (4 H, H), (4 H), (4 H); gates i f g o along axis 0 */
} lstm_weights;

static lstm_weights make_weights(wf_params *p, wf_tensor x, int64_t hidden) {
    wf_graph *g = x.graph;
    const wf_init init = {WF_INIT_UNIFORM, 1 / sqrt((double)hidden), 0};
    const wf_param_opt o = {.dtype = wf_dtype_of(x)};
    return (lstm_weights){
        .w = wf_param(g, p, "weight_ih_l0", WF_SHAPE(4 * hidden, wf_dim(x, 2)), init, o),
        .u = wf_param(g, p, "weight_hh_l0", WF_SHAPE(4 * hidden, hidden), init, o),
        .b = wf_param(g, p, "bias_ih_l0", WF_SHAPE(4 * hidden), init, o),
        .d = wf_param(g, p, "bias_hh_l0", WF_SHAPE(4 * hidden), init, o),
    };
}

/* One step from zx (N, 4 H); h and c may be zero handles, which mean zeros. */
static void step(wf_tensor zx, wf_tensor u, wf_tensor *h, wf_tensor *c) {
    wf_tensor z[4];
    wf_split(h->graph ? wf_add(zx, wf_matmul(*h, u)) : zx, 4, -1, z);
    const wf_tensor ig = wf_mul(wf_sigmoid(z[0]), wf_tanh(z[2]));
    *c = c->graph ? wf_add(wf_mul(wf_sigmoid(z[1]), *c), ig) : ig;
    *h = wf_mul(wf_sigmoid(z[3]), wf_tanh(*c));
}

static wf_tensor lstm(wf_params *p, wf_tensor x, const wf_lstm_opt *o) {
    wf_graph *g = x.graph;
    const int64_t steps = wf_dim(x, 0), n = wf_dim(x, 1), in = wf_dim(x, 2);
    if (wf_rank(x) != 3 || steps < 1 || !wf_dtype_is_real(wf_dtype_of(x)))
        return wf_layer_refuse(x, "real (T, N, C) with T >= 1");
    if (o->hidden < 1 || o->hidden > INT32_MAX)
        return wf_graph_fail(g, "lstm: hidden is %lld; set it", (long long)o->hidden);
    const lstm_weights k = make_weights(p, x, o->hidden);
    wf_tensor flat = wf_reshape(x, WF_SHAPE(steps * n, in));
    wf_tensor zx = wf_add(wf_matmul(flat, wf_transpose(k.w, 0, 1)), wf_add(k.b, k.d));
    zx = wf_reshape(zx, WF_SHAPE(steps, n, 4 * o->hidden));
    wf_tensor *out = calloc((size_t)steps, sizeof *out);
    if (!out) return wf_graph_fail(g, "lstm: out of memory for %lld steps", (long long)steps);
    const wf_tensor u = wf_transpose(k.u, 0, 1);
    wf_tensor h = o->h0, c = o->c0;
    for (int64_t t = 0; t < steps; t++) {
        wf_scope_push(g, "t%d", (int)t);
        step(wf_index(zx, 0, t), u, &h, &c);
        wf_scope_pop(g);
        out[t] = h;
    }
    const wf_tensor y = wf_stack(out, (int)steps, 0);
    free(out);
    if (o->h) *o->h = h;
    if (o->c) *o->c = c;
    return y;
}

wf_tensor wf_nn_lstm(wf_params *p, const char *name, wf_tensor x, wf_lstm_opt o) {
    if (o.h) *o.h = wf_poison(x);
    if (o.c) *o.c = wf_poison(x);
    if (!wf_layer_enter(p, name, x)) return wf_poison(x);
    return wf_layer_leave(p, x, lstm(p, x, &o));
}
