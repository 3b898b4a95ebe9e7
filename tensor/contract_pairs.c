/* Operands into cells, where pairs are of rows: each row of floats is read where it is, or staged,
 * and paired with its neighbour in k. Rows that are missing are zero. */
#include <string.h>

#include "tensor/contract_piece.h"
#include "tensor/kernels/cells.h"

enum { STAGE = 8192 }; /* floats of rows that are gathered at once: half of L1 */

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

/* --- boxes ------------------------------------------------------------------------------------ */

/* A box of cells being filled. */
typedef struct filler {
    const wf_side *side;
    wf_pair_box b;
    const wf_cell_table *cells;
    int64_t n, padded;   /* along the unit axis: in the box; with its padding */
    int64_t first, last; /* positions of the unit axis that are in the array */
    int64_t index[WF_MAX_RANK];
    float *stage;        /* two rows, and one of zeros */
    uint32_t *dst;
    int64_t lo;          /* cells to the lo part; 0: none */
} filler;

static bool dense(const filler *f) {
    return f->side->array->stride[f->b.unit] == 1 && f->first == 0 && f->last == f->n;
}

/* Elements from the array's data to position x of the pair axis, where `base` is at x = 0 and at
 * the first of the unit axis. */
static int64_t at_of(const filler *f, int64_t base, int64_t x) {
    return base + x * f->side->array->stride[f->b.axis];
}

/* A row as floats: in place, or staged; NULL of a position that is outside stands for zeros. */
static const float *float_row(const filler *f, int64_t at, bool inside, float *stage) {
    const wf_array *a = f->side->array;
    if (!inside) return f->stage + 2 * f->n;
    if (a->dtype == WF_F32 && dense(f)) return (const float *)a->data + at;
    const int64_t step = a->stride[f->b.unit];
    for (int64_t i = 0; i < f->first; i++) stage[i] = 0;
    for (int64_t i = most(f->first, f->last); i < f->n; i++) stage[i] = 0;
    if (a->dtype == WF_BF16) {
        const uint16_t *from = (const uint16_t *)a->data + at;
        if (step == 1 && f->last > f->first)
            f->cells->widen(from + f->first, f->last - f->first, stage + f->first);
        else
            for (int64_t i = f->first; i < f->last; i++)
                f->cells->widen(from + i * step, 1, stage + i);
    } else {
        const float *from = (const float *)a->data + at;
        for (int64_t i = f->first; i < f->last; i++) stage[i] = from[i * step];
    }
    return stage;
}

static void put_cells(const filler *f, const float *x, const float *y, int64_t n, uint32_t *to) {
    f->cells->pair(x, y, n, to, f->lo ? to + f->lo : NULL);
}

static void put_zeros(const filler *f, int64_t n, uint32_t *to) {
    memset(to, 0, (size_t)n * sizeof *to);
    if (f->lo) memset(to + f->lo, 0, (size_t)n * sizeof *to);
}

/* All pairs along the pair axis, from where all other indices are 0 in the box. */
static void fill_line(const filler *f, int64_t base, uint32_t *to) {
    const wf_array *a = f->side->array;
    const int axis = f->b.axis;
    const int64_t origin = f->b.box.lo[axis], n = f->b.box.n[axis], limit = a->shape.dim[axis];
    const int64_t step = f->b.box.stride[axis], apart = f->b.apart;
    /* Positions of which both values are inside, one after another in the array and in the box. */
    int64_t lo = most(-origin, -origin - apart), hi = least(limit - origin, limit - origin - apart);
    lo = most(0, most(lo, -apart));
    hi = least(n, least(hi, n - apart));
    lo += (f->b.hop - lo % f->b.hop) % f->b.hop;
    const int64_t rows = hi > lo ? (hi - lo + f->b.hop - 1) / f->b.hop : 0;
    const bool together = dense(f) && a->dtype == WF_F32 && f->padded == f->n && rows > 0;
    for (int64_t x = 0; x < n; x += f->b.hop, to += step) {
        if (together && x == lo) {
            const float *from = (const float *)a->data + at_of(f, base, x + origin);
            f->cells->lines(from, apart * a->stride[axis], f->b.hop * a->stride[axis], rows, f->n,
                            to, step, f->lo);
            to += (rows - 1) * step;
            x += (rows - 1) * f->b.hop;
            continue;
        }
        const int64_t y = x + apart;
        const bool in_x = x + origin >= 0 && x + origin < limit;
        const bool in_y = y >= 0 && y < n && y + origin >= 0 && y + origin < limit;
        const int64_t at_x = at_of(f, base, x + origin), at_y = at_of(f, base, y + origin);
        if (!in_x && !in_y) {
            put_zeros(f, f->n, to);
        } else if (a->dtype == WF_BF16 && dense(f) && in_x && in_y) {
            const uint16_t *from = a->data;
            f->cells->zip(from + at_x, from + at_y, f->n, to);
            if (f->lo) memset(to + f->lo, 0, (size_t)f->n * sizeof *to);
        } else {
            put_cells(f, float_row(f, at_x, in_x, f->stage),
                      float_row(f, at_y, in_y, f->stage + f->n), f->n, to);
        }
        if (f->padded > f->n) put_zeros(f, f->padded - f->n, to + f->n);
    }
}

static void fill_box(filler *f) {
    const wf_array *a = f->side->array;
    const wf_box *box = &f->b.box;
    int64_t index[WF_MAX_RANK] = {0};
    const int64_t line = (box->n[f->b.axis] + f->b.hop - 1) / f->b.hop;
    for (;;) {
        int64_t base = box->lo[f->b.unit] * a->stride[f->b.unit], at = 0;
        bool inside = f->last > f->first;
        for (int j = 0; j < f->side->rank; j++) {
            if (j == f->b.unit || j == f->b.axis) continue;
            const int64_t i = box->lo[j] + index[j];
            inside = inside && i >= 0 && i < a->shape.dim[j];
            base += i * a->stride[j];
            at += index[j] * box->stride[j];
        }
        if (inside) fill_line(f, base, f->dst + at);
        else
            for (int64_t x = 0; x < line; x++)
                put_zeros(f, f->padded, f->dst + at + x * box->stride[f->b.axis]);
        int j = f->side->rank - 1;
        for (; j >= 0; j--) {
            if (j == f->b.unit || j == f->b.axis) continue;
            if (++index[j] < box->n[j]) break;
            index[j] = 0;
        }
        if (j < 0) return;
    }
}

const float *wf_load_pairs(const wf_contract_plan *p, const wf_side *side, const wf_range *r,
                           int n_loops, int loop, int64_t pad, float *stage, int64_t *step,
                           int64_t *lo, float *dst) {
    filler f = {.side = side, .cells = wf_cells_get(), .stage = stage, .dst = (uint32_t *)dst};
    const int64_t size = wf_pair_box_of(side, r, n_loops, loop, pad, &f.b);
    const wf_box *box = &f.b.box;
    f.n = box->n[f.b.unit];
    f.padded = (f.n + pad - 1) / pad * pad;
    f.first = least(f.n, most(0, -box->lo[f.b.unit]));
    f.last = least(f.n, side->array->shape.dim[f.b.unit] - box->lo[f.b.unit]);
    *lo = f.lo = p->cells == 2 ? size : 0;
    memset(stage + 2 * f.n, 0, (size_t)f.n * sizeof *stage);
    fill_box(&f);
    int64_t first = 0;
    for (int j = 0; j < side->rank; j++) {
        int64_t at = side->offset[j] - box->lo[j];
        for (int l = 0; l < n_loops; l++) at += side->coef[j][l] * r->lo[l];
        first += (j == f.b.axis ? at / f.b.hop : at) * box->stride[j];
    }
    for (int l = 0; l < n_loops; l++) {
        step[l] = 0;
        for (int j = 0; j < side->rank; j++)
            step[l] += side->coef[j][l] * box->stride[j] * (l == loop ? 2 / f.b.hop : 1);
    }
    return dst + first;
}

/* --- gathered rows ---------------------------------------------------------------------------- */

/* The rows of a chunk in order, some at a time: loops before `loop` fixed, those after it whole. */
typedef struct strip {
    wf_range all, r;
    int n_sum, rank, loop;
    int64_t step;
} strip;

static void strip_first(strip *s, const wf_contract_plan *p, const wf_source_plan *sp,
                        const wf_range *r, int64_t width) {
    int64_t suffix = width;
    s->all = s->r = *r;
    s->rank = p->c->rank;
    s->n_sum = sp->s->n_sum;
    s->loop = s->rank;
    s->step = s->n_sum ? r->n[s->rank] : 1;
    if (sp->pairs.loop < 0) return; /* one run */
    for (int l = s->rank + s->n_sum - 1; l >= s->rank; l--) {
        if (suffix * r->n[l] > STAGE) {
            const bool paired = l == s->rank + sp->pairs.loop;
            s->loop = l;
            s->step = most(1, STAGE / suffix);
            if (paired) s->step = most(2, s->step - s->step % 2);
            s->step = least(s->step, r->n[l]);
            break;
        }
        suffix *= r->n[l];
    }
    for (int l = s->rank; l < s->loop; l++) s->r.n[l] = 1;
    if (s->n_sum) s->r.n[s->loop] = s->step;
}

static bool strip_next(strip *s) {
    for (int l = s->loop; l >= s->rank && s->n_sum; l--) {
        s->r.lo[l] += s->r.n[l];
        const int64_t end = s->all.lo[l] + s->all.n[l];
        const bool done = s->r.lo[l] >= end;
        if (done) s->r.lo[l] = s->all.lo[l];
        s->r.n[l] = l == s->loop ? least(s->step, end - s->r.lo[l]) : 1;
        if (!done) return true;
    }
    return false;
}

static int64_t strip_rows(const strip *s) {
    int64_t n = 1;
    for (int k = 0; k < s->n_sum; k++) n *= s->r.n[s->rank + k];
    return n;
}

int64_t wf_stage_floats(const wf_contract_plan *p, const wf_source_plan *sp, const wf_range *r,
                        int64_t width) {
    int64_t floats = width;
    for (int k = 0; k < sp->s->n_sum; k++) floats *= r->n[p->c->rank + k];
    if (sp->pairs.loop >= 0) floats = least(floats, most(STAGE, 2 * width));
    return floats + width;
}

void wf_gather_pairs(const wf_contract_plan *p, const wf_source_plan *sp, const wf_range *r,
                     int64_t width, wf_gather_rows *gather, void *user, float *stage, float *dst,
                     int64_t lo) {
    const wf_cell_table *cells = wf_cells_get();
    uint32_t *to = (uint32_t *)dst;
    strip s;
    strip_first(&s, p, sp, r, width);
    do {
        const int64_t rows = strip_rows(&s);
        const int64_t run = sp->pairs.loop < 0 ? rows : s.r.n[s.rank + sp->pairs.loop];
        int64_t step[WF_CONTRACT_LOOPS] = {0}, at = width;
        for (int k = s.n_sum - 1; k >= 0; k--) {
            step[s.rank + k] = at;
            at *= s.r.n[s.rank + k];
        }
        gather(user, &s.r, step, stage);
        memset(stage + rows * width, 0, (size_t)width * sizeof *stage);
        for (int64_t i = 0; i < rows; i += run)
            for (int64_t k = i; k < i + run; k += 2, to += width)
                cells->pair(stage + k * width, stage + (k + 1 < i + run ? k + 1 : rows) * width,
                            width, to, lo ? to + lo : NULL);
    } while (strip_next(&s));
}
