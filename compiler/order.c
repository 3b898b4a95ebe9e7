/* Orders of emission in which bundles of nodes come together; see siblings.h. The order is that of
 * the ids, except that what a bundle needs is drawn before it. */
#include <stdlib.h>
#include <string.h>

#include "compiler/plan.h"
#include "compiler/siblings.h"

bool wf_bundles_init(wf_bundles *b, const wf_graph *g) {
    *b = (wf_bundles){.g = g, .of = calloc(wf_graph_size(g), sizeof *b->of), .n_list = 1};
    return b->of != NULL;
}

bool wf_bundles_add(wf_bundles *b, const uint32_t *member, uint32_t n, const uint32_t *need,
                    uint32_t n_need) {
    if (!wf_plan_room((void **)&b->list, &b->list_cap, b->n_list, 1, sizeof *b->list) ||
        !wf_plan_room((void **)&b->pool, &b->pool_cap, b->n_pool, n + n_need, sizeof *b->pool))
        return false;
    b->list[b->n_list] = (wf_bundle){b->n_pool, 0, 0};
    wf_bundle *to = &b->list[b->n_list];
    for (uint32_t i = 0; i < n; i++) {
        if (!member[i]) continue;
        b->pool[b->n_pool++] = member[i];
        b->of[member[i]] = b->n_list;
        to->n++;
    }
    for (uint32_t i = 0; i < n_need; i++) {
        if (!need[i]) continue;
        b->pool[b->n_pool++] = need[i];
        to->n_need++;
    }
    b->n_list++;
    return true;
}

void wf_bundles_free(wf_bundles *b) {
    free(b->of);
    free(b->list);
    free(b->pool);
    memset(b, 0, sizeof *b);
}

/* --- the walk --------------------------------------------------------------------------------- */

typedef struct walk {
    const wf_bundles *b;
    uint32_t *stack, n, cap;
    uint8_t *state; /* (nodes) 1: its operands are on the stack; 2: done */
} walk;

static bool push(walk *w, uint32_t id) {
    if (w->state[id] == 2) return true;
    if (!wf_plan_room((void **)&w->stack, &w->cap, w->n, 1, sizeof *w->stack)) return false;
    w->stack[w->n++] = id;
    return true;
}

static bool push_operands(walk *w, uint32_t id) {
    for (uint32_t i = wf_graph_node(w->b->g, id)->n_in; i-- > 0;)
        if (!push(w, wf_node_in(w->b->g, id)[i])) return false;
    return true;
}

/* What must be there before `id` and those that come with it; the first on top. */
static bool push_needs(walk *w, uint32_t id) {
    if (!w->b->of[id]) return push_operands(w, id);
    const wf_bundle *l = &w->b->list[w->b->of[id]];
    const uint32_t *member = w->b->pool + l->first;
    for (uint32_t i = l->n_need; i-- > 0;)
        if (!push(w, member[l->n + i])) return false;
    for (uint32_t i = l->n; i-- > 0;)
        if (!push_operands(w, member[i])) return false;
    return true;
}

static uint32_t finish(walk *w, uint32_t id, uint32_t *order) {
    const wf_bundle *l = &w->b->list[w->b->of[id]];
    if (!w->b->of[id]) {
        w->state[id] = 2;
        *order = id;
        return 1;
    }
    for (uint32_t i = 0; i < l->n; i++) {
        order[i] = w->b->pool[l->first + i];
        w->state[order[i]] = 2;
    }
    return l->n;
}

uint32_t *wf_bundles_order(const wf_bundles *b, const bool *live, uint32_t *n_order) {
    const uint32_t n = wf_graph_size(b->g);
    uint32_t *order = calloc(n, sizeof *order), at = 0;
    walk w = {.b = b, .state = calloc(n, sizeof *w.state)};
    bool ok = order && w.state;
    for (uint32_t id = 1; id < n && ok; id++) {
        ok = !live[id] || push(&w, id);
        while (w.n && ok) {
            const uint32_t x = w.stack[w.n - 1];
            const uint32_t lead = b->of[x] ? b->pool[b->list[b->of[x]].first] : x;
            if (w.state[lead] == 0) {
                w.state[lead] = 1;
                ok = push_needs(&w, x);
            } else {
                w.n--;
                if (w.state[x] != 2) at += finish(&w, x, order + at);
            }
        }
    }
    free(w.stack);
    free(w.state);
    if (!ok) free(order);
    *n_order = at;
    return ok ? order : NULL;
}
