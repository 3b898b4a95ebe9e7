/* Pooling rows. Averages are in plain C, vectorised over blocks of channels whose sums stay in
 * cache; they accumulate in f64 and are rounded once, as the reference does. */
#define VECTOR  16
#define MAX_ROW wf_pool_max_row_plain
#include "tensor/kernels/pool_max.inc"

#include "tensor/kernels/cpu.h"

void wf_pool_max_row(const wf_pool *p, const float *x, float *y, int64_t *index, int64_t n,
                     int64_t o0, int64_t o1) {
    switch (wf_isa_get()) {
#if defined(__x86_64__)
    case WF_ISA_AMX:
    case WF_ISA_AVX512: wf_pool_max_row_avx512(p, x, y, index, n, o0, o1); return;
    case WF_ISA_AVX2: wf_pool_max_row_avx2(p, x, y, index, n, o0, o1); return;
#endif
    default: wf_pool_max_row_plain(p, x, y, index, n, o0, o1);
    }
}

#define BLOCK 64 /* channels at a time */

static int64_t block_at(const wf_pool *p, int64_t c) {
    return p->c - c < BLOCK ? p->c - c : BLOCK;
}

void wf_pool_avg_row(const wf_pool *p, const float *x, float *y, int64_t n, int64_t o0,
                     int64_t o1) {
    window b;
    wf_pool_window(p, 0, o0, &b.lo[0], &b.hi[0]);
    wf_pool_window(p, 1, o1, &b.lo[1], &b.hi[1]);
    for (int64_t o2 = 0; o2 < p->out[2]; o2++) {
        wf_pool_window(p, 2, o2, &b.lo[2], &b.hi[2]);
        const double size = wf_pool_size(p, (const int64_t[]){o0, o1, o2});
        const int64_t at = n * p->ys[0] + o0 * p->ys[1] + o1 * p->ys[2] + o2 * p->ys[3];
        for (int64_t c = 0; c < p->c; c += BLOCK) {
            double sum[BLOCK] = {0};
            const int64_t wide = block_at(p, c);
            for (int64_t i0 = b.lo[0]; i0 < b.hi[0]; i0++)
                for (int64_t i1 = b.lo[1]; i1 < b.hi[1]; i1++)
                    for (int64_t i2 = b.lo[2]; i2 < b.hi[2]; i2++) {
                        const float *v = x + n * p->xs[0] + i0 * p->xs[1] + i1 * p->xs[2] +
                                         i2 * p->xs[3] + c;
#pragma omp simd
                        for (int64_t j = 0; j < wide; j++) sum[j] += (double)v[j];
                    }
            for (int64_t j = 0; j < wide; j++) y[at + c + j] = (float)(sum[j] / size);
        }
    }
}

void wf_pool_avg_grad_row(const wf_pool *p, const float *y, float *x, int64_t n, int64_t i0,
                          int64_t i1) {
    window b;
    wf_pool_cover(p, 0, i0, &b.lo[0], &b.hi[0]);
    wf_pool_cover(p, 1, i1, &b.lo[1], &b.hi[1]);
    for (int64_t i2 = 0; i2 < p->in[2]; i2++) {
        wf_pool_cover(p, 2, i2, &b.lo[2], &b.hi[2]);
        const int64_t at = n * p->xs[0] + i0 * p->xs[1] + i1 * p->xs[2] + i2 * p->xs[3];
        for (int64_t c = 0; c < p->c; c += BLOCK) {
            double sum[BLOCK] = {0};
            const int64_t wide = block_at(p, c);
            for (int64_t o0 = b.lo[0]; o0 < b.hi[0]; o0++)
                for (int64_t o1 = b.lo[1]; o1 < b.hi[1]; o1++)
                    for (int64_t o2 = b.lo[2]; o2 < b.hi[2]; o2++) {
                        const float *v = y + n * p->ys[0] + o0 * p->ys[1] + o1 * p->ys[2] +
                                         o2 * p->ys[3] + c;
                        const double size = wf_pool_size(p, (const int64_t[]){o0, o1, o2});
#pragma omp simd
                        for (int64_t j = 0; j < wide; j++) sum[j] += (double)v[j] / size;
                    }
            for (int64_t j = 0; j < wide; j++) x[at + c + j] = (float)sum[j];
        }
    }
}
