/* Fusion: groups of elementwise nodes that are computed in one pass over memory.
 *
 *   %1 f32[8,64] = input "x"                  v0 = f32[64 r + 1 c]
 *   %2 f32[64] = input "b"                    v1 = f32[0 r + 1 c]
 *   %3 f32[8,64] = add %1, %2   --fuse-->     v2 = f32 add v0 v1
 *   %4 f32[8,64] = sigmoid %3                 v3 = f32 sigmoid v2
 *   %5 f32[512] = reshape %4                  v4 = f32 exp v3
 *   %6 f32[512] = exp %5                      f32[64 r + 1 c] = v4
 *
 * One walk from the last node to the first. All readers of a node are placed before it is, so the
 * earliest of them is known: the node joins its group if it has the same elements in the same
 * order. Legal by construction, as nobody else reads the node sooner. Else it begins a group.
 *
 * Then groups that share an operand, or of which one reads the other, are merged: the earlier one
 * is delayed until the later one if nobody needs its values before. Nodes are delayed, never
 * hurried, so their operands are always there; a group never has to be taken apart. */
#include "compiler/fuse.h"

#include <stdlib.h>
#include <string.h>

#include "compiler/group.h"
#include "tensor/elementwise.h"

enum {
    CUTS = WF_MAX_RANK - 2, /* the launch may need one more axis */
    LOOK = 48, /* readers of an operand that are looked at */
    TRIES = 4, /* groups that are tried to merge with */
};

typedef struct reader {
    uint32_t id;
    bool same; /* in the same order of elements */
} reader;

/* A group that is being made. */
typedef struct making {
    uint32_t when, members, steps, inputs, cuts;
    uint32_t first;                   /* member; then fuser->next */
    int64_t count;
    int64_t cut[CUTS];                /* elements of the inner axes, ascending */
    uint64_t input[WF_GROUP_OPERANDS]; /* input_key */
} making;

typedef struct fuser {
    wf_fusion *f;
    const wf_graph *g;
    bool views;
    bool *live, *root;
    uint32_t *owner;    /* (nodes) through all views */
    bool *same;         /* (nodes) the view keeps count and order of its owner */
    uint32_t *at;       /* (nodes + 1) in reader[] */
    reader *reader;
    uint32_t *next;     /* (nodes) the next member of the same group */
    making *group;      /* (n + 1) */
    uint32_t n, cap;
} fuser;

const char *wf_apart_text(wf_apart why) {
    static const char *const text[] = {
#define X(name, text) text,
        WF_APART_MAP(X)
#undef X
    };
    return text[why];
}

static const wf_node *node_of(const fuser *q, uint32_t id) { return wf_graph_node(q->g, id); }

/* --- nodes ------------------------------------------------------------------------------------ */

bool wf_fusible(const wf_graph *g, uint32_t id) {
    const wf_node *x = wf_graph_node(g, id);
    if (x->op->kind != WF_KIND_ELEMENTWISE || wf_shape_count(&x->type.shape) <= 0) return false;
    wf_dtype in[3] = {0};
    for (uint32_t i = 0; i < x->n_in && i < WF_COUNT(in); i++)
        in[i] = wf_graph_node(g, wf_node_in(g, id)[i])->type.dtype;
    return wf_group_row(x->op, in, x->type.dtype) != NULL;
}

/* True if the view shows all elements of its operand in their order. */
static bool keeps_order(const fuser *q, uint32_t id) {
    const wf_node *x = node_of(q, id);
    const wf_type *from = &node_of(q, wf_node_in(q->g, id)[0])->type;
    const wf_array in = wf_array_dense(NULL, from->dtype, &from->shape);
    wf_array out = {.dtype = x->type.dtype, .shape = x->type.shape};
    return wf_shape_count(&from->shape) == wf_shape_count(&x->type.shape) &&
           x->op->view(x->attr, &in, &out) && !out.data && wf_array_is_dense(&out);
}

static void find_owners(fuser *q) {
    for (uint32_t id = 1; id < wf_graph_size(q->g); id++) {
        q->owner[id] = q->f->base[id] = id;
        q->same[id] = true;
        if (!q->views || !q->live[id] || node_of(q, id)->op->kind != WF_KIND_VIEW) continue;
        const uint32_t from = wf_node_in(q->g, id)[0];
        const bool same = keeps_order(q, id);
        q->owner[id] = q->owner[from];
        q->same[id] = same && q->same[from];
        if (same) q->f->base[id] = q->f->base[from];
    }
}

static bool is_view(const fuser *q, uint32_t id) { return q->owner[id] != id; }

/* Readers of owners that launch something: not views, not assignments. */
static bool find_readers(fuser *q) {
    const uint32_t n = wf_graph_size(q->g);
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t id = 1; id < n; id++) {
            const wf_node *x = node_of(q, id);
            if (!q->live[id] || is_view(q, id) || x->op->kind == WF_KIND_ASSIGN) continue;
            for (uint32_t i = 0; i < x->n_in; i++) {
                const uint32_t in = wf_node_in(q->g, id)[i], owner = q->owner[in];
                if (pass == 0) q->at[owner + 1]++;
                else q->reader[q->at[owner]++] = (reader){id, q->same[in]};
            }
        }
        if (pass == 0) {
            for (uint32_t id = 0; id < n; id++) q->at[id + 1] += q->at[id];
            q->reader = calloc((size_t)q->at[n] + 1, sizeof *q->reader);
            if (!q->reader) return false;
        } else {
            for (uint32_t id = n; id > 0; id--) q->at[id] = q->at[id - 1];
            q->at[0] = 0;
        }
    }
    return true;
}

static void find_roots(fuser *q, const wf_stage *s) {
    for (uint32_t i = 0; i < s->n_root; i++) {
        const uint32_t id = s->root[i];
        q->live[id] = true;
        const bool assign = node_of(q, id)->op->kind == WF_KIND_ASSIGN;
        q->root[assign ? wf_node_in(q->g, id)[1] : id] = true;
    }
    for (uint32_t id = wf_graph_size(q->g); id-- > 1;)
        for (uint32_t i = 0; q->live[id] && i < node_of(q, id)->n_in; i++)
            q->live[wf_node_in(q->g, id)[i]] = true;
}

/* --- may a node join a group? ----------------------------------------------------------------- */

/* The products of inner extents between 1 and the count, ascending. */
static uint32_t cuts_of(const wf_shape *s, int64_t *cut) {
    uint32_t n = 0;
    int64_t inner = 1, count = wf_shape_count(s);
    for (int i = s->rank - 1; i > 0; i--) {
        if (s->dim[i] == 1) continue;
        inner *= s->dim[i];
        if (inner < count) cut[n++] = inner;
    }
    return n;
}

/* Adds the cuts of a shape; false if the two have no common refinement of few axes. */
static bool add_cuts(making *m, const wf_shape *s) {
    int64_t more[WF_MAX_RANK], all[WF_MAX_RANK + CUTS];
    const uint32_t n = cuts_of(s, more);
    uint32_t i = 0, k = 0, at = 0;
    while (i < m->cuts || k < n) {
        const int64_t a = i < m->cuts ? m->cut[i] : INT64_MAX, b = k < n ? more[k] : INT64_MAX;
        all[at++] = a < b ? a : b;
        i += a <= b;
        k += b <= a;
        if (at > CUTS || (at > 1 && all[at - 1] % all[at - 2])) return false;
    }
    memcpy(m->cut, all, at * sizeof *all);
    m->cuts = at;
    return true;
}

/* Operands with one key lie alike in the group: whole values by what they are, smaller ones also by
 * the shape that they are broadcast to. */
static uint64_t input_key(const fuser *q, uint32_t id, uint32_t in) {
    const wf_shape *s = &node_of(q, id)->type.shape, *from = &node_of(q, in)->type.shape;
    if (wf_shape_count(from) == wf_shape_count(s)) return q->f->base[in];
    uint32_t hash = 1;
    for (int i = 0; i < s->rank; i++) hash = hash * 1000003u + (uint32_t)s->dim[i];
    return (uint64_t)hash << 32 | in;
}

static bool add_inputs(const fuser *q, making *m, uint32_t id) {
    for (uint32_t i = 0; i < m->inputs; i++)
        if (m->input[i] == id) m->input[i--] = m->input[--m->inputs];
    for (uint32_t i = 0; i < node_of(q, id)->n_in; i++) {
        const uint64_t key = input_key(q, id, wf_node_in(q->g, id)[i]);
        uint32_t k = 0;
        while (k < m->inputs && m->input[k] != key) k++;
        if (k < m->inputs) continue;
        if (k == WF_GROUP_OPERANDS) return false;
        m->input[m->inputs++] = key;
    }
    return true;
}

/* A sum of more operands than a step has is launched alone: it is mostly one over time steps, and
 * a kernel for their number would be another for every number. */
static bool too_wide(const wf_node *x) { return x->n_in > WF_COUNT(((wf_group_step *)0)->in); }

/* True if somebody outside the groups a and b needs the node in memory. */
static bool leaves(const fuser *q, uint32_t id, uint32_t a, uint32_t b) {
    if (q->root[id]) return true;
    for (uint32_t i = q->at[id]; i < q->at[id + 1]; i++) {
        const uint32_t group = q->f->group[q->reader[i].id];
        if ((group != a && group != b) || !q->reader[i].same) return true;
    }
    return false;
}

static uint32_t count_outputs(const fuser *q, uint32_t a, uint32_t b) {
    uint32_t n = 0;
    for (uint32_t id = q->group[a].first; id; id = q->next[id]) n += leaves(q, id, a, b);
    for (uint32_t id = a != b ? q->group[b].first : 0; id; id = q->next[id])
        n += leaves(q, id, a, b);
    return n;
}

/* Adds a node to a group; the group changes only if the node may join. */
static bool join(fuser *q, uint32_t group, uint32_t id) {
    const wf_node *x = node_of(q, id);
    making m = q->group[group];
    if (too_wide(x)) return false;
    if (m.count != wf_shape_count(&x->type.shape) || !add_cuts(&m, &x->type.shape)) return false;
    m.steps++;
    m.members++;
    if (m.steps > WF_GROUP_STEPS || !add_inputs(q, &m, id)) return false;
    if (count_outputs(q, group, group) + leaves(q, id, group, group) > WF_GROUP_OUTPUTS)
        return false;
    q->next[id] = m.first;
    m.first = id;
    q->group[group] = m;
    q->f->group[id] = group;
    q->f->when[id] = m.when;
    return true;
}

/* --- the walk --------------------------------------------------------------------------------- */

/* The group that reads the node first, in order; 0: the first reader is something else. The reader
 * `but` does not count. */
static uint32_t first_reader(const fuser *q, uint32_t id, uint32_t but) {
    uint32_t when = UINT32_MAX, group = 0;
    bool same = true;
    for (uint32_t i = q->at[id]; i < q->at[id + 1]; i++) {
        const uint32_t r = q->reader[i].id, t = q->f->when[r];
        if (t > when || r == but) continue;
        same = q->reader[i].same && (t < when || same);
        when = t;
        group = q->f->group[r];
    }
    return same ? group : 0;
}

/* Rounding to bf16 is done where the value is made: in the group that reads the value first. */
static uint32_t maker(const fuser *q, uint32_t id) {
    const uint32_t by = first_reader(q, wf_node_in(q->g, id)[0], id);
    if (!by || q->group[by].when < id) return 0;
    for (uint32_t i = q->at[id]; i < q->at[id + 1]; i++) {
        const reader *r = &q->reader[i];
        const bool inside = q->f->group[r->id] == by && r->same;
        if (!inside && q->f->when[r->id] <= q->group[by].when) return 0;
    }
    return by;
}

static bool narrows(const fuser *q, uint32_t id) {
    return node_of(q, id)->op == &wf_op_cast && node_of(q, id)->type.dtype == WF_BF16 &&
           wf_fusible(q->g, wf_node_in(q->g, id)[0]);
}

static bool place(fuser *q, uint32_t id) {
    const uint32_t by = narrows(q, id) ? maker(q, id) : first_reader(q, id, 0);
    if (by && join(q, by, id)) return true;
    if (q->n + 1 >= q->cap) {
        const uint32_t cap = q->cap ? q->cap * 2 : 64;
        making *p = realloc(q->group, cap * sizeof *p);
        if (!p) return false;
        q->group = p;
        q->cap = cap;
    }
    const uint32_t group = ++q->n;
    q->group[group] = (making){.when = id, .count = wf_shape_count(&node_of(q, id)->type.shape)};
    if (!join(q, group, id)) q->n--; /* too wide: launched alone */
    return true;
}

/* --- merging ---------------------------------------------------------------------------------- */

/* A reduction can wait until its result is read: it is launched behind the group that it reads. */
static bool can_wait(const fuser *q, uint32_t id) {
    return node_of(q, id)->op->kind == WF_KIND_REDUCE && !q->f->group[id];
}

static uint32_t first_read(const fuser *q, uint32_t id) {
    uint32_t when = UINT32_MAX;
    for (uint32_t i = q->at[id]; i < q->at[id + 1]; i++)
        if (q->f->when[q->reader[i].id] < when) when = q->f->when[q->reader[i].id];
    return when;
}

/* When somebody outside needs a value of group a, other than b, which would read it in order. */
static uint32_t needed(const fuser *q, uint32_t a, uint32_t b) {
    uint32_t when = UINT32_MAX;
    for (uint32_t id = q->group[a].first; id; id = q->next[id])
        for (uint32_t i = q->at[id]; i < q->at[id + 1]; i++) {
            const uint32_t r = q->reader[i].id, group = q->f->group[r];
            if (group == a || (group == b && q->reader[i].same)) continue;
            const uint32_t at = can_wait(q, r) ? first_read(q, r) : q->f->when[r];
            if (at < when) when = at;
        }
    return when;
}

/* Reductions of a's values wait for b, of which these become members. */
static void delay_readers(fuser *q, uint32_t a, uint32_t when) {
    for (uint32_t id = q->group[a].first; id; id = q->next[id])
        for (uint32_t i = q->at[id]; i < q->at[id + 1]; i++) {
            const uint32_t r = q->reader[i].id;
            if (can_wait(q, r) && q->f->when[r] < when) q->f->when[r] = when;
        }
}

/* The group of the readers of `id` that is launched first, but after `after`; `best` if none is
 * earlier. */
static uint32_t next_reader(const fuser *q, uint32_t id, uint32_t a, uint32_t after,
                            uint32_t best) {
    uint32_t looked = 0;
    for (uint32_t k = q->at[id]; k < q->at[id + 1] && looked < LOOK; k++) {
        const uint32_t group = q->f->group[q->reader[k].id];
        const uint32_t when = q->f->when[q->reader[k].id];
        if (when <= after) continue;
        looked++;
        if (group && group != a && q->group[group].count == q->group[a].count &&
            q->reader[k].same && (!best || when < q->group[best].when))
            best = group;
    }
    return best;
}

/* The group launched next after `after` that shares a whole operand with a or reads it. */
static uint32_t next_kin(const fuser *q, uint32_t a, uint32_t after) {
    const making *m = &q->group[a];
    uint32_t best = 0;
    for (uint32_t i = 0; i < m->inputs; i++) {
        const uint32_t in = (uint32_t)m->input[i];
        if (m->input[i] >> 32 || wf_shape_count(&node_of(q, in)->type.shape) != m->count) continue;
        if (q->owner[in] == in) best = next_reader(q, in, a, after, best);
    }
    for (uint32_t id = m->first; id; id = q->next[id]) best = next_reader(q, id, a, after, best);
    return best;
}

/* Moves the members of a, which is launched earlier, to b. */
static bool merge(fuser *q, uint32_t a, uint32_t b) {
    making m = q->group[b];
    const making *from = &q->group[a];
    if (needed(q, a, b) <= m.when || m.steps + from->steps > WF_GROUP_STEPS) return false;
    for (uint32_t id = from->first; id; id = q->next[id])
        if (!add_cuts(&m, &node_of(q, id)->type.shape)) return false;
    uint64_t all[2 * WF_GROUP_OPERANDS];
    uint32_t n = 0;
    for (uint32_t i = 0; i < m.inputs + from->inputs; i++) {
        const uint64_t key = i < m.inputs ? m.input[i] : from->input[i - m.inputs];
        const uint32_t group = key >> 32 ? 0 : q->f->group[key];
        uint32_t k = 0;
        while (k < n && all[k] != key) k++;
        if (k == n && (!group || (group != a && group != b))) all[n++] = key;
    }
    if (n > WF_GROUP_OPERANDS || count_outputs(q, a, b) > WF_GROUP_OUTPUTS) return false;
    memcpy(m.input, all, n * sizeof *all);
    delay_readers(q, a, m.when);
    m.inputs = n;
    m.steps += from->steps;
    m.members += from->members;
    uint32_t last = from->first;
    for (uint32_t id = from->first; id; id = q->next[id]) {
        q->f->group[id] = b;
        q->f->when[id] = m.when;
        last = id;
    }
    q->next[last] = m.first;
    m.first = from->first;
    q->group[b] = m;
    q->group[a].members = 0;
    q->group[a].first = 0;
    return true;
}

/* From the last group to the first: the later one is as large as it gets. */
static void merge_all(fuser *q) {
    for (uint32_t a = 1; a <= q->n; a++) {
        uint32_t after = q->group[a].when;
        for (int i = 0; i < TRIES; i++) {
            const uint32_t b = next_kin(q, a, after);
            if (!b || merge(q, a, b)) break;
            after = q->group[b].when;
        }
    }
}

/* --- moving back ------------------------------------------------------------------------------ */

static bool among_inputs(const making *m, uint64_t key) {
    for (uint32_t i = 0; i < m->inputs; i++)
        if (m->input[i] == key) return true;
    return false;
}

/* True if a member of `group` other than `but` reads `in` as `but` does. */
static bool read_by_other(const fuser *q, uint32_t group, uint32_t but, uint64_t key) {
    for (uint32_t id = q->group[group].first; id; id = q->next[id])
        for (uint32_t i = 0; id != but && i < node_of(q, id)->n_in; i++)
            if (input_key(q, id, wf_node_in(q->g, id)[i]) == key) return true;
    return false;
}

/* What is read less if `id`, of group b, is computed in group a, which computes its operand `from`:
 * the operands that only `id` wants in b; less those that are new to a. */
static int saved(const fuser *q, uint32_t id, uint32_t from, uint32_t a, uint32_t b) {
    int sum = 0;
    for (uint32_t i = 0; i < node_of(q, id)->n_in; i++) {
        const uint32_t in = wf_node_in(q->g, id)[i], base = q->f->base[in];
        const uint64_t key = input_key(q, id, in);
        const bool whole = key >> 32 == 0;
        if (base == from) continue;
        if (q->f->group[base] == b || q->f->when[q->owner[in]] >= q->group[a].when) return 0;
        if (whole) sum += !read_by_other(q, b, id, key);
        if (whole && q->f->group[base] != a) sum -= !among_inputs(&q->group[a], key);
    }
    return sum;
}

static void leave_group(fuser *q, uint32_t id) {
    making *m = &q->group[q->f->group[id]];
    uint32_t *at = &m->first;
    while (*at != id) at = &q->next[*at];
    *at = q->next[id];
    m->members--;
    m->steps--;
}

/* The walk computes a node with its first reader. Where the only operand that it takes from an
 * earlier group has no other reader, it may as well be computed there and be stored instead: a
 * carried gradient's product with its gate, both of which the earlier group has at hand. */
static void move_back(fuser *q, uint32_t id) {
    const uint32_t b = q->f->group[id];
    if (!b || q->root[id]) return;
    for (uint32_t i = 0; i < node_of(q, id)->n_in; i++) {
        const uint32_t in = wf_node_in(q->g, id)[i], from = q->f->base[in], a = q->f->group[from];
        if (!a || a == b || id > q->group[a].when || q->root[from] || !q->same[in]) continue;
        bool only = true; /* reader of `from` outside a */
        for (uint32_t k = q->at[from]; k < q->at[from + 1] && only; k++)
            only = q->reader[k].id == id ||
                   (q->f->group[q->reader[k].id] == a && q->reader[k].same);
        if (!only || saved(q, id, from, a, b) <= 0) continue;
        leave_group(q, id);
        if (join(q, a, id)) return;
        q->next[id] = q->group[b].first; /* no room: back to where it was */
        q->group[b].first = id;
        q->group[b].members++;
        q->group[b].steps++;
        q->f->group[id] = b;
        q->f->when[id] = q->group[b].when;
    }
}

/* --- the result ------------------------------------------------------------------------------- */

static wf_shape space_of(const making *m) {
    wf_shape s = {.rank = (int32_t)m->cuts + 1};
    int64_t inner = 1;
    for (uint32_t i = 0; i < m->cuts; i++) {
        s.dim[m->cuts - i] = m->cut[i] / inner;
        inner = m->cut[i];
    }
    s.dim[0] = m->count / inner;
    return s;
}

/* Numbers the groups of more than one member in the order of launches, and lists their members. */
static bool collect(fuser *q) {
    wf_fusion *f = q->f;
    const uint32_t n = wf_graph_size(q->g);
    uint32_t *number = calloc((size_t)q->n + 1, sizeof *number), total = 0;
    f->list = calloc((size_t)q->n + 1, sizeof *f->list);
    f->member = calloc(n, sizeof *f->member);
    if (!number || !f->list || !f->member) {
        free(number);
        return false;
    }
    for (uint32_t id = 1; id < n; id++)
        f->stored[id] = f->group[id] && leaves(q, id, f->group[id], f->group[id]);
    for (uint32_t i = q->n; i > 0; i--) { /* made from the last to the first */
        if (q->group[i].members < 2) continue;
        number[i] = ++f->n;
        f->list[f->n] = (wf_fused){.first = total, .space = space_of(&q->group[i])};
        total += q->group[i].members;
    }
    for (uint32_t id = 1; id < n; id++) {
        f->group[id] = number[f->group[id]];
        if (!f->group[id]) continue;
        wf_fused *l = &f->list[f->group[id]];
        f->member[l->first + l->n++] = id;
    }
    free(number);
    return true;
}

/* The group that node `id` is launched with or right behind; 0: neither. */
static uint32_t launched_with(const fuser *q, uint32_t id) {
    if (q->f->group[id] || q->f->when[id] == id) return q->f->group[id];
    return q->f->group[q->owner[wf_node_in(q->g, id)[0]]];
}

/* Reductions that wait, and views of values that are not computed yet. */
static void defer(fuser *q) {
    wf_fusion *f = q->f;
    for (uint32_t id = wf_graph_size(q->g); id-- > 1;) {
        const uint32_t owner = q->owner[id], group = q->live[id] ? launched_with(q, owner) : 0;
        if (!group || f->group[id] || f->when[owner] < id) continue;
        f->when[id] = f->when[owner];
        f->next[id] = f->list[group].deferred;
        f->list[group].deferred = id;
    }
}

static bool fuse_all(fuser *q, const wf_stage *s, bool on) {
    find_roots(q, s);
    find_owners(q);
    for (uint32_t id = 1; id < wf_graph_size(q->g); id++) q->f->when[id] = id;
    if (!find_readers(q)) return false;
    for (uint32_t id = 1; id < wf_graph_size(q->g); id++) /* an output seen by a view leaves */
        if (q->root[id]) q->root[q->owner[id]] = true;
    for (uint32_t id = wf_graph_size(q->g); on && id-- > 1;)
        if (q->live[id] && wf_fusible(q->g, id) && !place(q, id)) return false;
    merge_all(q);
    for (uint32_t id = wf_graph_size(q->g); id-- > 1;) move_back(q, id);
    if (!collect(q)) return false;
    defer(q);
    return true;
}

wf_status wf_fuse(wf_fusion *f, const wf_stage *s, bool views, bool on) {
    const size_t n = wf_graph_size(s->graph);
    *f = (wf_fusion){.group = calloc(n, sizeof *f->group),
                     .when = calloc(n, sizeof *f->when),
                     .base = calloc(n, sizeof *f->base),
                     .next = calloc(n, sizeof *f->next),
                     .stored = calloc(n, sizeof *f->stored)};
    fuser q = {.f = f, .g = s->graph, .views = views,
               .live = calloc(n, sizeof *q.live),
               .root = calloc(n, sizeof *q.root),
               .owner = calloc(n, sizeof *q.owner),
               .same = calloc(n, sizeof *q.same),
               .next = calloc(n, sizeof *q.next),
               .at = calloc(n + 1, sizeof *q.at)};
    const bool ok = f->group && f->when && f->base && f->next && f->stored && q.live && q.root &&
                    q.owner && q.same && q.next && q.at && fuse_all(&q, s, on);
    void *const own[] = {q.live, q.root, q.owner, q.same, q.next, q.at, q.reader, q.group};
    for (size_t i = 0; i < WF_COUNT(own); i++) free(own[i]);
    if (ok) return WF_OK;
    wf_fusion_free(f);
    return wf_fail(WF_MEMORY, "out of memory in the compiler");
}

void wf_fusion_free(wf_fusion *f) {
    void *const own[] = {f->group, f->when, f->base, f->next, f->stored, f->list, f->member};
    for (size_t i = 0; i < WF_COUNT(own); i++) free(own[i]);
    memset(f, 0, sizeof *f);
}

/* --- why not ---------------------------------------------------------------------------------- */

wf_apart wf_fusion_apart(const wf_fusion *f, const wf_graph *g, uint32_t id, uint32_t by,
                         bool first) {
    const wf_shape *a = &wf_graph_node(g, id)->type.shape;
    const wf_shape *b = &wf_graph_node(g, by)->type.shape;
    if (f->group[id] && f->group[id] == f->group[by]) return WF_APART_NOT;
    if (!wf_fusible(g, id) || !wf_fusible(g, by)) return WF_APART_KIND;
    bool same = false;
    for (uint32_t i = 0; i < wf_graph_node(g, by)->n_in; i++)
        same = same || f->base[wf_node_in(g, by)[i]] == id;
    if (!same) return WF_APART_ORDER;
    if (wf_shape_count(a) != wf_shape_count(b)) return WF_APART_COUNT;
    making m = {.count = wf_shape_count(a)};
    if (!add_cuts(&m, a) || !add_cuts(&m, b)) return WF_APART_SHAPE;
    return first ? WF_APART_LIMIT : WF_APART_EARLIER;
}
