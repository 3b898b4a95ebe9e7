/* Siblings: contractions that share an input become one with more output channels.
 *
 *   %1 f32[8,3] = input "x"
 *   %2 f32[3,4] = leaf "v"
 *   %3 f32[3,4] = leaf "w"
 *   %4 f32[8,4] = contract %1, %2 {sum[3] A[o0,k0] B[k0,o1]}
 *   %5 f32[8,4] = contract %1, %3 {sum[3] A[o0,k0] B[k0,o1]}
 *   %6 f32[8,4] = sigmoid %4
 *   %7 f32[8,4] = mul %6, %5
 *   --merge-->
 *   %1 f32[8,3] = input "x"
 *   %2 f32[3,4] = leaf "v"
 *   %3 f32[3,4] = leaf "w"
 *   %4 f32[3,8] = concat %2, %3 {axis=1}
 *   %5 f32[8,8] = contract %1, %4 {sum[3] A[o0,k0] B[k0,o1]}
 *   %6 f32[8,4] = slice %5 {axis=1 first=0 n=4}
 *   %7 f32[8,4] = slice %5 {axis=1 first=4 n=4}
 *   %8 f32[8,4] = sigmoid %6
 *   %9 f32[8,4] = mul %8, %7
 *
 * So the convolutions of a cell's gates are one, and so are the gradients of their weights, whose B
 * are the gates' gradients: the group that computes those writes them side by side. The sources of
 * a data gradient, gate by gate, are folded into one source over the same lists. Parts of a leaf
 * that meet again in order are the leaf. Who joins whom is decided in family.c. */
#include "compiler/siblings.h"

#include <stdlib.h>
#include <string.h>

#include "tensor/elementwise.h"
#include "tensor/view.h"

static const wf_node *node_of(wf_tensor t) { return wf_graph_node(t.graph, t.id); }

/* --- side by side ----------------------------------------------------------------------------- */

/* x is elements [*first, *first + extent) of `axis` of the result; poison if it is no slice. */
static wf_tensor sliced(wf_tensor x, int axis, int64_t *first) {
    const wf_slice_attr *a = node_of(x)->attr;
    if (node_of(x)->op != &wf_op_slice || (a->n > 1 && a->step != 1) ||
        wf_axis_of(a->axis, node_of(x)->type.shape.rank) != axis)
        return wf_handle(x.graph, 0);
    *first = a->first;
    return wf_handle(x.graph, wf_node_in(x.graph, x.id)[0]);
}

wf_tensor wf_side_by_side(const wf_tensor *x, int n, int axis) {
    int64_t first, at, end = 0;
    const wf_tensor whole = sliced(x[0], axis, &first);
    bool one = whole.id != 0;
    if (one) end = first + wf_dim(x[0], axis);
    for (int i = 1; i < n && one; i++) {
        one = sliced(x[i], axis, &at).id == whole.id && at == end;
        end += wf_dim(x[i], axis);
    }
    if (!one) return wf_concat(x, n, axis);
    const bool all = first == 0 && end == wf_dim(whole, axis);
    return all ? whole : wf_slice(whole, axis, first, end - first, 1);
}

/* The value of a list entry. In its first list it lies itself, in others a copy, max(x, x), which
 * the group that computes it writes too. */
static wf_tensor entry(wf_rewrite *r, const wf_family *f, uint32_t list, uint32_t id) {
    const wf_tensor x = wf_handle(r->to, r->map[id]);
    if (f->weight[id] || f->home[id] == list) return x;
    return wf_maximum(x, x);
}

/* The list along `axis`; a 0 in it is zeros of extent n[i] in the shape of the others. */
static wf_tensor concat_list(wf_rewrite *r, const wf_family *f, uint32_t list, int axis,
                             const int64_t *n) {
    const uint32_t m = f->lists.list[list].n, *id = wf_list_ids(&f->lists, list);
    wf_tensor *x = calloc(m, sizeof *x);
    if (!x) return wf_graph_fail(r->to, "out of memory in the compiler");
    wf_tensor some = {r->to, 0};
    for (uint32_t i = 0; i < m; i++)
        if (id[i]) some = x[i] = entry(r, f, list, id[i]);
    for (uint32_t i = 0; i < m; i++) {
        if (id[i]) continue;
        wf_shape zeros = wf_shape_of_tensor(some);
        zeros.dim[axis] = n[i];
        x[i] = wf_full(r->to, wf_dtype_of(some), zeros, 0);
    }
    const wf_tensor y = wf_side_by_side(x, (int)m, axis);
    free(x);
    return y;
}

/* --- contractions ----------------------------------------------------------------------------- */

/* The one contraction of group g in place of its members, whose slices go into the map. */
static bool emit_group(wf_rewrite *r, const wf_family *f, const wf_siblings *g) {
    const wf_node *base = wf_graph_node(r->from, g->base);
    const uint32_t *from = wf_node_in(r->from, g->base);
    const wf_sibling *member = f->sibling + g->first;
    wf_contract_attr *c = malloc(base->attr_bytes);
    wf_tensor *in = calloc(base->n_in, sizeof *in);
    int64_t *n = calloc(g->n, sizeof *n);
    const bool room = c && in && n;
    if (room) {
        memcpy(c, base->attr, base->attr_bytes);
        c->out[g->loop] = 0;
        for (uint32_t i = 0; i < g->n; i++) c->out[g->loop] += n[i] = member[i].n;
        for (int s = 0; s < c->n_sources; s++) {
            const int axis = wf_family_axis(&c->source[s], g->loop, 1);
            in[2 * s] = wf_handle(r->to, r->map[from[2 * s]]);
            in[2 * s + 1] = concat_list(r, f, f->source_list[g->list + (uint32_t)s], axis, n);
        }
        const wf_tensor all = wf_emit(r->to, &wf_op_contract, c, base->attr_bytes, in,
                                      (int)base->n_in);
        int64_t at = 0;
        for (uint32_t i = 0; i < g->n; at += n[i++])
            if (member[i].id) r->map[member[i].id] = wf_slice(all, g->loop, at, n[i], 1).id;
    } else {
        wf_graph_fail(r->to, "out of memory in the compiler");
    }
    free(c);
    free(in);
    free(n);
    return !wf_graph_status(r->to);
}

/* Contraction `id` with the sources of the fold as one source. */
static wf_tensor emit_fold(wf_rewrite *r, const wf_family *f, uint32_t id, const wf_tensor *in) {
    const wf_source_fold *fold = &f->folds[f->fold[id]];
    const wf_node *x = wf_graph_node(r->from, id);
    const wf_contract_attr *old = x->attr;
    const uint32_t m = f->lists.list[fold->b].n, *b = wf_list_ids(&f->lists, fold->b);
    const int loop = wf_family_depth_loop(f, id, fold->like);
    const int axis[2] = {wf_family_axis(&old->source[fold->like], loop, 0),
                         wf_family_axis(&old->source[fold->like], loop, 1)};
    wf_contract_attr *c = calloc(1, x->attr_bytes);
    wf_tensor *to = calloc(x->n_in, sizeof *to), y = {r->to, 0};
    int64_t *n = calloc(m, sizeof *n);
    if (c && to && n) {
        memcpy(c, old, sizeof *old);
        c->n_sources = 0;
        for (int s = 0; s < old->n_sources; s++) {
            if (s != fold->like && wf_family_folds(f, id, s, fold->like)) continue;
            const int at = c->n_sources++;
            c->source[at] = old->source[s];
            to[2 * at] = in[2 * s];
            to[2 * at + 1] = in[2 * s + 1];
            if (s != fold->like) continue;
            int64_t *sum = &c->source[at].sum[loop - c->rank];
            *sum = 0;
            for (uint32_t i = 0; i < m; i++)
                *sum += n[i] = wf_graph_node(r->from, b[i])->type.shape.dim[axis[1]];
            to[2 * at] = concat_list(r, f, fold->a, axis[0], n);
            to[2 * at + 1] = concat_list(r, f, fold->b, axis[1], n);
        }
        y = wf_emit(r->to, &wf_op_contract, c, wf_contract_attr_bytes(c->n_sources), to,
                    2 * c->n_sources);
    } else {
        wf_graph_fail(r->to, "out of memory in the compiler");
    }
    free(c);
    free(to);
    free(n);
    return y;
}

static uint32_t merge_node(wf_rewrite *r, uint32_t id, const wf_tensor *in, void *user) {
    const wf_family *f = user;
    const wf_node *x = wf_graph_node(r->from, id);
    if (f->group[id]) {
        if (!r->map[id] && !emit_group(r, f, &f->groups[f->group[id]])) return 0;
        return r->map[id];
    }
    if (f->fold[id]) return emit_fold(r, f, id, in).id;
    if (x->op == &wf_op_concat) {
        const int64_t axis = ((const wf_concat_attr *)x->attr)->axis;
        return wf_side_by_side(in, (int)x->n_in, wf_axis_of(axis, x->type.shape.rank)).id;
    }
    return wf_rewrite_same(r, id, in, NULL);
}

wf_status wf_pass_siblings(const wf_stage *in, wf_stage *out) {
    wf_family f;
    wf_status s = wf_family_find(&f, in);
    *out = (wf_stage){0};
    const bool nothing = f.n_groups == 1 && f.n_folds == 1;
    if (!s && !nothing) s = wf_family_order(&f);
    if (!s && !nothing) s = wf_rewrite_ordered(in, out, f.order, f.n_order, merge_node, &f);
    wf_family_free(&f);
    return s;
}
