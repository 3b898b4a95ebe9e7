/* Rewriting contraction nodes for compiler passes: joining and dropping sources, and packing B. */
#include <stdlib.h>
#include <string.h>

#include "tensor/contract_lanes.h"
#include "tensor/contract_plan.h"
#include "tensor/contract_stride.h"

static const wf_contract_attr *attr_of(wf_tensor t) {
    const wf_node *x = wf_ok(t) ? wf_graph_node(t.graph, t.id) : NULL;
    return x && x->op == &wf_op_contract ? x->attr : NULL;
}

static wf_tensor refuse(wf_tensor t, const char *why) {
    return wf_graph_fail(t.graph, "contract: %s", why);
}

/* --- sources ---------------------------------------------------------------------------------- */

/* A contraction under construction: attributes and operands of up to n sources. */
typedef struct draft {
    wf_contract_attr *c;
    wf_tensor *in;
} draft;

static bool draft_new(draft *d, const wf_contract_attr *like, int n) {
    d->c = calloc(1, wf_contract_attr_bytes(n));
    d->in = calloc((size_t)n * 2, sizeof *d->in);
    if (!d->c || !d->in) return false;
    memcpy(d->c, like, sizeof *like);
    d->c->n_sources = 0;
    return true;
}

/* Output loops that A, B of a source depend on. */
static void source_loops(const wf_contract_attr *c, const wf_contract_source *s, uint32_t in[2]) {
    const uint32_t out = (1u << c->rank) - 1;
    in[0] = out & wf_relation_loops(s->a, s->rank_a);
    in[1] = s->packed ? s->batch_loops | s->col_loops
                      : out & wf_relation_loops(s->b, s->rank_b);
}

/* True if a source with loops `own` fits one with loops `first` only with A and B exchanged, as its
 * rows are the other's columns. */
static bool is_crosswise(const uint32_t first[2], const uint32_t own[2]) {
    const uint32_t rows = own[0] & ~own[1], columns = own[1] & ~own[0];
    return ((first[0] & columns) | (first[1] & rows)) != 0 && !(first[0] & rows) &&
           !(first[1] & columns);
}

static void swap_sides(wf_contract_source *s) {
    const wf_contract_source from = *s;
    s->rank_a = from.rank_b;
    s->rank_b = from.rank_a;
    memcpy(s->a, from.b, sizeof s->a);
    memcpy(s->b, from.a, sizeof s->b);
}

/* A product commutes, and a matrix product needs rows and columns that are those of all sources. */
static void draft_add(draft *d, wf_tensor t, int source) {
    const wf_contract_attr *c = attr_of(t);
    const uint32_t *in = wf_node_in(t.graph, t.id);
    const int at = d->c->n_sources++;
    wf_contract_source *const to = &d->c->source[at];
    uint32_t first[2], own[2];
    memcpy(to, &c->source[source], sizeof *to);
    source_loops(d->c, &d->c->source[0], first);
    source_loops(d->c, to, own);
    const bool swap = !to->packed && is_crosswise(first, own);
    if (swap) swap_sides(to);
    for (int i = 0; i < 2; i++)
        d->in[2 * at + i] = wf_handle(t.graph, in[2 * source + (swap ? 1 - i : i)]);
}

static wf_tensor draft_emit(draft *d, wf_tensor t, bool ok) {
    wf_tensor y;
    if (ok)
        y = wf_emit(t.graph, &wf_op_contract, d->c, wf_contract_attr_bytes(d->c->n_sources), d->in,
                    2 * d->c->n_sources);
    else y = refuse(t, "out of memory");
    free(d->c);
    free(d->in);
    return y;
}

/* Output loops that the A sides, the B sides of a contraction depend on. */
static void loops_of(const wf_contract_attr *c, uint32_t in[2]) {
    in[0] = in[1] = 0;
    for (int i = 0; i < c->n_sources; i++) {
        uint32_t own[2];
        source_loops(c, &c->source[i], own);
        for (int side = 0; side < 2; side++) in[side] |= own[side];
    }
}

bool wf_contract_may_join(wf_tensor a, wf_tensor b) {
    const wf_contract_attr *ca = attr_of(a), *cb = attr_of(b);
    const wf_shape sa = wf_shape_of_tensor(a), sb = wf_shape_of_tensor(b);
    if (!ca || !cb || a.graph != b.graph || !wf_shape_equal(&sa, &sb) ||
        wf_dtype_of(a) != wf_dtype_of(b) || ca->compute != cb->compute)
        return false;
    uint32_t x[2], y[2];
    loops_of(ca, x);
    loops_of(cb, y);
    if (is_crosswise(x, y)) {
        const uint32_t rows = y[0];
        y[0] = y[1];
        y[1] = rows;
    }
    const uint32_t batch = (x[0] | y[0]) & (x[1] | y[1]);
    return batch == (x[0] & x[1]) && batch == (y[0] & y[1]);
}

wf_tensor wf_contract_join_n(const wf_tensor *t, int n) {
    const wf_shape shape = wf_shape_of_tensor(t[0]);
    int n_sources = 0;
    for (int i = 0; i < n; i++) {
        const wf_shape other = wf_shape_of_tensor(t[i]);
        if (!wf_ok(t[i])) return wf_handle(t[0].graph ? t[0].graph : t[i].graph, 0);
        if (!attr_of(t[i]) || t[i].graph != t[0].graph || !wf_shape_equal(&shape, &other) ||
            wf_dtype_of(t[i]) != wf_dtype_of(t[0]) ||
            attr_of(t[i])->compute != attr_of(t[0])->compute)
            return refuse(t[0], "only contractions of one dtype, shape and mode can be joined");
        n_sources += attr_of(t[i])->n_sources;
    }
    draft d;
    const bool ok = draft_new(&d, attr_of(t[0]), n_sources);
    for (int i = 0; ok && i < n; i++)
        for (int s = 0; s < attr_of(t[i])->n_sources; s++) draft_add(&d, t[i], s);
    return draft_emit(&d, t[0], ok);
}

wf_tensor wf_contract_join(wf_tensor a, wf_tensor b) {
    return wf_contract_join_n((const wf_tensor[]){a, b}, 2);
}

wf_tensor wf_contract_drop(wf_tensor t, int i) {
    const wf_contract_attr *c = attr_of(t);
    if (!wf_ok(t)) return t;
    if (!c || c->n_sources < 2 || i < 0 || i >= c->n_sources)
        return refuse(t, "only a source of several can be dropped");
    draft d;
    const bool ok = draft_new(&d, c, c->n_sources - 1);
    for (int s = 0; ok && s < c->n_sources; s++)
        if (s != i) draft_add(&d, t, s);
    return draft_emit(&d, t, ok);
}

wf_tensor wf_contract_recast(const wf_graph *g, uint32_t id, const wf_tensor *in,
                             wf_compute compute, bool narrow) {
    const wf_node *x = wf_graph_node(g, id);
    const wf_contract_attr *c = x->attr;
    if (x->op != &wf_op_contract) return refuse(in[0], "only a contraction has a mode");
    for (int i = 0; i < c->n_sources; i++)
        if (c->source[i].packed) return refuse(in[0], "packed operands have a mode already");
    wf_contract_attr *to = malloc(wf_contract_attr_bytes(c->n_sources));
    if (!to) return refuse(in[0], "out of memory");
    memcpy(to, c, wf_contract_attr_bytes(c->n_sources));
    to->compute = (int32_t)compute;
    to->narrow = narrow;
    const wf_tensor y = wf_emit(in[0].graph, &wf_op_contract, to,
                                wf_contract_attr_bytes(c->n_sources), in, 2 * c->n_sources);
    free(to);
    return y;
}

/* --- packing ---------------------------------------------------------------------------------- */

/* The classes of the output loops of a source, seen from B. */
static void pack_masks(const wf_contract_attr *c, const wf_contract_source *s, uint32_t *batch,
                       uint32_t *columns) {
    const uint32_t out = (1u << c->rank) - 1;
    const uint32_t a = out & wf_relation_loops(s->a, s->rank_a);
    const uint32_t b = out & wf_relation_loops(s->b, s->rank_b);
    *batch = a & b;
    *columns = b & ~a;
}

static const wf_contract_source *source_of(const wf_graph *g, uint32_t id, int i) {
    const wf_node *x = wf_graph_node(g, id);
    const wf_contract_attr *c = x->attr;
    return x->op == &wf_op_contract && i >= 0 && i < c->n_sources ? &c->source[i] : NULL;
}

uint64_t wf_contract_wants_pack(const wf_graph *g, uint32_t id) {
    if (!source_of(g, id, 0)) return 0;
    const wf_node *x = wf_graph_node(g, id);
    const uint32_t *in = wf_node_in(g, id);
    wf_array *array = calloc(x->n_in, sizeof *array);
    if (!array) return 0;
    for (uint32_t i = 0; i < x->n_in; i++) {
        const wf_type *t = &wf_graph_node(g, in[i])->type;
        array[i] = wf_array_dense(NULL, t->dtype, &t->shape);
    }
    const wf_call call = {.op = x->op, .attr = x->attr, .n_in = (int)x->n_in, .in = array,
                          .out = wf_array_dense(NULL, x->type.dtype, &x->type.shape)};
    wf_contract_plan p;
    uint64_t wants = 0;
    wf_lanes lanes;
    wf_stride_split split;
    const bool planned = !wf_stride_split_make(&split, &call) &&
                         wf_contract_plan_make(&p, &call) && p.u_side == 0 && !p.dot &&
                         !wf_lanes_make(&lanes, &p);
    for (int i = 0; planned && i < p.c->n_sources && i < 64; i++) {
        uint32_t batch, columns;
        wf_source_plan sp;
        if (p.c->source[i].packed) continue;
        wf_contract_plan_source(&p, i, &sp);
        pack_masks(p.c, sp.s, &batch, &columns);
        if (sp.v_mode == WF_FROM_PACKED && 8 * p.m >= sp.n_k && batch == p.batch_mask &&
            columns == p.n_mask)
            wants |= UINT64_C(1) << i;
    }
    free(array);
    return wants;
}

wf_tensor wf_contract_pack(const wf_graph *g, uint32_t id, int source, wf_tensor b) {
    const wf_contract_source *s = source_of(g, id, source);
    if (!s || s->packed) return refuse(b, "no such operand to pack");
    const wf_contract_attr *c = wf_graph_node(g, id)->attr;
    union {
        wf_contract_attr c;
        char bytes[sizeof(wf_contract_attr) + sizeof(wf_contract_source)];
    } u;
    memset(&u, 0, sizeof u);
    u.c.n_sources = 1;
    u.c.rank = c->rank;
    u.c.compute = c->compute;
    wf_contract_source *to = (wf_contract_source *)(u.bytes + sizeof(wf_contract_attr));
    pack_masks(c, s, &to->batch_loops, &to->col_loops);
    /* Rows do not matter to B: weights of another batch size pack alike. */
    for (int l = 0; l < c->rank; l++)
        u.c.out[l] = (to->batch_loops | to->col_loops) >> l & 1 ? c->out[l] : 1;
    to->n_sum = s->n_sum;
    to->rank_b = s->rank_b;
    memcpy(to->sum, s->sum, sizeof s->sum);
    memcpy(to->b, s->b, sizeof s->b);
    return wf_emit(b.graph, &wf_op_pack, u.bytes, sizeof u.bytes, &b, 1);
}

wf_tensor wf_contract_with_packed(const wf_graph *g, uint32_t id, const wf_tensor *in,
                                  uint64_t packed) {
    const wf_contract_attr *c = wf_graph_node(g, id)->attr;
    if (!source_of(g, id, 0)) return refuse(in[0], "only a contraction has packed operands");
    wf_contract_attr *to = malloc(wf_contract_attr_bytes(c->n_sources));
    if (!to) return refuse(in[0], "out of memory");
    memcpy(to, c, wf_contract_attr_bytes(c->n_sources));
    for (int i = 0; i < c->n_sources && i < 64; i++) {
        wf_contract_source *s = &to->source[i];
        if (!(packed >> i & 1) || s->packed) continue;
        pack_masks(c, s, &s->batch_loops, &s->col_loops);
        s->packed = 1;
        s->rank_b = 0;
        memset(s->b, 0, sizeof s->b);
    }
    const wf_tensor y = wf_emit(in[0].graph, &wf_op_contract, to,
                                wf_contract_attr_bytes(c->n_sources), in, 2 * c->n_sources);
    free(to);
    return y;
}
