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
 * beside it; else all column loops are flattened.
 *
 * Computing in bf16 or f32x3, operands are brought into cells (tensor/kernels/cells.h): the loop
 * `pairs.loop` is halved, and from then on strides, panels and segments count cells where they
 * count floats in f32. Where k is contiguous in U, cells are a copy of U in bf16; elsewhere they
 * pair rows that are adjacent in k. f32x3 has a second part of each operand, the lo part. */
#ifndef WEFT_CONTRACT_PLAN_H
#define WEFT_CONTRACT_PLAN_H

#include "tensor/contract.h"
#include "tensor/kernels/contract.h"

enum {
    WF_CHUNK_MOVING = 512,    /* k of a chunk when V is an activation, copied or read in place */
    WF_CHUNK_DOT = 1024,      /* along k in vectors: sums are short anyway */
    WF_BOX_FLOATS = 112 << 10, /* a box of U for a whole piece */
    WF_ONE_BLOCK = 64         /* so few rows are one block: V passes once */
};

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
    wf_pairs pairs;            /* in cells */
    int64_t n_k, k_rows;       /* rows of a panel: n_k, or cells of all parts */
    int run;                   /* dot: the sum loop U is contiguous in; innermost in V */
    int chunk_loop;            /* sum loops before it are fixed in a chunk, those after it whole */
    int64_t chunk_step;        /* steps of the chunk loop in a chunk */
    int64_t chunk_k;           /* most k in a chunk */
    int64_t u_floats, v_floats; /* scratch, in floats or cells */
    int64_t stage_floats;       /* scratch for what becomes cells */
    int64_t packed_at, packed_floats; /* in `shared`, if packed in the first phase */
} wf_source_plan;

/* Minimal filtering of convolutions (contract_winograd.h). */
typedef struct wf_winograd {
    bool on;
    int y, x;               /* output loops along which tiles have two pixels each */
    int taps_y, taps_x;     /* of every source */
    int products_y, products_x;
    int64_t channels;       /* of all sources */
    int64_t most_channels;  /* of one */
    int64_t row;            /* floats from one tile's channels to the next's */
    int64_t tiles_x;        /* along x */
    int64_t tiles;          /* of a piece, at most */
    /* A weight gradient instead: products over tiles, of channels and filters, in parts which are
     * added; y and x are its taps. */
    bool sums;
    int channel, filter;    /* output loops */
    int64_t filters, panels; /* filters of a piece are those of so many panels */
    int64_t parts, blocks;  /* blocks of tiles of all sources */
} wf_winograd;

typedef struct wf_contract_plan {
    const wf_call *call;
    const wf_contract_attr *c;
    int u_side;                          /* 0: U is A */
    int cells;                           /* their parts: bf16 1, f32x3 2; 0: f32, floats */
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
    int64_t stage_floats;
    int64_t wide_columns; /* of a block, if the result is bf16: it is summed in f32 beside it */
    int64_t packed_floats, part_floats;  /* shared: V packed; each part but the first */
    wf_winograd winograd;
} wf_contract_plan;

/* False: no plan (f64, guards, empty extents, mixed packing): evaluate by reference. */
bool wf_contract_plan_make(wf_contract_plan *p, const wf_call *call);

/* --- contract_place.c ------------------------------------------------------------------------- */

/* Parts of cells that the mode computes with; 0: floats. */
int wf_contract_cells(const wf_contract_attr *c);
/* V as panels of all its k: about as large as V itself, and reused by enough rows. Or where it is,
 * or in a box, with panels along the innermost column loop. */
bool wf_v_may_pack(const wf_contract_plan *p, const wf_contract_source *s, const wf_side *v);
bool wf_v_may_stay(const wf_contract_plan *p, const wf_side *v);
/* Panels of a block. */
int64_t wf_contract_block_panels(const wf_contract_plan *p);

void wf_contract_plan_source(const wf_contract_plan *p, int i, wf_source_plan *sp);
/* Blocks of about `target` rows; of `step` steps of row loop i (an index into m_loop), and all of
 * those behind it. */
void wf_contract_choose_rows(wf_contract_plan *p, int64_t target);
void wf_contract_cut_rows(wf_contract_plan *p, int i, int64_t step);
/* How many chunks a source is computed in. */
int64_t wf_contract_plan_chunks(const wf_source_plan *sp);

/* Classes and V for packing B of source 0 of `c` by its batch_loops and col_loops. */
void wf_contract_plan_pack(wf_contract_plan *p, wf_source_plan *sp, const wf_contract_attr *c,
                           const wf_array *b);
/* Panel i (batch-major) of V of a source, all k of it: k_rows rows of WF_PANEL floats or cells, or
 * for `dot` a matrix of the batch, n columns of n_k floats. Its floats: */
int64_t wf_contract_panel_floats(const wf_contract_plan *p, const wf_source_plan *sp);
/* `stage`: room for sp->stage_floats. */
void wf_contract_pack_panel(const wf_contract_plan *p, const wf_source_plan *sp, int64_t i,
                            float *stage, float *dst);

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
/* No index of a side is ever outside, but along axes y and x (-1: none). */
bool wf_side_inside_but(const wf_contract_attr *c, const wf_contract_source *s,
                        const wf_side *side, int y, int x);
/* Some of n output loops, or some sum loop of more than one step, is contiguous (or there is
 * nothing to sum). */
bool wf_side_unit_in(const wf_side *side, const wf_contract_plan *p, const int *loop, int n);
bool wf_side_unit_in_sum(const wf_contract_plan *p, const wf_contract_source *s,
                         const wf_side *side);
/* The longest sum loop that a linear side is contiguous in, as an index into the sum loops; -1. */
int wf_side_run(const wf_contract_plan *p, const wf_contract_source *s, const wf_side *side);
int64_t wf_sum_extent(const wf_contract_source *s);

/* The only axis of a linear side that loop l moves along; -1 if there is none or are several. */
int wf_side_axis(const wf_side *side, int l);
/* True if no other loop of more than one step moves along the axis. */
bool wf_side_alone(const wf_side *side, int axis, int l, const wf_range *r, int n_loops);

/* A box of cells: at each position of the unit axis and all others but `axis`, along which loop
 * `loop` steps by its coefficient, the pairs of values one step apart. Every position has its
 * pair, or, where no other loop moves along the axis, every second one. */
typedef struct wf_pair_box {
    wf_box box;    /* n: elements; strides: cells */
    int unit, axis;
    int64_t apart; /* positions between the values of a pair */
    int64_t hop;   /* and between pairs: 1 or 2 */
} wf_pair_box;
/* Elements to pad the unit axis to where a box holds halves: whole cells, rows not a page apart. */
int64_t wf_half_pad(const wf_side *side, const wf_range *r, int n_loops);
int64_t wf_pair_box_of(const wf_side *side, const wf_range *r, int n_loops, int loop, int64_t pad,
                       wf_pair_box *b);

/* A range of loops with the sum loops of source sp in cells; as it is in f32. */
wf_range wf_cell_range(const wf_contract_plan *p, const wf_source_plan *sp, const wf_range *r);
/* Cells, or terms in f32, of the sum loops of a range. */
int64_t wf_cells_of(const wf_contract_plan *p, const wf_source_plan *sp, const wf_range *r);
/* Floats that gathering pairs of rows needs for its stage, at most, of a chunk no larger than r and
 * rows no longer than `width`. */
int64_t wf_stage_floats(const wf_contract_plan *p, const wf_source_plan *sp, const wf_range *r,
                        int64_t width);

/* --- contract_classes.c ----------------------------------------------------------------------- */

/* Whether the call may have a plan at all. */
bool wf_loops_plain(const wf_call *call);
/* The classes of all output loops, for the operand that is U by p->u_side. */
void wf_loops_classify(wf_contract_plan *p);
/* The same, given the loops of batch and columns. */
void wf_loops_sort(wf_contract_plan *p, uint32_t batch, uint32_t columns);
/* False if sources that are packed fix other classes. */
bool wf_loops_agree(const wf_contract_plan *p);
/* Puts contiguous loops last in their class. */
void wf_loops_order(wf_contract_plan *p);

#endif
