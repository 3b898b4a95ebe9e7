/* Sinking: parts of an elementwise result are computed as parts of its operands, so that they can
 * be computed where they are used.
 *
 *   %1 f32[8,64] = input "x"
 *   %2 f32[8,64] = input "y"
 *   %3 f32[8,64] = add %1, %2
 *   %4 f32[8,32] = slice %3 {axis=1 first=0 n=32}
 *   %5 f32[8,32] = sigmoid %4
 *   %6 f32[8,32] = slice %3 {axis=1 first=32 n=32}
 *   %7 f32[8,32] = tanh %6
 *   --fuse-->
 *   %1 f32[8,64] = input "x"
 *   %2 f32[8,64] = input "y"
 *   %3 f32[8,32] = slice %1 {axis=1 first=0 n=32}
 *   %4 f32[8,32] = slice %2 {axis=1 first=0 n=32}
 *   %5 f32[8,32] = add %3, %4
 *   %6 f32[8,32] = sigmoid %5
 *   %7 f32[8,32] = slice %1 {axis=1 first=32 n=32}
 *   %8 f32[8,32] = slice %2 {axis=1 first=32 n=32}
 *   %9 f32[8,32] = add %7, %8
 *   %10 f32[8,32] = tanh %9
 *
 * So the gates of a cell, slices of one sum of contractions, join the group of the cell, and the
 * gradient of a sequence joins the steps that read it. Only where the result is read by nothing but
 * parts that do not overlap, all of them for elementwise work: nothing is computed twice, but bf16
 * widened. */
#include <stdlib.h>

#include "compiler/fuse.h"
#include "tensor/elementwise.h"
#include "tensor/view.h"

enum { DEPTH = 32, OPERANDS = 8 };

typedef struct edge {
    uint32_t reader, next;
} edge;

typedef struct sinker {
    const wf_graph *g;
    bool *live, *root;
    uint32_t *head;  /* (nodes) first edge of the readers, 0: none */
    edge *edge;
    uint8_t *depth;  /* (nodes) 0: stays; else operations above it that sink, and itself */
    int64_t *lo, *hi; /* parts of the node that is looked at */
} sinker;

static const wf_node *node_of(const sinker *q, uint32_t id) { return wf_graph_node(q->g, id); }

/* --- who reads what --------------------------------------------------------------------------- */

static bool find_readers(sinker *q, const wf_stage *s) {
    const uint32_t n = wf_graph_size(q->g);
    size_t edges = 1;
    for (uint32_t id = 1; id < n; id++) edges += node_of(q, id)->n_in;
    q->edge = calloc(edges, sizeof *q->edge);
    q->lo = calloc(edges, sizeof *q->lo);
    q->hi = calloc(edges, sizeof *q->hi);
    if (!q->edge || !q->lo || !q->hi) return false;
    for (uint32_t i = 0; i < s->n_root; i++) q->live[s->root[i]] = q->root[s->root[i]] = true;
    uint32_t at = 1;
    for (uint32_t id = n; id-- > 1;) {
        if (!q->live[id]) continue;
        for (uint32_t i = 0; i < node_of(q, id)->n_in; i++) {
            const uint32_t in = wf_node_in(q->g, id)[i];
            q->live[in] = true;
            q->edge[at] = (edge){id, q->head[in]};
            q->head[in] = at++;
        }
    }
    return true;
}

/* True if all readers of the view, through views, are elementwise and do not broadcast it: what is
 * broadcast is not computed where it is used. */
static bool feeds_elementwise(const sinker *q, uint32_t id, int depth) {
    if (q->root[id] || depth > DEPTH) return false;
    for (uint32_t e = q->head[id]; e; e = q->edge[e].next) {
        const uint32_t r = q->edge[e].reader;
        const bool view = node_of(q, r)->op->kind == WF_KIND_VIEW;
        const bool joins = wf_fusible(q->g, r) && wf_shape_count(&node_of(q, r)->type.shape) ==
                                                      wf_shape_count(&node_of(q, id)->type.shape);
        if (!(view ? feeds_elementwise(q, r, depth + 1) : joins)) return false;
    }
    return true;
}

/* --- what sinks ------------------------------------------------------------------------------- */

/* True if all readers are slices along one axis that do not overlap. */
static bool read_in_parts(const sinker *q, uint32_t id) {
    int axis = -1, n = 0;
    for (uint32_t e = q->head[id]; e; e = q->edge[e].next) {
        const wf_node *x = node_of(q, q->edge[e].reader);
        if (x->op != &wf_op_slice) return false;
        const wf_slice_attr *a = x->attr;
        const int along = wf_axis_of(a->axis, x->type.shape.rank);
        if ((axis >= 0 && along != axis) || a->n < 1 || (a->n > 1 && a->step != 1)) return false;
        axis = along;
        int k = n++;
        for (; k > 0 && q->lo[k - 1] > a->first; k--) {
            q->lo[k] = q->lo[k - 1];
            q->hi[k] = q->hi[k - 1];
        }
        q->lo[k] = a->first;
        q->hi[k] = a->first + a->n;
        if ((k > 0 && q->hi[k - 1] > a->first) || (k + 1 < n && q->lo[k + 1] < q->hi[k]) ||
            !feeds_elementwise(q, q->edge[e].reader, 0))
            return false;
    }
    return n > 1;
}

/* Depth of a node that has one reader, of the same shape, that sinks; 0: it stays. */
static uint8_t below(const sinker *q, uint32_t id) {
    const uint32_t e = q->head[id];
    if (!e || q->edge[e].next) return 0;
    const uint32_t r = q->edge[e].reader;
    if (!q->depth[r] || q->depth[r] >= DEPTH ||
        !wf_shape_equal(&node_of(q, id)->type.shape, &node_of(q, r)->type.shape))
        return 0;
    return (uint8_t)(q->depth[r] + 1);
}

static void find_sinking(sinker *q) {
    for (uint32_t id = wf_graph_size(q->g); id-- > 1;) {
        const wf_node *x = node_of(q, id);
        if (!q->live[id] || q->root[id] || x->n_in > OPERANDS || !wf_fusible(q->g, id)) continue;
        q->depth[id] = read_in_parts(q, id) ? 1 : below(q, id);
    }
}

/* --- emitting --------------------------------------------------------------------------------- */

/* Elements [first, first + n) of `axis` of node `id`, in r->to. */
static wf_tensor part_of(wf_rewrite *r, const sinker *q, uint32_t id, int axis, int64_t first,
                         int64_t n) {
    const wf_node *x = node_of(q, id);
    if (!q->depth[id] && !wf_fuse_widens(q->g, id))
        return wf_slice(wf_handle(r->to, r->map[id]), axis, first, n, 1);
    wf_tensor in[OPERANDS];
    for (uint32_t i = 0; i < x->n_in; i++) {
        const uint32_t from = wf_node_in(q->g, id)[i];
        const wf_shape *s = &node_of(q, from)->type.shape;
        const int at = axis - (x->type.shape.rank - s->rank);
        const bool whole = at < 0 || s->dim[at] != x->type.shape.dim[axis];
        in[i] = whole ? wf_handle(r->to, r->map[from]) : part_of(r, q, from, at, first, n);
    }
    return wf_emit(r->to, x->op, x->attr, x->attr_bytes, in, (int)x->n_in);
}

/* Equal nodes that an earlier pass left apart stay apart; equal parts are one. */
static uint32_t rewrite(wf_rewrite *r, uint32_t id, const wf_tensor *in, void *user) {
    const sinker *q = user;
    const wf_node *x = node_of(q, id);
    if (q->depth[id] && !x->name) return in[0].id; /* nobody reads it any more */
    const bool part = x->op == &wf_op_slice && q->depth[wf_node_in(q->g, id)[0]];
    wf_graph_set_consing(r->to, part);
    if (!part) return wf_rewrite_same(r, id, in, NULL);
    const wf_slice_attr *a = x->attr;
    const int axis = wf_axis_of(a->axis, x->type.shape.rank);
    return part_of(r, q, wf_node_in(q->g, id)[0], axis, a->first, a->n).id;
}

wf_status wf_pass_sink(const wf_stage *in, wf_stage *out) {
    const size_t n = wf_graph_size(in->graph);
    sinker q = {.g = in->graph,
                .live = calloc(n, sizeof *q.live),
                .root = calloc(n, sizeof *q.root),
                .head = calloc(n, sizeof *q.head),
                .depth = calloc(n, sizeof *q.depth)};
    wf_status s = WF_MEMORY;
    if (q.live && q.root && q.head && q.depth && find_readers(&q, in)) {
        find_sinking(&q);
        s = wf_rewrite_stage(in, out, rewrite, &q);
    } else {
        *out = (wf_stage){0};
        wf_fail(WF_MEMORY, "out of memory in the compiler");
    }
    void *const own[] = {q.live, q.root, q.head, q.depth, q.edge, q.lo, q.hi};
    for (size_t i = 0; i < WF_COUNT(own); i++) free(own[i]);
    return s;
}
