/* What is measured: a compiled program, as users have it, with random numbers in its inputs. */
#ifndef WEFT_BENCH_PROGRAM_H
#define WEFT_BENCH_PROGRAM_H

#include "compiler/compiler.h"

/* Compute modes that the library has. The last one's name is NULL. */
typedef struct bench_mode {
    const char *name; /* as bench_peak_mode knows it */
    wf_precision precision;
    double tolerance; /* of a contraction against the reference, relative L2 */
    const char *peer; /* PyTorch's mode that it is compared with: fp32, bf16 (autocast) */
    double loss;      /* of a network's first loss against the peer's and the reference's */
    double gradient;  /* of each of its gradients against those of PyTorch or f64, relative L2; an
                         activation that changes its sign where relu bends makes some 1e-4 */
} bench_mode;
extern const bench_mode bench_modes[];

/* Compiles the n outputs and frees g; every f32 input gets numbers in [-1, 1), input i those of
 * bench_fill(.., i). NULL, with a message on stderr, if that fails. */
wf_program *bench_compile(wf_graph *g, const wf_tensor *out, int n, wf_compile_opt o);

/* wf_run, for bench_side.run; ends the program if it fails. */
void bench_run(void *program);

/* Relative L2 distance of n floats at random places of `got` from want(user, place). */
double bench_error(const float *got, int64_t n, int samples,
                   double (*want)(const void *user, int64_t at), const void *user);

#endif
