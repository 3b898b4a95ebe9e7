/* Recurrent layers: cells, and the one mechanism that runs any cell over a sequence - in layers, in
 * both directions, over sequences of different length, with the state carried from run to run.
 * Part of nn/nn.h. */
#ifndef WEFT_NN_RECURRENT_H
#define WEFT_NN_RECURRENT_H

#include "nn/nn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- any cell (nn/recurrent.c) ------------------------------------------------------------------
 * A cell is one step of a network with state: its parameters, the shapes of its states and
 *   prepare  x of all steps (T, N, ..) -> what the steps read (T, N, ..), for work that needs no
 *            state, as the product with x; NULL: x itself
 *   step     x of one step (N, ..); state[i] of shape state_shape[i] is replaced by the next one; a
 *            zero handle in state means zeros (no h0 at the first step). state[0] is the output.
 * A wf_cell_make fills a cell for input x (T, N, ..), false after a message. suffix is "_l0",
 * "_l0_reverse", "_l1", .. as in PyTorch's names; parameters whose names end in it are distinct. */
enum { WF_CELL_STATES = 4, WF_CELL_PARAMS = 12 };
typedef struct wf_cell wf_cell;
struct wf_cell {
    int n_states;
    wf_shape state_shape[WF_CELL_STATES]; /* (N, ..) */
    const char *state_name[WF_CELL_STATES];
    wf_tensor (*prepare)(const wf_cell *k, wf_tensor x);
    void (*step)(const wf_cell *k, wf_tensor x, wf_tensor *state);
    wf_tensor param[WF_CELL_PARAMS]; /* the cell's own, as are the options */
    const void *options;
};
typedef bool wf_cell_make(wf_cell *k, wf_params *p, wf_tensor x, const char *suffix,
                          const void *options);

/* Parameter STEM SUFFIX of the dtype of x, from U(-bound, bound), as PyTorch fills recurrent
 * layers. */
WF_API wf_tensor wf_cell_param(wf_params *p, wf_tensor x, const char *stem, const char *suffix,
                               wf_shape shape, double bound);

/* How a cell runs over x (T, N, ..). Zeros: one layer, forwards, from zero states.
 *   layers         each reads the output of the one before
 *   bidirectional  a second cell per layer runs from the last step to the first; outputs are
 *                  concatenated along the last axis (Schuster and Paliwal 1997)
 *   mask           bool (T, N), true where a sequence has a step (wf_nn_length_mask): elsewhere the
 *                  state is carried through and the output is 0. What x holds there must be finite
 *   dropout        between layers, in training
 *   first, last    initial and final states, by number of the state: (N, ..), or (layers x
 *                  directions, N, ..) if there are several, layer by layer, forwards first
 *   each           (T) places for the states after every step (those after step t at t), of the
 *                  last layer, forwards; gradients with respect to them are total derivatives
 *   carry          truncated back-propagation through time: states start where the run before left
 *                  them, and no gradient flows there (Williams and Peng 1990). They are buffers
 *                  NAME.carry_l0.h, .. of p, zero at first, not in files; wf_params_fill resets
 *   stream         of carried states: "test" has its own ones, NAME.carry_test_l0.h, so that a
 *                  program that evaluates, with another N, leaves those of the training alone */
typedef struct wf_recurrent_opt {
    int layers;
    bool bidirectional, reverse, training, carry;
    const char *stream; /* NULL: "" */
    double dropout;
    wf_tensor mask;
    wf_tensor first[WF_CELL_STATES];
    wf_tensor *last[WF_CELL_STATES];
    wf_tensor *each[WF_CELL_STATES];
} wf_recurrent_opt;

/* -> (T, N, .., directions x C): the outputs of the last layer at each step. */
WF_API wf_tensor wf_nn_recurrent(wf_params *p, const char *name, wf_tensor x, wf_cell_make *make,
                                 const void *options, wf_recurrent_opt o);

/* bool (steps, N): true at [t, n] where t < length[n]; length i32 or i64 (N). */
WF_API wf_tensor wf_nn_length_mask(wf_tensor length, int64_t steps);

/* --- cells over vectors: x (T, N, C) -> (T, N, directions x hidden) -----------------------------
 * Parameters are PyTorch's, with its layouts: weight_ih_l0 (gates x hidden, C), weight_hh_l0,
 * bias_ih_l0, bias_hh_l0, then .._l0_reverse, .._l1: all from U(-1/sqrt(hidden), 1/sqrt(hidden)).
 * h0, c0 and h, c are short for sequence.first and sequence.last. */

/* h = tanh(W x + b + U h + d): Elman 1990, torch.nn.RNN. activation NULL: tanh. */
typedef struct wf_rnn_opt {
    int64_t hidden;
    wf_activation *activation;
    bool no_bias;
    wf_tensor h0, *h;
    wf_recurrent_opt sequence;
} wf_rnn_opt;
WF_API wf_tensor wf_nn_rnn(wf_params *p, const char *name, wf_tensor x, wf_rnn_opt o);

/* r, z = sigmoid(W x + b + U h + d);  n = tanh(W x + b + r (U h + d));  h = (1 - z) n + z h
 * Cho et al., arXiv:1406.1078, with the reset after the product as in torch.nn.GRU; gates r, z, n
 * along axis 0. */
typedef struct wf_gru_opt {
    int64_t hidden;
    bool no_bias;
    wf_tensor h0, *h;
    wf_recurrent_opt sequence;
} wf_gru_opt;
WF_API wf_tensor wf_nn_gru(wf_params *p, const char *name, wf_tensor x, wf_gru_opt o);

/* i, f, o = gate(W x + b + U h + d), g = act(..);  c = f c + i g;  h = o act(c): torch.nn.LSTM.
 * Gates i, f, g, o along axis 0.
 *   projection  h = weight_hr (o act(c)), weight_hr_l0 (projection, hidden), which U reads: Sak et
 *               al., arXiv:1402.1128; PyTorch's proj_size
 *   peephole    i and f see p c_(t-1), o sees p c_t, elementwise: Gers et al., JMLR 2002;
 *               weight_c_l0 (3, hidden)
 *   no_forget   f = 1: Hochreiter and Schmidhuber 1997; gates i, g, o, so (3 hidden, ..)
 *   activation, gate  NULL: tanh, sigmoid */
typedef struct wf_lstm_opt {
    int64_t hidden;
    wf_tensor h0, c0;
    wf_tensor *h, *c;
    int64_t projection;
    bool peephole, no_forget, no_bias;
    wf_activation *activation, *gate;
    wf_recurrent_opt sequence;
} wf_lstm_opt;
WF_API wf_tensor wf_nn_lstm(wf_params *p, const char *name, wf_tensor x, wf_lstm_opt o);

/* --- cells over images: x (T, N, H, W, C) -> (T, N, H, W, directions x hidden) ------------------
 * With several layers or directions, names have the prefix l0, l0_reverse, l1, .. */

/* ConvLSTM:
 *   i = s(Wii*x + bii + Whi*h + bhi), f likewise, g = act(..g), o = s(..o), s = gate activation
 *   c = f c + i g;  h = o act(c);  * is convolution, stride 1, zero padded to keep the size
 * peephole: Hadamard peepholes of Shi et al. 2015 (i, f see c_(t-1), o sees c_t): maps
 *   (H, W, hidden), zero at first, in files PREFIX.Wci, Wcf, Wco as (1, hidden, H, W); with
 *   peephole_shared one number a channel, as (1, hidden, 1, 1), for frames of any size.
 * x without channels, (T, N, H, W, 0): a cell without input, Wi and bi do not exist.
 * Parameters (gates i, f, g, o along axis 0, in files one tensor a gate, names as in the notebook:
 * PREFIX.conv_ii.weight .. PREFIX.conv_ho.bias): both biases kept, or with one_bias that of x only.
 * init_x, init_h, init_bias: of the weights on x, on h, of the biases; zeros: as PyTorch's
 *   convolutions. init_whole: the four gates as one tensor, as Keras does, not each for itself.
 * forget_bias: added to that of f at every step, as TensorFlow's cells do.
 * h0, c0: initial state, zero handles mean zeros; h, c (may be NULL): the last state. */
typedef struct wf_convlstm_opt {
    int64_t hidden;
    int32_t kernel, kernel_x;  /* of the convolutions of h, of x; kernel_x 0: kernel */
    wf_activation *activation; /* NULL: tanh */
    wf_activation *gate;       /* NULL: sigmoid */
    bool peephole, peephole_shared, one_bias;
    wf_init init_x, init_h, init_bias;
    bool init_whole;
    double forget_bias;
    wf_tensor h0, c0;
    wf_tensor *h, *c;
    bool separate; /* write the eight convolutions one by one, as the notebook does: same
                      parameters, same files, same result */
    wf_recurrent_opt sequence;
} wf_convlstm_opt;
WF_API wf_tensor wf_nn_convlstm(wf_params *p, const char *name, wf_tensor x, wf_convlstm_opt o);

/* ConvGRU (Ballas et al., arXiv:1511.06432):
 *   r, z = s(Wx*x + bx + Wh*h + bh);  n = act(Wx*x + bx + Wh*(r h) + bh);  h = (1 - z) n + z h
 * with z as in the GRU above. In files conv_ir.weight, .. conv_hn.bias, one tensor a gate. */
typedef struct wf_convgru_opt {
    int64_t hidden;
    int32_t kernel;
    wf_activation *activation; /* NULL: tanh */
    wf_tensor h0, *h;
    wf_recurrent_opt sequence;
} wf_convgru_opt;
WF_API wf_tensor wf_nn_convgru(wf_params *p, const char *name, wf_tensor x, wf_convgru_opt o);

#ifdef __cplusplus
}
#endif
#endif
