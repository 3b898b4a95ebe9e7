/* What wf_grad would find, without its nodes: the same sweep, in which each rule is asked on a
 * graph of its own which of its operands it gives a gradient to. */
#include <stdio.h>
#include <stdlib.h>

#include "autograd/autograd.h"
#include "tensor/graph.h"

typedef struct flow {
    wf_graph *g;
    uint32_t n;
    bool *depends; /* (n) on some x */
    bool *reached; /* (n) by a cotangent */
    bool *used;    /* (n) by y or an assignment */
    wf_graph *scratch;
    uint32_t serial;
    wf_flow_fn *each;
    void *user;
} flow;

static void say(const flow *f, wf_flow_kind kind, uint32_t id, const char *text) {
    if (f->each) f->each(f->user, kind, wf_handle(f->g, id), text);
}

/* A stand-in of this type in the scratch graph. */
static wf_tensor stand_in(flow *f, const wf_type *t) {
    char name[32];
    snprintf(name, sizeof name, "%u", f->serial++);
    return wf_input(f->scratch, name, t->dtype, t->shape);
}

/* Marks the operands of id that its rule gives a gradient to. x, gx (n), wanted (n). */
static void ask(flow *f, uint32_t id, wf_tensor *x, wf_tensor *gx, bool *wanted) {
    const wf_node *node = wf_graph_node(f->g, id);
    const uint32_t *in = wf_node_in(f->g, id);
    for (uint32_t i = 0; i < node->n_in; i++) {
        const wf_dtype t = wf_graph_node(f->g, in[i])->type.dtype;
        wanted[i] = f->depends[in[i]] && (wf_dtype_is_real(t) || t == WF_BF16 || t == WF_F16);
        x[i] = stand_in(f, &wf_graph_node(f->g, in[i])->type);
    }
    const wf_tensor y = wf_emit(f->scratch, node->op, node->attr, node->attr_bytes, x,
                                (int)node->n_in);
    const wf_grad_call call = {.graph = f->scratch, .y = y, .g = stand_in(f, &node->type),
                               .attr = wf_ok(y) ? wf_graph_node(f->scratch, y.id)->attr : NULL,
                               .n_in = (int)node->n_in, .x = x, .wanted = wanted, .gx = gx};
    if (wf_ok(y)) node->op->grad(&call);
    for (uint32_t i = 0; i < node->n_in; i++)
        if (wanted[i] && (gx[i].graph || gx[i].id != UINT32_MAX)) f->reached[in[i]] = true;
}

static void refuse(const flow *f, uint32_t id) {
    const wf_node *x = wf_graph_node(f->g, id);
    const char *scope = wf_graph_scope_text(f->g, x->scope);
    char text[512];
    snprintf(text, sizeof text, "%s%s%s has no gradient: %s", scope, *scope ? "/" : "",
             x->op->name, x->op->no_grad_reason ? x->op->no_grad_reason : "its rule is missing");
    say(f, WF_FLOW_REFUSED, id, text);
}

static wf_status sweep(flow *f, uint32_t y) {
    f->reached[y] = f->depends[y];
    for (uint32_t id = y; id > 0; id--) {
        const uint32_t n = wf_graph_node(f->g, id)->n_in, *in = wf_node_in(f->g, id);
        bool goes_on = false;
        for (uint32_t i = 0; i < n; i++) goes_on |= f->depends[in[i]];
        if (!f->reached[id] || !goes_on) continue;
        if (!wf_graph_node(f->g, id)->op->grad) {
            refuse(f, id);
            continue;
        }
        wf_tensor *x = calloc(2 * (size_t)n, sizeof *x);
        bool *wanted = calloc(n, sizeof *wanted);
        const bool ok = x && wanted;
        if (ok) ask(f, id, x, x + n, wanted);
        free(x);
        free(wanted);
        if (!ok) return wf_fail(WF_MEMORY, "out of memory in wf_grad_flow");
    }
    return WF_OK;
}

static void mark_dependents(flow *f, const wf_tensor *x, int n) {
    for (int i = 0; i < n; i++) f->depends[x[i].id] = true;
    for (uint32_t id = 1; id < f->n; id++) {
        const uint32_t *in = wf_node_in(f->g, id);
        for (uint32_t i = 0; i < wf_graph_node(f->g, id)->n_in; i++)
            f->depends[id] |= f->depends[in[i]];
    }
}

static void find_unused(flow *f, uint32_t y) {
    f->used[y] = true;
    for (uint32_t id = f->n - 1; id > 0; id--) {
        const wf_node *node = wf_graph_node(f->g, id);
        const uint32_t *in = wf_node_in(f->g, id);
        if (node->op->kind == WF_KIND_ASSIGN) f->used[id] = true;
        for (uint32_t i = 0; i < node->n_in && f->used[id]; i++) f->used[in[i]] = true;
    }
    for (uint32_t id = 1; id < f->n; id++) {
        const wf_node *node = wf_graph_node(f->g, id);
        if (node->op != &wf_op_leaf || f->used[id]) continue;
        if (((const wf_leaf_attr *)node->attr)->kind != WF_LEAF_INPUT) continue;
        say(f, WF_FLOW_UNUSED, id, node->name ? node->name : "");
    }
}

wf_status wf_grad_flow(wf_tensor y, const wf_tensor *x, int n, wf_flow_fn *each, void *user) {
    if (y.graph && wf_graph_status(y.graph)) return wf_graph_status(y.graph);
    if (!wf_ok(y) || n < 0 || (n > 0 && !x))
        return wf_fail(WF_ARGUMENT, "wf_grad_flow: y must be a value, and x given");
    for (int i = 0; i < n; i++)
        if (!wf_ok(x[i]) || x[i].graph != y.graph)
            return wf_fail(WF_MODEL, "wf_grad_flow: x[%d] is not a value of y's graph", i);
    flow f = {.g = y.graph, .n = wf_graph_size(y.graph), .each = each, .user = user};
    f.depends = calloc(3 * (size_t)f.n, sizeof *f.depends);
    f.scratch = wf_graph_new();
    wf_status s = WF_MEMORY;
    if (f.depends && f.scratch) {
        f.reached = f.depends + f.n;
        f.used = f.reached + f.n;
        mark_dependents(&f, x, n);
        s = sweep(&f, y.id);
        for (int i = 0; i < n && !s; i++) {
            const char *name = wf_graph_node(f.g, x[i].id)->name;
            if (!f.reached[x[i].id]) say(&f, WF_FLOW_NONE, x[i].id, name ? name : "");
        }
        if (!s) find_unused(&f, y.id);
    } else {
        wf_fail(s, "out of memory in wf_grad_flow");
    }
    wf_graph_free(f.scratch);
    free(f.depends);
    return s;
}
