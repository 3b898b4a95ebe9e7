/* moments: out[0, k] = mean over r of x[k, r]; out[1, k] = mean over r of (x[k, r] - out[0, k])^2,
 * the biased variance; empty: NaN. The fast path reads x once and merges partials (count, mean, M2)
 * in index order.
 * Source: T. F. Chan, G. H. Golub, R. J. LeVeque, Updating formulae and a pairwise algorithm for
 * computing sample variances, 1979. Also here: var, the second plane. */
#include "tensor/reduce.h"

#include <math.h>
#include <string.h>

/* --- infer ---------------------------------------------------------------------------------- */

static bool infer(wf_infer *q) {
    if (!wf_reduce_infer(q, false)) return false;
    wf_shape s = q->out.shape;
    if (s.rank == WF_MAX_RANK)
        return wf_infer_fail(q, "the result would have rank %d; at most %d is possible",
                             s.rank + 1, WF_MAX_RANK);
    memmove(s.dim + 1, s.dim, sizeof s.dim[0] * (size_t)s.rank);
    s.dim[0] = 2;
    s.rank++;
    q->out.shape = s;
    return true;
}

/* --- eval ----------------------------------------------------------------------------------- */

/* Sum of (x - centre)^power, power 1 or 2. */
static double sum_about(const wf_array *x, double centre, int power) {
    double sum = 0;
    int64_t r[WF_MAX_RANK] = {0};
    do {
        const double d = wf_get(x, wf_offset(x, r)) - centre;
        sum += power == 2 ? d * d : d;
    } while (wf_next_index(&x->shape, r));
    return sum;
}

static void eval(const wf_call *c) {
    wf_reduce_nest n = wf_reduce_split(c, 1);
    if (n.n_kept <= 0) return;
    const double count = (double)n.n_red;
    int64_t k[WF_MAX_RANK] = {0};
    do {
        n.red.data = wf_at(&n.in, wf_offset(&n.in, k));
        const double m = n.n_red ? sum_about(&n.red, 0, 1) / count : NAN;
        const double v = n.n_red ? sum_about(&n.red, m, 2) / count : NAN;
        const int64_t at = wf_offset(&n.out, k);
        wf_set(&n.out, at, m);
        wf_set(&n.out, at + c->out.stride[0], v);
    } while (wf_next_index(&n.in.shape, k));
}

/* --- gradient ----------------------------------------------------------------------------------
 * gx = g[0] / n + g[1] 2 (x - mean) / n; mean is y[0], not a constant, so that the gradient of this
 * is right too. */

static void grad(const wf_grad_call *c) {
    const wf_dtype dtype = wf_dtype_of(c->x[0]);
    const wf_tensor x = dtype == WF_BF16 ? wf_cast(c->x[0], WF_F32) : c->x[0];
    if (wf_count(x) == 0) {
        c->gx[0] = wf_zeros_like(c->x[0]);
        return;
    }
    const double count = wf_reduce_count(c->attr, x);
    const wf_tensor mean = wf_reduce_keep(wf_index(c->y, 0, 0), c->attr, x);
    const wf_tensor g_mean = wf_reduce_keep(wf_index(c->g, 0, 0), c->attr, x);
    const wf_tensor g_var = wf_reduce_keep(wf_index(c->g, 0, 1), c->attr, x);
    const wf_tensor centred = wf_sub(x, mean);
    const wf_tensor g = wf_add(wf_mul_scalar(g_mean, 1 / count),
                               wf_mul(centred, wf_mul_scalar(g_var, 2 / count)));
    c->gx[0] = wf_cast(g, dtype);
}

/* --- kernel --------------------------------------------------------------------------------- */

static int64_t pieces(const wf_call *c, int phase) {
    return wf_reduce_pieces(&wf_fold_moments, c, phase);
}
static size_t shared_bytes(const wf_call *c) { return wf_reduce_shared(&wf_fold_moments, c); }
static void run(const wf_call *c, int phase, int64_t first, int64_t last, void *scratch,
                void *shared) {
    wf_reduce_run(&wf_fold_moments, c, phase, first, last, scratch, shared);
}
static const wf_row_kernel by_rows = WF_REDUCE_ROWS(wf_fold_moments);
static const wf_fast fast = {.applicable = wf_reduce_applicable,
                             .phases = 2,
                             .pieces = pieces,
                             .scratch_bytes = wf_reduce_scratch,
                             .shared_bytes = shared_bytes,
                             .run = run,
                             .by_rows = &by_rows};

/* --- samples -------------------------------------------------------------------------------- */

static wf_tensor sample(wf_sampler *s, int i) { return wf_reduce_sample(&wf_op_moments, s, i); }

/* --- descriptor ----------------------------------------------------------------------------- */

const wf_op wf_op_moments = {
        .name = "moments",
        .kind = WF_KIND_REDUCE,
        .min_in = 1,
        .max_in = 1,
        .infer = infer,
        .eval = eval,
        .grad = grad,
        .fast = &fast,
        .sample = sample,
        .fields = wf_reduce_fields,
        .attr_bytes = sizeof(wf_reduce_attr),
};

/* --- constructors --------------------------------------------------------------------------- */

wf_tensor wf_moments(wf_tensor x, wf_reduce_opt o) { return wf_reduce_emit(&wf_op_moments, x, o); }
wf_tensor wf_var(wf_tensor x, wf_reduce_opt o) { return wf_index(wf_moments(x, o), 0, 1); }
