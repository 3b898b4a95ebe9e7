/* The summed index of a chunk as segments, which the micro kernels run over. */
#include "tensor/contract_piece.h"
#include "tensor/kernels/contract_gather.h"

/* The segments of f32x3: hi hi, hi lo and lo hi of each. */
static void three_products(const wf_piece *w, wf_loaded *x) {
    for (int64_t s = x->n_seg - 1; s >= 0; s--) {
        const int64_t u = w->u_seg[s], v = w->v_seg[s];
        for (int i = 0; i < 3; i++) {
            w->u_seg[3 * s + i] = u + (i == 2 ? x->u_lo : 0);
            w->v_seg[3 * s + i] = v + (i == 1 ? x->v_lo : 0);
        }
    }
    x->n_seg *= 3;
}

/* The sum loops of the chunk, or their part in `part`, as segments of one strided run each. */
void wf_cut_segments(const wf_piece *w, wf_loaded *x, const wf_range *part) {
    const int rank = w->p->c->rank, n_sum = x->sp->s->n_sum;
    const int64_t *n = part->n + rank, *us = x->u_step + rank, *vs = x->v_step + rank;
    bool in_run[WF_CONTRACT_SUMS] = {false};
    int run = -1;
    x->u_shift = x->v_shift = 0;
    for (int k = 0; k < n_sum; k++) {
        x->u_shift += (part->lo[rank + k] - x->r.lo[rank + k]) * us[k];
        x->v_shift += (part->lo[rank + k] - x->r.lo[rank + k]) * vs[k];
        const bool runs = !x->sp->rows_form || (us[k] == 1 && (!w->p->dot || vs[k] == 1));
        if (n[k] > 1 && runs && (run < 0 || n[k] >= n[run])) run = k;
    }
    x->len = 1;
    x->ak = x->bk = 0;
    if (run >= 0) {
        x->len = n[run];
        x->ak = us[run];
        x->bk = vs[run];
        in_run[run] = true;
        for (int k = n_sum - 1; k >= 0; k--)
            if (!in_run[k] && n[k] > 1 && us[k] == x->ak * x->len && vs[k] == x->bk * x->len) {
                in_run[k] = true;
                x->len *= n[k];
                k = n_sum;
            }
    }
    x->n_seg = 1;
    w->u_seg[0] = w->v_seg[0] = 0;
    for (int k = 0; k < n_sum; k++) {
        if (in_run[k] || n[k] == 1) continue;
        for (int64_t s = x->n_seg * n[k] - 1; s >= 0; s--) {
            w->u_seg[s] = w->u_seg[s / n[k]] + s % n[k] * us[k];
            w->v_seg[s] = w->v_seg[s / n[k]] + s % n[k] * vs[k];
        }
        x->n_seg *= n[k];
    }
    if (w->p->cells == 2) three_products(w, x);
}

/* Segments of the part of the chunk in which V, at these outer columns, has elements. Padding adds
 * nothing to a weight gradient, so it is left out instead of copied. */
void wf_clip_segments(const wf_piece *w, wf_loaded *x, const int64_t *column) {
    const wf_contract_plan *p = w->p;
    const wf_side *v = &x->sp->v;
    wf_range part = x->r;
    bool empty = false;
    for (int j = 0; j < v->rank; j++) {
        int64_t at = v->offset[j];
        int loop = -1;
        for (int l = 0; l < p->c->rank; l++) at += v->coef[j][l] * column[l];
        for (int k = 0; k < x->sp->s->n_sum; k++)
            if (v->coef[j][p->c->rank + k]) loop = p->c->rank + k;
        const int64_t limit = v->array->shape.dim[j];
        if (loop < 0) {
            empty |= at < 0 || at >= limit;
            continue;
        }
        int64_t lo = part.lo[loop], hi = lo + part.n[loop];
        wf_nest_cut(at, v->coef[j][loop], limit, &lo, &hi);
        empty |= hi <= lo;
        part.lo[loop] = lo;
        part.n[loop] = hi - lo;
    }
    if (!empty) wf_cut_segments(w, x, &part);
    if (empty) x->n_seg = x->u_shift = x->v_shift = 0;
}
