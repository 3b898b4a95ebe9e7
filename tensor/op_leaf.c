/* Leaves and assignments: the values that a graph does not compute itself.
 *
 * A leaf is an input (provided before each run), bound (a buffer of the caller) or constant (bytes
 * in the graph). assign(leaf, value) is the one effect: its result is value, and after the run the
 * leaf holds it. */
#include <stdatomic.h>
#include <string.h>

#include "tensor/graph_struct.h"
#include "tensor/size.h"
#include "tensor/sources.h"

/* --- infer, eval ------------------------------------------------------------------------------ */

static bool infer_leaf(wf_infer *q) {
    q->out = ((const wf_leaf_attr *)q->attr)->type;
    return true;
}

static void eval_leaf(const wf_call *c) {
    const wf_leaf_attr *a = c->attr;
    const wf_array in = wf_array_dense(a->data, a->type.dtype, &a->type.shape);
    if (a->data) wf_array_copy(&c->out, &in);
}

static bool infer_assign(wf_infer *q) {
    if (q->in[0].dtype != q->in[1].dtype || !wf_shape_equal(&q->in[0].shape, &q->in[1].shape))
        return wf_infer_fail(q, "leaf and value differ in type; cast or reshape the value");
    q->out = q->in[1];
    return true;
}

static void eval_assign(const wf_call *c) { wf_array_copy(&c->out, &c->in[1]); }

/* --- descriptors ------------------------------------------------------------------------------ */

const wf_op wf_op_leaf = {
    .name = "leaf",
    .kind = WF_KIND_LEAF,
    .infer = infer_leaf,
    .eval = eval_leaf,
    .no_grad_reason = "a leaf has no operands",
};

const wf_op wf_op_assign = {
    .name = "assign",
    .kind = WF_KIND_ASSIGN,
    .min_in = 2,
    .max_in = 2,
    .infer = infer_assign,
    .eval = eval_assign,
    .no_grad_reason = "an assignment is an effect; differentiate the value before it is assigned",
};

/* --- constructors ----------------------------------------------------------------------------- */

static atomic_uint_fast64_t next_serial = 1;

static wf_tensor emit_leaf(wf_graph *g, const wf_leaf_attr *attr, const char *name) {
    if (!wf_graph_grow((void **)&g->leaf, &g->leaf_cap, g->n_leaf + 1, sizeof *g->leaf))
        return wf_graph_fail(g, "out of memory");
    const wf_tensor t = wf_emit(g, &wf_op_leaf, attr, sizeof *attr, NULL, 0);
    if (t.id) g->leaf[g->n_leaf++] = t.id;
    return name ? wf_name(t, name) : t;
}

static wf_leaf_attr make_attr(wf_leaf_kind kind, wf_dtype dtype, const wf_shape *shape,
                              void *data) {
    wf_leaf_attr a;
    memset(&a, 0, sizeof a);
    a.kind = kind;
    a.type.dtype = dtype;
    a.type.shape = *shape;
    a.data = data;
    a.serial = atomic_fetch_add(&next_serial, 1);
    return a;
}

/* Checks what is common to leaves; false leaves a message. */
static bool check_leaf(wf_graph *g, const char *what, const char *name, wf_dtype dtype,
                       const wf_shape *shape, size_t *bytes) {
    char text[128];
    if (!g || g->status != WF_OK) return false;
    if ((unsigned)dtype >= WF_N_DTYPE) {
        wf_graph_fail(g, "%s \"%s\": unknown dtype %d", what, name ? name : "", (int)dtype);
        return false;
    }
    if (shape->rank < 0 || shape->rank > WF_MAX_RANK) {
        wf_graph_fail(g, "%s \"%s\": rank %d, at most %d is supported", what, name ? name : "",
                      shape->rank, WF_MAX_RANK);
        return false;
    }
    if (!wf_type_bytes(dtype, shape, bytes)) {
        wf_graph_fail(g, "%s \"%s\": shape %s is negative or too large", what, name ? name : "",
                      wf_shape_text(shape, text, sizeof text));
        return false;
    }
    return true;
}

wf_tensor wf_input(wf_graph *g, const char *name, wf_dtype dtype, wf_shape shape) {
    size_t bytes;
    if (!check_leaf(g, "input", name, dtype, &shape, &bytes)) return (wf_tensor){g, 0};
    if (!name || !*name) return wf_graph_fail(g, "an input needs a name");
    for (uint32_t i = 0; i < g->n_leaf; i++) {
        const wf_node *x = &g->node[g->leaf[i]];
        if (((const wf_leaf_attr *)x->attr)->kind == WF_LEAF_INPUT && strcmp(x->name, name) == 0)
            return wf_graph_fail(g, ": input \"%s\" exists already; names of inputs are unique, "
                                    "give it another one", name);
    }
    const wf_leaf_attr a = make_attr(WF_LEAF_INPUT, dtype, &shape, NULL);
    return emit_leaf(g, &a, name);
}

wf_tensor wf_leaf(wf_graph *g, const char *name, wf_dtype dtype, wf_shape shape, void *data) {
    size_t bytes;
    if (!check_leaf(g, "leaf", name, dtype, &shape, &bytes)) return (wf_tensor){g, 0};
    if (!data && bytes) return wf_graph_fail(g, "leaf \"%s\": data is NULL", name ? name : "");
    for (uint32_t i = 0; i < g->n_leaf; i++) {
        const uint32_t id = g->leaf[i];
        const wf_leaf_attr *a = g->node[id].attr;
        if (a->kind != WF_LEAF_BOUND || a->data != data || !data) continue;
        if (a->type.dtype == dtype && wf_shape_equal(&a->type.shape, &shape))
            return (wf_tensor){g, id};
        return wf_graph_fail(g, "leaf \"%s\": the same data is bound already with another type",
                             name ? name : "");
    }
    const wf_leaf_attr a = make_attr(WF_LEAF_BOUND, dtype, &shape, data);
    return emit_leaf(g, &a, name);
}

wf_tensor wf_leaf_of(wf_graph *g, const void *data) {
    for (uint32_t i = 0; g && data && i < g->n_leaf; i++) {
        const wf_leaf_attr *a = g->node[g->leaf[i]].attr;
        if (a->kind == WF_LEAF_BOUND && a->data == data) return (wf_tensor){g, g->leaf[i]};
    }
    return (wf_tensor){g, 0};
}

wf_tensor wf_const(wf_graph *g, wf_dtype dtype, wf_shape shape, const void *data) {
    size_t bytes;
    if (!check_leaf(g, "constant", NULL, dtype, &shape, &bytes)) return (wf_tensor){g, 0};
    if (!data && bytes) return wf_graph_fail(g, "constant: data is NULL");
    void *copy = wf_arena_alloc(&g->mem, bytes);
    if (!copy) return wf_graph_fail(g, "out of memory for a constant of %zu bytes", bytes);
    if (bytes) memcpy(copy, data, bytes);
    const wf_leaf_attr a = make_attr(WF_LEAF_CONST, dtype, &shape, copy);
    return emit_leaf(g, &a, NULL);
}

wf_tensor wf_leaf_own(wf_graph *g, const char *name, wf_dtype dtype, wf_shape shape,
                      const void *data) {
    size_t bytes;
    if (!check_leaf(g, "leaf", name, dtype, &shape, &bytes)) return (wf_tensor){g, 0};
    void *own = wf_arena_alloc(&g->mem, bytes);
    if (!own) return wf_graph_fail(g, "out of memory for a leaf of %zu bytes", bytes);
    if (bytes && data) memcpy(own, data, bytes);
    const wf_leaf_attr a = make_attr(WF_LEAF_BOUND, dtype, &shape, own);
    return emit_leaf(g, &a, name);
}

wf_tensor wf_copy_leaf(wf_graph *g, const wf_graph *from, uint32_t id) {
    const wf_node *x = &from->node[id];
    wf_leaf_attr a;
    memcpy(&a, x->attr, sizeof a);
    if (a.kind == WF_LEAF_CONST) {
        size_t bytes = 0;
        wf_type_bytes(a.type.dtype, &a.type.shape, &bytes);
        void *copy = wf_arena_alloc(&g->mem, bytes);
        if (!copy) return wf_graph_fail(g, "out of memory for a constant of %zu bytes", bytes);
        if (bytes) memcpy(copy, a.data, bytes);
        a.data = copy;
    }
    return emit_leaf(g, &a, x->name);
}

wf_tensor wf_assign(wf_tensor leaf, wf_tensor value) {
    wf_graph *g = leaf.graph ? leaf.graph : value.graph;
    if (!g || g->status != WF_OK) return (wf_tensor){g, 0};
    if (wf_ok(leaf)) {
        const wf_node *x = &g->node[leaf.id];
        const wf_leaf_attr *a = x->attr;
        if (x->op != &wf_op_leaf || a->kind != WF_LEAF_BOUND)
            return wf_graph_fail(g, "assign: the destination %%%u (%s) is not a leaf with data",
                                 leaf.id, x->op->name);
        for (uint32_t i = 0; i < g->n_assigned; i++)
            if (g->assigned[i] == leaf.id)
                return wf_graph_fail(g, "assign: leaf \"%s\" is assigned twice in one graph",
                                     x->name ? x->name : "");
    }
    const wf_tensor t = wf_emit(g, &wf_op_assign, NULL, 0, (wf_tensor[]){leaf, value}, 2);
    if (!t.id) return t;
    if (!wf_graph_grow((void **)&g->assigned, &g->assigned_cap, g->n_assigned + 1,
                       sizeof *g->assigned))
        return wf_graph_fail(g, "out of memory");
    g->assigned[g->n_assigned++] = leaf.id;
    return t;
}

wf_tensor wf_scalar(wf_graph *g, wf_dtype dtype, double value) {
    return wf_full(g, dtype, WF_SCALAR, value);
}

static wf_tensor full_like(wf_tensor x, double value) {
    return wf_ok(x) ? wf_full(x.graph, wf_dtype_of(x), wf_shape_of_tensor(x), value)
                    : (wf_tensor){x.graph, 0};
}

wf_tensor wf_zeros_like(wf_tensor x) { return full_like(x, 0); }
wf_tensor wf_ones_like(wf_tensor x) { return full_like(x, 1); }

/* --- what a value is known to be -------------------------------------------------------------- */

bool wf_uniform_value(const wf_graph *g, uint32_t id, double *value) {
    enum { most_elements = 4096 }; /* a scan must not cost more than what it saves */
    const wf_node *x = &g->node[id];
    if (x->op == &wf_op_full) {
        *value = ((const wf_full_attr *)x->attr)->value;
        return true;
    }
    if (x->op != &wf_op_leaf) return false;
    const wf_leaf_attr *a = x->attr;
    const int64_t n = wf_shape_count(&a->type.shape);
    if (a->kind != WF_LEAF_CONST || n < 1 || n > most_elements) return false;
    const wf_array v = wf_array_dense(a->data, a->type.dtype, &a->type.shape);
    const double first = wf_get(&v, 0);
    for (int64_t i = 1; i < n; i++)
        if (wf_get(&v, i) != first) return false;
    *value = first;
    return true;
}
