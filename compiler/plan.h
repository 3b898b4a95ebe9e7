/* The plan: which kernel calls a program makes, in which order, on which storage.
 *
 * A value is a window into a storage: byte offset and strides. Views share the storage of what they
 * see; operands of a placement (concat, stack) are computed where the result wants them; outputs
 * and assigned values are computed in their final buffers. Nothing here is decided again in a run.
 *
 * Invariants
 *   - Launches run in index order. A storage is live from the first launch that touches it to the
 *     last; two storages of the arena that are live at the same time do not overlap.
 *   - A leaf's buffer is written by assignments only, after its last reader. */
#ifndef WEFT_PLAN_H
#define WEFT_PLAN_H

#include "compiler/code.h"
#include "compiler/fuse.h"
#include "compiler/group.h"
#include "tensor/arena.h"

typedef enum wf_where {
    WF_WHERE_LEAF,   /* the caller's buffer, or a constant's bytes */
    WF_WHERE_INPUT,  /* the program's buffer, written between runs */
    WF_WHERE_OUTPUT, /* the program's buffer, read between runs */
    WF_WHERE_ARENA,  /* live during a part of a run */
    WF_WHERE_TILE,   /* live during a block of a chain, in the scratch of each worker */
} wf_where;

typedef struct wf_storage {
    wf_where where;
    size_t bytes;
    uint32_t first, last; /* launches; first > last: never touched */
    size_t offset;        /* in the arena, the block of inputs and outputs, or the tiles */
    size_t row_bytes;     /* TILE: of one row of its chain */
    void *data;           /* LEAF: from the start; else after wf_plan_bind */
} wf_storage;

typedef struct wf_value {
    uint32_t storage;     /* 0: none */
    int64_t offset;       /* bytes from the storage's start to the element with all indices 0 */
    int64_t stride[WF_MAX_RANK];
} wf_value;

typedef struct wf_launch {
    wf_call call;         /* in and out are bound by wf_plan_bind */
    const wf_fast *fast;  /* NULL: op->eval, by one worker */
    uint32_t node;        /* the node whose value or copy it makes */
    uint32_t array;       /* in plan->array and plan->operand: operands, then results */
    uint32_t shared;      /* storage of the kernel's shared area, 0 if none */
    uint32_t pieces;      /* in plan->pieces: one number a phase */
    int phases;
    uint32_t group;       /* 1 + the first in plan->sweep; 0: a call of one operation */
    uint32_t rows;        /* sweeps of a group, each with arrays of its own; else 1 */
    uint16_t n_out;       /* results: 1, or those of the group */
    bool copy;            /* moves elements only */
    bool whole;           /* all phases have at most one piece */
    bool single;          /* worker 0 runs it: it is whole, or small among small ones (alone.c) */
    bool barrier;         /* workers meet before it, if there are plan->team */
    bool barrier_any;     /* the same for any other number */
    uint32_t chain;       /* 1 + that in plan->chain which it is a member of, 0: none */
    int64_t scale;        /* of a member: its rows, or elements, for one row of the chain */
    int64_t slices;       /* partials of a fold by blocks, 0: none */
    int64_t slice;        /* that of the first block of this member */
    bool folds;           /* a member that leaves partials */
    bool merges;          /* it merges them; the member of the same node makes them */
} wf_launch;

/* Launches that run block by block (chain.h). Their last phase is a piece a block. */
typedef struct wf_chain {
    uint32_t first, n;    /* in plan->launch */
    int64_t rows, blocks;
    int64_t block_rows;   /* 0: as the kernel of the anchor cuts */
    int64_t most_rows;    /* of a block */
    size_t bytes;         /* scratch: arrays of the members, tiles */
} wf_chain;

typedef struct wf_operand {
    uint32_t storage;
    int64_t offset; /* bytes */
} wf_operand;

/* A distinct group; launches that differ only in their operands share it. */
typedef struct wf_kernel {
    wf_group group;
    uint64_t hash;
    char *text;           /* wf_group_text */
} wf_kernel;

/* One walk of a group over its space, a row of a launch's table: outer axes times (rows, cols),
 * which are the last two axes of its arrays. A piece is `lines` rows; if a row is long, one of
 * `cuts` parts of a row. */
typedef struct wf_sweep {
    uint32_t kernel;      /* in plan->kernel */
    uint32_t array;       /* as that of a launch */
    uint32_t fused;       /* in the fusion's list */
    int64_t lines, cuts, pieces;
    uint64_t alone;       /* that the members would read and write one by one */
} wf_sweep;

/* An input of the graph; its serial number is the same before and after the passes. */
typedef struct wf_plan_input {
    uint64_t serial;
    uint32_t storage;
} wf_plan_input;

typedef struct wf_plan {
    const wf_graph *graph; /* after the passes; outlives the plan */
    wf_launch *launch;     /* (n_launch) */
    wf_array *array;       /* (n_array) of all launches, one after another */
    wf_operand *operand;   /* (n_array) where array[i] is */
    wf_storage *storage;   /* (n_storage), storage[0] is none */
    int64_t *pieces;       /* (n_pieces) */
    wf_kernel *kernel;     /* (n_kernel) */
    wf_code *code;         /* theirs, from wf_plan_code on; NULL: they are interpreted */
    wf_sweep *sweep;       /* (n_sweep) one for each group */
    wf_chain *chain;       /* (n_chain) */
    wf_fusion fusion;
    uint32_t n_launch, n_array, n_storage, n_pieces, n_kernel, n_sweep, n_chain;
    uint32_t launch_cap, array_cap, operand_cap, storage_cap, pieces_cap, kernel_cap, sweep_cap;
    uint32_t chain_cap;
    uint32_t *value_storage; /* (nodes) where the value is; 0: dead, in a group, a tile */
    uint32_t *output;      /* (n_output) storage of root i, an output or an input */
    uint32_t n_output;
    wf_plan_input *input;  /* (n_input) those that are needed after the passes */
    uint32_t n_input, input_cap;
    wf_arena mem;          /* the scalars that constants are */
    size_t arena_bytes, live_bytes, buffer_bytes;
    size_t scratch_bytes, chain_bytes; /* of one worker: of kernels, then of chains */
    uint64_t tile_bytes; /* of all values in tiles */
    uint32_t n_copies, n_reference, n_barriers;
    bool may_be_alone, alone; /* alone: sharing saves less than meeting costs: one worker runs
                                 all launches */
    int team;            /* workers that the barriers are for */
} wf_plan;

/* Plans the stage whose first n_output roots are outputs, without the passes of `off`. */
wf_status wf_plan_make(wf_plan *p, const wf_stage *s, uint32_t n_output, unsigned off);
void wf_plan_free(wf_plan *p);

/* Fixes addresses - `arena` of arena_bytes, `buffers` of buffer_bytes (inputs and outputs) - and
 * with them pieces, and barriers for a team of `threads`. */
wf_status wf_plan_bind(wf_plan *p, void *arena, void *buffers, int threads);

/* Asks for generated code for the kernels; until it is there they are interpreted. */
wf_status wf_plan_code(wf_plan *p, wf_code_mode mode);

/* Checks that no two live storages overlap: WF_INTERNAL otherwise. Quadratic; for tests. */
wf_status wf_plan_verify(const wf_plan *p);

/* --- parts of planning ------------------------------------------------------------------------ */

#define WF_ALIGN 64 /* bytes; every storage starts at a multiple */

/* What planning knows about each node; dies with planning. */
typedef struct wf_planner {
    wf_plan *plan;
    const wf_stage *stage;
    const wf_graph *graph;
    uint32_t n_output;
    unsigned off;
    bool *live;        /* (nodes) */
    uint32_t *owner;   /* (nodes) through views, the node that owns the storage */
    uint32_t *last;    /* (nodes) of an owner: when its storage is read last (wf_fusion.when) */
    wf_value *home;    /* (nodes) where it is to be computed; storage 0: anywhere */
    wf_value *value;   /* (nodes) where it is */
    wf_value *dense;   /* (nodes) a dense copy for kernels that need one; storage 0: none yet */
    uint32_t *out_of;  /* (nodes) storage of the output that the node is, 0 if it is none */
    bool *direct;      /* (nodes) assignments whose value is computed in the leaf's buffer */
    wf_array *scratch; /* operands and result of the widest node */
} wf_planner;

/* layout.c: the array of `type` that `v` is; its data is the byte offset into the storage. */
wf_array wf_value_array(const wf_value *v, const wf_type *type);
wf_value wf_value_of(uint32_t storage, const wf_array *array);
wf_value wf_value_dense(uint32_t storage, const wf_type *type);
bool wf_value_same(const wf_value *a, const wf_value *b, const wf_shape *shape);
/* `seen` is a view of a dense array of type x at offset 0. Finds how x must lie in memory so that
 * the view lies as `slot` does; false if the view is not all of x, or if no strides do it. */
bool wf_view_invert(const wf_array *seen, const wf_array *slot, const wf_type *x, wf_array *out);

/* An array of rows * n elements as `rows` rows of n in row-major order: bytes [lo, hi) of row 0 in
 * its storage, and `step` bytes to the next row. step 0: rows are not evenly apart, or overlap;
 * then [lo, hi) has all of the array. */
typedef struct wf_window {
    int64_t step, lo, hi;
} wf_window;
wf_window wf_window_of(const wf_array *a, int64_t offset, int64_t rows);

/* home.c: liveness, owners, and homes: values that are computed where they are wanted. Makes the
 * storages of leaves, inputs, outputs and placements. */
wf_status wf_plan_homes(wf_planner *q);

/* launch.c: appends launches; a storage's lifetime grows as it is touched. */
/* Room for `more` elements behind the n of an array; false when memory is out. */
bool wf_plan_room(void **array, uint32_t *cap, uint32_t n, uint32_t more, size_t each);
uint32_t wf_plan_storage(wf_plan *p, wf_where where, size_t bytes, void *data); /* 0: no memory */
void wf_plan_touch(wf_plan *p, uint32_t storage, uint32_t launch);
wf_status wf_plan_launch(wf_planner *q, uint32_t node);
wf_status wf_plan_copy(wf_planner *q, uint32_t node, const wf_value *from, const wf_value *to);
/* Operands of a node in q->scratch, dense and without data, and its result as `out` says. */
wf_call wf_plan_dense_call(wf_planner *q, uint32_t node, const wf_array *out);

/* sweep.c: launches of groups. */
wf_status wf_plan_sweep(wf_planner *q, uint32_t group);
void wf_sweep_run(const wf_plan *p, const wf_launch *l, int64_t first, int64_t last,
                  void *scratch);
/* Elements [first, last) of a sweep's space, with its arrays at `a`. */
void wf_sweep_span(const wf_plan *p, const wf_launch *l, const wf_array *a, int64_t first,
                   int64_t last, void *scratch);
/* Bytes that a sweep reads and writes in memory: not in tiles. */
uint64_t wf_sweep_bytes(const wf_plan *p, const wf_launch *l, uint32_t row);
/* Bytes of the elements of `a` that differ in address. */
uint64_t wf_bytes_seen(const wf_array *a);

/* chain.c: launches that go block by block over the same rows become chains. */
wf_status wf_plan_chains(wf_plan *p);
/* chain_fold.c: folds of values that several chains write become members of them. */
wf_status wf_chain_folds(wf_plan *p);
/* chain_run.c: blocks [first, last). */
void wf_chain_run(const wf_plan *p, const wf_chain *c, int64_t first, int64_t last, void *scratch);

/* table.c: independent launches of one kernel become rows of one. */
wf_status wf_plan_tables(wf_plan *p);
/* Lifetimes of storages from the order of launches. A chain is one moment. */
void wf_plan_lifetimes(wf_plan *p);

/* True if the operand `in` dies in the launch at `when` and fills a storage of its own, dense, that
 * a result of type `out` may overwrite if nothing else reads it in another way. */
bool wf_plan_dying(const wf_planner *q, uint32_t in, uint32_t when, const wf_type *out);

/* storage.c: offsets from lifetimes; sets arena_bytes, live_bytes and buffer_bytes. */
wf_status wf_plan_offsets(wf_plan *p, bool reuse);
/* Bytes of the arena that are alive at each launch: alive[0 .. n_launch). */
void wf_plan_alive(const wf_plan *p, size_t *alive);

/* work.c: what a launch does; that of a chain's first member is the whole chain's, the others have
 * none. Operations of its contractions, two a term, terms in the padding
 * counted; bytes of its operands and results, each element once; its kernel in words, which says
 * nothing about where it stands; the scope of the node that it makes last. */
double wf_launch_flops(const wf_plan *p, uint32_t launch);
double wf_plan_flops(const wf_plan *p);     /* of all launches */
uint32_t wf_plan_launches(const wf_plan *p); /* their number; a chain is one */
bool wf_launch_follows(const wf_plan *p, uint32_t launch); /* a member, but the first */
double wf_launch_bytes(const wf_plan *p, uint32_t launch);
const char *wf_launch_name(const wf_plan *p, uint32_t launch, char *buf, size_t size);
const char *wf_launch_scope(const wf_plan *p, uint32_t launch);

/* barrier.c: which launches must wait for the others. After wf_plan_bind, and when the number of
 * threads changes. */
wf_status wf_plan_barriers(wf_plan *p, int threads);
/* Given them, marks launches that one worker should run (single, alone); true if it marked any. */
bool wf_plan_alone(wf_plan *p, int threads);

#endif
