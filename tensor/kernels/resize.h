/* Bilinear sampling positions and rows, half-pixel centres, with pointers and sizes only. */
#ifndef WEFT_KERNELS_RESIZE_H
#define WEFT_KERNELS_RESIZE_H

#include <stdint.h>

/* Output element o of `out` reads (1 - weight) x[lo] + weight x[hi] of `in` elements. */
typedef struct wf_taps {
    int64_t lo, hi;
    double weight;
} wf_taps;

static inline wf_taps wf_resize_taps(int64_t o, int64_t in, int64_t out) {
    double at = ((double)o + 0.5) * ((double)in / (double)out) - 0.5;
    if (at < 0) at = 0;
    int64_t lo = (int64_t)at;
    if (lo > in - 1) lo = in - 1;
    return (wf_taps){lo, lo + 1 < in ? lo + 1 : lo, lo + 1 < in ? at - (double)lo : 0};
}

/* How much output o reads input i. */
static inline double wf_resize_weight(int64_t o, int64_t i, int64_t in, int64_t out) {
    const wf_taps t = wf_resize_taps(o, in, out);
    return (t.lo == i ? 1 - t.weight : 0) + (t.hi == i ? t.weight : 0);
}

/* The outputs [lo, hi) that may read input i; a little wide, never too narrow. */
static inline void wf_resize_readers(int64_t i, int64_t in, int64_t out, int64_t *lo, int64_t *hi) {
    const double f = (double)out / (double)in;
    const double first = ((double)i - 0.5) * f - 1.5, last = ((double)i + 1.5) * f + 1.5;
    *lo = i == 0 || first < 0 ? 0 : (int64_t)first;
    *hi = i == in - 1 || last > (double)out ? out : (int64_t)last;
}

/* y (out_w, c) = the resized row between rows x0 and x1 (in_w, c), (1 - weight) of x0. All dense in
 * c; xw, yw: strides of the width axis. */
void wf_resize_row(const float *x0, const float *x1, double weight, float *y, int64_t in_w,
                   int64_t out_w, int64_t c, int64_t xw, int64_t yw);
/* The adjoint for one input row `at`: x (in_w, c) = sum over outputs of weights times g, which is
 * (out_h, out_w, c) with strides gh, gw. */
void wf_resize_grad_row(const float *g, float *x, int64_t at, int64_t in_h, int64_t in_w,
                        int64_t out_h, int64_t out_w, int64_t c, int64_t gh, int64_t gw,
                        int64_t xw);

#endif
