/* The gradient of a contraction in one of its operands is a contraction of the cotangent G with the
 * other operand Q:
 *
 *   gP[x..] = sum over the loops that remain of G[..] * Q[..]
 *
 * The axes of P become the output loops. Each relation of P is solved for one of its loops, which
 * disappears: l = (div x - cb other - offset) / ca. All loops that are left become sum loops. G is
 * indexed by what the former output loops are now, Q by its relations with the solutions put in.
 *
 * What has to hold and is not stored in an operand becomes a guard: that a loop that disappeared is
 * a whole number within its extent (unless an axis of G or Q is that loop, which checks it), and
 * that an axis of P that could not be solved for a loop (a diagonal) equals what it was.
 *
 * It computes in the mode of the contraction. */
#include <stdlib.h>
#include <string.h>

#include "tensor/contract.h"

enum { FEW_FILTERS = 6, LEAST_CHANNELS = 8 }; /* where a weight gradient sums over shifted pixels */

/* A linear form over the new loops, divided: (c[0] loop[0] + c[1] loop[1] + offset) / div. */
typedef wf_relation form;

typedef struct solver {
    const wf_contract_attr *old;
    const wf_contract_source *s;
    const wf_relation *p, *q;    /* relations of the operand and of the other one */
    int rank_p, rank_q;
    wf_shape shape_p, shape_q;
    int n_loops;                 /* old loops */
    int owner[WF_CONTRACT_LOOPS]; /* axis of P that was solved for this loop, or -1 */
    form value[WF_CONTRACT_LOOPS]; /* every old loop in new loops */
    wf_contract_source *new;
} solver;

static int64_t extent_of(const solver *v, int l) { return wf_loop_extent(v->old, v->s, l); }

/* --- which loop each axis is solved for ------------------------------------------------------- */

static bool fixed_by_q(const solver *v, int l) {
    for (int j = 0; j < v->rank_q; j++)
        if (wf_is_plain(&v->q[j]) && v->q[j].a == l && v->shape_q.dim[j] <= extent_of(v, l))
            return true;
    return false;
}

/* Prefers loops whose range is checked elsewhere, then the larger extent: fewer terms remain. */
static bool better(const solver *v, int l, int than) {
    const bool x = l < v->old->rank || fixed_by_q(v, l);
    const bool y = than < v->old->rank || fixed_by_q(v, than);
    return x != y ? x : extent_of(v, l) > extent_of(v, than);
}

static void own(solver *v, int axis, int l) {
    if (l >= 0) v->owner[l] = axis;
}

static void choose_loops(solver *v) {
    for (int l = 0; l < v->n_loops; l++) v->owner[l] = -1;
    for (int pass = 0; pass < 3; pass++) /* plain axes first, then one loop, then two */
        for (int j = 0; j < v->rank_p; j++) {
            const wf_relation *r = &v->p[j];
            const bool plain = wf_is_plain(r);
            if (pass != (r->b >= 0 ? 2 : plain ? 0 : 1)) continue;
            const int a = r->a >= 0 && r->ca && v->owner[r->a] < 0 ? r->a : -1;
            const int b = r->b >= 0 && r->cb && v->owner[r->b] < 0 ? r->b : -1;
            own(v, j, a >= 0 && b >= 0 ? (better(v, b, a) ? b : a) : a >= 0 ? a : b);
        }
}

/* --- linear forms ----------------------------------------------------------------------------- */

static bool mul(int64_t *x, int64_t by) { return !__builtin_mul_overflow(*x, by, x); }
static bool add(int64_t *x, int64_t y) { return !__builtin_add_overflow(*x, y, x); }

/* f += c * loop (over f's divisor). False: three loops, or overflow. */
static bool add_loop(form *f, int64_t c, int loop) {
    if (c == 0 || loop < 0) return true;
    if (f->a == loop) return add(&f->ca, c);
    if (f->b == loop) return add(&f->cb, c);
    if (f->a < 0) return f->a = loop, f->ca = c, true;
    if (f->b < 0) return f->b = loop, f->cb = c, true;
    return false;
}

static bool scale(form *f, int64_t by) { /* numerator and divisor */
    return mul(&f->ca, by) && mul(&f->cb, by) && mul(&f->offset, by) && mul(&f->div, by);
}

/* f += c * x, both divided. */
static bool add_form(form *f, int64_t c, const form *x) {
    const int64_t div = f->div;
    form y = *x;
    if (x->div != 1 && !scale(f, x->div)) return false;
    if (div != 1 && !scale(&y, div)) return false;
    return mul(&y.ca, c) && mul(&y.cb, c) && mul(&y.offset, c) && add_loop(f, y.ca, y.a) &&
           add_loop(f, y.cb, y.b) && add(&f->offset, y.offset);
}

static void tidy(form *f) { /* no zero coefficients, the first loop first */
    if (f->b >= 0 && f->cb == 0) f->b = -1;
    if (f->a >= 0 && f->ca == 0) f->a = f->b, f->ca = f->cb, f->b = -1;
    if (f->a < 0) f->ca = 0, f->a = -1;
    if (f->b < 0) f->cb = 0, f->b = -1;
}

/* A relation over old loops in new ones. */
static bool substitute(const solver *v, const wf_relation *r, form *out) {
    form f = {.offset = r->offset, .div = 1, .a = -1, .b = -1};
    if (r->a >= 0 && !add_form(&f, r->ca, &v->value[r->a])) return false;
    if (r->b >= 0 && !add_form(&f, r->cb, &v->value[r->b])) return false;
    if (!mul(&f.div, r->div)) return false;
    tidy(&f);
    *out = f;
    return true;
}

/* --- solving ---------------------------------------------------------------------------------- */

static bool add_guard(solver *v, const form *f, int64_t extent) {
    if (v->new->n_guards == WF_CONTRACT_GUARDS) return false;
    v->new->guard[v->new->n_guards++] = (wf_guard){.r = *f, .extent = extent};
    return true;
}

/* l = (div x_j - other - offset) / c. */
static bool solve_axis(solver *v, int j, int l) {
    const wf_relation *r = &v->p[j];
    const bool is_a = r->a == l;
    const int64_t c = is_a ? r->ca : r->cb, sign = c < 0 ? -1 : 1;
    const int other = is_a ? r->b : r->a;
    form f = {.ca = r->div, .a = j, .b = -1, .div = 1};
    if (!add(&f.offset, -r->offset)) return false;
    if (other >= 0 && !add_form(&f, is_a ? -r->cb : -r->ca, &v->value[other])) return false;
    if (!mul(&f.ca, sign) || !mul(&f.cb, sign) || !mul(&f.offset, sign)) return false;
    if (!mul(&f.div, c * sign)) return false;
    tidy(&f);
    v->value[l] = f;
    const bool trivial = wf_is_plain(&f) && v->shape_p.dim[j] <= extent_of(v, l);
    if (trivial || l < v->old->rank || fixed_by_q(v, l)) return true;
    return add_guard(v, &f, extent_of(v, l));
}

/* An axis that no loop was left for: div x_j must equal its right side. */
static bool equate_axis(solver *v, int j) {
    const wf_relation *r = &v->p[j];
    if (r->a < 0 && r->b < 0 && r->offset == 0 && v->shape_p.dim[j] == 1) return true;
    form f;
    if (!substitute(v, &(wf_relation){r->ca, r->cb, r->offset, 1, r->a, r->b}, &f)) return false;
    int64_t c = r->div;
    if (!mul(&c, -f.div) || !add_loop(&f, c, j)) return false;
    f.div = 1;
    tidy(&f);
    return add_guard(v, &f, 1);
}

static bool solve(solver *v) {
    bool solved[WF_MAX_RANK] = {false};
    choose_loops(v);
    v->new->n_sum = 0;
    /* Former sums (taps) outside, former outputs (channels) inside: runs of contiguous elements. */
    for (int i = 0; i < v->n_loops; i++) {
        const int l = (i + v->old->rank) % v->n_loops;
        if (v->owner[l] >= 0) continue;
        if (v->new->n_sum == WF_CONTRACT_SUMS) return false;
        v->value[l] = wf_plain(v->rank_p + v->new->n_sum);
        v->new->sum[v->new->n_sum++] = extent_of(v, l);
    }
    for (int two = 0; two < 2; two++) /* axes with one loop define what those with two need */
        for (int l = 0; l < v->n_loops; l++) {
            const int j = v->owner[l];
            if (j < 0 || (v->p[j].b >= 0) != two) continue;
            if (!solve_axis(v, j, l)) return false;
            solved[j] = true;
        }
    for (int j = 0; j < v->rank_p; j++)
        if (!solved[j] && !equate_axis(v, j)) return false;
    for (int i = 0; i < v->s->n_guards; i++) {
        form f;
        if (!substitute(v, &v->s->guard[i].r, &f) || !add_guard(v, &f, v->s->guard[i].extent))
            return false;
    }
    return true;
}

/* --- fewer terms ------------------------------------------------------------------------------ */

/* The weight gradient of a transposed convolution arises as a sum over h with oh = (h + pad -
 * dilation kh) / stride on the other operand. Summing over oh, with h = stride oh + dilation kh -
 * pad, visits the same pairs without the divisor. */
static void swap_loop(wf_contract_source *s, int rank, const wf_shape shape[2], int k) {
    const int l = rank + k;
    wf_relation *u = NULL, *v = NULL;
    int64_t extent = 0;
    for (int side = 0; side < 2; side++)
        for (int j = 0; j < (side ? s->rank_b : s->rank_a); j++) {
            wf_relation *r = side ? &s->b[j] : &s->a[j];
            if (r->a != l && r->b != l) continue;
            const int64_t c = r->a == l ? r->ca : r->cb;
            if (wf_is_plain(r) && !u && shape[side].dim[j] == s->sum[k]) {
                u = r;
            } else if (r->div > 1 && !v && (c == 1 || c == -1)) {
                v = r;
                extent = shape[side].dim[j];
            } else {
                return;
            }
        }
    for (int i = 0; i < s->n_guards; i++)
        if (s->guard[i].r.a == l || s->guard[i].r.b == l) return;
    if (!u || !v || extent > s->sum[k]) return;
    const bool is_a = v->a == l;
    const int64_t c = is_a ? v->ca : v->cb;
    const int other = is_a ? v->b : v->a;
    const int64_t other_c = is_a ? v->cb : v->ca;
    *u = (wf_relation){.ca = v->div * c, .a = l, .cb = -other_c * c, .b = other,
                       .offset = -v->offset * c, .div = 1};
    *v = wf_plain(l);
    s->sum[k] = extent;
}

/* Elements of the output loops that a relation list uses plainly. */
static int64_t plain_loops(const wf_relation *r, int n, int rank, const int64_t *out) {
    int64_t total = 1;
    for (int j = 0; j < n; j++)
        if (wf_is_plain(&r[j]) && r[j].a < rank) total *= out[r[j].a];
    return total;
}

/* A weight gradient of few filters, over pixels p of G and p + tap of x, has G's few rows against
 * all taps. Over q = p + tap, pixels of x and q - tap of G, taps are rows beside the filters. */
static void shift_loop(wf_contract_source *s, int rank, const wf_shape shape[2], int g, int k) {
    const int l = rank + k;
    wf_relation *p = NULL, *x = NULL;
    int64_t extent = 0;
    for (int side = 0; side < 2; side++)
        for (int j = 0; j < (side ? s->rank_b : s->rank_a); j++) {
            wf_relation *r = side ? &s->b[j] : &s->a[j];
            if (r->a != l && r->b != l) continue;
            if (side == g && !p && wf_is_plain(r) && shape[side].dim[j] == s->sum[k]) {
                p = r;
            } else if (side != g && !x && r->div == 1 && r->a >= 0 && r->b >= 0 &&
                       (r->a == l ? r->ca == 1 && r->b < rank : r->cb == 1 && r->a < rank)) {
                x = r;
                extent = shape[side].dim[j];
            } else {
                return;
            }
        }
    for (int i = 0; i < s->n_guards; i++)
        if (s->guard[i].r.a == l || s->guard[i].r.b == l) return;
    if (!p || !x || extent > 2 * s->sum[k]) return;
    const int tap = x->a == l ? x->b : x->a;
    *p = (wf_relation){.ca = 1, .a = l, .cb = -(x->a == l ? x->cb : x->ca), .b = tap,
                       .offset = -x->offset, .div = 1};
    *x = wf_plain(l);
    s->sum[k] = extent;
}

static void shift_taps(wf_contract_source *s, const wf_shape *out, const wf_shape shape[2], int g) {
    const int64_t filters = plain_loops(g ? s->b : s->a, g ? s->rank_b : s->rank_a, out->rank,
                                        out->dim);
    const int64_t channels = plain_loops(g ? s->a : s->b, g ? s->rank_a : s->rank_b, out->rank,
                                         out->dim);
    if (filters > FEW_FILTERS || channels < LEAST_CHANNELS) return;
    for (int k = 0; k < s->n_sum; k++) shift_loop(s, out->rank, shape, g, k);
}

/* --- the rule --------------------------------------------------------------------------------- */

static wf_tensor grad_of(const wf_grad_call *call, int source, int side) {
    const wf_contract_attr *c = call->attr;
    const wf_contract_source *s = &c->source[source];
    const wf_tensor p = call->x[2 * source + side], q = call->x[2 * source + 1 - side];
    wf_contract_source new = {.n_sum = 0};
    solver v = {.old = c, .s = s, .new = &new, .n_loops = c->rank + s->n_sum};
    v.p = side ? s->b : s->a;
    v.q = side ? s->a : s->b;
    v.rank_p = side ? s->rank_b : s->rank_a;
    v.rank_q = side ? s->rank_a : s->rank_b;
    v.shape_p = wf_shape_of_tensor(p);
    v.shape_q = wf_shape_of_tensor(q);
    if (s->packed)
        return wf_graph_fail(call->graph, "contract: a packed operand has no gradient; "
                                          "differentiate before the graph is compiled");
    bool ok = solve(&v);

    /* For gP of A: inputs G, B; of B: inputs A, G - so that weights stay on the B side. */
    wf_relation *rg = side ? new.b : new.a, *rq = side ? new.a : new.b;
    *(side ? &new.rank_b : &new.rank_a) = c->rank;
    *(side ? &new.rank_a : &new.rank_b) = v.rank_q;
    for (int l = 0; l < c->rank; l++) rg[l] = v.value[l];
    for (int j = 0; j < v.rank_q && ok; j++) ok = substitute(&v, &v.q[j], &rq[j]);
    if (!ok)
        return wf_graph_fail(call->graph, "contract: the gradient needs a relation of more than "
                                          "two loops, or too many loops");
    wf_shape shape[2] = {wf_shape_of_tensor(call->g), v.shape_q};
    if (side) shape[0] = v.shape_q, shape[1] = wf_shape_of_tensor(call->g);
    for (int k = 0; k < new.n_sum; k++) swap_loop(&new, v.rank_p, shape, k);
    shift_taps(&new, &v.shape_p, shape, side ? 1 : 0);
    return wf_contract_in((wf_compute)c->compute, wf_dtype_of(p) == WF_BF16, v.shape_p, &new,
                          side ? q : call->g, side ? call->g : q);
}

void wf_contract_grad(const wf_grad_call *call) {
    for (int i = 0; i < call->n_in; i++)
        if (call->wanted[i]) call->gx[i] = grad_of(call, i / 2, i % 2);
}
