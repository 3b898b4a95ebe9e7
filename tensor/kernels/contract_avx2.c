/* Micro kernels for AVX2 with fused multiply-add: mr x 16, mr up to 6: 12 accumulators, two vectors
 * of b and one broadcast operand in the 16 registers. A panel of 32 columns is two passes. */
#include "tensor/kernels/contract.h"

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))

INLINE void finish(const int mr, __m256 acc[6][2], float *c, int64_t cm, bool add) {
    WF_UNROLL
    for (int i = 0; i < mr; i++)
        WF_UNROLL
        for (int j = 0; j < 2; j++) {
            float *p = c + i * cm + 8 * j;
            _mm256_storeu_ps(p, add ? _mm256_add_ps(_mm256_loadu_ps(p), acc[i][j]) : acc[i][j]);
        }
}

INLINE void rows(const int mr, const float *a, int64_t am, const int64_t *a_seg, const float *b,
                 int64_t bk, const int64_t *b_seg, int64_t n_seg, int64_t len, float *c, int64_t cm,
                 bool add) {
    __m256 acc[6][2];
    WF_UNROLL
    for (int i = 0; i < mr; i++) acc[i][0] = acc[i][1] = _mm256_setzero_ps();
    for (int64_t s = 0; s < n_seg; s++) {
        const float *p0 = a + a_seg[s], *p3 = p0 + 3 * am, *q = b + b_seg[s];
        for (int64_t k = 0; k < len; k++, q += bk, p0++, p3++) {
            const __m256 v0 = _mm256_loadu_ps(q), v1 = _mm256_loadu_ps(q + 8);
            WF_UNROLL
            for (int i = 0; i < mr; i++) {
                const __m256 x = _mm256_broadcast_ss((i < 3 ? p0 : p3) + (i % 3) * am);
                acc[i][0] = _mm256_fmadd_ps(x, v0, acc[i][0]);
                acc[i][1] = _mm256_fmadd_ps(x, v1, acc[i][1]);
            }
        }
    }
    finish(mr, acc, c, cm, add);
}

INLINE void cols(const int mr, const float *a, int64_t ak, const int64_t *a_seg, const float *b,
                 int64_t bk, const int64_t *b_seg, int64_t n_seg, int64_t len, float *c, int64_t cm,
                 bool add) {
    __m256 acc[6][2];
    WF_UNROLL
    for (int i = 0; i < mr; i++) acc[i][0] = acc[i][1] = _mm256_setzero_ps();
    for (int64_t s = 0; s < n_seg; s++) {
        const float *p = a + a_seg[s], *q = b + b_seg[s];
        for (int64_t k = 0; k < len; k++, q += bk, p += ak) {
            const __m256 v0 = _mm256_loadu_ps(q), v1 = _mm256_loadu_ps(q + 8);
            WF_UNROLL
            for (int i = 0; i < mr; i++) {
                const __m256 x = _mm256_broadcast_ss(p + i);
                acc[i][0] = _mm256_fmadd_ps(x, v0, acc[i][0]);
                acc[i][1] = _mm256_fmadd_ps(x, v1, acc[i][1]);
            }
        }
    }
    finish(mr, acc, c, cm, add);
}

/* All ones for the first n of eight lanes. */
INLINE __m256i first_lanes(int64_t n) {
    static const int32_t mask[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(const void *)(mask + 8 - n));
}

#define VECTOR __m256
#define WIDTH 8
#define MOST 2
#define ZERO _mm256_setzero_ps
#define LOAD _mm256_loadu_ps
#define STORE _mm256_storeu_ps
#define ADD _mm256_add_ps
#define FMA _mm256_fmadd_ps
#define LOAD_PART(p, n) _mm256_maskload_ps(p, first_lanes(n))
#define STORE_PART(p, x, n) _mm256_maskstore_ps(p, first_lanes(n), x)
#include "tensor/kernels/contract_lanes.inc"

INLINE float total(__m256 v) {
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}

/* Blocks of four rows: twelve accumulators. */
INLINE void dot_block(const int mr, const int nr, const float *a, int64_t am, const int64_t *a_seg,
                      const float *b, int64_t bn, const int64_t *b_seg, int64_t n_seg, int64_t len,
                      float *c) {
    __m256 acc[4][WF_DOT_N];
    float rest[4][WF_DOT_N] = {{0}};
    WF_UNROLL
    for (int i = 0; i < mr; i++)
        WF_UNROLL
        for (int j = 0; j < nr; j++) acc[i][j] = _mm256_setzero_ps();
    for (int64_t s = 0; s < n_seg; s++) {
        const float *p = a + a_seg[s], *q = b + b_seg[s];
        int64_t k = 0;
        for (; k + 8 <= len; k += 8) {
            __m256 v[WF_DOT_N];
            WF_UNROLL
            for (int j = 0; j < nr; j++) v[j] = _mm256_loadu_ps(q + j * bn + k);
            WF_UNROLL
            for (int i = 0; i < mr; i++) {
                const __m256 x = _mm256_loadu_ps(p + i * am + k);
                WF_UNROLL
                for (int j = 0; j < nr; j++) acc[i][j] = _mm256_fmadd_ps(x, v[j], acc[i][j]);
            }
        }
        for (; k < len; k++)
            for (int i = 0; i < mr; i++)
                for (int j = 0; j < nr; j++) rest[i][j] += p[i * am + k] * q[j * bn + k];
    }
    WF_UNROLL
    for (int i = 0; i < mr; i++)
        WF_UNROLL
        for (int j = 0; j < nr; j++) c[i * WF_TILE_N + j] = total(acc[i][j]) + rest[i][j];
}

INLINE void dot(const int mr, const int nr, const float *a, int64_t am, const int64_t *a_seg,
                const float *b, int64_t bn, const int64_t *b_seg, int64_t n_seg, int64_t len,
                float *c) {
    dot_block(mr < 4 ? mr : 4, nr, a, am, a_seg, b, bn, b_seg, n_seg, len, c);
    if (mr > 4)
        dot_block(mr - 4, nr, a + 4 * am, am, a_seg, b, bn, b_seg, n_seg, len, c + 4 * WF_TILE_N);
}

WF_DOT_KERNELS

#define KERNEL(form, m)                                                                            \
    static void form##_##m##_1(WF_TILE_ARGUMENTS) {                                                \
        form(m, a, as, a_seg, b, bk, b_seg, n_seg, len, c, cm, add);                               \
    }                                                                                              \
    static void form##_##m##_2(WF_TILE_ARGUMENTS) {                                                \
        form##_##m##_1(a, as, a_seg, b, bk, b_seg, n_seg, len, c, cm, add);                        \
        form##_##m##_1(a, as, a_seg, b + 16, bk, b_seg, n_seg, len, c + 16, cm, add);              \
    }
#define KERNELS(m) KERNEL(rows, m) KERNEL(cols, m)
WF_TILE_EACH_6(KERNELS)

const wf_tile_table wf_tile_avx2 = {
    .name = "avx2", .max_m = 6, .lanes = lanes,
    .rows = {WF_TILE_ROWS_6(rows)}, .cols = {WF_TILE_ROWS_6(cols)},
    .dot = {WF_DOT_TABLE}};
#endif
