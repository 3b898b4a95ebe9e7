/* The reference micro kernel: the formula of contract.h as loops. Tests hold every other table
 * against it. */
#include "tensor/kernels/contract.h"

static void block(int mr, int nv, const float *a, int64_t am, int64_t ak, const int64_t *a_seg,
                  const float *b, int64_t bk, const int64_t *b_seg, int64_t n_seg, int64_t len,
                  float *c, int64_t cm, bool add) {
    for (int i = 0; i < mr; i++)
        for (int n = 0; n < 16 * nv; n++) {
            float sum = 0;
            for (int64_t s = 0; s < n_seg; s++)
                for (int64_t k = 0; k < len; k++)
                    sum += a[a_seg[s] + i * am + k * ak] * b[b_seg[s] + k * bk + n];
            c[i * cm + n] = add ? c[i * cm + n] + sum : sum;
        }
}

static void lanes(const wf_strip *s) {
    for (int64_t i = 0; i < s->rows; i++)
        for (int64_t l = 0; l < s->lanes; l++) {
            float sum = 0;
            for (int64_t g = 0; g < s->n_seg; g++)
                for (int64_t k = 0; k < s->len; k++)
                    sum += s->a[s->a_seg[g] + i * s->am + k * s->ak + l] *
                           s->b[s->b_seg[g] + k * s->bk + l];
            float *c = s->c + i * s->cm + l;
            *c = s->add ? *c + sum : sum;
        }
}

static void dot(int mr, int nr, const float *a, int64_t am, const int64_t *a_seg, const float *b,
                int64_t bn, const int64_t *b_seg, int64_t n_seg, int64_t len, float *c) {
    for (int i = 0; i < mr; i++)
        for (int j = 0; j < nr; j++) {
            float sum = 0;
            for (int64_t s = 0; s < n_seg; s++)
                for (int64_t k = 0; k < len; k++)
                    sum += a[a_seg[s] + i * am + k] * b[b_seg[s] + j * bn + k];
            c[i * WF_TILE_N + j] = sum;
        }
}

WF_DOT_KERNELS

#define KERNEL(form, m, nv, am, ak)                                                                \
    static void form##_##m##_##nv(WF_TILE_ARGUMENTS) {                                             \
        block(m, nv, a, am, ak, a_seg, b, bk, b_seg, n_seg, len, c, cm, add);                      \
    }
#define KERNELS(m)                                                                                 \
    KERNEL(rows, m, 1, as, 1) KERNEL(rows, m, 2, as, 1)                                            \
    KERNEL(cols, m, 1, 1, as) KERNEL(cols, m, 2, 1, as)
WF_TILE_EACH_14(KERNELS)

const wf_tile_table wf_tile_ref = {
    .name = "ref", .max_m = 14, .lanes = lanes,
    .rows = {WF_TILE_ROWS_14(rows)}, .cols = {WF_TILE_ROWS_14(cols)},
    .dot = {WF_DOT_TABLE}};
