/* Bilinear resize of f32 rows: weights and sums in f64, rounded once, as the reference does. */
#include "tensor/kernels/resize.h"

#define BLOCK 64 /* channels at a time */

void wf_resize_row(const float *x0, const float *x1, double weight, float *y, int64_t in_w,
                   int64_t out_w, int64_t c, int64_t xw, int64_t yw) {
    for (int64_t o = 0; o < out_w; o++) {
        const wf_taps t = wf_resize_taps(o, in_w, out_w);
        const double w00 = (1 - weight) * (1 - t.weight), w01 = (1 - weight) * t.weight;
        const double w10 = weight * (1 - t.weight), w11 = weight * t.weight;
        const float *a = x0 + t.lo * xw, *b = x0 + t.hi * xw;
        const float *d = x1 + t.lo * xw, *e = x1 + t.hi * xw;
        float *restrict to = y + o * yw;
#pragma omp simd
        for (int64_t j = 0; j < c; j++)
            to[j] = (float)((w00 * (double)a[j] + w01 * (double)b[j]) +
                            (w10 * (double)d[j] + w11 * (double)e[j]));
    }
}

void wf_resize_grad_row(const float *g, float *x, int64_t at, int64_t in_h, int64_t in_w,
                        int64_t out_h, int64_t out_w, int64_t c, int64_t gh, int64_t gw,
                        int64_t xw) {
    int64_t r0, r1;
    wf_resize_readers(at, in_h, out_h, &r0, &r1);
    for (int64_t i = 0; i < in_w; i++) {
        int64_t c0, c1;
        wf_resize_readers(i, in_w, out_w, &c0, &c1);
        for (int64_t k = 0; k < c; k += BLOCK) {
            const int64_t n = c - k < BLOCK ? c - k : BLOCK;
            double sum[BLOCK] = {0};
            for (int64_t r = r0; r < r1; r++) {
                const double wr = wf_resize_weight(r, at, in_h, out_h);
                if (wr == 0) continue;
                for (int64_t o = c0; o < c1; o++) {
                    const double w = wr * wf_resize_weight(o, i, in_w, out_w);
                    if (w == 0) continue;
                    const float *v = g + r * gh + o * gw + k;
#pragma omp simd
                    for (int64_t j = 0; j < n; j++) sum[j] += w * (double)v[j];
                }
            }
            for (int64_t j = 0; j < n; j++) x[i * xw + k + j] = (float)sum[j];
        }
    }
}
