/* What the reductions (sum, prod, max, min, moments) share: attributes, shape rule, the split of an
 * array into kept and reduced axes, and the threaded fast path for f32.
 *
 * Invariant: the attributes of an accepted node are canonical - axes in [0, rank), ascending, none
 * twice, "all" written out - so that equal reductions have equal bytes. */
#ifndef WEFT_REDUCE_H
#define WEFT_REDUCE_H

#include "tensor/graph.h"
#include "tensor/kernels/reduce.h"

typedef struct wf_reduce_attr {
    int32_t n_axes; /* 0: all */
    int32_t axes[WF_MAX_RANK];
    int32_t keepdims;
} wf_reduce_attr;

extern const wf_op wf_op_sum, wf_op_prod, wf_op_max, wf_op_min, wf_op_moments;

/* Bit i: axis i of an operand of this rank is reduced. The attributes are valid for the rank. */
uint32_t wf_reduce_mask(const void *attr, int rank);

/* Number of values of x behind one of the result, 1 with no reduced axis. */
double wf_reduce_count(const void *attr, wf_tensor x);

/* Appends `op` over x; the shape rule refuses bad axes. */
wf_tensor wf_reduce_emit(const wf_op *op, wf_tensor x, wf_reduce_opt o);

/* Shape rule: checks axes, sets out's shape and dtype; integers are allowed on request. */
bool wf_reduce_infer(wf_infer *q, bool integers);

/* "axes=0,2 keepdims". */
extern const wf_field wf_reduce_fields[];

/* t, which has the reduced shape of x, reshaped to broadcast with x: extents 1 on reduced axes. */
wf_tensor wf_reduce_keep(wf_tensor t, const void *attr, wf_tensor x);

/* The i-th sample instance of a reduction of reals. Poison past the last. */
wf_tensor wf_reduce_sample(const wf_op *op, wf_sampler *s, int i);

/* An evaluation seen as two nested loops: `in` and `out` over the kept axes (same shape), and `red`
 * over the reduced axes of one kept index: set red.data = wf_at(&in, offset) before use. */
typedef struct wf_reduce_nest {
    wf_array in, out, red;
    int64_t n_kept, n_red;
} wf_reduce_nest;
/* `lead` axes of the result come before the reduced shape (moments: 1); `out` is their index 0. */
wf_reduce_nest wf_reduce_split(const wf_call *c, int lead);

/* eval of a reduction of reals and integers: `real` and `integer` reduce an array with at least one
 * element; without one the result is `empty`. Integers wrap around in out's dtype. */
void wf_reduce_eval(const wf_call *c, double (*real)(const wf_array *),
                    uint64_t (*integer)(const wf_array *), int empty);

/* --- fast path (reduce_fast.c) -----------------------------------------------------------------
 * The wf_fast functions of a reduction whose streaming form is `fold`. f32 or bf16 in, f32 out, any
 * strides. Phase 0 folds pieces of the array; where a kept element is cut over several pieces, they
 * leave partials in `shared`, and phase 1 merges them in index order. */
bool wf_reduce_applicable(const wf_call *c);
int64_t wf_reduce_pieces(const wf_fold *fold, const wf_call *c, int phase);
size_t wf_reduce_scratch(const wf_call *c);
size_t wf_reduce_shared(const wf_fold *fold, const wf_call *c);
void wf_reduce_run(const wf_fold *fold, const wf_call *c, int phase, int64_t first, int64_t last,
                   void *scratch, void *shared);

/* Work by rows along the axis of the largest stride, kept or reduced; own: the fold. */
bool wf_reduce_row_form(const wf_call *c, wf_row_form *out);
void wf_reduce_row_run(const wf_call *c, const wf_row_block *b, void *scratch, void *shared);
size_t wf_reduce_row_fold_bytes(const wf_call *c, int64_t slices);
int64_t wf_reduce_row_merge_pieces(const wf_call *c);
void wf_reduce_row_merge(const wf_call *c, int64_t slices, int64_t first, int64_t last,
                         void *shared);
#define WF_REDUCE_ROWS(fold)                                                                       \
    {                                                                                              \
        .form = wf_reduce_row_form, .run = wf_reduce_row_run,                                      \
        .fold_bytes = wf_reduce_row_fold_bytes, .merge_pieces = wf_reduce_row_merge_pieces,        \
        .merge = wf_reduce_row_merge, .own = &(fold),                                              \
    }

#endif
