/* Launches: one kernel call with fixed operands. Chooses the tuned kernel where it takes the
 * operands as they lie, or dense copies of them, and the reference evaluator otherwise. */
#include <stdlib.h>
#include <string.h>

#include "compiler/plan.h"
#include "tensor/size.h"
#include "tensor/view.h"

bool wf_plan_room(void **array, uint32_t *cap, uint32_t n, uint32_t more, size_t each) {
    if (more > UINT32_MAX / 2 - n) return false;
    if (n + more <= *cap) return true;
    uint32_t to = *cap ? *cap : 256;
    while (to < n + more) to *= 2;
    void *p = realloc(*array, to * each);
    if (!p) return false;
    *array = p;
    *cap = to;
    return true;
}

uint32_t wf_plan_storage(wf_plan *p, wf_where where, size_t bytes, void *data) {
    if (p->n_storage == 0) p->n_storage = 1;
    if (!wf_plan_room((void **)&p->storage, &p->storage_cap, p->n_storage, 1, sizeof *p->storage)) {
        wf_fail(WF_MEMORY, "out of memory in the compiler");
        return 0;
    }
    p->storage[p->n_storage] =
        (wf_storage){.where = where, .bytes = bytes, .first = UINT32_MAX, .data = data};
    return p->n_storage++;
}

void wf_plan_touch(wf_plan *p, uint32_t storage, uint32_t launch) {
    wf_storage *s = &p->storage[storage];
    if (launch < s->first) s->first = launch;
    if (launch > s->last) s->last = launch;
}

/* Appends a launch over `call`, whose arrays carry offsets; operand i lies in storage[i], the
 * result in storage[n_in]. */
static wf_status append(wf_planner *q, const wf_call *call, const wf_fast *fast, uint32_t node,
                        const uint32_t *storage) {
    wf_plan *p = q->plan;
    const uint32_t n = (uint32_t)call->n_in + 1, at = p->n_array;
    const int phases = fast && fast->phases > 1 ? fast->phases : 1;
    if (!wf_plan_room((void **)&p->launch, &p->launch_cap, p->n_launch, 1, sizeof *p->launch) ||
        !wf_plan_room((void **)&p->array, &p->array_cap, at, n, sizeof *p->array) ||
        !wf_plan_room((void **)&p->operand, &p->operand_cap, at, n, sizeof *p->operand) ||
        !wf_plan_room((void **)&p->pieces, &p->pieces_cap, p->n_pieces, (uint32_t)phases,
              sizeof *p->pieces))
        return wf_fail(WF_MEMORY, "out of memory in the compiler");
    const uint32_t id = p->n_launch++;
    p->launch[id] = (wf_launch){.call = *call, .fast = fast, .node = node, .array = at,
                                .n_out = 1, .rows = 1, .pieces = p->n_pieces, .phases = phases};
    for (uint32_t i = 0; i < n; i++) {
        const wf_array *a = i + 1 < n ? &call->in[i] : &call->out;
        p->operand[at + i] = (wf_operand){storage[i], (intptr_t)a->data};
        p->array[at + i] = *a;
        p->array[at + i].data = NULL;
        wf_plan_touch(p, storage[i], id);
    }
    p->n_array += n;
    p->n_pieces += (uint32_t)phases;
    if (!fast) p->n_reference++;
    return WF_OK;
}

/* The kernel's own memory. The call has no data, as the plan is not bound yet. */
static wf_status append_areas(wf_plan *p, wf_call *call, const wf_fast *fast) {
    if (!fast) return WF_OK;
    const uint32_t id = p->n_launch - 1;
    const size_t scratch = fast->scratch_bytes ? fast->scratch_bytes(call) : 0;
    const size_t shared = fast->shared_bytes ? fast->shared_bytes(call) : 0;
    if (scratch > p->scratch_bytes) p->scratch_bytes = scratch;
    if (shared) {
        const uint32_t s = wf_plan_storage(p, WF_WHERE_ARENA, shared, NULL);
        if (!s) return WF_MEMORY;
        p->launch[id].shared = s;
        wf_plan_touch(p, s, id);
    }
    return WF_OK;
}

static void drop_data(wf_array *a, int n) {
    for (int i = 0; i < n; i++) a[i].data = NULL;
}

/* --- copies ----------------------------------------------------------------------------------- */

wf_status wf_plan_copy(wf_planner *q, uint32_t node, const wf_value *from, const wf_value *to) {
    const wf_type *type = &wf_graph_node(q->graph, node)->type;
    if (wf_shape_count(&type->shape) == 0) return WF_OK;
    wf_array in = wf_value_array(from, type);
    const wf_op *op = &wf_op_stop_gradient; /* the identity */
    wf_call call = {.op = op, .n_in = 1, .in = &in, .out = wf_value_array(to, type)};
    const wf_fast *fast = q->off & WF_PASS_FAST ? NULL : op->fast;
    const wf_status s = append(q, &call, fast, node, (uint32_t[]){from->storage, to->storage});
    if (s) return s;
    q->plan->launch[q->plan->n_launch - 1].copy = true;
    q->plan->n_copies++;
    in.data = call.out.data = NULL;
    return append_areas(q->plan, &call, fast);
}

/* A dense copy of a value, made once. */
static wf_status dense_copy(wf_planner *q, uint32_t node) {
    if (q->dense[node].storage) return WF_OK;
    const wf_type *type = &wf_graph_node(q->graph, node)->type;
    size_t bytes = 0;
    if (!wf_type_bytes(type->dtype, &type->shape, &bytes))
        return wf_fail(WF_INTERNAL, "a node without a size");
    const uint32_t s = wf_plan_storage(q->plan, WF_WHERE_ARENA, bytes, NULL);
    if (!s) return WF_MEMORY;
    q->dense[node] = wf_value_dense(s, type);
    return wf_plan_copy(q, node, &q->value[node], &q->dense[node]);
}

/* --- choosing a kernel ------------------------------------------------------------------------ */

wf_call wf_plan_dense_call(wf_planner *q, uint32_t node, const wf_array *out) {
    const wf_node *x = wf_graph_node(q->graph, node);
    const uint32_t *from = wf_node_in(q->graph, node);
    for (uint32_t i = 0; i < x->n_in; i++) {
        const wf_type *t = &wf_graph_node(q->graph, from[i])->type;
        q->scratch[i] = wf_array_dense(NULL, t->dtype, &t->shape);
    }
    wf_call c = {.op = x->op, .attr = x->attr, .n_in = (int)x->n_in, .in = q->scratch, .out = *out};
    c.out.data = NULL;
    return c;
}

static wf_call call_as_is(wf_planner *q, uint32_t node) {
    const wf_node *x = wf_graph_node(q->graph, node);
    const uint32_t *from = wf_node_in(q->graph, node);
    for (uint32_t i = 0; i < x->n_in; i++)
        q->scratch[i] = wf_value_array(&q->value[from[i]], &wf_graph_node(q->graph, from[i])->type);
    drop_data(q->scratch, (int)x->n_in);
    wf_call c = {.op = x->op, .attr = x->attr, .n_in = (int)x->n_in, .in = q->scratch,
                 .out = wf_value_array(&q->value[node], &x->type)};
    c.out.data = NULL;
    return c;
}

/* How operands and result must lie for the tuned kernel. */
enum { AS_IS, DENSE_IN, DENSE_BOTH, NO_KERNEL };

static int choose(wf_planner *q, uint32_t node) {
    const wf_node *x = wf_graph_node(q->graph, node);
    if (!x->op->fast || (q->off & WF_PASS_FAST)) return NO_KERNEL;
    wf_call c = call_as_is(q, node);
    if (x->op->fast->applicable(&c)) return AS_IS;
    const wf_array out = c.out, dense = wf_array_dense(NULL, x->type.dtype, &x->type.shape);
    c = wf_plan_dense_call(q, node, &out);
    if (x->op->fast->applicable(&c)) return DENSE_IN;
    if (wf_array_is_dense(&out)) return NO_KERNEL;
    c = wf_plan_dense_call(q, node, &dense);
    return x->op->fast->applicable(&c) ? DENSE_BOTH : NO_KERNEL;
}

/* Where operand i is to be read: the value, or its dense copy. */
static wf_status place_operand(wf_planner *q, uint32_t from, bool dense, const wf_value **out) {
    const wf_array a = wf_value_array(&q->value[from], &wf_graph_node(q->graph, from)->type);
    *out = &q->value[from];
    if (!dense || wf_array_is_dense(&a)) return WF_OK;
    const wf_status s = dense_copy(q, from);
    *out = &q->dense[from];
    return s;
}

/* A launch of `node` that leaves its result in *out. storage: room for operands and result. */
static wf_status launch_into(wf_planner *q, uint32_t node, const wf_value *out, int how,
                             uint32_t *storage) {
    const wf_node *x = wf_graph_node(q->graph, node);
    const uint32_t *from = wf_node_in(q->graph, node);
    const wf_fast *fast = how == NO_KERNEL ? NULL : x->op->fast;
    const wf_value *v;
    wf_status s = WF_OK;
    /* Copies first: making one uses the scratch. */
    for (uint32_t i = 0; i < x->n_in && s == WF_OK; i++)
        s = place_operand(q, from[i], how == DENSE_IN || how == DENSE_BOTH, &v);
    if (s) return s;
    for (uint32_t i = 0; i < x->n_in; i++) {
        place_operand(q, from[i], how == DENSE_IN || how == DENSE_BOTH, &v);
        storage[i] = v->storage;
        q->scratch[i] = wf_value_array(v, &wf_graph_node(q->graph, from[i])->type);
    }
    storage[x->n_in] = out->storage;
    wf_call call = {.op = x->op, .attr = x->attr, .n_in = (int)x->n_in, .in = q->scratch,
                    .out = wf_value_array(out, &x->type)};
    s = append(q, &call, fast, node, storage);
    drop_data(q->scratch, (int)x->n_in);
    call.out.data = NULL;
    return s ? s : append_areas(q->plan, &call, fast);
}

wf_status wf_plan_launch(wf_planner *q, uint32_t node) {
    const wf_node *x = wf_graph_node(q->graph, node);
    size_t bytes = 0;
    wf_type_bytes(x->type.dtype, &x->type.shape, &bytes);
    if (bytes == 0) return WF_OK;
    const int how = choose(q, node);
    wf_value out = q->value[node];
    if (how == DENSE_BOTH) {
        const uint32_t s = wf_plan_storage(q->plan, WF_WHERE_ARENA, bytes, NULL);
        if (!s) return WF_MEMORY;
        out = wf_value_dense(s, &x->type);
    }
    uint32_t few[9], *storage = few;
    if (x->n_in >= WF_COUNT(few) && !(storage = malloc((x->n_in + 1) * sizeof *storage)))
        return wf_fail(WF_MEMORY, "out of memory in the compiler");
    wf_status s = launch_into(q, node, &out, how, storage);
    if (storage != few) free(storage);
    if (s == WF_OK && how == DENSE_BOTH) s = wf_plan_copy(q, node, &out, &q->value[node]);
    return s;
}
