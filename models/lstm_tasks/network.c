/* The networks; see network.h. */
#include "models/lstm_tasks/network.h"

#include <math.h>
#include <stdlib.h>

#include "models/moving_mnist/random.h"

const char *const cell_name[N_CELLS] = {
#define X(name, text) text,
    CELL_MAP(X)
#undef X
};

/* x (T, N, C) -> (T, N, H). */
static wf_tensor recurrent(wf_params *p, cell kind, int64_t hidden, wf_tensor x,
                           wf_recurrent_opt s) {
    const char *name = "cell";
    switch (kind) {
    case CELL_RNN: return wf_nn_rnn(p, name, x, (wf_rnn_opt){.hidden = hidden, .sequence = s});
    case CELL_GRU: return wf_nn_gru(p, name, x, (wf_gru_opt){.hidden = hidden, .sequence = s});
    default: break;
    }
    return wf_nn_lstm(p, name, x, (wf_lstm_opt){
        .hidden = hidden, .no_forget = kind == CELL_LSTM97,
        .projection = kind == CELL_LSTMP ? hidden / 2 : 0, .sequence = s});
}

/* Per row of x (N, H), keeping the axis. */
static const wf_reduce_opt of_row = {.n_axes = 1, .axes = {1}, .keepdims = true};

static wf_tensor held(wf_tensor x, bool is_held) { return is_held ? wf_stop_gradient(x) : x; }

/* Omega = sum over k of (||dE/dh_(k+1) dh_(k+1)/dh_k|| / ||dE/dh_(k+1)|| - 1)^2, mean over the
 * batch: the error should neither grow nor vanish on its way back. The steps of all k are one step
 * of the cell on a batch of (T - 1) N states, and the products with the Jacobians its vjp.
 *
 * As in the paper only the direct dependence on the weights counts: states and dE/dh are held,
 * unless o.full. The ratio does not depend on the length of dE/dh, so this is made 1 at its largest
 * component: its square would soon be below the least number. Steps behind the end of a sequence,
 * and those where dE/dh is 0, do not count. */
static wf_tensor regulariser(wf_params *p, wf_tensor loss, wf_tensor x, wf_tensor mask,
                             const wf_tensor *h, network_opt o) {
    const int64_t steps = wf_dim(x, 0), rows = (steps - 1) * o.batch;
    wf_tensor *d = calloc((size_t)steps, sizeof *d);
    if (!d || wf_grad(loss, h, (int)steps, d)) {
        free(d);
        return wf_graph_fail(x.graph, "regulariser: %s", wf_error());
    }
    const wf_shape flat = WF_SHAPE(rows, o.hidden);
    const wf_tensor before =
        held(wf_reshape(wf_stack(h, (int)steps - 1, 0), flat), !o.full);
    wf_tensor error = held(wf_reshape(wf_stack(d + 1, (int)steps - 1, 0), flat), !o.full);
    free(d);
    const wf_tensor now = wf_reshape(wf_slice(x, 0, 1, steps - 1, 1),
                                     WF_SHAPE(1, rows, wf_dim(x, 2)));
    const wf_tensor after = recurrent(p, o.cell, o.hidden, now,
                                      (wf_recurrent_opt){.first = {before}});

    const wf_tensor size = wf_stop_gradient(wf_max(wf_abs(error), of_row));
    const wf_tensor one = wf_ones_like(size);
    const wf_tensor inside = wf_reshape(wf_slice(mask, 0, 1, steps - 1, 1), WF_SHAPE(rows, 1));
    const wf_tensor none =
        wf_logical_not(wf_logical_and(inside, wf_greater(size, wf_zeros_like(size))));
    error = wf_div(error, wf_select(none, one, size));
    wf_tensor back;
    if (wf_vjp(wf_reshape(after, flat), error, &before, 1, &back))
        return wf_graph_fail(x.graph, "regulariser: %s", wf_error());
    const wf_tensor ratio = wf_sqrt(wf_div(
        wf_select(none, one, wf_add_scalar(wf_sum(wf_square(back), of_row), 1e-12)),
        wf_select(none, one, wf_sum(wf_square(error), of_row))));
    const wf_tensor apart = wf_square(wf_sub(ratio, one));
    return wf_mul_scalar(wf_sum(apart, (wf_reduce_opt){0}), 1 / (double)o.batch);
}

static wf_tensor optimize(wf_params *p, wf_tensor objective, network_opt o) {
    const wf_optimizer_opt how = {.lr = o.lr, .clip_norm = o.clip};
    return o.optimizer == OPTIMIZER_SGD ? wf_nn_sgd(p, objective, how)
                                        : wf_nn_adam(p, objective, how);
}

int network_build(wf_graph *g, wf_params *p, const task *k, int64_t steps, network_opt o,
                  bool train, wf_tensor outputs[NETWORK_OUTPUTS]) {
    const wf_tensor x = wf_input(g, "x", o.dtype, WF_SHAPE(steps, o.batch, k->inputs));
    const wf_tensor length = wf_input(g, "length", WF_I32, WF_SHAPE(o.batch));
    const wf_tensor target = k->target(g, steps, o.batch, o.dtype);
    wf_tensor last = {0}, *h = calloc((size_t)steps, sizeof *h);
    if (!h) wf_graph_fail(g, "no memory for %lld steps", (long long)steps);
    const wf_tensor mask = wf_nn_length_mask(length, steps);
    const wf_tensor all = recurrent(p, o.cell, o.hidden, x, (wf_recurrent_opt){
        .mask = mask, .last = {&last}, .each = {h}});
    const wf_tensor y = wf_nn_linear(p, "out", k->every_step ? all : last,
                                     (wf_linear_opt){.out = k->outputs});
    const wf_tensor loss = k->loss(y, target);
    int n = 0;
    outputs[n++] = wf_name(y, "y");
    outputs[n++] = wf_name(loss, "loss");
    if (train && o.omega > 0 && o.cell == CELL_RNN) {
        const wf_tensor omega = regulariser(p, loss, x, mask, h, o);
        const wf_tensor objective = wf_add(loss, wf_mul_scalar(omega, o.omega));
        outputs[n++] = wf_name(optimize(p, objective, o), "grad_norm");
        outputs[n++] = wf_name(omega, "omega");
    } else if (train) {
        outputs[n++] = wf_name(optimize(p, loss, o), "grad_norm");
    }
    free(h);
    return n;
}

/* --- first weights ---------------------------------------------------------------------------- */

static float normal(random_stream *r) {
    const double a = 1 - random_unit(r), b = random_unit(r);
    return (float)(sqrt(-2 * log(a)) * cos(6.283185307179586 * b));
}

static void set(const wf_param_info *w, int64_t i, double value) {
    if (w->dtype == WF_F64) ((double *)w->data)[i] = value;
    else ((float *)w->data)[i] = (float)value;
}

void network_start(wf_params *p, network_opt o, int64_t lag, uint64_t seed) {
    random_stream r = random_open(seed, UINT64_MAX);
    wf_param_info w, b, d;
    if (!wf_params_find(p, "cell.weight_hh_l0", &w) || !wf_params_find(p, "cell.bias_ih_l0", &b) ||
        !wf_params_find(p, "cell.bias_hh_l0", &d)) return;
    for (int64_t i = 0; i < wf_shape_count(&w.shape) && o.cell == CELL_RNN; i++)
        set(&w, i, 0.1 * normal(&r));
    for (int64_t i = 0; i < o.hidden; i++) {
        const double remember = log(random_between(&r, 1, (double)(lag > 3 ? lag : 3) - 1));
        const bool is_gated = o.cell == CELL_LSTM || o.cell == CELL_LSTMP;
        if (is_gated) set(&b, i, -remember);
        if (is_gated || o.cell == CELL_GRU) set(&b, o.hidden + i, remember);
        if (is_gated) set(&d, i, 0);
        if (is_gated || o.cell == CELL_GRU) set(&d, o.hidden + i, 0);
    }
}
