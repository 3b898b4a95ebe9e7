/* A group: elementwise work of many nodes in one pass over memory.
 *
 * A group is a straight-line program over one two-dimensional index space (rows, cols). Values are
 * numbered: 0 .. n_in-1 are the operands in memory, n_in + i is the result of step i. Every operand
 * and output is addressed as base + row * row_stride + col * col_stride (in elements of its dtype),
 * col_stride 0 or 1, row_stride any constant (0: broadcast over rows). Spaces with more axes are
 * walked by the launch, which calls the group with other bases.
 *
 * Invariants
 *   - One meaning, three executions: the reference evaluators node by node, the tile interpreter
 *     (group_run), generated C (code.c). All give the same bits: the same row expressions from
 *     ops.def, no contraction, denormals flushed.
 *   - The canonical text of a group (wf_group_text) names values by position, never by node id or
 *     offset: equal texts are one kernel, so nineteen time steps share it.
 *   - A group is serial and knows no threads; the launch cuts rows into pieces. */
#ifndef WEFT_GROUP_H
#define WEFT_GROUP_H

#include "tensor/kernels/rows.h"
#include "tensor/op.h"

enum { WF_GROUP_OPERANDS = 24, WF_GROUP_OUTPUTS = 16, WF_GROUP_STEPS = 64 };

typedef struct wf_group_step {
    const wf_op *op;       /* ELEMENTWISE: a row of ops.def, cast or add_n */
    wf_dtype dtype;        /* of the result */
    uint16_t n_in, in[8];  /* values; add_n adds them in this order */
} wf_group_step;

/* With one row the row stride is 0, with one column the column stride is 0: they say nothing. */
typedef struct wf_group_place {
    wf_dtype dtype;
    int64_t row_stride;    /* elements */
    int64_t col_stride;    /* 0 or 1 */
} wf_group_place;

typedef struct wf_group {
    uint16_t n_in, n_step, n_out;
    wf_group_place in[WF_GROUP_OPERANDS];
    wf_group_step step[WF_GROUP_STEPS];
    wf_group_place out[WF_GROUP_OUTPUTS];
    uint16_t out_value[WF_GROUP_OUTPUTS]; /* which value is stored in output k: a step's, no
                                             value twice */
    /* What the interpreter needs, by wf_group_prepare. */
    bool ready;
    uint16_t slots;                       /* tiles in scratch */
    uint32_t tile, slot_bytes;            /* elements of a tile; bytes of a slot */
    wf_row_fn *row[WF_GROUP_STEPS];
    uint16_t slot[WF_GROUP_STEPS];        /* where a step's tile lies */
    uint16_t gathered;                    /* the slot of operand 0 if rows are short; then of 1 */
    uint16_t last_step[WF_GROUP_OPERANDS + WF_GROUP_STEPS]; /* the last that reads a value */
    uint16_t output[WF_GROUP_STEPS];      /* 1 + the output that a step's value is, or 0 */
} wf_group;

/* The row function of an elementwise operation by the dtypes of its operands and result; NULL: the
 * operation cannot be part of a group. */
wf_row_fn *wf_group_row(const wf_op *op, const wf_dtype *in, wf_dtype out);

/* Completes a group whose steps, operands and outputs are set. Groups made by hand need not call
 * it: wf_group_run does so in a copy. */
void wf_group_prepare(wf_group *g);

/* The one signature of interpreter and generated code: p[0 .. n_in) operands, then outputs. An
 * output may coincide exactly with an operand (in place). */
typedef void wf_group_fn(void *const p[], long rows, long cols);

/* Canonical text of the group, the identity of its kernel; returns its length (cut at size). */
size_t wf_group_text(const wf_group *g, char *buf, size_t size);

/* The tile interpreter: runs the steps over tiles of `tile` elements held in scratch
 * (wf_group_scratch(g) bytes, 64-byte aligned). */
void wf_group_run(const wf_group *g, void *const p[], long rows, long cols, void *scratch);
size_t wf_group_scratch(const wf_group *g);

#endif
