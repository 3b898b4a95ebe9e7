/* What the plan did, for the labels: when a value is made, where it lies, and from when to when
 * that place is taken. A node without a launch is a view, was computed where it is wanted, or is
 * empty. */
#include "compiler/dot.h"

static const uint32_t none = UINT32_MAX;

static const wf_operand *result_of(const wf_plan *p, const wf_launch *l) {
    return &p->operand[l->array + (uint32_t)l->call.n_in];
}

/* The operand whose storage and place the result of launch l takes, 0 if there is none. */
static uint32_t overwritten(const wf_dot *d, const wf_launch *l) {
    const wf_operand *in = &d->plan->operand[l->array], *out = result_of(d->plan, l);
    if (l->copy) return 0;
    for (int i = 0; i < l->call.n_in; i++)
        if (in[i].storage == out->storage && in[i].offset == out->offset)
            return wf_node_in(d->graph, l->node)[i];
    return 0;
}

/* Members of a group are made by its launch; only some of them are stored. */
static void members_found(wf_dot *d, uint32_t launch, uint32_t sweep) {
    const wf_plan *p = d->plan;
    const wf_sweep *s = &p->sweep[sweep];
    const wf_fused *f = &p->fusion.list[s->fused];
    for (uint32_t i = 0; i < f->n; i++)
        d->stored[p->fusion.member[f->first + i]] =
            (wf_dot_stored){.launch = launch, .group = 1 + sweep};
}

wf_status wf_dot_stored_find(wf_dot *d) {
    const wf_plan *p = d->plan;
    if (!p) return WF_OK;
    d->stored = wf_arena_alloc(&d->mem, d->n * sizeof *d->stored);
    if (!d->stored) return wf_dot_no_memory();
    for (uint32_t id = 0; id < d->n; id++) d->stored[id].launch = none;
    for (uint32_t i = 0; i < p->n_launch; i++) {
        const wf_launch *l = &p->launch[i];
        if (l->group) {
            for (uint32_t row = 0; row < l->rows; row++) members_found(d, i, l->group - 1 + row);
            continue;
        }
        wf_dot_stored *s = &d->stored[l->node];
        s->copies += l->copy;
        if (l->copy) continue;
        *s = (wf_dot_stored){.launch = i, .copies = s->copies, .storage = result_of(p, l)->storage,
                             .offset = result_of(p, l)->offset, .inplace = overwritten(d, l),
                             .reference = !l->fast};
    }
    return WF_OK;
}

static void put_place(const wf_dot *d, const wf_dot_stored *s, wf_dot_text *t) {
    const wf_storage *at = &d->plan->storage[s->storage];
    if (at->where == WF_WHERE_ARENA)
        wf_dot_put(t, "\\narena +%lld, live %u..%u", (long long)at->offset + (long long)s->offset,
                   at->first, at->last);
    else
        wf_dot_put(t, "\\n%s", at->where == WF_WHERE_LEAF     ? "in the leaf's buffer"
                               : at->where == WF_WHERE_OUTPUT ? "in the output's buffer"
                               : at->where == WF_WHERE_TILE   ? "in a tile"
                                                              : "in the input's buffer");
}

static void one(const wf_dot *d, uint32_t id, wf_dot_text *t) {
    const wf_dot_stored *s = &d->stored[id];
    const wf_kind kind = wf_dot_node(d, id)->op->kind;
    if (s->launch != none) {
        wf_dot_put(t, "\\nlaunch %u%s", s->launch, s->reference ? ", reference" : "");
        if (s->inplace) wf_dot_put(t, ", over %%%u", s->inplace);
        if (s->storage) put_place(d, s, t);
        else if (s->group && !d->plan->fusion.stored[id]) wf_dot_put(t, "\\nnot stored");
    } else if (kind == WF_KIND_VIEW) {
        wf_dot_put(t, s->copies ? "\\ncopied" : "\\nview, no launch");
    } else if (kind == WF_KIND_PLACE) {
        wf_dot_put(t, "\\nplaced, no launch");
    } else if (kind == WF_KIND_ASSIGN) {
        wf_dot_put(t, s->copies ? "\\ncopied to the leaf" : "\\ncomputed in the leaf");
    }
    if (s->copies > 1) wf_dot_put(t, ", %u copies", s->copies);
}

static void many(const wf_dot *d, const wf_dot_box *b, wf_dot_text *t) {
    uint32_t launches = 0, copies = 0, inplace = 0, reference = 0, first = none, last = 0;
    uint32_t newest = none;
    for (uint32_t i = 0; i < b->nodes; i++) {
        const wf_dot_stored *s = &d->stored[d->member[b->first_member + i]];
        copies += s->copies;
        if (s->launch == none) continue;
        launches += s->launch != newest; /* members of one group share a launch */
        newest = s->launch;
        inplace += s->inplace != 0;
        reference += s->reference;
        if (s->launch < first) first = s->launch;
        if (s->launch > last) last = s->launch;
    }
    if (launches == 1) wf_dot_put(t, "\\nlaunch %u", first);
    else if (launches) wf_dot_put(t, "\\n%u launches in %u..%u", launches, first, last);
    else if (b->kind == WF_DOT_OPERATION) wf_dot_put(t, "\\nno launch");
    if (copies) wf_dot_put(t, "\\n%u %s", copies, copies == 1 ? "copy" : "copies");
    if (inplace) wf_dot_put(t, "\\n%u in place", inplace);
    if (reference) wf_dot_put(t, "\\n%u by reference evaluators", reference);
}

void wf_dot_plan_label(const wf_dot *d, const wf_dot_box *b, wf_dot_text *t) {
    if (b->nodes == 1) one(d, d->member[b->first_member], t);
    else many(d, b, t);
}

void wf_dot_plan_title(const wf_dot *d, wf_dot_text *t) {
    const wf_plan *p = d->plan;
    wf_dot_put(t, "\\n%u launches, of them %u copies; arena ", wf_plan_launches(p),
               p->n_copies);
    wf_dot_put_amount(t, (double)p->arena_bytes, "B");
    wf_dot_put(t, ", at least ");
    wf_dot_put_amount(t, (double)p->live_bytes, "B");
}
