/* What stands in a box: operations, names, type, work, and how often it is repeated. */
#include <stdio.h>
#include <string.h>

#include "compiler/dot.h"
#include "tensor/attr.h"
#include "tensor/contract.h"

enum {
    WIDTH = 24,  /* characters of a line in a list */
    NAME = 48,   /* characters of a name */
    LISTED = 16, /* operations in a list */
};

static const wf_node *member(const wf_dot *d, const wf_dot_box *b, uint32_t i) {
    return wf_dot_node(d, d->member[b->first_member + i]);
}

/* --- types ------------------------------------------------------------------------------------ */

/* The type that all members of class c (all of the box, if it has one class) have, with * where
 * extents differ. */
static void put_type(const wf_dot *d, const wf_dot_box *b, uint32_t c, wf_dot_text *t) {
    const wf_type *type = &wf_dot_node(d, d->class_[c].rep)->type;
    bool differs[WF_MAX_RANK] = {false}, ranks_differ = false;
    for (uint32_t i = 0; i < b->nodes; i++) {
        if (d->class_of[d->member[b->first_member + i]] != c) continue;
        const wf_shape *s = &member(d, b, i)->type.shape;
        ranks_differ |= s->rank != type->shape.rank;
        for (int k = 0; k < s->rank && !ranks_differ; k++)
            differs[k] |= s->dim[k] != type->shape.dim[k];
    }
    wf_dot_put(t, "\\n%s[", wf_dtype_name(type->dtype));
    for (int k = 0; k < type->shape.rank && !ranks_differ; k++) {
        if (differs[k]) wf_dot_put(t, "%s*", k ? "," : "");
        else wf_dot_put(t, "%s%lld", k ? "," : "", (long long)type->shape.dim[k]);
    }
    wf_dot_put(t, ranks_differ ? "...]" : "]");
}

/* Multiplications and additions of a contraction; the terms that a guard or padding leaves out
 * count. */
static double flops(const wf_node *x) {
    if (x->op != &wf_op_contract) return 0;
    const wf_contract_attr *a = x->attr;
    double out = 2, sum = 0;
    for (int i = 0; i < a->rank; i++) out *= (double)a->out[i];
    for (int i = 0; i < a->n_sources; i++) {
        double terms = 1;
        for (int k = 0; k < a->source[i].n_sum; k++) terms *= (double)a->source[i].sum[k];
        sum += terms;
    }
    return out * sum;
}

static double box_flops(const wf_dot *d, const wf_dot_box *b) {
    double sum = 0;
    for (uint32_t i = 0; i < b->nodes; i++) sum += flops(member(d, b, i));
    return sum;
}

static void put_flops(const wf_dot *d, const wf_dot_box *b, wf_dot_text *t) {
    const double sum = box_flops(d, b);
    if (sum == 0) return;
    wf_dot_put(t, "\\n");
    wf_dot_put_amount(t, sum, "FLOP");
}

static void put_times(uint32_t count, wf_dot_text *t) {
    if (count > 1) wf_dot_put(t, "  x%u", count);
}

/* --- operations ------------------------------------------------------------------------------- */

/* %g with a point in every locale. */
static void put_number(wf_dot_text *t, double v) {
    char text[32];
    snprintf(text, sizeof text, "%.6g", v);
    for (char *c = text; *c; c++)
        if (!strchr("0123456789+-einfa", *c)) *c = '.';
    wf_dot_put(t, "%s", text);
}

static void put_operation(const wf_dot *d, uint32_t id, wf_dot_text *t) {
    const wf_node *x = wf_dot_node(d, id);
    const uint32_t *in = wf_node_in(d->graph, id);
    double v;
    wf_dot_put_escaped(t, x->op->name, NAME);
    for (uint32_t i = 0; i < x->n_in; i++) {
        if (!d->hidden[in[i]] || !wf_uniform_value(d->graph, in[i], &v)) continue;
        wf_dot_put(t, " ");
        put_number(t, v);
    }
}

/* Attributes, if all members have them in the same words. */
static void put_attributes(const wf_dot *d, const wf_dot_box *b, wf_dot_text *t) {
    char text[256] = "", other[256];
    const wf_node *x = member(d, b, 0);
    wf_text first = {.buf = text, .size = sizeof text};
    wf_attr_print(x->op, x->attr, &first);
    if (!*text) return;
    for (uint32_t i = 1; i < b->nodes; i++) {
        const wf_node *y = member(d, b, i);
        if (y->op != x->op) return;
        wf_text now = {.buf = other, .size = sizeof other};
        *other = 0;
        wf_attr_print(y->op, y->attr, &now);
        if (strcmp(text, other) != 0) return;
    }
    wf_dot_put(t, "\\n");
    wf_dot_put_escaped(t, text, NAME);
}

/* The operations of a box of several classes, each with the number of its classes. */
static void put_list(const wf_dot *d, const wf_dot_box *b, wf_dot_text *t) {
    const wf_op *op[LISTED];
    uint32_t n_op[LISTED], n = 0, more = 0, times = 0;
    for (uint32_t i = 0; i < b->nodes; i++) {
        const wf_dot_class *c = &d->class_[d->class_of[d->member[b->first_member + i]]];
        const wf_op *now = wf_dot_node(d, c->rep)->op;
        uint32_t k = 0;
        if (c->count > times) times = c->count;
        if (c->rep != d->member[b->first_member + i]) continue;
        while (k < n && strcmp(op[k]->name, now->name) != 0) k++;
        if (k == n && n == LISTED) more++;
        else if (k < n) n_op[k]++;
        else {
            op[n] = now;
            n_op[n++] = 1;
        }
    }
    size_t width = 0;
    for (uint32_t k = 0; k < n; k++) {
        const size_t length = strlen(op[k]->name) + (n_op[k] > 1 ? 4 : 2);
        if (k) wf_dot_put(t, width + length > WIDTH ? ",\\n" : ", ");
        width = k && width + length > WIDTH ? length : width + length;
        wf_dot_put_escaped(t, op[k]->name, NAME);
        if (n_op[k] > 1) wf_dot_put(t, " %u", n_op[k]);
    }
    if (more) wf_dot_put(t, ", %u more", more);
    put_times(times, t);
}

/* --- names ------------------------------------------------------------------------------------ */

/* A leaf's name without the path of the cluster it is drawn in. */
static const char *short_name(const wf_dot *d, const wf_node *leaf) {
    const char *name = leaf->name ? leaf->name : "";
    const char *path = wf_graph_scope_text(d->graph, leaf->scope);
    const size_t n = strlen(path);
    return n && strncmp(name, path, n) == 0 && (name[n] == '.' || name[n] == '/') ? name + n + 1
                                                                                  : name;
}

static const wf_node *leaf_of(const wf_dot *d, uint32_t id) {
    const wf_node *x = wf_dot_node(d, id);
    return x->op->kind == WF_KIND_ASSIGN ? wf_dot_node(d, wf_node_in(d->graph, id)[0]) : x;
}

/* What the names of a class have in common: "m.*.bias". */
static void put_names(const wf_dot *d, const wf_dot_box *b, uint32_t c, wf_dot_text *t) {
    const char *first = NULL;
    size_t head = 0, tail = 0;
    bool differs = false;
    for (uint32_t i = 0; i < b->nodes; i++) {
        const uint32_t id = d->member[b->first_member + i];
        if (d->class_of[id] != c) continue;
        const char *name = short_name(d, leaf_of(d, id));
        if (!first) {
            first = name;
            head = tail = strlen(name);
            continue;
        }
        const size_t n = strlen(first), m = strlen(name);
        if (strcmp(first, name) == 0) continue;
        differs = true;
        size_t k = 0;
        while (k < head && k < m && first[k] == name[k]) k++;
        head = k;
        for (k = 0; k < tail && k < m && first[n - 1 - k] == name[m - 1 - k];) k++;
        tail = k;
    }
    if (!first || !*first) return;
    if (!differs) {
        wf_dot_put_escaped(t, first, NAME);
        return;
    }
    char text[2 * NAME + 2];
    const size_t n = strlen(first);
    if (head + tail > n) tail = n - head;
    if (head > NAME) head = NAME;
    if (tail > NAME) tail = NAME;
    snprintf(text, sizeof text, "%.*s*%s", (int)head, first, first + n - tail);
    wf_dot_put_escaped(t, text, 2 * NAME);
}

static void leaf_label(const wf_dot *d, const wf_dot_box *b, wf_dot_text *t) {
    static const char *const what[WF_N_DOT_KIND] = {"", "assign", "leaf", "const", "input"};
    double bytes = 0;
    uint32_t listed = 0;
    wf_dot_put(t, "%s", what[b->kind]);
    put_times(b->nodes, t);
    for (uint32_t i = 0; i < b->nodes; i++) {
        const uint32_t c = d->class_of[d->member[b->first_member + i]];
        bytes += (double)wf_dot_bytes(member(d, b, i));
        if (d->class_[c].rep != d->member[b->first_member + i]) continue;
        if (++listed > 4) continue;
        wf_dot_put(t, "\\n");
        if (listed == 4 && b->classes > 4) wf_dot_put(t, "...");
        else put_names(d, b, c, t);
    }
    if (b->classes == 1) put_type(d, b, b->last, t);
    wf_dot_put(t, "\\n");
    wf_dot_put_amount(t, bytes, "B");
}

/* --- boxes and clusters ----------------------------------------------------------------------- */

void wf_dot_box_label(const wf_dot *d, const wf_dot_box *b, wf_dot_text *t) {
    if (b->kind != WF_DOT_OPERATION) {
        leaf_label(d, b, t);
    } else if (b->classes > 1) {
        put_list(d, b, t);
        if (!d->level.whole) put_type(d, b, b->last, t);
        put_flops(d, b, t);
    } else {
        const wf_node *x = member(d, b, 0);
        put_operation(d, d->class_[b->last].rep, t);
        put_times(b->nodes, t);
        if (b->nodes == 1 && x->name) {
            wf_dot_put(t, "\\n\\\"");
            wf_dot_put_escaped(t, x->name, NAME);
            wf_dot_put(t, "\\\"");
        }
        put_type(d, b, b->last, t);
        if (!d->level.merge && !d->level.whole) put_attributes(d, b, t);
        put_flops(d, b, t);
    }
    wf_dot_heat_label(d, b, box_flops(d, b), t);
    wf_dot_group_label(d, b, t);
    if (d->stored) wf_dot_plan_label(d, b, t);
}

void wf_dot_cluster_label(const wf_dot *d, const wf_dot_cluster *c, wf_dot_text *t) {
    char piece[600];
    size_t n = 0;
    uint32_t hole = 0;
    if (*c->text == '\'') wf_dot_put(t, "top"); /* of the graph, which has no name */
    for (const char *s = c->text;; s++) {
        const bool is_hole = *s == WF_DOT_HOLE && hole < c->n_hole;
        if (*s && !is_hole && n + 1 < sizeof piece) {
            piece[n++] = *s;
            continue;
        }
        piece[n] = 0;
        wf_dot_put_escaped(t, piece, NAME);
        n = 0;
        if (!is_hole) break;
        wf_dot_put(t, "%lld", (long long)c->lo[hole]);
        if (c->hi[hole] != c->lo[hole]) wf_dot_put(t, "..%lld", (long long)c->hi[hole]);
        hole++;
    }
    if (c->scopes > 1) wf_dot_put(t, "  x%u", c->scopes);
}
