/* A piece of a contraction at work: what contract_load.c brings into place and contract_run.c
 * computes with. */
#ifndef WEFT_CONTRACT_PIECE_H
#define WEFT_CONTRACT_PIECE_H

#include "tensor/contract_plan.h"

/* A tile of rows of U: contiguous steps in U; in the output too if `linear`. */
typedef struct wf_tile {
    int64_t row, rows, u, um, out, om;
    bool linear;
} wf_tile;

typedef struct wf_piece {
    const wf_contract_plan *p;
    const wf_tile_table *kernels;
    const wf_large_table *large;     /* of blocks of 16 and 32 rows, or NULL */
    wf_range out;                    /* output loops */
    int64_t first_inner, last_inner; /* panels along n_inner */
    int64_t first_outer, last_outer; /* outer column values, flattened */
    int64_t rows;                    /* of this block */
    int64_t part, first_chunk, last_chunk; /* of the parts of all k */
    int64_t chunk;                   /* the next one */
    int64_t *m_u, *m_out;            /* (rows) offsets of each row in U and in the output */
    wf_tile *tiles;                    /* (rows) */
    int64_t n_tiles;
    int64_t *u_seg, *v_seg;          /* (max_segs) */
    float *u_space, *v_space, *tile_space, *stage;
    float *wide;                     /* (rows, p->wide_columns) the block in f32; or NULL */
    float *winograd;                 /* scratch of minimal filtering */
} wf_piece;

/* One source, loaded for one chunk. */
typedef struct wf_loaded {
    const wf_source_plan *sp;
    wf_range r;                        /* all loops of the source, in cells */
    const float *u_first;              /* U at the first row, before all sum loops, of a box */
    const float *u, *v;                /* U at the first row and k; the memory of V, */
    int64_t v_at;                      /* and where its first k and panel are in it */
    int64_t u_step[WF_CONTRACT_LOOPS]; /* elements for each loop */
    int64_t v_step[WF_CONTRACT_LOOPS];
    int64_t v_panel;                   /* elements between panels along n_inner, */
    int64_t v_outer;                   /* and along the outer columns if not by v_step */
    int64_t n_seg, len, ak, bk;
    int64_t u_shift, v_shift;          /* of the first k of the segments */
    int64_t u_lo, v_lo;                /* elements to the lo parts */
} wf_loaded;

/* Bring U and V of x->sp into place for the chunk r; set the steps of all loops. The first chunk of
 * a source loads what later ones share. `packed` is V packed in the first phase, or given. */
void wf_load_u(const wf_piece *w, wf_loaded *x, bool first_chunk, wf_range r);
void wf_load_v(const wf_piece *w, wf_loaded *x, wf_range r, const float *packed);

/* --- contract_run.c --------------------------------------------------------------------------- */

/* Lays the tables and buffers of a worker out over `memory`; returns the bytes needed. If w is
 * NULL it does only that. */
size_t wf_contract_lay_out(wf_piece *w, const wf_contract_plan *p, void *memory);

/* Phase 0: panels of each V that is packed as a whole. */
int64_t wf_contract_pack_pieces(const wf_contract_plan *p);
void wf_contract_pack_panels(const wf_contract_plan *p, int64_t first, int64_t last, void *scratch,
                             float *shared);

/* All pieces of all parts; loop ranges and panels of piece i, false if it is empty. */
int64_t wf_contract_n_pieces(const wf_contract_plan *p);
bool wf_contract_locate(wf_piece *w, int64_t i);
void wf_contract_compute(const wf_contract_plan *p, int64_t first, int64_t last, void *scratch,
                         float *shared);

/* Adds the parts to the first one, which is in the output. `shared`: the others. */
int64_t wf_contract_add_pieces(const wf_contract_plan *p);
void wf_contract_add_parts(const wf_contract_plan *p, int64_t first, int64_t last,
                           const float *shared);

/* --- contract_segments.c ---------------------------------------------------------------------- */

/* The sum loops of the chunk, or their part in `part`, as segments of one strided run each. */
void wf_cut_segments(const wf_piece *w, wf_loaded *x, const wf_range *part);
/* The same of the part in which V, at these outer columns, has elements. */
void wf_clip_segments(const wf_piece *w, wf_loaded *x, const int64_t *column);

/* --- contract_pairs.c ------------------------------------------------------------------------- */

/* Fills the box of cells of a side over r, sets the steps of all loops, of the halved one too, and
 * the cells to the lo part. Returns where r begins. `stage`: room for three rows. */
const float *wf_load_pairs(const wf_contract_plan *p, const wf_side *side, const wf_range *r,
                           int n_loops, int loop, int64_t pad, float *stage, int64_t *step,
                           int64_t *lo, float *dst);

/* Cells of the sum loops in r, row by row: `gather` puts rows of `width` floats into the stage, by
 * the given steps of the sum loops. `lo`: cells to the lo part, 0 if there is none. */
typedef void wf_gather_rows(void *user, const wf_range *r, const int64_t *step, float *stage);
void wf_gather_pairs(const wf_contract_plan *p, const wf_source_plan *sp, const wf_range *r,
                     int64_t width, wf_gather_rows *gather, void *user, float *stage, float *dst,
                     int64_t lo);

#endif
