/* Recomputation: a program whose arena keeps to a budget, with the same bits.
 *
 * A value that is read early and again much later is forgotten in between: its late readers read a
 * copy of the node, which is launched just before the first of them. What is forgotten when is a
 * table of cuts over the unchanged graph (wf_forget); each round writes the graph that the table
 * stands for, plans it, and compares the plan with the budget.
 *
 * Invariants
 *   - Time is the order of launches of the plan without recomputation, counted from 1: all members
 *     of a group have one time. A reader at time t reads the copy made after the last cut before t.
 *   - Nodes are copied as they are and no pass that joins equal nodes follows: every copy computes
 *     the bits of its original.
 *   - Cuts choose what is computed again, never what is computed: a bad choice costs memory or
 *     time. */
#ifndef WEFT_RECOMPUTE_H
#define WEFT_RECOMPUTE_H

#include "compiler/plan.h"

/* A storage of the arena with the nodes whose values lie in it, or one node without a storage of
 * its own (inside a group). Values are remade block by block. */
typedef struct wf_block {
    size_t bytes;
    uint32_t node;    /* the first node, then wf_forget.next */
    uint32_t written; /* when it is complete */
    uint32_t *touch;  /* (n) ascending: when it is written or read */
    bool *cut;        /* (n) it is forgotten after touch[i] */
    bool *own;        /* (n) a touch of the plan; else copies of other blocks want it then */
    uint32_t n, cap;
    uint32_t seen;    /* by the trace of this number */
    bool stored;
    bool remade;      /* by that trace */
} wf_block;

typedef struct wf_forget {
    const wf_graph *graph;
    uint32_t *time;     /* (nodes) 0: dead */
    uint32_t *order;    /* (n_order) live nodes by time, then id; assignments last */
    uint32_t n_order, n_time;
    uint32_t *block;    /* (nodes) 0: always there (leaves, constants, outputs) */
    uint32_t *next;     /* (nodes) the next node of the same block */
    uint32_t *last_use; /* (nodes) time of the last reader */
    uint32_t *seen;     /* (nodes) by the trace of this number */
    wf_block *list;     /* (n_block) list[0] is none */
    uint32_t n_block, trace;
    size_t target;
    size_t *live;       /* (n_time + 1) bytes alive */
    uint32_t *over;     /* (n_time + 2) number of times before t at which they are too many */
    struct wf_demand *demand; /* of the last trace */
    uint32_t n_demand, demand_cap;
    uint32_t *stack;
    uint32_t n_stack, stack_cap;
    bool failed;        /* memory is out */
} wf_forget;

wf_status wf_forget_open(wf_forget *q, const wf_stage *s, const wf_plan *p);
void wf_forget_close(wf_forget *q);

/* Sets `live` from a plan; time[id] of the nodes of its graph. */
wf_status wf_forget_measure(wf_forget *q, const wf_plan *p, const uint32_t *time);

/* Forgets block `block` after time t, whoever reads it later. */
void wf_forget_cut(wf_forget *q, uint32_t block, uint32_t t);

/* Whether a node lies in a region (wf_recompute_begin). */
bool wf_has_regions(const wf_graph *g);

/* Cuts what regions (wf_recompute_begin) ask for. False: there is nothing to compute again. */
bool wf_forget_regions(wf_forget *q);

/* Before any cut: `order` with results that are much smaller than their operands, such as the
 * gradients of weights, right behind the last of these. */
wf_status wf_forget_hurry(wf_forget *q);

/* Adds cuts until at most `target` bytes are expected to be alive at any time, or nothing helps.
 * Returns their number. */
uint32_t wf_forget_choose(wf_forget *q, size_t target);

/* The copy of node `id` that a reader at time t reads: 0 is the first. */
uint32_t wf_forget_copy(const wf_forget *q, uint32_t id, uint32_t t);

/* What the budget came to. */
typedef struct wf_recompute {
    size_t memory;     /* asked for; 0: no budget */
    size_t full_bytes; /* the arena without recomputation */
    uint32_t nodes;    /* computed again, for it and for regions */
    double flops;      /* of contractions, more than without */
    double bytes;      /* read and written by launches, more than without */
} wf_recompute;

/* Plans *s, with its regions computed again if that needs less, for at most `memory` bytes of arena
 * (0: any). *s is replaced if something is recomputed.
 * Errors: WF_MEMORY with what is needed at least, and what was asked. */
wf_status wf_recompute_plan(wf_plan *p, wf_stage *s, uint32_t n_output, unsigned off,
                            size_t memory, wf_recompute *cost);

#endif
