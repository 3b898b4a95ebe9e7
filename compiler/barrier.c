/* Barriers: a launch waits for the others only if it touches bytes that a launch since the last
 * barrier wrote, or writes bytes that one read, and if not both run on worker 0 alone.
 *
 * Works on ranges of bytes after offsets are known, so that reuse of the arena by unrelated values
 * counts too, and values side by side in one storage do not. */
#include <stdlib.h>

#include "compiler/plan.h"

/* Bytes touched since the last barrier. Leaves and buffers are spaces of their own. */
typedef struct range {
    uint32_t space; /* 0: arena; else a storage */
    int64_t lo, hi;
    bool write, single;
} range;

enum { MOST = 192 }; /* ranges remembered; a barrier too many is cheaper than a long search */

typedef struct epoch {
    range r[MOST];
    int n;
} epoch;

static range range_of(const wf_plan *p, uint32_t storage, const wf_array *a, int64_t offset) {
    const wf_storage *s = &p->storage[storage];
    const bool arena = s->where == WF_WHERE_ARENA;
    int64_t lo = offset + (arena ? (int64_t)s->offset : 0);
    int64_t hi = lo;
    if (!a) return (range){.space = 0, .lo = lo, .hi = lo + (int64_t)s->bytes, .write = true};
    const int64_t size = (int64_t)wf_dtype_bytes(a->dtype);
    for (int i = 0; i < a->shape.rank; i++) {
        const int64_t reach = (a->shape.dim[i] - 1) * a->stride[i] * size;
        if (reach < 0) lo += reach;
        else hi += reach;
    }
    return (range){.space = arena ? 0 : storage, .lo = lo, .hi = hi + size};
}

static bool conflicts(const epoch *e, const range *r) {
    for (int i = 0; i < e->n; i++) {
        const range *x = &e->r[i];
        if (x->space == r->space && x->lo < r->hi && r->lo < x->hi && (x->write || r->write) &&
            !(x->single && r->single))
            return true;
    }
    return false;
}

static uint32_t n_ranges(const wf_launch *l) {
    return l->rows * ((uint32_t)l->call.n_in + l->n_out) + (l->shared != 0);
}

/* The ranges of launch l: operands and results of each row, shared area. */
static range range_at(const wf_plan *p, const wf_launch *l, uint32_t i) {
    const uint32_t n = (uint32_t)l->call.n_in + l->n_out, row = i / n, k = i % n;
    range r;
    if (row < l->rows) {
        const uint32_t at = (l->group ? p->sweep[l->group - 1 + row].array : l->array) + k;
        r = range_of(p, p->operand[at].storage, &p->array[at], p->operand[at].offset);
        r.write = k >= (uint32_t)l->call.n_in;
    } else {
        r = range_of(p, l->shared, NULL, 0);
    }
    r.single = l->single;
    return r;
}

wf_status wf_plan_barriers(wf_plan *p) {
    epoch *e = malloc(sizeof *e);
    if (!e) return wf_fail(WF_MEMORY, "out of memory in the compiler");
    e->n = 0;
    p->n_barriers = 0;
    for (uint32_t id = 0; id < p->n_launch; id++) {
        wf_launch *l = &p->launch[id];
        const uint32_t n = n_ranges(l);
        l->barrier = e->n + (int)n > MOST && e->n > 0;
        for (uint32_t i = 0; i < n && !l->barrier; i++) {
            const range r = range_at(p, l, i);
            l->barrier = conflicts(e, &r);
        }
        if (l->barrier) {
            p->n_barriers++;
            e->n = 0;
        }
        if (n > MOST) { /* not remembered: the next launch waits in any case */
            e->n = MOST;
            continue;
        }
        for (uint32_t i = 0; i < n; i++) e->r[e->n++] = range_at(p, l, i);
    }
    free(e);
    return WF_OK;
}
