/* Writing graphs as text; see text.h. */
#include "tensor/text.h"

#include <inttypes.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/attr.h"
#include "tensor/graph.h"
#include "tensor/size.h"

static bool is_of_library(const wf_op *op) {
    for (const wf_op *const *all = wf_all_ops(); *all; all++)
        if (*all == op) return true;
    return false;
}

/* --- values of leaves ------------------------------------------------------------------------- */

/* FNV-1a. */
static uint64_t hash_of(const void *data, size_t bytes) {
    uint64_t h = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < bytes; i++)
        h = (h ^ ((const unsigned char *)data)[i]) * UINT64_C(1099511628211);
    return h;
}

/* "[1,0*5,2]": runs of equal elements are counted. */
static void put_values(wf_text *t, const wf_leaf_attr *a, int64_t most) {
    const size_t each = wf_dtype_bytes(a->type.dtype);
    const int64_t n = wf_shape_count(&a->type.shape);
    const char *p = a->data;
    if (most > 0 && n > most) {
        wf_text_put(t, " {hash=0x%016" PRIx64 "}", hash_of(p, (size_t)n * each));
        return;
    }
    wf_text_put(t, " [");
    for (int64_t i = 0, run; i < n; i += run) {
        const char *first = p + (size_t)i * each;
        for (run = 1; i + run < n && memcmp(first, first + (size_t)run * each, each) == 0;) run++;
        if (run == 2) run = 1;
        if (i) wf_text_put(t, ",");
        wf_text_value(t, a->type.dtype, first);
        if (run > 1) wf_text_put(t, "*%" PRId64, run);
    }
    wf_text_put(t, "]");
}

static void put_leaf(wf_text *t, const wf_node *x, const wf_write_opt *o) {
    static const char *const kind[] = {"input", "leaf", "const"};
    const wf_leaf_attr *a = x->attr;
    wf_text_put(t, "%s", kind[a->kind]);
    if (x->name && a->kind != WF_LEAF_CONST) {
        wf_text_put(t, " ");
        wf_text_string(t, x->name, false);
    }
    if (a->kind == WF_LEAF_CONST || (a->kind == WF_LEAF_BOUND && o->leaves))
        put_values(t, a, o->most);
}

/* --- nodes ------------------------------------------------------------------------------------ */

static void put_operation(wf_text *t, const wf_graph *g, uint32_t id) {
    const wf_node *x = wf_graph_node(g, id);
    const uint32_t *in = wf_node_in(g, id);
    if (is_of_library(x->op)) wf_text_put(t, "%s", x->op->name);
    else wf_text_string(t, x->op->name, false);
    for (uint32_t i = 0; i < x->n_in; i++) wf_text_put(t, i ? ", %%%u" : " %%%u", in[i]);
    if (!x->attr_bytes) return;
    const size_t before = t->used;
    wf_text_put(t, " {");
    const size_t inside = t->used;
    wf_attr_print(x->op, x->attr, t);
    if (!x->op->fields && !x->op->print_attr) wf_text_put(t, "%u bytes", x->attr_bytes);
    if (t->used > inside) {
        wf_text_put(t, "}");
    } else if (!t->failed && t->buf) {
        t->used = before;
        t->buf[before] = 0;
    }
}

static void put_node(wf_text *t, const wf_graph *g, uint32_t id, const wf_write_opt *o) {
    const wf_node *x = wf_graph_node(g, id);
    const bool leaf = x->op->kind == WF_KIND_LEAF;
    char shape[200];
    wf_text_put(t, "%%%u %s%s = ", id, wf_dtype_name(x->type.dtype),
                wf_shape_text(&x->type.shape, shape, sizeof shape));
    if (leaf) put_leaf(t, x, o);
    else put_operation(t, g, id);
    if (x->name && !(leaf && ((const wf_leaf_attr *)x->attr)->kind != WF_LEAF_CONST)) {
        wf_text_put(t, " as ");
        wf_text_string(t, x->name, false);
    }
    const char *scope = wf_graph_scope_text(g, x->scope);
    if (!*scope) return;
    wf_text_put(t, "   # ");
    wf_text_string(t, scope, true);
}

const char *wf_node_text(const wf_graph *g, uint32_t id, char *buf, size_t size) {
    const wf_write_opt o = {.most = 16};
    wf_text t = {.buf = buf, .size = size};
    if (size == 0) return buf;
    buf[0] = 0;
    if (id == 0) wf_text_put(&t, "%%0 = poison");
    else put_node(&t, g, id, &o);
    return buf;
}

/* --- graphs ----------------------------------------------------------------------------------- */

static wf_status write_nodes(const wf_graph *g, FILE *f, const wf_write_opt *o, wf_text *t) {
    for (uint32_t id = 1; id < wf_graph_size(g); id++) {
        t->used = 0;
        put_node(t, g, id, o);
        wf_text_put(t, "\n");
        if (t->failed) return wf_fail(WF_MEMORY, "out of memory for the text of the graph");
        if (fwrite(t->buf, 1, t->used, f) != t->used)
            return wf_fail(WF_OUTPUT, "the text of the graph cannot be written");
    }
    return WF_OK;
}

wf_status wf_graph_write(const wf_graph *g, const wf_tensor *outputs, int n, FILE *f,
                         wf_write_opt o) {
    if (!g || !f || n < 0 || (n > 0 && !outputs))
        return wf_fail(WF_ARGUMENT, "wf_graph_write: the %s", !g ? "graph is NULL"
                                    : !f ? "file is NULL" : "outputs are missing");
    for (int i = 0; i < n; i++)
        if (!wf_ok(outputs[i]) || outputs[i].graph != g)
            return wf_fail(WF_ARGUMENT, "wf_graph_write: output %d is no value of the graph", i);
    wf_text t = {.grows = true};
    /* A point in numbers, whatever the program's locale is. */
    const locale_t c = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    const locale_t old = c ? uselocale(c) : (locale_t)0;
    wf_status s = write_nodes(g, f, &o, &t);
    for (int i = 0; i < n && !s; i++)
        if (fprintf(f, i ? ", %%%u" : "outputs %%%u", outputs[i].id) < 0)
            s = wf_fail(WF_OUTPUT, "the text of the graph cannot be written");
    if (n && !s && fputc('\n', f) == EOF)
        s = wf_fail(WF_OUTPUT, "the text of the graph cannot be written");
    if (c) {
        uselocale(old);
        freelocale(c);
    }
    free(t.buf);
    return s;
}
