/* Chains: kernels that go over the same rows run one after another on a block of rows, while it is
 * in cache.
 *
 *   launch 0: contract f32[8192,256]         chain of 3 launches, 32 blocks of 256 rows:
 *   launch 1: group    f32[8192,64], which     launch 0: contract -> tile f32[256,256]
 *             reads four slices of it          launch 1: group, which reads the tile
 *   launch 2: sum over the rows of a           launch 2: sum -> 32 partials
 *             result of launch 1             launch 3: merges the partials
 *
 * A chain has an anchor that says what rows are: a contraction, whose kernel also cuts the blocks,
 * or a reduction. Groups and reductions that read what the chain has written join it, moved up to
 * it over launches that they do not depend on; or the anchor is moved down to them. A value that
 * nobody outside wants lives in a tile: the scratch of a worker, as large as a block.
 *
 * Legal, because for each storage that a member writes: all windows on it have one step from row to
 * row, and together they stay within a step. So a block touches only what its own rows are. */
#include <stdlib.h>
#include <string.h>

#include "compiler/plan.h"
#include "tensor/size.h"

enum {
    FAR = 48,               /* launches that one may move over */
    MEMBERS = 12,
    WINDOWS = 160,
    BLOCK_BYTES = 128 << 10, /* of a block that no kernel cuts */
    LEAST_BYTES = 16 << 10,
    BLOCKS = 512,           /* at most, where partials are left; at least 16 if they are large */
    FOLD_BYTES = 4 << 20,
    TILE_BYTES = 1 << 20,
};

/* The bytes of an array in its storage, by rows. */
typedef struct window {
    uint32_t storage;
    int64_t step;   /* bytes from row to row; 0: touched as a whole */
    int64_t lo, hi; /* of row 0; of all */
    bool write;
} window;

typedef struct draft {
    int64_t rows;
    uint32_t id[MEMBERS];
    int64_t scale[MEMBERS];
    bool folds[MEMBERS];
    uint32_t n;
    int64_t blocks; /* 0: rows may be cut anywhere */
    window w[WINDOWS];
    uint32_t n_w;
} draft;

typedef struct chainer {
    wf_plan *p;
    uint32_t n;            /* launches at the beginning; also the end of the list */
    uint32_t *next, *prev; /* (n + 1) */
    uint32_t *chain;       /* (n) 1 + the chain of a launch */
    uint8_t *mark;         /* (storages) 1: read, 2: written by launches in between */
    draft d;
    uint32_t between[FAR], n_between; /* marked */
    uint32_t *owner;       /* (storages) the chain that has it for itself */
    uint32_t *due, n_due;  /* (n) folds whose partials are not merged yet */
} chainer;

/* --- windows ---------------------------------------------------------------------------------- */

static window window_of(const wf_array *a, const wf_operand *at, int64_t rows, bool write) {
    const wf_window w = wf_window_of(a, at->offset, rows);
    return (window){at->storage, w.step, w.lo, w.hi, write};
}

/* The window over all rows. */
static window whole(window w, int64_t rows) {
    w.hi += w.step * (rows - 1);
    w.step = 0;
    return w;
}

static bool conflict(const window *a, const window *b, int64_t rows) {
    if (a->storage != b->storage || !(a->write || b->write)) return false;
    if (a->step && a->step == b->step) {
        const int64_t lo = a->lo < b->lo ? a->lo : b->lo, hi = a->hi > b->hi ? a->hi : b->hi;
        return hi - lo > a->step;
    }
    const window x = whole(*a, rows), y = whole(*b, rows);
    return x.lo < y.hi && y.lo < x.hi;
}

/* --- members ---------------------------------------------------------------------------------- */

static const wf_launch *launch(const chainer *q, uint32_t id) { return &q->p->launch[id]; }

static wf_call call_of(const wf_plan *p, const wf_launch *l) {
    wf_call c = l->call;
    c.in = p->array + l->array;
    c.out = p->array[l->array + (uint32_t)c.n_in];
    return c;
}

/* A kernel that cuts the blocks can only be the first member. */
static bool form_of(const chainer *q, uint32_t id, bool follows, wf_row_form *form) {
    const wf_launch *l = launch(q, id);
    if (l->group || !l->fast || !l->fast->by_rows || (follows && l->fast->by_rows->block))
        return false;
    const wf_call c = call_of(q->p, l);
    return l->fast->by_rows->form(&c, form);
}

/* Adds the windows of launch `id` to those of the draft, if they agree with them. *kin: it reads
 * what a member writes. */
static bool add_windows(chainer *q, uint32_t id, const wf_row_form *form, bool *kin) {
    draft *d = &q->d;
    const wf_launch *l = launch(q, id);
    const uint32_t n_in = (uint32_t)l->call.n_in, n = n_in + l->n_out, before = d->n_w;
    if (before + n > WINDOWS) return false;
    for (uint32_t i = 0; i < n; i++) {
        const wf_array *a = &q->p->array[l->array + i];
        const wf_operand *at = &q->p->operand[l->array + i];
        const bool result = i >= n_in;
        const bool by_row = l->group || (result ? !form->folds : form->step > 0);
        window w = window_of(a, at, d->rows, result);
        if (!by_row) w = whole(w, d->rows);
        if (form && !result && by_row &&
            w.step != form->step * (form->rows / d->rows) * (int64_t)wf_dtype_bytes(a->dtype))
            return false;
        if (form && result && by_row && !w.step) return false;
        for (uint32_t k = 0; k < before; k++) {
            if (conflict(&d->w[k], &w, d->rows)) return false;
            *kin |= !result && w.step && d->w[k].write && d->w[k].storage == w.storage;
        }
        d->w[d->n_w++] = w;
    }
    return true;
}

static int64_t elements(const chainer *q, uint32_t id) {
    return wf_shape_count(&q->p->array[launch(q, id)->array].shape);
}

static bool small_partials(const chainer *q, uint32_t id) {
    const wf_call c = call_of(q->p, launch(q, id));
    const int64_t blocks = q->d.blocks ? q->d.blocks : BLOCKS;
    return c.op->fast->by_rows->fold_bytes(&c, blocks) <= FOLD_BYTES;
}

/* A first look: the storages alone. */
static bool reads_member(const chainer *q, uint32_t id) {
    const wf_launch *l = launch(q, id);
    for (uint32_t i = 0; i < (uint32_t)l->call.n_in; i++)
        for (uint32_t k = 0; k < q->d.n_w; k++)
            if (q->d.w[k].write && q->d.w[k].storage == q->p->operand[l->array + i].storage)
                return true;
    return false;
}

/* Makes launch `id` the last member, if it goes by the same rows; `must`: and reads a member. */
static bool add_member(chainer *q, uint32_t id, bool must) {
    draft *d = &q->d;
    const wf_launch *l = launch(q, id);
    const uint32_t before = d->n_w;
    wf_row_form form = {0};
    bool kin = false;
    if (d->n == MEMBERS || q->chain[id] || (must && !reads_member(q, id)) ||
        !(l->group || form_of(q, id, d->n > 0, &form)))
        return false;
    const int64_t rows = l->group ? elements(q, id) : form.rows;
    if (rows % d->rows || (form.folds && !small_partials(q, id)) ||
        !add_windows(q, id, l->group ? NULL : &form, &kin) || (must && !kin)) {
        d->n_w = before;
        return false;
    }
    d->scale[d->n] = rows / d->rows;
    d->folds[d->n] = form.folds;
    if (d->n == 0) d->blocks = form.blocks;
    d->id[d->n++] = id;
    return true;
}

/* --- moving ----------------------------------------------------------------------------------- */

static void unlink_launch(chainer *q, uint32_t id) {
    q->next[q->prev[id]] = q->next[id];
    q->prev[q->next[id]] = q->prev[id];
}

static void link_after(chainer *q, uint32_t id, uint32_t at) {
    q->prev[id] = at;
    q->next[id] = q->next[at];
    q->prev[q->next[at]] = id;
    q->next[at] = id;
}

static void mark(chainer *q, uint32_t id, uint8_t read, uint8_t write) {
    const wf_launch *l = launch(q, id);
    for (uint32_t i = 0; i < (uint32_t)l->call.n_in + l->n_out; i++) {
        uint8_t *m = &q->mark[q->p->operand[l->array + i].storage];
        const uint8_t bits = i >= (uint32_t)l->call.n_in ? write : read;
        *m = bits ? *m | bits : 0;
    }
}

static void pass_over(chainer *q, uint32_t id) {
    mark(q, id, 1, 2);
    q->between[q->n_between++] = id;
}

static void forget_passed(chainer *q) {
    while (q->n_between) mark(q, q->between[--q->n_between], 0, 0);
}

/* True if launch `id` may change places with all that are marked. */
static bool independent(const chainer *q, uint32_t id) {
    const wf_launch *l = launch(q, id);
    for (uint32_t i = 0; i < (uint32_t)l->call.n_in + l->n_out; i++) {
        const uint8_t m = q->mark[q->p->operand[l->array + i].storage];
        if (m > 1 || (m && i >= (uint32_t)l->call.n_in)) return false;
    }
    return true;
}

/* --- making a chain --------------------------------------------------------------------------- */

/* Launches behind the last member join it, moved up over those that do not; or the chain, while it
 * is one launch, is moved down to them. */
static void extend(chainer *q) {
    draft *d = &q->d;
    uint32_t last = d->id[d->n - 1];
    for (uint32_t at = q->next[last]; at != q->n && q->n_between < FAR;) {
        const uint32_t next = q->next[at];
        const bool up = independent(q, at), down = !up && d->n == 1 && independent(q, last);
        if ((up || down) && add_member(q, at, true)) {
            if (down) {
                unlink_launch(q, last);
                link_after(q, last, q->prev[at]);
                forget_passed(q);
            }
            unlink_launch(q, at);
            link_after(q, at, last);
            last = at;
        } else {
            pass_over(q, at);
        }
        at = next;
    }
    forget_passed(q);
}

static bool begin(chainer *q, uint32_t id, int64_t rows) {
    q->d.n = q->d.n_w = 0;
    q->d.rows = rows;
    return rows > 1 && add_member(q, id, false);
}

/* What a row is to a reduction of all elements: a line of the group, or about a thousand. */
static int64_t rows_of_all(const chainer *q, uint32_t id) {
    const wf_array *a = &q->p->array[launch(q, id)->array];
    int64_t each = a->shape.dim[a->shape.rank - 1];
    if (each > 4096)
        for (int64_t all = each, best = 1; best <= 1024; best *= 2)
            if (all % best == 0) each = best;
    return elements(q, id) / each;
}

/* Rows as the first reduction wants them that reads what group `id` writes; 0: there is none. */
static int64_t rows_by_reader(chainer *q, uint32_t id) {
    const wf_launch *l = launch(q, id);
    uint32_t at = q->next[id];
    mark(q, id, 0, 2);
    int64_t rows = 0;
    for (int looked = 0; looked < FAR && at != q->n && !rows; looked++, at = q->next[at]) {
        const wf_launch *r = launch(q, at);
        wf_row_form form;
        if (r->group || r->call.n_in != 1 || !q->mark[q->p->operand[r->array].storage] ||
            q->chain[at] || !form_of(q, at, true, &form))
            continue;
        rows = form.rows == elements(q, id) ? rows_of_all(q, id) : form.rows;
    }
    mark(q, id, 0, 0);
    return l->rows == 1 ? rows : 0;
}

/* A chain of the draft's launches. */
static bool commit(chainer *q) {
    wf_plan *p = q->p;
    const draft *d = &q->d;
    if (!wf_plan_room((void **)&p->chain, &p->chain_cap, p->n_chain, 1, sizeof *p->chain))
        return false;
    p->chain[p->n_chain++] = (wf_chain){.n = d->n, .rows = d->rows, .blocks = d->blocks};
    for (uint32_t i = 0; i < d->n; i++) {
        q->chain[d->id[i]] = p->n_chain;
        p->launch[d->id[i]].chain = p->n_chain;
        p->launch[d->id[i]].scale = d->scale[i];
        p->launch[d->id[i]].folds = d->folds[i];
    }
    return true;
}

static bool find_chains(chainer *q) {
    for (uint32_t id = q->next[q->n], next; id != q->n; id = next) {
        next = q->next[id];
        if (q->chain[id]) continue;
        wf_row_form form = {0};
        int64_t rows = 0;
        if (launch(q, id)->group) rows = rows_by_reader(q, id);
        else if (form_of(q, id, false, &form) && !form.folds) rows = form.rows;
        if (!begin(q, id, rows)) continue;
        extend(q);
        if (q->d.n > 1 && !commit(q)) return false;
    }
    return true;
}

/* --- blocks ----------------------------------------------------------------------------------- */

/* Bytes of a row of all members' arrays. */
static int64_t row_bytes(const wf_plan *p, const wf_chain *c) {
    int64_t sum = 0;
    for (uint32_t m = c->first; m < c->first + c->n; m++) {
        const wf_launch *l = &p->launch[m];
        for (uint32_t i = 0; i < (uint32_t)l->call.n_in + l->n_out; i++) {
            const window w = window_of(&p->array[l->array + i], &p->operand[l->array + i],
                                       c->rows, false);
            if (w.step) sum += w.hi - w.lo;
        }
    }
    return sum ? sum : 1;
}

static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

static void cut_blocks(const wf_plan *p, wf_chain *c) {
    const wf_launch *head = &p->launch[c->first];
    if (c->blocks) {
        const wf_call call = call_of(p, head);
        int64_t first;
        head->fast->by_rows->block(&call, 0, &first, &c->most_rows); /* none has more */
        return;
    }
    const int64_t each = row_bytes(p, c);
    int64_t rows = most(1, BLOCK_BYTES / each);
    if (ceil_div(c->rows, rows) < 16)
        rows = most(ceil_div(c->rows, 16), least(c->rows, most(1, LEAST_BYTES / each)));
    rows = most(rows, ceil_div(c->rows, BLOCKS));
    c->most_rows = c->block_rows = rows;
    c->blocks = ceil_div(c->rows, rows);
}

/* --- the new order ---------------------------------------------------------------------------- */

/* Partials of a fold, one a block. */
static wf_status add_partials(wf_plan *p, const wf_chain *c, wf_launch *l) {
    const wf_call call = call_of(p, l);
    l->slices = c->blocks;
    l->shared = wf_plan_storage(p, WF_WHERE_ARENA,
                                l->fast->by_rows->fold_bytes(&call, l->slices), NULL);
    return l->shared ? WF_OK : WF_MEMORY;
}

/* The launch that merges the partials of a fold. */
static wf_status add_merge(wf_plan *p, const wf_launch *fold) {
    if (!wf_plan_room((void **)&p->pieces, &p->pieces_cap, p->n_pieces, 1, sizeof *p->pieces))
        return wf_fail(WF_MEMORY, "out of memory in the compiler");
    wf_launch l = *fold;
    l.chain = 0;
    l.folds = false;
    l.merges = true;
    l.phases = 1;
    l.pieces = p->n_pieces++;
    p->launch[p->n_launch++] = l;
    return WF_OK;
}

/* A chain's launches, which begin at from[*at]; merges are due behind them. */
static wf_status add_chain(chainer *q, const wf_launch *from, wf_chain *c, uint32_t *at) {
    wf_plan *p = q->p;
    wf_status s = WF_OK;
    c->first = p->n_launch;
    for (uint32_t i = 0; i < c->n; i++, *at = q->next[*at]) p->launch[p->n_launch++] = from[*at];
    if (!c->blocks) p->launch[c->first].phases = 1;
    cut_blocks(p, c);
    for (uint32_t i = c->first; i < c->first + c->n && s == WF_OK; i++)
        if (p->launch[i].folds) s = add_partials(p, c, &p->launch[i]);
    for (uint32_t i = c->first; i < c->first + c->n && s == WF_OK; i++)
        if (p->launch[i].folds) q->due[q->n_due++] = i;
    return s;
}

static uint8_t *result_of(chainer *q, uint32_t fold) {
    return &q->mark[q->p->operand[q->p->launch[fold].array + 1].storage];
}

/* The merges that are due, before launch from[at], or the chain that it begins, touches a result of
 * theirs: so those of all time steps stand side by side. at = q->n: all. */
static wf_status add_due(chainer *q, const wf_launch *from, uint32_t at) {
    wf_plan *p = q->p;
    wf_status s = WF_OK;
    bool now = at == q->n;
    const uint32_t chain = now ? 0 : q->chain[at];
    for (uint32_t i = 0; i < q->n_due; i++) *result_of(q, q->due[i]) = 1;
    for (bool more = !now; more && !now; more = chain && at != q->n && q->chain[at] == chain) {
        const wf_launch *l = &from[at];
        for (uint32_t k = 0; k < (uint32_t)l->call.n_in + l->n_out; k++)
            now |= q->mark[p->operand[l->array + k].storage];
        at = q->next[at];
    }
    for (uint32_t i = 0; i < q->n_due; i++) *result_of(q, q->due[i]) = 0;
    for (uint32_t i = 0; i < q->n_due && now && s == WF_OK; i++)
        s = add_merge(p, &p->launch[q->due[i]]);
    if (now) q->n_due = 0;
    return s;
}

static wf_status rebuild(chainer *q) {
    wf_plan *p = q->p;
    wf_launch *from = p->launch;
    const uint32_t cap = 2 * q->n;
    wf_status s = WF_OK;
    p->launch = malloc(cap * sizeof *p->launch);
    p->launch_cap = cap;
    p->n_launch = 0;
    if (!p->launch) s = wf_fail(WF_MEMORY, "out of memory in the compiler");
    for (uint32_t at = q->next[q->n]; at != q->n && s == WF_OK;) {
        s = add_due(q, from, at);
        if (s) break;
        if (q->chain[at]) {
            s = add_chain(q, from, &p->chain[q->chain[at] - 1], &at);
        } else {
            p->launch[p->n_launch++] = from[at];
            at = q->next[at];
        }
    }
    if (!s) s = add_due(q, from, q->n);
    free(from);
    return s;
}

/* --- tiles ------------------------------------------------------------------------------------ */

enum { FREE = 0, OUTSIDE = UINT32_MAX };

/* Who touches a storage: one chain and always by the same rows, or somebody else. */
static void claim(chainer *q, const wf_launch *l, uint32_t i) {
    const wf_plan *p = q->p;
    const wf_operand *at = &p->operand[l->array + i];
    uint32_t *owner = &q->owner[at->storage];
    const wf_storage *s = &p->storage[at->storage];
    if (!l->chain || l->rows != 1 || s->where != WF_WHERE_ARENA) {
        *owner = OUTSIDE;
        return;
    }
    const int64_t rows = p->chain[l->chain - 1].rows;
    const window w = window_of(&p->array[l->array + i], at, rows, false);
    const bool fits = w.step && w.lo >= 0 && w.hi <= w.step &&
                      (size_t)w.step * (size_t)rows == s->bytes;
    *owner = fits && (*owner == FREE || *owner == l->chain) ? l->chain : OUTSIDE;
}

static void find_tiles(chainer *q) {
    wf_plan *p = q->p;
    for (uint32_t i = 0; i < p->n_launch; i++) {
        const wf_launch *l = &p->launch[i];
        const uint32_t n_in = (uint32_t)l->call.n_in, n = n_in + l->n_out;
        for (uint32_t k = l->merges ? n_in : 0; k < n; k++) claim(q, l, k);
        if (l->shared) q->owner[l->shared] = OUTSIDE;
        if (l->chain) p->chain[l->chain - 1].bytes += n * sizeof(wf_array);
    }
    for (uint32_t i = 0; i < p->n_chain; i++)
        p->chain[i].bytes = (p->chain[i].bytes + WF_ALIGN - 1) / WF_ALIGN * WF_ALIGN;
    for (uint32_t i = 1; i < p->n_storage; i++) {
        if (q->owner[i] == FREE || q->owner[i] == OUTSIDE) continue;
        wf_storage *s = &p->storage[i];
        wf_chain *c = &p->chain[q->owner[i] - 1];
        const size_t row = s->bytes / (size_t)c->rows;
        const size_t bytes = (row * (size_t)c->most_rows + WF_ALIGN - 1) / WF_ALIGN * WF_ALIGN;
        if (c->bytes + bytes > TILE_BYTES) continue;
        s->where = WF_WHERE_TILE;
        s->row_bytes = row;
        s->offset = c->bytes;
        c->bytes += bytes;
        p->tile_bytes += s->bytes;
    }
    for (uint32_t i = 0; i < p->n_chain; i++)
        if (p->chain[i].bytes > p->chain_bytes) p->chain_bytes = p->chain[i].bytes;
}

/* --- the whole -------------------------------------------------------------------------------- */

wf_status wf_plan_chains(wf_plan *p) {
    const uint32_t n = p->n_launch;
    chainer q = {.p = p, .n = n,
                 .next = calloc((size_t)n + 1, sizeof *q.next),
                 .prev = calloc((size_t)n + 1, sizeof *q.prev),
                 .chain = calloc((size_t)n + 1, sizeof *q.chain),
                 .mark = calloc((size_t)p->n_storage + 1, 1),
                 .due = calloc((size_t)n + 1, sizeof *q.due)};
    wf_status s = WF_OK;
    if (!q.next || !q.prev || !q.chain || !q.mark || !q.due)
        s = wf_fail(WF_MEMORY, "out of memory in the compiler");
    for (uint32_t i = 0; i <= n && s == WF_OK; i++) {
        q.next[i] = i == n ? 0 : i + 1;
        q.prev[i] = i == 0 ? n : i - 1;
    }
    if (n > 1 && s == WF_OK && !find_chains(&q)) s = WF_MEMORY;
    if (p->n_chain && s == WF_OK) s = rebuild(&q);
    if (p->n_chain && s == WF_OK) s = wf_chain_folds(p);
    if (p->n_chain && s == WF_OK) {
        q.owner = calloc((size_t)p->n_storage + 1, sizeof *q.owner);
        if (q.owner) find_tiles(&q);
        else s = wf_fail(WF_MEMORY, "out of memory in the compiler");
    }
    void *const own[] = {q.next, q.prev, q.chain, q.mark, q.due, q.owner};
    for (size_t i = 0; i < WF_COUNT(own); i++) free(own[i]);
    return s;
}
