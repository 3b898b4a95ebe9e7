/* The graph as transforms see it: autograd/ and compiler/ read nodes and emit nodes.
 *
 * Invariants
 *   - Inputs have smaller ids than their node: index order is topological order. No visited flags.
 *   - wf_emit is the only function that creates nodes. Nodes never change.
 *   - Attributes are plain bytes in the graph's arena, padding zeroed, so that equal attributes
 *   have
 *     equal bytes. Equal means: same operation, attributes and inputs; never for leaves. */
#ifndef WEFT_GRAPH_H
#define WEFT_GRAPH_H

#include "tensor/op.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wf_node {
    const wf_op *op;
    const void *attr;    /* attr_bytes bytes in the graph's arena, NULL if none */
    uint32_t attr_bytes;
    uint32_t in0, n_in;  /* edge range: ids are wf_node_in(g, id)[0 .. n_in) */
    uint32_t scope;      /* wf_graph_scope_text */
    const char *name;    /* NULL unless a leaf or named by wf_name */
    wf_type type;
} wf_node;

/* Ids are 1 .. wf_graph_size(g) - 1; node 0 is poison. Pointers are valid until the next emit. */
WF_API uint32_t wf_graph_size(const wf_graph *g);
WF_API const wf_node *wf_graph_node(const wf_graph *g, uint32_t id);
WF_API const uint32_t *wf_node_in(const wf_graph *g, uint32_t id);
/* Whether all of in[0 .. n_in) are values of g; if not, g's message says so of operation `name`
 * (unless the operand is poison of g: then there is a message already). */
bool wf_operands_fit(wf_graph *g, const char *name, const wf_tensor *in, int n_in);
/* Keeps g's address from being used again until wf_graph_drop, so that a handle can be recognised
 * by it: wf_graph_free then leaves an empty, poisoned graph behind. For programs. */
WF_API void wf_graph_hold(wf_graph *g);
WF_API void wf_graph_drop(wf_graph *g); /* NULL is fine */
static inline wf_tensor wf_handle(wf_graph *g, uint32_t id) {
    const wf_tensor t = {g, id};
    return t;
}

/* Appends a node: infers, checks, and returns its handle; poison (with a message) if an input is
 * poison, of another graph, or the shape rule refuses. attr is copied. n_in inputs. */
WF_API wf_tensor wf_emit(wf_graph *g, const wf_op *op, const void *attr, size_t attr_bytes,
                         const wf_tensor *in, int n_in);
static inline wf_tensor wf_emit1(const wf_op *op, const void *attr, size_t n, wf_tensor a) {
    return wf_emit(a.graph, op, attr, n, &a, 1);
}

/* With consing on, wf_emit returns an equal node that exists already instead of a new one. */
WF_API void wf_graph_set_consing(wf_graph *g, bool on);

/* A new graph for a pass over g: same scopes, same numbering of scopes, consing on. */
WF_API wf_graph *wf_graph_like(const wf_graph *g);

/* Scope given to the next nodes, by number: passes and wf_grad keep the scope of what they rewrite.
 * Returns the former scope. */
WF_API uint32_t wf_graph_set_scope(wf_graph *g, uint32_t scope);
WF_API const char *wf_graph_scope_text(const wf_graph *g, uint32_t scope); /* "" at top */
/* The scope of this path, new or known. */
WF_API uint32_t wf_graph_scope_of(wf_graph *g, const char *path);
/* The scope `scope` with "'" appended to its path: gradients of its nodes. */
WF_API uint32_t wf_graph_scope_prime(wf_graph *g, uint32_t scope);
/* The length of the part of a path that names its region (wf_recompute_begin), the outermost one; 0
 * if it lies in none. Gradients of what lies there have that part too. */
size_t wf_scope_region(const char *path);

/* Leaves. */
typedef enum wf_leaf_kind { WF_LEAF_INPUT, WF_LEAF_BOUND, WF_LEAF_CONST } wf_leaf_kind;
typedef struct wf_leaf_attr {
    uint64_t kind;    /* wf_leaf_kind */
    wf_type type;
    void *data;       /* BOUND: the caller's buffer; CONST: bytes in the arena; INPUT: NULL */
    uint64_t serial;  /* distinguishes leaves */
} wf_leaf_attr;
extern const wf_op wf_op_leaf, wf_op_assign; /* for the library; others look at op->kind */
/* Copies leaf `id` of `from` into `g`, with the same data, name and serial. */
WF_API wf_tensor wf_copy_leaf(wf_graph *g, const wf_graph *from, uint32_t id);
/* A bound leaf whose bytes are the graph's own, copied from `data` (NULL: zero). */
WF_API wf_tensor wf_leaf_own(wf_graph *g, const char *name, wf_dtype dtype, wf_shape shape,
                             const void *data);
/* If id is a CONST leaf (or a wf_full) with all elements equal, stores the value and returns
 * true. */
WF_API bool wf_uniform_value(const wf_graph *g, uint32_t id, double *value);

/* The textual form of one node: "%57 f32[8,32,32,64] = sigmoid %56   # convlstm0/t3", cut at size;
 * constants longer than a few elements are not written out. */
WF_API const char *wf_node_text(const wf_graph *g, uint32_t id, char *buf, size_t size);

/* Reference evaluation of node id: operands given as arrays, calls op->eval with denormals flushed.
 * For the whole graph: evaluates every node that `ids` need, in index order, with one buffer each;
 * writes the values dense into out[i]. Inputs are looked up by `bind` (id -> data or NULL). Assigns
 * among ids give their value and change nothing. */
typedef const void *wf_bind_fn(void *user, uint32_t id);
WF_API wf_status wf_reference(const wf_graph *g, const uint32_t *ids, void *const *out, int n,
                              wf_bind_fn *bind, void *user);

#ifdef __cplusplus
}
#endif
#endif
