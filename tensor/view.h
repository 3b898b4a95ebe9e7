/* Views and placement: attributes and descriptors of the operations that only move elements, and
 * the copy loops that they share.
 *
 * Invariants
 *   - A VIEW operation's eval is "copy the viewed input to out", a PLACE operation's eval is "copy
 *     each input to its slot"; both exist once, in view.c.
 *   - Elements are moved as bytes, never converted: every dtype arrives as it left.
 *   - Axes in attributes may be negative; wf_axis_of resolves them once inference has checked them.
 *   - `view` and `place` compute addresses as integers, so that a planner may pass NULL or an
 *     offset for `data`. */
#ifndef WEFT_VIEW_H
#define WEFT_VIEW_H

#include "tensor/op.h"

typedef struct wf_shape_attr {
    wf_shape shape; /* of out; reshape: one extent may be -1 */
} wf_shape_attr;
typedef struct wf_axis_attr {
    int64_t axis;
} wf_axis_attr;
typedef struct wf_permute_attr {
    int32_t rank, perm[WF_MAX_RANK]; /* axis k of out is axis perm[k] of x; 0 past the rank */
} wf_permute_attr;
typedef struct wf_slice_attr {
    int64_t axis, first, n, step; /* step is 1 if n < 2 */
} wf_slice_attr;
typedef struct wf_pad_attr {
    int64_t axis, before, after, step; /* step is 1 if x's extent is < 2 */
} wf_pad_attr;
typedef struct wf_concat_attr {
    int64_t axis, n;  /* n inputs */
    int64_t offset[]; /* (n + 1) input i lies at [offset[i], offset[i + 1]) of the axis */
} wf_concat_attr;

extern const wf_op wf_op_reshape, wf_op_permute, wf_op_expand, wf_op_slice, wf_op_stop_gradient;
extern const wf_op wf_op_concat, wf_op_stack, wf_op_pad;

/* An address moved by `bytes`, without the restrictions of pointer arithmetic. */
static inline void *wf_shift(const void *data, int64_t bytes) {
    return (void *)((uintptr_t)data + (uintptr_t)bytes);
}

static inline int wf_axis_of(int64_t axis, int rank) {
    return (int)(axis < 0 ? axis + rank : axis);
}

/* Canonical attribute for x of this rank: a negative axis in range is resolved. */
static inline wf_axis_attr wf_axis_attr_make(int rank, int axis) {
    return (wf_axis_attr){axis < 0 && axis >= -rank ? axis + rank : axis};
}
extern const wf_field wf_axis_fields[];  /* "axis=1" */

/* Copies rank and extents into zeroed memory, so that attributes of equal value have equal bytes; a
 * rank out of range is kept for the inference to refuse. */
void wf_shape_into(wf_shape *to, const wf_shape *from);

/* Appends `op` over x with a wf_shape_attr. */
wf_tensor wf_shape_emit(const wf_op *op, wf_tensor x, const wf_shape *shape);
extern const wf_field wf_shape_fields[]; /* "": the shape is the result's */

/* For shapes that the user writes: sets q->out, or refuses a bad dtype or rank, a negative extent,
 * and a size that overflows. */
bool wf_infer_type(wf_infer *q, wf_dtype dtype, const wf_shape *shape);

/* out's elements, in row-major order, become in's in row-major order; the counts and the dtypes are
 * equal, the shapes need not be. The reference copy. */
void wf_array_move(const wf_array *out, const wf_array *in);

/* eval and fast of every VIEW and of every PLACE operation. */
void wf_view_eval(const wf_call *c);
void wf_place_eval(const wf_call *c);
extern const wf_fast wf_view_fast, wf_place_fast;

#endif
