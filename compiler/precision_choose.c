/* bf16 mode: which values are stored as bf16. Three rules:
 *
 *   - What a contraction reads, as it rounds it anyway: layer outputs, gate gradients. Sums of it
 *     read it, too, unless others of the same pass need it in full.
 *   - What a later pass reads - the backward pass of the forward pass - if it lies between two
 *     contractions of its own pass: it depends on one, and one depends on it. So predictions and
 *     losses, which are behind the last contraction, and all that is computed from parameters and
 *     optimiser state alone, stay f32. So do statistics: what was reduced, and what is computed
 *     from that alone.
 *   - Where such values are placed side by side (concat, stack), the whole.
 *
 * Elementwise and other readers of the same pass take the value in full: a carry from step to step
 * stays f32. What is not elementwise is in memory in one form, though: in f32 if there are such
 * readers, unless a later pass needs it. Outputs and assigned values stay f32. */
#include <stdlib.h>
#include <string.h>

#include "compiler/fuse.h"
#include "compiler/precision.h"
#include "tensor/contract.h"
#include "tensor/elementwise.h"
#include "tensor/reduce.h"

enum { SMALL = 16 }; /* an operand with 16 times fewer elements costs nothing to read */

typedef struct chooser {
    wf_forms *f;
    const wf_graph *g;
    bool *fixed; /* (nodes) an output or assigned value */
    bool *wide;  /* (nodes) depends on a contraction by more than statistics */
    bool *feeds; /* (nodes) a contraction of the same pass depends on it */
    bool *multiplied, *crosses; /* (nodes) of an owner: a contraction, a later pass reads it */
} chooser;

static const wf_node *node_of(const wf_forms *f, uint32_t id) { return wf_graph_node(f->g, id); }
static int64_t count_of(const wf_forms *f, uint32_t id) {
    return wf_shape_count(&node_of(f, id)->type.shape);
}
static bool is_f32(const wf_forms *f, uint32_t id) {
    return node_of(f, id)->type.dtype == WF_F32;
}

static bool is_contraction(const wf_forms *f, uint32_t id) {
    return node_of(f, id)->op == &wf_op_contract && f->marked[id];
}

/* Readers that round what they read: contractions, and what packs for them. */
static bool multiplies(const wf_forms *f, uint32_t id) { return f->marked[id]; }

/* Reductions that read bf16: their results hardly tell. */
static bool folds_half(const wf_op *op) { return op == &wf_op_sum || op == &wf_op_moments; }

/* --- marks ------------------------------------------------------------------------------------ */

static bool is_packed(const wf_graph *g, uint32_t id) {
    return wf_graph_node(g, id)->op == &wf_op_pack;
}

/* A packed operand that is not marked keeps its contraction in f32, and a reader that is not marked
 * keeps the operand; true if that unmarked anything. */
static bool unmark(const wf_graph *g, bool *marked) {
    bool changed = false;
    for (uint32_t id = 1; id < wf_graph_size(g); id++) {
        const wf_node *x = wf_graph_node(g, id);
        const uint32_t *in = wf_node_in(g, id);
        const bool was = marked[id], contraction = x->op == &wf_op_contract;
        for (uint32_t i = 1; contraction && i < x->n_in; i += 2)
            marked[id] = marked[id] && (!is_packed(g, in[i]) || marked[in[i]]);
        for (uint32_t i = 0; i < x->n_in && !marked[id]; i++) {
            changed = changed || (is_packed(g, in[i]) && marked[in[i]]);
            if (is_packed(g, in[i])) marked[in[i]] = false;
        }
        changed = changed || marked[id] != was;
    }
    return changed;
}

bool *wf_precision_marks(const wf_stage *s) {
    const wf_graph *g = s->graph;
    bool *marked = calloc(wf_graph_size(g), sizeof *marked);
    for (uint32_t id = 1; marked && id < wf_graph_size(g); id++) {
        const wf_node *x = wf_graph_node(g, id);
        if (x->op != &wf_op_contract && x->op != &wf_op_pack) continue;
        const wf_contract_attr *c = x->attr;
        marked[id] = c->compute == WF_COMPUTE_F32 &&
                     wf_graph_node(g, wf_node_in(g, id)[0])->type.dtype == WF_F32;
    }
    for (uint32_t i = 0; marked && i < s->n_root; i++)
        if (is_packed(g, s->root[i])) marked[s->root[i]] = false;
    while (marked && unmark(g, marked)) continue;
    return marked;
}

/* --- facts ------------------------------------------------------------------------------------ */

/* Gradients stand in scopes that end in a prime, those of gradients in two. */
static uint8_t level_of(const wf_graph *g, uint32_t id) {
    const char *scope = wf_graph_scope_text(g, wf_graph_node(g, id)->scope);
    size_t n = strlen(scope), primes = 0;
    while (n > 0 && scope[n - 1] == '\'' && primes < UINT8_MAX) n--, primes++;
    return (uint8_t)primes;
}

static void find_live(chooser *q, const wf_stage *s) {
    wf_forms *f = q->f;
    for (uint32_t i = 0; i < s->n_root; i++) f->live[s->root[i]] = true;
    for (uint32_t id = wf_graph_size(q->g); id-- > 1;)
        for (uint32_t i = 0; f->live[id] && i < node_of(f, id)->n_in; i++)
            f->live[wf_node_in(q->g, id)[i]] = true;
    for (uint32_t id = 1; id < wf_graph_size(q->g); id++) {
        const wf_node *x = node_of(f, id);
        const bool view = x->op->kind == WF_KIND_VIEW && x->n_in == 1;
        f->owner[id] = view ? f->owner[wf_node_in(q->g, id)[0]] : id;
        f->level[id] = level_of(q->g, id);
    }
    for (uint32_t i = 0; i < s->n_root; i++) {
        const bool assign = node_of(f, s->root[i])->op->kind == WF_KIND_ASSIGN;
        q->fixed[f->owner[assign ? wf_node_in(q->g, s->root[i])[1] : s->root[i]]] = true;
    }
}

static void find_wide(chooser *q) {
    for (uint32_t id = 1; id < wf_graph_size(q->g); id++) {
        const wf_node *x = node_of(q->f, id);
        q->wide[id] = is_contraction(q->f, id);
        if (x->op->kind == WF_KIND_REDUCE || x->op->kind == WF_KIND_CONTRACT) continue;
        for (uint32_t i = 0; i < x->n_in; i++) q->wide[id] |= q->wide[wf_node_in(q->g, id)[i]];
    }
}

static void find_feeding(chooser *q) {
    const wf_forms *f = q->f;
    for (uint32_t id = wf_graph_size(q->g); id-- > 1;)
        for (uint32_t i = 0; f->live[id] && i < node_of(f, id)->n_in; i++) {
            const uint32_t in = wf_node_in(q->g, id)[i];
            if (f->level[id] == f->level[in])
                q->feeds[in] = q->feeds[in] || q->feeds[id] || is_contraction(f, id);
        }
}

/* Edges from readers to owners, through views. */
static void find_readers(chooser *q) {
    wf_forms *f = q->f;
    for (uint32_t id = 1; id < wf_graph_size(q->g); id++) {
        const wf_node *x = node_of(f, id);
        if (!f->live[id] || x->op->kind == WF_KIND_VIEW) continue;
        for (uint32_t i = 0; i < x->n_in; i++) {
            const uint32_t owner = f->owner[wf_node_in(q->g, id)[i]];
            const bool later = f->level[id] > f->level[owner];
            if (multiplies(f, id)) q->multiplied[owner] = true;
            else if (later) q->crosses[owner] = true;
        }
    }
}

/* True if the value is of those that the backward pass needs (the second rule). */
static bool is_kept(const chooser *q, uint32_t id) {
    return q->crosses[id] && q->wide[id] && q->feeds[id];
}

/* Readers of the same pass that are neither contractions nor sums, nor place the value where it is
 * stored as bf16. */
static void find_near(chooser *q) {
    wf_forms *f = q->f;
    for (uint32_t id = 1; id < wf_graph_size(q->g); id++) {
        const wf_node *x = node_of(f, id);
        const wf_kind kind = x->op->kind;
        if (!f->live[id] || kind == WF_KIND_VIEW || multiplies(f, id) || folds_half(x->op))
            continue;
        if (kind == WF_KIND_PLACE && (q->multiplied[id] || is_kept(q, id))) continue;
        for (uint32_t i = 0; i < x->n_in; i++) {
            const uint32_t owner = f->owner[wf_node_in(q->g, id)[i]];
            if (f->level[id] <= f->level[owner]) f->near[owner] = true;
        }
    }
}

/* --- decisions -------------------------------------------------------------------------------- */

/* A value with one operand of its size, which is stored as bf16, and no work to speak of: a batch
 * norm's differences from the mean. */
static bool is_made_again(const chooser *q, uint32_t id) {
    const wf_node *x = node_of(q->f, id);
    int halves = 0;
    if (x->op->kind != WF_KIND_ELEMENTWISE || x->n_in > 3 || !wf_fuse_cheap(x->op)) return false;
    for (uint32_t i = 0; i < x->n_in; i++) {
        const uint32_t in = wf_node_in(q->g, id)[i];
        if (count_of(q->f, in) * SMALL <= count_of(q->f, id)) continue;
        if (!q->f->half[q->f->owner[in]]) return false;
        halves++;
    }
    return halves == 1;
}

static void decide(chooser *q) {
    wf_forms *f = q->f;
    for (uint32_t id = 1; id < wf_graph_size(q->g); id++) {
        const wf_node *x = node_of(f, id);
        const wf_kind kind = x->op->kind;
        if (!f->live[id] || f->owner[id] != id || !is_f32(f, id) || q->fixed[id]) continue;
        if (kind == WF_KIND_LEAF || kind == WF_KIND_REDUCE || x->op == &wf_op_pack || !x->n_in ||
            count_of(f, id) < 2)
            continue;
        const bool kept = is_kept(q, id);
        if (kept && !q->multiplied[id] && is_made_again(q, id)) {
            f->again[id] = true;
            continue;
        }
        /* A pass over memory only to round what contractions can round as well is not worth it, and
         * what is made in memory has one form. */
        const bool stored = kind == WF_KIND_PLACE || is_contraction(f, id);
        const bool joins = stored ? !f->near[id] : wf_fusible(q->g, id);
        f->half[id] = kept || (q->multiplied[id] && joins);
        f->only[id] = f->half[id] && stored;
    }
}

uint8_t wf_precision_form(const wf_forms *f, uint32_t id, uint8_t mine, uint32_t in) {
    const wf_node *x = node_of(f, id);
    const uint32_t owner = f->owner[in];
    const bool later = f->level[id] > f->level[owner];
    if (!is_f32(f, in)) return WF_FORM_FULL;
    if (x->op->kind == WF_KIND_VIEW)
        return mine & WF_FORM_WIDE ? (mine & ~WF_FORM_WIDE) | WF_FORM_HALF : mine;
    if (x->op->kind == WF_KIND_PLACE && f->half[id]) return WF_FORM_HALF;
    if (mine == WF_FORM_AGAIN && f->half[owner]) return WF_FORM_WIDE;
    if (f->again[owner] && later) return WF_FORM_AGAIN;
    if (!f->half[owner]) return WF_FORM_FULL;
    if (multiplies(f, id)) return WF_FORM_HALF;
    if (folds_half(x->op) && (f->only[owner] || later || !f->near[owner])) return WF_FORM_HALF;
    return f->only[owner] || later ? WF_FORM_WIDE : WF_FORM_FULL;
}

/* Readers are asked before what they read. */
static void find_wanted(chooser *q, const wf_stage *s) {
    wf_forms *f = q->f;
    for (uint32_t i = 0; i < s->n_root; i++) f->want[s->root[i]] = WF_FORM_FULL;
    for (uint32_t id = wf_graph_size(q->g); id-- > 1;) {
        if (!f->live[id]) continue;
        const uint8_t mine = f->want[id];
        for (uint32_t i = 0; i < node_of(f, id)->n_in; i++) {
            const uint32_t in = wf_node_in(q->g, id)[i];
            f->want[in] |= wf_precision_form(f, id, mine, in);
            if (f->again[id]) f->want[in] |= wf_precision_form(f, id, WF_FORM_AGAIN, in);
        }
    }
}

/* --- the whole -------------------------------------------------------------------------------- */

wf_status wf_precision_choose(wf_forms *f, const wf_stage *s, const bool *marked) {
    const size_t n = wf_graph_size(s->graph);
    *f = (wf_forms){.g = s->graph,
                    .marked = marked,
                    .owner = calloc(n, sizeof *f->owner),
                    .level = calloc(n, sizeof *f->level),
                    .want = calloc(n, sizeof *f->want),
                    .live = calloc(n, sizeof *f->live),
                    .half = calloc(n, sizeof *f->half),
                    .only = calloc(n, sizeof *f->only),
                    .again = calloc(n, sizeof *f->again),
                    .near = calloc(n, sizeof *f->near)};
    chooser q = {.f = f, .g = s->graph,
                 .fixed = calloc(n, sizeof *q.fixed),
                 .wide = calloc(n, sizeof *q.wide),
                 .feeds = calloc(n, sizeof *q.feeds),
                 .multiplied = calloc(n, sizeof *q.multiplied),
                 .crosses = calloc(n, sizeof *q.crosses)};
    const bool ok = f->owner && f->level && f->want && f->live && f->half && f->only && f->again &&
                    f->near && q.fixed && q.wide && q.feeds && q.multiplied && q.crosses;
    if (ok) {
        find_live(&q, s);
        find_wide(&q);
        find_feeding(&q);
        find_readers(&q);
        find_near(&q);
        decide(&q);
        find_wanted(&q, s);
    }
    void *const own[] = {q.fixed, q.wide, q.feeds, q.multiplied, q.crosses};
    for (size_t i = 0; i < WF_COUNT(own); i++) free(own[i]);
    if (ok) return WF_OK;
    wf_forms_free(f);
    return wf_fail(WF_MEMORY, "out of memory in the compiler");
}

void wf_forms_free(wf_forms *f) {
    void *const own[] = {f->owner, f->level, f->want, f->live, f->half, f->only, f->again, f->near};
    for (size_t i = 0; i < WF_COUNT(own); i++) free(own[i]);
    memset(f, 0, sizeof *f);
}
