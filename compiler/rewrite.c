/* The loop that every pass is made of, and the pass that changes nothing but drops dead nodes. */
#include <stdlib.h>
#include <string.h>

#include "compiler/pass.h"

void wf_stage_free(wf_stage *s) {
    wf_graph_free(s->graph);
    free(s->root);
    memset(s, 0, sizeof *s);
}

/* Readers have larger ids than what they read: one backward loop finds all that is live. */
static void count_readers(const wf_stage *in, uint32_t *readers) {
    for (uint32_t i = 0; i < in->n_root; i++) readers[in->root[i]]++;
    for (uint32_t id = wf_graph_size(in->graph); id-- > 1;) {
        if (!readers[id]) continue;
        const uint32_t *from = wf_node_in(in->graph, id);
        const uint32_t n = wf_graph_node(in->graph, id)->n_in;
        for (uint32_t i = 0; i < n; i++) readers[from[i]]++;
    }
}

uint32_t wf_rewrite_same(wf_rewrite *r, uint32_t id, const wf_tensor *in, void *user) {
    const wf_node *x = wf_graph_node(r->from, id);
    if (x->op == &wf_op_leaf) return wf_copy_leaf(r->to, r->from, id).id;
    if (x->op == &wf_op_assign) return wf_assign(in[0], in[1]).id;
    return wf_emit(r->to, x->op, x->attr, x->attr_bytes, in, (int)x->n_in).id;
}

static wf_status rewrite_all(wf_rewrite *r, const uint32_t *order, uint32_t n, wf_rewrite_fn *fn,
                             void *user) {
    wf_tensor *in = NULL;
    uint32_t room = 0;
    for (uint32_t at = 0; at < n; at++) {
        const uint32_t id = order ? order[at] : at;
        if (!r->readers[id]) continue;
        const wf_node *x = wf_graph_node(r->from, id);
        if (x->n_in > room) {
            wf_tensor *more = realloc(in, x->n_in * sizeof *in);
            if (!more) {
                free(in);
                return wf_fail(WF_MEMORY, "out of memory in the compiler");
            }
            in = more;
            room = x->n_in;
        }
        const uint32_t *from = wf_node_in(r->from, id);
        for (uint32_t i = 0; i < x->n_in; i++) in[i] = wf_handle(r->to, r->map[from[i]]);
        wf_graph_set_scope(r->to, x->scope);
        const uint32_t to = fn(r, id, in, user);
        if (!to) break;
        r->map[id] = to;
        if (x->name && !wf_graph_node(r->to, to)->name) wf_name(wf_handle(r->to, to), x->name);
    }
    free(in);
    return wf_graph_status(r->to);
}

wf_status wf_rewrite_stage(const wf_stage *in, wf_stage *out, wf_rewrite_fn *fn, void *user) {
    return wf_rewrite_ordered(in, out, NULL, wf_graph_size(in->graph), fn, user);
}

wf_status wf_rewrite_ordered(const wf_stage *in, wf_stage *out, const uint32_t *order,
                             uint32_t n_order, wf_rewrite_fn *fn, void *user) {
    const size_t n = wf_graph_size(in->graph);
    wf_rewrite r = {.from = in->graph,
                    .to = wf_graph_like(in->graph),
                    .readers = calloc(n, sizeof *r.readers),
                    .map = calloc(n, sizeof *r.map)};
    uint32_t *root = calloc(in->n_root ? in->n_root : 1, sizeof *root);
    wf_status s = WF_MEMORY;
    if (r.to && r.readers && r.map && root) {
        count_readers(in, r.readers);
        s = rewrite_all(&r, order, n_order, fn, user);
    } else {
        wf_fail(WF_MEMORY, "out of memory in the compiler");
    }
    *out = (wf_stage){r.to, root, in->n_root};
    for (uint32_t i = 0; s == WF_OK && i < in->n_root; i++) {
        root[i] = r.map[in->root[i]];
        if (!root[i]) s = wf_fail(WF_INTERNAL, "a pass lost root %u", i);
    }
    free(r.readers);
    free(r.map);
    if (s) wf_stage_free(out);
    return s;
}

/* Equal nodes stay apart: with every pass off, the program is the graph as it was written. */
static uint32_t copy_node(wf_rewrite *r, uint32_t id, const wf_tensor *in, void *user) {
    wf_graph_set_consing(r->to, false);
    return wf_rewrite_same(r, id, in, user);
}

wf_status wf_pass_copy(const wf_stage *in, wf_stage *out) {
    return wf_rewrite_stage(in, out, copy_node, NULL);
}
