/* Recurrent language models: the probability of the next symbol (word or character) given all
 * before it.
 *
 *   x (T, N) symbols --embedding--> (T, N, E) --recurrent--> (T, N, H) --linear--> logits (T, N, V)
 *
 *   RNNLM_RNN        s(t) = sigmoid(U w(t) + W s(t-1)), y(t) = softmax(V s(t)): Mikolov et al.,
 *                    Interspeech 2010
 *   RNNLM_LSTM       one layer: Hochreiter and Schmidhuber 1997, Gers et al. 2000
 *   RNNLM_PROJECTED  LSTM with peepholes and a recurrent projection: Sak et al., arXiv:1402.1128
 *   RNNLM_DEEP       LSTM layers, one above the other, with dropout between them: Zaremba et al.,
 *                    arXiv:1409.2329 */
#ifndef RNNLM_MODEL_H
#define RNNLM_MODEL_H

#include "nn/nn.h"

typedef enum rnnlm_kind { RNNLM_RNN, RNNLM_LSTM, RNNLM_PROJECTED, RNNLM_DEEP, RNNLM_KINDS }
    rnnlm_kind;
extern const char *const rnnlm_kind_name[RNNLM_KINDS]; /* "rnn", "lstm", "projected", "deep" */

typedef struct rnnlm {
    rnnlm_kind kind;
    int64_t symbols, hidden; /* V, and the size of a layer's state */
    int64_t projection;      /* PROJECTED: of the state to this size */
    int layers;              /* DEEP */
    double dropout;          /* of what goes into a layer, in training */
    wf_dtype dtype;          /* 0: f32 */
} rnnlm;

/* Logits (T, N, V) of symbols x i32 (T, N). The state goes on where the run before left it, in a
 * stream of this name; no gradient flows there. */
wf_tensor rnnlm_logits(wf_params *p, wf_tensor x, const rnnlm *m, const char *stream,
                       bool training);

/* What training needs: the mean cost of symbols y i32 (T, N) in nats, and one step of gradient
 * descent on the cost of a sequence (sum over steps, mean over sequences), clipped; the rate is the
 * input "lr". */
typedef struct rnnlm_step {
    wf_tensor loss, norm; /* "loss", "grad_norm" */
} rnnlm_step;
rnnlm_step rnnlm_train(wf_params *p, wf_tensor x, wf_tensor y, const rnnlm *m, double clip);

#endif
