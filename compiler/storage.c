/* Lifetimes to offsets: the largest storage first, each in the smallest gap that the storages
 * placed before it leave during its life. (Greedy by size: Pisarchyk and Lee, arXiv:2001.03288.) */
#include <stdlib.h>

#include "compiler/plan.h"
#include "tensor/size.h"

typedef struct span {
    size_t lo, hi;        /* bytes in the arena */
    uint32_t first, last; /* launches */
} span;

static bool is_used(const wf_storage *s) {
    return s->where == WF_WHERE_ARENA && s->first <= s->last && s->bytes;
}

static size_t padded(size_t bytes) { return (bytes + WF_ALIGN - 1) / WF_ALIGN * WF_ALIGN; }

/* The largest first; of equals the one that is born first. */
static int by_size(const void *a, const void *b) {
    const wf_storage *x = *(wf_storage *const *)a, *y = *(wf_storage *const *)b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return x->first != y->first ? (x->first < y->first ? -1 : 1) : (x < y ? -1 : x > y);
}

/* Offset of the smallest gap of at least `bytes` among the spans, sorted by lo, that live during
 * [first, last]; behind them all if there is none. */
static size_t best_gap(const span *placed, uint32_t n, size_t bytes, uint32_t first,
                       uint32_t last) {
    size_t best = SIZE_MAX, best_size = SIZE_MAX, end = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (placed[i].last < first || placed[i].first > last) continue;
        if (placed[i].lo > end) {
            const size_t gap = placed[i].lo - end;
            if (gap >= bytes && gap < best_size) {
                best = end;
                best_size = gap;
            }
        }
        if (placed[i].hi > end) end = placed[i].hi;
    }
    return best == SIZE_MAX ? end : best;
}

static void insert(span *placed, uint32_t n, span s) {
    uint32_t at = n;
    for (; at > 0 && placed[at - 1].lo > s.lo; at--) placed[at] = placed[at - 1];
    placed[at] = s;
}

static wf_status assign_offsets(wf_plan *p, wf_storage **order, uint32_t n, bool reuse) {
    span *placed = calloc(n ? n : 1, sizeof *placed);
    if (!placed) return wf_fail(WF_MEMORY, "out of memory in the compiler");
    for (uint32_t i = 0; i < n; i++) {
        wf_storage *s = order[i];
        const size_t bytes = padded(s->bytes);
        s->offset = reuse ? best_gap(placed, i, bytes, s->first, s->last) : p->arena_bytes;
        size_t end;
        if (!wf_add_size(s->offset, bytes, &end) || end > PTRDIFF_MAX) {
            free(placed);
            return wf_fail(WF_MEMORY, "the program's values have more bytes than can be addressed");
        }
        if (end > p->arena_bytes) p->arena_bytes = end;
        if (reuse) insert(placed, i, (span){s->offset, end, s->first, s->last});
    }
    free(placed);
    return WF_OK;
}

void wf_plan_alive(const wf_plan *p, size_t *alive) {
    for (uint32_t i = 0; i < p->n_launch; i++) alive[i] = 0;
    for (uint32_t i = 1; i < p->n_storage; i++) {
        const wf_storage *s = &p->storage[i];
        if (!is_used(s)) continue;
        alive[s->first] += padded(s->bytes); /* differences; wrapping around is fine */
        if (s->last + 1 < p->n_launch) alive[s->last + 1] -= padded(s->bytes);
    }
    for (uint32_t i = 1; i < p->n_launch; i++) alive[i] += alive[i - 1];
}

/* Bytes alive at the worst launch: no assignment of offsets can do with less. */
static wf_status find_live(wf_plan *p) {
    size_t *alive = calloc((size_t)p->n_launch + 1, sizeof *alive);
    if (!alive) return wf_fail(WF_MEMORY, "out of memory in the compiler");
    wf_plan_alive(p, alive);
    for (uint32_t i = 0; i < p->n_launch; i++)
        if (alive[i] > p->live_bytes) p->live_bytes = alive[i];
    free(alive);
    return WF_OK;
}

wf_status wf_plan_offsets(wf_plan *p, bool reuse) {
    wf_storage **order = calloc(p->n_storage ? p->n_storage : 1, sizeof *order);
    if (!order) return wf_fail(WF_MEMORY, "out of memory in the compiler");
    uint32_t n = 0;
    for (uint32_t i = 1; i < p->n_storage; i++) {
        wf_storage *s = &p->storage[i];
        if (is_used(s)) {
            order[n++] = s;
        } else if (s->where == WF_WHERE_INPUT || s->where == WF_WHERE_OUTPUT) {
            s->offset = p->buffer_bytes;
            if (!wf_add_size(p->buffer_bytes, padded(s->bytes), &p->buffer_bytes)) {
                free(order);
                return wf_fail(WF_MEMORY, "inputs and outputs are too large");
            }
        }
    }
    qsort(order, n, sizeof *order, by_size);
    wf_status s = assign_offsets(p, order, n, reuse);
    free(order);
    return s ? s : find_live(p);
}

wf_status wf_plan_verify(const wf_plan *p) {
    for (uint32_t i = 1; i < p->n_storage; i++) {
        const wf_storage *a = &p->storage[i];
        if (!is_used(a)) continue;
        if (a->offset % WF_ALIGN || a->offset + a->bytes > p->arena_bytes)
            return wf_fail(WF_INTERNAL, "plan: storage %u lies outside the arena", i);
        for (uint32_t j = 1; j < i; j++) {
            const wf_storage *b = &p->storage[j];
            if (!is_used(b) || a->last < b->first || b->last < a->first) continue;
            if (a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes)
                return wf_fail(WF_INTERNAL, "plan: storages %u and %u overlap", j, i);
        }
    }
    return WF_OK;
}
