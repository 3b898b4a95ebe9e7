/* max, min: out[k] = the largest (smallest) x[k, r] over r; empty: -inf (+inf), for integers the
 * smallest (largest) value. A NaN among the values is the result. */
#include "tensor/reduce.h"

#include <math.h>

/* --- infer ---------------------------------------------------------------------------------- */

static bool infer(wf_infer *q) { return wf_reduce_infer(q, true); }

/* --- eval ----------------------------------------------------------------------------------- */

static double extreme_real(const wf_array *x, bool max) {
    double m = max ? -INFINITY : INFINITY;
    int64_t r[WF_MAX_RANK] = {0};
    do {
        const double v = wf_get(x, wf_offset(x, r));
        if ((max ? v > m : v < m) || isnan(v)) m = v;
    } while (wf_next_index(&x->shape, r));
    return m;
}

static int64_t extreme_integer(const wf_array *x, bool max, int64_t m) {
    int64_t r[WF_MAX_RANK] = {0};
    do {
        const void *p = wf_at(x, wf_offset(x, r));
        const int64_t v = x->dtype == WF_I32 ? *(const int32_t *)p : *(const int64_t *)p;
        if (max ? v > m : v < m) m = v;
    } while (wf_next_index(&x->shape, r));
    return m;
}

static void eval_extreme(const wf_call *c, bool max) {
    wf_reduce_nest n = wf_reduce_split(c, 0);
    const wf_dtype t = c->out.dtype;
    const int64_t least = t == WF_I32 ? INT32_MIN : INT64_MIN;
    const int64_t most = t == WF_I32 ? INT32_MAX : INT64_MAX;
    const int64_t empty = max ? least : most;
    if (n.n_kept <= 0) return;
    int64_t k[WF_MAX_RANK] = {0};
    do {
        n.red.data = wf_at(&n.in, wf_offset(&n.in, k));
        void *out = wf_at(&n.out, wf_offset(&n.out, k));
        if (wf_dtype_is_real(t))
            wf_store(t, out, n.n_red ? extreme_real(&n.red, max) : max ? -INFINITY : INFINITY);
        else if (t == WF_I32)
            *(int32_t *)out = (int32_t)(n.n_red ? extreme_integer(&n.red, max, empty) : empty);
        else
            *(int64_t *)out = n.n_red ? extreme_integer(&n.red, max, empty) : empty;
    } while (wf_next_index(&n.in.shape, k));
}

static void eval_max(const wf_call *c) { eval_extreme(c, true); }
static void eval_min(const wf_call *c) { eval_extreme(c, false); }

/* --- gradient ----------------------------------------------------------------------------------
 * gx = [x == y] g / (number of equals): ties share. Where y is NaN nothing equals it, and 0 / 0 or
 * g / 0 makes the gradient of the whole group NaN as it should be. */

static void grad(const wf_grad_call *c) {
    const wf_dtype dtype = wf_dtype_of(c->x[0]);
    const wf_tensor x = dtype == WF_BF16 ? wf_cast(c->x[0], WF_F32) : c->x[0];
    if (!wf_dtype_is_real(wf_dtype_of(x))) {
        c->gx[0] = WF_NONE;
        return;
    }
    if (wf_count(x) == 0) {
        c->gx[0] = wf_zeros_like(c->x[0]);
        return;
    }
    const wf_tensor equal = wf_cast(wf_equal(x, wf_reduce_keep(c->y, c->attr, x)), wf_dtype_of(x));
    wf_reduce_opt o = {.keepdims = true};
    const uint32_t mask = wf_reduce_mask(c->attr, wf_rank(x));
    for (int i = 0; i < wf_rank(x); i++)
        if (mask >> i & 1) o.axes[o.n_axes++] = i;
    const wf_tensor ties = o.n_axes ? wf_sum(equal, o) : equal;
    c->gx[0] = wf_cast(wf_mul(equal, wf_div(wf_reduce_keep(c->g, c->attr, x), ties)), dtype);
}

/* --- kernel --------------------------------------------------------------------------------- */

static int64_t pieces(const wf_call *c, int phase) {
    return wf_reduce_pieces(&wf_fold_max, c, phase); /* the same for min */
}
static size_t shared_bytes(const wf_call *c) { return wf_reduce_shared(&wf_fold_max, c); }
static void run_max(const wf_call *c, int phase, int64_t first, int64_t last, void *scratch,
                    void *shared) {
    wf_reduce_run(&wf_fold_max, c, phase, first, last, scratch, shared);
}
static void run_min(const wf_call *c, int phase, int64_t first, int64_t last, void *scratch,
                    void *shared) {
    wf_reduce_run(&wf_fold_min, c, phase, first, last, scratch, shared);
}
static const wf_row_kernel by_rows_max = WF_REDUCE_ROWS(wf_fold_max);
static const wf_fast fast_max = {.applicable = wf_reduce_applicable,
                                 .phases = 2,
                                 .pieces = pieces,
                                 .scratch_bytes = wf_reduce_scratch,
                                 .shared_bytes = shared_bytes,
                                 .run = run_max,
                                 .by_rows = &by_rows_max};
static const wf_row_kernel by_rows_min = WF_REDUCE_ROWS(wf_fold_min);
static const wf_fast fast_min = {.applicable = wf_reduce_applicable,
                                 .phases = 2,
                                 .pieces = pieces,
                                 .scratch_bytes = wf_reduce_scratch,
                                 .shared_bytes = shared_bytes,
                                 .run = run_min,
                                 .by_rows = &by_rows_min};

/* --- samples -------------------------------------------------------------------------------- */

static wf_tensor sample_max(wf_sampler *s, int i) { return wf_reduce_sample(&wf_op_max, s, i); }
static wf_tensor sample_min(wf_sampler *s, int i) { return wf_reduce_sample(&wf_op_min, s, i); }

/* --- descriptors ---------------------------------------------------------------------------- */

const wf_op wf_op_max = {
        .name = "max",
        .kind = WF_KIND_REDUCE,
        .min_in = 1,
        .max_in = 1,
        .infer = infer,
        .eval = eval_max,
        .grad = grad,
        .fast = &fast_max,
        .sample = sample_max,
        .fields = wf_reduce_fields,
        .attr_bytes = sizeof(wf_reduce_attr),
};

const wf_op wf_op_min = {
        .name = "min",
        .kind = WF_KIND_REDUCE,
        .min_in = 1,
        .max_in = 1,
        .infer = infer,
        .eval = eval_min,
        .grad = grad,
        .fast = &fast_min,
        .sample = sample_min,
        .fields = wf_reduce_fields,
        .attr_bytes = sizeof(wf_reduce_attr),
};

/* --- constructors --------------------------------------------------------------------------- */

wf_tensor wf_max(wf_tensor x, wf_reduce_opt o) { return wf_reduce_emit(&wf_op_max, x, o); }
wf_tensor wf_min(wf_tensor x, wf_reduce_opt o) { return wf_reduce_emit(&wf_op_min, x, o); }
