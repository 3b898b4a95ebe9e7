/* The streaming reductions: plain C stepping kernels, the choice of an instruction set, and what is
 * done once a block - begin, close, merge, finish. */
#define WF_FOLD_TABLE wf_fold_scalar
#include "tensor/kernels/reduce_steps.inc"

#include <math.h>
#include <string.h>

#include "tensor/kernels/cpu.h"

static const wf_fold_table *table(void) {
#if defined(__x86_64__)
    const wf_isa isa = wf_isa_get();
    if (isa >= WF_ISA_AVX512) return &wf_fold_avx512;
    if (isa == WF_ISA_AVX2) return &wf_fold_avx2;
#elif defined(__aarch64__)
    if (wf_isa_get() == WF_ISA_NEON) return &wf_fold_neon;
#endif
    return &wf_fold_scalar;
}

static void close_nothing(double *state, int64_t n, double count) {}

/* --- sum ------------------------------------------------------------------------------------ */

static void begin_sum(double *state, const float *x, int64_t n) {
    memset(state, 0, sizeof *state * (size_t)n);
}
static const wf_fold_steps *steps_sum(void) { return &table()->sum; }
static void merge_sum(double *a, const double *b, double a_count, double b_count) { a[0] += b[0]; }
static void finish_sum(const double *s, double count, float *out) { out[0] = (float)s[0]; }

const wf_fold wf_fold_sum = {
        .n_partial = 1,
        .n_out = 1,
        .begin = begin_sum,
        .steps = steps_sum,
        .close = close_nothing,
        .merge = merge_sum,
        .finish = finish_sum,
};

/* --- max and min: both states are a largest value, of x or of -x ---------------------------- */

static void begin_extreme(double *state, const float *x, int64_t n) {
    for (int64_t j = 0; j < n; j++) state[j] = -INFINITY;
}
static const wf_fold_steps *steps_max(void) { return &table()->max; }
static const wf_fold_steps *steps_min(void) { return &table()->min; }
static void merge_extreme(double *a, const double *b, double a_count, double b_count) {
    if (b[0] > a[0] || isnan(b[0])) a[0] = b[0];
}
static void finish_max(const double *s, double count, float *out) { out[0] = (float)s[0]; }
static void finish_min(const double *s, double count, float *out) { out[0] = -(float)s[0]; }

const wf_fold wf_fold_max = {
        .n_partial = 1,
        .n_out = 1,
        .begin = begin_extreme,
        .steps = steps_max,
        .close = close_nothing,
        .merge = merge_extreme,
        .finish = finish_max,
};
const wf_fold wf_fold_min = {
        .n_partial = 1,
        .n_out = 1,
        .begin = begin_extreme,
        .steps = steps_min,
        .close = close_nothing,
        .merge = merge_extreme,
        .finish = finish_min,
};

/* --- moments -----------------------------------------------------------------------------------
 * The shift is the first value of the block, so that (sum d)^2 / n is never large beside the sum of
 * d^2 and the difference keeps its digits, whatever the mean is. A shift that is not finite would
 * turn the mean of an infinite value into NaN; 0 takes its place. After close: mean, M2. */

static void begin_moments(double *state, const float *x, int64_t n) {
    for (int64_t j = 0; j < n; j++) {
        state[j] = isfinite(x[j]) ? x[j] : 0;
        state[PITCH + j] = state[2 * PITCH + j] = 0;
    }
}
static const wf_fold_steps *steps_moments(void) { return &table()->moments; }
static void close_moments(double *state, int64_t n, double count) {
    for (int64_t j = 0; j < n; j++) {
        const double sum = state[PITCH + j], m2 = state[2 * PITCH + j] - sum * sum / count;
        state[j] += sum / count;
        state[PITCH + j] = m2 < 0 ? 0 : m2;
    }
}
/* The mean is weighted rather than moved by delta b / (a + b): two infinite means stay infinite. */
static void merge_moments(double *a, const double *b, double a_count, double b_count) {
    const double count = a_count + b_count, delta = b[0] - a[0];
    a[0] = (a[0] * a_count + b[0] * b_count) / count;
    a[1] += b[1] + delta * delta * (a_count * b_count / count);
}
static void finish_moments(const double *p, double count, float *out) {
    out[0] = (float)p[0];
    out[1] = (float)(p[1] / count);
}

const wf_fold wf_fold_moments = {
        .n_partial = 2,
        .n_out = 2,
        .begin = begin_moments,
        .steps = steps_moments,
        .close = close_moments,
        .merge = merge_moments,
        .finish = finish_moments,
};
