/* Micro kernels of the contraction: one register block of the output, summed over a list of
 * segments of the summed index. Pointers, sizes and strides only; a driver (tensor/contract_run.c)
 * decides what they point at.
 *
 *   c[i * cm + n] (+)= sum over s < n_seg, k < len of
 *                      a[a_seg[s] + i * am + k * ak] * b[b_seg[s] + k * bk + n]
 *
 * for i < mr, n < 16 nv. Two forms, because an address with two free strides costs registers:
 *   rows  ak = 1, `as` is am: the summed index is contiguous in a (pixels times channels)
 *   cols  am = 1, `as` is ak: the rows of the block are contiguous in a (weight gradients)
 * `add`: add to c instead of overwriting it. All strides are in floats; nothing need be aligned.
 * Terms are added in the order of s, then k, in one register for each element, and by fused
 * multiply-adds in every set but plain C.
 *
 * Computing in bf16 or f32x3, a and b hold cells (tensor/kernels/cells.h) instead of floats: two
 * products a term, and strides in cells. f32x3 passes its three products as segments.
 *
 * Each instruction set has a table; tensor/kernels/contract_ref.c is the plainest one. */
#ifndef WEFT_KERNELS_CONTRACT_H
#define WEFT_KERNELS_CONTRACT_H

#include <stdbool.h>
#include <stdint.h>

#include "tensor/kernels/cpu.h"

/* The widest block: columns of a panel, rows; rows of a large one, and of half of it. */
enum { WF_TILE_N = 32, WF_TILE_M = 14, WF_TILE_LARGE = 32, WF_TILE_HALF = 16 };
enum { WF_DOT_M = 8, WF_DOT_N = 3 };     /* of the kernel for few columns */

typedef void wf_tile_fn(const float *a, int64_t as, const int64_t *a_seg, const float *b,
                        int64_t bk, const int64_t *b_seg, int64_t n_seg, int64_t len, float *c,
                        int64_t cm, bool add);

/* Products along lanes, for contractions without a matrix in them (depthwise convolution), of
 * several rows (pixels, or the taps of a weight gradient):
 *   c[i * cm + l] (+)= sum over s < n_seg, k < len of
 *                      a[a_seg[s] + i * am + k * ak + l] * b[b_seg[s] + k * bk + l]
 * for i < rows, l < lanes. Terms are summed in registers, in blocks of WF_STRIP_ROWS rows, in the
 * order of s, then k; in small blocks the even and the odd k apart. */
enum { WF_STRIP_ROWS = 6 };
typedef struct wf_strip {
    int64_t rows, lanes, n_seg, len;
    const float *a, *b;
    int64_t am, ak, bk, cm;
    const int64_t *a_seg, *b_seg;
    float *c;
    bool add;
} wf_strip;
typedef void wf_lanes_fn(const wf_strip *s);

/* Few columns: sums along k in vectors, which both operands are contiguous in.
 *   c[i * WF_TILE_N + j] = sum over s < n_seg, k < len of
 *                          a[a_seg[s] + i * am + k] * b[b_seg[s] + j * bn + k]
 * for i < mr, j < nr; mr * nr accumulators are added up at the end. */
typedef void wf_dot_fn(const float *a, int64_t am, const int64_t *a_seg, const float *b, int64_t bn,
                       const int64_t *b_seg, int64_t n_seg, int64_t len, float *c);

typedef struct wf_tile_table {
    const char *name;
    int max_m;                             /* rows of the largest block, at most WF_TILE_M */
    wf_tile_fn *rows[WF_TILE_M + 1][3];    /* [mr][nv], mr 1..max_m, nv 1..2 (16, 32 columns) */
    wf_tile_fn *cols[WF_TILE_M + 1][3];
    wf_lanes_fn *lanes;
    wf_dot_fn *dot[WF_DOT_M + 1][WF_DOT_N + 1]; /* [mr][nr] */
} wf_tile_table;

/* Kernels on cells for blocks of 16 and 32 rows, beside a table for those that are left over. A
 * thread calls begin, then any of them, then end. */
typedef struct wf_large_table {
    void (*begin)(void), (*end)(void);
    wf_tile_fn *rows[3][3]; /* [rows / 16][nv] */
    wf_tile_fn *cols[3][3];
} wf_large_table;

/* The table for an instruction set that this build has; the plain C one otherwise. */
const wf_tile_table *wf_tile_table_for(wf_isa isa);
/* The same for cells; it has no lanes. */
const wf_tile_table *wf_tile_cells_for(wf_isa isa);
/* Large blocks of cells; NULL if the instruction set has none. */
const wf_large_table *wf_tile_large_for(wf_isa isa);

extern const wf_tile_table wf_tile_ref;
#if defined(__x86_64__)
extern const wf_tile_table wf_tile_avx2, wf_tile_avx512;
extern const wf_tile_table wf_tile_cells_avx2, wf_tile_cells_avx512, wf_tile_avx512bf16;
extern const wf_large_table wf_tile_amx;
#elif defined(__aarch64__)
extern const wf_tile_table wf_tile_neon;
#endif
extern const wf_tile_table wf_tile_plain, wf_tile_cells;

/* A cell, which may stand at any bf16 of an array that is read in place. */
static inline float wf_cell_at(const float *p) {
    float cell;
    __builtin_memcpy(&cell, p, sizeof cell);
    return cell;
}

/* Before a loop with a constant, small count: it must vanish, or accumulators live in memory. */
#if defined(__clang__)
#define WF_UNROLL _Pragma("clang loop unroll(full)")
#else
#define WF_UNROLL _Pragma("GCC unroll 16")
#endif

/* What every file with kernels ends with: functions prefix_MR_NV with the arguments of wf_tile_fn,
 * which the file makes by KERNELS(MR), and their table entries [1 .. n][1 .. 2]. */
#define WF_TILE_ARGUMENTS                                                                          \
    const float *a, int64_t as, const int64_t *a_seg, const float *b, int64_t bk,                  \
        const int64_t *b_seg, int64_t n_seg, int64_t len, float *c, int64_t cm, bool add
#define WF_TILE_EACH_4(KERNELS)  KERNELS(1) KERNELS(2) KERNELS(3) KERNELS(4)
#define WF_TILE_EACH_6(KERNELS)  WF_TILE_EACH_4(KERNELS) KERNELS(5) KERNELS(6)
#define WF_TILE_EACH_12(KERNELS)                                                                   \
    WF_TILE_EACH_6(KERNELS) KERNELS(7) KERNELS(8) KERNELS(9) KERNELS(10) KERNELS(11) KERNELS(12)
#define WF_TILE_EACH_14(KERNELS) WF_TILE_EACH_12(KERNELS) KERNELS(13) KERNELS(14)
#define WF_TILE_ROW(prefix, m)   [m] = {0, prefix##_##m##_1, prefix##_##m##_2}
#define WF_TILE_ROWS_4(prefix)                                                                     \
    WF_TILE_ROW(prefix, 1), WF_TILE_ROW(prefix, 2), WF_TILE_ROW(prefix, 3), WF_TILE_ROW(prefix, 4)
#define WF_TILE_ROWS_6(prefix)                                                                     \
    WF_TILE_ROWS_4(prefix), WF_TILE_ROW(prefix, 5), WF_TILE_ROW(prefix, 6)
#define WF_TILE_ROWS_12(prefix)                                                                    \
    WF_TILE_ROWS_6(prefix), WF_TILE_ROW(prefix, 7), WF_TILE_ROW(prefix, 8),                        \
        WF_TILE_ROW(prefix, 9), WF_TILE_ROW(prefix, 10), WF_TILE_ROW(prefix, 11),                  \
        WF_TILE_ROW(prefix, 12)
#define WF_TILE_ROWS_14(prefix)                                                                    \
    WF_TILE_ROWS_12(prefix), WF_TILE_ROW(prefix, 13), WF_TILE_ROW(prefix, 14)

/* The functions dot_MR_NR, each a call of the file's dot(MR, NR, ..), and the table of them. */
#define WF_DOT_KERNEL(m, n)                                                                        \
    static void dot_##m##_##n(const float *a, int64_t am, const int64_t *a_seg, const float *b,    \
                              int64_t bn, const int64_t *b_seg, int64_t n_seg, int64_t len,        \
                              float *c) {                                                          \
        dot(m, n, a, am, a_seg, b, bn, b_seg, n_seg, len, c);                                      \
    }
#define WF_DOT_EACH(m) WF_DOT_KERNEL(m, 1) WF_DOT_KERNEL(m, 2) WF_DOT_KERNEL(m, 3)
#define WF_DOT_KERNELS                                                                             \
    WF_DOT_EACH(1) WF_DOT_EACH(2) WF_DOT_EACH(3) WF_DOT_EACH(4) WF_DOT_EACH(5) WF_DOT_EACH(6)      \
    WF_DOT_EACH(7) WF_DOT_EACH(8)
#define WF_DOT_ROW(m) [m] = {0, dot_##m##_1, dot_##m##_2, dot_##m##_3}
#define WF_DOT_TABLE                                                                               \
    WF_DOT_ROW(1), WF_DOT_ROW(2), WF_DOT_ROW(3), WF_DOT_ROW(4), WF_DOT_ROW(5), WF_DOT_ROW(6),      \
        WF_DOT_ROW(7), WF_DOT_ROW(8)

#endif
