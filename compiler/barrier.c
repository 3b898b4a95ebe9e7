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

/* Operands and results of each row of launch l, and its shared area, behind the n that are there;
 * MOST + 1 if there is no room. */
static int add_ranges(const wf_plan *p, const wf_launch *l, bool single, range *to, int n) {
    const uint32_t n_in = (uint32_t)l->call.n_in, arrays = n_in + l->n_out;
    for (uint32_t row = 0; row < l->rows; row++) {
        const uint32_t at = l->group ? p->sweep[l->group - 1 + row].array : l->array;
        for (uint32_t k = l->merges ? n_in : 0; k < arrays; k++) {
            if (p->storage[p->operand[at + k].storage].where == WF_WHERE_TILE) continue;
            if (n >= MOST) return MOST + 1;
            to[n] = range_of(p, p->operand[at + k].storage, &p->array[at + k],
                             p->operand[at + k].offset);
            to[n].write = k >= n_in;
            to[n++].single = single;
        }
    }
    if (!l->shared) return n;
    if (n >= MOST) return MOST + 1;
    to[n] = range_of(p, l->shared, NULL, 0);
    to[n++].single = single;
    return n;
}

/* Those of a launch, or of all members of the chain that it begins. */
static int ranges_of(const wf_plan *p, uint32_t id, range *to) {
    const wf_launch *l = &p->launch[id];
    const uint32_t members = l->chain ? p->chain[l->chain - 1].n : 1;
    int n = 0;
    for (uint32_t m = 0; m < members && n <= MOST; m++)
        n = add_ranges(p, &p->launch[id + m], l->single, to, n);
    return n;
}

wf_status wf_plan_barriers(wf_plan *p) {
    epoch *e = malloc(2 * sizeof *e), *now = e + 1;
    if (!e) return wf_fail(WF_MEMORY, "out of memory in the compiler");
    e->n = 0;
    p->n_barriers = 0;
    for (uint32_t id = 0; id < p->n_launch; id++) {
        wf_launch *l = &p->launch[id];
        if (l->chain && p->chain[l->chain - 1].first != id) continue;
        now->n = ranges_of(p, id, now->r);
        l->barrier = e->n + now->n > MOST && e->n > 0;
        for (int i = 0; i < now->n && !l->barrier; i++) l->barrier = conflicts(e, &now->r[i]);
        if (l->barrier) {
            p->n_barriers++;
            e->n = 0;
        }
        for (int i = 0; i < now->n && now->n <= MOST; i++) e->r[e->n++] = now->r[i];
        if (now->n > MOST) e->n = MOST; /* not remembered: the next launch waits in any case */
    }
    free(e);
    return WF_OK;
}
