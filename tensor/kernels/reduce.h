/* Streaming reductions of f32 as begin, step, close, merge, finish, with pointers and sizes only.
 *
 * The state of n neighbouring kept elements is a structure of arrays of doubles: quantity q of
 * element j at state[q * WF_FOLD_BLOCK + j], n <= WF_FOLD_BLOCK, so that a block's state stays in
 * the first-level cache. All arithmetic is in f64: an f32 sum of any length is exact to f64
 * rounding and is rounded to f32 once. The order of operations is the same for every instruction
 * set. */
#ifndef WEFT_KERNELS_REDUCE_H
#define WEFT_KERNELS_REDUCE_H

#include <stdint.h>

#define WF_FOLD_BLOCK 512 /* kept elements in a block */
#define WF_FOLD_STATE 3   /* doubles a kept element, at most */

/* cols: state of element j takes x[r * row_stride + j] for r in [0, rows), j in [0, n).
 * row:  the one element's state takes x[r * row_stride + j] for all r and j. */
typedef void wf_fold_step(double *state, const float *x, int64_t rows, int64_t n,
                          int64_t row_stride);

/* Stepping kernels of one instruction set. */
typedef struct wf_fold_steps {
    wf_fold_step *cols, *row;
} wf_fold_steps;
typedef struct wf_fold_table {
    wf_fold_steps sum, max, min, moments;
} wf_fold_table;

typedef struct wf_fold {
    int n_partial; /* doubles a kept element after close */
    int n_out;     /* results a kept element: 1, or 2 for moments */
    /* Empty state of n elements; x[j] is a value of element j. */
    void (*begin)(double *state, const float *x, int64_t n);
    const wf_fold_steps *(*steps)(void); /* of the instruction set in use */
    /* State after `count` values each to n_partial mergeable quantities, in place. */
    void (*close)(double *state, int64_t n, double count);
    /* a = a merged with b, n_partial quantities each, from a_count and b_count values. */
    void (*merge)(double *a, const double *b, double a_count, double b_count);
    void (*finish)(const double *partial, double count, float *out); /* (n_out) */
} wf_fold;

extern const wf_fold wf_fold_sum, wf_fold_max, wf_fold_min, wf_fold_moments;
extern const wf_fold_table wf_fold_scalar, wf_fold_avx2, wf_fold_avx512, wf_fold_neon;

#endif
