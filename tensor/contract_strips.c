/* Lanes in f32, many output positions at a time: a strip is a run of positions along one output
 * loop q that only one operand depends on (the pixels of a row; the taps of a row of a filter).
 * The sum loops but one, k, are enumerated as segments; q and k are the kernel's.
 *
 * Where no index is outside, a strip is one call. At a rim it is cut into tiles: the k that every
 * position of the tile has are one call, and each other k one more for the positions that have it.
 * A call sums at most FLUSH terms, which are then added up, so that weight gradients over many
 * pixels stay accurate. Nothing here depends on how units are shared out. */
#include <string.h>

#include "tensor/contract_lanes.h"
#include "tensor/contract_terms.h"
#include "tensor/kernels/contract_gather.h"

enum {
    FLUSH = 512,
    SEGS = 64,
    LEAST_UNITS = 24,
    BAND = 8,       /* strips computed together, a few positions of all of them at a time, */
    NEAR = 1 << 14, /* whose operands have so many floats and stay in a cache */
    BLOCK = 256,    /* lanes of a unit */
    BLOCK_FEW = 64, /* where there are few units */
    /* Where the output is not contiguous along the lane sums stand in a buffer: lanes, positions of
     * a strip, and strips, each chunk of terms for all; the outer sum loops are cut into parts. */
    BLOCK_APART = 128,
    RUN_APART = 16,
    GROUP_APART = 16,
    PARTS = 16,
    ROWS = WF_STRIP_ROWS
};

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* --- the choice ------------------------------------------------------------------------------- */

static bool uses(const wf_relation *r, int loop) {
    return (r->a == loop && r->ca) || (r->b == loop && r->cb);
}

/* True if loop q is in one operand of each source at most, and nowhere with a divisor. */
static bool fits_strip(const wf_contract_attr *c, int q) {
    for (int i = 0; i < c->n_sources; i++) {
        const wf_contract_source *s = &c->source[i];
        bool in[2] = {false, false};
        for (int side = 0; side < 2; side++)
            for (int j = 0; j < (side ? s->rank_b : s->rank_a); j++) {
                const wf_relation *r = side ? &s->b[j] : &s->a[j];
                if (!uses(r, q)) continue;
                if (r->div != 1) return false;
                in[side] = true;
            }
        if (in[0] && in[1]) return false;
    }
    return true;
}

bool wf_strips_make(wf_lanes *l, const wf_call *call) {
    const wf_contract_attr *c = call->attr;
    if (c->compute == WF_COMPUTE_BF16 || call->out.dtype != WF_F32) return false;
    for (int i = 0; i < 2 * c->n_sources; i++)
        if (call->in[i].dtype != WF_F32) return false;
    l->q = -1;
    for (int q = c->rank - 1; q >= 0 && l->q < 0; q--)
        if (q != l->loop && c->out[q] > 1 && fits_strip(c, q)) l->q = q;
    const int64_t extent = l->q < 0 ? 1 : c->out[l->q];
    l->others = l->positions / extent;
    l->direct = call->out.stride[l->loop] == 1;
    l->parts = 1;
    if (l->direct) {
        l->block = least(l->n, BLOCK);
        l->run = extent;
        l->group = BAND;
        while (ceil_div(l->others, l->group) < LEAST_UNITS && l->group > 1) l->group /= 2;
        while (l->others * ceil_div(extent, l->run) < LEAST_UNITS && l->run > 2 * ROWS)
            l->run = ceil_div(l->run, 2);
        if (l->others * ceil_div(extent, l->run) < LEAST_UNITS)
            l->block = least(l->n, BLOCK_FEW);
    } else {
        int64_t terms = 1;
        for (int k = 0; k < c->source[0].n_sum; k++) terms *= c->source[0].sum[k];
        while (l->parts < PARTS && terms / l->parts >= 2 * FLUSH) l->parts *= 2;
        l->block = least(l->n, BLOCK_APART);
        l->run = least(extent, RUN_APART);
        l->group = least(l->others, GROUP_APART);
    }
    l->runs = ceil_div(extent, l->run);
    l->n_blocks = ceil_div(l->n, l->block);
    l->units = ceil_div(l->others, l->group) * l->runs * l->n_blocks;
    return true;
}

int64_t wf_strips_floats(const wf_lanes *l) {
    return l->direct ? 0 : l->group * l->run * l->block;
}

/* --- one source ------------------------------------------------------------------------------- */

typedef struct source {
    wf_terms e;
    int q, k;        /* loops, -1: none */
    int k_sum;       /* k among the sums of e */
    int64_t n_k;     /* its extent */
    int64_t n_outer; /* steps of the other sum loops */
    int u;           /* the operand that depends on q */
    int64_t uq, uk, vk; /* elements for a step of q, of k */
    const float *data[2];
    int n_checked;      /* axes that can be outside, or have a divisor */
    const wf_term_axis *checked[WF_TERM_AXES];
    int64_t start[2], step[2][WF_CONTRACT_LOOPS]; /* elements: axes without a divisor */
} source;

static int64_t coef_of(const wf_term_axis *t, int loop) { return loop < 0 ? 0 : t->coef[loop]; }

/* The sum loop for k: none of its axes has a divisor. One that shares an axis with q comes first,
 * so that what is outside does not depend on the segment; then the last. */
static void choose_k(source *x) {
    const wf_terms *e = &x->e;
    bool shares = false;
    x->k = x->k_sum = -1;
    x->n_k = 1;
    for (int i = e->n_sum - 1; i >= 0 && !shares; i--) {
        bool plain = true, with_q = false;
        for (int j = 0; j < e->n_axes; j++) {
            if (!e->axis[j].coef[e->loop[i]]) continue;
            plain &= e->axis[j].div == 1;
            with_q |= coef_of(&e->axis[j], x->q) != 0;
        }
        if (!plain || (x->k >= 0 && !with_q)) continue;
        shares = with_q;
        x->k = e->loop[i];
        x->k_sum = i;
        x->n_k = e->sum[i];
    }
}

static bool may_leave(const source *x, const wf_term_axis *t) {
    int64_t lo = t->offset, hi = t->offset;
    for (int l = 0; l < x->e.c->rank + x->e.s->n_sum; l++) {
        const int64_t reach = t->coef[l] * (wf_loop_extent(x->e.c, x->e.s, l) - 1);
        if (reach < 0) lo += reach;
        else hi += reach;
    }
    return t->div != 1 || lo < 0 || hi >= t->extent;
}

static void read_axes(source *x) {
    x->n_checked = 0;
    memset(x->start, 0, sizeof x->start);
    memset(x->step, 0, sizeof x->step);
    for (int j = 0; j < x->e.n_axes; j++) {
        const wf_term_axis *t = &x->e.axis[j];
        if (coef_of(t, x->q)) x->u = t->side;
        if (may_leave(x, t)) x->checked[x->n_checked++] = t;
        if (t->div != 1 || t->side > 1) continue;
        x->start[t->side] += t->offset * t->stride;
        for (int l = 0; l < x->e.c->rank + x->e.s->n_sum; l++)
            x->step[t->side][l] += t->coef[l] * t->stride;
    }
}

static void read_source(source *x, const wf_lanes *l, const wf_contract_attr *c, int i,
                        const wf_array *in) {
    wf_terms_prepare(&x->e, c, i, in);
    x->q = l->q;
    choose_k(x);
    x->u = 0;
    read_axes(x);
    x->uq = x->q < 0 ? 0 : x->step[x->u][x->q];
    x->uk = x->k < 0 ? 0 : x->step[x->u][x->k];
    x->vk = x->k < 0 ? 0 : x->step[!x->u][x->k];
    x->n_outer = 1;
    for (int k = 0; k < x->e.n_sum; k++)
        if (k != x->k_sum) x->n_outer *= x->e.sum[k];
    for (int side = 0; side < 2; side++) x->data[side] = in[side].data;
}

/* --- a strip ---------------------------------------------------------------------------------- */

/* Segments that are inside for the same q and k. */
typedef struct work {
    const source *x;
    wf_lanes_fn *kernel;
    wf_strip s;
    const float *u, *v;          /* from the first lane on */
    int64_t q0, q1, k0, k1;      /* of the strip; of the segments */
    int64_t in0, in1;            /* positions that have all k, in whole tiles from the ends */
    int64_t num[WF_TERM_AXES];   /* checked axes of q: their right sides at q = k = 0 */
    int64_t u_seg[SEGS], v_seg[SEGS];
    float *c;                    /* position q0 */
    bool fresh;                  /* nothing is there yet */
} work;

static void put(work *w, int64_t q0, int64_t q1, int64_t k0, int64_t k1, bool add) {
    const int64_t most = w->s.n_seg < FLUSH ? FLUSH / w->s.n_seg : 1;
    for (int64_t k = k0; k < k1; k += w->s.len) {
        w->s.rows = q1 - q0;
        w->s.len = least(k1 - k, most);
        w->s.a = w->u + q0 * w->x->uq + k * w->x->uk;
        w->s.b = w->v + k * w->x->vk;
        w->s.c = w->c + (q0 - w->q0) * w->s.cm;
        w->s.add = add;
        w->kernel(&w->s);
        add = true;
    }
}

static void zero(const work *w, int64_t q0, int64_t q1) {
    for (int64_t q = q0; q < q1; q++)
        memset(w->c + (q - w->q0) * w->s.cm, 0, (size_t)w->s.lanes * sizeof(float));
}

/* Cuts [*lo, *hi) to the steps of a loop for which an axis is inside. */
static void cut(int64_t num, int64_t coef, int64_t extent, int64_t *lo, int64_t *hi) {
    if (coef) wf_nest_cut(num, coef, extent, lo, hi);
    else if (num < 0 || num >= extent) *hi = *lo;
}

/* The k that all positions have; the positions that have a k. */
static void common_k(const work *w, int64_t q0, int64_t q1, int64_t *lo, int64_t *hi) {
    for (int j = 0; j < w->x->n_checked; j++) {
        const wf_term_axis *t = w->x->checked[j];
        const int64_t q = coef_of(t, w->x->q);
        if (!q) continue;
        cut(w->num[j] + q * q0, coef_of(t, w->x->k), t->extent, lo, hi);
        cut(w->num[j] + q * (q1 - 1), coef_of(t, w->x->k), t->extent, lo, hi);
    }
}
static void having_k(const work *w, int64_t k, int64_t *lo, int64_t *hi) {
    for (int j = 0; j < w->x->n_checked; j++) {
        const wf_term_axis *t = w->x->checked[j];
        const int64_t q = coef_of(t, w->x->q);
        if (q) cut(w->num[j] + coef_of(t, w->x->k) * k, q, t->extent, lo, hi);
    }
}

static void tile(work *w, int64_t q0, int64_t q1) {
    int64_t lo = w->k0, hi = w->k1;
    common_k(w, q0, q1, &lo, &hi);
    if (hi > lo) put(w, q0, q1, lo, hi, !w->fresh);
    else if (w->fresh) zero(w, q0, q1);
    for (int64_t k = w->k0; k < w->k1; k++) {
        int64_t a = q0, b = q1;
        if (hi > lo && k == lo) k = hi;
        if (k == w->k1) break;
        having_k(w, k, &a, &b);
        if (b > a) put(w, a, b, k, k + 1, true);
    }
}

static void tiles(work *w, int64_t q0, int64_t q1) {
    int64_t n = ceil_div(q1 - q0, ROWS);
    for (int64_t q = q0, rows; q < q1; q += rows, n--) {
        rows = ceil_div(q1 - q, n);
        tile(w, q, q + rows);
    }
}

/* Where the segments are inside for all k. */
static void find_inside(work *w) {
    w->in0 = w->q0;
    w->in1 = w->q1;
    having_k(w, w->k0, &w->in0, &w->in1);
    having_k(w, w->k1 - 1, &w->in0, &w->in1);
    if (w->in0 > w->q0) w->in0 = w->q0 + ceil_div(w->in0 - w->q0, ROWS) * ROWS;
    if (w->in1 < w->q1) w->in1 = w->q1 - ceil_div(w->q1 - w->in1, ROWS) * ROWS;
    if (w->in1 <= w->in0) w->in0 = w->in1 = w->q1;
}

/* The segments so far, at positions [q0, q1). */
static void add_part(work *w, int64_t q0, int64_t q1) {
    const int64_t a = least(q1, w->in0 > q0 ? w->in0 : q0);
    const int64_t b = least(q1, w->in1 > a ? w->in1 : a);
    if (a > q0) tiles(w, q0, a);
    if (b > a) put(w, a, b, w->k0, w->k1, !w->fresh);
    if (q1 > b) tiles(w, b, q1);
}

static void emit(work *w) {
    if (w->s.n_seg == 0) return;
    find_inside(w);
    add_part(w, w->q0, w->q1);
    w->fresh = false;
    w->s.n_seg = 0;
}

/* A segment: the elements at q = k = 0, but for axes with a divisor, and the right sides. */
static void add_segment(work *w, int64_t a, int64_t b, const int64_t *num) {
    const source *x = w->x;
    int64_t at[3] = {a, b, 0}, k0 = 0, k1 = x->n_k;
    bool same = w->s.n_seg > 0 && w->s.n_seg < SEGS;
    for (int j = 0; j < x->n_checked; j++) {
        const wf_term_axis *t = x->checked[j];
        int64_t i = num[j];
        if (coef_of(t, x->q)) {
            same &= i == w->num[j];
        } else if (coef_of(t, x->k)) {
            wf_nest_cut(i, t->coef[x->k], t->extent, &k0, &k1);
        } else if (t->div == 1) {
            if (i < 0 || i >= t->extent) return;
        } else {
            if (i % t->div) return;
            i /= t->div;
            if (i < 0 || i >= t->extent) return;
            at[t->side] += i * t->stride;
        }
    }
    if (k1 <= k0) return;
    if (!same || k0 != w->k0 || k1 != w->k1) {
        emit(w);
        w->k0 = k0;
        w->k1 = k1;
        memcpy(w->num, num, (size_t)x->n_checked * sizeof *num);
    }
    w->u_seg[w->s.n_seg] = at[x->u];
    w->v_seg[w->s.n_seg++] = at[!x->u];
}

/* Steps [first, last) of the outer sum loops at output position o. */
static void sum_steps(work *w, const int64_t *o, int64_t first, int64_t last) {
    const source *x = w->x;
    int64_t start[2] = {x->start[0], x->start[1]}, base[WF_TERM_AXES] = {0};
    for (int l = 0; l < x->e.c->rank; l++) {
        start[0] += x->step[0][l] * o[l];
        start[1] += x->step[1][l] * o[l];
    }
    for (int j = 0; j < x->n_checked; j++) {
        base[j] = x->checked[j]->offset;
        for (int l = 0; l < x->e.c->rank; l++) base[j] += x->checked[j]->coef[l] * o[l];
    }
    for (int64_t i = first; i < last; i++) {
        int64_t rest = i, a = start[0], b = start[1], num[WF_TERM_AXES];
        memcpy(num, base, (size_t)x->n_checked * sizeof *num);
        for (int s = x->e.n_sum - 1; s >= 0; s--) {
            if (s == x->k_sum) continue;
            const int64_t v = rest % x->e.sum[s], l = x->e.loop[s];
            rest /= x->e.sum[s];
            a += x->step[0][l] * v;
            b += x->step[1][l] * v;
            for (int j = 0; j < x->n_checked; j++) num[j] += x->checked[j]->coef[l] * v;
        }
        add_segment(w, a, b, num);
    }
}

/* What is left to be summed, a few columns of all strips at a time: neighbours share operands. */
static void finish(work *w, int64_t n) {
    int64_t columns = w->q1 - w->q0, near;
    for (int64_t i = 0; i < n; i++) {
        if (w[i].s.n_seg == 0) continue;
        find_inside(&w[i]);
        near = NEAR / (w[i].s.n_seg * w[i].s.lanes) - (w[i].k1 - w[i].k0);
        if (n > 1) columns = least(columns, near < 2 * ROWS ? 2 * ROWS : near);
    }
    const int64_t extent = w->q1 - w->q0, parts = ceil_div(extent, columns);
    const int64_t step = ceil_div(extent, parts);
    for (int64_t q = w->q0; q < w->q1; q += step)
        for (int64_t i = 0; i < n; i++) {
            const int64_t end = least(q + step, w->q1);
            if (w[i].s.n_seg) add_part(&w[i], q, end);
            else if (w[i].fresh) zero(&w[i], q, end);
        }
}

/* --- units ------------------------------------------------------------------------------------ */

typedef struct unit {
    int64_t other, n_other; /* positions but for q: the first, how many */
    int64_t q0, q1, lane, lanes;
} unit;

/* Blocks of lanes come last where the output is contiguous along them, else first. */
static unit unit_at(const wf_lanes *l, const wf_contract_attr *c, int64_t i) {
    const int64_t groups = ceil_div(l->others, l->group);
    const int64_t block = l->direct ? i % l->n_blocks : i / (groups * l->runs);
    const int64_t rest = l->direct ? i / l->n_blocks : i % (groups * l->runs);
    unit u = {.other = rest / l->runs * l->group, .q0 = rest % l->runs * l->run,
              .lane = block * l->block};
    u.n_other = least(l->group, l->others - u.other);
    u.q1 = least(l->q < 0 ? 1 : c->out[l->q], u.q0 + l->run);
    u.lanes = least(l->block, l->n - u.lane);
    return u;
}

static void decode(const wf_lanes *l, const wf_contract_attr *c, int64_t other, int64_t *o) {
    for (int i = c->rank - 1; i >= 0; i--) {
        const bool own = i == l->loop || i == l->q;
        o[i] = own ? 0 : other % c->out[i];
        if (!own) other /= c->out[i];
    }
}

static void store(const wf_lanes *l, const wf_call *call, const unit *u, const int64_t *o,
                  const float *from, bool add) {
    const int64_t step = call->out.stride[l->loop];
    for (int64_t q = u->q0; q < u->q1; q++, from += l->block) {
        float *to = (float *)call->out.data + wf_offset(&call->out, o) + u->lane * step;
        if (l->q >= 0) to += q * call->out.stride[l->q];
        for (int64_t i = 0; i < u->lanes; i++)
            to[i * step] = add ? to[i * step] + from[i] : from[i];
    }
}

/* Strip i of a unit, with nothing summed. */
static void begin(work *w, const wf_lanes *l, const wf_call *call, const unit *u, const int64_t *o,
                  float *sums) {
    const source *x = w->x;
    w->u = x->data[x->u] + u->lane;
    w->v = x->data[!x->u] + u->lane;
    w->q0 = u->q0;
    w->q1 = u->q1;
    w->s.am = x->uq;
    w->s.ak = x->uk;
    w->s.bk = x->vk;
    w->s.a_seg = w->u_seg;
    w->s.b_seg = w->v_seg;
    w->s.n_seg = 0;
    w->s.lanes = u->lanes;
    w->s.cm = !l->direct ? l->block : l->q < 0 ? 0 : call->out.stride[l->q];
    w->c = !l->direct ? sums
                      : (float *)call->out.data + wf_offset(&call->out, o) + u->lane +
                            u->q0 * w->s.cm;
}

/* Steps of the outer sum loops, those of a part, chunk by chunk, each for all strips; `w`: of BAND
 * strips. */
static void sum_unit(work *w, const wf_lanes *l, const wf_call *call, const unit *u, int64_t part,
                     bool add, float *sums) {
    const source *x = w->x;
    const int64_t most = FLUSH / x->n_k, chunk = most < 1 ? 1 : least(most, SEGS);
    const int64_t from = x->n_outer * part / l->parts, to = x->n_outer * (part + 1) / l->parts;
    int64_t o[WF_MAX_RANK];
    for (int64_t first = from; first == from || first < to; first += chunk)
        for (int64_t i = 0; i < u->n_other; i += BAND) {
            const int64_t n = least(BAND, u->n_other - i);
            for (int64_t k = 0; k < n; k++) {
                decode(l, call->attr, u->other + i + k, o);
                begin(&w[k], l, call, u, o,
                      l->direct ? NULL : sums + (i + k) * l->run * l->block);
                w[k].fresh = first == from && !add;
                sum_steps(&w[k], o, first, least(first + chunk, to));
            }
            finish(w, n);
        }
}

static void store_unit(const wf_lanes *l, const wf_call *call, const unit *u, const float *sums,
                       bool add) {
    int64_t o[WF_MAX_RANK];
    for (int64_t i = 0; i < u->n_other; i++) {
        decode(l, call->attr, u->other + i, o);
        store(l, call, u, o, sums + i * l->run * l->block, add);
    }
}

void wf_strips_run(const wf_lanes *l, const wf_call *call, int i, const wf_array *in, int64_t from,
                   int64_t to, float *sums, float *shared) {
    source x;
    read_source(&x, l, call->attr, i, in);
    work w[BAND] = {{0}};
    for (int k = 0; k < BAND; k++) {
        w[k].x = &x;
        w[k].kernel = wf_tile_table_for(wf_isa_get())->lanes;
    }
    for (int64_t k = from; k < to; k++) {
        const unit u = unit_at(l, call->attr, k % l->units);
        if (l->parts > 1) {
            sum_unit(w, l, call, &u, k / l->units, i > 0, shared + k * wf_strips_floats(l));
            continue;
        }
        sum_unit(w, l, call, &u, 0, i > 0 && l->direct, sums);
        if (!l->direct) store_unit(l, call, &u, sums, i > 0);
    }
}

void wf_strips_add(const wf_lanes *l, const wf_call *call, int64_t from, int64_t to,
                   const float *shared) {
    for (int64_t k = from; k < to; k++) {
        const unit u = unit_at(l, call->attr, k);
        for (int64_t part = 0; part < l->parts; part++)
            store_unit(l, call, &u, shared + (part * l->units + k) * wf_strips_floats(l), part > 0);
    }
}
