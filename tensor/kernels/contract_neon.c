/* Micro kernels for NEON of 64-bit ARM: mr x 16, mr up to 6: 24 accumulators, four vectors of b and
 * the operand of the row, a lane of a multiply-add, in the 32 registers. A panel of 32 columns is
 * two passes. A row costs one load of a float, whatever its stride, for four multiply-adds. */
#include "tensor/kernels/contract.h"

#if defined(__aarch64__)
#include <arm_neon.h>

#define INLINE static inline __attribute__((always_inline))

INLINE void finish(const int mr, float32x4_t acc[6][4], float *c, int64_t cm, bool add) {
    WF_UNROLL
    for (int i = 0; i < mr; i++)
        WF_UNROLL
        for (int j = 0; j < 4; j++) {
            float *p = c + i * cm + 4 * j;
            vst1q_f32(p, add ? vaddq_f32(vld1q_f32(p), acc[i][j]) : acc[i][j]);
        }
}

/* Compilers would load the whole column first and spill accumulators to make room for it. */
#define IN_ORDER __asm__ volatile("" ::: "memory")

/* acc += the column (x[0], x[am], ...) times the row q. */
INLINE void step(const int mr, float32x4_t acc[6][4], const float *x, int64_t am, const float *q) {
    float32x4_t v[4];
    WF_UNROLL
    for (int j = 0; j < 4; j++) v[j] = vld1q_f32(q + 4 * j);
    WF_UNROLL
    for (int i = 0; i < mr; i++) {
        IN_ORDER;
        const float f = x[i * am];
        WF_UNROLL
        for (int j = 0; j < 4; j++) acc[i][j] = vfmaq_n_f32(acc[i][j], v[j], f);
    }
}

INLINE void block(const int mr, const float *a, int64_t am, int64_t ak, const int64_t *a_seg,
                  const float *b, int64_t bk, const int64_t *b_seg, int64_t n_seg, int64_t len,
                  float *c, int64_t cm, bool add) {
    float32x4_t acc[6][4];
    WF_UNROLL
    for (int i = 0; i < mr; i++)
        WF_UNROLL
        for (int j = 0; j < 4; j++) acc[i][j] = vdupq_n_f32(0);
    for (int64_t s = 0; s < n_seg; s++) {
        const float *p = a + a_seg[s], *q = b + b_seg[s];
        for (int64_t k = 0; k < len; k++, p += ak, q += bk) step(mr, acc, p, am, q);
    }
    finish(mr, acc, c, cm, add);
}

INLINE float32x4_t load_part(const float *p, int64_t n) {
    float x[4] = {0};
    for (int64_t i = 0; i < n; i++) x[i] = p[i];
    return vld1q_f32(x);
}
INLINE void store_part(float *p, float32x4_t v, int64_t n) {
    float x[4];
    vst1q_f32(x, v);
    for (int64_t i = 0; i < n; i++) p[i] = x[i];
}

#define VECTOR float32x4_t
#define WIDTH 4
#define MOST 4
#define ZERO() vdupq_n_f32(0)
#define LOAD vld1q_f32
#define STORE vst1q_f32
#define ADD vaddq_f32
#define FMA(x, y, z) vfmaq_f32(z, x, y)
#define LOAD_PART load_part
#define STORE_PART store_part
#include "tensor/kernels/contract_lanes.inc"

#define KERNEL(form, m, am, ak)                                                                    \
    static void form##_##m##_1(WF_TILE_ARGUMENTS) {                                                \
        block(m, a, am, ak, a_seg, b, bk, b_seg, n_seg, len, c, cm, add);                          \
    }                                                                                              \
    static void form##_##m##_2(WF_TILE_ARGUMENTS) {                                                \
        form##_##m##_1(a, as, a_seg, b, bk, b_seg, n_seg, len, c, cm, add);                        \
        form##_##m##_1(a, as, a_seg, b + 16, bk, b_seg, n_seg, len, c + 16, cm, add);              \
    }
#define KERNELS(m) KERNEL(rows, m, as, 1) KERNEL(cols, m, 1, as)
WF_TILE_EACH_6(KERNELS)

const wf_tile_table wf_tile_neon = {
    .name = "neon", .max_m = 6, .lanes = lanes,
    .rows = {WF_TILE_ROWS_6(rows)}, .cols = {WF_TILE_ROWS_6(cols)}};
#else
typedef int wf_no_neon_here;
#endif
