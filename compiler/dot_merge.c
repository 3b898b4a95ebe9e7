/* Boxes: which classes are drawn as one.
 *
 * Elementwise operations, views and placements of one scope that touch become a box that lists
 * them. A box must not be left and entered again, or arrows would run in circles: so classes get
 * a rank, the largest number of borders on any way from them, where a border is any arrow that
 * cannot lie inside a box; only classes of equal rank are joined. Arrows between time steps do
 * not count. Where groups are known, the classes of one group are one box and join no others.
 *
 * Then leaves that the same boxes read, and assignments of values from one box, are one box
 * each. */
#include <stdlib.h>
#include <string.h>

#include "compiler/dot.h"

typedef struct merger {
    wf_dot *d;
    uint64_t *arrow;  /* (n_arrow) from << 32 | to: classes, within a step, each once */
    uint32_t n_arrow;
    uint32_t *first;  /* (n_class + 1) of arrow */
    uint32_t *rank;   /* (n_class) */
    uint32_t *before; /* (n_class) arrows that have not been followed */
    uint32_t *order;  /* (n_class) */
    uint32_t *place;  /* (n_class) in it */
    uint32_t *root;   /* (n_class) union-find */
    wf_arena mem;
} merger;

static uint32_t find(merger *m, uint32_t c) {
    while (m->root[c] != c) c = m->root[c] = m->root[m->root[c]];
    return c;
}

/* The smaller number stays the root. */
static void unite(merger *m, uint32_t a, uint32_t b) {
    a = find(m, a);
    b = find(m, b);
    if (a < b) m->root[b] = a;
    else m->root[a] = b;
}

static int by_value(const void *a, const void *b) {
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* --- arrows ----------------------------------------------------------------------------------- */

static wf_status find_arrows(merger *m) {
    const wf_dot *d = m->d;
    m->arrow = wf_arena_alloc(&m->mem, d->n_link * sizeof *m->arrow);
    m->first = wf_arena_alloc(&m->mem, ((size_t)d->n_class + 1) * sizeof *m->first);
    if (!m->arrow || !m->first) return wf_dot_no_memory();
    uint32_t n = 0;
    for (uint32_t i = 0; i < d->n_link; i++)
        if (!*d->link[i].lag && d->link[i].from != d->link[i].to)
            m->arrow[n++] = (uint64_t)d->link[i].from << 32 | d->link[i].to;
    if (n) qsort(m->arrow, n, sizeof *m->arrow, by_value);
    for (uint32_t i = 0; i < n; i++)
        if (i == 0 || m->arrow[i] != m->arrow[i - 1]) m->arrow[m->n_arrow++] = m->arrow[i];
    for (uint32_t i = 0; i < m->n_arrow; i++) m->first[(m->arrow[i] >> 32) + 1]++;
    for (uint32_t c = 0; c < d->n_class; c++) m->first[c + 1] += m->first[c];
    return WF_OK;
}

/* --- regions ---------------------------------------------------------------------------------- */

static bool is_light(const wf_dot *d, uint32_t c) {
    const wf_kind k = wf_dot_node(d, d->class_[c].rep)->op->kind;
    return k == WF_KIND_ELEMENTWISE || k == WF_KIND_VIEW || k == WF_KIND_PLACE;
}

static bool joins(const wf_dot *d, uint32_t a, uint32_t b) {
    return is_light(d, a) && is_light(d, b) && d->class_[a].cluster == d->class_[b].cluster &&
           d->class_group[a] == d->class_group[b];
}

static uint32_t target(const merger *m, uint32_t i) { return (uint32_t)m->arrow[i]; }

/* The classes in topological order. Folding may have closed circles; they are cut at their first
 * class. */
static void sort_classes(merger *m) {
    const wf_dot *d = m->d;
    uint32_t head = 0, tail = 0, scan = 0;
    for (uint32_t i = 0; i < m->n_arrow; i++) m->before[target(m, i)]++;
    memset(m->place, 0xff, d->n_class * sizeof *m->place);
    for (uint32_t c = 0; c < d->n_class; c++)
        if (m->before[c] == 0) m->order[m->place[c] = tail++] = c;
    while (head < d->n_class) {
        if (head == tail) {
            while (m->place[scan] != UINT32_MAX) scan++;
            m->order[m->place[scan] = tail++] = scan;
        }
        const uint32_t c = m->order[head++];
        for (uint32_t i = m->first[c]; i < m->first[c + 1]; i++) {
            const uint32_t to = target(m, i);
            if (m->place[to] == UINT32_MAX && --m->before[to] == 0)
                m->order[m->place[to] = tail++] = to;
        }
    }
}

/* Ranks count borders on the way down, so that what is computed for one use stands with its use. */
static void rank_classes(merger *m) {
    const wf_dot *d = m->d;
    for (uint32_t k = d->n_class; k-- > 0;) {
        const uint32_t c = m->order[k];
        for (uint32_t i = m->first[c]; i < m->first[c + 1]; i++) {
            const uint32_t to = target(m, i);
            const uint32_t rank = m->rank[to] + (joins(d, c, to) ? 0 : 1);
            if (m->place[to] > k && rank > m->rank[c]) m->rank[c] = rank;
        }
    }
    /* What only the next step reads stands with what it is computed from: no way leads out of
     * it. */
    for (uint32_t i = 0; i < m->n_arrow; i++) {
        const uint32_t from = (uint32_t)(m->arrow[i] >> 32), to = target(m, i);
        if (m->first[to] == m->first[to + 1] && joins(d, from, to) && m->rank[from] > m->rank[to])
            m->rank[to] = m->rank[from];
    }
}

static void merge_regions(merger *m) {
    for (uint32_t c = 0; c < m->d->n_class; c++)
        for (uint32_t i = m->first[c]; i < m->first[c + 1]; i++)
            if (joins(m->d, c, target(m, i)) && m->rank[c] == m->rank[target(m, i)])
                unite(m, c, target(m, i));
}

/* The classes of one fused group and scope are a box whether they touch or not. */
static wf_status merge_groups(merger *m) {
    const wf_dot *d = m->d;
    wf_dot_map map;
    if (!wf_dot_map_init(&map, &m->mem, d->n_class)) return wf_dot_no_memory();
    for (uint32_t c = 0; c < d->n_class; c++) {
        if (!d->class_group[c]) continue;
        const uint64_t h = wf_dot_mix(wf_dot_mix(13, d->class_group[c]), d->class_[c].cluster);
        uint32_t *at = wf_dot_map_at(&map, h);
        if (*at == UINT32_MAX) *at = c;
        unite(m, *at, c);
    }
    return WF_OK;
}

/* Views between the same boxes are one: the parts that a group reads of a contraction's result. */
static wf_status merge_views(merger *m) {
    const wf_dot *d = m->d;
    wf_dot_map map;
    uint64_t *around_it = wf_arena_alloc(&m->mem, d->n_class * sizeof *around_it); /* of roots */
    if (!around_it || !wf_dot_map_init(&map, &m->mem, d->n_class)) return wf_dot_no_memory();
    for (uint32_t i = 0; i < m->n_arrow; i++) {
        const uint32_t from = find(m, (uint32_t)(m->arrow[i] >> 32)), to = find(m, target(m, i));
        if (from == to) continue;
        around_it[from] += wf_dot_mix(14, to);
        around_it[to] += wf_dot_mix(15, from);
    }
    for (uint32_t c = 0; c < d->n_class; c++) {
        const bool view = wf_dot_node(d, d->class_[c].rep)->op->kind == WF_KIND_VIEW;
        if (!view || d->class_group[c] || m->root[c] != c) continue;
        uint32_t *at = wf_dot_map_at(&map, wf_dot_mix(around_it[c], d->class_[c].cluster));
        if (*at == UINT32_MAX) *at = c;
        unite(m, *at, c);
    }
    return WF_OK;
}

/* --- leaves and assignments ------------------------------------------------------------------- */

/* The boxes that read leaf c, as a set; the box whose values the assignments of class c take. */
static uint64_t around(merger *m, uint32_t c, uint64_t *list) {
    const wf_dot *d = m->d;
    uint64_t h = 11;
    if (d->class_[c].kind == WF_DOT_ASSIGN) {
        const uint32_t from = d->class_of[wf_node_in(d->graph, d->class_[c].rep)[1]];
        return from == UINT32_MAX ? h : wf_dot_mix(h, find(m, from));
    }
    uint32_t n = 0;
    for (uint32_t i = m->first[c]; i < m->first[c + 1]; i++) list[n++] = find(m, target(m, i));
    if (n > 1) qsort(list, n, sizeof *list, by_value);
    for (uint32_t i = 0; i < n; i++)
        if (i == 0 || list[i] != list[i - 1]) h = wf_dot_mix(h, list[i]);
    return h;
}

static wf_status merge_ends(merger *m) {
    const wf_dot *d = m->d;
    wf_dot_map map;
    uint64_t *list = wf_arena_alloc(&m->mem, m->n_arrow * sizeof *list);
    if (!list || !wf_dot_map_init(&map, &m->mem, d->n_class)) return wf_dot_no_memory();
    for (uint32_t c = 0; c < d->n_class; c++) {
        const wf_dot_class *k = &d->class_[c];
        if (k->kind == WF_DOT_OPERATION || k->kind == WF_DOT_INPUT) continue;
        const uint64_t h = wf_dot_mix(wf_dot_mix(around(m, c, list), k->kind), k->cluster);
        uint32_t *at = wf_dot_map_at(&map, h);
        if (*at == UINT32_MAX) *at = c;
        unite(m, *at, c);
    }
    return WF_OK;
}

/* One box a scope and kind. */
static wf_status merge_whole(merger *m) {
    const wf_dot *d = m->d;
    wf_dot_map map;
    if (!wf_dot_map_init(&map, &m->mem, d->n_class)) return wf_dot_no_memory();
    for (uint32_t c = 0; c < d->n_class; c++) {
        const wf_dot_class *k = &d->class_[c];
        uint32_t *at = wf_dot_map_at(&map, wf_dot_mix(wf_dot_mix(12, k->cluster), k->kind));
        if (*at == UINT32_MAX) *at = c;
        unite(m, *at, c);
    }
    return WF_OK;
}

/* --- boxes ------------------------------------------------------------------------------------ */

/* Boxes in the order of their first nodes, and their members. */
static wf_status list_boxes(merger *m) {
    wf_dot *d = m->d;
    d->box = wf_arena_alloc(&d->level_mem, d->n_class * sizeof *d->box);
    d->member = wf_arena_alloc(&d->level_mem, d->n * sizeof *d->member);
    if (!d->box || !d->member) return wf_dot_no_memory();
    for (uint32_t c = 0; c < d->n_class; c++) d->class_[c].box = UINT32_MAX;
    for (uint32_t id = 1; id < d->n; id++) {
        if (d->hidden[id]) continue;
        const uint32_t c = d->class_of[id], root = find(m, c);
        if (d->class_[root].box == UINT32_MAX) {
            d->class_[root].box = d->n_box;
            d->box[d->n_box++] = (wf_dot_box){.id = id, .cluster = d->class_[root].cluster,
                                              .kind = d->class_[root].kind, .last = c};
        }
        d->class_[c].box = d->class_[root].box;
        d->box[d->class_[c].box].nodes++;
    }
    for (uint32_t c = 0; c < d->n_class; c++) {
        wf_dot_box *b = &d->box[d->class_[c].box];
        b->classes++;
        if (d->class_[c].rep > d->class_[b->last].rep) b->last = c;
    }
    for (uint32_t b = 1; b < d->n_box; b++)
        d->box[b].first_member = d->box[b - 1].first_member + d->box[b - 1].nodes;
    for (uint32_t b = 0; b < d->n_box; b++) d->box[b].nodes = 0;
    for (uint32_t id = 1; id < d->n; id++) {
        if (d->hidden[id]) continue;
        wf_dot_box *b = &d->box[d->class_[d->class_of[id]].box];
        d->member[b->first_member + b->nodes++] = id;
    }
    return WF_OK;
}

wf_status wf_dot_boxes(wf_dot *d) {
    merger m = {.d = d};
    m.rank = wf_arena_alloc(&m.mem, d->n_class * sizeof *m.rank);
    m.before = wf_arena_alloc(&m.mem, d->n_class * sizeof *m.before);
    m.order = wf_arena_alloc(&m.mem, d->n_class * sizeof *m.order);
    m.place = wf_arena_alloc(&m.mem, d->n_class * sizeof *m.place);
    m.root = wf_arena_alloc(&m.mem, d->n_class * sizeof *m.root);
    wf_status s = m.rank && m.before && m.order && m.place && m.root ? WF_OK : wf_dot_no_memory();
    for (uint32_t c = 0; c < d->n_class && s == WF_OK; c++) m.root[c] = c;
    if (!s && d->level.merge) {
        s = find_arrows(&m);
        if (!s) {
            sort_classes(&m);
            rank_classes(&m);
            merge_regions(&m);
            s = merge_groups(&m);
            if (!s) s = merge_views(&m);
        }
        if (!s) s = merge_ends(&m);
    }
    if (!s && d->level.whole) s = merge_whole(&m);
    if (!s) s = list_boxes(&m);
    wf_arena_free(&m.mem);
    for (uint32_t i = 0; i < d->n_output && s == WF_OK; i++) {
        wf_dot_box *b = &d->box[d->class_[d->class_of[d->output[i]]].box];
        d->n_output_box += !b->output;
        b->output = true;
    }
    return s;
}
