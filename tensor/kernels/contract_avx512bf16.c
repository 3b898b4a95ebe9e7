/* Micro kernels on cells for AVX-512 with products of bf16 pairs, which add two products a lane:
 * the blocks of contract_avx512.c, twice the terms. On a Zen 5 the instruction has the rate of a
 * multiply-add. Odd terms are added before even ones, each rounded to nearest even. */
#include "tensor/kernels/contract.h"

#if defined(__AVX512BF16__)
#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))

INLINE void block(const bool rows, const int mr, const int nv, const float *a, int64_t as,
                  const int64_t *a_seg, const float *b, int64_t bk, const int64_t *b_seg,
                  int64_t n_seg, int64_t len, float *c, int64_t cm, bool add) {
    __m512 acc[WF_TILE_M][2];
    WF_UNROLL
    for (int i = 0; i < mr; i++)
        WF_UNROLL
        for (int j = 0; j < nv; j++) acc[i][j] = _mm512_setzero_ps();
    for (int64_t s = 0; s < n_seg; s++) {
        const float *p[5]; /* rows 0, 3, 6, 9, 12 */
        for (int r = 0; r < 5; r++) p[r] = a + a_seg[s] + (rows ? 3 * r * as : 3 * r);
        const float *q = b + b_seg[s];
        for (int64_t k = 0; k < len; k++) {
            __m512bh v[2];
            WF_UNROLL
            for (int j = 0; j < nv; j++) v[j] = (__m512bh)_mm512_loadu_ps(q + 16 * j);
            WF_UNROLL
            for (int i = 0; i < mr; i++) {
                const float *at = rows ? p[i / 3] + (i % 3) * as : p[0] + i;
                const __m512bh x = (__m512bh)_mm512_set1_ps(wf_cell_at(at));
                WF_UNROLL
                for (int j = 0; j < nv; j++) acc[i][j] = _mm512_dpbf16_ps(acc[i][j], x, v[j]);
            }
            WF_UNROLL
            for (int r = 0; r < (mr + 2) / 3; r++) p[r] += rows ? 1 : as;
            q += bk;
        }
    }
    WF_UNROLL
    for (int i = 0; i < mr; i++)
        WF_UNROLL
        for (int j = 0; j < nv; j++) {
            float *to = c + i * cm + 16 * j;
            _mm512_storeu_ps(to, add ? _mm512_add_ps(_mm512_loadu_ps(to), acc[i][j]) : acc[i][j]);
        }
}

#define KERNEL(form, is_rows, m, nv)                                                               \
    static void form##_##m##_##nv(WF_TILE_ARGUMENTS) {                                             \
        block(is_rows, m, nv, a, as, a_seg, b, bk, b_seg, n_seg, len, c, cm, add);                 \
    }
#define KERNELS(m)                                                                                 \
    KERNEL(rows, true, m, 1) KERNEL(rows, true, m, 2)                                              \
    KERNEL(cols, false, m, 1) KERNEL(cols, false, m, 2)
WF_TILE_EACH_14(KERNELS)

const wf_tile_table wf_tile_avx512bf16 = {
    .name = "avx512bf16", .max_m = 14,
    .rows = {WF_TILE_ROWS_14(rows)}, .cols = {WF_TILE_ROWS_14(cols)}};
#endif
