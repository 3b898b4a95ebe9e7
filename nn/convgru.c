/* Convolutional GRU (Ballas et al., arXiv:1511.06432), * being convolution that keeps the size:
 *
 *   r, z = sigmoid(Wx*x + bx + Wh*h + bh)    n = act(Wx*x + bx + Wh*(r h) + bh)
 *   h = (1 - z) n + z h
 *
 * The reset gate acts before the convolution here, unlike in torch.nn.GRU; the paper's z is 1 - z.
 * Gates r, z, n lie packed along axis 0 of the parameters. */
#include "nn/params.h"

enum { WX, WH, WN, BX, BH, BN }; /* WH, BH of r and z, WN, BN of n */

static wf_tensor conv(const wf_cell *k, wf_tensor x, wf_tensor w) {
    const int32_t half = ((const wf_convgru_opt *)k->options)->kernel / 2;
    return wf_conv(x, w, (wf_conv_opt){.pad = {half, half}});
}

static void step(const wf_cell *k, wf_tensor x, wf_tensor *state) {
    const wf_convgru_opt *o = k->options;
    const int64_t hidden = o->hidden;
    const wf_tensor h = state[0];
    const wf_tensor zx = wf_add(conv(k, x, k->param[WX]), k->param[BX]);
    wf_tensor gates = wf_add(wf_slice(zx, -1, 0, 2 * hidden, 1), k->param[BH]);
    wf_tensor n = wf_add(wf_slice(zx, -1, 2 * hidden, hidden, 1), k->param[BN]);
    if (h.graph) gates = wf_add(gates, conv(k, h, k->param[WH]));
    wf_tensor rz[2];
    wf_split(wf_sigmoid(gates), 2, -1, rz);
    if (h.graph) n = wf_add(n, conv(k, wf_mul(rz[0], h), k->param[WN]));
    n = o->activation(n);
    state[0] = wf_add(n, wf_mul(rz[1], h.graph ? wf_sub(h, n) : wf_neg(n)));
}

static void make_parameters(wf_cell *k, wf_params *p, wf_tensor x) {
    static const char *const wx[] = {"conv_ir.weight", "conv_iz.weight", "conv_in.weight"};
    static const char *const bx[] = {"conv_ir.bias", "conv_iz.bias", "conv_in.bias"};
    static const char *const wh[] = {"conv_hr.weight", "conv_hz.weight", "conv_hn.weight"};
    static const char *const bh[] = {"conv_hr.bias", "conv_hz.bias", "conv_hn.bias"};
    const wf_convgru_opt *o = k->options;
    const int64_t hidden = o->hidden, n = o->kernel, in = wf_dim(x, -1);
    const wf_init fan_x = {.fan_in = n * n * in}, fan_h = {.fan_in = n * n * hidden};
    const wf_shape bias = WF_SHAPE(3 * hidden);
    k->param[WX] = wf_gates_param(p, x, "weight_x", WF_SHAPE(3 * hidden, n, n, in), 3, wx, fan_x,
                                  false);
    k->param[BX] = wf_gates_param(p, x, "bias_x", bias, 3, bx, fan_x, false);
    const wf_tensor w = wf_gates_param(p, x, "weight_h", WF_SHAPE(3 * hidden, n, n, hidden), 3, wh,
                                       fan_h, false);
    const wf_tensor b = wf_gates_param(p, x, "bias_h", bias, 3, bh, fan_h, false);
    k->param[WH] = wf_slice(w, 0, 0, 2 * hidden, 1);
    k->param[WN] = wf_slice(w, 0, 2 * hidden, hidden, 1);
    k->param[BH] = wf_slice(b, 0, 0, 2 * hidden, 1);
    k->param[BN] = wf_slice(b, 0, 2 * hidden, hidden, 1);
}

static bool make(wf_cell *k, wf_params *p, wf_tensor x, const char *suffix, const void *options) {
    const wf_convgru_opt *o = options;
    if (!wf_conv_cell_enter(p, x, "convgru", o->hidden, o->kernel, &o->sequence, suffix))
        return false;
    make_parameters(k, p, x);
    wf_conv_cell_leave(p);
    k->n_states = 1;
    k->state_shape[0] = WF_SHAPE(wf_dim(x, 1), wf_dim(x, 2), wf_dim(x, 3), o->hidden);
    k->state_name[0] = "h";
    k->step = step;
    return true;
}

wf_tensor wf_nn_convgru(wf_params *p, const char *name, wf_tensor x, wf_convgru_opt o) {
    if (!o.activation) o.activation = wf_tanh;
    wf_recurrent_opt s = o.sequence;
    if (o.h0.graph) s.first[0] = o.h0;
    if (o.h) s.last[0] = o.h;
    return wf_nn_recurrent(p, name, x, make, &o, s);
}
