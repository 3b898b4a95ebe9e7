/* Sums of parts: where all parts of a concat are summed alike, its sum is taken once.
 *
 *   %1 f32[8,3] = input "x"
 *   %2 f32[8,3] = input "y"
 *   %3 f32[8,6] = concat %1, %2 {axis=1}
 *   %4 f32[3] = sum %1 {axes=0}
 *   %5 f32[3] = sum %2 {axes=0}
 *   %6 f32[3] = sub %4, %5
 *   outputs %3, %6
 *   --merge-->
 *   %1 f32[8,3] = input "x"
 *   %2 f32[8,3] = input "y"
 *   %3 f32[8,6] = concat %1, %2 {axis=1}
 *   %4 f32[6] = sum %3 {axes=0}
 *   %5 f32[3] = slice %4 {axis=0 first=0 n=3}
 *   %6 f32[3] = slice %4 {axis=0 first=3 n=3}
 *   %7 f32[3] = sub %5, %6
 *
 * So the gradients of separate biases are one reduction of the gates' gradients, which lie side by
 * side already. Every element is the sum of the same terms. Depth counts sums: those of equal depth
 * do not need each other. */
#include <stdlib.h>
#include <string.h>

#include "compiler/siblings.h"
#include "tensor/reduce.h"
#include "tensor/sources.h"
#include "tensor/view.h"

typedef struct joiner {
    const wf_graph *g;
    bool *live;
    uint32_t *sum;    /* (nodes) the first sum that reads it, 0: none, or it is constant */
    uint32_t *depth;  /* (nodes) sums above the value, and itself */
    uint32_t *whole;  /* (nodes) of a sum that joins: the concat */
} joiner;

static const wf_node *node_of(const joiner *q, uint32_t id) { return wf_graph_node(q->g, id); }

static bool is_constant(const joiner *q, uint32_t id) { return node_of(q, id)->op == &wf_op_full; }

static void look(joiner *q, const wf_stage *s) {
    for (uint32_t i = 0; i < s->n_root; i++) q->live[s->root[i]] = true;
    for (uint32_t id = wf_graph_size(q->g); id-- > 1;) {
        const wf_node *x = node_of(q, id);
        for (uint32_t i = 0; i < x->n_in && q->live[id]; i++)
            q->live[wf_node_in(q->g, id)[i]] = true;
        if (q->live[id] && x->op == &wf_op_sum && !is_constant(q, wf_node_in(q->g, id)[0]))
            q->sum[wf_node_in(q->g, id)[0]] = id;
    }
    for (uint32_t id = 1; id < wf_graph_size(q->g); id++) {
        const wf_node *x = node_of(q, id);
        for (uint32_t i = 0; i < x->n_in; i++) {
            const uint32_t above = q->depth[wf_node_in(q->g, id)[i]];
            if (above > q->depth[id]) q->depth[id] = above;
        }
        q->depth[id] += x->op == &wf_op_sum;
    }
}

static int axis_of(const wf_node *concat) {
    return wf_axis_of(((const wf_concat_attr *)concat->attr)->axis, concat->type.shape.rank);
}

/* The axis of the sum that is axis `axis` of its operand; -1: it is summed over. */
static int axis_after(const wf_node *sum, int rank, int axis) {
    const uint32_t over = wf_reduce_mask(sum->attr, rank);
    if (over >> axis & 1) return -1;
    int after = axis;
    if (sum->type.shape.rank != rank)
        for (int i = 0; i < axis; i++) after -= over >> i & 1;
    return after;
}

/* True if every part that is not constant is summed, all alike, there are two at least, and the
 * constant parts are at most a third as much again. */
static bool joins(const joiner *q, uint32_t id) {
    const wf_node *x = node_of(q, id), *like = NULL;
    const uint32_t *in = wf_node_in(q->g, id);
    const int64_t *offset = ((const wf_concat_attr *)x->attr)->offset;
    uint32_t depth = 0;
    int64_t constant = 0;
    int n = 0;
    for (uint32_t i = 0; i < x->n_in; i++) {
        const uint32_t sum = q->sum[in[i]];
        if (is_constant(q, in[i])) {
            constant += offset[i + 1] - offset[i];
            continue;
        }
        if (!sum || q->whole[sum]) return false;
        const wf_node *y = node_of(q, sum);
        if (n++ == 0) {
            like = y;
            depth = q->depth[sum];
        }
        if (q->depth[sum] != depth || y->attr_bytes != like->attr_bytes ||
            memcmp(y->attr, like->attr, y->attr_bytes))
            return false;
    }
    return n > 1 && 3 * constant <= offset[x->n_in] - constant &&
           axis_after(like, x->type.shape.rank, axis_of(x)) >= 0;
}

static bool find(joiner *q, wf_bundles *b) {
    for (uint32_t id = 1; id < wf_graph_size(q->g); id++) {
        const wf_node *x = node_of(q, id);
        if (!q->live[id] || x->op != &wf_op_concat || x->n_in < 2 || !joins(q, id)) continue;
        uint32_t *sum = calloc(x->n_in, sizeof *sum);
        for (uint32_t i = 0; i < x->n_in && sum; i++) {
            const uint32_t part = q->sum[wf_node_in(q->g, id)[i]];
            if (!part || q->whole[part]) continue;
            sum[i] = part;
            q->whole[part] = id;
        }
        const bool ok = sum && wf_bundles_add(b, sum, x->n_in, &id, 1);
        free(sum);
        if (!ok) return false;
    }
    return true;
}

static uint32_t rewrite(wf_rewrite *r, uint32_t id, const wf_tensor *in, void *user) {
    const joiner *q = user;
    const wf_node *x = wf_graph_node(r->from, id);
    if (!q->whole[id]) return wf_rewrite_same(r, id, in, NULL);
    const uint32_t whole = q->whole[id], part = wf_node_in(r->from, id)[0];
    const wf_node *concat = wf_graph_node(r->from, whole);
    const wf_tensor of = wf_handle(r->to, r->map[whole]);
    const wf_tensor sum = wf_emit1(x->op, x->attr, x->attr_bytes, of);
    const int axis = axis_of(concat);
    uint32_t i = 0;
    while (wf_node_in(r->from, whole)[i] != part) i++;
    const int64_t *offset = ((const wf_concat_attr *)concat->attr)->offset;
    return wf_slice(sum, axis_after(x, concat->type.shape.rank, axis), offset[i],
                    offset[i + 1] - offset[i], 1).id;
}

wf_status wf_pass_part_sums(const wf_stage *in, wf_stage *out) {
    const size_t n = wf_graph_size(in->graph);
    joiner q = {.g = in->graph,
                .live = calloc(n, sizeof *q.live),
                .sum = calloc(n, sizeof *q.sum),
                .depth = calloc(n, sizeof *q.depth),
                .whole = calloc(n, sizeof *q.whole)};
    wf_bundles b;
    uint32_t *order = NULL, n_order = 0;
    bool ok = wf_bundles_init(&b, in->graph) && q.live && q.sum && q.depth && q.whole;
    if (ok) {
        look(&q, in);
        ok = find(&q, &b);
    }
    const bool nothing = ok && b.n_list == 1;
    if (ok && !nothing) order = wf_bundles_order(&b, q.live, &n_order);
    *out = (wf_stage){0};
    wf_status s = WF_OK;
    if (order) s = wf_rewrite_ordered(in, out, order, n_order, rewrite, &q);
    else if (!nothing) s = wf_fail(WF_MEMORY, "out of memory in the compiler");
    void *const own[] = {q.live, q.sum, q.depth, q.whole, order};
    for (size_t i = 0; i < WF_COUNT(own); i++) free(own[i]);
    wf_bundles_free(&b);
    return s;
}
