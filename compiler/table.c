/* Tables: launches of one kernel that do not depend on each other become one launch, a kernel and a
 * table of argument rows. Seventy parameters are updated by a few launches.
 *
 * A launch moves later, to the next one of its kernel, if nothing on the way - nor that launch -
 * writes what it reads or touches what it writes; storages are compared as a whole. Lifetimes of
 * storages are found again. */
#include <stdlib.h>

#include "compiler/plan.h"

enum { FAR = 64 }; /* launches that one may move over */

typedef struct tabler {
    wf_plan *p;
    uint32_t *to;   /* (n_launch) the launch it becomes a row of; itself */
    uint8_t *mark;  /* (n_storage) 1: read, 2: written by the launch that is looked at */
} tabler;

static bool is_output(const wf_launch *l, uint32_t i) { return i >= (uint32_t)l->call.n_in; }

static uint32_t n_operands(const wf_launch *l) { return (uint32_t)l->call.n_in + l->n_out; }

static void mark(const tabler *q, const wf_launch *l, bool on) {
    for (uint32_t i = 0; i < n_operands(l); i++) {
        uint8_t *m = &q->mark[q->p->operand[l->array + i].storage];
        *m = !on ? 0 : is_output(l, i) ? 2 : *m ? *m : 1;
    }
}

static bool conflicts(const tabler *q, const wf_launch *l) {
    if (l->shared && q->mark[l->shared]) return true;
    for (uint32_t i = 0; i < n_operands(l); i++) {
        const uint8_t m = q->mark[q->p->operand[l->array + i].storage];
        if (m == 2 || (m && is_output(l, i))) return true;
    }
    return false;
}

static uint32_t kernel_of(const wf_plan *p, const wf_launch *l) {
    return p->sweep[l->group - 1].kernel;
}

/* The first launch after i of the same kernel that i can move to; i if there is none. */
static uint32_t find_table(const tabler *q, uint32_t i) {
    const wf_plan *p = q->p;
    const wf_launch *l = &p->launch[i];
    uint32_t end = i + 1, to = i;
    mark(q, l, true);
    while (end < p->n_launch && end - i <= FAR && !conflicts(q, &p->launch[end])) end++;
    mark(q, l, false);
    for (uint32_t k = i + 1; k < end && to == i; k++)
        if (p->launch[k].group && !p->launch[k].chain && q->to[k] < end &&
            kernel_of(p, &p->launch[k]) == kernel_of(p, l))
            to = q->to[k];
    return to;
}

/* Rows of a launch next to each other, in their order; launches without those that moved. */
static bool rebuild(tabler *q) {
    wf_plan *p = q->p;
    wf_sweep *sweep = calloc((size_t)p->n_sweep + 1, sizeof *sweep);
    uint32_t *start = calloc((size_t)p->n_launch + 1, sizeof *start), rows = 0, n = 0;
    if (!sweep || !start) {
        free(sweep);
        free(start);
        return false;
    }
    for (uint32_t i = 0; i < p->n_launch; i++) p->launch[i].rows = 0;
    for (uint32_t i = 0; i < p->n_launch; i++) p->launch[q->to[i]].rows++;
    for (uint32_t i = 0; i < p->n_launch; i++) {
        start[i] = rows;
        if (p->launch[i].group) rows += p->launch[i].rows;
    }
    for (uint32_t i = 0; i < p->n_launch; i++)
        if (p->launch[i].group) sweep[start[q->to[i]]++] = p->sweep[p->launch[i].group - 1];
    for (uint32_t i = 0; i < p->n_launch; i++) {
        wf_launch l = p->launch[i];
        if (q->to[i] != i) continue;
        if (l.group) {
            l.group = start[i] - l.rows + 1;
            l.array = sweep[l.group - 1].array;
        }
        p->launch[n++] = l;
    }
    p->n_launch = n;
    free(p->sweep);
    free(start);
    p->sweep = sweep;
    p->sweep_cap = p->n_sweep;
    return true;
}

static void touch_all(wf_plan *p, const wf_launch *l, uint32_t when) {
    for (uint32_t row = 0; row < l->rows; row++) {
        const uint32_t array = l->group ? p->sweep[l->group - 1 + row].array : l->array;
        for (uint32_t k = l->merges ? (uint32_t)l->call.n_in : 0; k < n_operands(l); k++)
            wf_plan_touch(p, p->operand[array + k].storage, when);
    }
    if (l->shared) wf_plan_touch(p, l->shared, when);
}

void wf_plan_lifetimes(wf_plan *p) {
    for (uint32_t i = 1; i < p->n_storage; i++) {
        p->storage[i].first = UINT32_MAX;
        p->storage[i].last = 0;
    }
    for (uint32_t i = 0; i < p->n_launch; i++) {
        const wf_launch *l = &p->launch[i];
        touch_all(p, l, i);
        if (!l->chain) continue;
        const wf_chain *c = &p->chain[l->chain - 1];
        touch_all(p, l, c->first);
        touch_all(p, l, c->first + c->n - 1);
    }
}

static void find_chains(wf_plan *p) {
    for (uint32_t i = p->n_launch; i-- > 0;)
        if (p->launch[i].chain) p->chain[p->launch[i].chain - 1].first = i;
}

wf_status wf_plan_tables(wf_plan *p) {
    if (p->n_sweep < 2) {
        wf_plan_lifetimes(p);
        return WF_OK;
    }
    tabler q = {.p = p,
                .to = calloc((size_t)p->n_launch + 1, sizeof *q.to),
                .mark = calloc((size_t)p->n_storage + 1, 1)};
    bool ok = q.to && q.mark;
    for (uint32_t i = p->n_launch; ok && i-- > 0;)
        q.to[i] = p->launch[i].group && !p->launch[i].chain ? find_table(&q, i) : i;
    ok = ok && rebuild(&q);
    if (ok) {
        find_chains(p);
        wf_plan_lifetimes(p);
    }
    free(q.to);
    free(q.mark);
    return ok ? WF_OK : wf_fail(WF_MEMORY, "out of memory in the compiler");
}
