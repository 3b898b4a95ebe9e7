/* The reference evaluator: walks a graph in index order and calls op->eval, one dense buffer a
 * node. It is the specification that compiled programs are tested against; it knows no compiler. */
#include <stdlib.h>
#include <string.h>

#include "tensor/denormals.h"
#include "tensor/graph.h"
#include "tensor/size.h"

typedef struct walk {
    const wf_graph *g;
    uint32_t n;          /* nodes that matter: ids below n */
    uint32_t *last_use;  /* (n) id of the last reader, own id if asked for, 0 if not needed */
    void **value;        /* (n) dense values of needed nodes that live now */
} walk;

/* Marks what `ids` need. Readers are visited before their operands, so one backward loop does. */
static void mark(walk *w, const uint32_t *ids, int n) {
    for (int i = 0; i < n; i++) w->last_use[ids[i]] = UINT32_MAX;
    for (uint32_t id = w->n; id-- > 1;) {
        if (!w->last_use[id]) continue;
        const uint32_t *in = wf_node_in(w->g, id);
        for (uint32_t i = 0; i < wf_graph_node(w->g, id)->n_in; i++)
            if (w->last_use[in[i]] < id) w->last_use[in[i]] = id;
    }
}

static wf_status load_leaf(walk *w, uint32_t id, wf_bind_fn *bind, void *user, size_t bytes) {
    const wf_node *x = wf_graph_node(w->g, id);
    const wf_leaf_attr *a = x->attr;
    const void *data = a->kind == WF_LEAF_INPUT ? (bind ? bind(user, id) : NULL) : a->data;
    if (!data && bytes)
        return wf_fail(WF_ARGUMENT, "input \"%s\" has no data; write it before it is read",
                       x->name ? x->name : "");
    if (bytes) memcpy(w->value[id], data, bytes);
    return WF_OK;
}

static wf_status compute(walk *w, uint32_t id) {
    const wf_node *x = wf_graph_node(w->g, id);
    const uint32_t *in = wf_node_in(w->g, id);
    wf_array few[8], *array = few;
    if (x->n_in > WF_COUNT(few) && !(array = calloc(x->n_in, sizeof *array)))
        return wf_fail(WF_MEMORY, "out of memory in the reference evaluator");
    for (uint32_t i = 0; i < x->n_in; i++) {
        const wf_type *t = &wf_graph_node(w->g, in[i])->type;
        array[i] = wf_array_dense(w->value[in[i]], t->dtype, &t->shape);
    }
    const wf_call call = {.op = x->op,
                          .attr = x->attr,
                          .n_in = (int)x->n_in,
                          .in = array,
                          .out = wf_array_dense(w->value[id], x->type.dtype, &x->type.shape)};
    x->op->eval(&call);
    if (array != few) free(array);
    return WF_OK;
}

static void release(walk *w, uint32_t id) {
    const uint32_t *in = wf_node_in(w->g, id);
    for (uint32_t i = 0; i < wf_graph_node(w->g, id)->n_in; i++)
        if (w->last_use[in[i]] == id) {
            free(w->value[in[i]]);
            w->value[in[i]] = NULL;
        }
}

static wf_status run(walk *w, wf_bind_fn *bind, void *user) {
    for (uint32_t id = 1; id < w->n; id++) {
        if (!w->last_use[id]) continue;
        const wf_node *x = wf_graph_node(w->g, id);
        size_t bytes = 0;
        if (!wf_type_bytes(x->type.dtype, &x->type.shape, &bytes))
            return wf_fail(WF_INTERNAL, "eval: node %u has no valid shape", id);
        w->value[id] = malloc(bytes ? bytes : 1);
        if (!w->value[id])
            return wf_fail(WF_MEMORY, "out of memory: %zu bytes in the reference evaluator", bytes);
        const wf_status s = x->op == &wf_op_leaf ? load_leaf(w, id, bind, user, bytes)
                                                 : compute(w, id);
        if (s) return s;
        release(w, id);
    }
    return WF_OK;
}

wf_status wf_reference(const wf_graph *g, const uint32_t *ids, void *const *out, int n,
                       wf_bind_fn *bind, void *user) {
    const wf_status ok = wf_graph_status(g);
    if (ok) return ok;
    walk w = {.g = g, .n = wf_graph_size(g)};
    for (int i = 0; i < n; i++)
        if (ids[i] == 0 || ids[i] >= w.n)
            return wf_fail(WF_ARGUMENT, "eval: %u is not a value of the graph", ids[i]);
    w.last_use = calloc(w.n, sizeof *w.last_use);
    w.value = calloc(w.n, sizeof *w.value);
    wf_status s = WF_MEMORY;
    if (w.last_use && w.value) {
        mark(&w, ids, n);
        const wf_fp_mode mode = wf_flush_denormals();
        s = run(&w, bind, user);
        wf_restore_denormals(mode);
    } else {
        wf_fail(WF_MEMORY, "out of memory in the reference evaluator");
    }
    for (int i = 0; s == WF_OK && i < n; i++) {
        const wf_type *t = &wf_graph_node(g, ids[i])->type;
        size_t bytes = 0;
        if (wf_type_bytes(t->dtype, &t->shape, &bytes) && bytes)
            memcpy(out[i], w.value[ids[i]], bytes);
    }
    for (uint32_t id = 0; w.value && id < w.n; id++) free(w.value[id]);
    free(w.value);
    free(w.last_use);
    return s;
}
