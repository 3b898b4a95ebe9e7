/* Operands into place: read where they are, copied into a zero-padded box, gathered into rows, or
 * in panels. All of it is index arithmetic over relations, done by one copying nest. */
#include "tensor/contract_piece.h"

#include <string.h>

#include "tensor/kernels/contract_gather.h"

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* The gather of one side; destination steps of its loops given; loops of extent 1 are skipped. */
static void gather_side(const wf_side *side, const wf_range *r, int n_loops,
                        const int64_t *dst_step, float *dst) {
    wf_nest g;
    memset(&g, 0, sizeof g);
    g.n_axes = side->rank;
    for (int j = 0; j < side->rank; j++) {
        g.num[j] = side->offset[j];
        g.div[j] = side->div[j];
        g.limit[j] = side->array->shape.dim[j];
        g.stride[j] = side->array->stride[j];
        for (int l = 0; l < n_loops; l++) g.num[j] += side->coef[j][l] * r->lo[l];
    }
    for (int l = 0; l < n_loops; l++) {
        if (r->n[l] == 1) continue;
        wf_nest_loop *to = &g.loop[g.n_loops++];
        to->extent = r->n[l];
        to->dst = dst_step[l];
        for (int j = 0; j < side->rank; j++) to->coef[j] = side->coef[j][l];
    }
    wf_nest_copy(&g, side->array->data, dst);
}

/* Copies the box of a side over r and sets the steps of all loops on it. */
static const float *load_box(const wf_side *side, const wf_range *r, int n_loops, int64_t pad,
                             int64_t *step, float *dst) {
    const int unit = wf_unit_axis(side);
    wf_box box;
    wf_nest g;
    memset(&g, 0, sizeof g);
    const int64_t size = wf_box_of(side, r, n_loops, unit, pad, &box);
    if (box.n[unit] % pad) memset(dst, 0, (size_t)size * sizeof *dst);
    g.n_axes = g.n_loops = side->rank;
    int64_t first = 0;
    for (int j = 0; j < side->rank; j++) {
        g.num[j] = box.lo[j];
        g.div[j] = 1;
        g.limit[j] = side->array->shape.dim[j];
        g.stride[j] = side->array->stride[j];
        g.loop[j].extent = box.n[j];
        g.loop[j].dst = box.stride[j];
        g.loop[j].coef[j] = 1;
        int64_t at = side->offset[j] - box.lo[j];
        for (int l = 0; l < n_loops; l++) at += side->coef[j][l] * r->lo[l];
        first += at * box.stride[j];
    }
    for (int l = 0; l < n_loops; l++) {
        step[l] = 0;
        for (int j = 0; j < side->rank; j++) step[l] += side->coef[j][l] * box.stride[j];
    }
    wf_nest_copy(&g, side->array->data, dst);
    return dst + first;
}

/* Steps of a list of loops flattened row-major over their ranges; returns their product. */
static int64_t flatten(const int *loop, int n, const wf_range *r, int64_t unit, int64_t *step) {
    int64_t total = 1;
    for (int i = n - 1; i >= 0; i--) {
        step[loop[i]] = total * unit;
        total *= r->n[loop[i]];
    }
    return total;
}

static int sum_loops(const wf_contract_plan *p, const wf_contract_source *s, int *loop) {
    for (int k = 0; k < s->n_sum; k++) loop[k] = p->c->rank + k;
    return s->n_sum;
}

/* The offset of the first element in the array, which may lie outside of it if V is clipped. */
static int64_t in_place(const wf_side *side, const wf_range *r, int n_loops, int64_t *step) {
    int64_t at = 0;
    for (int j = 0; j < side->rank; j++) at += side->offset[j] * side->array->stride[j];
    for (int l = 0; l < n_loops; l++) {
        step[l] = side->step[l];
        at += r->lo[l] * side->step[l];
    }
    return at;
}

void wf_load_u(const wf_piece *w, wf_loaded *x, bool first_chunk, wf_range r) {
    const wf_contract_plan *p = w->p;
    const wf_source_plan *sp = x->sp;
    const int n_loops = p->c->rank + sp->s->n_sum;
    for (int i = 0; i < p->n_n; i++) r.lo[p->n_loop[i]] = 0, r.n[p->n_loop[i]] = 1;
    if (sp->u_mode == WF_FROM_ARRAY) {
        x->u = sp->u.array->data;
        x->u += in_place(&sp->u, &r, n_loops, x->u_step);
    } else if (sp->u_mode == WF_FROM_BOX && sp->box_by_chunk) {
        x->u = load_box(&sp->u, &r, n_loops, 1, x->u_step, w->u_space);
    } else if (sp->u_mode == WF_FROM_BOX) {
        wf_range all = r;
        for (int k = 0; k < sp->s->n_sum; k++) {
            all.lo[p->c->rank + k] = 0;
            all.n[p->c->rank + k] = sp->s->sum[k];
        }
        if (first_chunk) x->u = load_box(&sp->u, &all, n_loops, 1, x->u_step, w->u_space);
        for (int l = p->c->rank; l < n_loops; l++)
            x->u += (r.lo[l] - (first_chunk ? 0 : x->r.lo[l])) * x->u_step[l];
    } else {
        int k_loop[WF_CONTRACT_SUMS];
        const int n_k = sum_loops(p, sp->s, k_loop);
        memset(x->u_step, 0, sizeof x->u_step);
        if (sp->rows_form) {
            const int64_t k = flatten(k_loop, n_k, &r, 1, x->u_step);
            flatten(p->m_loop, p->n_m, &r, k + (k % 64 == 0 ? 16 : 0), x->u_step);
        } else {
            const int64_t m = flatten(p->m_loop, p->n_m, &r, 1, x->u_step);
            flatten(k_loop, n_k, &r, m, x->u_step);
        }
        gather_side(&sp->u, &r, n_loops, x->u_step, w->u_space);
        x->u = w->u_space;
    }
}

/* Columns [first, first + n) of the flattened column loops into one panel; n <= WF_PANEL. r has the
 * batch and the k. k_step: destination steps of the sum loops. */
static void gather_panel(const wf_contract_plan *p, const wf_source_plan *sp, wf_range r,
                         int64_t first, int64_t n, int64_t *step, float *dst) {
    const int n_loops = p->c->rank + sp->s->n_sum;
    const int last = p->n_n ? p->n_loop[p->n_n - 1] : -1;
    const int64_t run = last >= 0 ? p->c->out[last] : 1;
    for (int i = 0; i < p->n_m; i++) r.lo[p->m_loop[i]] = 0, r.n[p->m_loop[i]] = 1;
    for (int64_t at = 0; at < n;) {
        int64_t rest = first + at, count = 1;
        for (int i = p->n_n - 1; i >= 0; i--) {
            const int l = p->n_loop[i];
            r.lo[l] = rest % p->c->out[l];
            r.n[l] = 1;
            rest /= p->c->out[l];
        }
        if (last >= 0) {
            count = least(n - at, run - r.lo[last]);
            r.n[last] = count;
            step[last] = 1;
        }
        gather_side(&sp->v, &r, n_loops, step, dst + at);
        at += count;
    }
    if (n == WF_PANEL) return;
    int64_t k = 1;
    for (int i = 0; i < sp->s->n_sum; i++) k *= r.n[p->c->rank + i];
    for (int64_t i = 0; i < k; i++)
        memset(dst + i * WF_PANEL + n, 0, (size_t)(WF_PANEL - n) * sizeof *dst);
}

static int64_t batch_of(const wf_contract_plan *p, const wf_range *r) {
    int64_t b = 0;
    for (int i = 0; i < p->n_batch; i++)
        b = b * p->c->out[p->batch_loop[i]] + r->lo[p->batch_loop[i]];
    return b;
}

/* Steps of the sum and column loops in a matrix of V for `dot`: columns, and in them k with the
 * loop that U is contiguous in innermost. */
static void dot_steps(const wf_contract_plan *p, const wf_source_plan *sp, int64_t *step) {
    const int run = p->c->rank + sp->run;
    int64_t total = sp->s->sum[sp->run];
    step[run] = 1;
    for (int k = p->c->rank + sp->s->n_sum - 1; k >= p->c->rank; k--) {
        if (k == run) continue;
        step[k] = total;
        total *= sp->s->sum[k - p->c->rank];
    }
    for (int i = p->n_n - 1; i >= 0; i--) {
        step[p->n_loop[i]] = total;
        total *= p->c->out[p->n_loop[i]];
    }
}

void wf_load_v(const wf_piece *w, wf_loaded *x, wf_range r, const float *packed) {
    const wf_contract_plan *p = w->p;
    const wf_source_plan *sp = x->sp;
    const int n_loops = p->c->rank + sp->s->n_sum;
    for (int i = 0; i < p->n_m; i++) r.lo[p->m_loop[i]] = 0, r.n[p->m_loop[i]] = 1;
    for (int i = 0; i < p->n_n; i++) r.lo[p->n_loop[i]] = 0, r.n[p->n_loop[i]] = 1;
    const int inner = p->n_n ? p->n_loop[p->n_n - 1] : -1;
    x->v_outer = x->v_at = 0;
    if (sp->v_mode == WF_FROM_ARRAY) {
        if (inner >= 0) r.lo[inner] = w->first_inner * WF_PANEL;
        x->v = sp->v.array->data;
        x->v_at = in_place(&sp->v, &r, n_loops, x->v_step);
        x->v_panel = WF_PANEL;
        return;
    }
    if (sp->v_mode == WF_FROM_BOX) {
        for (int i = 0; i < p->n_n; i++) r.n[p->n_loop[i]] = p->c->out[p->n_loop[i]];
        r.lo[inner] = w->first_inner * WF_PANEL;
        r.n[inner] = least(p->n_inner, w->last_inner * WF_PANEL) - r.lo[inner];
        x->v = load_box(&sp->v, &r, n_loops, 16, x->v_step, w->v_space);
        x->v_panel = WF_PANEL;
        return;
    }
    int k_loop[WF_CONTRACT_SUMS];
    const int n_k = sum_loops(p, sp->s, k_loop);
    memset(x->v_step, 0, sizeof x->v_step);
    if (p->dot) {
        dot_steps(p, sp, x->v_step);
        x->v_panel = 0;
        x->v = packed + batch_of(p, &r) * wf_contract_panel_floats(p, sp);
        for (int k = 0; k < n_k; k++) x->v += x->v_step[k_loop[k]] * r.lo[k_loop[k]];
        return;
    }
    if (sp->v_mode == WF_FROM_PACKED) {
        int64_t step = WF_PANEL;
        x->v_panel = sp->n_k * WF_PANEL;
        const int64_t panels = ceil_div(p->n, WF_PANEL);
        x->v = packed + (batch_of(p, &r) * panels + w->first_inner) * x->v_panel;
        for (int k = n_k - 1; k >= 0; k--) {
            x->v_step[k_loop[k]] = step;
            x->v += step * r.lo[k_loop[k]];
            step *= sp->s->sum[k];
        }
        return;
    }
    const int64_t k = flatten(k_loop, n_k, &r, WF_PANEL, x->v_step);
    const int64_t n_inner = w->last_inner - w->first_inner;
    x->v_panel = k * WF_PANEL;
    x->v_outer = n_inner * x->v_panel;
    x->v = w->v_space;
    for (int64_t o = w->first_outer; o < w->last_outer; o++)
        for (int64_t i = 0; i < n_inner; i++) {
            const int64_t first = (w->first_inner + i) * WF_PANEL;
            float *to = w->v_space + (o - w->first_outer) * x->v_outer + i * x->v_panel;
            gather_panel(p, sp, r, o * p->n_inner + first, least(WF_PANEL, p->n_inner - first),
                         x->v_step, to);
        }
}

void wf_contract_pack_panel(const wf_contract_plan *p, const wf_source_plan *sp, int64_t i,
                            float *dst) {
    const int64_t panels = ceil_div(p->n, WF_PANEL);
    int64_t batch = i / panels;
    wf_range r;
    int64_t step[WF_CONTRACT_LOOPS] = {0};
    int k_loop[WF_CONTRACT_SUMS];
    memset(&r, 0, sizeof r);
    for (int l = p->n_batch - 1; l >= 0; l--) {
        r.lo[p->batch_loop[l]] = batch % p->c->out[p->batch_loop[l]];
        r.n[p->batch_loop[l]] = 1;
        batch /= p->c->out[p->batch_loop[l]];
    }
    const int n_k = sum_loops(p, sp->s, k_loop);
    for (int k = 0; k < n_k; k++) r.n[k_loop[k]] = sp->s->sum[k];
    if (p->dot) {
        for (int k = 0; k < p->n_n; k++) r.n[p->n_loop[k]] = p->c->out[p->n_loop[k]];
        for (int k = 0; k < p->n_m; k++) r.n[p->m_loop[k]] = 1;
        dot_steps(p, sp, step);
        gather_side(&sp->v, &r, p->c->rank + n_k, step, dst);
        return;
    }
    flatten(k_loop, n_k, &r, WF_PANEL, step);
    const int64_t first = i % panels * WF_PANEL;
    gather_panel(p, sp, r, first, least(WF_PANEL, p->n - first), step, dst);
}
