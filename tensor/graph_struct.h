/* The graph's struct, for graph.c, scope.c, op_leaf.c and parse.c alone. */
#ifndef WEFT_GRAPH_STRUCT_H
#define WEFT_GRAPH_STRUCT_H

#include <stdatomic.h>

#include "tensor/arena.h"
#include "tensor/graph.h"

/* Scope paths by number; 0 is the top. Numbers are dense and never reused. */
typedef struct wf_scopes {
    const char **text;  /* (n) full paths, in the arena */
    uint32_t *prime;    /* (n) number of path + "'", 0 if not made yet */
    uint32_t *slot;     /* (n_slots) numbers by the hash of their path, 0 is free; a power of two */
    uint32_t n, cap, prime_cap, n_slots;
    uint32_t *stack;    /* (depth) enclosing scopes */
    uint32_t depth, stack_cap;
    uint32_t current;
    uint32_t regions;   /* of wf_recompute_begin so far */
} wf_scopes;
bool wf_scopes_init(wf_scopes *s, wf_arena *mem);
bool wf_scopes_copy(wf_scopes *s, wf_arena *mem, const wf_scopes *from);
void wf_scopes_free(wf_scopes *s);

/* A node in the table of equal nodes. The hash spares the look at nodes that only share a slot. */
typedef struct wf_cons {
    uint32_t id, hash;
} wf_cons;

struct wf_graph {
    wf_node *node; /* (n), node[0] is poison */
    uint32_t n, cap;
    uint32_t *edge; /* (n_edge) inputs of all nodes */
    uint32_t n_edge, edge_cap;
    wf_cons *cons; /* open addressing, id 0 is free; n_cons_slots is a power of two */
    uint32_t n_cons, n_cons_slots;
    bool consing;
    uint32_t *leaf; /* (n_leaf) ids of leaves */
    uint32_t n_leaf, leaf_cap;
    uint32_t *assigned; /* (n_assigned) ids of leaves with an assignment */
    uint32_t n_assigned, assigned_cap;
    wf_scopes scopes;
    wf_arena mem;
    atomic_uint holders; /* the graph itself until it is freed, and programs made from it */
    wf_status status;
    char message[768];
};

/* Room for `need` elements of `each` bytes; doubles. False when memory is out. */
bool wf_graph_grow(void **array, uint32_t *cap, uint32_t need, size_t each);

#endif
