/* The networks of the long-lag tasks: one recurrent layer, a linear readout, and the regulariser of
 * Pascanu et al. 2013. */
#ifndef LSTM_TASKS_NETWORK_H
#define LSTM_TASKS_NETWORK_H

#include "models/lstm_tasks/tasks.h"

/* Name, text. */
#define CELL_MAP(X)                                                                                \
    X(RNN, "rnn")       /* Elman 1990 */                                                           \
    X(LSTM97, "lstm97") /* Hochreiter and Schmidhuber 1997: no forget gate */                      \
    X(LSTM, "lstm")     /* Gers et al. 2000 */                                                     \
    X(LSTMP, "lstmp")   /* Sak et al. 2014: h is a projection to half the size */                  \
    X(GRU, "gru")       /* Cho et al. 2014 */

typedef enum cell {
#define X(name, text) CELL_##name,
    CELL_MAP(X)
#undef X
        N_CELLS
} cell;
extern const char *const cell_name[N_CELLS];

typedef enum optimizer_kind { OPTIMIZER_ADAM, OPTIMIZER_SGD } optimizer_kind;

typedef struct network_opt {
    cell cell;
    int64_t hidden, batch;
    wf_dtype dtype;        /* F32 (0) or F64 */
    optimizer_kind optimizer;
    double lr;
    double clip;           /* the gradient's norm; 0: none */
    double omega;          /* weight of the regulariser, rnn only; 0: none */
    bool full;             /* ... with gradients also through states and dE/dh */
} network_opt;

/* Writes the network for a task into an empty graph, with the inputs of task_open and, in training,
 * the optimiser. Returns the number of outputs: y, loss (without the regulariser) and, in training,
 * grad_norm and, if there is a regulariser, omega. */
enum { NETWORK_OUTPUTS = 4 };
int network_build(wf_graph *g, wf_params *p, const task *k, int64_t steps, network_opt o,
                  bool train, wf_tensor outputs[NETWORK_OUTPUTS]);

/* First weights that are not PyTorch's. Gates: biases such that cells remember for 1 to `lag` steps
 * (Tallec and Ollivier, arXiv:1804.11188: forget gates log U(1, lag - 1), input gates the
 * negative); rnn: recurrent weights from N(0, 0.1^2) as in Pascanu et al. After the first build. */
void network_start(wf_params *p, network_opt o, int64_t lag, uint64_t seed);

#endif
