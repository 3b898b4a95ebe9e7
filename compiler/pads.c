/* Sums of disjoint pads: what gradients of slices, of indexing and of splits are made of.
 *
 *   %1 f32[2] = leaf "a"                               %1 f32[2] = leaf "a"
 *   %2 f32[2] = leaf "b"             --simplify-->     %2 f32[2] = leaf "b"
 *   %3 f32[4] = pad %1 {axis=0 before=0 after=2}       %3 f32[4] = concat %1, %2 {axis=0}
 *   %4 f32[4] = pad %2 {axis=0 before=2 after=0}
 *   %5 f32[4] = add %3, %4
 *
 * T slices of one value would cost T sums over the whole of it; a concat costs nothing, as its
 * operands are computed in place. What no pad covers is filled with zeros. Exact where ranges are
 * disjoint: every element is one term plus zeros. Pads to one range, of which the gradient of a
 * slice that is read at every time step is made, are summed first, which is another order. */
#include <stdlib.h>

#include "compiler/simplify.h"
#include "tensor/elementwise.h"
#include "tensor/view.h"

typedef struct piece {
    int64_t first, n; /* range of the axis */
    int term;         /* the order of the sum */
    wf_tensor value;
} piece;

typedef struct pieces {
    piece *p; /* (n) */
    int n, cap;
    int axis; /* -1 while unknown */
} pieces;

static bool put(pieces *all, int64_t first, int64_t n, wf_tensor value) {
    if (all->n == all->cap) {
        const int cap = all->cap ? 2 * all->cap : 16;
        piece *p = realloc(all->p, (size_t)cap * sizeof *p);
        if (!p) return false;
        all->p = p;
        all->cap = cap;
    }
    all->p[all->n] = (piece){first, n, all->n, value};
    all->n++;
    return true;
}

/* The axis along which x is pieces between zeros, -1 if it is not. */
static int axis_of(const wf_simplify *s, wf_tensor x) {
    const wf_node *n = wf_s_node(s, x.id);
    const int rank = n->type.shape.rank;
    if (n->op == &wf_op_pad) {
        const wf_pad_attr *a = n->attr;
        const int axis = wf_axis_of(a->axis, rank);
        const int64_t extent = wf_dim(wf_s_in(s, x.id, 0), axis);
        return extent > 0 && (a->step == 1 || extent == 1) ? axis : -1;
    }
    if (n->op != &wf_op_concat) return -1;
    for (uint32_t i = 0; i < n->n_in; i++)
        if (wf_s_is(s, wf_s_in(s, x.id, i).id, 0))
            return wf_axis_of(((const wf_concat_attr *)n->attr)->axis, rank);
    return -1;
}

static bool put_term(const wf_simplify *s, pieces *all, wf_tensor x) {
    const wf_node *n = wf_s_node(s, x.id);
    if (n->op == &wf_op_pad) {
        const wf_tensor in = wf_s_in(s, x.id, 0);
        return put(all, ((const wf_pad_attr *)n->attr)->before, wf_dim(in, all->axis), in);
    }
    const wf_concat_attr *a = n->attr;
    for (uint32_t i = 0; i < n->n_in; i++) {
        const wf_tensor in = wf_s_in(s, x.id, i);
        if (wf_s_is(s, in.id, 0) || a->offset[i + 1] == a->offset[i]) continue;
        if (!put(all, a->offset[i], a->offset[i + 1] - a->offset[i], in)) return false;
    }
    return true;
}

static int by_first(const void *a, const void *b) {
    const piece *x = a, *y = b;
    if (x->first != y->first) return x->first < y->first ? -1 : 1;
    return x->term - y->term;
}

/* Pieces of one range become their sum, in the order of the terms. Sorted before and after. */
static void sum_equal(wf_simplify *s, pieces *all) {
    wf_tensor *term = calloc((size_t)all->n, sizeof *term);
    if (!term) s->failed = true;
    int n = 0;
    for (int i = 0, j; i < all->n && term; i = j) {
        piece *p = &all->p[i];
        for (j = i; j < all->n && all->p[j].first == p->first && all->p[j].n == p->n; j++)
            term[j - i] = all->p[j].value;
        if (j - i > 1) {
            const wf_tensor sum = j - i == 2 ? wf_add(term[0], term[1]) : wf_add_n(term, j - i);
            p->value = wf_handle(s->to, wf_settle(s, sum));
        }
        all->p[n++] = *p;
    }
    if (term) all->n = n;
    free(term);
}

/* The pieces side by side with zeros in the gaps, in the type of node `like`; poison if they
 * overlap or memory is out. */
static wf_tensor side_by_side(wf_simplify *s, pieces *all, uint32_t like) {
    wf_tensor *part = calloc(2 * (size_t)all->n + 1, sizeof *part);
    const wf_type t = wf_s_node(s, like)->type;
    const int64_t extent = t.shape.dim[all->axis];
    int64_t end = 0;
    int n = 0;
    if (!part) s->failed = true;
    qsort(all->p, (size_t)all->n, sizeof *all->p, by_first);
    if (part && all->p[0].n != extent) sum_equal(s, all);
    bool disjoint = part != NULL;
    for (int i = 0; i < all->n && disjoint; i++) disjoint = i == 0 || all->p[i].first >=
                                                 all->p[i - 1].first + all->p[i - 1].n;
    for (int i = 0; i <= all->n && disjoint; i++) {
        const int64_t next = i < all->n ? all->p[i].first : extent;
        wf_shape gap = t.shape;
        gap.dim[all->axis] = next - end;
        if (next > end) part[n++] = wf_full(s->to, t.dtype, gap, 0);
        if (i == all->n) break;
        part[n++] = all->p[i].value;
        end = next + all->p[i].n;
    }
    const wf_tensor out = disjoint ? wf_concat(part, n, all->axis) : wf_handle(s->to, 0);
    free(part);
    return out;
}

/* The sum with all pads replaced by one concat, which stands where the first pad stood. */
static uint32_t gather(wf_simplify *s, uint32_t id, pieces *all, wf_tensor *rest) {
    const uint32_t n_in = wf_s_node(s, id)->n_in;
    int n = 0, at = -1, padded = 0, runs = 0;
    bool before = false;
    for (uint32_t i = 0; i < n_in; i++) {
        const wf_tensor x = wf_s_in(s, id, i);
        const int axis = axis_of(s, x);
        const bool pad = axis >= 0 && (all->axis < 0 || axis == all->axis);
        if (pad) {
            all->axis = axis;
            if (!put_term(s, all, x)) s->failed = true;
            if (at < 0) at = n++;
            padded++;
            runs += !before;
        } else {
            rest[n++] = x;
        }
        before = pad;
    }
    /* Pads that stand together, or a single other term: no sum is reassociated. */
    if (s->failed || padded < 2 || (runs > 1 && n > 2)) return 0;
    const wf_tensor whole = side_by_side(s, all, id);
    if (!whole.id) return 0;
    rest[at] = wf_handle(s->to, wf_settle(s, whole));
    if (n == 1) return rest[0].id;
    return wf_settle(s, n == 2 ? wf_add(rest[0], rest[1]) : wf_add_n(rest, n));
}

uint32_t wf_rule_disjoint_pads(wf_simplify *s, uint32_t id) {
    const wf_node *x = wf_s_node(s, id);
    if (x->op != &wf_op_add && x->op != &wf_op_add_n) return 0;
    int pads = 0;
    for (uint32_t i = 0; i < x->n_in; i++) {
        const wf_tensor in = wf_s_in(s, id, i);
        const wf_shape shape = wf_shape_of_tensor(in);
        pads += axis_of(s, in) >= 0;
        if (!wf_shape_equal(&shape, &x->type.shape)) return 0;
    }
    if (pads < 2) return 0;
    pieces all = {.axis = -1};
    wf_tensor *rest = calloc((size_t)x->n_in + 1, sizeof *rest);
    uint32_t to = 0;
    if (rest) to = gather(s, id, &all, rest);
    else s->failed = true;
    free(rest);
    free(all.p);
    return to;
}
