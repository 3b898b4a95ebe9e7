/* Homes: values that are computed where they are wanted instead of being copied there.
 *
 * Outputs want to be in the program's buffers, assigned values in their leaves, operands of a
 * placement in their slots. A home is claimed backwards through views: what wants reshape(x) in a
 * slot wants x in the slot, reshaped back. First come, first served; who comes late is copied. */
#include <stdlib.h>
#include <string.h>

#include "compiler/plan.h"
#include "tensor/size.h"
#include "tensor/sources.h"

static const wf_node *node_of(const wf_planner *q, uint32_t id) {
    return wf_graph_node(q->graph, id);
}

static bool is_view(const wf_planner *q, uint32_t id) {
    return node_of(q, id)->op->kind == WF_KIND_VIEW && !(q->off & WF_PASS_INPLACE);
}

/* --- who reads what, until when --------------------------------------------------------------- */

static void mark_live(wf_planner *q) {
    for (uint32_t i = 0; i < q->stage->n_root; i++) q->live[q->stage->root[i]] = true;
    for (uint32_t id = wf_graph_size(q->graph); id-- > 1;) {
        if (!q->live[id]) continue;
        const uint32_t *in = wf_node_in(q->graph, id);
        for (uint32_t i = 0; i < node_of(q, id)->n_in; i++) q->live[in[i]] = true;
    }
}

/* An owner's storage is read by the readers of its views. An output is read at once (copied to its
 * buffer), a value that is assigned at the very end, if it is not computed in its leaf. */
static void find_readers(wf_planner *q) {
    const uint32_t *when = q->plan->fusion.when;
    for (uint32_t id = 1; id < wf_graph_size(q->graph); id++) {
        if (!q->live[id]) continue;
        const uint32_t *in = wf_node_in(q->graph, id);
        const wf_node *x = node_of(q, id);
        q->owner[id] = is_view(q, id) ? q->owner[in[0]] : id;
        if (x->op->kind == WF_KIND_ASSIGN) {
            q->last[q->owner[in[1]]] = UINT32_MAX;
            continue;
        }
        for (uint32_t i = 0; i < x->n_in && !is_view(q, id); i++) {
            uint32_t *last = &q->last[q->owner[in[i]]];
            if (*last < when[id]) *last = when[id];
        }
    }
    for (uint32_t i = 0; i < q->n_output; i++) {
        const uint32_t id = q->stage->root[i];
        uint32_t *last = &q->last[q->owner[id]];
        if (*last < when[id]) *last = when[id];
    }
}

/* --- claims ----------------------------------------------------------------------------------- */

/* True if node `id` can write its result as `slot` lies. */
static bool writes_as(wf_planner *q, uint32_t id, const wf_array *slot) {
    const wf_op *op = node_of(q, id)->op;
    if (wf_array_is_dense(slot) || op->kind == WF_KIND_ELEMENTWISE || op->kind == WF_KIND_PLACE)
        return true;
    if (!op->fast || (q->off & WF_PASS_FAST)) return false;
    const wf_call c = wf_plan_dense_call(q, id, slot);
    return op->fast->applicable(&c);
}

/* The node that must lie in *slot (changed) so that `id`, a view of it, lies in slot; 0: none. */
static uint32_t claimant(wf_planner *q, uint32_t id, wf_array *slot) {
    while (is_view(q, id)) {
        const uint32_t from = wf_node_in(q->graph, id)[0];
        const wf_type *t = &node_of(q, from)->type;
        const wf_array dense = wf_array_dense(NULL, t->dtype, &t->shape);
        wf_array seen = {.dtype = slot->dtype, .shape = slot->shape}, inverse;
        if (!node_of(q, id)->op->view(node_of(q, id)->attr, &dense, &seen)) return 0;
        if (!wf_view_invert(&seen, slot, t, &inverse)) return 0;
        *slot = inverse;
        id = from;
    }
    const wf_op *op = node_of(q, id)->op;
    if (op->kind == WF_KIND_LEAF || op->kind == WF_KIND_ASSIGN || op == &wf_op_full) return 0;
    return q->home[id].storage || !writes_as(q, id, slot) ? 0 : id;
}

static bool claim(wf_planner *q, uint32_t id, wf_array slot, uint32_t storage) {
    if (q->off & WF_PASS_INPLACE) return false;
    const uint32_t to = claimant(q, id, &slot);
    if (to) q->home[to] = wf_value_of(storage, &slot);
    return to != 0;
}

/* --- leaves and outputs ----------------------------------------------------------------------- */

static wf_status home_leaf(wf_planner *q, uint32_t id) {
    const wf_leaf_attr *a = node_of(q, id)->attr;
    size_t bytes = 0;
    if (!wf_type_bytes(a->type.dtype, &a->type.shape, &bytes))
        return wf_fail(WF_INTERNAL, "a leaf without a size");
    const wf_where where = a->kind == WF_LEAF_INPUT ? WF_WHERE_INPUT : WF_WHERE_LEAF;
    const uint32_t s = wf_plan_storage(q->plan, where, bytes, a->data);
    if (!s) return WF_MEMORY;
    q->home[id] = wf_value_dense(s, &a->type);
    wf_plan *p = q->plan;
    if (where != WF_WHERE_INPUT) return WF_OK;
    if (!wf_plan_room((void **)&p->input, &p->input_cap, p->n_input, 1, sizeof *p->input))
        return wf_fail(WF_MEMORY, "out of memory in the compiler");
    p->input[p->n_input++] = (wf_plan_input){a->serial, s};
    return WF_OK;
}

static wf_status home_output(wf_planner *q, uint32_t i) {
    const uint32_t id = q->stage->root[i];
    const wf_type *t = &node_of(q, id)->type;
    const bool input = q->home[id].storage &&
                       q->plan->storage[q->home[id].storage].where == WF_WHERE_INPUT;
    if (!q->out_of[id] && input) q->out_of[id] = q->home[id].storage;
    if (!q->out_of[id]) {
        size_t bytes = 0;
        wf_type_bytes(t->dtype, &t->shape, &bytes);
        const uint32_t s = wf_plan_storage(q->plan, WF_WHERE_OUTPUT, bytes, NULL);
        if (!s) return WF_MEMORY;
        q->out_of[id] = s;
        claim(q, id, wf_array_dense(NULL, t->dtype, &t->shape), s);
    }
    q->plan->output[i] = q->out_of[id];
    return WF_OK;
}

/* --- assignments ------------------------------------------------------------------------------ */

/* True if `id` reads the leaf only whole and in order, seen in any shape. */
static bool reads_in_order(const wf_planner *q, uint32_t id, uint32_t leaf) {
    const uint32_t *in = wf_node_in(q->graph, id);
    const wf_node *x = node_of(q, id), *l = node_of(q, leaf);
    for (uint32_t i = 0; i < x->n_in; i++)
        if (q->owner[in[i]] == leaf &&
            (q->plan->fusion.base[in[i]] != leaf ||
             wf_shape_count(&x->type.shape) != wf_shape_count(&l->type.shape)))
            return false;
    return true;
}

/* True if `id`, computed in the leaf's buffer, leaves every reader of the leaf the old value: all
 * of them are earlier, or they are computed together with it and element i of them reads element i
 * of the leaf. */
static bool after_readers(wf_planner *q, uint32_t id, uint32_t leaf, const wf_array *slot) {
    const wf_node *x = node_of(q, id), *l = node_of(q, leaf);
    const wf_fusion *f = &q->plan->fusion;
    if (x->op->kind == WF_KIND_PLACE) return false; /* its operands may be written before it */
    if (q->last[leaf] < f->when[id]) return true;
    if (q->last[leaf] > f->when[id] || x->op->kind != WF_KIND_ELEMENTWISE) return false;
    if (!wf_array_is_dense(slot) || x->type.dtype != l->type.dtype ||
        wf_shape_count(&x->type.shape) != wf_shape_count(&l->type.shape))
        return false;
    const wf_fused *group = &f->list[f->group[id]];
    bool ok = f->group[id] || reads_in_order(q, id, leaf);
    for (uint32_t i = 0; f->group[id] && i < group->n && ok; i++)
        ok = reads_in_order(q, f->member[group->first + i], leaf);
    return ok;
}

static void home_assign(wf_planner *q, uint32_t id) {
    if (q->off & WF_PASS_INPLACE) return;
    const uint32_t leaf = wf_node_in(q->graph, id)[0], value = wf_node_in(q->graph, id)[1];
    const wf_type *t = &node_of(q, leaf)->type;
    wf_array slot = wf_array_dense(NULL, t->dtype, &t->shape);
    const uint32_t to = claimant(q, value, &slot);
    if (!to || !after_readers(q, to, leaf, &slot)) return;
    q->home[to] = wf_value_of(q->home[leaf].storage, &slot);
    q->direct[id] = true;
}

/* --- placements ------------------------------------------------------------------------------- */

/* A placement whose operands cover the whole result. */
static bool covers(const wf_planner *q, uint32_t id) {
    const uint32_t *in = wf_node_in(q->graph, id);
    const wf_node *x = node_of(q, id);
    int64_t sum = 0;
    for (uint32_t i = 0; i < x->n_in; i++) sum += wf_shape_count(&node_of(q, in[i])->type.shape);
    return x->op->kind == WF_KIND_PLACE && sum == wf_shape_count(&x->type.shape);
}

static wf_status home_operands(wf_planner *q, uint32_t id) {
    if (!covers(q, id)) return WF_OK;
    const wf_node *x = node_of(q, id);
    const uint32_t *in = wf_node_in(q->graph, id);
    if (!q->home[id].storage) {
        size_t bytes = 0;
        wf_type_bytes(x->type.dtype, &x->type.shape, &bytes);
        const uint32_t s = wf_plan_storage(q->plan, WF_WHERE_ARENA, bytes, NULL);
        if (!s) return WF_MEMORY;
        q->home[id] = wf_value_dense(s, &x->type);
    }
    const wf_array out = wf_value_array(&q->home[id], &x->type);
    for (uint32_t i = 0; i < x->n_in; i++) {
        const wf_type *t = &node_of(q, in[i])->type;
        wf_array slot = {.dtype = t->dtype, .shape = t->shape};
        x->op->place(x->attr, &out, (int)i, &slot);
        claim(q, in[i], slot, q->home[id].storage);
    }
    return WF_OK;
}

wf_status wf_plan_homes(wf_planner *q) {
    const uint32_t n = wf_graph_size(q->graph);
    wf_status s = WF_OK;
    mark_live(q);
    find_readers(q);
    for (uint32_t id = 1; id < n && s == WF_OK; id++)
        if (q->live[id] && node_of(q, id)->op->kind == WF_KIND_LEAF) s = home_leaf(q, id);
    for (uint32_t i = 0; i < q->n_output && s == WF_OK; i++) s = home_output(q, i);
    for (uint32_t i = q->n_output; i < q->stage->n_root && s == WF_OK; i++)
        home_assign(q, q->stage->root[i]);
    for (uint32_t id = n; id-- > 1 && s == WF_OK && !(q->off & WF_PASS_INPLACE);)
        if (q->live[id]) s = home_operands(q, id);
    return s;
}
