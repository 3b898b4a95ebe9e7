/* The four language models; see model.h. */
#include "models/rnnlm/model.h"

#include <math.h>

const char *const rnnlm_kind_name[RNNLM_KINDS] = {"rnn", "lstm", "projected", "deep"};

/* --- Mikolov's network: x is U w(t) already, a row of U a word -------------------------------- */

static void step(const wf_cell *k, wf_tensor uw, wf_tensor *state) {
    state[0] = wf_sigmoid(wf_add(uw, wf_matmul(state[0], k->param[0])));
}

static bool make(wf_cell *k, wf_params *p, wf_tensor x, const char *suffix, const void *options) {
    const int64_t hidden = wf_dim(x, 2);
    k->param[0] = wf_cell_param(p, x, "W", suffix, WF_SHAPE(hidden, hidden),
                                1 / sqrt((double)hidden));
    k->n_states = 1;
    k->state_shape[0] = WF_SHAPE(wf_dim(x, 1), hidden);
    k->state_name[0] = "s";
    k->step = step;
    return true;
}

/* --- all of them ------------------------------------------------------------------------------ */

static wf_tensor recurrent(wf_params *p, wf_tensor w, const rnnlm *m, wf_recurrent_opt o) {
    wf_lstm_opt lstm = {.hidden = m->hidden, .sequence = o};
    if (m->kind == RNNLM_RNN) return wf_nn_recurrent(p, "rnn", w, make, NULL, o);
    if (m->kind == RNNLM_DEEP) lstm.sequence.layers = m->layers;
    if (m->kind == RNNLM_PROJECTED) {
        lstm.projection = m->projection;
        lstm.peephole = true;
    }
    return wf_nn_lstm(p, "lstm", w, lstm);
}

wf_tensor rnnlm_logits(wf_params *p, wf_tensor x, const rnnlm *m, const char *stream,
                       bool training) {
    const wf_dropout_opt drop = {.p = m->dropout, .training = training && m->dropout > 0};
    const int64_t size = m->kind == RNNLM_PROJECTED ? m->projection : m->hidden;
    wf_tensor w = wf_nn_embedding_of(p, "embedding", x, m->symbols, size, m->dtype);
    w = wf_nn_dropout(p, "dropout_in", w, drop);
    wf_tensor h = recurrent(p, w, m, (wf_recurrent_opt){
        .carry = true, .stream = stream, .dropout = m->dropout, .training = drop.training});
    h = wf_nn_dropout(p, "dropout_out", h, drop);
    return wf_nn_linear(p, "softmax", h, (wf_linear_opt){.out = m->symbols});
}

rnnlm_step rnnlm_train(wf_params *p, wf_tensor x, wf_tensor y, const rnnlm *m, double clip) {
    const wf_tensor loss = wf_nn_cross_entropy(rnnlm_logits(p, x, m, "", true), y);
    const wf_tensor cost = wf_mul_scalar(loss, (double)wf_dim(x, 0));
    return (rnnlm_step){
        .loss = wf_name(loss, "loss"),
        .norm = wf_name(wf_nn_sgd(p, cost, (wf_optimizer_opt){.clip_norm = clip}), "grad_norm")};
}
