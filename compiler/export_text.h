/* Inside the export: the C function of one launch.
 *
 * A function gets its operands as x0, x1, ... and its result as y, and knows types, extents and
 * strides but no addresses: launches that differ only in where their operands lie share it.
 *
 * Invariants
 *   - Loop variables of an array's axes are a letter and the axis: i0, i1, ... Axes of extent 1
 *     have no loop and appear in no index.
 *   - i64 is `long`, as in the code of groups (compiler/code_text.h). */
#ifndef WEFT_EXPORT_TEXT_H
#define WEFT_EXPORT_TEXT_H

#include <stdio.h>

#include "compiler/plan.h"

/* What stands before the functions, if one needs it. */
enum { WF_CTEXT_PHILOX = 1, WF_CTEXT_RESIZE = 2 };

typedef struct wf_ctext {
    FILE *f;
    int depth;      /* of the next line */
    unsigned needs;
} wf_ctext;

void wf_ctext_line(wf_ctext *c, const char *format, ...) WF_PRINTF(2, 3);
void wf_ctext_open(wf_ctext *c, const char *format, ...) WF_PRINTF(2, 3); /* a line, and " {" */
void wf_ctext_close(wf_ctext *c, int depth); /* closes blocks until lines are at this depth */

typedef struct wf_ctext_expr {
    char s[1280];
} wf_ctext_expr;

/* Loops over all axes of the shape; axis j has the variable `letter` j. */
void wf_ctext_loops(wf_ctext *c, const wf_shape *shape, char letter);
/* The element of `a` at these variables, those of axis j numbered first + j: "i0 * 64 + i1". */
wf_ctext_expr wf_ctext_index(const wf_array *a, char letter, int first);
/* a without one of its axes. */
wf_array wf_ctext_without(const wf_array *a, int axis);

const char *wf_ctext_type(wf_dtype t); /* "float" */
wf_ctext_expr wf_ctext_real(double v); /* exact, also infinities and NaN */

/* The statements of a launch of one operation, false if it has none (export_op.c). */
bool wf_ctext_call(wf_ctext *c, const wf_call *call);

/* Parts of it, one for an operation or a few. */
typedef bool wf_ctext_fn(wf_ctext *c, const wf_call *call);
wf_ctext_fn wf_ctext_contract, wf_ctext_pack;                       /* export_contract.c */
wf_ctext_fn wf_ctext_reduce, wf_ctext_moments, wf_ctext_argmax, wf_ctext_cumsum,
    wf_ctext_argsort;                                               /* export_reduce.c */
wf_ctext_fn wf_ctext_max_pool, wf_ctext_avg_pool, wf_ctext_avg_pool_grad, wf_ctext_resize,
    wf_ctext_resize_grad;                                           /* export_pool.c */
wf_ctext_fn wf_ctext_random;                                        /* export_random.c */

#endif
