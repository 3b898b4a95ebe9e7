/* recompute: values that are read early and late are computed again for their late readers, so that
 * the arena keeps to a budget. The graph is written in the order of launches, a copy just before
 * the first that reads it. With room for 2 KiB, %2 is not kept while %4 and %5 are made:
 *
 *   %1 f32[256] = input "x"                       %1 f32[256] = input "x"
 *   %2 f32[256] = tanh %1                         %2 f32[256] = tanh %1
 *   %3 f32[256] = cumsum %2                       %3 f32[256] = cumsum %2
 *   %4 f32[256] = cumsum %3                 -->   %4 f32[256] = cumsum %3
 *   %5 f32[256] = cumsum %4                       %5 f32[256] = cumsum %4
 *   %6 f32[256] = mul %5, %2                      %6 f32[256] = tanh %1
 *                                                 %7 f32[256] = mul %5, %6
 *
 * Rounds of choosing (recompute_choose.c), writing and planning: the plan tells what the choice
 * came to, and the next round goes on from there. First straight for the budget; if that fails, in
 * small steps down, which do not depend on the budget, so that the least that is reported can be
 * had. Before all that, sums of many values move up to where they can be made: that is free. */
#include "compiler/recompute.h"

#include <stdlib.h>
#include <string.h>

enum {
    ROUNDS = 24,     /* straight for the budget */
    STEPS = 64,      /* in small steps */
    PATIENCE = 4,    /* of them without success */
    GROWTH = 6,      /* the graph becomes at most this many times as large */
};

/* The graph with copies, while it is written. */
typedef struct writer {
    const wf_forget *f;
    const wf_graph *from;
    wf_graph *to;
    uint32_t *map;   /* (nodes) the copy written last, in `to` */
    uint32_t *copy;  /* (nodes) 1 + its number */
    uint32_t *first; /* (nodes) the copy written first */
    uint32_t *stack; /* nodes that wait for operands */
    uint32_t n_stack, stack_cap;
    wf_tensor *in;   /* operands of the widest node */
    uint32_t *time;  /* (time_cap) of the nodes of `to` */
    uint32_t time_cap;
} writer;

/* --- writing ---------------------------------------------------------------------------------- */

static uint32_t emit(writer *w, uint32_t id) {
    const wf_node *x = wf_graph_node(w->from, id);
    const uint32_t *from = wf_node_in(w->from, id);
    for (uint32_t i = 0; i < x->n_in; i++) w->in[i] = wf_handle(w->to, w->map[from[i]]);
    wf_graph_set_scope(w->to, x->scope);
    if (x->op == &wf_op_leaf) return wf_copy_leaf(w->to, w->from, id).id;
    if (x->op == &wf_op_assign) return wf_assign(w->in[0], w->in[1]).id;
    return wf_emit(w->to, x->op, x->attr, x->attr_bytes, w->in, (int)x->n_in).id;
}

static bool is_written(const writer *w, uint32_t id, uint32_t t) {
    return w->copy[id] == 1 + wf_forget_copy(w->f, id, t);
}

static wf_status write_one(writer *w, uint32_t id, uint32_t t) {
    const uint32_t to = emit(w, id);
    if (!to) return wf_graph_status(w->to);
    const char *name = wf_graph_node(w->from, id)->name;
    if (name && !wf_graph_node(w->to, to)->name) wf_name(wf_handle(w->to, to), name);
    while (w->time_cap <= to)
        if (!wf_plan_room((void **)&w->time, &w->time_cap, w->time_cap, 1, sizeof *w->time))
            return wf_fail(WF_MEMORY, "out of memory in the compiler");
    w->time[to] = t;
    w->map[id] = to;
    w->copy[id] = 1 + wf_forget_copy(w->f, id, t);
    if (!w->first[id]) w->first[id] = to;
    return WF_OK;
}

/* Writes node `id` and all that it reads as a reader at time t sees them. */
static wf_status write_node(writer *w, uint32_t id, uint32_t t) {
    w->n_stack = 0;
    wf_status s = WF_OK;
    for (uint32_t now = id; now && s == WF_OK;) {
        const uint32_t *in = wf_node_in(w->from, now), n = wf_graph_node(w->from, now)->n_in;
        uint32_t i = 0;
        while (i < n && is_written(w, in[i], t)) i++;
        if (i < n) {
            if (!wf_plan_room((void **)&w->stack, &w->stack_cap, w->n_stack, 1, sizeof *w->stack))
                return wf_fail(WF_MEMORY, "out of memory in the compiler");
            w->stack[w->n_stack++] = now;
            now = in[i];
            continue;
        }
        if (!is_written(w, now, t)) s = write_one(w, now, t);
        now = w->n_stack > 0 ? w->stack[--w->n_stack] : 0;
    }
    return s;
}

static wf_status write_all(writer *w, const wf_stage *in, wf_stage *out) {
    const wf_forget *f = w->f;
    const size_t most = GROWTH * (size_t)f->n_order + 64;
    wf_status s = WF_OK;
    wf_graph_set_consing(w->to, false);
    for (uint32_t i = 0; i < f->n_order && s == WF_OK; i++) {
        const uint32_t id = f->order[i];
        if (!is_written(w, id, f->time[id])) s = write_node(w, id, f->time[id]);
        if (!s && wf_graph_size(w->to) > most)
            s = wf_fail(WF_MEMORY, "too much would be computed again");
    }
    for (uint32_t i = 0; i < in->n_root && s == WF_OK; i++) out->root[i] = w->first[in->root[i]];
    return s;
}

static uint32_t widest(const wf_graph *g) {
    uint32_t most = 1;
    for (uint32_t id = 1; id < wf_graph_size(g); id++)
        if (wf_graph_node(g, id)->n_in > most) most = wf_graph_node(g, id)->n_in;
    return most;
}

/* The graph that the cuts stand for; *time: when each of its nodes is written, the caller frees. */
static wf_status write_graph(const wf_forget *f, const wf_stage *in, wf_stage *out,
                             uint32_t **time) {
    const size_t n = wf_graph_size(in->graph);
    *out = (wf_stage){wf_graph_like(in->graph), calloc(in->n_root + 1, sizeof *out->root),
                      in->n_root};
    writer w = {.f = f, .from = in->graph, .to = out->graph,
                .map = calloc(n, sizeof *w.map),
                .copy = calloc(n, sizeof *w.copy),
                .first = calloc(n, sizeof *w.first),
                .in = calloc(widest(in->graph), sizeof *w.in)};
    wf_status s = w.map && w.copy && w.first && w.in && out->graph && out->root
                      ? write_all(&w, in, out)
                      : wf_fail(WF_MEMORY, "out of memory in the compiler");
    void *const own[] = {w.map, w.copy, w.first, w.stack, w.in};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) free(own[i]);
    *time = w.time;
    if (!s) return WF_OK;
    free(w.time);
    *time = NULL;
    wf_stage_free(out);
    return s;
}

/* --- rounds ----------------------------------------------------------------------------------- */

typedef struct search {
    const wf_stage *in;
    uint32_t n_output;
    unsigned off;
    size_t memory, least; /* least: the smallest arena that was seen */
    wf_stage stage;       /* of the last round */
    wf_plan plan;
} search;

static void drop(search *q) {
    wf_plan_free(&q->plan);
    wf_stage_free(&q->stage);
}

/* Writes and plans what the cuts stand for, and measures it. */
static wf_status round_of(search *q, wf_forget *f) {
    uint32_t *time = NULL;
    drop(q);
    wf_status s = write_graph(f, q->in, &q->stage, &time);
    if (!s) s = wf_plan_make(&q->plan, &q->stage, q->n_output, q->off | WF_PASS_CHAIN);
    if (!s) s = wf_forget_measure(f, &q->plan, time);
    free(time);
    if (!s && q->plan.arena_bytes < q->least) q->least = q->plan.arena_bytes;
    return s;
}

static size_t less(size_t a, size_t b) { return a > b ? a - b : 0; }

/* Rounds until the plan fits, straight or in steps; *fits tells. Failures other than memory that
 * is really out end the search only. */
static wf_status descend(search *q, const wf_plan *full, bool steps, bool *fits) {
    wf_forget f;
    wf_status s = wf_forget_open(&f, q->in, full);
    size_t arena = full->arena_bytes, slack = less(arena, full->live_bytes), best = arena;
    int stuck = 0;
    *fits = false;
    for (int i = 0; i < (steps ? STEPS : ROUNDS) && !s && !*fits && stuck < PATIENCE; i++) {
        const size_t aim = steps ? best - best / 12 : q->memory;
        if (!wf_forget_choose(&f, less(aim, slack)) && slack == 0) break;
        s = f.failed ? wf_fail(WF_MEMORY, "out of memory in the compiler") : round_of(q, &f);
        if (s) break;
        arena = q->plan.arena_bytes;
        slack = less(arena, q->plan.live_bytes);
        *fits = arena <= q->memory;
        stuck = arena < best ? 0 : stuck + 1;
        if (arena < best) best = arena;
    }
    wf_forget_close(&f);
    return s;
}

/* --- the whole -------------------------------------------------------------------------------- */

static double bytes_of(const wf_plan *p) {
    double bytes = 0;
    for (uint32_t i = 0; i < p->n_launch; i++) {
        const wf_launch *l = &p->launch[i];
        for (uint32_t row = 0; row < l->rows; row++) {
            const uint32_t at = l->group ? p->sweep[l->group - 1 + row].array : l->array;
            for (uint32_t k = 0; k < (uint32_t)l->call.n_in + l->n_out; k++)
                bytes += (double)wf_bytes_seen(&p->array[at + k]);
        }
    }
    return bytes;
}

/* The plan of the program: with chains, if they leave it within the budget. The search goes without
 * them, as they change the order of launches. */
static wf_status plan_again(wf_plan *p, const wf_stage *s, uint32_t n_output, unsigned off,
                            size_t memory) {
    wf_plan_free(p);
    wf_status status = wf_plan_make(p, s, n_output, off);
    if (status || p->arena_bytes <= memory || (off & WF_PASS_CHAIN)) return status;
    wf_plan_free(p);
    return wf_plan_make(p, s, n_output, off | WF_PASS_CHAIN);
}

/* *s becomes `written`, without what nobody reads any more, and *p its plan, if that is within
 * `memory`; *fits tells. */
static wf_status settle(wf_plan *p, wf_stage *s, const wf_stage *written, uint32_t n_output,
                        unsigned off, size_t memory, wf_recompute *cost, bool *fits) {
    wf_stage before, after;
    wf_plan plan = {0};
    *fits = false;
    wf_status status = wf_pass_copy(s, &before);
    if (status) return status;
    const uint32_t n = wf_graph_size(before.graph);
    wf_stage_free(&before);
    status = wf_pass_copy(written, &after);
    if (status) return status;
    status = plan_again(&plan, &after, n_output, off, memory);
    if (status || plan.arena_bytes > memory) {
        wf_plan_free(&plan);
        wf_stage_free(&after);
        return status;
    }
    cost->nodes += wf_graph_size(after.graph) - n;
    cost->flops += wf_plan_flops(&plan) - wf_plan_flops(p);
    cost->bytes += bytes_of(&plan) - bytes_of(p);
    wf_plan_free(p);
    wf_stage_free(s);
    *p = plan;
    *s = after;
    *fits = true;
    return WF_OK;
}

/* The graph with sums of many values made as soon as they can be, which costs nothing. Replaces *s
 * and its plan if that needs less. */
static wf_status hurry(wf_plan *p, wf_stage *s, uint32_t n_output, unsigned off) {
    wf_forget f;
    wf_stage stage = {0};
    wf_plan plan = {0};
    uint32_t *time = NULL;
    wf_status status = wf_forget_open(&f, s, p);
    if (status) return status;
    status = wf_forget_hurry(&f);
    if (!status) status = write_graph(&f, s, &stage, &time);
    if (!status) status = wf_plan_make(&plan, &stage, n_output, off);
    free(time);
    wf_forget_close(&f);
    if (!status && plan.arena_bytes < p->arena_bytes) {
        wf_plan_free(p);
        wf_stage_free(s);
        *p = plan;
        *s = stage;
    } else {
        wf_plan_free(&plan);
        wf_stage_free(&stage);
    }
    return status;
}

/* What regions ask for, if the arena becomes smaller by it. Sums of many values first move up to
 * where they can be made, or they would keep what is computed again. Chains bring that forward,
 * next to the first of them: they may cost a tenth of the arena, not what was saved. */
static wf_status forget_regions(wf_plan *p, wf_stage *s, uint32_t n_output, unsigned off,
                                wf_recompute *cost) {
    wf_forget f;
    wf_stage stage = {0}, base = {0};
    wf_plan plan = {0};
    uint32_t *time = NULL;
    bool smaller;
    if (p->arena_bytes == 0 || (off & WF_PASS_INPLACE) || !wf_has_regions(s->graph)) return WF_OK;
    wf_status status = wf_pass_copy(s, &base);
    if (!status) status = wf_plan_make(&plan, &base, n_output, off | WF_PASS_CHAIN);
    if (!status) status = hurry(&plan, &base, n_output, off | WF_PASS_CHAIN);
    if (!status) status = wf_forget_open(&f, &base, &plan);
    wf_plan_free(&plan);
    if (status) {
        wf_stage_free(&base);
        return status;
    }
    if (wf_forget_regions(&f)) status = write_graph(&f, &base, &stage, &time);
    else if (f.failed) status = wf_fail(WF_MEMORY, "out of memory in the compiler");
    wf_forget_close(&f);
    free(time);
    if (!status && stage.graph) {
        status = wf_plan_make(&plan, &stage, n_output, off | WF_PASS_CHAIN);
        const size_t most = plan.arena_bytes + plan.arena_bytes / 10, now = p->arena_bytes - 1;
        wf_plan_free(&plan);
        if (!status)
            status = settle(p, s, &stage, n_output, off, most < now ? most : now, cost, &smaller);
    }
    wf_stage_free(&stage);
    wf_stage_free(&base);
    return status;
}

wf_status wf_recompute_plan(wf_plan *p, wf_stage *s, uint32_t n_output, unsigned off,
                            size_t memory, wf_recompute *cost) {
    wf_status status = wf_plan_make(p, s, n_output, off);
    *cost = (wf_recompute){.memory = memory, .full_bytes = p->arena_bytes};
    if (!status) status = forget_regions(p, s, n_output, off, cost);
    if (status) wf_plan_free(p);
    if (status || !memory || p->arena_bytes <= memory) return status;
    wf_plan_free(p);
    status = wf_plan_make(p, s, n_output, off | WF_PASS_CHAIN);
    if (!status) status = hurry(p, s, n_output, off | WF_PASS_CHAIN);
    if (!status && p->arena_bytes <= memory) status = plan_again(p, s, n_output, off, memory);
    if (status || p->arena_bytes <= memory) {
        if (status) wf_plan_free(p);
        return status;
    }
    search q = {.in = s, .n_output = n_output, .off = off, .memory = memory};
    bool fits = false;
    for (int steps = 0; steps < 2 && !fits && !(off & WF_PASS_INPLACE); steps++) {
        q.least = p->arena_bytes; /* of the steps, which do not depend on the budget */
        status = descend(&q, p, steps, &fits);
        if (status && status != WF_MEMORY) break;
    }
    if (fits) {
        status = settle(p, s, &q.stage, n_output, off, memory, cost, &fits);
        if (!status && !fits)
            status = wf_fail(WF_INTERNAL, "the plan of a recomputing graph grew");
    } else if (!status || status == WF_MEMORY) {
        status = wf_fail(WF_MEMORY, "the program's values need at least %zu bytes (%zu without "
                         "recomputation) and %zu were allowed; allow more, or make the batch or "
                         "the model smaller", q.least ? q.least : p->arena_bytes, cost->full_bytes,
                         memory);
    }
    drop(&q);
    if (status) wf_plan_free(p);
    return status;
}
