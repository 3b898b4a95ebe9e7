/* The operands of a source as seen by a plan: relations as coefficients of its loops, where they
 * are contiguous, and the boxes they are copied to. */
#include "tensor/contract_plan.h"
#include "tensor/size.h"

#include <string.h>

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* The product of sizes of a box, which no memory holds if it is this large. */
static int64_t times(int64_t a, int64_t b) {
    const int64_t most = INT64_C(1) << 60;
    int64_t product;
    return wf_mul_i64(a, b, &product) && product < most ? product : most;
}

bool wf_side_inside_but(const wf_contract_attr *c, const wf_contract_source *s,
                        const wf_side *side, int y, int x) {
    for (int j = 0; j < side->rank; j++) {
        int64_t lo = side->offset[j], hi = lo;
        if (j == y || j == x) continue;
        for (int l = 0; l < c->rank + s->n_sum; l++) {
            const int64_t reach = side->coef[j][l] * (wf_loop_extent(c, s, l) - 1);
            *(reach < 0 ? &lo : &hi) += reach;
        }
        if (lo < 0 || hi >= side->array->shape.dim[j]) return false;
    }
    return true;
}

void wf_side_read(const wf_contract_attr *c, const wf_contract_source *s, bool is_b,
                  const wf_array *array, wf_side *side) {
    memset(side, 0, sizeof *side);
    side->array = array;
    side->rank = is_b ? s->rank_b : s->rank_a;
    side->linear = true;
    const int n_loops = c->rank + s->n_sum;
    for (int j = 0; j < side->rank; j++) {
        const wf_relation *r = is_b ? &s->b[j] : &s->a[j];
        if (r->a >= 0) side->coef[j][r->a] += r->ca;
        if (r->b >= 0) side->coef[j][r->b] += r->cb;
        side->offset[j] = r->offset;
        side->div[j] = r->div;
        for (int l = 0; l < n_loops; l++) side->step[l] += side->coef[j][l] * array->stride[j];
        side->linear &= r->div == 1;
    }
    side->inside = side->linear && wf_side_inside_but(c, s, side, -1, -1);
}

int wf_unit_axis(const wf_side *side) {
    int best = side->rank - 1;
    for (int j = side->rank - 1; j >= 0; j--)
        if (side->array->stride[j] == 1 && side->array->shape.dim[j] > 1) return j;
    return best < 0 ? 0 : best;
}

int64_t wf_box_of(const wf_side *side, const wf_range *r, int n_loops, int unit, int64_t pad,
                  wf_box *box) {
    int64_t size = 1;
    for (int j = 0; j < side->rank; j++) {
        int64_t lo = side->offset[j], hi = lo;
        for (int l = 0; l < n_loops; l++) {
            const int64_t first = side->coef[j][l] * r->lo[l];
            const int64_t reach = side->coef[j][l] * (r->n[l] - 1);
            lo += first + (reach < 0 ? reach : 0);
            hi += first + (reach > 0 ? reach : 0);
        }
        box->lo[j] = lo;
        box->n[j] = hi - lo + 1;
    }
    if (side->rank == 0) return pad;
    box->stride[unit] = 1;
    size = ceil_div(box->n[unit], pad) * pad;
    for (int j = side->rank - 1; j >= 0; j--) {
        if (j == unit) continue;
        box->stride[j] = size;
        size = times(size, box->n[j]);
    }
    return size;
}

bool wf_side_unit_in(const wf_side *side, const wf_contract_plan *p, const int *loop, int n) {
    for (int i = 0; i < n; i++)
        if (p->c->out[loop[i]] > 1 && side->step[loop[i]] == 1) return true;
    return false;
}

bool wf_side_unit_in_sum(const wf_contract_plan *p, const wf_contract_source *s,
                         const wf_side *side) {
    bool any = false;
    for (int k = 0; k < s->n_sum; k++) {
        any |= s->sum[k] > 1;
        if (s->sum[k] > 1 && side->step[p->c->rank + k] == 1) return true;
    }
    return !any;
}

int64_t wf_sum_extent(const wf_contract_source *s) {
    int64_t k = 1;
    for (int i = 0; i < s->n_sum; i++) k *= s->sum[i];
    return k;
}

int wf_side_run(const wf_contract_plan *p, const wf_contract_source *s, const wf_side *u) {
    int run = -1;
    for (int k = 0; k < s->n_sum && u->linear && u->rank > 0; k++)
        if (u->coef[wf_unit_axis(u)][p->c->rank + k] == 1 && u->step[p->c->rank + k] == 1 &&
            (run < 0 || s->sum[k] > s->sum[run]))
            run = k;
    return run;
}

/* --- cells ------------------------------------------------------------------------------------ */

int wf_side_axis(const wf_side *side, int l) {
    int axis = -1, n = 0;
    for (int j = 0; j < side->rank; j++)
        if (side->coef[j][l]) axis = j, n++;
    return n == 1 && side->linear ? axis : -1;
}

bool wf_side_alone(const wf_side *side, int axis, int l, const wf_range *r, int n_loops) {
    for (int i = 0; i < n_loops; i++)
        if (i != l && side->coef[axis][i] && r->n[i] > 1) return false;
    return true;
}

int64_t wf_half_pad(const wf_side *side, const wf_range *r, int n_loops) {
    enum { COLLIDE = 512, APART = 32 };
    const int unit = wf_unit_axis(side);
    wf_box box;
    wf_box_of(side, r, n_loops, unit, 1, &box);
    /* Never more for fewer elements: the largest box bounds the others. */
    const int64_t apart = box.n[unit] / COLLIDE * COLLIDE + APART;
    return box.n[unit] >= COLLIDE && box.n[unit] < apart ? apart : 2;
}

int64_t wf_pair_box_of(const wf_side *side, const wf_range *r, int n_loops, int loop, int64_t pad,
                       wf_pair_box *b) {
    b->unit = wf_unit_axis(side);
    b->axis = wf_side_axis(side, loop);
    b->apart = side->coef[b->axis][loop];
    b->hop = b->apart == 1 && wf_side_alone(side, b->axis, loop, r, n_loops) ? 2 : 1;
    wf_box_of(side, r, n_loops, b->unit, pad, &b->box);
    int64_t size = ceil_div(b->box.n[b->unit], pad) * pad;
    for (int j = side->rank - 1; j >= 0; j--) {
        if (j == b->unit) continue;
        b->box.stride[j] = size;
        size = times(size, j == b->axis ? ceil_div(b->box.n[j], b->hop) : b->box.n[j]);
    }
    return size;
}

wf_range wf_cell_range(const wf_contract_plan *p, const wf_source_plan *sp, const wf_range *r) {
    wf_range c = *r;
    const int rank = p->c->rank, n_sum = sp->s->n_sum, l = rank + sp->pairs.loop;
    if (!p->cells || n_sum == 0) return c;
    if (sp->pairs.loop >= 0) {
        c.lo[l] /= 2;
        c.n[l] = (c.n[l] + 1) / 2;
        return c;
    }
    for (int k = rank; k < rank + n_sum; k++) c.lo[k] = 0, c.n[k] = 1;
    c.n[rank + n_sum - 1] = sp->pairs.cells;
    return c;
}

int64_t wf_cells_of(const wf_contract_plan *p, const wf_source_plan *sp, const wf_range *r) {
    const wf_range c = wf_cell_range(p, sp, r);
    int64_t n = 1;
    for (int k = 0; k < sp->s->n_sum; k++) n *= c.n[p->c->rank + k];
    return n;
}
