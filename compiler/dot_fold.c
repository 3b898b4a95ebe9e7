/* Classes: which nodes play the same part.
 *
 * Colour refinement (Weisfeiler and Leman 1968), a few rounds: a node's first colour is its
 * operation, type and canonical scope; each round mixes in the colours of its operands and
 * readers. Only nodes of one scope see each other, so that what a step is connected to does not
 * matter for what it is.
 *
 * The first and the last step of a recurrence lack a few nodes, which changes the colours around
 * them. So of the scopes that share a canonical path the most common one is the model; in the
 * others, a node whose colour the model lacks joins the model's node of its operation that fits
 * best, by operands, readers and attributes. What fits nothing is a class of its own.
 *
 * Leaves come last: they belong together if they have the same readers. */
#include <stdlib.h>
#include <string.h>

#include "compiler/dot.h"

enum {
    ROUNDS = 8,
    IN_ORDER = 3,   /* operands of more are a set */
    LOOK = 8,       /* readers that are compared */
    CANDIDATES = 256, /* classes that are compared: time stays linear */
};

typedef struct instance {
    uint32_t scope, first, n; /* nodes order[first .. first + n) */
    uint64_t signature;
    uint32_t twins;           /* instances of the same path and signature */
} instance;

typedef struct folder {
    wf_dot *d;
    uint64_t *kind;      /* (n) first colours */
    uint64_t *colour;    /* (n) */
    uint64_t *list;      /* (longest neighbourhood) */
    uint32_t *order;     /* (n) operations by path, scope, id */
    uint32_t n_order;
    instance *inst;
    uint32_t n_inst;
    wf_dot_map by_colour; /* to classes */
    wf_dot_map by_kind;   /* to the first class of a kind, chained by `next` */
    uint32_t *next;      /* (classes) */
    uint32_t *taken;     /* (classes) number of the last instance that has it */
} folder;

static uint32_t cluster_of(const wf_dot *d, uint32_t id) {
    return d->scope[wf_dot_node(d, id)->scope].cluster;
}

/* Nodes that refinement looks at. */
static bool is_operation(const wf_dot *d, uint32_t id) {
    return !d->hidden[id] && wf_dot_node(d, id)->op->kind != WF_KIND_LEAF;
}

/* --- colours ---------------------------------------------------------------------------------- */

static uint64_t number_bits(double v) {
    uint64_t u;
    memcpy(&u, &v, sizeof u);
    return u;
}

static uint64_t hash_type(const folder *f, uint64_t h, const wf_type *t) {
    h = wf_dot_mix(h, (uint64_t)t->dtype);
    for (int i = 0; i < t->shape.rank && f->d->level.shapes; i++)
        h = wf_dot_mix(h, (uint64_t)t->shape.dim[i] + 2);
    return h;
}

static uint64_t first_colour(const folder *f, uint32_t id) {
    const wf_dot *d = f->d;
    const wf_node *x = wf_dot_node(d, id);
    const uint32_t *in = wf_node_in(d->graph, id);
    uint64_t h = wf_dot_mix_text(wf_dot_mix(2, cluster_of(d, id)), x->op->name);
    h = wf_dot_mix(hash_type(f, h, &x->type), x->n_in < IN_ORDER ? x->n_in : IN_ORDER);
    for (uint32_t i = 0; i < x->n_in; i++) {
        double v;
        if (d->hidden[in[i]] && wf_uniform_value(d->graph, in[i], &v))
            h = wf_dot_mix(h, number_bits(v) + i);
    }
    return h;
}

static int by_value(const void *a, const void *b) {
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* The list as a set, which is how often a value is read does not count. */
static uint64_t hash_set(uint64_t h, uint64_t *list, uint32_t n) {
    if (n > 1) qsort(list, n, sizeof *list, by_value);
    for (uint32_t i = 0; i < n; i++)
        if (i == 0 || list[i] != list[i - 1]) h = wf_dot_mix(h, list[i]);
    return h;
}

/* What reader or operand `other` looks like from `id`: its colour within a scope, else only
 * whether it is a leaf, another step or another part of the model. */
static uint64_t seen(const folder *f, uint32_t id, uint32_t other) {
    const wf_dot *d = f->d;
    if (wf_dot_node(d, other)->op->kind == WF_KIND_LEAF) return 3;
    if (wf_dot_node(d, other)->scope == wf_dot_node(d, id)->scope) return f->colour[other];
    return cluster_of(d, other) == cluster_of(d, id) ? 4 : 5;
}

static uint64_t next_colour(const folder *f, uint32_t id) {
    const wf_dot *d = f->d;
    const wf_node *x = wf_dot_node(d, id);
    const uint32_t *in = wf_node_in(d->graph, id);
    uint64_t h = wf_dot_mix(6, f->colour[id]);
    uint32_t n = 0;
    for (uint32_t i = 0; i < x->n_in; i++) {
        if (d->hidden[in[i]]) continue;
        if (x->n_in <= IN_ORDER) h = wf_dot_mix(h, wf_dot_mix(i, seen(f, id, in[i])));
        else f->list[n++] = seen(f, id, in[i]);
    }
    h = hash_set(h, f->list, n);
    n = 0;
    for (uint32_t r = d->reader0[id]; r < d->reader0[id + 1]; r++) {
        const uint32_t to = d->reader[r], *from = wf_node_in(d->graph, to);
        const uint32_t n_in = wf_dot_node(d, to)->n_in;
        uint64_t at = n_in;
        for (uint32_t i = 0; n_in <= IN_ORDER && i < n_in && at == n_in; i++)
            if (from[i] == id) at = i;
        const uint64_t what = seen(f, id, to);
        f->list[n++] = what < 6 ? what : wf_dot_mix(at, what);
    }
    return hash_set(wf_dot_mix(h, 7), f->list, n);
}

static void refine(folder *f, uint64_t *room) {
    const wf_dot *d = f->d;
    for (uint32_t id = 1; id < d->n; id++)
        if (is_operation(d, id)) f->colour[id] = f->kind[id] = first_colour(f, id);
    for (int r = 0; r < ROUNDS; r++) {
        for (uint32_t id = 1; id < d->n; id++)
            if (is_operation(d, id)) room[id] = next_colour(f, id);
        memcpy(f->colour, room, d->n * sizeof *room);
    }
}

/* --- instances -------------------------------------------------------------------------------- */

static int by_path(const void *a, const void *b) {
    const instance *x = a, *y = b;
    if (x->n != y->n) return x->n < y->n ? -1 : 1; /* .n holds the path while nodes are sorted */
    if (x->scope != y->scope) return x->scope < y->scope ? -1 : 1;
    return x->first < y->first ? -1 : x->first > y->first;
}

/* Fills order and inst. */
static wf_status find_instances(folder *f) {
    const wf_dot *d = f->d;
    instance *key = calloc(d->n, sizeof *key);
    if (!key) return wf_dot_no_memory();
    uint32_t n = 0;
    for (uint32_t id = 1; id < d->n; id++)
        if (is_operation(d, id))
            key[n++] = (instance){.n = cluster_of(d, id), .scope = wf_dot_node(d, id)->scope,
                                  .first = id};
    if (n) qsort(key, n, sizeof *key, by_path);
    f->n_order = n;
    for (uint32_t i = 0; i < n; i++) {
        f->order[i] = key[i].first;
        if (i == 0 || key[i].scope != key[i - 1].scope)
            f->inst[f->n_inst++] = (instance){.scope = key[i].scope, .first = i};
        instance *now = &f->inst[f->n_inst - 1];
        now->n++;
        now->signature += wf_dot_mix(8, f->colour[f->order[i]]);
    }
    free(key);
    return WF_OK;
}

/* The instances of one path are inst[first .. end). Puts the model first, the others in their
 * order. */
static void choose_model(folder *f, uint32_t first, uint32_t end) {
    uint32_t best = first;
    for (uint32_t i = first; i < end; i++) {
        instance *x = &f->inst[i];
        uint32_t *at = wf_dot_map_at(&f->by_colour, wf_dot_mix(x->signature, f->d->n + x->n));
        if (*at == UINT32_MAX) *at = i;
        f->inst[*at].twins++;
    }
    for (uint32_t i = first; i < end; i++) {
        const instance *x = &f->inst[i], *b = &f->inst[best];
        if (x->twins > b->twins || (x->twins == b->twins && x->n > b->n)) best = i;
    }
    const instance model = f->inst[best];
    memmove(&f->inst[first + 1], &f->inst[first], (best - first) * sizeof model);
    f->inst[first] = model;
}

/* --- classes ---------------------------------------------------------------------------------- */

static uint32_t new_class(folder *f, uint32_t id) {
    wf_dot *d = f->d;
    const uint32_t c = d->n_class++;
    d->class_[c] = (wf_dot_class){.rep = id, .cluster = cluster_of(d, id),
                                  .kind = wf_dot_kind_of(wf_dot_node(d, id))};
    return c;
}

static void join(folder *f, uint32_t id, uint32_t c, uint32_t instance_number) {
    f->d->class_of[id] = c;
    f->d->class_[c].count++;
    f->taken[c] = instance_number + 1;
}

static bool same_attributes(const wf_node *a, const wf_node *b) {
    return a->attr_bytes == b->attr_bytes &&
           (a->attr_bytes == 0 || memcmp(a->attr, b->attr, a->attr_bytes) == 0);
}

/* How well node `id` fits in the class of `rep`, by what is known about its neighbours. */
static uint32_t fit(const wf_dot *d, uint32_t id, uint32_t rep) {
    const wf_node *x = wf_dot_node(d, id), *y = wf_dot_node(d, rep);
    const uint32_t *in = wf_node_in(d->graph, id), *to = wf_node_in(d->graph, rep);
    uint32_t score = same_attributes(x, y) ? 2 : 0;
    for (uint32_t i = 0; i < x->n_in && i < y->n_in; i++)
        if (in[i] == to[i] || (d->class_of[in[i]] != UINT32_MAX &&
                               d->class_of[in[i]] == d->class_of[to[i]]))
            score += 3;
    const uint32_t *r = d->reader + d->reader0[id], *s = d->reader + d->reader0[rep];
    const uint32_t n_r = d->reader0[id + 1] - d->reader0[id];
    const uint32_t n_s = d->reader0[rep + 1] - d->reader0[rep];
    for (uint32_t i = 0; i < n_r && i < LOOK; i++)
        for (uint32_t k = 0; k < n_s && k < LOOK; k++)
            score += d->class_of[r[i]] != UINT32_MAX && d->class_of[r[i]] == d->class_of[s[k]];
    return score;
}

/* The class that node `id` of an instance joins; UINT32_MAX if all of its kind are taken. */
static uint32_t best_class(folder *f, uint32_t id, uint32_t instance_number) {
    uint32_t best = UINT32_MAX, best_score = 0, n = 0;
    uint32_t c = *wf_dot_map_at(&f->by_kind, f->kind[id]);
    for (; c != UINT32_MAX && n < CANDIDATES; c = f->next[c], n++) {
        if (f->taken[c] == instance_number + 1) continue;
        const uint32_t score = fit(f->d, id, f->d->class_[c].rep) + 1;
        if (score > best_score || (score == best_score && c < best)) {
            best = c;
            best_score = score;
        }
    }
    return best;
}

static void fold_instance(folder *f, uint32_t number, bool is_model) {
    const wf_dot *d = f->d;
    const instance *x = &f->inst[number];
    for (uint32_t i = x->first; i < x->first + x->n; i++) {
        const uint32_t c = *wf_dot_map_at(&f->by_colour, f->colour[f->order[i]]);
        if (c != UINT32_MAX) join(f, f->order[i], c, number);
    }
    for (uint32_t i = x->first; i < x->first + x->n; i++) {
        const uint32_t id = f->order[i];
        if (d->class_of[id] != UINT32_MAX) continue;
        uint32_t *by_colour = wf_dot_map_at(&f->by_colour, f->colour[id]);
        uint32_t c = *by_colour;
        if (c == UINT32_MAX && !is_model) c = best_class(f, id, number);
        if (c == UINT32_MAX) {
            c = new_class(f, id);
            uint32_t *head = wf_dot_map_at(&f->by_kind, f->kind[id]);
            f->next[c] = *head;
            *head = c;
        }
        *by_colour = c;
        join(f, id, c, number);
    }
}

static void fold_operations(folder *f) {
    const wf_dot *d = f->d;
    for (uint32_t first = 0, end; first < f->n_inst; first = end) {
        const uint32_t path = d->scope[f->inst[first].scope].cluster;
        for (end = first + 1; end < f->n_inst; end++)
            if (d->scope[f->inst[end].scope].cluster != path) break;
        choose_model(f, first, end);
        for (uint32_t i = first; i < end; i++) fold_instance(f, i, i == first);
    }
}

/* Leaves of one kind, path and type that classes read alike. */
static void fold_leaves(folder *f) {
    wf_dot *d = f->d;
    for (uint32_t id = 1; id < d->n; id++) {
        const wf_node *x = wf_dot_node(d, id);
        if (d->hidden[id] || x->op->kind != WF_KIND_LEAF) continue;
        uint64_t h = wf_dot_mix(wf_dot_mix(9, cluster_of(d, id)), wf_dot_kind_of(x));
        h = hash_type(f, h, &x->type);
        uint32_t n = 0;
        for (uint32_t r = d->reader0[id]; r < d->reader0[id + 1]; r++) {
            const uint32_t to = d->reader[r], *from = wf_node_in(d->graph, to);
            for (uint32_t i = 0; i < wf_dot_node(d, to)->n_in && i < IN_ORDER; i++)
                if (from[i] == id) f->list[n++] = wf_dot_mix(d->class_of[to], i + 10);
        }
        uint32_t *at = wf_dot_map_at(&f->by_colour, hash_set(h, f->list, n));
        if (*at == UINT32_MAX) *at = new_class(f, id);
        join(f, id, *at, 0);
    }
}

/* --- the whole -------------------------------------------------------------------------------- */

static wf_status one_each(wf_dot *d) {
    folder f = {.d = d};
    for (uint32_t id = 1; id < d->n; id++) {
        if (d->hidden[id]) continue;
        d->class_of[id] = new_class(&f, id);
        d->class_[d->class_of[id]].count = 1;
    }
    return WF_OK;
}

static uint32_t longest_neighbourhood(const wf_dot *d) {
    uint32_t n = 1;
    for (uint32_t id = 1; id < d->n; id++) {
        if (wf_dot_node(d, id)->n_in > n) n = wf_dot_node(d, id)->n_in;
        if (IN_ORDER * (d->reader0[id + 1] - d->reader0[id]) > n)
            n = IN_ORDER * (d->reader0[id + 1] - d->reader0[id]);
    }
    return n;
}

wf_status wf_dot_classes(wf_dot *d) {
    wf_arena *keep = &d->level_mem;
    d->class_of = wf_arena_alloc(keep, d->n * sizeof *d->class_of);
    d->class_ = wf_arena_alloc(keep, d->n * sizeof *d->class_);
    if (!d->class_of || !d->class_) return wf_dot_no_memory();
    memset(d->class_of, 0xff, d->n * sizeof *d->class_of);
    if (!d->level.fold) return one_each(d);
    wf_arena mem = {NULL};
    folder f = {.d = d,
                .kind = wf_arena_alloc(&mem, d->n * sizeof *f.kind),
                .colour = wf_arena_alloc(&mem, d->n * sizeof *f.colour),
                .list = wf_arena_alloc(&mem, longest_neighbourhood(d) * sizeof *f.list),
                .order = wf_arena_alloc(&mem, d->n * sizeof *f.order),
                .inst = wf_arena_alloc(&mem, d->n * sizeof *f.inst),
                .next = wf_arena_alloc(&mem, d->n * sizeof *f.next),
                .taken = wf_arena_alloc(&mem, d->n * sizeof *f.taken)};
    uint64_t *room = wf_arena_alloc(&mem, d->n * sizeof *room);
    wf_status s = WF_OK;
    if (!f.kind || !f.colour || !f.list || !f.order || !f.inst || !f.next || !f.taken || !room ||
        !wf_dot_map_init(&f.by_colour, &mem, 3 * d->n) || !wf_dot_map_init(&f.by_kind, &mem, d->n))
        s = wf_dot_no_memory();
    if (!s) refine(&f, room);
    if (!s) s = find_instances(&f);
    if (!s) {
        fold_operations(&f);
        fold_leaves(&f);
    }
    wf_arena_free(&mem);
    return s;
}
