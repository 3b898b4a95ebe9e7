/* The graph: nodes, edges, sticky errors, and wf_emit, the only place where nodes are born.
 *
 * node[0] is poison. Scopes live in scope.c, leaves in leaf.c; both see the struct through
 * graph_struct.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/graph_struct.h"
#include "tensor/size.h"

wf_graph *wf_graph_new(void) {
    wf_graph *g = calloc(1, sizeof *g);
    if (!g) return NULL;
    atomic_init(&g->holders, 1);
    g->cap = 256;
    g->node = calloc(g->cap, sizeof *g->node);
    g->n = 1;
    if (!g->node || !wf_scopes_init(&g->scopes, &g->mem)) {
        wf_graph_free(g);
        return NULL;
    }
    return g;
}

void wf_graph_hold(wf_graph *g) { atomic_fetch_add(&g->holders, 1); }

void wf_graph_drop(wf_graph *g) {
    if (g && atomic_fetch_sub(&g->holders, 1) == 1) free(g);
}

void wf_graph_free(wf_graph *g) {
    if (!g) return;
    free(g->node);
    free(g->edge);
    free(g->cons);
    free(g->leaf);
    free(g->assigned);
    wf_scopes_free(&g->scopes);
    wf_arena_free(&g->mem);
    g->n = g->n_leaf = g->n_assigned = 0;
    g->scopes = (wf_scopes){0};
    g->status = WF_MODEL;
    snprintf(g->message, sizeof g->message, "the graph was freed");
    wf_graph_drop(g);
}

wf_graph *wf_graph_like(const wf_graph *from) {
    wf_graph *g = wf_graph_new();
    if (!g) return NULL;
    g->consing = true;
    if (!wf_scopes_copy(&g->scopes, &g->mem, &from->scopes)) {
        wf_graph_free(g);
        return NULL;
    }
    return g;
}

uint32_t wf_graph_size(const wf_graph *g) { return g->n; }
const wf_node *wf_graph_node(const wf_graph *g, uint32_t id) { return &g->node[id]; }
const uint32_t *wf_node_in(const wf_graph *g, uint32_t id) { return g->edge + g->node[id].in0; }
void wf_graph_set_consing(wf_graph *g, bool on) { g->consing = on; }

/* --- sticky errors ---------------------------------------------------------------------------- */

static wf_tensor poison(wf_graph *g) { return (wf_tensor){g, 0}; }

static wf_tensor out_of_memory(wf_graph *g) {
    if (g->status == WF_OK) {
        g->status = WF_MEMORY;
        snprintf(g->message, sizeof g->message, "out of memory while building the graph");
    }
    return poison(g);
}

wf_tensor wf_graph_fail(wf_graph *g, const char *format, ...) {
    if (!g) return (wf_tensor){NULL, 0};
    if (g->status != WF_OK) return poison(g);
    g->status = WF_MODEL;
    const char *scope = wf_graph_scope_text(g, g->scopes.current);
    const bool of_scope = *format == ':';
    if (of_scope && !*scope) format += 2;
    const char *joint = *scope && !of_scope ? "/" : "";
    const int n = snprintf(g->message, sizeof g->message, "%s%s", scope, joint);
    if (n < 0 || (size_t)n >= sizeof g->message) return poison(g);
    va_list ap;
    va_start(ap, format);
    vsnprintf(g->message + n, sizeof g->message - (size_t)n, format, ap);
    va_end(ap);
    return poison(g);
}

wf_status wf_graph_status(const wf_graph *g) {
    if (!g) return wf_fail(WF_ARGUMENT, "the graph is NULL");
    return g->status == WF_OK ? WF_OK : wf_fail(g->status, "%s", g->message);
}

const char *wf_graph_message(const wf_graph *g) { return g ? g->message : "the graph is NULL"; }

/* --- consing: equal operation, attributes and inputs ------------------------------------------ */

static uint64_t mix(uint64_t h, uint64_t v) {
    h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ (h >> 29);
}

static uint64_t hash_node(const wf_graph *g, const wf_node *x) {
    uint64_t h = mix(x->attr_bytes, (uintptr_t)x->op);
    for (uint32_t i = 0; i + 8 <= x->attr_bytes; i += 8) {
        uint64_t w;
        memcpy(&w, (const char *)x->attr + i, 8);
        h = mix(h, w);
    }
    for (uint32_t i = x->attr_bytes & ~7u; i < x->attr_bytes; i++)
        h = mix(h, ((const unsigned char *)x->attr)[i]);
    for (uint32_t i = 0; i < x->n_in; i++) h = mix(h, g->edge[x->in0 + i]);
    return h;
}

static bool same_node(const wf_graph *g, const wf_node *a, const wf_node *b) {
    return a->op == b->op && a->attr_bytes == b->attr_bytes && a->n_in == b->n_in &&
           (a->attr_bytes == 0 || memcmp(a->attr, b->attr, a->attr_bytes) == 0) &&
           (a->n_in == 0 ||
            memcmp(g->edge + a->in0, g->edge + b->in0, a->n_in * sizeof *g->edge) == 0);
}

static void cons_put(wf_graph *g, wf_cons slot) {
    uint64_t i = slot.hash;
    while (g->cons[i & (g->n_cons_slots - 1)].id) i++;
    g->cons[i & (g->n_cons_slots - 1)] = slot;
    g->n_cons++;
}

static bool cons_grow(wf_graph *g) {
    if (g->cons && g->n_cons * 2 < g->n_cons_slots) return true;
    const uint32_t slots = g->n_cons_slots ? g->n_cons_slots * 2 : 1024;
    wf_cons *old = g->cons, *table = calloc(slots, sizeof *table);
    const uint32_t n_old = g->n_cons_slots;
    if (!table) return false;
    g->cons = table;
    g->n_cons_slots = slots;
    g->n_cons = 0;
    for (uint32_t i = 0; i < n_old; i++)
        if (old[i].id) cons_put(g, old[i]);
    free(old);
    return true;
}

/* The existing equal of node `id` (the last one), 0 if none; then it is entered. */
static uint32_t cons_find(wf_graph *g, uint32_t id) {
    if (!cons_grow(g)) return 0;
    const wf_node *x = &g->node[id];
    const wf_cons own = {.id = id, .hash = (uint32_t)hash_node(g, x)};
    for (uint64_t i = own.hash;; i++) {
        const wf_cons other = g->cons[i & (g->n_cons_slots - 1)];
        if (!other.id) break;
        if (other.hash == own.hash && same_node(g, &g->node[other.id], x)) return other.id;
    }
    cons_put(g, own);
    return 0;
}

/* --- emit ------------------------------------------------------------------------------------- */

bool wf_graph_grow(void **array, uint32_t *cap, uint32_t need, size_t each) {
    if (need <= *cap) return true;
    if (need > UINT32_MAX / 2) return false;
    uint32_t to = *cap ? *cap : 64;
    while (to < need) to *= 2;
    size_t bytes;
    if (!wf_mul_size(to, each, &bytes)) return false;
    void *p = realloc(*array, bytes);
    if (!p) return false;
    *array = p;
    *cap = to;
    return true;
}

static const char *type_text(const wf_type *t, char *buf, size_t size) {
    const int n = snprintf(buf, size, "%s", wf_dtype_name(t->dtype));
    if (n > 0 && (size_t)n < size) wf_shape_text(&t->shape, buf + n, size - (size_t)n);
    return buf;
}

static void refuse(wf_graph *g, const wf_op *op, const char *why, const wf_type *in, int n_in) {
    char operands[256] = "", one[96];
    for (int i = 0; i < n_in && i < 4; i++) {
        const size_t n = strlen(operands);
        snprintf(operands + n, sizeof operands - n, "%s%s", i ? ", " : "",
                 type_text(&in[i], one, sizeof one));
    }
    wf_graph_fail(g, "%s: %s%s%s%s", op->name, why, n_in ? " (operands: " : "", operands,
                  n_in ? (n_in > 4 ? ", ...)" : ")") : "");
}

bool wf_operands_fit(wf_graph *g, const char *name, const wf_tensor *in, int n_in) {
    for (int i = 0; i < n_in; i++) {
        char text[160] = "poison";
        if (!in[i].graph) {
            wf_graph_fail(g, "%s: operand %d is an empty handle; was it ever assigned a value?",
                          name, i);
            return false;
        }
        if (in[i].graph != g) {
            if (wf_ok(in[i])) type_text(&in[i].graph->node[in[i].id].type, text, sizeof text);
            wf_graph_fail(g, "%s: operand %d, %s, belongs to another graph; build both in one "
                          "graph", name, i, text);
            return false;
        }
        if (in[i].id == 0) return false;
        if (in[i].id >= g->n) {
            wf_graph_fail(g, "%s: operand %d is not a value of this graph", name, i);
            return false;
        }
    }
    return true;
}

/* Checks the operands and gathers their types; false means poison (a message is set or was). */
static bool check_inputs(wf_graph *g, const wf_op *op, const wf_tensor *in, int n_in,
                         wf_type *type) {
    if (n_in < op->min_in || (op->max_in >= 0 && n_in > op->max_in)) {
        wf_graph_fail(g, "%s: takes %d operands, %d given", op->name, op->min_in, n_in);
        return false;
    }
    if (!wf_operands_fit(g, op->name, in, n_in)) return false;
    for (int i = 0; i < n_in; i++) type[i] = g->node[in[i].id].type;
    return true;
}

static bool infer(wf_graph *g, const wf_op *op, const void *attr, const wf_type *type, int n_in,
                  wf_type *out) {
    wf_infer q = {.op = op, .attr = attr, .n_in = n_in, .in = type};
    if (!op->infer(&q)) {
        refuse(g, op, *q.message ? q.message : "the operands do not fit", type, n_in);
        return false;
    }
    size_t bytes;
    if (!wf_type_bytes(q.out.dtype, &q.out.shape, &bytes)) {
        char text[160];
        snprintf(q.message, sizeof q.message, "the result %s is too large",
                 type_text(&q.out, text, sizeof text));
        refuse(g, op, q.message, type, n_in);
        return false;
    }
    *out = q.out;
    return true;
}

static wf_tensor append(wf_graph *g, const wf_op *op, const void *attr, size_t attr_bytes,
                        const wf_tensor *in, int n_in, const wf_type *type) {
    if (!wf_graph_grow((void **)&g->node, &g->cap, g->n + 1, sizeof *g->node) ||
        !wf_graph_grow((void **)&g->edge, &g->edge_cap, g->n_edge + (uint32_t)n_in,
                       sizeof *g->edge))
        return out_of_memory(g);
    wf_node x;
    memset(&x, 0, sizeof x);
    x.op = op;
    x.attr = attr;
    x.attr_bytes = (uint32_t)attr_bytes;
    x.in0 = g->n_edge;
    x.n_in = (uint32_t)n_in;
    x.scope = g->scopes.current;
    x.type = *type;
    for (int i = 0; i < n_in; i++) g->edge[g->n_edge + (uint32_t)i] = in[i].id;
    g->node[g->n] = x;
    const bool cons = g->consing && op->kind != WF_KIND_LEAF && op->kind != WF_KIND_ASSIGN;
    const uint32_t same = cons ? cons_find(g, g->n) : 0;
    if (same) return (wf_tensor){g, same};
    if (attr_bytes) {
        void *copy = wf_arena_alloc(&g->mem, attr_bytes);
        if (!copy) return out_of_memory(g);
        memcpy(copy, attr, attr_bytes);
        g->node[g->n].attr = copy;
    }
    g->n_edge += (uint32_t)n_in;
    return (wf_tensor){g, g->n++};
}

wf_tensor wf_emit(wf_graph *g, const wf_op *op, const void *attr, size_t attr_bytes,
                  const wf_tensor *in, int n_in) {
    for (int i = 0; !g && i < n_in; i++) g = in[i].graph;
    if (!g) return (wf_tensor){NULL, 0};
    if (g->status != WF_OK) return poison(g);
    if (n_in < 0 || attr_bytes > UINT32_MAX) return wf_graph_fail(g, "%s: bad call", op->name);
    wf_type few[8], *type = few, out;
    if (n_in > (int)WF_COUNT(few) && !(type = calloc((size_t)n_in, sizeof *type)))
        return out_of_memory(g);
    wf_tensor t = poison(g);
    if (check_inputs(g, op, in, n_in, type) && infer(g, op, attr, type, n_in, &out))
        t = append(g, op, attr, attr_bytes, in, n_in, &out);
    if (type != few) free(type);
    return t;
}

/* --- looking at a value ----------------------------------------------------------------------- */

bool wf_ok(wf_tensor t) { return t.graph && t.id > 0 && t.id < t.graph->n; }

static const wf_type *type_of(wf_tensor t) {
    static const wf_type none;
    return wf_ok(t) ? &t.graph->node[t.id].type : &none;
}

wf_dtype wf_dtype_of(wf_tensor t) { return type_of(t)->dtype; }
wf_shape wf_shape_of_tensor(wf_tensor t) { return type_of(t)->shape; }
int wf_rank(wf_tensor t) { return type_of(t)->shape.rank; }
int64_t wf_count(wf_tensor t) { return wf_ok(t) ? wf_shape_count(&type_of(t)->shape) : 0; }

int64_t wf_dim(wf_tensor t, int axis) {
    const wf_shape *s = &type_of(t)->shape;
    if (axis < 0) axis += s->rank;
    return axis < 0 || axis >= s->rank ? 0 : s->dim[axis];
}

wf_tensor wf_name(wf_tensor t, const char *name) {
    if (!wf_ok(t) || !name) return t;
    char *copy = wf_arena_strdup(&t.graph->mem, name);
    if (!copy) return out_of_memory(t.graph);
    t.graph->node[t.id].name = copy;
    return t;
}
