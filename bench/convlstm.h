/* What the benchmarks of the bundled ConvLSTM share: inputs, a check before the clock starts, and
 * PyTorch in a process beside. */
#ifndef WEFT_BENCH_CONVLSTM_H
#define WEFT_BENCH_CONVLSTM_H

#include <stdio.h>
#include <sys/types.h>

#include "bench/bench.h"
#include "bench/program.h"
#include "models/convlstm/model.h"

extern const convlstm_size bench_notebook; /* batch 8, 19 steps of 32x32, hidden 64 */

/* "batch 8, 19 x 32x32, hidden 64". */
const char *bench_size_text(convlstm_size s, char text[64]);

/* Blobs that move: what matters is that nothing is zero or equal. target may be NULL. */
void bench_clips(convlstm_size s, float *x, float *target);

/* A trainer with its inputs filled, the learning rate 0. False, and a line on stderr, if that
 * fails. */
bool bench_trainer(convlstm_program *c, wf_params *p, convlstm_size s, const bench_mode *m,
                   int threads);

/* Three steps of a small network against the same graph with every pass off: reference
 * evaluators. Prints a line. */
bool bench_verify(const bench_mode *m, int threads);

/* Call first in main. Starts the program again with what both sides are measured with: tcmalloc
 * where there is one (TCMALLOC=FILE names it), preloaded, and threads that stay on their cores. */
void bench_place(char **argv);

/* --- PyTorch beside --------------------------------------------------------------------------- */

/* bench/torch_convlstm.py as a child: the interpreter is $PYTHON, else /usr/bin/python3. */
typedef struct bench_peer {
    pid_t pid;
    FILE *in, *out;
    char name[128];     /* "torch 1.13.1, bf16, over_time" */
    long bare_kib;      /* resident set before there is a network */
    double loss;        /* of the last run */
    double seconds;     /* of the last run, by its own clock */
    bool gone;          /* a run that did not answer */
} bench_peer;

/* Starts it on the weights of p and on the inputs of bench_clips. form: "auto" or one of its forms.
 * False, with a line that says why, if there is no PyTorch; p.name is "absent: ..." then. */
bool bench_peer_open(bench_peer *b, wf_params *p, convlstm_size s, const char *task,
                     const char *dtype, const char *form, int threads);

void bench_peer_run(void *peer); /* one run: for bench_side */

/* Its peak resident set in bytes. */
double bench_peer_close(bench_peer *b);

#endif
