/* sum: out[k] = sum over r of x[k, r], k over the kept axes, r over the reduced ones; empty: 0.
 * Real sums accumulate in f64 and are rounded once, those of bf16 to f32; integer sums wrap around
 * in their dtype. Also here: mean, and sum_to, the adjoint of broadcasting, which are compositions
 * of it. */
#include "tensor/reduce.h"

/* --- infer ---------------------------------------------------------------------------------- */

static bool infer(wf_infer *q) { return wf_reduce_infer(q, true); }

/* --- eval ----------------------------------------------------------------------------------- */

static double sum_real(const wf_array *x) {
    double sum = 0;
    int64_t r[WF_MAX_RANK] = {0};
    do sum += wf_get(x, wf_offset(x, r));
    while (wf_next_index(&x->shape, r));
    return sum;
}

static uint64_t sum_integer(const wf_array *x) {
    uint64_t sum = 0;
    int64_t r[WF_MAX_RANK] = {0};
    do {
        const void *p = wf_at(x, wf_offset(x, r));
        sum += x->dtype == WF_I32 ? (uint64_t)*(const int32_t *)p : (uint64_t)*(const int64_t *)p;
    } while (wf_next_index(&x->shape, r));
    return sum;
}

static void eval(const wf_call *c) { wf_reduce_eval(c, sum_real, sum_integer, 0); }

/* --- gradient ------------------------------------------------------------------------------- */

static void grad(const wf_grad_call *c) {
    const wf_tensor g = wf_cast(c->g, wf_dtype_of(c->x[0])); /* bf16 is summed to f32 */
    c->gx[0] = wf_expand(wf_reduce_keep(g, c->attr, c->x[0]), wf_shape_of_tensor(c->x[0]));
}

/* --- kernel --------------------------------------------------------------------------------- */

static int64_t pieces(const wf_call *c, int phase) {
    return wf_reduce_pieces(&wf_fold_sum, c, phase);
}
static size_t shared_bytes(const wf_call *c) { return wf_reduce_shared(&wf_fold_sum, c); }
static void run(const wf_call *c, int phase, int64_t first, int64_t last, void *scratch,
                void *shared) {
    wf_reduce_run(&wf_fold_sum, c, phase, first, last, scratch, shared);
}
static const wf_row_kernel by_rows = WF_REDUCE_ROWS(wf_fold_sum);
static const wf_fast fast = {.applicable = wf_reduce_applicable,
                             .phases = 2,
                             .pieces = pieces,
                             .scratch_bytes = wf_reduce_scratch,
                             .shared_bytes = shared_bytes,
                             .run = run,
                             .by_rows = &by_rows};

/* --- samples -------------------------------------------------------------------------------- */

static wf_tensor sample(wf_sampler *s, int i) { return wf_reduce_sample(&wf_op_sum, s, i); }

/* --- descriptor ----------------------------------------------------------------------------- */

const wf_op wf_op_sum = {
        .name = "sum",
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

wf_tensor wf_sum(wf_tensor x, wf_reduce_opt o) { return wf_reduce_emit(&wf_op_sum, x, o); }

wf_tensor wf_mean(wf_tensor x, wf_reduce_opt o) {
    if (wf_ok(x) && !wf_dtype_is_real(wf_dtype_of(x)))
        return wf_graph_fail(x.graph, "mean: x is %s; it must be f32 or f64",
                             wf_dtype_name(wf_dtype_of(x)));
    const wf_tensor sum = wf_sum(x, o);
    if (!wf_ok(sum)) return sum;
    /* An accepted node has written-out axes, so its attributes tell how many values were summed. */
    const wf_node *node = wf_graph_node(sum.graph, sum.id);
    const double count = wf_reduce_count(node->attr, x);
    return wf_div(sum, wf_scalar(sum.graph, wf_dtype_of(sum), count));
}

wf_tensor wf_sum_to(wf_tensor x, wf_shape shape) {
    if (!wf_ok(x)) return x;
    const wf_shape s = wf_shape_of_tensor(x);
    if (wf_shape_equal(&s, &shape)) return x;
    wf_shape both;
    if (!wf_broadcast(&s, &shape, &both) || !wf_shape_equal(&both, &s)) {
        char from[128], to[128];
        return wf_graph_fail(x.graph, "sum_to: x of shape %s is not a broadcast of shape %s",
                             wf_shape_text(&s, from, sizeof from),
                             wf_shape_text(&shape, to, sizeof to));
    }
    wf_reduce_opt o = {.n_axes = 0};
    for (int i = 0; i < s.rank; i++) {
        const int t = i - (s.rank - shape.rank);
        if (t < 0 || (shape.dim[t] == 1 && s.dim[i] != 1)) o.axes[o.n_axes++] = i;
    }
    if (o.n_axes == 0) return wf_reshape(x, shape);
    return wf_reshape(wf_sum(x, o), shape);
}
