/* Relations are linear in the loops, so their right sides ("numerators") are kept and stepped. The
 * innermost loop is cut to the part where all divisor-free relations hold; only a relation with a
 * divisor on that loop is asked for every step. */
#include "tensor/contract_terms.h"

#include "tensor/kernels/contract_gather.h"

static wf_term_axis make_axis(const wf_relation *r, int64_t extent, int64_t stride, int side) {
    wf_term_axis t = {.offset = r->offset, .div = r->div, .extent = extent, .stride = stride,
                      .side = side};
    if (r->a >= 0) t.coef[r->a] += r->ca;
    if (r->b >= 0) t.coef[r->b] += r->cb;
    return t;
}

/* A packed B is one axis that is always inside; its output part comes from packed_base. */
static wf_term_axis packed_axis(const wf_contract_attr *c, const wf_contract_source *s,
                                int64_t stride) {
    wf_term_axis t = {.div = 1, .extent = INT64_MAX, .stride = stride, .side = 1};
    int64_t step = WF_PANEL;
    for (int k = s->n_sum - 1; k >= 0; k--) {
        t.coef[c->rank + k] = step;
        step *= s->sum[k];
    }
    return t;
}

static int64_t packed_base(const wf_contract_attr *c, const wf_contract_source *s,
                           const int64_t *o) {
    int64_t batch = 0, n = 0, n_cols = 1, n_k = 1;
    for (int l = 0; l < c->rank; l++) {
        if (s->batch_loops >> l & 1) batch = batch * c->out[l] + o[l];
        if (s->col_loops >> l & 1) n = n * c->out[l] + o[l], n_cols *= c->out[l];
    }
    for (int k = 0; k < s->n_sum; k++) n_k *= s->sum[k];
    return wf_packed_index(n_k, n_cols, batch, 0, n);
}

void wf_terms_prepare(wf_terms *e, const wf_contract_attr *c, int i, const wf_array *in) {
    const wf_contract_source *s = &c->source[i];
    e->c = c;
    e->s = s;
    e->n_axes = e->n_sum = 0;
    e->empty = false;
    for (int k = 0; k < s->n_sum; k++) {
        e->empty |= s->sum[k] == 0;
        if (s->sum[k] == 1) continue;
        e->sum[e->n_sum] = s->sum[k];
        e->loop[e->n_sum++] = c->rank + k;
    }
    for (int j = 0; j < s->rank_a; j++)
        e->axis[e->n_axes++] = make_axis(&s->a[j], in[0].shape.dim[j], in[0].stride[j], 0);
    if (s->packed) e->axis[e->n_axes++] = packed_axis(c, s, in[1].stride[0]);
    for (int j = 0; j < s->rank_b && !s->packed; j++)
        e->axis[e->n_axes++] = make_axis(&s->b[j], in[1].shape.dim[j], in[1].stride[j], 1);
    for (int j = 0; j < s->n_guards; j++)
        e->axis[e->n_axes++] = make_axis(&s->guard[j].r, s->guard[j].extent, 0, 2);
}

static bool index_of(const wf_term_axis *t, int64_t num, int64_t *index) {
    if (t->div != 1) {
        if (num % t->div) return false;
        num /= t->div;
    }
    *index = num;
    return num >= 0 && num < t->extent;
}

/* The innermost loop when a relation with a divisor depends on it: every step is asked. */
static void run_checked(const wf_terms *e, const int64_t *num, int inner, int64_t n,
                        wf_term_run *run, void *user) {
    for (int64_t l = 0; l < n; l++) {
        int64_t at[3] = {0, 0, 0}, i = 0;
        bool counts = true;
        for (int j = 0; j < e->n_axes && counts; j++) {
            counts = index_of(&e->axis[j], num[j] + e->axis[j].coef[inner] * l, &i);
            at[e->axis[j].side] += i * e->axis[j].stride;
        }
        if (counts) run(user, at[0], 0, at[1], 0, 1);
    }
}

/* The innermost loop, numerators given for its value 0. */
static void run_inner(const wf_terms *e, const int64_t *num, int inner, int64_t n,
                      wf_term_run *run, void *user) {
    int64_t lo = 0, hi = n, at[3] = {0, 0, 0}, step[3] = {0, 0, 0};
    for (int j = 0; j < e->n_axes; j++) {
        const wf_term_axis *t = &e->axis[j];
        const int64_t coef = inner < 0 ? 0 : t->coef[inner];
        if (coef == 0) {
            int64_t i;
            if (!index_of(t, num[j], &i)) return;
            at[t->side] += i * t->stride;
        } else if (t->div == 1) {
            wf_nest_cut(num[j], coef, t->extent, &lo, &hi);
            at[t->side] += num[j] * t->stride;
            step[t->side] += coef * t->stride;
        } else {
            run_checked(e, num, inner, n, run, user);
            return;
        }
    }
    if (hi > lo) run(user, at[0] + lo * step[0], step[0], at[1] + lo * step[1], step[1], hi - lo);
}

void wf_terms_each(const wf_terms *e, const int64_t *o, wf_term_run *run, void *user) {
    int64_t num[WF_TERM_AXES], v[WF_CONTRACT_SUMS] = {0};
    if (e->empty) return;
    for (int j = 0; j < e->n_axes; j++) {
        num[j] = e->axis[j].offset;
        for (int l = 0; l < e->c->rank; l++) num[j] += e->axis[j].coef[l] * o[l];
    }
    if (e->s->packed) num[e->s->rank_a] = packed_base(e->c, e->s, o);
    if (e->n_sum == 0) {
        run_inner(e, num, -1, 1, run, user);
        return;
    }
    const int inner = e->n_sum - 1;
    for (;;) {
        run_inner(e, num, e->loop[inner], e->sum[inner], run, user);
        int k = inner - 1;
        for (; k >= 0; k--) {
            const bool wrap = ++v[k] == e->sum[k];
            for (int j = 0; j < e->n_axes; j++)
                num[j] += e->axis[j].coef[e->loop[k]] * (wrap ? 1 - e->sum[k] : 1);
            if (!wrap) break;
            v[k] = 0;
        }
        if (k < 0) return;
    }
}
