/* One attempt to learn a task: a network from first weights to success or the last step. */
#ifndef LSTM_TASKS_ATTEMPT_H
#define LSTM_TASKS_ATTEMPT_H

#include "models/lstm_tasks/network.h"

typedef struct attempt_opt {
    const task *task;
    int64_t lag;
    network_opt network;
    uint64_t seed;         /* of weights and sequences */
    int64_t steps, every;  /* at most; between looks at the test sequences */
    int threads;
    FILE *profile;         /* after training, a profile of its step is written here; NULL: none */
    bool (*stop)(void *user); /* as a trainer's */
} attempt_opt;

/* Solved: at most 1 % of TEST_SEQUENCES that were never trained on are wrong, as in both papers. */
enum { TEST_SEQUENCES = 500 };
typedef struct attempt_result {
    bool solved, diverged, stopped; /* diverged: loss or gradient was not finite */
    int64_t step;                   /* of the success, or the last */
    double wrong;                   /* part of the test sequences, at the last look */
    double step_s, compile_s;       /* a training step; making both programs */
} attempt_result;

wf_status attempt(const attempt_opt *o, attempt_result *result);

#endif
