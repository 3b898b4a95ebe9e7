/* The long-lag tasks: sequences in which what the target depends on lies far behind.
 *
 *   reber   embedded Reber grammar (Hochreiter and Schmidhuber 1997, experiment 1): the next symbol
 *           at every step; the last but one is the second of the string. Solved on a string if at
 *           every step all legal symbols have larger outputs than all others
 *   adding  (experiment 4; Pascanu et al. 2013): the sum of two marked numbers of [0, 1), the
 *           first in the first tenth, the second before the middle. Target sum / 2, right within
 *           0.04
 *   order   temporal order (experiment 6a; Pascanu et al. 2013): two of the symbols X and Y among
 *           four that say nothing, after 1 to 2 and 4 to 5 tenths; the class is their order, XX,
 *           XY, YX or YY
 *
 * The lag is the least length of a sequence (adding, order), which may be a tenth longer; for
 * reber that of the inner string, 5 in the paper. A sequence is a function of seed and number
 * alone. */
#ifndef LSTM_TASKS_TASKS_H
#define LSTM_TASKS_TASKS_H

#include "nn/nn.h"

enum { REBER_SYMBOLS = 7, MOST_STEPS = 1024 };

typedef struct sequence {
    int64_t length;
    float *x;       /* (steps, inputs), zeros from `length` on */
    int32_t *next;  /* reber: (steps) the symbol that follows, -1 from `length` on */
    uint8_t *legal; /* reber: (length) bit k is set if symbol k may follow */
    float half_sum; /* adding */
    int32_t order;  /* order */
} sequence;

typedef struct task {
    const char *name;
    int inputs, outputs;
    bool every_step; /* has a target at every step, not one at the end */
    int least_lag;
    int64_t (*steps)(int64_t lag); /* of the longest sequence */
    void (*make)(sequence *s, int64_t lag, int64_t steps, uint64_t seed, uint64_t number);
    /* y: the outputs at the end, or at each step, which are `stride` apart. */
    bool (*is_right)(const sequence *s, const float *y, int64_t stride);
    wf_tensor (*target)(wf_graph *g, int64_t steps, int64_t batch, wf_dtype dtype); /* an input */
    wf_tensor (*loss)(wf_tensor y, wf_tensor target);
} task;

extern const task all_tasks[3];
const task *task_of(const char *name); /* NULL if there is none */

/* A set of sequences, numbered from 0. */
typedef struct task_data {
    const task *task;
    int64_t lag, steps;
    uint64_t seed;
} task_data;

/* Sequences [0, count) of a seed, for the inputs x (T, N, inputs), length (N) and target, which is
 * f32 (N, 1) for adding, i32 (N) for order, i32 (T, N) for reber. *d must outlive *out.
 * Errors: WF_ARGUMENT for a lag out of range; WF_MEMORY. */
wf_status task_open(wf_source **out, task_data *d, const task *k, int64_t lag, uint64_t seed,
                    int64_t count);

/* Adds to *right how many of the sequences first .. first + n) outputs y (N, outputs), for reber
 * (T, N, outputs), are right for. */
wf_status task_score(const task_data *d, int64_t first, int64_t n, const float *y, int64_t *right);

#endif
