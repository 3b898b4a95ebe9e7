/* Micro kernels on cells in plain C, the reference of the others: for every cell the odd product is
 * added, then the even one, in f32. Compilers vectorise over columns: mr x 16, mr up to 4. Also the
 * choice of a table for cells, decided once a process. */
#include "tensor/kernels/contract.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#define INLINE static inline __attribute__((always_inline))

static inline float odd_of(float cell) {
    uint32_t bits;
    memcpy(&bits, &cell, sizeof bits);
    bits &= 0xffff0000;
    memcpy(&cell, &bits, sizeof bits);
    return cell;
}
static inline float even_of(float cell) {
    uint32_t bits;
    memcpy(&bits, &cell, sizeof bits);
    bits <<= 16;
    memcpy(&cell, &bits, sizeof bits);
    return cell;
}

INLINE void block(const int mr, const float *a, int64_t am, int64_t ak, const int64_t *a_seg,
                  const float *b, int64_t bk, const int64_t *b_seg, int64_t n_seg, int64_t len,
                  float *c, int64_t cm, bool add) {
    float acc[4][8];
    memset(acc, 0, sizeof acc);
    for (int64_t s = 0; s < n_seg; s++) {
        const float *p = a + a_seg[s], *q = b + b_seg[s];
        for (int64_t k = 0; k < len; k++, q += bk, p += ak) {
            float odd[8], even[8];
            for (int n = 0; n < 8; n++) odd[n] = odd_of(q[n]);
            for (int n = 0; n < 8; n++) even[n] = even_of(q[n]);
            WF_UNROLL
            for (int i = 0; i < mr; i++) {
                const float cell = wf_cell_at(p + i * am), x = odd_of(cell), y = even_of(cell);
                for (int n = 0; n < 8; n++) acc[i][n] += x * odd[n];
                for (int n = 0; n < 8; n++) acc[i][n] += y * even[n];
            }
        }
    }
    WF_UNROLL
    for (int i = 0; i < mr; i++)
        for (int n = 0; n < 8; n++)
            c[i * cm + n] = add ? c[i * cm + n] + acc[i][n] : acc[i][n];
}

#define KERNEL(form, m, nv, am, ak)                                                                \
    static void form##_##m##_##nv(WF_TILE_ARGUMENTS) {                                             \
        for (int j = 0; j < 16 * nv; j += 8)                                                       \
            block(m, a, am, ak, a_seg, b + j, bk, b_seg, n_seg, len, c + j, cm, add);              \
    }
#define KERNELS(m)                                                                                 \
    KERNEL(rows, m, 1, as, 1) KERNEL(rows, m, 2, as, 1)                                            \
    KERNEL(cols, m, 1, 1, as) KERNEL(cols, m, 2, 1, as)
WF_TILE_EACH_4(KERNELS)

const wf_tile_table wf_tile_cells = {
    .name = "plain cells", .max_m = 4,
    .rows = {WF_TILE_ROWS_4(rows)}, .cols = {WF_TILE_ROWS_4(cols)}};

#if defined(__x86_64__)
/* The best of a few short runs of the largest block, in nanoseconds. */
static int64_t time_of(const wf_tile_table *t) {
    enum { LEN = 128, RUNS = 5 };
    static const float a[WF_TILE_M * LEN], b[LEN * WF_TILE_N];
    const int64_t segment = 0;
    float c[WF_TILE_M * WF_TILE_N];
    int64_t best = INT64_MAX;
    for (int i = 0; i < RUNS; i++) {
        struct timespec from, to;
        clock_gettime(CLOCK_MONOTONIC, &from);
        t->rows[12][2](a, LEN, &segment, b, WF_TILE_N, &segment, 1, LEN, c, WF_TILE_N, false);
        clock_gettime(CLOCK_MONOTONIC, &to);
        const int64_t ns = (to.tv_sec - from.tv_sec) * INT64_C(1000000000) + to.tv_nsec -
                           from.tv_nsec;
        if (ns < best) best = ns;
    }
    return best;
}

/* Products of pairs are half as fast as multiply-adds on some machines that have them. The results
 * are the same bits. */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool pairs_are_fast;
static void probe(void) {
    pairs_are_fast = wf_cpu_has_bf16() &&
                     4 * time_of(&wf_tile_avx512bf16) <= 5 * time_of(&wf_tile_cells_avx512);
}
#endif

const wf_tile_table *wf_tile_cells_for(wf_isa isa) {
#if defined(__x86_64__)
    if (isa >= WF_ISA_AVX512) {
        pthread_once(&once, probe);
        return pairs_are_fast ? &wf_tile_avx512bf16 : &wf_tile_cells_avx512;
    }
    if (isa == WF_ISA_AVX2) return &wf_tile_cells_avx2;
#endif
    return &wf_tile_cells;
}

const wf_large_table *wf_tile_large_for(wf_isa isa) {
#if defined(__x86_64__)
    if (isa == WF_ISA_AMX && wf_tile_amx.begin) return &wf_tile_amx;
#endif
    return NULL;
}
