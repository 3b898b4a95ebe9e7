/* ConvLSTM (Shi et al., arXiv:1506.04214), gates and biases as in the Moving MNIST notebook:
 *
 *   i = s(Wxi*x + bxi + Whi*h + bhi)      f, o likewise      g = act(Wxg*x + bxg + Whg*h + bhg)
 *   c = f c + i g                          h = o act(c)
 *
 * The four gates lie packed along axis 0 of the parameters, in the order i f g o, so that a step is
 * two convolutions; files hold the notebook's eight. No convolution of h is written where h is
 * known to be zero, that is at the first step without h0, and none of x where x has no channels. */
#include "nn/params.h"

enum { WX, WH, BX, BH, PEEP }; /* PEEP, PEEP + 1, PEEP + 2 for i, f, o */

/* PyTorch's rule for biases needs the fan of their weights. */
static wf_init with_fan(wf_init init, int64_t fan_in) {
    if (init.kind == WF_INIT_DEFAULT && init.fan_in == 0) init.fan_in = fan_in;
    return init;
}

static void make_parameters(wf_cell *k, wf_params *p, wf_tensor x) {
    static const char *const wx[] = {"conv_ii.weight", "conv_if.weight", "conv_ig.weight",
                                     "conv_io.weight"};
    static const char *const bx[] = {"conv_ii.bias", "conv_if.bias", "conv_ig.bias",
                                     "conv_io.bias"};
    static const char *const wh[] = {"conv_hi.weight", "conv_hf.weight", "conv_hg.weight",
                                     "conv_ho.weight"};
    static const char *const bh[] = {"conv_hi.bias", "conv_hf.bias", "conv_hg.bias",
                                     "conv_ho.bias"};
    static const char *const peephole[] = {"Wci", "Wcf", "Wco"};
    const wf_convlstm_opt *o = k->options;
    const int64_t hidden = o->hidden, n = o->kernel, in = wf_dim(x, -1);
    const int64_t m = o->kernel_x ? o->kernel_x : n, fan_x = m * m * in, fan_h = n * n * hidden;
    const wf_shape bias = WF_SHAPE(4 * hidden);
    const wf_init init_bx = with_fan(o->init_bias, fan_x), init_bh = with_fan(o->init_bias, fan_h);
    if (in > 0) {
        k->param[WX] = wf_gates_param(p, x, "weight_x", WF_SHAPE(4 * hidden, m, m, in), 4, wx,
                                      with_fan(o->init_x, fan_x), o->init_whole);
        k->param[BX] = wf_gates_param(p, x, "bias_x", bias, 4, bx, init_bx, o->init_whole);
    }
    k->param[WH] = wf_gates_param(p, x, "weight_h", WF_SHAPE(4 * hidden, n, n, hidden), 4, wh,
                                  with_fan(o->init_h, fan_h), o->init_whole);
    if (in == 0 || !o->one_bias)
        k->param[BH] = wf_gates_param(p, x, "bias_h", bias, 4, bh, init_bh, o->init_whole);
    if (!o->peephole) return;
    const wf_shape maps = o->peephole_shared ? WF_SHAPE(3, 1, 1, hidden)
                                             : WF_SHAPE(3, wf_dim(x, 2), wf_dim(x, 3), hidden);
    wf_tensor all = wf_param(x.graph, p, "weight_c", maps, (wf_init){.kind = WF_INIT_CONSTANT},
                             (wf_param_opt){.dtype = wf_dtype_of(x),
                                            .conv_layout = true,
                                            .n_parts = 3,
                                            .part = peephole});
    for (int i = 0; i < 3; i++) k->param[PEEP + i] = wf_index(all, 0, i);
}

/* Zero padded, so that the size is kept. */
static wf_tensor conv(wf_tensor x, wf_tensor w) {
    const int32_t half = (int32_t)wf_dim(w, 1) / 2;
    return wf_conv(x, w, (wf_conv_opt){.pad = {half, half}});
}

/* a + b, where a zero handle means zeros. */
static wf_tensor add(wf_tensor a, wf_tensor b) {
    return !a.graph ? b : !b.graph ? a : wf_add(a, b);
}

/* The gates before their activations. x without channels and h as a zero handle mean zeros. */
static void gates(const wf_cell *k, wf_tensor x, wf_tensor h, wf_tensor z[4]) {
    wf_tensor sum = {0};
    if (k->param[WX].graph) sum = conv(x, k->param[WX]);
    sum = add(sum, add(k->param[BX], k->param[BH]));
    if (h.graph) sum = wf_add(sum, conv(h, k->param[WH]));
    wf_split(sum, 4, -1, z);
}

/* The same, written as the notebook does: one convolution a gate and source. */
static void gates_separate(const wf_cell *k, wf_tensor x, wf_tensor h, wf_tensor z[4]) {
    wf_tensor part[4][4] = {{{0}}};
    for (int i = WX; i <= BH; i++)
        if (k->param[i].graph) wf_split(k->param[i], 4, 0, part[i]);
    for (int i = 0; i < 4; i++) {
        z[i] = (wf_tensor){0};
        if (part[WX][i].graph) z[i] = conv(x, part[WX][i]);
        z[i] = add(z[i], add(part[BX][i], part[BH][i]));
        if (h.graph) z[i] = wf_add(z[i], conv(h, part[WH][i]));
    }
}

static void step(const wf_cell *k, wf_tensor x, wf_tensor *state) {
    const wf_convlstm_opt *o = k->options;
    wf_tensor z[4], *h = &state[0], *c = &state[1];
    if (o->separate) gates_separate(k, x, *h, z);
    else gates(k, x, *h, z);
    if (o->forget_bias != 0) z[1] = wf_add_scalar(z[1], o->forget_bias);
    if (o->peephole && c->graph) {
        z[0] = wf_add(z[0], wf_mul(k->param[PEEP], *c));
        z[1] = wf_add(z[1], wf_mul(k->param[PEEP + 1], *c));
    }
    const wf_tensor i = o->gate(z[0]), f = o->gate(z[1]), g = o->activation(z[2]);
    const wf_tensor ig = wf_mul(i, g);
    *c = c->graph ? wf_add(wf_mul(f, *c), ig) : ig;
    if (o->peephole) z[3] = wf_add(z[3], wf_mul(k->param[PEEP + 2], *c));
    const wf_tensor out = o->gate(z[3]);
    *h = wf_mul(out, o->activation(*c));
}

static bool make(wf_cell *k, wf_params *p, wf_tensor x, const char *suffix, const void *options) {
    const wf_convlstm_opt *o = options;
    const int32_t odd = o->kernel_x && o->kernel % 2 ? o->kernel_x : o->kernel; /* the worse one */
    if (!wf_conv_cell_enter(p, x, "convlstm", o->hidden, odd, &o->sequence, suffix)) return false;
    make_parameters(k, p, x);
    wf_conv_cell_leave(p);
    k->n_states = 2;
    for (int i = 0; i < 2; i++)
        k->state_shape[i] = WF_SHAPE(wf_dim(x, 1), wf_dim(x, 2), wf_dim(x, 3), o->hidden);
    k->state_name[0] = "h";
    k->state_name[1] = "c";
    k->step = step;
    return true;
}

wf_tensor wf_nn_convlstm(wf_params *p, const char *name, wf_tensor x, wf_convlstm_opt o) {
    if (!o.activation) o.activation = wf_tanh;
    if (!o.gate) o.gate = wf_sigmoid;
    wf_recurrent_opt s = o.sequence;
    if (o.h0.graph) s.first[0] = o.h0;
    if (o.c0.graph) s.first[1] = o.c0;
    if (o.h) s.last[0] = o.h;
    if (o.c) s.last[1] = o.c;
    return wf_nn_recurrent(p, name, x, make, &o, s);
}
