/* Row kernels of the elementwise operations, and the loop that feeds them.
 *
 * A row function computes n elements; one exists for every row of tensor/ops.def and every dtype of
 * its class, compiled once for each instruction set from rows.inc. All sets give the same bits as
 * `eval` (tests/test_tensor_scalar.c). */
#ifndef WEFT_ROWS_H
#define WEFT_ROWS_H

#include "tensor/array.h"
#include "tensor/kernels/cpu.h"

/* out[i stride[0]] = f(in[0][i stride[1]], in[1][i stride[2]], ...) for i in [0, n). Strides are in
 * elements; out may be the same memory as an operand of the same stride, but not overlap
 * otherwise. */
typedef void wf_row_fn(int64_t n, void *out, const void *const *in, const int64_t *stride);

/* By operand dtype (select: that of b); NULL where the class does not have it. */
typedef struct wf_rows {
#define WF_EW1(name, ...) wf_row_fn *name[WF_N_DTYPE];
#define WF_EW2 WF_EW1
#define WF_EW3 WF_EW1
#include "tensor/ops.def"
#undef WF_EW1
#undef WF_EW2
#undef WF_EW3
} wf_rows;
extern const wf_rows wf_rows_plain, wf_rows_avx2, wf_rows_avx512, wf_rows_neon;

/* Those of an instruction set that this build has, else the plain ones; those of the chosen one
 * (tensor/kernels/cpu.h). */
const wf_rows *wf_rows_for(wf_isa isa);
const wf_rows *wf_rows_get(void);

/* The conversion of one element; NULL where there is only the reference. */
typedef struct wf_casts {
    wf_row_fn *row[WF_N_DTYPE][WF_N_DTYPE]; /* [from][to] */
} wf_casts;
extern const wf_casts wf_casts_plain, wf_casts_avx2, wf_casts_avx512, wf_casts_avx512bf16;
wf_row_fn *wf_row_cast(wf_dtype from, wf_dtype to);

/* Pieces of about 16 Ki elements of out. */
#define WF_ROW_PIECE 16384
int64_t wf_row_pieces(const wf_array *out);

/* Pieces [first, last) of out = f(in...), operands broadcast to out's shape; n_in <= 3. */
void wf_row_run(wf_row_fn *f, const wf_array *out, const wf_array *in, int n_in, int64_t first,
                int64_t last);

/* Axes of out and of operands broadcast to it, merged where all of them step evenly; extents of 1
 * are gone, the innermost axis is the last. rank is at least 1. */
#define WF_NEST_MAX 4
typedef struct wf_nest {
    int rank;
    int64_t dim[WF_MAX_RANK];
    int64_t stride[WF_NEST_MAX][WF_MAX_RANK]; /* [0] out, [1 + i] in[i] */
} wf_nest;
void wf_nest_make(wf_nest *q, const wf_array *out, const wf_array *in, int n_in);

#endif
