/* Regions (wf_recompute_begin): what is computed there is forgotten when the last node outside the
 * gradients has read it, and computed again for the gradients. With regions no budget is needed:
 *
 *   %1 f32[256] = input "x"
 *   %2 f32[256] = tanh %1   # recompute0
 *   %3 f32[256] = cumsum %2 {axis=0}   # recompute0
 *   %4 f32[256] = cumsum %3 {axis=0}
 *   %5 f32[256] = mul %4, %2   # recompute0'
 *   -->
 *   %1 f32[256] = input "x"
 *   %2 f32[256] = tanh %1   # recompute0
 *   %3 f32[256] = cumsum %2 {axis=0}   # recompute0
 *   %4 f32[256] = cumsum %3 {axis=0}
 *   %5 f32[256] = tanh %1   # recompute0
 *   %6 f32[256] = mul %4, %5   # recompute0'
 *
 * Kept are values that something outside the region reads which is no gradient, as %3; assignments
 * and outputs are such readers. Forgotten are whole blocks: one with a value that is kept stays. */
#include <stdlib.h>
#include <string.h>

#include "compiler/recompute.h"

/* Where a node lies. */
typedef struct place {
    const char *path; /* of the region */
    size_t n;         /* its length; 0: in none */
    bool gradient;
} place;

static place place_of(const wf_forget *q, uint32_t id) {
    const char *path = wf_graph_scope_text(q->graph, wf_graph_node(q->graph, id)->scope);
    const size_t n = wf_scope_region(path);
    return (place){path, n, strchr(path + n, '\'') != NULL};
}

/* What is known of a block: the region of its values, and when it is used there last. */
typedef struct use {
    place region;
    bool kept;
    uint32_t last;     /* by what is no gradient */
    uint32_t gradient; /* the last time that a gradient uses it */
} use;

/* A node of the block, or one that reads it, at this time. */
static void look(use *u, place at, uint32_t time, bool owns, bool kept) {
    if (at.gradient && !kept) {
        if (u->gradient < time) u->gradient = time;
        return;
    }
    if (owns && !u->region.n) u->region = at;
    u->kept |= kept || !at.n || at.n != u->region.n ||
               strncmp(at.path, u->region.path, at.n) != 0;
    if (u->last < time) u->last = time;
}

bool wf_has_regions(const wf_graph *g) {
    uint32_t last = 0; /* neighbours share their scope */
    for (uint32_t id = 1; id < wf_graph_size(g); id++) {
        const uint32_t scope = wf_graph_node(g, id)->scope;
        if (scope != last && wf_scope_region(wf_graph_scope_text(g, scope))) return true;
        last = scope;
    }
    return false;
}

bool wf_forget_regions(wf_forget *q) {
    use *all = calloc(q->n_block, sizeof *all);
    bool found = false;
    for (uint32_t i = 0; all && i < q->n_order; i++) {
        const uint32_t id = q->order[i], block = q->block[id];
        const wf_node *x = wf_graph_node(q->graph, id);
        const bool view = x->op->kind == WF_KIND_VIEW;
        const place at = place_of(q, id);
        if (block && !(view && at.gradient)) look(&all[block], at, q->time[id], true, false);
        for (uint32_t k = 0; k < x->n_in; k++) {
            const uint32_t in = q->block[wf_node_in(q->graph, id)[k]];
            if (!in || (view && in == block)) continue;
            look(&all[in], at, q->time[id], false, x->op->kind == WF_KIND_ASSIGN);
        }
    }
    for (uint32_t i = 1; all && i < q->n_block; i++) {
        if (all[i].kept || !all[i].region.n) continue;
        wf_forget_cut(q, i, all[i].last);
        found |= all[i].gradient > all[i].last;
    }
    if (!all) q->failed = true;
    free(all);
    return found && !q->failed;
}
