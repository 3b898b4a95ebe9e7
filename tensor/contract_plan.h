/* How a contraction is mapped to packed operands, blocks and register tiles. Worked out from
 * shapes, relations and strides alone (data pointers may be NULL), without allocation, the same
 * every time.
 *
 * Output loops fall into three classes: batch (both operands depend on them), rows and columns. The
 * operand behind the rows is U, read one element at a time; the one behind the columns is V, read
 * in vectors of columns. The sum loops are the third direction of the matrix product
 *
 *   out[batch, m, n] (+)= sum over sources and k of U[batch, m, k] V[batch, k, n]
 *
 * Columns are cut into panels of WF_PANEL. When V has several column loops and stays where it is
 * (taps of a weight gradient), panels follow the innermost loop only and the others are counted
 * beside it; else all column loops are flattened. */
#ifndef WEFT_CONTRACT_PLAN_H
#define WEFT_CONTRACT_PLAN_H

#include "tensor/contract.h"
#include "tensor/kernels/contract.h"

/* Where an operand is read from. */
typedef enum wf_place_mode {
    WF_FROM_ARRAY,  /* in place, where strides suit the kernel; every index is inside, or the sum is
                       cut to those that are (V of a weight gradient: `clipped`) */
    WF_FROM_BOX,    /* a zero-padded rectangular copy; relations stay linear on it */
    WF_FROM_GATHER, /* copied element by element into [m][k], [k][m] or panels */
    WF_FROM_PACKED  /* V in panels for all k: a packed B, or packed in the first phase */
} wf_place_mode;

/* An operand of one source: relations as coefficients of the source's loops. */
typedef struct wf_side {
    const wf_array *array;
    int rank;
    bool linear;                      /* no divisor anywhere */
    bool inside;                      /* and no index ever outside */
    int64_t coef[WF_MAX_RANK][WF_CONTRACT_LOOPS];
    int64_t offset[WF_MAX_RANK], div[WF_MAX_RANK];
    int64_t step[WF_CONTRACT_LOOPS];  /* elements for each loop, meaningful if linear */
} wf_side;

typedef struct wf_source_plan {
    const wf_contract_source *s;
    wf_side u, v;
    wf_place_mode u_mode, v_mode;
    bool given;                /* V is a packed B */
    bool clipped;              /* V in place, sum loops cut to where it has elements */
    bool box_by_chunk;         /* U's box holds one chunk of k, not all of it */
    bool rows_form;            /* which micro kernel: k contiguous in U, or m */
    int64_t n_k;
    int run;                   /* dot: the sum loop U is contiguous in; innermost in V */
    int chunk_loop;            /* sum loops before it are fixed in a chunk, those after it whole */
    int64_t chunk_step;        /* steps of the chunk loop in a chunk */
    int64_t chunk_k;           /* most k in a chunk */
    int64_t u_floats, v_floats; /* scratch */
    int64_t packed_at, packed_floats; /* in `shared`, if packed in the first phase */
} wf_source_plan;

typedef struct wf_contract_plan {
    const wf_call *call;
    const wf_contract_attr *c;
    int u_side;                          /* 0: U is A */
    int n_batch, n_m, n_n;               /* output loops by class, outermost first */
    int batch_loop[WF_MAX_RANK], m_loop[WF_MAX_RANK], n_loop[WF_MAX_RANK];
    uint32_t batch_mask, n_mask;
    int64_t batch, m, n;                 /* extents */
    bool flat;                           /* all column loops flattened into panels */
    bool dot;                            /* few columns: vectors along k, V packed as [n][k] */
    int64_t n_inner, n_outer, n_panels;  /* panels: n_outer for each block of n_inner */
    int m_chunk_loop;                    /* index into m_loop */
    int64_t m_chunk_step, m_rows;        /* most rows of a block */
    int64_t m_blocks, n_blocks;
    int64_t panel_splits;                /* blocks of the outer column loops for each inner block */
    int64_t parts;                       /* ranges of chunks, summed apart and then added */
    int64_t chunks;                      /* of all sources, if there are several parts */
    int64_t u_floats, v_floats, max_segs; /* scratch, largest over sources */
    int64_t packed_floats, part_floats;  /* shared: V packed; each part but the first */
} wf_contract_plan;

/* False: no plan (f64, guards, empty extents, mixed packing): evaluate by reference. */
bool wf_contract_plan_make(wf_contract_plan *p, const wf_call *call);
void wf_contract_plan_source(const wf_contract_plan *p, int i, wf_source_plan *sp);
/* How many chunks a source is computed in. */
int64_t wf_contract_plan_chunks(const wf_source_plan *sp);

/* Classes and V for packing B of source 0 of `c` by its batch_loops and col_loops. */
void wf_contract_plan_pack(wf_contract_plan *p, wf_source_plan *sp, const wf_contract_attr *c,
                           const wf_array *b);
/* Panel i (batch-major) of V of a source, all k of it: n_k rows of WF_PANEL floats, or for `dot` a
 * matrix of the batch, n columns of n_k floats. Its floats: */
int64_t wf_contract_panel_floats(const wf_contract_plan *p, const wf_source_plan *sp);
void wf_contract_pack_panel(const wf_contract_plan *p, const wf_source_plan *sp, int64_t i,
                            float *dst);

/* Values of loops: a rectangle of the loops of one source. */
typedef struct wf_range {
    int64_t lo[WF_CONTRACT_LOOPS], n[WF_CONTRACT_LOOPS];
} wf_range;

/* The box of a side over a range: first index and extent of each axis, its strides (axis `unit`
 * innermost, padded to a multiple of `pad`). Returns the number of elements. */
typedef struct wf_box {
    int64_t lo[WF_MAX_RANK], n[WF_MAX_RANK], stride[WF_MAX_RANK];
} wf_box;
int64_t wf_box_of(const wf_side *side, const wf_range *r, int n_loops, int unit, int64_t pad,
                  wf_box *box);
/* The axis along which a side is contiguous. */
int wf_unit_axis(const wf_side *side);

void wf_side_read(const wf_contract_attr *c, const wf_contract_source *s, bool is_b,
                  const wf_array *array, wf_side *side);
/* Some of n output loops, or some sum loop of more than one step, is contiguous (or there is
 * nothing to sum). */
bool wf_side_unit_in(const wf_side *side, const wf_contract_plan *p, const int *loop, int n);
bool wf_side_unit_in_sum(const wf_contract_plan *p, const wf_contract_source *s,
                         const wf_side *side);
/* The longest sum loop that a linear side is contiguous in, as an index into the sum loops; -1. */
int wf_side_run(const wf_contract_plan *p, const wf_contract_source *s, const wf_side *side);
int64_t wf_sum_extent(const wf_contract_source *s);

#endif
