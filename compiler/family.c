/* Which contractions become one: what siblings.c is told.
 *
 * Siblings read the same A in every source, and their B side by side would be one B with more
 * columns. Depth counts contractions: of two of equal depth none needs the other, and merging any
 * number of groups of equal depth leaves no cycle, as every path through a group goes deeper. What
 * no contraction reads, near or far, may also join deeper ones.
 *
 * Order matters twice. Weights stand in the order of the leaves that they are parts of, so that
 * their concat is the leaf. Values - gradients of gates - stand in the order of the weights that
 * they meet in the data gradient, in the same place of a list at every time step, so that one list
 * serves data and weight gradient; whoever is missing at some step is zeros there. */
#include <stdlib.h>
#include <string.h>

#include "compiler/plan.h"
#include "compiler/siblings.h"
#include "tensor/view.h"

enum { ROWS = 4, TERMS = 16 }; /* fewer rows: weights cost as much to move as to use; see pays */

typedef struct candidate {
    uint64_t hash;
    uint32_t id, depth;
    int loop;
    bool values, terminal;
} candidate;

static const wf_node *node_of(const wf_family *f, uint32_t id) { return wf_graph_node(f->g, id); }
static const uint32_t *ins(const wf_family *f, uint32_t id) { return wf_node_in(f->g, id); }
static const wf_contract_attr *attr_of(const wf_family *f, uint32_t id) {
    return node_of(f, id)->op == &wf_op_contract ? node_of(f, id)->attr : NULL;
}
static const wf_shape *shape_of(const wf_family *f, uint32_t id) {
    return &node_of(f, id)->type.shape;
}

/* --- facts about nodes ------------------------------------------------------------------------ */

static void find_live(wf_family *f, const wf_stage *s) {
    for (uint32_t i = 0; i < s->n_root; i++) {
        const uint32_t id = s->root[i];
        const bool assign = node_of(f, id)->op->kind == WF_KIND_ASSIGN;
        f->live[id] = f->root[assign ? ins(f, id)[1] : id] = true;
    }
    for (uint32_t id = wf_graph_size(f->g); id-- > 1;) {
        const wf_node *x = node_of(f, id);
        const bool view = x->op->kind == WF_KIND_VIEW;
        for (uint32_t i = 0; i < x->n_in && f->live[id]; i++) {
            const uint32_t in = ins(f, id)[i];
            f->live[in] = true;
            f->terminal[in] &= f->terminal[id] && x->op != &wf_op_contract;
            if (x->op == &wf_op_concat && !f->beside[in])
                f->beside[in] = (int8_t)(1 + wf_axis_of(((const wf_axis_attr *)x->attr)->axis,
                                                        x->type.shape.rank));
            else if (x->op->kind == WF_KIND_PLACE || (view && (f->placed[id] || f->beside[id])))
                f->placed[in] = true;
            if (view && f->root[id]) f->root[in] = true;
        }
    }
}

static void find_depths(wf_family *f) {
    for (uint32_t id = 1; id < wf_graph_size(f->g); id++) {
        const wf_node *x = node_of(f, id);
        if (x->op == &wf_op_leaf)
            f->weight[id] = ((const wf_leaf_attr *)x->attr)->kind != WF_LEAF_INPUT;
        else if (x->op->kind == WF_KIND_VIEW) f->weight[id] = f->weight[ins(f, id)[0]];
        for (uint32_t i = 0; i < x->n_in; i++)
            if (f->depth[ins(f, id)[i]] > f->depth[id]) f->depth[id] = f->depth[ins(f, id)[i]];
        f->depth[id] += x->op == &wf_op_contract;
    }
}

/* A value that a group can write where it is wanted. */
static bool is_value(const wf_family *f, uint32_t id) {
    while (node_of(f, id)->op == &wf_op_reshape) id = ins(f, id)[0];
    return node_of(f, id)->op->kind == WF_KIND_ELEMENTWISE;
}

/* --- loops ------------------------------------------------------------------------------------ */

/* The axis among n relations that is `loop` as it is; -1: none depends on it; -2: otherwise. */
static int sole_axis(const wf_relation *r, int n, int loop) {
    int axis = -1;
    for (int i = 0; i < n; i++) {
        if (!(wf_relation_loops(&r[i], 1) >> loop & 1)) continue;
        if (axis != -1 || !wf_is_plain(&r[i])) return -2;
        axis = i;
    }
    return axis;
}

static bool guards_use(const wf_contract_source *s, int loop) {
    for (int i = 0; i < s->n_guards; i++)
        if (wf_relation_loops(&s->guard[i].r, 1) >> loop & 1) return true;
    return false;
}

int wf_family_axis(const wf_contract_source *s, int loop, int side) {
    if (s->packed || guards_use(s, loop)) return -2;
    return side ? sole_axis(s->b, s->rank_b, loop) : sole_axis(s->a, s->rank_a, loop);
}

/* The last output loop that in every source belongs to one axis of B alone; -1: none. */
static int column_loop(const wf_family *f, uint32_t id) {
    const wf_contract_attr *c = attr_of(f, id);
    for (int loop = c->rank; loop-- > 0;) {
        bool ok = c->out[loop] > 0;
        for (int s = 0; s < c->n_sources && ok; s++) {
            const int axis = wf_family_axis(&c->source[s], loop, 1);
            ok = axis >= 0 && wf_family_axis(&c->source[s], loop, 0) == -1 &&
                 shape_of(f, ins(f, id)[2 * s + 1])->dim[axis] == c->out[loop];
        }
        if (ok) return loop;
    }
    return -1;
}

/* The sum loop of the source that belongs to one axis of A and one of B; -1: none. */
int wf_family_depth_loop(const wf_family *f, uint32_t id, int source) {
    const wf_contract_attr *c = attr_of(f, id);
    const wf_contract_source *s = &c->source[source];
    for (int loop = c->rank + s->n_sum; loop-- > c->rank;) {
        const int a = wf_family_axis(s, loop, 0), b = wf_family_axis(s, loop, 1);
        const int64_t n = s->sum[loop - c->rank];
        if (a >= 0 && b >= 0 && shape_of(f, ins(f, id)[2 * source])->dim[a] == n &&
            shape_of(f, ins(f, id)[2 * source + 1])->dim[b] == n)
            return loop;
    }
    return -1;
}

static bool same_but(const wf_shape *a, const wf_shape *b, int axis) {
    bool same = a->rank == b->rank;
    for (int i = 0; i < a->rank && same; i++) same = i == axis || a->dim[i] == b->dim[i];
    return same;
}

/* --- the order of weights --------------------------------------------------------------------- */

typedef struct entry {
    uint32_t first, second, id; /* what it is sorted by */
    int64_t n;
    uint32_t of;                /* the contraction or source that it stands for */
} entry;

static int by_place(const void *a, const void *b) {
    const entry *x = a, *y = b;
    if (x->first != y->first) return x->first < y->first ? -1 : 1;
    if (x->second != y->second) return x->second < y->second ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static void place_weight(const wf_family *f, entry *e) {
    uint32_t id = e->id;
    e->second = 0;
    for (; node_of(f, id)->op->kind == WF_KIND_VIEW; id = ins(f, id)[0])
        if (node_of(f, id)->op == &wf_op_slice)
            e->second = (uint32_t)((const wf_slice_attr *)node_of(f, id)->attr)->first;
    e->first = id;
}

static uint32_t intern(wf_family *f, const entry *e, uint32_t n) {
    uint32_t *id = calloc(n, sizeof *id), list = 0;
    for (uint32_t i = 0; i < n && id; i++) id[i] = e[i].id;
    if (id) list = wf_lists_find(&f->lists, id, n, true);
    free(id);
    f->failed |= list == 0;
    return list;
}

/* The longest list that each weight is in. Lists with zeros do not count. */
static void find_widest(wf_family *f, uint32_t list) {
    const struct wf_list *l = &f->lists.list[list];
    const uint32_t *id = wf_list_ids(&f->lists, list);
    for (uint32_t i = 0; i < l->n; i++)
        if (id[i] == 0) return;
    for (uint32_t i = 0; i < l->n; i++) {
        uint32_t *widest = &f->widest[id[i]];
        if (!*widest || f->lists.list[*widest].n < l->n) *widest = list;
    }
}

static uint32_t intern_weights(wf_family *f, const entry *e, uint32_t n) {
    const uint32_t list = intern(f, e, n);
    if (list) find_widest(f, list);
    return list;
}

/* The longest list with all of these weights, in their order, that has at most half as many more;
 * the list itself if there is none. */
static uint32_t widened(const wf_family *f, uint32_t list) {
    const struct wf_list *l = &f->lists.list[list];
    const uint32_t *id = wf_list_ids(&f->lists, list), wide = f->widest[id[0]];
    const struct wf_list *w = &f->lists.list[wide];
    if (w->n <= l->n || 2 * (w->n - l->n) > l->n) return list;
    const uint32_t *all = wf_list_ids(&f->lists, wide);
    uint32_t at = 0;
    for (uint32_t i = 0; i < w->n; i++) at += at < l->n && all[i] == id[at];
    return at == l->n ? wide : list;
}

/* --- folds ------------------------------------------------------------------------------------ */

static bool can_fold(const wf_family *f, uint32_t id, int s) {
    return !attr_of(f, id)->source[s].packed && f->weight[ins(f, id)[2 * s + 1]] &&
           is_value(f, ins(f, id)[2 * s]) && wf_family_depth_loop(f, id, s) >= 0;
}

bool wf_family_folds(const wf_family *f, uint32_t id, int s, int like) {
    if (!can_fold(f, id, s)) return false;
    const wf_contract_attr *c = attr_of(f, id);
    const int loop = wf_family_depth_loop(f, id, like), k = loop - c->rank;
    wf_contract_source x = c->source[s];
    x.sum[k] = c->source[like].sum[k];
    bool same = wf_family_depth_loop(f, id, s) == loop && !memcmp(&x, &c->source[like], sizeof x);
    for (int side = 0; side < 2 && same; side++)
        same = same_but(shape_of(f, ins(f, id)[2 * s + side]),
                        shape_of(f, ins(f, id)[2 * like + side]), wf_family_axis(&x, loop, side));
    return same;
}

static void find_fold(wf_family *f, uint32_t id) {
    const int n = attr_of(f, id)->n_sources;
    int like = 0;
    while (like < n && !can_fold(f, id, like)) like++;
    if (like + 1 >= n) return;
    entry *e = calloc((size_t)n, sizeof *e);
    uint32_t m = 0;
    for (int s = like; s < n && e; s++) {
        if (!wf_family_folds(f, id, s, like)) continue;
        e[m] = (entry){.id = ins(f, id)[2 * s + 1]};
        place_weight(f, &e[m++]);
    }
    const bool room = e && wf_plan_room((void **)&f->folds, &f->fold_cap, f->n_folds, 1,
                                        sizeof *f->folds);
    if (room && m > 1) {
        qsort(e, m, sizeof *e, by_place);
        bool distinct = true;
        for (uint32_t i = 1; i < m; i++) distinct &= e[i].id != e[i - 1].id;
        if (distinct) {
            f->fold[id] = f->n_folds;
            f->folds[f->n_folds++] = (wf_source_fold){.b = intern_weights(f, e, m), .like = like};
        }
    }
    f->failed |= !room;
    free(e);
}

/* The operands A of fold, in the places of their weights; 0 for weights that are not there. */
static uint32_t *fold_values(wf_family *f, uint32_t id, const wf_source_fold *fold) {
    const uint32_t *b = wf_list_ids(&f->lists, fold->b), n = f->lists.list[fold->b].n;
    uint32_t *a = calloc(n, sizeof *a);
    for (int s = 0; s < attr_of(f, id)->n_sources && a; s++) {
        if (!wf_family_folds(f, id, s, fold->like)) continue;
        for (uint32_t i = 0; i < n; i++)
            if (ins(f, id)[2 * s + 1] == b[i]) a[i] = ins(f, id)[2 * s];
    }
    f->failed |= !a;
    return a;
}

static void rank_fold(wf_family *f, uint32_t id) {
    wf_source_fold *fold = &f->folds[f->fold[id]];
    fold->b = widened(f, fold->b);
    uint32_t *a = fold_values(f, id, fold);
    for (uint32_t i = 0; i < f->lists.list[fold->b].n && a; i++)
        if (a[i] && !f->rank[a[i]]) f->rank[a[i]] = i + 1;
    free(a);
}

static void claim_home(wf_family *f, uint32_t list) {
    for (uint32_t i = 0; i < f->lists.list[list].n && list; i++) {
        const uint32_t id = wf_list_ids(&f->lists, list)[i];
        if (id && !f->home[id]) f->home[id] = list;
    }
}

/* A fold costs nothing where its values lie side by side anyway, or nowhere yet. */
static void settle_fold(wf_family *f, uint32_t id) {
    wf_source_fold *fold = &f->folds[f->fold[id]];
    const uint32_t n = f->lists.list[fold->b].n;
    uint32_t *a = fold_values(f, id, fold);
    bool nowhere = a != NULL;
    for (uint32_t i = 0; i < n && nowhere; i++) nowhere = !a[i] || !f->home[a[i]];
    if (a) fold->a = wf_lists_find(&f->lists, a, n, nowhere);
    if (!fold->a || f->group[id]) f->fold[id] = 0;
    else claim_home(f, fold->a);
    free(a);
}

/* --- groups ----------------------------------------------------------------------------------- */

/* True if the member's sources are sources of base, in order. Fills at[], for each source of the
 * member that of base. */
static bool subsequence(const wf_family *f, uint32_t base, uint32_t id, int *at) {
    const wf_contract_attr *c = attr_of(f, base), *d = attr_of(f, id);
    int s = 0;
    for (int i = 0; i < d->n_sources; i++, s++) {
        while (s < c->n_sources && (ins(f, base)[2 * s] != ins(f, id)[2 * i] ||
                                    memcmp(&c->source[s], &d->source[i], sizeof *c->source)))
            s++;
        if (s == c->n_sources) return false;
        at[i] = s;
    }
    return true;
}

static bool fits(const wf_family *f, const candidate *base, const candidate *c, int *at) {
    const wf_contract_attr *p = attr_of(f, base->id), *q = attr_of(f, c->id);
    if (base->loop != c->loop || base->values != c->values || (!c->values &&
        p->n_sources != q->n_sources) || p->compute != q->compute ||
        !subsequence(f, base->id, c->id, at))
        return false;
    for (int s = 0; s < q->n_sources; s++)
        if (!same_but(shape_of(f, ins(f, base->id)[2 * at[s] + 1]),
                      shape_of(f, ins(f, c->id)[2 * s + 1]),
                      wf_family_axis(&q->source[s], c->loop, 1)))
            return false;
    return node_of(f, base->id)->type.dtype == node_of(f, c->id)->type.dtype &&
           same_but(shape_of(f, base->id), shape_of(f, c->id), c->loop);
}

/* Lists of the values beside each other, source by source. */
static bool list_sources(wf_family *f, wf_siblings *g, const entry *e, int *at) {
    const int n = attr_of(f, g->base)->n_sources;
    uint32_t *id = calloc((size_t)n * g->n, sizeof *id);
    bool ok = id && wf_plan_room((void **)&f->source_list, &f->source_list_cap, f->n_source_list,
                                 (uint32_t)n, sizeof *f->source_list);
    for (uint32_t i = 0; i < g->n && ok; i++) {
        subsequence(f, g->base, e[i].of, at);
        for (int s = 0; s < attr_of(f, e[i].of)->n_sources; s++)
            id[(uint32_t)at[s] * g->n + i] = ins(f, e[i].of)[2 * s + 1];
    }
    g->list = f->n_source_list;
    for (int s = 0; s < n && ok; s++) {
        const uint32_t list = wf_lists_find(&f->lists, id + (uint32_t)s * g->n, g->n, true);
        f->source_list[f->n_source_list++] = list;
        ok = list != 0;
        if (ok && g->weights) find_widest(f, list);
        if (!g->weights) claim_home(f, list);
    }
    free(id);
    return ok;
}

static bool add_group(wf_family *f, wf_siblings g, const entry *e, int *at) {
    if (!wf_plan_room((void **)&f->groups, &f->group_cap, f->n_groups, 1, sizeof *f->groups) ||
        !wf_plan_room((void **)&f->sibling, &f->sibling_cap, f->n_sibling, g.n,
                      sizeof *f->sibling) ||
        !list_sources(f, &g, e, at))
        return false;
    g.first = f->n_sibling;
    for (uint32_t i = 0; i < g.n; i++) {
        f->sibling[f->n_sibling++] = (wf_sibling){e[i].of, shape_of(f, e[i].of)->dim[g.loop]};
        f->group[e[i].of] = f->n_groups;
    }
    f->groups[f->n_groups++] = g;
    return true;
}

/* Makes a group of those among c[0 .. n) that fit the one with most sources. */
static void make_group(wf_family *f, const candidate *c, uint32_t n) {
    const candidate *base = c;
    for (uint32_t i = 1; i < n; i++)
        if (attr_of(f, c[i].id)->n_sources > attr_of(f, base->id)->n_sources) base = &c[i];
    const int most = attr_of(f, base->id)->n_sources;
    entry *e = calloc(n, sizeof *e);
    int *at = calloc((size_t)most, sizeof *at);
    int64_t there = 0;
    uint32_t m = 0;
    bool ok = e && at;
    for (uint32_t i = 0; i < n && ok; i++) {
        if (!fits(f, base, &c[i], at)) continue;
        e[m] = (entry){.id = ins(f, c[i].id)[1], .of = c[i].id};
        if (c[i].values) e[m].first = f->rank[e[m].id];
        else place_weight(f, &e[m]);
        m++;
        there += attr_of(f, c[i].id)->n_sources;
    }
    /* Zeros for what is missing: at most a third as much again. */
    if (ok && m > 1 && 3 * ((int64_t)m * most - there) <= there) {
        qsort(e, m, sizeof *e, by_place);
        const wf_siblings g = {.n = m, .base = base->id, .loop = base->loop,
                               .weights = !base->values};
        ok = add_group(f, g, e, at);
    }
    f->failed |= !ok;
    free(e);
    free(at);
}

/* c[0 .. n) have one hash, sorted by depth, the terminal ones at the end. */
static void make_groups(wf_family *f, candidate *c, uint32_t n) {
    candidate *room = calloc(n, sizeof *room);
    if (!room) f->failed = true;
    uint32_t deep = 0, taken;
    while (deep < n && !c[deep].terminal) deep++;
    taken = deep;
    for (uint32_t i = 0, j; i < deep && room; i = j) {
        uint32_t m = 0;
        for (j = i; j < deep && c[j].depth == c[i].depth; j++) room[m++] = c[j];
        while (taken < n && c[taken].depth <= c[i].depth) room[m++] = c[taken++];
        if (m > 1) make_group(f, room, m);
    }
    if (room && n - taken > 1) make_group(f, c + taken, n - taken);
    free(room);
}

/* --- candidates ------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t h, const void *bytes, size_t n) {
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * 1099511628211u;
    return h;
}

/* A member's result is a slice: that costs a copy where it must be dense or lie elsewhere. */
static bool pays(const wf_family *f, uint32_t id, int loop) {
    const wf_contract_attr *c = attr_of(f, id);
    int64_t terms = 0;
    for (int s = 0; s < c->n_sources; s++) {
        int64_t n = 1;
        for (int k = 0; k < c->source[s].n_sum; k++) n *= c->source[s].sum[k] > 0;
        for (int k = 0; k < c->source[s].n_sum && n < TERMS; k++)
            n *= c->source[s].sum[k] < TERMS ? c->source[s].sum[k] : TERMS;
        terms += n;
    }
    return !f->placed[id] && (!f->beside[id] || f->beside[id] == loop + 1) &&
           (!f->root[id] || terms >= TERMS);
}

static bool is_candidate(const wf_family *f, uint32_t id, candidate *out) {
    const wf_contract_attr *c = attr_of(f, id);
    if (!f->live[id] || !c) return false;
    const int loop = column_loop(f, id);
    if (loop < 0 || !pays(f, id, loop)) return false;
    bool weights = true, values = true;
    for (int s = 0; s < c->n_sources; s++) {
        weights &= f->weight[ins(f, id)[2 * s + 1]];
        values &= is_value(f, ins(f, id)[2 * s + 1]);
    }
    int64_t rows = 1;
    for (int l = 0; l < c->rank && rows > 0 && rows < ROWS; l++) rows *= l == loop ? 1 : c->out[l];
    if (!(values || (weights && rows >= ROWS))) return false;
    *out = (candidate){.id = id, .depth = f->depth[id], .loop = loop, .values = values,
                       .terminal = f->terminal[id]};
    uint64_t h = mix(14695981039346656037u, ins(f, id), sizeof *ins(f, id));
    h = mix(h, &c->source[0], sizeof c->source[0]);
    h = mix(h, &(int64_t[]){loop, c->rank, values}, 3 * sizeof(int64_t));
    for (int l = 0; l < c->rank; l++)
        if (l != loop) h = mix(h, &c->out[l], sizeof c->out[l]);
    out->hash = h;
    return true;
}

static int by_hash(const void *a, const void *b) {
    const candidate *x = a, *y = b;
    if (x->values != y->values) return x->values - y->values;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    if (x->terminal != y->terminal) return x->terminal - y->terminal;
    if (x->depth != y->depth) return x->depth < y->depth ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

static void make_runs(wf_family *f, candidate *c, uint32_t n) {
    for (uint32_t i = 0, j; i < n; i = j) {
        for (j = i + 1; j < n && c[j].hash == c[i].hash;) j++;
        if (j - i > 1) make_groups(f, c + i, j - i);
    }
}

/* A group that lacks few weights of a longer list takes them all: then it shares their pack. */
static void widen_group(wf_family *f, wf_siblings *g) {
    if (!g->weights || attr_of(f, g->base)->n_sources != 1) return;
    const uint32_t list = f->source_list[g->list], wide = widened(f, list);
    if (wide == list) return;
    const uint32_t *id = wf_list_ids(&f->lists, list), *all = wf_list_ids(&f->lists, wide);
    const uint32_t n = f->lists.list[wide].n;
    const int axis = wf_family_axis(&attr_of(f, g->base)->source[0], g->loop, 1);
    for (uint32_t i = 0; i < n; i++)
        if (!same_but(shape_of(f, all[i]), shape_of(f, id[0]), axis)) return;
    if (!wf_plan_room((void **)&f->sibling, &f->sibling_cap, f->n_sibling, n,
                      sizeof *f->sibling)) {
        f->failed = true;
        return;
    }
    for (uint32_t i = 0, at = 0; i < n; i++) {
        const bool member = at < g->n && all[i] == id[at];
        f->sibling[f->n_sibling + i] = (wf_sibling){
            member ? f->sibling[g->first + at].id : 0, shape_of(f, all[i])->dim[axis]};
        at += member;
    }
    g->first = f->n_sibling;
    g->n = n;
    f->n_sibling += n;
    f->source_list[g->list] = wide;
}

static void decide(wf_family *f, candidate *c) {
    const uint32_t n = wf_graph_size(f->g);
    uint32_t m = 0, weights = 0;
    for (uint32_t id = 1; id < n; id++) {
        m += is_candidate(f, id, &c[m]);
        if (f->live[id] && attr_of(f, id)) find_fold(f, id);
    }
    qsort(c, m, sizeof *c, by_hash);
    while (weights < m && !c[weights].values) weights++;
    make_runs(f, c, weights);
    for (uint32_t id = 1; id < n && !f->failed; id++)
        if (f->fold[id]) rank_fold(f, id);
    make_runs(f, c + weights, m - weights);
    for (uint32_t id = 1; id < n && !f->failed; id++)
        if (f->fold[id]) settle_fold(f, id);
    for (uint32_t i = 1; i < f->n_groups && !f->failed; i++) widen_group(f, &f->groups[i]);
}

/* --- the order of emission -------------------------------------------------------------------- */

/* A group needs its weights, also those that no member reads; so does a fold. */
wf_status wf_family_order(wf_family *f) {
    wf_bundles b;
    bool ok = wf_bundles_init(&b, f->g);
    for (uint32_t i = 1; i < f->n_groups && ok; i++) {
        const wf_siblings *g = &f->groups[i];
        const uint32_t list = f->source_list[g->list];
        uint32_t *id = calloc(g->n, sizeof *id);
        for (uint32_t k = 0; k < g->n && id; k++) id[k] = f->sibling[g->first + k].id;
        ok = id && wf_bundles_add(&b, id, g->n, wf_list_ids(&f->lists, list),
                                  g->weights ? f->lists.list[list].n : 0);
        free(id);
    }
    for (uint32_t id = 1; id < wf_graph_size(f->g) && ok; id++) {
        const uint32_t list = f->fold[id] ? f->folds[f->fold[id]].b : 0;
        if (list)
            ok = wf_bundles_add(&b, &id, 1, wf_list_ids(&f->lists, list), f->lists.list[list].n);
    }
    if (ok) f->order = wf_bundles_order(&b, f->live, &f->n_order);
    wf_bundles_free(&b);
    return f->order ? WF_OK : wf_fail(WF_MEMORY, "out of memory in the compiler");
}

/* --- the whole -------------------------------------------------------------------------------- */

wf_status wf_family_find(wf_family *f, const wf_stage *s) {
    const size_t n = wf_graph_size(s->graph);
    *f = (wf_family){.g = s->graph,
                     .live = calloc(n, sizeof *f->live),
                     .root = calloc(n, sizeof *f->root),
                     .weight = calloc(n, sizeof *f->weight),
                     .placed = calloc(n, sizeof *f->placed),
                     .terminal = malloc(n * sizeof *f->terminal),
                     .beside = calloc(n, sizeof *f->beside),
                     .depth = calloc(n, sizeof *f->depth),
                     .group = calloc(n, sizeof *f->group),
                     .fold = calloc(n, sizeof *f->fold),
                     .home = calloc(n, sizeof *f->home),
                     .widest = calloc(n, sizeof *f->widest),
                     .rank = calloc(n, sizeof *f->rank),
                     .n_groups = 1,
                     .n_folds = 1};
    candidate *c = calloc(n, sizeof *c);
    f->failed = !(f->live && f->root && f->weight && f->placed && f->terminal &&
                  f->beside && f->depth && f->group && f->fold && f->home && f->widest &&
                  f->rank && c);
    if (!f->failed) {
        memset(f->terminal, true, n * sizeof *f->terminal);
        find_live(f, s);
        find_depths(f);
        decide(f, c);
    }
    free(c);
    return f->failed ? wf_fail(WF_MEMORY, "out of memory in the compiler") : WF_OK;
}

void wf_family_free(wf_family *f) {
    void *const own[] = {f->order, f->live, f->root,  f->weight,  f->placed,  f->terminal,
                         f->beside, f->depth, f->group, f->fold, f->home, f->widest,
                         f->rank, f->groups, f->sibling, f->source_list, f->folds};
    for (size_t i = 0; i < WF_COUNT(own); i++) free(own[i]);
    wf_lists_free(&f->lists);
    memset(f, 0, sizeof *f);
}
