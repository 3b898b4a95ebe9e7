/* ConvLSTM (Shi et al., arXiv:1506.04214), gates and biases as in the Moving MNIST notebook:
 *
 *   i = s(Wxi*x + bxi + Whi*h + bhi)      f, o likewise      g = act(Wxg*x + bxg + Whg*h + bhg)
 *   c = f c + i g                          h = o act(c)
 *
 * The four gates lie packed along axis 0 of the parameters, in the order i f g o, so that a step is
 * two convolutions; files hold the notebook's eight. No convolution of h is written where h is
 * known to be zero, that is at the first step without h0. */
#include <stdlib.h>

#include "nn/params.h"

typedef struct cell {
    wf_convlstm_opt o;
    wf_tensor wx, wh, bx, bh; /* (4 H, K, K, C), (4 H, K, K, H), (4 H), (4 H) */
    wf_tensor peep[3];        /* (H, W, hidden) for i, f, o; zero handles without peepholes */
    wf_conv_opt conv;
} cell;

/* Parameter NAME with gates i, f, g, o as parts "conv_ii.weight", ..., as the notebook has them. */
static wf_tensor gates_param(wf_params *p, wf_tensor x, const char *name, wf_shape shape,
                             const char *const part[4], int64_t fan_in) {
    return wf_param(x.graph, p, name, shape, (wf_init){.fan_in = fan_in},
                    (wf_param_opt){.dtype = wf_dtype_of(x),
                                   .conv_layout = shape.rank > 1,
                                   .n_parts = 4,
                                   .part = part});
}

static void make_parameters(cell *k, wf_params *p, wf_tensor x) {
    static const char *const wx[] = {"conv_ii.weight", "conv_if.weight", "conv_ig.weight",
                                     "conv_io.weight"};
    static const char *const bx[] = {"conv_ii.bias", "conv_if.bias", "conv_ig.bias",
                                     "conv_io.bias"};
    static const char *const wh[] = {"conv_hi.weight", "conv_hf.weight", "conv_hg.weight",
                                     "conv_ho.weight"};
    static const char *const bh[] = {"conv_hi.bias", "conv_hf.bias", "conv_hg.bias",
                                     "conv_ho.bias"};
    static const char *const peephole[] = {"Wci", "Wcf", "Wco"};
    const int64_t hidden = k->o.hidden, n = k->o.kernel, in = wf_dim(x, -1);
    const int64_t fan_x = n * n * in, fan_h = n * n * hidden;
    k->wx = gates_param(p, x, "weight_x", WF_SHAPE(4 * hidden, n, n, in), wx, fan_x);
    k->bx = gates_param(p, x, "bias_x", WF_SHAPE(4 * hidden), bx, fan_x);
    k->wh = gates_param(p, x, "weight_h", WF_SHAPE(4 * hidden, n, n, hidden), wh, fan_h);
    k->bh = gates_param(p, x, "bias_h", WF_SHAPE(4 * hidden), bh, fan_h);
    if (!k->o.peephole) return;
    const wf_shape maps = WF_SHAPE(3, wf_dim(x, 2), wf_dim(x, 3), hidden);
    wf_tensor all = wf_param(x.graph, p, "weight_c", maps, (wf_init){.kind = WF_INIT_CONSTANT},
                             (wf_param_opt){.dtype = wf_dtype_of(x),
                                            .conv_layout = true,
                                            .n_parts = 3,
                                            .part = peephole});
    for (int i = 0; i < 3; i++) k->peep[i] = wf_index(all, 0, i);
}

/* The gates before their activations; h may be a zero handle, which means zeros. */
static void gates(const cell *k, wf_tensor x, wf_tensor h, wf_tensor z[4]) {
    wf_tensor sum = wf_add(wf_conv(x, k->wx, k->conv), wf_add(k->bx, k->bh));
    if (h.graph) sum = wf_add(sum, wf_conv(h, k->wh, k->conv));
    wf_split(sum, 4, -1, z);
}

/* The same, written as the notebook does: one convolution a gate and source. */
static void gates_separate(const cell *k, wf_tensor x, wf_tensor h, wf_tensor z[4]) {
    wf_tensor wx[4], wh[4], bx[4], bh[4];
    wf_split(k->wx, 4, 0, wx);
    wf_split(k->wh, 4, 0, wh);
    wf_split(k->bx, 4, 0, bx);
    wf_split(k->bh, 4, 0, bh);
    for (int i = 0; i < 4; i++) {
        z[i] = wf_add(wf_conv(x, wx[i], k->conv), wf_add(bx[i], bh[i]));
        if (h.graph) z[i] = wf_add(z[i], wf_conv(h, wh[i], k->conv));
    }
}

static void step(const cell *k, wf_tensor x, wf_tensor *h, wf_tensor *c) {
    wf_tensor z[4];
    if (k->o.separate) gates_separate(k, x, *h, z);
    else gates(k, x, *h, z);
    if (k->o.peephole && c->graph) {
        z[0] = wf_add(z[0], wf_mul(k->peep[0], *c));
        z[1] = wf_add(z[1], wf_mul(k->peep[1], *c));
    }
    const wf_tensor i = k->o.gate(z[0]), f = k->o.gate(z[1]), g = k->o.activation(z[2]);
    const wf_tensor ig = wf_mul(i, g);
    *c = c->graph ? wf_add(wf_mul(f, *c), ig) : ig;
    if (k->o.peephole) z[3] = wf_add(z[3], wf_mul(k->peep[2], *c));
    const wf_tensor out = k->o.gate(z[3]);
    *h = wf_mul(out, k->o.activation(*c));
}

static bool check(wf_tensor x, const wf_convlstm_opt *o) {
    if (wf_rank(x) != 5 || wf_dim(x, 0) < 1 || wf_dim(x, 0) > INT32_MAX ||
        !wf_dtype_is_real(wf_dtype_of(x))) {
        wf_layer_refuse(x, "real (T, N, H, W, C) with T >= 1");
        return false;
    }
    if (o->hidden < 1 || o->hidden > INT32_MAX || o->kernel < 1 || o->kernel % 2 == 0) {
        wf_graph_fail(x.graph, "convlstm: hidden %lld must be positive and kernel %d odd, as the "
                               "state keeps its size",
                      (long long)o->hidden, o->kernel);
        return false;
    }
    const wf_shape want = WF_SHAPE(wf_dim(x, 1), wf_dim(x, 2), wf_dim(x, 3), o->hidden);
    const wf_tensor state[2] = {o->h0, o->c0};
    for (int i = 0; i < 2; i++) {
        const wf_shape have = wf_shape_of_tensor(state[i]);
        char a[128], b[128];
        if (!wf_ok(state[i]) || wf_shape_equal(&have, &want)) continue;
        wf_graph_fail(x.graph, "convlstm: %s is %s, expected (N, H, W, hidden) = %s",
                      i ? "c0" : "h0", wf_shape_text(&have, a, sizeof a),
                      wf_shape_text(&want, b, sizeof b));
        return false;
    }
    return true;
}

static wf_tensor convlstm(wf_params *p, wf_tensor x, const wf_convlstm_opt *o) {
    if (!check(x, o)) return wf_poison(x);
    const int32_t half = o->kernel / 2;
    cell k = {.o = *o, .conv = {.pad = {half, half}}};
    if (!k.o.activation) k.o.activation = wf_tanh;
    if (!k.o.gate) k.o.gate = wf_sigmoid;
    make_parameters(&k, p, x);
    const int steps = (int)wf_dim(x, 0);
    wf_tensor *out = calloc((size_t)steps, sizeof *out);
    if (!out) return wf_graph_fail(x.graph, "convlstm: out of memory for %d steps", steps);
    wf_tensor h = o->h0, c = o->c0;
    for (int t = 0; t < steps; t++) {
        wf_scope_push(x.graph, "t%d", t);
        step(&k, wf_index(x, 0, t), &h, &c);
        wf_scope_pop(x.graph);
        out[t] = h;
    }
    const wf_tensor y = wf_stack(out, steps, 0);
    free(out);
    if (o->h) *o->h = h;
    if (o->c) *o->c = c;
    return y;
}

wf_tensor wf_nn_convlstm(wf_params *p, const char *name, wf_tensor x, wf_convlstm_opt o) {
    if (o.h) *o.h = wf_poison(x);
    if (o.c) *o.c = wf_poison(x);
    if (!wf_layer_enter(p, name, x)) return wf_poison(x);
    return wf_layer_leave(p, x, convlstm(p, x, &o));
}
