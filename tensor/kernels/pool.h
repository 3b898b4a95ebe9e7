/* Pooling of f32 over three spatial axes (those that are missing have extent, kernel and stride 1),
 * channels dense, with pointers and sizes only. */
#ifndef WEFT_KERNELS_POOL_H
#define WEFT_KERNELS_POOL_H

#include <stdbool.h>
#include <stdint.h>

/* x: the pooled side, (n, in.., c); y: the side of windows, (n, out.., c). Strides in elements, in
 * the order n, three spatial axes, c. */
typedef struct wf_pool {
    int64_t n, c, in[3], out[3], kernel[3], stride[3], pad[3];
    bool count_pad;
    int64_t xs[5], ys[5];
} wf_pool;

/* Where window o of a spatial axis lies inside x: [lo, hi), never empty. */
static inline void wf_pool_window(const wf_pool *p, int axis, int64_t o, int64_t *lo,
                                  int64_t *hi) {
    const int64_t first = o * p->stride[axis] - p->pad[axis];
    const int64_t end = first + p->kernel[axis];
    *lo = first < 0 ? 0 : first;
    *hi = end > p->in[axis] ? p->in[axis] : end;
}

/* The windows [lo, hi) that contain element i of a spatial axis; may be empty. */
static inline void wf_pool_cover(const wf_pool *p, int axis, int64_t i, int64_t *lo, int64_t *hi) {
    const int64_t at = i + p->pad[axis], s = p->stride[axis];
    const int64_t before = at - p->kernel[axis]; /* a window that begins there ends just before i */
    *lo = before < 0 ? 0 : before / s + 1;
    *hi = at / s + 1 < p->out[axis] ? at / s + 1 : p->out[axis];
}

/* What the average over window o is divided by; a double, for it may pass 2^63. */
static inline double wf_pool_size(const wf_pool *p, const int64_t o[3]) {
    double size = 1;
    for (int axis = 0; axis < 3; axis++) {
        int64_t lo, hi;
        wf_pool_window(p, axis, o[axis], &lo, &hi);
        size *= (double)(p->count_pad ? p->kernel[axis] : hi - lo);
    }
    return size;
}

/* One row each, (image n, o0, o1) for all o2: */

/* y = the largest value; index (may be NULL): flat spatial position of the first one. NaN wins. */
void wf_pool_max_row(const wf_pool *p, const float *x, float *y, int64_t *index, int64_t n,
                     int64_t o0, int64_t o1);
/* The same for an instruction set. */
void wf_pool_max_row_plain(const wf_pool *p, const float *x, float *y, int64_t *index, int64_t n,
                           int64_t o0, int64_t o1);
void wf_pool_max_row_avx2(const wf_pool *p, const float *x, float *y, int64_t *index, int64_t n,
                          int64_t o0, int64_t o1);
void wf_pool_max_row_avx512(const wf_pool *p, const float *x, float *y, int64_t *index, int64_t n,
                            int64_t o0, int64_t o1);
/* y = the average. */
void wf_pool_avg_row(const wf_pool *p, const float *x, float *y, int64_t n, int64_t o0, int64_t o1);
/* The adjoint: x (image n, i0, i1, all i2) = sum over windows around it of y / size. */
void wf_pool_avg_grad_row(const wf_pool *p, const float *y, float *x, int64_t n, int64_t i0,
                          int64_t i1);

#endif
