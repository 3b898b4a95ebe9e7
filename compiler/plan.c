/* Planning: one forward loop gives every live node its place in memory and its launches; then
 * lifetimes become offsets, and offsets tell which launches must wait for the others. */
#include "compiler/plan.h"

#include <stdlib.h>
#include <string.h>

#include "tensor/size.h"
#include "tensor/sources.h"

static const wf_node *node_of(const wf_planner *q, uint32_t id) {
    return wf_graph_node(q->graph, id);
}

/* --- where a value goes ----------------------------------------------------------------------- */

static bool is_whole(const wf_planner *q, uint32_t id, uint32_t storage) {
    const wf_type *t = &node_of(q, id)->type;
    const wf_array a = wf_value_array(&q->value[id], t);
    size_t bytes = 0;
    return q->value[id].storage == storage && q->value[id].offset == 0 && wf_array_is_dense(&a) &&
           wf_type_bytes(t->dtype, &t->shape, &bytes) && bytes == q->plan->storage[storage].bytes;
}

bool wf_plan_dying(const wf_planner *q, uint32_t in, uint32_t when, const wf_type *out) {
    const uint32_t owner = q->owner[in], storage = q->value[in].storage;
    const wf_type *t = &node_of(q, in)->type;
    return q->plan->storage[storage].where == WF_WHERE_ARENA && !q->home[owner].storage &&
           q->value[owner].storage == storage && q->last[owner] == when &&
           t->dtype == out->dtype &&
           wf_shape_count(&t->shape) == wf_shape_count(&out->shape) && is_whole(q, in, storage);
}

/* True if the result of node `id` may overwrite its operand i, element for element. */
static bool may_overwrite(const wf_planner *q, uint32_t id, uint32_t i) {
    const wf_node *x = node_of(q, id);
    const uint32_t *in = wf_node_in(q->graph, id);
    const wf_type *t = &node_of(q, in[i])->type;
    const uint32_t storage = q->value[in[i]].storage;
    if (!wf_shape_equal(&t->shape, &x->type.shape) || !wf_plan_dying(q, in[i], id, &x->type))
        return false;
    for (uint32_t j = 0; j < x->n_in; j++)
        if (q->value[in[j]].storage == storage &&
            !wf_value_same(&q->value[in[j]], &q->value[in[i]], &t->shape))
            return false;
    return true;
}

static wf_status place_value(wf_planner *q, uint32_t id) {
    const wf_node *x = node_of(q, id);
    const uint32_t *in = wf_node_in(q->graph, id);
    q->value[id] = q->home[id];
    if (q->home[id].storage) return WF_OK;
    const bool reuse = x->op->kind == WF_KIND_ELEMENTWISE && !(q->off & WF_PASS_INPLACE);
    for (uint32_t i = 0; reuse && i < x->n_in; i++)
        if (may_overwrite(q, id, i)) {
            q->value[id] = wf_value_dense(q->value[in[i]].storage, &x->type);
            return WF_OK;
        }
    size_t bytes = 0;
    if (!wf_type_bytes(x->type.dtype, &x->type.shape, &bytes))
        return wf_fail(WF_INTERNAL, "a node without a size");
    const uint32_t s = wf_plan_storage(q->plan, WF_WHERE_ARENA, bytes, NULL);
    if (!s) return WF_MEMORY;
    q->value[id] = wf_value_dense(s, &x->type);
    return WF_OK;
}

/* --- one node --------------------------------------------------------------------------------- */

/* A value without operands and with equal elements is one number, seen with strides 0. */
static wf_status plan_full(wf_planner *q, uint32_t id) {
    const wf_full_attr *a = node_of(q, id)->attr;
    void *number = wf_arena_alloc(&q->plan->mem, sizeof(double));
    if (!number) return wf_fail(WF_MEMORY, "out of memory in the compiler");
    wf_store(a->dtype, number, a->value);
    const uint32_t s = wf_plan_storage(q->plan, WF_WHERE_LEAF, sizeof(double), number);
    if (!s) return WF_MEMORY;
    q->value[id] = (wf_value){.storage = s};
    return WF_OK;
}

/* True if the view needs no launch. */
static bool plan_view(wf_planner *q, uint32_t id) {
    const wf_node *x = node_of(q, id);
    const uint32_t from = wf_node_in(q->graph, id)[0];
    const wf_array in = wf_value_array(&q->value[from], &node_of(q, from)->type);
    wf_array out = {.dtype = x->type.dtype, .shape = x->type.shape};
    if (!x->op->view(x->attr, &in, &out)) return false;
    q->value[id] = wf_value_of(q->value[from].storage, &out);
    return true;
}

/* Copies the operands that are not in their slots; all of them in one launch if none is. */
static wf_status plan_placement(wf_planner *q, uint32_t id) {
    const wf_node *x = node_of(q, id);
    const uint32_t *in = wf_node_in(q->graph, id);
    const wf_array out = wf_value_array(&q->value[id], &x->type);
    uint32_t placed = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < x->n_in; i++) {
            const wf_type *t = &node_of(q, in[i])->type;
            wf_array slot = {.dtype = t->dtype, .shape = t->shape};
            x->op->place(x->attr, &out, (int)i, &slot);
            const wf_value v = wf_value_of(q->value[id].storage, &slot);
            const bool there = wf_value_same(&v, &q->value[in[i]], &t->shape);
            placed += pass == 0 && there;
            const wf_status s = pass == 1 && !there ? wf_plan_copy(q, in[i], &q->value[in[i]], &v)
                                                    : WF_OK;
            if (s) return s;
        }
        if (placed == 0) return wf_plan_launch(q, id);
    }
    return WF_OK;
}

static wf_status plan_node(wf_planner *q, uint32_t id) {
    const wf_op *op = node_of(q, id)->op;
    const bool inplace = !(q->off & WF_PASS_INPLACE);
    if (op->kind == WF_KIND_ASSIGN) return WF_OK;
    if (op->kind == WF_KIND_LEAF) {
        q->value[id] = q->home[id];
        return WF_OK;
    }
    if (op == &wf_op_full && inplace) return plan_full(q, id);
    if (op->kind == WF_KIND_VIEW && inplace && plan_view(q, id)) return WF_OK;
    const wf_status s = place_value(q, id);
    if (s) return s;
    const bool placement = op->kind == WF_KIND_PLACE && inplace && q->home[id].storage;
    return placement ? plan_placement(q, id) : wf_plan_launch(q, id);
}

/* The copy of an output that is not computed in its buffer, as soon as the value is there. */
static wf_status plan_output(wf_planner *q, uint32_t id) {
    if (!q->out_of[id] || q->value[id].storage == q->out_of[id]) return WF_OK;
    const wf_value to = wf_value_dense(q->out_of[id], &node_of(q, id)->type);
    return wf_plan_copy(q, id, &q->value[id], &to);
}

static wf_status plan_one(wf_planner *q, uint32_t id) {
    const wf_status s = plan_node(q, id);
    return s ? s : plan_output(q, id);
}

/* A group's launch, then the views that waited for it. */
static wf_status plan_group(wf_planner *q, uint32_t group) {
    const wf_fusion *f = &q->plan->fusion;
    const wf_fused *l = &f->list[group];
    wf_status s = wf_plan_sweep(q, group);
    for (uint32_t i = 0; i < l->n && s == WF_OK; i++)
        s = plan_output(q, f->member[l->first + i]);
    for (uint32_t id = l->deferred; id && s == WF_OK; id = f->next[id])
        if (q->owner[id] == id || q->value[q->owner[id]].storage) s = plan_one(q, id);
    return s;
}

/* --- assignments at the end ------------------------------------------------------------------- */

/* Copies the value of assignment `id` to where it belongs; set_aside: to a storage of its own
 * first, because another assignment may write the leaf that it lies in. */
static wf_status plan_assign(wf_planner *q, uint32_t id, bool set_aside) {
    const uint32_t leaf = wf_node_in(q->graph, id)[0], value = wf_node_in(q->graph, id)[1];
    const wf_type *t = &node_of(q, leaf)->type;
    const wf_value *aside = &q->dense[id];
    if (!set_aside)
        return wf_plan_copy(q, value, aside->storage ? aside : &q->value[value], &q->value[leaf]);
    size_t bytes = 0;
    wf_type_bytes(t->dtype, &t->shape, &bytes);
    const uint32_t s = wf_plan_storage(q->plan, WF_WHERE_ARENA, bytes, NULL);
    if (!s) return WF_MEMORY;
    q->dense[id] = wf_value_dense(s, t);
    return wf_plan_copy(q, value, &q->value[value], aside);
}

/* All values that lie in leaves' buffers are set aside before any leaf is written: two assignments
 * may swap two leaves. */
static wf_status plan_assigns(wf_planner *q) {
    wf_status s = WF_OK;
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t i = q->n_output; i < q->stage->n_root && s == WF_OK; i++) {
            const uint32_t id = q->stage->root[i], *in = wf_node_in(q->graph, id);
            const wf_value *from = &q->value[in[1]], *to = &q->value[in[0]];
            if (q->direct[id] || wf_value_same(from, to, &node_of(q, id)->type.shape)) continue;
            const uint32_t owner = q->owner[in[1]];
            const bool in_leaf = node_of(q, owner)->op == &wf_op_leaf &&
                                 q->value[owner].storage == from->storage;
            if (pass == 1 || in_leaf) s = plan_assign(q, id, pass == 0);
        }
    return s;
}

/* --- the whole -------------------------------------------------------------------------------- */

static wf_status plan_all(wf_planner *q) {
    wf_status s = wf_plan_homes(q);
    for (uint32_t id = 1; id < wf_graph_size(q->graph) && s == WF_OK; id++) {
        const uint32_t group = q->plan->fusion.group[id];
        if (!q->live[id] || q->plan->fusion.when[id] > id) continue;
        s = group ? plan_group(q, group) : plan_one(q, id);
    }
    if (!s) s = plan_assigns(q);
    q->plan->may_be_alone = !(q->off & WF_PASS_ALONE);
    if (!s && !(q->off & WF_PASS_CHAIN)) s = wf_plan_chains(q->plan);
    if (!s) s = wf_plan_tables(q->plan);
    return s ? s : wf_plan_offsets(q->plan, !(q->off & WF_PASS_INPLACE));
}

static uint32_t widest(const wf_graph *g) {
    uint32_t most = 0;
    for (uint32_t id = 1; id < wf_graph_size(g); id++)
        if (wf_graph_node(g, id)->n_in > most) most = wf_graph_node(g, id)->n_in;
    return most;
}

wf_status wf_plan_make(wf_plan *p, const wf_stage *s, uint32_t n_output, unsigned off) {
    memset(p, 0, sizeof *p);
    p->graph = s->graph;
    p->n_output = n_output;
    const size_t n = wf_graph_size(s->graph);
    wf_planner q = {.plan = p,
                    .stage = s,
                    .graph = s->graph,
                    .n_output = n_output,
                    .off = off,
                    .live = calloc(n, sizeof *q.live),
                    .owner = calloc(n, sizeof *q.owner),
                    .last = calloc(n, sizeof *q.last),
                    .home = calloc(n, sizeof *q.home),
                    .value = calloc(n, sizeof *q.value),
                    .dense = calloc(n, sizeof *q.dense),
                    .out_of = calloc(n, sizeof *q.out_of),
                    .direct = calloc(n, sizeof *q.direct),
                    .scratch = calloc(widest(s->graph) + 1, sizeof *q.scratch)};
    p->output = calloc(n_output ? n_output : 1, sizeof *p->output);
    p->value_storage = calloc(n, sizeof *p->value_storage);
    const unsigned needed = WF_PASS_FUSE | WF_PASS_FAST;
    wf_status status = wf_fuse(&p->fusion, s, !(off & WF_PASS_INPLACE), !(off & needed));
    if (!status && (!q.live || !q.owner || !q.last || !q.home || !q.value || !q.dense ||
                    !q.out_of || !q.direct || !q.scratch || !p->output ||
                    !p->value_storage))
        status = wf_fail(WF_MEMORY, "out of memory in the compiler");
    if (!status) status = plan_all(&q);
    for (size_t id = 0; id < n && !status; id++) {
        const uint32_t at = q.value[id].storage;
        p->value_storage[id] = at && p->storage[at].where != WF_WHERE_TILE ? at : 0;
    }
    void *const own[] = {q.live,  q.owner,  q.last,   q.home,   q.value,
                         q.dense, q.out_of, q.direct, q.scratch};
    for (size_t i = 0; i < WF_COUNT(own); i++) free(own[i]);
    if (status) wf_plan_free(p);
    return status;
}

void wf_plan_free(wf_plan *p) {
    void *const own[] = {p->launch, p->array,  p->operand, p->storage, p->pieces,
                         p->output, p->input, p->kernel, p->sweep, p->chain,
                         p->value_storage};
    for (uint32_t i = 0; i < p->n_kernel; i++) free(p->kernel[i].text);
    wf_code_free(p->code);
    wf_fusion_free(&p->fusion);
    for (size_t i = 0; i < WF_COUNT(own); i++) free(own[i]);
    wf_arena_free(&p->mem);
    memset(p, 0, sizeof *p);
}

static int64_t sweep_pieces(const wf_plan *p, const wf_launch *l) {
    int64_t n = 0;
    for (uint32_t row = 0; row < l->rows; row++) n += p->sweep[l->group - 1 + row].pieces;
    return n;
}

wf_status wf_plan_bind(wf_plan *p, void *arena, void *buffers, int threads) {
    for (uint32_t i = 1; i < p->n_storage; i++) {
        wf_storage *s = &p->storage[i];
        if (s->where == WF_WHERE_LEAF || s->where == WF_WHERE_TILE) continue;
        s->data = (char *)(s->where == WF_WHERE_ARENA ? arena : buffers) + s->offset;
    }
    for (uint32_t i = 0; i < p->n_array; i++)
        if (p->storage[p->operand[i].storage].where != WF_WHERE_TILE)
            p->array[i].data =
                (char *)p->storage[p->operand[i].storage].data + p->operand[i].offset;
    for (uint32_t i = 0; i < p->n_launch; i++) {
        wf_launch *l = &p->launch[i];
        l->call.in = p->array + l->array;
        l->call.out = p->array[l->array + (uint32_t)l->call.n_in];
        l->whole = true;
        const bool heads = l->chain && p->chain[l->chain - 1].first == i;
        for (int phase = 0; phase < l->phases; phase++) {
            const int64_t n = heads && phase == l->phases - 1 ? p->chain[l->chain - 1].blocks
                              : l->merges ? l->fast->by_rows->merge_pieces(&l->call)
                              : l->group  ? sweep_pieces(p, l)
                              : l->fast   ? l->fast->pieces(&l->call, phase)
                                          : 1;
            if (n < 0) return wf_fail(WF_INTERNAL, "%s: a negative number of pieces",
                                      l->call.op->name);
            p->pieces[l->pieces + (uint32_t)phase] = n;
            if (n > 1) l->whole = false;
        }
    }
    return wf_plan_barriers(p, threads);
}
