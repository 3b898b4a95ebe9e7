/* Micro kernels for AVX-512: mr x 32 (two vectors a row) or mr x 16, mr up to 14: 28 accumulators,
 * two vectors of b and one broadcast operand fill the 32 registers. Rows of a are addressed as
 * strides from every third row, so that fourteen pointers fit the general registers.
 * On a Zen 5 every block from 6x32 on reaches the multiply-add peak within 3 %, with b streamed
 * from L2; 14x16 stays at 90 %. So runs of rows are cut into tiles of nearly one size, not into
 * full tiles and a rest. */
#include "tensor/kernels/contract.h"

#if defined(__AVX512F__)
#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))

INLINE void finish(const int mr, const int nv, __m512 acc[WF_TILE_M][2], float *c, int64_t cm,
                   bool add) {
    WF_UNROLL
    for (int i = 0; i < mr; i++)
    WF_UNROLL
        for (int j = 0; j < nv; j++) {
            float *p = c + i * cm + 16 * j;
            _mm512_storeu_ps(p, add ? _mm512_add_ps(_mm512_loadu_ps(p), acc[i][j]) : acc[i][j]);
        }
}

INLINE void clear(const int mr, const int nv, __m512 acc[WF_TILE_M][2]) {
    WF_UNROLL
    for (int i = 0; i < mr; i++)
    WF_UNROLL
        for (int j = 0; j < nv; j++) acc[i][j] = _mm512_setzero_ps();
}

INLINE void rows(const int mr, const int nv, const float *a, int64_t am, const int64_t *a_seg,
                 const float *b, int64_t bk, const int64_t *b_seg, int64_t n_seg, int64_t len,
                 float *c, int64_t cm, bool add) {
    __m512 acc[WF_TILE_M][2];
    clear(mr, nv, acc);
    for (int64_t s = 0; s < n_seg; s++) {
        const float *p[5]; /* rows 0, 3, 6, 9, 12 */
        for (int r = 0; r < 5; r++) p[r] = a + a_seg[s] + 3 * r * am;
        const float *q = b + b_seg[s];
        for (int64_t k = 0; k < len; k++) {
            __m512 v[2];
    WF_UNROLL
            for (int j = 0; j < nv; j++) v[j] = _mm512_loadu_ps(q + 16 * j);
    WF_UNROLL
            for (int i = 0; i < mr; i++) {
                const __m512 x = _mm512_set1_ps(p[i / 3][(i % 3) * am]);
    WF_UNROLL
                for (int j = 0; j < nv; j++) acc[i][j] = _mm512_fmadd_ps(x, v[j], acc[i][j]);
            }
    WF_UNROLL
            for (int r = 0; r < (mr + 2) / 3; r++) p[r]++;
            q += bk;
        }
    }
    finish(mr, nv, acc, c, cm, add);
}

INLINE void cols(const int mr, const int nv, const float *a, int64_t ak, const int64_t *a_seg,
                 const float *b, int64_t bk, const int64_t *b_seg, int64_t n_seg, int64_t len,
                 float *c, int64_t cm, bool add) {
    __m512 acc[WF_TILE_M][2];
    clear(mr, nv, acc);
    for (int64_t s = 0; s < n_seg; s++) {
        const float *p = a + a_seg[s], *q = b + b_seg[s];
        for (int64_t k = 0; k < len; k++) {
            __m512 v[2];
    WF_UNROLL
            for (int j = 0; j < nv; j++) v[j] = _mm512_loadu_ps(q + 16 * j);
    WF_UNROLL
            for (int i = 0; i < mr; i++) {
                const __m512 x = _mm512_set1_ps(p[i]);
    WF_UNROLL
                for (int j = 0; j < nv; j++) acc[i][j] = _mm512_fmadd_ps(x, v[j], acc[i][j]);
            }
            p += ak;
            q += bk;
        }
    }
    finish(mr, nv, acc, c, cm, add);
}

#define VECTOR __m512
#define WIDTH 16
#define MOST 4
#define ZERO _mm512_setzero_ps
#define LOAD _mm512_loadu_ps
#define STORE _mm512_storeu_ps
#define ADD _mm512_add_ps
#define FMA _mm512_fmadd_ps
#define PART(n) ((__mmask16)((1u << (n)) - 1))
#define LOAD_PART(p, n) _mm512_maskz_loadu_ps(PART(n), p)
#define STORE_PART(p, x, n) _mm512_mask_storeu_ps(p, PART(n), x)
#include "tensor/kernels/contract_lanes.inc"

INLINE void dot(const int mr, const int nr, const float *a, int64_t am, const int64_t *a_seg,
                const float *b, int64_t bn, const int64_t *b_seg, int64_t n_seg, int64_t len,
                float *c) {
    __m512 acc[WF_DOT_M][WF_DOT_N];
    const __mmask16 tail = (__mmask16)((1u << (len & 15)) - 1);
    WF_UNROLL
    for (int i = 0; i < mr; i++)
        WF_UNROLL
        for (int j = 0; j < nr; j++) acc[i][j] = _mm512_setzero_ps();
    for (int64_t s = 0; s < n_seg; s++) {
        const float *p[3] = {a + a_seg[s], a + a_seg[s] + 3 * am, a + a_seg[s] + 6 * am};
        const float *q = b + b_seg[s];
        for (int64_t k = 0; k + 16 <= len; k += 16) {
            __m512 v[WF_DOT_N];
            WF_UNROLL
            for (int j = 0; j < nr; j++) v[j] = _mm512_loadu_ps(q + j * bn + k);
            WF_UNROLL
            for (int i = 0; i < mr; i++) {
                const __m512 x = _mm512_loadu_ps(p[i / 3] + (i % 3) * am + k);
                WF_UNROLL
                for (int j = 0; j < nr; j++) acc[i][j] = _mm512_fmadd_ps(x, v[j], acc[i][j]);
            }
        }
        if (!tail) continue;
        const int64_t k = len & ~(int64_t)15;
        WF_UNROLL
        for (int i = 0; i < mr; i++) {
            const __m512 x = _mm512_maskz_loadu_ps(tail, p[i / 3] + (i % 3) * am + k);
            WF_UNROLL
            for (int j = 0; j < nr; j++)
                acc[i][j] = _mm512_fmadd_ps(x, _mm512_maskz_loadu_ps(tail, q + j * bn + k),
                                            acc[i][j]);
        }
    }
    WF_UNROLL
    for (int i = 0; i < mr; i++)
        WF_UNROLL
        for (int j = 0; j < nr; j++) c[i * WF_TILE_N + j] = _mm512_reduce_add_ps(acc[i][j]);
}

WF_DOT_KERNELS

#define KERNEL(form, m, nv)                                                                        \
    static void form##_##m##_##nv(WF_TILE_ARGUMENTS) {                                             \
        form(m, nv, a, as, a_seg, b, bk, b_seg, n_seg, len, c, cm, add);                           \
    }
#define KERNELS(m) KERNEL(rows, m, 1) KERNEL(rows, m, 2) KERNEL(cols, m, 1) KERNEL(cols, m, 2)
WF_TILE_EACH_14(KERNELS)

const wf_tile_table wf_tile_avx512 = {
    .name = "avx512", .max_m = 14, .lanes = lanes,
    .rows = {WF_TILE_ROWS_14(rows)}, .cols = {WF_TILE_ROWS_14(cols)},
    .dot = {WF_DOT_TABLE}};
#endif
