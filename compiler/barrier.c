/* Barriers: a launch waits for the others only if a worker touches bytes that another wrote since
 * the last barrier, or writes bytes that another read.
 *
 * Works on ranges of bytes after offsets are known, so that reuse of the arena by unrelated values
 * counts too, and values side by side in one storage do not. Where a launch goes by rows, each
 * worker has its own range: the rows of its share. So a recurrence over images needs no barrier, as
 * long as every worker keeps to its images. Shares depend on the number of workers; a second set of
 * barriers holds for any. */
#include <stdlib.h>

#include "compiler/plan.h"

enum {
    MOST = 320,  /* ranges remembered; a barrier too many is cheaper than a long search */
    WORKERS = 64 /* more are not told apart */
};

/* Bytes touched since the last barrier. Leaves and buffers are spaces of their own. */
typedef struct range {
    uint32_t space; /* 0: arena; else a storage */
    int64_t lo, hi;
    bool write, single, cut; /* cut: by workers, in epoch->share */
    bool partials;           /* slices of a fold: no two blocks write one */
} range;

typedef struct epoch {
    range r[MOST];
    int64_t (*share)[2][WORKERS]; /* (MOST) lo and hi of worker w, both ascending in w */
    int n;
} epoch;

typedef struct walker {
    const wf_plan *p;
    int workers;               /* 0: whatever their number */
    int64_t row[WORKERS + 1];  /* where the share of worker w begins */
    int64_t rows;              /* of the launch that is looked at; 0: it does not go by rows */
    bool single;
    epoch before, now;
} walker;

/* --- shares ----------------------------------------------------------------------------------- */

/* Rows of a lone group: lines, or elements if lines are cut. */
static void cut_sweep(walker *q, const wf_launch *l) {
    const wf_sweep *s = &q->p->sweep[l->group - 1];
    const wf_array *a = &q->p->array[s->array];
    const int64_t cols = a->shape.dim[a->shape.rank - 1], count = wf_shape_count(&a->shape);
    const int64_t width = ((cols + s->cuts - 1) / s->cuts + 63) / 64 * 64;
    q->rows = s->cuts > 1 ? count : count / cols;
    for (int w = 0; w <= q->workers; w++) {
        const int64_t piece = s->pieces * w / q->workers, part = piece % s->cuts * width;
        q->row[w] = s->cuts > 1 ? piece / s->cuts * cols + (part < cols ? part : cols)
                                : piece * s->lines;
        if (q->row[w] > q->rows) q->row[w] = q->rows;
    }
}

static void cut_blocks(walker *q, const wf_launch *l, int64_t blocks, int64_t each) {
    for (int w = 0; w <= q->workers; w++) {
        const int64_t b = blocks * w / q->workers;
        int64_t n = 0;
        q->row[w] = each ? b * each : q->rows;
        if (!each && b < blocks) l->fast->by_rows->block(&l->call, b, &q->row[w], &n);
        if (q->row[w] > q->rows) q->row[w] = q->rows;
    }
}

/* The rows of each worker in launch l; form: of its kernel. */
static void find_shares(walker *q, const wf_launch *l, wf_row_form *form) {
    q->rows = 0;
    *form = (wf_row_form){0};
    if (q->workers == 0 || l->single || l->merges) return;
    const wf_chain *c = l->chain ? &q->p->chain[l->chain - 1] : NULL;
    const bool kernel = !l->group && l->fast && l->fast->by_rows &&
                        l->fast->by_rows->form(&l->call, form);
    if (c) {
        q->rows = c->rows;
        cut_blocks(q, l, c->blocks, c->block_rows);
    } else if (l->group && l->rows == 1) {
        cut_sweep(q, l);
    } else if (kernel && form->blocks) {
        q->rows = form->rows;
        cut_blocks(q, l, form->blocks, 0);
    }
}

/* The part of each worker in rows `row` of a window; *whole: that of all. */
static bool cut_window(const walker *q, wf_window w, int64_t each, int64_t shift,
                       int64_t share[2][WORKERS]) {
    if (w.step <= 0) return false;
    for (int i = 0; i < q->workers; i++) {
        if (q->row[i] % each || q->row[i + 1] % each) return false;
        const int64_t first = q->row[i] / each, last = q->row[i + 1] / each;
        share[0][i] = shift + w.lo + first * w.step;
        share[1][i] = first < last ? shift + w.hi + (last - 1) * w.step : share[0][i];
    }
    return true;
}

/* --- ranges ----------------------------------------------------------------------------------- */

static range range_of(const wf_plan *p, uint32_t storage, const wf_array *a, int64_t offset) {
    const wf_storage *s = &p->storage[storage];
    const bool arena = s->where == WF_WHERE_ARENA;
    const int64_t at = arena ? (int64_t)s->offset : 0;
    wf_window w = {0, 0, (int64_t)s->bytes};
    if (a) w = wf_window_of(a, offset, 1);
    return (range){.space = arena ? 0 : storage, .lo = at + w.lo, .hi = at + w.hi, .write = !a};
}

/* Rows of array k of launch l that one row of the shares stands for; 0: it is touched as a whole.
 * *of: the rows of the array. */
static int64_t rows_for(const walker *q, const wf_launch *l, const wf_row_form *form, uint32_t k,
                        int64_t *of) {
    const bool result = k >= (uint32_t)l->call.n_in;
    *of = q->rows;
    if (q->rows == 0) return 0;
    if (l->group || (result ? !form->folds : form->step > 0)) return 1;
    if (result || form->lead == 0 || k >= 64 || !(form->led >> k & 1)) return 0;
    *of = form->lead;
    return q->rows / form->lead;
}

static bool add_range(walker *q, range r) {
    if (q->now.n >= MOST) return false;
    r.single = q->single;
    q->now.r[q->now.n++] = r;
    return true;
}

/* Operands and results of each row of launch l, and its shared area. False: no room. */
static bool add_ranges(walker *q, const wf_launch *l) {
    const wf_plan *p = q->p;
    const uint32_t n_in = (uint32_t)l->call.n_in, arrays = n_in + l->n_out;
    wf_row_form form = {0};
    if (q->rows && !l->group) l->fast->by_rows->form(&l->call, &form);
    for (uint32_t row = 0; row < l->rows; row++) {
        const uint32_t at = l->group ? p->sweep[l->group - 1 + row].array : l->array;
        for (uint32_t k = l->merges ? n_in : 0; k < arrays; k++) {
            const wf_operand *o = &p->operand[at + k];
            int64_t of;
            if (p->storage[o->storage].where == WF_WHERE_TILE || (l->folds && k >= n_in)) continue;
            range r = range_of(p, o->storage, &p->array[at + k], o->offset);
            const int64_t each = rows_for(q, l, &form, k, &of);
            const int64_t shift = r.space ? 0 : (int64_t)p->storage[o->storage].offset;
            r.write = k >= n_in;
            r.cut = each && q->now.n < MOST &&
                    cut_window(q, wf_window_of(&p->array[at + k], o->offset, of), each, shift,
                               q->now.share[q->now.n]);
            if (!add_range(q, r)) return false;
        }
    }
    if (!l->shared) return true;
    range r = range_of(p, l->shared, NULL, 0);
    r.partials = l->folds;
    return add_range(q, r);
}

/* Those of a launch, or of all members of the chain that it begins. */
static void find_ranges(walker *q, uint32_t id) {
    const wf_launch *l = &q->p->launch[id];
    const uint32_t members = l->chain ? q->p->chain[l->chain - 1].n : 1;
    wf_row_form form;
    q->now.n = 0;
    q->single = l->single; /* of a chain: its first member's */
    find_shares(q, l, &form);
    for (uint32_t m = 0; m < members && q->now.n <= MOST; m++)
        if (!add_ranges(q, &q->p->launch[id + m])) q->now.n = MOST + 1;
}

/* --- conflicts -------------------------------------------------------------------------------- */

/* True if no worker's part of x meets another worker's part of y. */
static bool own_parts(const walker *q, int64_t (*x)[WORKERS], int64_t (*y)[WORKERS]) {
    for (int w = 1; w < q->workers; w++)
        if (x[0][w] < y[1][w - 1] || y[0][w] < x[1][w - 1]) return false;
    return true;
}

static bool conflicts(const walker *q, int now) {
    const range *r = &q->now.r[now];
    for (int i = 0; i < q->before.n; i++) {
        const range *x = &q->before.r[i];
        if (x->space != r->space || x->lo >= r->hi || r->lo >= x->hi || !(x->write || r->write) ||
            (x->single && r->single) || (x->partials && r->partials && x->lo == r->lo))
            continue;
        if (!x->cut || !r->cut || !own_parts(q, q->before.share[i], q->now.share[now]))
            return true;
    }
    return false;
}

static bool must_wait(const walker *q) {
    if (q->before.n + q->now.n > MOST) return q->before.n > 0;
    for (int i = 0; i < q->now.n; i++)
        if (conflicts(q, i)) return true;
    return false;
}

/* True if the range is there already: weights that every step reads, partials. */
static bool is_known(walker *q, int now) {
    const range *r = &q->now.r[now];
    for (int i = 0; i < q->before.n; i++) {
        range *x = &q->before.r[i];
        if (x->space != r->space || x->lo != r->lo || x->hi != r->hi || x->single != r->single ||
            x->cut != r->cut || x->partials != r->partials)
            continue;
        bool same = true;
        for (int side = 0; r->cut && side < 2; side++)
            for (int w = 0; w < q->workers; w++)
                same &= q->before.share[i][side][w] == q->now.share[now][side][w];
        if (!same) continue;
        x->write |= r->write;
        return true;
    }
    return false;
}

static void remember(walker *q) {
    epoch *b = &q->before;
    if (q->now.n > MOST) { /* not remembered: the next launch waits in any case */
        b->n = MOST;
        return;
    }
    for (int i = 0; i < q->now.n; i++) {
        if (is_known(q, i)) continue;
        b->r[b->n] = q->now.r[i];
        for (int side = 0; q->now.r[i].cut && side < 2; side++)
            for (int w = 0; w < q->workers; w++)
                b->share[b->n][side][w] = q->now.share[i][side][w];
        b->n++;
    }
}

static void find_barriers(walker *q, wf_plan *p, int threads) {
    p->n_barriers = 0;
    for (int any = 0; any < 2; any++) {
        q->workers = any || threads > WORKERS ? 0 : threads;
        q->before.n = 0;
        for (uint32_t id = 0; id < p->n_launch; id++) {
            wf_launch *l = &p->launch[id];
            if (wf_launch_follows(p, id)) continue;
            find_ranges(q, id);
            const bool wait = must_wait(q);
            *(any ? &l->barrier_any : &l->barrier) = wait;
            p->n_barriers += wait && !any;
            if (wait) q->before.n = 0;
            remember(q);
        }
    }
}

wf_status wf_plan_barriers(wf_plan *p, int threads) {
    walker *q = calloc(1, sizeof *q);
    void *share = calloc(2 * MOST, sizeof *q->now.share);
    if (!q || !share) {
        free(q);
        free(share);
        return wf_fail(WF_MEMORY, "out of memory in the compiler");
    }
    q->p = p;
    q->now.share = share;
    q->before.share = q->now.share + MOST;
    p->team = threads;
    for (uint32_t id = 0; id < p->n_launch; id++) p->launch[id].single = p->launch[id].whole;
    p->alone = false;
    find_barriers(q, p, threads);
    if (p->may_be_alone && wf_plan_alone(p, threads)) find_barriers(q, p, threads);
    free(share);
    free(q);
    return WF_OK;
}
