/* Reverse mode: one sweep over ids, from y down, that only appends nodes.
 *
 * Invariants
 *   - Index order is topological, so when a node is visited all its readers were, and the sum of
 *     their contributions is its cotangent. Contributions are added in the order in which they
 *     arose, by one n-ary add.
 *   - A node takes part if it depends on some x (`depends`) and a cotangent reached it.
 *   - A cotangent has the dtype and shape of its node; a rule that breaks this is a bug of the
 *   rule. */
#include <stdlib.h>
#include <string.h>

#include "autograd/autograd.h"
#include "tensor/graph.h"

typedef struct contribution {
    uint32_t value; /* id of a cotangent's part */
    uint32_t next;  /* index into the pool, 0 ends */
} contribution;

typedef struct sweep {
    wf_graph *g;
    uint32_t n;       /* nodes 1 .. n-1 existed before the sweep */
    bool *depends;    /* (n) on some x */
    uint32_t *first;  /* (n) newest contribution, index into pool */
    contribution *pool;
    uint32_t n_pool, cap;
    wf_tensor *part;  /* (part_cap) operands of an n-ary add, and of a rule's call */
    uint32_t part_cap;
} sweep;

/* Values through which a gradient can flow: those of storage types do too, by way of casts. */
static bool is_float(wf_dtype t) {
    return wf_dtype_is_real(t) || t == WF_BF16 || t == WF_F16;
}

static wf_status no_memory(void) { return wf_fail(WF_MEMORY, "out of memory in wf_grad"); }

static wf_status contribute(sweep *s, uint32_t id, wf_tensor value) {
    if (s->n_pool == s->cap) {
        const uint32_t cap = s->cap ? s->cap * 2 : 1024;
        contribution *p = realloc(s->pool, cap * sizeof *p);
        if (!p) return no_memory();
        s->pool = p;
        s->cap = cap;
    }
    s->pool[s->n_pool] = (contribution){value.id, s->first[id]};
    s->first[id] = s->n_pool++;
    return WF_OK;
}

static bool reserve_parts(sweep *s, uint32_t n) {
    if (n <= s->part_cap) return true;
    wf_tensor *p = realloc(s->part, n * sizeof *p);
    if (!p) return false;
    s->part = p;
    s->part_cap = n;
    return true;
}

/* The cotangent of id: the sum of what its readers contributed, in their order; poison if none. */
static wf_tensor cotangent(sweep *s, uint32_t id) {
    uint32_t n = 0;
    for (uint32_t c = s->first[id]; c; c = s->pool[c].next) n++;
    if (n == 0 || !reserve_parts(s, n)) return wf_handle(s->g, 0);
    uint32_t i = n;
    for (uint32_t c = s->first[id]; c; c = s->pool[c].next)
        s->part[--i] = wf_handle(s->g, s->pool[c].value);
    if (n == 1) return s->part[0];
    const wf_dtype t = wf_graph_node(s->g, id)->type.dtype;
    if (wf_dtype_is_real(t)) return wf_add_n(s->part, (int)n);
    for (i = 0; i < n; i++) s->part[i] = wf_cast(s->part[i], WF_F32);
    return wf_cast(wf_add_n(s->part, (int)n), t);
}

static wf_status refuse(const sweep *s, uint32_t id) {
    const wf_node *x = wf_graph_node(s->g, id);
    const char *scope = wf_graph_scope_text(s->g, x->scope);
    return wf_fail(WF_MODEL, "%s%s%s has no gradient: %s; use wf_stop_gradient if none should flow",
                   scope, *scope ? "/" : "", x->op->name,
                   x->op->no_grad_reason ? x->op->no_grad_reason : "its rule is missing");
}

/* Checks and books what the rule of node id gave for operand i. */
static wf_status book(sweep *s, uint32_t id, uint32_t in, int i, wf_tensor gx) {
    const char *name = wf_graph_node(s->g, id)->op->name;
    if (!gx.graph && gx.id == UINT32_MAX) return WF_OK; /* WF_NONE */
    if (gx.graph != s->g || gx.id == 0)
        return wf_graph_status(s->g)
                   ? wf_graph_status(s->g)
                   : wf_fail(WF_INTERNAL, "%s: no gradient for operand %d", name, i);
    const wf_type *want = &wf_graph_node(s->g, in)->type, *got = &wf_graph_node(s->g, gx.id)->type;
    if (want->dtype != got->dtype || !wf_shape_equal(&want->shape, &got->shape)) {
        char a[96], b[96];
        return wf_fail(WF_INTERNAL, "%s: gradient of operand %d is %s%s, operand is %s%s", name, i,
                       wf_dtype_name(got->dtype), wf_shape_text(&got->shape, a, sizeof a),
                       wf_dtype_name(want->dtype), wf_shape_text(&want->shape, b, sizeof b));
    }
    return contribute(s, in, gx);
}

/* One rule: y = op(x...), cotangent g. */
static wf_status apply(sweep *s, uint32_t id, wf_tensor g) {
    const wf_node node = *wf_graph_node(s->g, id); /* emit may move nodes and edges */
    const uint32_t n = node.n_in;
    wf_tensor *x = calloc(2 * (size_t)n, sizeof *x), *gx = x + n;
    bool *wanted = calloc(n, sizeof *wanted);
    wf_status status = WF_OK;
    if (!x || !wanted) {
        status = no_memory();
    } else {
        for (uint32_t i = 0; i < n; i++) {
            const uint32_t in = wf_node_in(s->g, id)[i];
            x[i] = wf_handle(s->g, in);
            wanted[i] = s->depends[in] && is_float(wf_graph_node(s->g, in)->type.dtype);
        }
        const wf_grad_call call = {.graph = s->g, .y = wf_handle(s->g, id), .g = g,
                                   .attr = node.attr, .n_in = (int)n, .x = x, .wanted = wanted,
                                   .gx = gx};
        wf_graph_set_scope(s->g, wf_graph_scope_prime(s->g, node.scope));
        node.op->grad(&call);
        for (uint32_t i = 0; i < n && status == WF_OK; i++)
            if (wanted[i]) status = book(s, id, x[i].id, (int)i, gx[i]);
    }
    free(x);
    free(wanted);
    return status;
}

static void mark_dependents(sweep *s, const wf_tensor *x, int n) {
    for (int i = 0; i < n; i++) s->depends[x[i].id] = true;
    for (uint32_t id = 1; id < s->n; id++) {
        const uint32_t *in = wf_node_in(s->g, id);
        for (uint32_t i = 0; i < wf_graph_node(s->g, id)->n_in && !s->depends[id]; i++)
            s->depends[id] = s->depends[in[i]];
    }
}

static wf_status run(sweep *s, wf_tensor y, wf_tensor seed) {
    wf_status status = s->depends[y.id] ? contribute(s, y.id, seed) : WF_OK;
    for (uint32_t id = y.id; id > 0 && status == WF_OK; id--) {
        if (!s->first[id]) continue;
        const uint32_t *in = wf_node_in(s->g, id);
        bool goes_on = false;
        for (uint32_t i = 0; i < wf_graph_node(s->g, id)->n_in; i++) goes_on |= s->depends[in[i]];
        if (!goes_on) continue;
        if (!wf_graph_node(s->g, id)->op->grad) return refuse(s, id);
        wf_graph_set_scope(s->g, wf_graph_scope_prime(s->g, wf_graph_node(s->g, id)->scope));
        const wf_tensor g = cotangent(s, id);
        if (!g.id) return wf_graph_status(s->g) ? wf_graph_status(s->g) : no_memory();
        /* One sum for all: what dx reports is what flows on. */
        s->first[id] = 0;
        status = contribute(s, id, g);
        if (status == WF_OK) status = apply(s, id, g);
    }
    return status;
}

static wf_status check(wf_tensor y, wf_tensor g, const wf_tensor *x, int n, const wf_tensor *dx) {
    if (!y.graph) return wf_fail(WF_MODEL, "wf_grad: y is an empty handle");
    const wf_status ok = wf_graph_status(y.graph);
    if (ok) return ok;
    if (n < 0 || (n > 0 && (!x || !dx)))
        return wf_fail(WF_ARGUMENT, "wf_grad: x or dx is NULL or n is negative");
    if (!wf_ok(y) || !wf_dtype_is_real(wf_dtype_of(y)))
        return wf_fail(WF_MODEL, "wf_grad: y must be f32 or f64, it is %s",
                       wf_ok(y) ? wf_dtype_name(wf_dtype_of(y)) : "not a value");
    if (!wf_ok(g) || g.graph != y.graph || wf_dtype_of(g) != wf_dtype_of(y))
        return wf_fail(WF_MODEL, "wf_vjp: the cotangent must be a value of y's graph and dtype");
    const wf_shape a = wf_shape_of_tensor(y), b = wf_shape_of_tensor(g);
    char at[96], bt[96];
    if (!wf_shape_equal(&a, &b))
        return wf_fail(WF_MODEL, "wf_vjp: y is %s, the cotangent %s; they must agree",
                       wf_shape_text(&a, at, sizeof at), wf_shape_text(&b, bt, sizeof bt));
    for (int i = 0; i < n; i++)
        if (!wf_ok(x[i]) || x[i].graph != y.graph || !wf_dtype_is_real(wf_dtype_of(x[i])))
            return wf_fail(WF_MODEL, "wf_grad: x[%d] is not an f32 or f64 value of y's graph", i);
    return WF_OK;
}

wf_status wf_vjp(wf_tensor y, wf_tensor g, const wf_tensor *x, int n, wf_tensor *dx) {
    for (int i = 0; i < n && dx; i++) dx[i] = wf_handle(y.graph, 0);
    wf_status status = check(y, g, x, n, dx);
    if (status) return status;
    sweep s = {.g = y.graph, .n = wf_graph_size(y.graph), .n_pool = 1};
    s.cap = 1024;
    s.depends = calloc(s.n, sizeof *s.depends);
    s.first = calloc(s.n, sizeof *s.first);
    s.pool = calloc(s.cap, sizeof *s.pool);
    const uint32_t scope = wf_graph_set_scope(s.g, 0);
    if (s.depends && s.first && s.pool) {
        mark_dependents(&s, x, n);
        status = run(&s, y, g);
        for (int i = 0; i < n && status == WF_OK; i++) {
            const uint32_t in = wf_graph_node(s.g, x[i].id)->scope;
            wf_graph_set_scope(s.g, wf_graph_scope_prime(s.g, in));
            dx[i] = s.first[x[i].id] ? cotangent(&s, x[i].id) : wf_zeros_like(x[i]);
            status = wf_graph_status(s.g);
        }
        for (int i = 0; i < n && status; i++) dx[i] = wf_handle(s.g, 0);
    } else {
        status = no_memory();
    }
    wf_graph_set_scope(s.g, scope);
    free(s.depends);
    free(s.first);
    free(s.pool);
    free(s.part);
    return status;
}

wf_status wf_grad(wf_tensor y, const wf_tensor *x, int n, wf_tensor *dx) {
    for (int i = 0; i < n && dx; i++) dx[i] = wf_handle(y.graph, 0);
    if (y.graph && wf_graph_status(y.graph)) return wf_graph_status(y.graph);
    if (wf_ok(y) && wf_count(y) != 1) {
        const wf_shape s = wf_shape_of_tensor(y);
        const wf_node *node = wf_graph_node(y.graph, y.id);
        const char *scope = wf_graph_scope_text(y.graph, node->scope);
        char text[128];
        return wf_fail(WF_MODEL, "wf_grad: y must have one element, it is %s%s (%s%s%s); use "
                       "wf_sum or wf_mean", wf_dtype_name(node->type.dtype),
                       wf_shape_text(&s, text, sizeof text), scope, *scope ? "/" : "",
                       node->op->name);
    }
    if (!wf_ok(y) || !wf_dtype_is_real(wf_dtype_of(y))) return check(y, y, x, n, dx);
    return wf_vjp(y, wf_ones_like(y), x, n, dx);
}
