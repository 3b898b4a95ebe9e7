/* Operands of contractions that compute in bf16 or f32x3, brought into cells: 32 bits with two bf16
 * that are adjacent in the summed index, the even one in the low half.
 *
 *   x = hi + lo   hi = x rounded to bf16, nearest even; lo = the rest rounded so
 *
 * NaN stays NaN. With a lo part hi stays finite for finite x, and lo is 0 where x is inf or NaN.
 * Subnormal values may become 0, which is what the product instructions make of them. */
#ifndef WEFT_KERNELS_CELLS_H
#define WEFT_KERNELS_CELLS_H

#include <stdint.h>

typedef struct wf_cell_table {
    /* hi[i], lo[i] of x[i]; lo may be NULL. */
    void (*narrow)(const float *x, int64_t n, uint16_t *hi, uint16_t *lo);
    /* Cells of (x[i], y[i]); lo may be NULL. */
    void (*pair)(const float *x, const float *y, int64_t n, uint32_t *hi, uint32_t *lo);
    /* Rows of such cells: x[i * step + k] with x[i * step + apart + k], k < n, at hi[i * to_step].
     * lo: cells to the lo part, 0 if there is none. */
    void (*lines)(const float *x, int64_t apart, int64_t step, int64_t rows, int64_t n,
                  uint32_t *hi, int64_t to_step, int64_t lo);
    /* pair without a lo part, of bf16 values. */
    void (*zip)(const uint16_t *x, const uint16_t *y, int64_t n, uint32_t *cells);
    void (*widen)(const uint16_t *x, int64_t n, float *y);
    /* y[i] = x[i] rounded to bf16. */
    void (*round)(const float *x, int64_t n, float *y);
} wf_cell_table;

/* The table of this machine and WF_ISA. */
const wf_cell_table *wf_cells_get(void);

extern const wf_cell_table wf_cells_plain;
#if defined(__x86_64__)
extern const wf_cell_table wf_cells_avx2, wf_cells_avx512, wf_cells_avx512bf16;
#endif

#endif
