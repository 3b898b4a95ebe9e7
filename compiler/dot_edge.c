/* Arrows. Links go from class to class, one for each value and scope that reads it; edges are
 * what is drawn, from box to box, with the values and bytes that they stand for.
 *
 * A link between two instances of a scope has a lag, "t-1". Where links of one pair have many
 * lags, the value is made once and used in every step, or the other way round: that is no
 * recurrence, and the lags are dropped. */
#include <stdlib.h>
#include <string.h>

#include "compiler/dot.h"
#include "tensor/size.h"

enum { LAGS = 2 }; /* of one pair that are told apart */

static int by_place(const wf_dot_edge *x, const wf_dot_edge *y) {
    if (x->from != y->from) return x->from < y->from ? -1 : 1;
    if (x->to != y->to) return x->to < y->to ? -1 : 1;
    return strcmp(x->lag, y->lag);
}

static int by_all(const void *a, const void *b) {
    const wf_dot_edge *x = a, *y = b;
    const int place = by_place(x, y);
    if (place) return place;
    if (x->value != y->value) return x->value < y->value ? -1 : 1;
    return x->scope < y->scope ? -1 : x->scope > y->scope;
}

static void sort(wf_dot_edge *e, uint32_t n) {
    if (n > 1) qsort(e, n, sizeof *e, by_all);
}

/* Of sorted links or edges. */
static void drop_many_lags(wf_dot_edge *e, uint32_t n) {
    for (uint32_t i = 0, end; i < n; i = end) {
        uint32_t lags = 0;
        for (end = i; end < n && e[end].from == e[i].from && e[end].to == e[i].to; end++)
            lags += *e[end].lag && (end == i || by_place(&e[end - 1], &e[end]) != 0);
        for (uint32_t k = i; k < end && lags > LAGS; k++) memset(e[k].lag, 0, sizeof e[k].lag);
    }
}

/* --- links ------------------------------------------------------------------------------------ */

/* Sets *e to the link from operand i of node id to the node; false if there is none. The leaf
 * that an assignment writes is told by its label. */
static bool link_of(const wf_dot *d, uint32_t id, uint32_t i, wf_dot_edge *e) {
    const wf_node *x = wf_dot_node(d, id);
    const uint32_t value = wf_node_in(d->graph, id)[i];
    const wf_node *y = wf_dot_node(d, value);
    if (d->hidden[value] || (x->op->kind == WF_KIND_ASSIGN && i == 0)) return false;
    *e = (wf_dot_edge){.from = d->class_of[value], .to = d->class_of[id], .value = value,
                       .scope = x->scope, .count = 1, .bytes = wf_dot_bytes(y)};
    if (y->op->kind != WF_KIND_LEAF) wf_dot_lag(d, y->scope, x->scope, e->lag);
    return true;
}

wf_status wf_dot_links(wf_dot *d) {
    size_t room = 0, bytes;
    for (uint32_t id = 1; id < d->n; id++) room += wf_dot_node(d, id)->n_in;
    if (room > UINT32_MAX || !wf_mul_size(room, sizeof *d->link, &bytes)) return wf_dot_no_memory();
    d->link = wf_arena_alloc(&d->level_mem, bytes);
    if (!d->link) return wf_dot_no_memory();
    for (uint32_t id = 1; id < d->n; id++) {
        if (d->hidden[id]) continue;
        for (uint32_t i = 0; i < wf_dot_node(d, id)->n_in; i++)
            if (link_of(d, id, i, &d->link[d->n_link])) d->n_link++;
    }
    sort(d->link, d->n_link);
    drop_many_lags(d->link, d->n_link);
    return WF_OK;
}

/* --- edges ------------------------------------------------------------------------------------ */

/* What a box does inside is not drawn, unless its one class reads itself: a chain that was
 * folded. */
static bool is_drawn(const wf_dot *d, const wf_dot_edge *e) {
    return e->from != e->to || *e->lag || d->box[e->from].classes == 1;
}

/* Adds up the edges that agree in pair and lag. A value that a box reads more than once in one
 * scope counts once. */
static void add_up(wf_dot *d) {
    uint32_t n = 0, value = 0, scope = 0; /* that were added last */
    for (uint32_t i = 0; i < d->n_edge; i++) {
        const wf_dot_edge e = d->edge[i];
        if (!is_drawn(d, &e)) continue;
        wf_dot_edge *sum = n ? &d->edge[n - 1] : NULL;
        if (sum && by_place(sum, &e) == 0) {
            if (value == e.value && scope == e.scope) continue;
            sum->count++;
            if (!wf_add_size(sum->bytes, e.bytes, &sum->bytes)) sum->bytes = SIZE_MAX;
        } else {
            d->edge[n++] = e;
        }
        value = e.value;
        scope = e.scope;
    }
    d->n_edge = n;
}

wf_status wf_dot_edges(wf_dot *d) {
    d->edge = wf_arena_alloc(&d->level_mem, d->n_link * sizeof *d->edge);
    if (!d->edge) return wf_dot_no_memory();
    for (uint32_t i = 0; i < d->n_link; i++) {
        d->edge[i] = d->link[i];
        d->edge[i].from = d->class_[d->link[i].from].box;
        d->edge[i].to = d->class_[d->link[i].to].box;
    }
    d->n_edge = d->n_link;
    sort(d->edge, d->n_edge);
    drop_many_lags(d->edge, d->n_edge);
    sort(d->edge, d->n_edge);
    add_up(d);
    return WF_OK;
}
