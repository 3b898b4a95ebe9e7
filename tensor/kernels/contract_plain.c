/* Micro kernels in plain C over vectors of four floats, which every compiler maps to the registers
 * that the baseline of the machine has (SSE2, NEON): mr x 8, mr up to 4, four passes a panel.
 * Also the choice of a table. */
#include "tensor/kernels/contract.h"

#include <string.h>

#define INLINE static inline __attribute__((always_inline))

typedef float v4 __attribute__((vector_size(16)));

INLINE v4 load(const float *p) {
    v4 v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void block(const int mr, const float *a, int64_t am, int64_t ak, const int64_t *a_seg,
                  const float *b, int64_t bk, const int64_t *b_seg, int64_t n_seg, int64_t len,
                  float *c, int64_t cm, bool add) {
    v4 acc[4][2];
    WF_UNROLL
    for (int i = 0; i < mr; i++) acc[i][0] = acc[i][1] = (v4){0, 0, 0, 0};
    for (int64_t s = 0; s < n_seg; s++) {
        const float *p = a + a_seg[s], *q = b + b_seg[s];
        for (int64_t k = 0; k < len; k++, q += bk, p += ak) {
            const v4 v0 = load(q), v1 = load(q + 4);
            WF_UNROLL
            for (int i = 0; i < mr; i++) {
                const float x = p[i * am];
                acc[i][0] += (v4){x, x, x, x} * v0;
                acc[i][1] += (v4){x, x, x, x} * v1;
            }
        }
    }
    WF_UNROLL
    for (int i = 0; i < mr; i++)
        WF_UNROLL
        for (int j = 0; j < 2; j++) {
            float *p = c + i * cm + 4 * j;
            const v4 v = add ? load(p) + acc[i][j] : acc[i][j];
            memcpy(p, &v, sizeof v);
        }
}

INLINE void store(float *p, v4 v) { memcpy(p, &v, sizeof v); }
INLINE v4 load_part(const float *p, int64_t n) {
    v4 v = {0, 0, 0, 0};
    memcpy(&v, p, (size_t)n * sizeof *p);
    return v;
}
INLINE void store_part(float *p, v4 v, int64_t n) { memcpy(p, &v, (size_t)n * sizeof *p); }

#define VECTOR v4
#define WIDTH 4
#define MOST 2
#define ZERO() ((v4){0, 0, 0, 0})
#define LOAD load
#define STORE store
#define ADD(x, y) ((x) + (y))
#define FMA(x, y, z) ((x) * (y) + (z))
#define LOAD_PART load_part
#define STORE_PART store_part
#include "tensor/kernels/contract_lanes.inc"

INLINE void dot(const int mr, const int nr, const float *a, int64_t am, const int64_t *a_seg,
                const float *b, int64_t bn, const int64_t *b_seg, int64_t n_seg, int64_t len,
                float *c) {
    for (int i = 0; i < mr; i++)
        for (int j = 0; j < nr; j++) {
            v4 acc[2] = {{0, 0, 0, 0}, {0, 0, 0, 0}};
            float rest = 0;
            for (int64_t s = 0; s < n_seg; s++) {
                const float *p = a + a_seg[s] + i * am, *q = b + b_seg[s] + j * bn;
                int64_t k = 0;
                for (; k + 8 <= len; k += 8) {
                    acc[0] += load(p + k) * load(q + k);
                    acc[1] += load(p + k + 4) * load(q + k + 4);
                }
                for (; k < len; k++) rest += p[k] * q[k];
            }
            acc[0] += acc[1];
            c[i * WF_TILE_N + j] = acc[0][0] + acc[0][1] + (acc[0][2] + acc[0][3]) + rest;
        }
}

WF_DOT_KERNELS

#define KERNEL(form, m, nv, am, ak)                                                                \
    static void form##_##m##_##nv(WF_TILE_ARGUMENTS) {                                             \
        for (int j = 0; j < 16 * nv; j += 8)                                                       \
            block(m, a, am, ak, a_seg, b + j, bk, b_seg, n_seg, len, c + j, cm, add);              \
    }
#define KERNELS(m)                                                                                 \
    KERNEL(rows, m, 1, as, 1) KERNEL(rows, m, 2, as, 1)                                            \
    KERNEL(cols, m, 1, 1, as) KERNEL(cols, m, 2, 1, as)
WF_TILE_EACH_4(KERNELS)

const wf_tile_table wf_tile_plain = {
    .name = "plain", .max_m = 4, .lanes = lanes,
    .rows = {WF_TILE_ROWS_4(rows)}, .cols = {WF_TILE_ROWS_4(cols)},
    .dot = {WF_DOT_TABLE}};

const wf_tile_table *wf_tile_table_for(wf_isa isa) {
#if defined(__x86_64__)
    if (isa >= WF_ISA_AVX512) return &wf_tile_avx512;
    if (isa == WF_ISA_AVX2) return &wf_tile_avx2;
#elif defined(__aarch64__)
    if (isa == WF_ISA_NEON) return &wf_tile_neon;
#endif
    return &wf_tile_plain;
}
