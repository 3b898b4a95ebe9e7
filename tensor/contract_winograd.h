/* Convolutions with stride 1 by minimal filtering (tensor/kernels/winograd.h): for each of the
 * positions (i, j) of a tile of 2 x 2 output pixels a matrix product over channels
 *
 *   M[i, j][tile, column] = sum over sources and channels of V[i, j][tile, c] U[i, j][c, column]
 *
 * where V are sums of input pixels and U sums of taps: 16 products instead of 36 multiply-adds for
 * 3 x 3 taps, 49 instead of 100 for 5 x 5. It is a way to compute the pieces of a plan
 * (contract_plan.h) in which V is packed as a whole: blocks of rows, panels of columns and what is
 * packed stay the same, and a piece whose result is not finite is computed from the plan instead,
 * so that values which are infinite, or sums which overflow, come out as ever.
 *
 * Weight gradients are the same with tiles as the summed index:
 *
 *   dU[i, j][c, column] = sum over tiles of V[i, j][tile, c] Z[i, j][tile, column]
 */
#ifndef WEFT_CONTRACT_WINOGRAD_H
#define WEFT_CONTRACT_WINOGRAD_H

#include "tensor/contract_piece.h"
#include "tensor/kernels/winograd.h"

enum { WF_WINOGRAD_SOURCES = 8 }; /* at most */

/* Cycles of a core with AVX-512, as measured at 16 to 256 channels: a vector of V made, of outputs
 * or Z finished, a call for a group of tiles and a position shared by its tiles; and the share of
 * the multiply-add rate that products of tiles and direct sums reach. Only what is well below the
 * direct sums is worth it. */
static const double WF_WINOGRAD_V = 8, WF_WINOGRAD_OUT = 5, WF_WINOGRAD_CALL = 3,
                    WF_WINOGRAD_POSITION = 4, WF_WINOGRAD_RATE = 0.93, WF_DIRECT_RATE = 0.85,
                    WF_WINOGRAD_WORTH = 0.85;

/* WF_WINOGRAD=off|always, read once: never, or wherever it applies; else where it is faster. */
typedef enum wf_winograd_mode {
    WF_WINOGRAD_AUTO,
    WF_WINOGRAD_OFF,
    WF_WINOGRAD_ALWAYS
} wf_winograd_mode;
wf_winograd_mode wf_winograd_wanted(void);

/* Whether the plan's pieces can be computed so, and should be; the plan has its classes, columns
 * and blocks of rows. Sets p->winograd, and blocks of whole pairs of image rows. */
bool wf_winograd_plan(wf_contract_plan *p);

/* Floats of scratch of a worker; of U, in memory shared by all. */
int64_t wf_winograd_scratch(const wf_contract_plan *p);
int64_t wf_winograd_shared(const wf_contract_plan *p);

/* Panel i of U, from the panels of all sources, `packed`: (n_sources) panel i of each. */
void wf_winograd_pack(const wf_contract_plan *p, int64_t i, const float *const *packed, float *u);

/* A piece, into `out` at its first row. False: something is not finite; `out` means nothing. */
bool wf_winograd_piece(const wf_piece *w, const float *u, float *scratch, float *out);

/* How a side moves along one axis: by one output loop, and by at most one sum loop of taps. */
typedef struct wf_winograd_window {
    int axis, sum; /* sum: loop of the taps, -1: none */
    bool turned;   /* the index falls as the tap's number rises */
    int taps;
} wf_winograd_window;

typedef struct wf_winograd_source {
    wf_winograd_window y, x;
    int channel; /* its loop, or -1 */
    int64_t channels;
} wf_winograd_source;

/* False: minimal filtering does not suit the source. p->winograd has y and x. */
bool wf_winograd_read(const wf_contract_plan *p, const wf_source_plan *sp,
                      wf_winograd_source *out);

/* --- weight gradients (contract_winograd_sum.c) ----------------------------------------------- */

/* The same for a weight gradient. The plan has its classes; its pieces serve what is not finite. */
bool wf_winograd_sum_plan(wf_contract_plan *p);
int64_t wf_winograd_sum_scratch(const wf_contract_plan *p);
int64_t wf_winograd_sum_shared(const wf_contract_plan *p);

/* Gradients of products in parts of the tiles and blocks of filters, and those of taps from them:
 * pieces [first, last) of the two phases, `pieces` in number. */
int64_t wf_winograd_sum_pieces(const wf_contract_plan *p);
void wf_winograd_sum(const wf_contract_plan *p, int64_t first, int64_t last, float *scratch,
                     float *shared);
int64_t wf_winograd_tap_pieces(const wf_contract_plan *p);
void wf_winograd_taps(const wf_contract_plan *p, int64_t first, int64_t last, float *scratch,
                      float *shared);
/* True after the second phase if something is not finite: the output has no meaning then. */
bool wf_winograd_failed(const wf_contract_plan *p, const float *shared);

/* --- strips (contract_winograd_tiles.c) -------------------------------------------------- */

/* An image that windows move over: rows and columns of channels, which are contiguous. */
typedef struct wf_winograd_image {
    const float *first;       /* row 0, column 0 */
    int64_t height, width, y_step, x_step, channels;
    int64_t left;             /* where the first window begins */
    int64_t columns;          /* of all windows */
} wf_winograd_image;

/* The rows top + y->a and top + y->b combined, with zeros outside of the image. */
void wf_winograd_strip(const wf_winograd_table *f, const wf_winograd_image *m, int64_t top,
                       const wf_filter_product *y, float *to);

#endif
