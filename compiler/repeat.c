/* Repeating: a cheap value is computed again by a later group instead of being stored for it, if
 * what it is computed from is in memory then anyway. Else the first group would store %3 too:
 *
 *   %1 f32[64,64] = input "x"
 *   %2 f32[64] = input "m"
 *   %3 f32[64,64] = sub %1, %2
 *   %4 f32[64,64] = tanh %3
 *   %5 f32[64,64] = cumsum %4 {axis=0}
 *   %6 f32[64,64] = mul %5, %3
 *   %7 f32[64,64] = add %6, %1
 *   --fuse-->
 *   %1 f32[64,64] = input "x"
 *   %2 f32[64] = input "m"
 *   %3 f32[64,64] = sub %1, %2
 *   %4 f32[64,64] = tanh %3
 *   %5 f32[64,64] = cumsum %4 {axis=0}
 *   %6 f32[64,64] = sub %1, %2
 *   %7 f32[64,64] = mul %5, %6
 *   %8 f32[64,64] = add %7, %1
 *
 * So a batch norm keeps what it normalises and not the differences from the mean as well. What is
 * stored as bf16 is widened in every group that reads it. Legal, as elementwise work gives the same
 * bits wherever it is done; worth it, as bytes are counted. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/fuse.h"
#include "tensor/elementwise.h"

enum { SMALL = 16 }; /* an operand with 16 times fewer elements costs nothing to read */

typedef struct repeater {
    const wf_graph *g;
    wf_fusion f;
    bool *live, *fixed; /* (nodes) fixed: read as a view, or by what is no group; or a root */
    uint32_t *owner;    /* (nodes) through views */
    uint32_t *last;     /* (nodes) of an owner: when its memory is read last */
    uint32_t *head, *next, *reader; /* edges to elementwise readers */
    bool *again;        /* (nodes) is repeated in other groups */
    uint32_t *copy, *copy_in; /* (nodes) the last copy, and its group */
} repeater;

static const wf_node *node_of(const repeater *q, uint32_t id) { return wf_graph_node(q->g, id); }

static int64_t count_of(const repeater *q, uint32_t id) {
    return wf_shape_count(&node_of(q, id)->type.shape);
}

/* The group of a node; a node that could be in one is a group of its own. 0: launched alone. */
static uint32_t group_of(const repeater *q, uint32_t id) {
    if (q->f.group[id]) return q->f.group[id];
    return wf_fusible(q->g, id) ? wf_graph_size(q->g) + id : 0;
}

/* --- who reads what --------------------------------------------------------------------------- */

static void find_live(repeater *q, const wf_stage *s) {
    for (uint32_t i = 0; i < s->n_root; i++) q->live[s->root[i]] = q->fixed[s->root[i]] = true;
    for (uint32_t id = wf_graph_size(q->g); id-- > 1;)
        for (uint32_t i = 0; q->live[id] && i < node_of(q, id)->n_in; i++)
            q->live[wf_node_in(q->g, id)[i]] = true;
}

static bool find_readers(repeater *q) {
    size_t edges = 1;
    for (uint32_t id = 1; id < wf_graph_size(q->g); id++) edges += node_of(q, id)->n_in;
    q->next = calloc(edges, sizeof *q->next);
    q->reader = calloc(edges, sizeof *q->reader);
    if (!q->next || !q->reader) return false;
    uint32_t n = 0;
    for (uint32_t id = 1; id < wf_graph_size(q->g); id++) {
        const wf_node *x = node_of(q, id);
        if (!q->live[id]) continue;
        q->owner[id] = x->op->kind == WF_KIND_VIEW ? q->owner[wf_node_in(q->g, id)[0]] : id;
        for (uint32_t i = 0; i < x->n_in; i++) {
            const uint32_t in = wf_node_in(q->g, id)[i];
            uint32_t *last = &q->last[q->owner[in]];
            if (*last < q->f.when[id]) *last = q->f.when[id];
            if (wf_fuse_widens(q->g, in)) { /* which is read there, in the end */
                last = &q->last[q->owner[wf_node_in(q->g, in)[0]]];
                if (*last < q->f.when[id]) *last = q->f.when[id];
            }
            if (!group_of(q, id)) q->fixed[in] = true;
            q->reader[++n] = id;
            q->next[n] = q->head[in];
            q->head[in] = n;
        }
    }
    return true;
}

/* --- what is repeated ------------------------------------------------------------------------- */

bool wf_fuse_cheap(const wf_op *op) {
    for (const char *c = op->expr; c && *c; c++) {
        if (*c == '/') return false;
        if (!isupper((unsigned char)*c)) continue;
        const size_t n = strspn(c, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
        const bool plain = (n == 1 && *c == 'K') || (n == 3 && !strncmp(c, "ABS", n)) ||
                           (n == 3 && !strncmp(c, "FMA", n));
        if (!plain) return false;
        c += n - 1;
    }
    return op->expr != NULL;
}

bool wf_fuse_widens(const wf_graph *g, uint32_t id) {
    const wf_node *x = wf_graph_node(g, id);
    return x->op == &wf_op_cast && x->type.dtype == WF_F32 &&
           wf_graph_node(g, wf_node_in(g, id)[0])->type.dtype == WF_BF16;
}

static bool group_reads(const repeater *q, uint32_t group, uint32_t in) {
    for (uint32_t e = q->head[in]; e; e = q->next[e]) {
        const uint32_t r = q->reader[e];
        if (group_of(q, r) == group) return true;
        if (wf_fuse_widens(q->g, r) && group_reads(q, group, r)) return true;
    }
    return false;
}

/* What group `b`, launched at `when`, must read more to compute `id`; -1: it cannot. */
static int cost_in(const repeater *q, uint32_t id, uint32_t b, uint32_t when) {
    int cost = 0;
    for (uint32_t i = 0; i < node_of(q, id)->n_in; i++) {
        uint32_t in = wf_node_in(q->g, id)[i];
        if (wf_fuse_widens(q->g, in)) in = wf_node_in(q->g, in)[0];
        const uint32_t owner = q->owner[in];
        if (q->f.group[q->f.base[in]] == b) continue;
        const bool stored = !q->f.group[owner] || (q->f.stored[owner] && !q->again[owner]);
        if (!stored) return -1;
        if (count_of(q, in) * SMALL <= count_of(q, id)) continue;
        if (q->last[owner] < when) return -1;
        cost += !group_reads(q, b, in);
    }
    return cost;
}

static bool worth(const repeater *q, uint32_t id) {
    const uint32_t a = q->f.group[id];
    if (wf_fuse_widens(q->g, id)) return !q->fixed[id] && (!a || q->f.stored[id]);
    if (!a || !q->f.stored[id] || q->fixed[id] || !wf_fuse_cheap(node_of(q, id)->op)) return false;
    int gain = 1;
    for (uint32_t e = q->head[id]; e; e = q->next[e]) {
        const uint32_t r = q->reader[e], b = group_of(q, r);
        if (b == a) continue;
        bool first = true; /* of this group */
        for (uint32_t k = q->head[id]; k != e; k = q->next[k])
            first = first && group_of(q, q->reader[k]) != b;
        if (!first) continue;
        const int cost = cost_in(q, id, b, q->f.when[r]);
        if (cost < 0) return false;
        gain += 1 - cost;
    }
    return gain > 0;
}

/* --- emitting --------------------------------------------------------------------------------- */

/* The copy of `from` in the group that is being emitted. */
static wf_tensor copy_of(repeater *q, wf_rewrite *r, uint32_t from, uint32_t group) {
    const wf_node *x = node_of(q, from);
    wf_tensor in[3] = {{0}};
    if (q->copy_in[from] != group) {
        for (uint32_t k = 0; k < x->n_in; k++) {
            const uint32_t of = wf_node_in(q->g, from)[k];
            in[k] = wf_fuse_widens(q->g, of) ? copy_of(q, r, of, group)
                                             : wf_handle(r->to, r->map[of]);
        }
        q->copy[from] = wf_emit(r->to, x->op, x->attr, x->attr_bytes, in, (int)x->n_in).id;
        q->copy_in[from] = group;
    }
    return wf_handle(r->to, q->copy[from]);
}

static uint32_t rewrite(wf_rewrite *r, uint32_t id, const wf_tensor *in, void *user) {
    repeater *q = user;
    const uint32_t n = node_of(q, id)->n_in, group = group_of(q, id);
    wf_graph_set_consing(r->to, false); /* or a copy would be the value itself */
    wf_tensor *own = malloc((n + 1) * sizeof *own);
    if (!own) return wf_rewrite_same(r, id, in, NULL);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t from = wf_node_in(q->g, id)[i];
        const bool here = q->again[from] && group && q->f.group[from] != group;
        own[i] = here ? copy_of(q, r, from, group) : in[i];
    }
    const uint32_t to = wf_rewrite_same(r, id, own, NULL);
    free(own);
    return to;
}

static bool find(repeater *q, const wf_stage *s) {
    const size_t n = wf_graph_size(q->g);
    q->live = calloc(n, sizeof *q->live);
    q->fixed = calloc(n, sizeof *q->fixed);
    q->again = calloc(n, sizeof *q->again);
    q->owner = calloc(n, sizeof *q->owner);
    q->last = calloc(n, sizeof *q->last);
    q->head = calloc(n, sizeof *q->head);
    q->copy = calloc(n, sizeof *q->copy);
    q->copy_in = calloc(n, sizeof *q->copy_in);
    if (!q->live || !q->fixed || !q->again || !q->owner || !q->last || !q->head || !q->copy ||
        !q->copy_in)
        return false;
    find_live(q, s);
    if (!find_readers(q)) return false;
    for (uint32_t id = 1; id < n; id++) q->again[id] = q->live[id] && worth(q, id);
    return true;
}

wf_status wf_pass_repeat(const wf_stage *in, wf_stage *out) {
    repeater q = {.g = in->graph};
    *out = (wf_stage){0};
    wf_status s = wf_fuse(&q.f, in, true, true);
    if (!s && !find(&q, in)) s = wf_fail(WF_MEMORY, "out of memory in the compiler");
    if (!s) s = wf_rewrite_stage(in, out, rewrite, &q);
    void *const own[] = {q.live, q.fixed, q.owner, q.last,  q.head,
                         q.next, q.reader, q.again, q.copy, q.copy_in};
    for (size_t i = 0; i < WF_COUNT(own); i++) free(own[i]);
    wf_fusion_free(&q.f);
    return s;
}
