/* Micro kernels on cells for AMX: 16 or 32 rows of 16 or 32 columns, as up to 2 x 2 tiles, for
 * which a product of tiles needs one load. A step is 16 cells of k. What is left of a segment,
 * fewer than 16 cells, is added by the vector kernels afterwards.
 *
 * The tile of a has rows of k; where instead rows of the block are contiguous in a, 16 x 16 cells
 * are transposed through memory first. */
#include "tensor/kernels/contract.h"

/* gcc's names and those of older clangs. */
#if defined(__AMX_BF16__) || defined(__AMXBF16__)
#define HAVE_TILES 1
#endif

#if defined(WF_AMX_EMULATED) || defined(HAVE_TILES)
#include "tensor/kernels/amx.h"
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))

enum { STEP = 16 }; /* cells of k, rows and columns of a tile */

/* Tiles 0 .. 3: c[i][j] at 2 i + j; 4, 5: of a; 6, 7: of b. */
INLINE void load_c(const int rows, const int columns, const float *c, int64_t cm) {
    const int64_t bytes = 4 * cm;
    WF_AMX_LOAD(0, c, bytes);
    if (columns > 1) WF_AMX_LOAD(1, c + STEP, bytes);
    if (rows > 1) WF_AMX_LOAD(2, c + STEP * cm, bytes);
    if (rows > 1 && columns > 1) WF_AMX_LOAD(3, c + STEP * cm + STEP, bytes);
}

INLINE void zero_c(const int rows, const int columns) {
    WF_AMX_ZERO(0);
    if (columns > 1) WF_AMX_ZERO(1);
    if (rows > 1) WF_AMX_ZERO(2);
    if (rows > 1 && columns > 1) WF_AMX_ZERO(3);
}

INLINE void store_c(const int rows, const int columns, float *c, int64_t cm) {
    const int64_t bytes = 4 * cm;
    WF_AMX_STORE(0, c, bytes);
    if (columns > 1) WF_AMX_STORE(1, c + STEP, bytes);
    if (rows > 1) WF_AMX_STORE(2, c + STEP * cm, bytes);
    if (rows > 1 && columns > 1) WF_AMX_STORE(3, c + STEP * cm + STEP, bytes);
}

/* to[m][k] = a[k][m] of 16 x 16 cells: pairs, then quarters, of rows are interleaved. */
INLINE void transpose(const float *a, int64_t stride, float to[STEP][STEP]) {
#if defined(__AVX512F__)
    __m512 r[16], s[16];
    WF_UNROLL
    for (int i = 0; i < 16; i++) r[i] = _mm512_loadu_ps(a + i * stride);
    WF_UNROLL
    for (int i = 0; i < 16; i += 2) {
        s[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        s[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    WF_UNROLL
    for (int i = 0; i < 16; i += 4)
        WF_UNROLL
        for (int k = 0; k < 2; k++) {
            const __m512d x = _mm512_castps_pd(s[i + k]), y = _mm512_castps_pd(s[i + k + 2]);
            r[i + 2 * k] = _mm512_castpd_ps(_mm512_unpacklo_pd(x, y));
            r[i + 2 * k + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(x, y));
        }
    /* r[i + k] has rows i .. i + 3 of columns k, k + 4, k + 8, k + 12, a quarter each. */
    WF_UNROLL
    for (int k = 0; k < 4; k++) {
        const __m512 lo0 = _mm512_shuffle_f32x4(r[k], r[k + 4], 0x44);
        const __m512 hi0 = _mm512_shuffle_f32x4(r[k], r[k + 4], 0xee);
        const __m512 lo1 = _mm512_shuffle_f32x4(r[k + 8], r[k + 12], 0x44);
        const __m512 hi1 = _mm512_shuffle_f32x4(r[k + 8], r[k + 12], 0xee);
        _mm512_storeu_ps(to[k], _mm512_shuffle_f32x4(lo0, lo1, 0x88));
        _mm512_storeu_ps(to[k + 4], _mm512_shuffle_f32x4(lo0, lo1, 0xdd));
        _mm512_storeu_ps(to[k + 8], _mm512_shuffle_f32x4(hi0, hi1, 0x88));
        _mm512_storeu_ps(to[k + 12], _mm512_shuffle_f32x4(hi0, hi1, 0xdd));
    }
#else
    for (int k = 0; k < STEP; k++)
        for (int m = 0; m < STEP; m++) memcpy(&to[m][k], a + k * stride + m, sizeof(float));
#endif
}

/* The rest of all segments, in blocks of rows that the vector kernels have. */
static void add_rest(const bool by_rows, int rows, int columns, const float *a, int64_t as,
                     const int64_t *a_seg, const float *b, int64_t bk, const int64_t *b_seg,
                     int64_t n_seg, int64_t len, float *c, int64_t cm) {
    const wf_tile_table *t = wf_tile_cells_for(wf_isa_get());
    const int64_t done = len / STEP * STEP, row = by_rows ? as : 1;
    for (int i = 0; i < rows;) {
        const int n = rows - i < t->max_m ? rows - i : t->max_m;
        (by_rows ? t->rows : t->cols)[n][columns](
            a + i * row + done * (by_rows ? 1 : as), as, a_seg, b + done * bk, bk, b_seg, n_seg,
            len - done, c + i * cm, cm, true);
        i += n;
    }
}

INLINE void block(const bool by_rows, const int rows, const int columns, const float *a,
                  int64_t as, const int64_t *a_seg, const float *b, int64_t bk,
                  const int64_t *b_seg, int64_t n_seg, int64_t len, float *c, int64_t cm,
                  bool add) {
    _Alignas(64) float turned[2][STEP][STEP];
    if (add) load_c(rows, columns, c, cm);
    else zero_c(rows, columns);
    for (int64_t s = 0; s < n_seg; s++) {
        const float *p = a + a_seg[s], *q = b + b_seg[s];
        for (int64_t k = STEP; k <= len; k += STEP, q += STEP * bk) {
            WF_AMX_LOAD(6, q, 4 * bk);
            if (columns > 1) WF_AMX_LOAD(7, q + STEP, 4 * bk);
            if (by_rows) {
                WF_AMX_LOAD(4, p, 4 * as);
                if (rows > 1) WF_AMX_LOAD(5, p + STEP * as, 4 * as);
                p += STEP;
            } else {
                transpose(p, as, turned[0]);
                WF_AMX_LOAD(4, turned[0], 64);
                if (rows > 1) {
                    transpose(p + STEP, as, turned[1]);
                    WF_AMX_LOAD(5, turned[1], 64);
                }
                p += STEP * as;
            }
            WF_AMX_DOT(0, 4, 6);
            if (columns > 1) WF_AMX_DOT(1, 4, 7);
            if (rows > 1) WF_AMX_DOT(2, 5, 6);
            if (rows > 1 && columns > 1) WF_AMX_DOT(3, 5, 7);
        }
    }
    store_c(rows, columns, c, cm);
    if (len % STEP)
        add_rest(by_rows, rows * STEP, columns, a, as, a_seg, b, bk, b_seg, n_seg, len, c, cm);
}

#define KERNEL(form, by_rows, m, nv)                                                               \
    static void form##_##m##_##nv(const float *a, int64_t as, const int64_t *a_seg,                \
                                  const float *b, int64_t bk, const int64_t *b_seg, int64_t n_seg, \
                                  int64_t len, float *c, int64_t cm, bool add) {                   \
        block(by_rows, m, nv, a, as, a_seg, b, bk, b_seg, n_seg, len, c, cm, add);                 \
    }
KERNEL(rows, true, 1, 1) KERNEL(rows, true, 1, 2) KERNEL(rows, true, 2, 1) KERNEL(rows, true, 2, 2)
KERNEL(cols, false, 1, 1) KERNEL(cols, false, 1, 2)
KERNEL(cols, false, 2, 1) KERNEL(cols, false, 2, 2)

static void begin(void) {
    const wf_amx_config config = wf_amx_full();
    WF_AMX_CONFIGURE(&config);
}
static void end(void) { WF_AMX_RELEASE(); }

const wf_large_table wf_tile_amx = {
    .begin = begin, .end = end,
    .rows = {WF_TILE_ROW(rows, 1), WF_TILE_ROW(rows, 2)},
    .cols = {WF_TILE_ROW(cols, 1), WF_TILE_ROW(cols, 2)},
};
#elif defined(__x86_64__)
const wf_large_table wf_tile_amx; /* this compiler knows no tiles */
#else
typedef int wf_no_amx_here;
#endif
