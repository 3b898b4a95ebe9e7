/* Minimal filtering: the transforms around the products of Winograd's algorithm. Outputs are made
 * in pairs along each axis; m = 2 needs only sums, differences and halves, so that results are no
 * less accurate than those of sums of products.
 *
 *   3 taps, 4 products        2 taps, 3 products     1 tap, 2 products
 *   (x0 - x2) g0              (x0 - x1) g0           x0 g0
 *   (x1 + x2) (g0+g1+g2)/2    x1 (g0 + g1)           x1 g0
 *   (x2 - x1) (g0-g1+g2)/2    (x2 - x1) g1
 *   (x1 - x3) g2
 *   y0 = m0 + m1 + m2         y0 = m0 + m1           y0 = m0
 *   y1 = m1 - m2 - m3         y1 = m1 + m2           y1 = m1
 *
 * A filter of more taps is a sum of such parts: 5 = 3 + 2 taps, 7 products instead of 10. (All at
 * once, 5 taps by 6 products at 0, 1, -1, 1/2, -2, infinity: 1.1e-6 instead of 2.5e-7 relative
 * error over 64 channels.)
 * S. Winograd, Arithmetic Complexity of Computations (1980); A. Lavin, S. Gray, Fast Algorithms for
 * Convolutional Neural Networks (2016).
 *
 * Pointers, sizes and strides in floats; nothing need be aligned. */
#ifndef WEFT_KERNELS_WINOGRAD_H
#define WEFT_KERNELS_WINOGRAD_H

#include <stdbool.h>
#include <stdint.h>

#include "tensor/kernels/cpu.h"

enum {
    WF_FILTER_TAPS = 7,      /* along an axis, at most */
    WF_FILTER_PARTS = 3,     /* of at most 3 taps */
    WF_FILTER_PRODUCTS = 10,
    WF_FILTER_COLUMNS = 32   /* that are finished at once */
};

/* One product along an axis, of x[a] + sign x[b]. */
typedef struct wf_filter_product {
    int a, b;
    int sign;      /* 0: x[a] alone */
    int y[2];      /* what it adds to outputs 0 and 1: 1, -1 or 0 times the product */
    bool sets[2];  /* first to add, and by 1 */
} wf_filter_product;

typedef struct wf_filter {
    int taps, n_parts, n;   /* n: products */
    int part[WF_FILTER_PARTS]; /* their taps */
    wf_filter_product product[WF_FILTER_PRODUCTS];
} wf_filter;

/* The filter of 1 <= taps <= WF_FILTER_TAPS; its products alone. */
wf_filter wf_filter_make(int taps);
int wf_filter_products(int taps);

/* to[i to_step + k] = a[i step + k] + sign b[i step + k], for i < rows, k < n. */
typedef void wf_winograd_combine_fn(float *to, int64_t to_step, const float *a, const float *b,
                                    int64_t step, int sign, int64_t rows, int64_t n);

/* Products of one row of positions, along x, and what they add to the outputs of their tiles. */
typedef struct wf_winograd_finish {
    const wf_filter *x;
    const wf_filter_product *y;
    const float *m;       /* product j of tile t at m + j m_step + t WF_FILTER_COLUMNS */
    int64_t m_step, tiles, n; /* n <= WF_FILTER_COLUMNS */
    float *out;
    const int64_t *at;    /* (tiles) where output (0, 0) of the tile is */
    const uint8_t *edge;  /* (tiles) bit 0: no second column; bit 1: no second row */
    int64_t y_step, x_step;
} wf_winograd_finish;

/* One channel of a filter, taps sy and sx apart, each WF_FILTER_COLUMNS floats, into its products:
 * (i, j) of them at u + (i x->n + j) step. */
typedef void wf_winograd_filter_fn(const wf_filter *y, const wf_filter *x, const float *g,
                                   int64_t sy, int64_t sx, float *u, int64_t step);

/* The adjoint: the sum over parts of gradients of products, of one channel, into those of the taps,
 * tap (i, j) at g + (i x->taps + j) WF_FILTER_COLUMNS. Products with y of (0, -1) come negated. */
typedef void wf_winograd_taps_fn(const wf_filter *y, const wf_filter *x, const float *u,
                                 int64_t step, int64_t parts, int64_t part_step, float *g);

typedef struct wf_winograd_table {
    wf_winograd_combine_fn *combine;
    wf_winograd_filter_fn *filter;
    wf_winograd_taps_fn *taps;
    void (*finish)(const wf_winograd_finish *f);
    bool (*finite)(const float *x, int64_t n); /* every value is */
} wf_winograd_table;

extern const wf_winograd_table wf_winograd_plain, wf_winograd_avx2, wf_winograd_avx512;
/* For the instruction set in use. */
const wf_winograd_table *wf_winograd_get(void);

#endif
