/* Choosing what to forget: the cut that frees most byte-times over the budget for its cost.
 *
 * A gap of a block is the time between two of its touches. Forgetting the block there frees its
 * bytes; its value is made again at the end T of the gap. What that needs is traced through the
 * operands: one that is alive at T is read; one that is not is kept alive if that is small or falls
 * where there is room, else made again as well. So a chain of steps is remade from the last values
 * that are still there, and the further that is the more it costs. */
#include <stdlib.h>
#include <string.h>

#include "compiler/recompute.h"
#include "tensor/contract.h"
#include "tensor/size.h"

/* A block that a trace needs at its time. */
typedef struct wf_demand {
    uint32_t block, node;
    uint32_t after;   /* the touch before */
    bool cut;         /* forget it after that touch */
    bool again;       /* and once more after the demand */
} wf_demand;

enum {
    SMALL = 8,         /* an operand of this part of the bytes is kept alive */
    NARROW = 12,      /* a gap is at least this part of the times over the budget */
    EARLY = 50,       /* of all times: so much before its own readers a value is made, at most */
    DEEP = 4096,       /* nodes of a trace, at most */
    FLOPS_A_BYTE = 16, /* multiply-adds that take the time of moving a byte */
};

static const wf_node *node_of(const wf_forget *q, uint32_t id) {
    return wf_graph_node(q->graph, id);
}

static bool grow(void **array, uint32_t *cap, uint32_t n, size_t each) {
    return wf_plan_room(array, cap, n, 1, each);
}

/* --- touches ---------------------------------------------------------------------------------- */

static bool room_for_touch(wf_block *b) {
    if (b->n < b->cap) return true;
    const uint32_t cap = b->cap ? 2 * b->cap : 4;
    uint32_t *touch = realloc(b->touch, cap * sizeof *touch);
    if (touch) b->touch = touch;
    bool *cut = touch ? realloc(b->cut, cap * sizeof *cut) : NULL;
    if (cut) b->cut = cut;
    bool *own = cut ? realloc(b->own, cap * sizeof *own) : NULL;
    if (own) b->own = own;
    if (own) b->cap = cap;
    return own != NULL;
}

/* Adds a touch; cut: the block is forgotten after it. */
static void touch(wf_forget *q, uint32_t block, uint32_t t, bool own, bool cut) {
    wf_block *b = &q->list[block];
    uint32_t at = b->n;
    while (at > 0 && b->touch[at - 1] >= t) at--;
    if (at < b->n && b->touch[at] == t) return;
    if (!room_for_touch(b)) {
        q->failed = true;
        return;
    }
    memmove(b->touch + at + 1, b->touch + at, (b->n - at) * sizeof *b->touch);
    memmove(b->cut + at + 1, b->cut + at, (b->n - at) * sizeof *b->cut);
    memmove(b->own + at + 1, b->own + at, (b->n - at) * sizeof *b->own);
    b->touch[at] = t;
    b->cut[at] = cut;
    b->own[at] = own;
    b->n++;
}

/* The last touch at or before t. */
static uint32_t touch_before(const wf_block *b, uint32_t t) {
    uint32_t i = b->n - 1;
    while (i > 0 && b->touch[i] > t) i--;
    return i;
}

void wf_forget_cut(wf_forget *q, uint32_t block, uint32_t t) {
    wf_block *b = &q->list[block];
    touch(q, block, t, false, true);
    if (!q->failed) b->cut[touch_before(b, t)] = true;
}

/* Times over the budget after a and before b. */
static double weight(const wf_forget *q, uint32_t a, uint32_t b) {
    return b > a + 1 ? (double)(q->over[b] - q->over[a + 1]) : 0;
}

/* Adds the block's bytes to (sign 1), or takes them from, the times at which it is alive. */
static void account(wf_forget *q, const wf_block *b, int sign) {
    for (uint32_t i = 0; i < b->n; i++) {
        const bool on = i + 1 < b->n && !b->cut[i], begins = i == 0 || b->cut[i - 1];
        if (begins && !on && !b->stored) continue; /* made and read in one group */
        const uint32_t end = on ? b->touch[i + 1] : b->touch[i] + 1;
        for (uint32_t t = b->touch[i]; t < end; t++)
            q->live[t] = sign > 0                ? q->live[t] + b->bytes
                         : q->live[t] > b->bytes ? q->live[t] - b->bytes
                                                 : 0;
    }
}

/* --- what it takes to make a block again ------------------------------------------------------ */

static double bytes_of(const wf_type *t) {
    size_t bytes = 0;
    wf_type_bytes(t->dtype, &t->shape, &bytes);
    return (double)bytes;
}

static double flops_of(const wf_contract_attr *a, const wf_shape *out) {
    double flops = 0;
    for (int k = 0; k < a->n_sources; k++) {
        double terms = (double)wf_shape_count(out);
        for (int j = 0; j < a->source[k].n_sum; j++) terms *= (double)a->source[k].sum[j];
        flops += 2 * terms;
    }
    return flops;
}

/* In bytes moved. */
static double cost_of(const wf_forget *q, uint32_t id) {
    const wf_node *x = node_of(q, id);
    double bytes = bytes_of(&x->type);
    if (x->op->kind == WF_KIND_VIEW) return 0;
    if (x->op->kind == WF_KIND_ELEMENTWISE || x->op->kind == WF_KIND_PLACE) return bytes;
    for (uint32_t i = 0; i < x->n_in; i++)
        bytes += bytes_of(&node_of(q, wf_node_in(q->graph, id)[i])->type);
    if (x->op != &wf_op_contract) return 4 * bytes;
    return 2 * bytes + flops_of(x->attr, &x->type.shape) / FLOPS_A_BYTE;
}

typedef struct price {
    double gain; /* byte-times over the budget */
    double cost;
    size_t more; /* bytes that are alive at its end in addition */
} price;

static void push(wf_forget *q, uint32_t id) {
    if (q->seen[id] == q->trace) return;
    q->seen[id] = q->trace;
    if (!grow((void **)&q->stack, &q->stack_cap, q->n_stack, sizeof *q->stack)) q->failed = true;
    else q->stack[q->n_stack++] = id;
}

/* Node `id` is wanted at time t for a block of `bytes` bytes: is it there, or what is done? */
static void want(wf_forget *q, uint32_t id, uint32_t t, size_t bytes, price *p) {
    const uint32_t block = q->block[id];
    if (!block) return;
    wf_block *b = &q->list[block];
    const bool known = b->seen == q->trace;
    if (known && b->remade) push(q, id);
    if (!grow((void **)&q->demand, &q->demand_cap, q->n_demand, sizeof *q->demand)) {
        q->failed = true;
        return;
    }
    wf_demand *d = &q->demand[q->n_demand++];
    *d = (wf_demand){.block = block, .node = id};
    if (known) return;
    b->seen = q->trace;
    b->remade = false;
    const uint32_t i = d->after = touch_before(b, t);
    const bool last = i + 1 == b->n;
    if (b->touch[i] == t || (!last && !b->cut[i])) return;
    if (last) {
        const double room = (double)b->bytes * weight(q, b->touch[i], t);
        if (room == 0 || b->bytes * SMALL <= bytes) {
            p->gain -= room;
            return;
        }
        d->cut = true;
    } else { /* made again sooner than so far, or once more, with all that it needs */
        d->again = b->touch[i + 1] - t > q->n_time / EARLY;
        if (!d->again) p->gain -= (double)b->bytes * weight(q, t, b->touch[i + 1]);
    }
    if (b->stored) p->more += b->bytes;
    b->remade = true;
    push(q, id);
}

/* What it takes to forget a block after its i-th touch until the next; q->demand has the rest. */
static price trace(wf_forget *q, uint32_t block, uint32_t i) {
    wf_block *b = &q->list[block];
    const uint32_t t = b->touch[i + 1];
    price p = {.gain = (double)b->bytes * weight(q, b->touch[i], t)};
    q->trace++;
    q->n_demand = q->n_stack = 0;
    b->seen = q->trace;
    b->remade = true;
    for (uint32_t id = b->node; id; id = q->next[id])
        if (q->last_use[id] > b->touch[i]) push(q, id);
    uint32_t nodes = 0;
    while (q->n_stack > 0 && !q->failed) {
        const uint32_t id = q->stack[--q->n_stack];
        p.cost += cost_of(q, id);
        if (++nodes > DEEP || p.gain <= 0) return (price){.cost = 1};
        for (uint32_t k = 0; k < node_of(q, id)->n_in; k++)
            want(q, wf_node_in(q->graph, id)[k], t, b->bytes, &p);
    }
    if (p.more > b->bytes && q->live[t] + p.more > q->target) p.gain = 0;
    return p;
}

/* --- picking ---------------------------------------------------------------------------------- */

/* True if touch i is not much before the next touch of the plan. A value that others want long
 * before its own readers do stays: else chains of steps are made at once, and all kept. */
static bool in_time(const wf_forget *q, const wf_block *b, uint32_t i) {
    uint32_t own = i;
    while (own < b->n && !b->own[own]) own++;
    return own == b->n || b->touch[own] - b->touch[i] <= q->n_time / EARLY;
}

/* The gap of the block with the most times over the budget; UINT32_MAX if none has many. */
static uint32_t widest_gap(const wf_forget *q, const wf_block *b) {
    uint32_t best = UINT32_MAX;
    double most = (double)q->over[q->n_time + 1] / NARROW;
    for (uint32_t i = 0; i + 1 < b->n; i++) {
        const double w = weight(q, b->touch[i], b->touch[i + 1]);
        if (b->cut[i] || b->touch[i] < b->written || w <= most || !in_time(q, b, i + 1)) continue;
        best = i;
        most = w;
    }
    return best;
}

static bool count_over(wf_forget *q, size_t target) {
    q->over[0] = 0;
    for (uint32_t t = 0; t <= q->n_time; t++) q->over[t + 1] = q->over[t] + (q->live[t] > target);
    return q->over[q->n_time + 1] > 0;
}

static double score(wf_forget *q, uint32_t block) {
    const uint32_t gap = widest_gap(q, &q->list[block]);
    if (gap == UINT32_MAX) return 0;
    const price p = trace(q, block, gap);
    return p.gain / (p.cost + 1);
}

/* Cuts the block at its widest gap, and does what the trace found. */
static void commit(wf_forget *q, uint32_t block) {
    wf_block *b = &q->list[block];
    const uint32_t gap = widest_gap(q, b), t = b->touch[gap + 1];
    trace(q, block, gap);
    account(q, b, -1);
    b->cut[gap] = true;
    account(q, b, 1);
    for (uint32_t i = 0; i < q->n_demand && !q->failed; i++) {
        const wf_demand *d = &q->demand[i];
        wf_block *w = &q->list[d->block];
        account(q, w, -1);
        if (d->cut) w->cut[d->after] = true;
        touch(q, d->block, t, false, d->again);
        account(q, w, 1);
        if (q->last_use[d->node] < t) q->last_use[d->node] = t;
    }
}

/* Scores are kept from pick to pick; the best is taken only if it is still as good as the next. */
uint32_t wf_forget_choose(wf_forget *q, size_t target) {
    double *kept = calloc(q->n_block, sizeof *kept);
    uint32_t picks = 0, since = 0;
    q->target = target;
    if (!kept) q->failed = true;
    bool over = count_over(q, target), fresh = false;
    while (over && !q->failed) {
        if (!fresh || since >= 64)
            for (uint32_t i = 1; i < q->n_block; i++) kept[i] = score(q, i);
        if (!fresh || since >= 64) since = 0;
        fresh = true;
        uint32_t best = 0, second = 0;
        for (uint32_t i = 1; i < q->n_block; i++) {
            if (kept[i] > kept[best]) {
                second = best;
                best = i;
            } else if (kept[i] > kept[second]) {
                second = i;
            }
        }
        if (!best) break;
        kept[best] = score(q, best);
        if (kept[best] <= 0 || kept[best] < kept[second]) continue;
        commit(q, best);
        kept[best] = score(q, best);
        picks++;
        since++;
        over = count_over(q, target);
    }
    free(kept);
    return picks;
}

uint32_t wf_forget_copy(const wf_forget *q, uint32_t id, uint32_t t) {
    const wf_block *b = &q->list[q->block[id]];
    uint32_t copy = 0;
    for (uint32_t i = 0; q->block[id] && i < b->n && b->touch[i] < t; i++) copy += b->cut[i];
    return copy;
}

/* --- the model of a plan ---------------------------------------------------------------------- */

static void find_last_use(wf_forget *q) {
    for (uint32_t id = wf_graph_size(q->graph); id-- > 1;) {
        if (!q->time[id]) continue;
        const wf_node *x = node_of(q, id);
        if (q->last_use[id] < q->time[id]) q->last_use[id] = q->time[id];
        for (uint32_t i = 0; i < x->n_in; i++) {
            const uint32_t in = wf_node_in(q->graph, id)[i];
            const bool same = x->op->kind == WF_KIND_VIEW && q->block[in] == q->block[id];
            const uint32_t t = same ? q->last_use[id] : q->time[id];
            if (q->last_use[in] < t) q->last_use[in] = t;
        }
    }
}

typedef struct moment {
    uint32_t when, id;
} moment;

static int by_when(const void *a, const void *b) {
    const moment *x = a, *y = b;
    if (x->when != y->when) return x->when < y->when ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* Live nodes by launch; assignments are performed at the end. */
static bool find_order(wf_forget *q, const wf_stage *s, const wf_plan *p) {
    const uint32_t n = wf_graph_size(q->graph);
    moment *all = calloc(n, sizeof *all);
    if (!all) return false;
    for (uint32_t i = 0; i < s->n_root; i++) q->time[s->root[i]] = 1;
    for (uint32_t id = n; id-- > 1;) {
        if (!q->time[id]) continue;
        for (uint32_t i = 0; i < node_of(q, id)->n_in; i++)
            q->time[wf_node_in(q->graph, id)[i]] = 1;
        const bool assign = node_of(q, id)->op->kind == WF_KIND_ASSIGN;
        all[q->n_order++] = (moment){assign ? UINT32_MAX : p->fusion.when[id], id};
    }
    qsort(all, q->n_order, sizeof *all, by_when);
    for (uint32_t i = 0; i < q->n_order; i++) {
        q->n_time += i == 0 || all[i].when != all[i - 1].when;
        q->order[i] = all[i].id;
        q->time[all[i].id] = q->n_time;
    }
    free(all);
    return true;
}

/* True if the result is much smaller than what it is made of: the sooner it is made, the better. */
static bool shrinks(const wf_forget *q, uint32_t id) {
    const wf_node *x = node_of(q, id);
    if (x->op->kind != WF_KIND_CONTRACT && x->op->kind != WF_KIND_REDUCE) return false;
    double in = 0;
    for (uint32_t i = 0; i < x->n_in; i++)
        in += bytes_of(&node_of(q, wf_node_in(q->graph, id)[i])->type);
    return SMALL * bytes_of(&x->type) <= in;
}

wf_status wf_forget_hurry(wf_forget *q) {
    const uint32_t n = wf_graph_size(q->graph);
    uint32_t *at = calloc(n, sizeof *at);
    moment *all = calloc((size_t)q->n_order + 1, sizeof *all);
    for (uint32_t i = 0; at && all && i < q->n_order; i++) {
        const uint32_t id = q->order[i];
        const bool hurry = shrinks(q, id) || node_of(q, id)->op->kind == WF_KIND_VIEW;
        at[id] = hurry ? 0 : q->time[id];
        for (uint32_t k = 0; k < node_of(q, id)->n_in; k++) {
            const uint32_t in = wf_node_in(q->graph, id)[k];
            if (at[id] < at[in]) at[id] = at[in];
        }
        all[i] = (moment){at[id], i};
    }
    if (at && all) qsort(all, q->n_order, sizeof *all, by_when);
    for (uint32_t i = 0; at && all && i < q->n_order; i++) all[i].when = q->order[all[i].id];
    for (uint32_t i = 0; at && all && i < q->n_order; i++) q->order[i] = all[i].when;
    const bool ok = at && all;
    free(at);
    free(all);
    return ok ? WF_OK : wf_fail(WF_MEMORY, "out of memory in the compiler");
}

/* block: (storages) the block of each. */
static void find_touches(wf_forget *q, const wf_plan *p, const uint32_t *block) {
    uint32_t now = 1;
    for (uint32_t i = 0; i < p->n_launch; i++) {
        const wf_launch *l = &p->launch[i];
        if (q->time[l->node] > now) now = q->time[l->node];
        for (uint32_t row = 0; row < l->rows; row++) {
            const uint32_t at = l->group ? p->sweep[l->group - 1 + row].array : l->array;
            for (uint32_t k = 0; k < (uint32_t)l->call.n_in + l->n_out; k++) {
                const uint32_t b = block[p->operand[at + k].storage];
                if (!b) continue;
                touch(q, b, now, true, false);
                if (k >= (uint32_t)l->call.n_in && q->list[b].written < now)
                    q->list[b].written = now;
            }
        }
    }
}

static void find_blocks(wf_forget *q, const wf_plan *p, uint32_t *block) {
    q->n_block = 1;
    for (uint32_t i = 0; i < q->n_order; i++) {
        const uint32_t id = q->order[i], s = p->value_storage[id];
        const wf_node *x = node_of(q, id);
        const wf_storage *at = s ? &p->storage[s] : NULL;
        if (x->op->kind == WF_KIND_LEAF || x->op->kind == WF_KIND_ASSIGN) continue;
        if (at && at->where != WF_WHERE_ARENA) continue;
        if (!s || !block[s]) {
            wf_block *b = &q->list[q->n_block];
            b->stored = s != 0;
            b->bytes = at ? at->bytes : (size_t)bytes_of(&x->type);
            if (s) block[s] = q->n_block;
            q->n_block++;
        }
        q->block[id] = s ? block[s] : q->n_block - 1;
        q->next[id] = q->list[q->block[id]].node;
        q->list[q->block[id]].node = id;
    }
    find_touches(q, p, block);
    for (uint32_t i = 1; i < q->n_block; i++) {
        wf_block *b = &q->list[i];
        if (b->n > 0) continue;
        b->written = q->time[b->node];
        touch(q, i, b->written, true, false);
    }
}

wf_status wf_forget_open(wf_forget *q, const wf_stage *s, const wf_plan *p) {
    const size_t n = wf_graph_size(s->graph);
    uint32_t *block = calloc((size_t)p->n_storage + 1, sizeof *block);
    *q = (wf_forget){.graph = s->graph,
                     .time = calloc(n, sizeof *q->time),
                     .order = calloc(n, sizeof *q->order),
                     .block = calloc(n, sizeof *q->block),
                     .next = calloc(n, sizeof *q->next),
                     .last_use = calloc(n, sizeof *q->last_use),
                     .seen = calloc(n, sizeof *q->seen),
                     .list = calloc(n + 1, sizeof *q->list)};
    bool ok = block && q->time && q->order && q->block && q->next && q->last_use && q->seen &&
              q->list && find_order(q, s, p);
    if (ok) {
        find_blocks(q, p, block);
        find_last_use(q);
        q->live = calloc((size_t)q->n_time + 1, sizeof *q->live);
        q->over = calloc((size_t)q->n_time + 2, sizeof *q->over);
        ok = q->live && q->over && !q->failed;
    }
    free(block);
    if (ok) return wf_forget_measure(q, p, q->time);
    wf_forget_close(q);
    return wf_fail(WF_MEMORY, "out of memory in the compiler");
}

void wf_forget_close(wf_forget *q) {
    for (uint32_t i = 1; i < q->n_block; i++) {
        free(q->list[i].touch);
        free(q->list[i].cut);
        free(q->list[i].own);
    }
    void *const own[] = {q->time, q->order, q->block, q->next,   q->last_use, q->seen,
                         q->list, q->live,  q->over,  q->demand, q->stack};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) free(own[i]);
    memset(q, 0, sizeof *q);
}

wf_status wf_forget_measure(wf_forget *q, const wf_plan *p, const uint32_t *time) {
    size_t *alive = calloc((size_t)p->n_launch + 1, sizeof *alive);
    if (!alive) return wf_fail(WF_MEMORY, "out of memory in the compiler");
    wf_plan_alive(p, alive);
    memset(q->live, 0, ((size_t)q->n_time + 1) * sizeof *q->live);
    uint32_t now = 0;
    for (uint32_t i = 0; i < p->n_launch; i++) {
        const uint32_t t = time[p->launch[i].node] > now ? time[p->launch[i].node] : now;
        while (i > 0 && now + 1 < t) q->live[++now] = alive[i - 1]; /* nothing is launched then */
        now = t;
        if (alive[i] > q->live[now]) q->live[now] = alive[i];
    }
    free(alive);
    return WF_OK;
}
