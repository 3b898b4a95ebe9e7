/* Operands into place: read where they are, copied into a zero-padded box, gathered into rows, or
 * in panels. All of it is index arithmetic over relations, done by one copying nest. */
#include "tensor/contract_piece.h"

#include <string.h>

#include "tensor/kernels/contract_gather.h"

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* The gather of one side; destination steps of its loops given; loops of extent 1 are skipped.
 * to_halves: into bf16, with a lo part behind that many. */
static void gather_side(const wf_side *side, const wf_range *r, int n_loops,
                        const int64_t *dst_step, bool to_halves, int64_t lo, void *dst) {
    wf_nest g;
    memset(&g, 0, sizeof g);
    g.from_halves = side->array->dtype == WF_BF16;
    g.to_halves = to_halves;
    g.lo = lo;
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

/* Copies the box of a side over r and sets the steps of all loops on it. Returns the offset of its
 * first element in the box. parts: 0, of floats, or those of halves. */
static int64_t load_box(const wf_side *side, const wf_range *r, int n_loops, int64_t pad,
                        int parts, int64_t *step, int64_t *lo, float *dst) {
    const int unit = wf_unit_axis(side);
    wf_box box;
    wf_nest g;
    memset(&g, 0, sizeof g);
    int64_t size = wf_box_of(side, r, n_loops, unit, pad, &box);
    size += parts && size % 2;
    if (box.n[unit] % pad)
        memset(dst, 0, (size_t)size * (parts ? sizeof(uint16_t) * (size_t)parts : sizeof *dst));
    g.from_halves = side->array->dtype == WF_BF16;
    g.to_halves = parts != 0;
    *lo = g.lo = parts == 2 ? size : 0;
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
    return first;
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

/* Steps of halves as those of cells: the paired loop is contiguous and halved. */
static void steps_of_cells(const wf_source_plan *sp, int rank, int n_loops, int64_t *step) {
    const int loop = rank + sp->pairs.loop;
    for (int l = 0; l < n_loops; l++)
        step[l] = sp->pairs.loop >= 0 && l == loop ? 1 : step[l] / 2;
}

static void load_u_box(const wf_piece *w, wf_loaded *x, const wf_range *r) {
    const wf_contract_plan *p = w->p;
    const wf_source_plan *sp = x->sp;
    const int n_loops = p->c->rank + sp->s->n_sum;
    int64_t lo = 0;
    if (!p->cells) {
        x->u = w->u_space + load_box(&sp->u, r, n_loops, 1, 0, x->u_step, &lo, w->u_space);
    } else if (sp->rows_form) {
        const int64_t pad = wf_half_pad(&sp->u, r, n_loops);
        x->u = w->u_space +
               load_box(&sp->u, r, n_loops, pad, p->cells, x->u_step, &lo, w->u_space) / 2;
        x->u_lo = lo / 2;
        steps_of_cells(sp, p->c->rank, n_loops, x->u_step);
    } else {
        x->u = wf_load_pairs(p, &sp->u, r, n_loops, p->c->rank + sp->pairs.loop, 1, w->stage,
                             x->u_step, &x->u_lo, w->u_space);
    }
}

/* What gather_rows needs beside the range. */
typedef struct gatherer {
    const wf_contract_plan *p;
    const wf_source_plan *sp;
    int64_t first, n; /* columns */
} gatherer;

static void gather_u_rows(void *user, const wf_range *r, const int64_t *k_step, float *stage) {
    const gatherer *g = user;
    int64_t step[WF_CONTRACT_LOOPS];
    memcpy(step, k_step, sizeof step);
    flatten(g->p->m_loop, g->p->n_m, r, 1, step);
    gather_side(&g->sp->u, r, g->p->c->rank + g->sp->s->n_sum, step, false, 0, stage);
}

/* U gathered in cells: [m][k] or [k][m]. */
static void gather_u_cells(const wf_piece *w, wf_loaded *x, const wf_range *r) {
    enum { COLLIDE = 128, APART = 32 };
    const wf_contract_plan *p = w->p;
    const wf_source_plan *sp = x->sp;
    const int rank = p->c->rank, n_loops = rank + sp->s->n_sum;
    const int64_t cells = wf_cells_of(p, sp, r), m = w->rows;
    memset(x->u_step, 0, sizeof x->u_step);
    if (!sp->rows_form) {
        const wf_range c = wf_cell_range(p, sp, r);
        gatherer g = {.p = p, .sp = sp};
        x->u_lo = p->cells == 2 ? cells * m : 0;
        wf_gather_pairs(p, sp, r, m, gather_u_rows, &g, w->stage, w->u_space, x->u_lo);
        flatten(p->m_loop, p->n_m, r, 1, x->u_step);
        int k_loop[WF_CONTRACT_SUMS];
        flatten(k_loop, sum_loops(p, sp->s, k_loop), &c, m, x->u_step);
    } else {
        const int64_t row = 2 * cells + (2 * cells % COLLIDE == 0 ? APART : 0);
        const int64_t lo = p->cells == 2 ? m * row : 0;
        int64_t at = 1;
        if (sp->pairs.run % 2)
            memset(w->u_space, 0, (size_t)(m * row * p->cells) * sizeof(uint16_t));
        for (int l = n_loops - 1; l >= rank; l--) {
            x->u_step[l] = at;
            at *= l == rank + sp->pairs.loop && sp->pairs.loop >= 0 ? r->n[l] + r->n[l] % 2
                                                                    : r->n[l];
        }
        flatten(p->m_loop, p->n_m, r, row, x->u_step);
        gather_side(&sp->u, r, n_loops, x->u_step, true, lo, w->u_space);
        steps_of_cells(sp, rank, n_loops, x->u_step);
        if (sp->pairs.loop < 0 && sp->s->n_sum) x->u_step[n_loops - 1] = 1;
        x->u_lo = lo / 2;
    }
    x->u = w->u_space;
}

void wf_load_u(const wf_piece *w, wf_loaded *x, bool first_chunk, wf_range r) {
    const wf_contract_plan *p = w->p;
    const wf_source_plan *sp = x->sp;
    const int n_loops = p->c->rank + sp->s->n_sum;
    for (int i = 0; i < p->n_n; i++) r.lo[p->n_loop[i]] = 0, r.n[p->n_loop[i]] = 1;
    if (sp->u_mode == WF_FROM_ARRAY && p->cells) {
        const uint16_t *half = sp->u.array->data;
        x->u = (const float *)(const void *)(half + in_place(&sp->u, &r, n_loops, x->u_step));
        steps_of_cells(sp, p->c->rank, n_loops, x->u_step);
    } else if (sp->u_mode == WF_FROM_ARRAY) {
        x->u = sp->u.array->data;
        x->u += in_place(&sp->u, &r, n_loops, x->u_step);
    } else if (sp->u_mode == WF_FROM_BOX && sp->box_by_chunk) {
        load_u_box(w, x, &r);
    } else if (sp->u_mode == WF_FROM_BOX) {
        wf_range all = r;
        for (int k = 0; k < sp->s->n_sum; k++) {
            all.lo[p->c->rank + k] = 0;
            all.n[p->c->rank + k] = sp->s->sum[k];
        }
        const wf_range c = wf_cell_range(p, sp, &r);
        if (first_chunk) {
            load_u_box(w, x, &all);
            x->u_first = x->u;
        }
        x->u = x->u_first;
        for (int l = p->c->rank; l < n_loops; l++) x->u += c.lo[l] * x->u_step[l];
    } else if (p->cells) {
        gather_u_cells(w, x, &r);
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
        gather_side(&sp->u, &r, n_loops, x->u_step, false, 0, w->u_space);
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
        gather_side(&sp->v, &r, n_loops, step, false, 0, dst + at);
        at += count;
    }
    if (n == WF_PANEL) return;
    int64_t k = 1;
    for (int i = 0; i < sp->s->n_sum; i++) k *= r.n[p->c->rank + i];
    for (int64_t i = 0; i < k; i++)
        memset(dst + i * WF_PANEL + n, 0, (size_t)(WF_PANEL - n) * sizeof *dst);
}

static void gather_v_rows(void *user, const wf_range *r, const int64_t *k_step, float *stage) {
    const gatherer *g = user;
    int64_t step[WF_CONTRACT_LOOPS];
    memcpy(step, k_step, sizeof step);
    gather_panel(g->p, g->sp, *r, g->first, g->n, step, stage);
}

/* One panel in cells, its lo part `lo` behind. */
static void gather_panel_cells(const wf_contract_plan *p, const wf_source_plan *sp,
                               const wf_range *r, int64_t first, int64_t n, float *stage,
                               int64_t lo, float *dst) {
    gatherer g = {.p = p, .sp = sp, .first = first, .n = n};
    wf_gather_pairs(p, sp, r, WF_PANEL, gather_v_rows, &g, stage, dst, lo);
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

/* The chunk in V that was packed for `dot`, or in panels. */
static void find_dot(const wf_piece *w, wf_loaded *x, const wf_range *r, const float *packed) {
    const wf_contract_plan *p = w->p;
    dot_steps(p, x->sp, x->v_step);
    x->v_panel = 0;
    x->v = packed + batch_of(p, r) * wf_contract_panel_floats(p, x->sp);
    for (int l = p->c->rank; l < p->c->rank + x->sp->s->n_sum; l++) x->v += x->v_step[l] * r->lo[l];
}

static void find_panels(const wf_piece *w, wf_loaded *x, const wf_range *r, const float *packed) {
    const wf_contract_plan *p = w->p;
    const wf_source_plan *sp = x->sp;
    const wf_range c = wf_cell_range(p, sp, r);
    int64_t step = WF_PANEL;
    wf_range all = *r;
    for (int k = 0; k < sp->s->n_sum; k++) {
        all.lo[p->c->rank + k] = 0;
        all.n[p->c->rank + k] = sp->s->sum[k];
    }
    all = wf_cell_range(p, sp, &all);
    x->v_panel = sp->k_rows * WF_PANEL;
    x->v_lo = sp->pairs.cells * WF_PANEL;
    x->v = packed + (batch_of(p, r) * ceil_div(p->n, WF_PANEL) + w->first_inner) * x->v_panel;
    for (int l = p->c->rank + sp->s->n_sum - 1; l >= p->c->rank; l--) {
        x->v_step[l] = step;
        x->v += step * c.lo[l];
        step *= all.n[l];
    }
}

/* V gathered into panels of the chunk. */
static void gather_v(const wf_piece *w, wf_loaded *x, const wf_range *r) {
    const wf_contract_plan *p = w->p;
    const wf_source_plan *sp = x->sp;
    const wf_range c = wf_cell_range(p, sp, r);
    const int64_t k = wf_cells_of(p, sp, r), n_inner = w->last_inner - w->first_inner;
    int k_loop[WF_CONTRACT_SUMS];
    flatten(k_loop, sum_loops(p, sp->s, k_loop), &c, WF_PANEL, x->v_step);
    x->v_lo = k * WF_PANEL;
    x->v_panel = k * WF_PANEL * (p->cells ? p->cells : 1);
    x->v_outer = n_inner * x->v_panel;
    x->v = w->v_space;
    for (int64_t o = w->first_outer; o < w->last_outer; o++)
        for (int64_t i = 0; i < n_inner; i++) {
            const int64_t first = (w->first_inner + i) * WF_PANEL;
            float *to = w->v_space + (o - w->first_outer) * x->v_outer + i * x->v_panel;
            const int64_t n = least(WF_PANEL, p->n_inner - first), at = o * p->n_inner + first;
            if (p->cells)
                gather_panel_cells(p, sp, r, at, n, w->stage, p->cells == 2 ? x->v_lo : 0, to);
            else gather_panel(p, sp, *r, at, n, x->v_step, to);
        }
}

void wf_load_v(const wf_piece *w, wf_loaded *x, wf_range r, const float *packed) {
    const wf_contract_plan *p = w->p;
    const wf_source_plan *sp = x->sp;
    const int n_loops = p->c->rank + sp->s->n_sum;
    const int inner = p->n_n ? p->n_loop[p->n_n - 1] : -1;
    for (int i = 0; i < p->n_m; i++) r.lo[p->m_loop[i]] = 0, r.n[p->m_loop[i]] = 1;
    for (int i = 0; i < p->n_n; i++) r.lo[p->n_loop[i]] = 0, r.n[p->n_loop[i]] = 1;
    x->v_outer = x->v_at = 0;
    x->v_panel = WF_PANEL;
    memset(x->v_step, 0, sizeof x->v_step);
    if (sp->v_mode == WF_FROM_ARRAY) {
        if (inner >= 0) r.lo[inner] = w->first_inner * WF_PANEL;
        x->v = sp->v.array->data;
        x->v_at = in_place(&sp->v, &r, n_loops, x->v_step);
    } else if (sp->v_mode == WF_FROM_BOX) {
        for (int i = 0; i < p->n_n; i++) r.n[p->n_loop[i]] = p->c->out[p->n_loop[i]];
        r.lo[inner] = w->first_inner * WF_PANEL;
        r.n[inner] = least(p->n_inner, w->last_inner * WF_PANEL) - r.lo[inner];
        int64_t lo;
        x->v = p->cells ? wf_load_pairs(p, &sp->v, &r, n_loops, p->c->rank + sp->pairs.loop, 16,
                                        w->stage, x->v_step, &x->v_lo, w->v_space)
                        : w->v_space + load_box(&sp->v, &r, n_loops, 16, 0, x->v_step, &lo,
                                                w->v_space);
    } else if (p->dot) {
        find_dot(w, x, &r, packed);
    } else if (sp->v_mode == WF_FROM_PACKED) {
        find_panels(w, x, &r, packed);
    } else {
        gather_v(w, x, &r);
    }
}

void wf_contract_pack_panel(const wf_contract_plan *p, const wf_source_plan *sp, int64_t i,
                            float *stage, float *dst) {
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
        gather_side(&sp->v, &r, p->c->rank + n_k, step, false, 0, dst);
        return;
    }
    flatten(k_loop, n_k, &r, WF_PANEL, step);
    const int64_t first = i % panels * WF_PANEL, n = least(WF_PANEL, p->n - first);
    if (p->cells)
        gather_panel_cells(p, sp, &r, first, n, stage,
                           p->cells == 2 ? sp->pairs.cells * WF_PANEL : 0, dst);
    else gather_panel(p, sp, r, first, n, step, dst);
}
