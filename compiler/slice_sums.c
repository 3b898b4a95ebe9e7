/* Sums of slices: where slices at equal places are added, the wholes are added once.
 *
 *   %1 f32[6] = leaf "b"
 *   %2 f32[6] = leaf "c"
 *   %3 f32[3] = slice %1 {axis=0 first=0 n=3}
 *   %4 f32[3] = slice %2 {axis=0 first=0 n=3}
 *   %5 f32[3] = add %3, %4
 *   %6 f32[3] = slice %1 {axis=0 first=3 n=3}
 *   %7 f32[3] = slice %2 {axis=0 first=3 n=3}
 *   %8 f32[3] = add %6, %7
 *   %9 f32[3] = mul %5, %8
 *   --merge-->
 *   %1 f32[6] = leaf "b"
 *   %2 f32[6] = leaf "c"
 *   %3 f32[6] = add %1, %2
 *   %4 f32[3] = slice %3 {axis=0 first=3 n=3}
 *   %5 f32[3] = slice %3 {axis=0 first=0 n=3}
 *   %6 f32[3] = mul %5, %4
 *
 * The wholes are leaves (biases) or results of reductions: a bias gradient's terms, one a step,
 * after part_sums.c has joined those of the gates. A sum that lacks some whole joins where its part
 * of that one is zeros; slices that leave out much of the wholes stay. (Sums in groups need no
 * such help: there slices are read where they lie.) Depth counts the sums that may join: sums of
 * equal depth do not need each other. */
#include <stdlib.h>
#include <string.h>

#include "compiler/siblings.h"
#include "tensor/elementwise.h"
#include "tensor/reduce.h"
#include "tensor/sources.h"
#include "tensor/view.h"

typedef struct adder {
    const wf_graph *g;
    bool *live;
    uint32_t *depth;  /* (nodes) */
    uint32_t *latest; /* (nodes) of a whole: the last sum whose first whole it is, 0: none */
    uint32_t *before; /* (nodes) of a sum: the one before it with that first whole */
    uint32_t *base;   /* (nodes) of a sum that joins: the one with all terms */
} adder;

static const wf_node *node_of(const adder *q, uint32_t id) { return wf_graph_node(q->g, id); }
static const uint32_t *ins(const adder *q, uint32_t id) { return wf_node_in(q->g, id); }
static const wf_slice_attr *slice_of(const adder *q, uint32_t sum, uint32_t i) {
    return node_of(q, ins(q, sum)[i])->attr;
}
static uint32_t whole_of(const adder *q, uint32_t sum, uint32_t i) {
    return ins(q, ins(q, sum)[i])[0];
}

static bool is_candidate(const adder *q, uint32_t id) {
    const wf_node *x = node_of(q, id);
    if (!q->live[id] || (x->op != &wf_op_add && x->op != &wf_op_add_n)) return false;
    for (uint32_t i = 0; i < x->n_in; i++) {
        const wf_node *y = node_of(q, ins(q, id)[i]);
        if (y->op != &wf_op_slice || !wf_shape_equal(&y->type.shape, &x->type.shape)) return false;
        const wf_op *whole = node_of(q, whole_of(q, id, i))->op;
        if (whole != &wf_op_sum && whole != &wf_op_leaf) return false;
        const wf_slice_attr *a = y->attr, *b = slice_of(q, id, 0);
        if ((a->n > 1 && a->step != 1) || memcmp(a, b, sizeof *a) ||
            !wf_shape_equal(&node_of(q, whole_of(q, id, i))->type.shape,
                            &node_of(q, whole_of(q, id, 0))->type.shape))
            return false;
    }
    return true;
}

static void look(adder *q, const wf_stage *s) {
    for (uint32_t i = 0; i < s->n_root; i++) q->live[s->root[i]] = true;
    for (uint32_t id = wf_graph_size(q->g); id-- > 1;)
        for (uint32_t i = 0; i < node_of(q, id)->n_in && q->live[id]; i++)
            q->live[ins(q, id)[i]] = true;
    for (uint32_t id = 1; id < wf_graph_size(q->g); id++) {
        for (uint32_t i = 0; i < node_of(q, id)->n_in; i++)
            if (q->depth[ins(q, id)[i]] > q->depth[id]) q->depth[id] = q->depth[ins(q, id)[i]];
        if (!is_candidate(q, id)) continue;
        const uint32_t whole = whole_of(q, id, 0);
        q->depth[id]++;
        q->before[id] = q->latest[whole];
        q->latest[whole] = id;
    }
}

/* True if elements [first, first + n) of the whole are sums of zeros. */
static bool is_zeros(const adder *q, uint32_t whole, const wf_slice_attr *a) {
    const wf_node *sum = node_of(q, whole);
    const wf_node *x = sum->n_in ? node_of(q, ins(q, whole)[0]) : sum;
    if (x->op != &wf_op_concat) return false;
    const wf_concat_attr *c = x->attr;
    const int rank = x->type.shape.rank, axis = wf_axis_of(c->axis, rank);
    const uint32_t over = wf_reduce_mask(sum->attr, rank);
    int after = axis;
    for (int i = 0; i < axis && sum->type.shape.rank != rank; i++) after -= over >> i & 1;
    if (over >> axis & 1 || wf_axis_of(a->axis, sum->type.shape.rank) != after) return false;
    for (uint32_t i = 0; i < x->n_in; i++) {
        const wf_node *part = node_of(q, ins(q, ins(q, whole)[0])[i]);
        if (c->offset[i + 1] <= a->first || c->offset[i] >= a->first + a->n) continue;
        if (part->op != &wf_op_full || ((const wf_full_attr *)part->attr)->value != 0) return false;
    }
    return true;
}

/* True if sum `id` has the wholes of `base` in order, but for such as are zeros in its place. */
static bool fits(const adder *q, uint32_t base, uint32_t id) {
    const wf_slice_attr *a = slice_of(q, base, 0), *b = slice_of(q, id, 0);
    if (q->depth[base] != q->depth[id] || a->axis != b->axis) return false;
    uint32_t at = 0;
    for (uint32_t i = 0; i < node_of(q, base)->n_in; i++) {
        const uint32_t whole = whole_of(q, base, i);
        if (at < node_of(q, id)->n_in && whole_of(q, id, at) == whole) at++;
        else if (!is_zeros(q, whole, b)) return false;
    }
    return at == node_of(q, id)->n_in;
}

/* True if the wholes are at most a third more to add than the slices were. */
static bool pays(const adder *q, uint32_t base, const uint32_t *member, uint32_t m) {
    const wf_slice_attr *a = slice_of(q, base, 0);
    const wf_shape *whole = &node_of(q, whole_of(q, base, 0))->type.shape;
    int64_t parts = 0;
    for (uint32_t i = 0; i < m; i++)
        parts += slice_of(q, member[i], 0)->n * node_of(q, member[i])->n_in;
    return 3 * whole->dim[wf_axis_of(a->axis, whole->rank)] * node_of(q, base)->n_in <= 4 * parts;
}

/* Bundles the sums that start with `whole`. */
static bool bundle(adder *q, wf_bundles *b, uint32_t whole) {
    uint32_t base = q->latest[whole], n = 0, m = 0;
    for (uint32_t id = base; id; id = q->before[id], n++)
        if (node_of(q, id)->n_in >= node_of(q, base)->n_in) base = id;
    if (n < 2) return true;
    const uint32_t n_need = node_of(q, base)->n_in;
    uint32_t *member = calloc(n + n_need, sizeof *member), *need = member + n;
    if (!member) return false;
    for (uint32_t id = q->latest[whole]; id; id = q->before[id])
        if (fits(q, base, id)) member[m++] = id;
    if (!pays(q, base, member, m)) m = 0;
    for (uint32_t i = 0; i < m && m > 1; i++) q->base[member[i]] = base;
    for (uint32_t i = 0; i < n_need; i++) need[i] = whole_of(q, base, i);
    const bool ok = m < 2 || wf_bundles_add(b, member, m, need, n_need);
    free(member);
    return ok;
}

static uint32_t rewrite(wf_rewrite *r, uint32_t id, const wf_tensor *in, void *user) {
    const adder *q = user;
    const wf_node *x = wf_graph_node(r->from, id);
    if (x->op == &wf_op_concat) {
        const int64_t axis = ((const wf_concat_attr *)x->attr)->axis;
        return wf_side_by_side(in, (int)x->n_in, wf_axis_of(axis, x->type.shape.rank)).id;
    }
    const uint32_t base = q->base[id];
    if (!base) return wf_rewrite_same(r, id, in, NULL);
    const uint32_t n = wf_graph_node(r->from, base)->n_in;
    wf_tensor *whole = calloc(n, sizeof *whole);
    if (!whole) return wf_graph_fail(r->to, "out of memory in the compiler").id;
    for (uint32_t i = 0; i < n; i++) whole[i] = wf_handle(r->to, r->map[whole_of(q, base, i)]);
    const wf_tensor sum = n == 2 ? wf_add(whole[0], whole[1]) : wf_add_n(whole, (int)n);
    const wf_slice_attr *a = slice_of(q, id, 0);
    free(whole);
    return wf_slice(sum, (int)a->axis, a->first, a->n, 1).id;
}

wf_status wf_pass_slice_sums(const wf_stage *in, wf_stage *out) {
    const size_t n = wf_graph_size(in->graph);
    adder q = {.g = in->graph,
               .live = calloc(n, sizeof *q.live),
               .depth = calloc(n, sizeof *q.depth),
               .latest = calloc(n, sizeof *q.latest),
               .before = calloc(n, sizeof *q.before),
               .base = calloc(n, sizeof *q.base)};
    wf_bundles b;
    uint32_t *order = NULL, n_order = 0;
    bool ok = wf_bundles_init(&b, in->graph) && q.live && q.depth && q.latest && q.before && q.base;
    if (ok) look(&q, in);
    for (uint32_t id = 1; id < n && ok; id++)
        if (q.latest[id]) ok = bundle(&q, &b, id);
    const bool nothing = ok && b.n_list == 1;
    if (ok && !nothing) order = wf_bundles_order(&b, q.live, &n_order);
    *out = (wf_stage){0};
    wf_status s = WF_OK;
    if (order) s = wf_rewrite_ordered(in, out, order, n_order, rewrite, &q);
    else if (!nothing) s = wf_fail(WF_MEMORY, "out of memory in the compiler");
    void *const own[] = {q.live, q.depth, q.latest, q.before, q.base, order};
    for (size_t i = 0; i < WF_COUNT(own); i++) free(own[i]);
    wf_bundles_free(&b);
    return s;
}
