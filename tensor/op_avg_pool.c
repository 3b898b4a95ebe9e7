/* avg_pool: y[n, o, c] = (sum of x[n, o stride - pad + k, c] over 0 <= k < kernel inside x) / size,
 * size(o) the number of those k, or of the whole window with count_pad.
 * avg_pool_grad, its adjoint: x[n, i, c] = sum over the windows o around i of g[n, o, c] / size(o),
 * the adjoint of which is avg_pool again. */
#include "tensor/lines.h"
#include "tensor/pool.h"

/* --- infer ---------------------------------------------------------------------------------- */

static bool infer_grad(wf_infer *q) {
    const wf_pool_attr *a = q->attr;
    const wf_shape *g = &q->in[0].shape;
    wf_shape windows;
    q->out = q->in[0];
    for (int i = 0; i < g->rank - 2 && i < 3; i++) {
        if (a->extent[i] < 0)
            return wf_infer_fail(q, "extent[%d] is %lld", i, (long long)a->extent[i]);
        q->out.shape.dim[i + 1] = a->extent[i];
    }
    const wf_type x = q->out;
    if (!wf_pool_shape(q, &x, &windows)) return false;
    char have[128], want[128];
    if (!wf_shape_equal(&windows, g))
        return wf_infer_fail(q, "g has shape %s; the windows of x have %s",
                             wf_shape_text(g, have, sizeof have),
                             wf_shape_text(&windows, want, sizeof want));
    return true;
}

/* --- eval ----------------------------------------------------------------------------------- */

/* One average, or one sum over windows (adjoint). */
static double value(const wf_pool *p, bool adjoint, const wf_array *x, int64_t n,
                    const int64_t at[3], int64_t c) {
    int64_t lo[3], hi[3], i[3];
    for (int a = 0; a < 3; a++)
        (adjoint ? wf_pool_cover : wf_pool_window)(p, a, at[a], &lo[a], &hi[a]);
    double sum = 0;
    for (i[0] = lo[0]; i[0] < hi[0]; i[0]++)
        for (i[1] = lo[1]; i[1] < hi[1]; i[1]++)
            for (i[2] = lo[2]; i[2] < hi[2]; i[2]++)
                sum += adjoint ? wf_get(x, wf_pool_offset(p->ys, n, i, c)) / wf_pool_size(p, i)
                               : wf_get(x, wf_pool_offset(p->xs, n, i, c));
    return adjoint ? sum : sum / wf_pool_size(p, at);
}

static void eval_both(const wf_call *c, bool adjoint) {
    const wf_pool p = adjoint ? wf_pool_make(c->attr, &c->out, &c->in[0])
                              : wf_pool_make(c->attr, &c->in[0], &c->out);
    const int64_t *extent = adjoint ? p.in : p.out, *stride = adjoint ? p.xs : p.ys;
    int64_t i[3];
    for (int64_t n = 0; n < p.n; n++)
        for (i[0] = 0; i[0] < extent[0]; i[0]++)
            for (i[1] = 0; i[1] < extent[1]; i[1]++)
                for (i[2] = 0; i[2] < extent[2]; i[2]++)
                    for (int64_t ch = 0; ch < p.c; ch++)
                        wf_set(&c->out, wf_pool_offset(stride, n, i, ch),
                               value(&p, adjoint, &c->in[0], n, i, ch));
}

static void eval(const wf_call *c) { eval_both(c, false); }
static void eval_grad(const wf_call *c) { eval_both(c, true); }

/* --- gradient ------------------------------------------------------------------------------- */

static void grad(const wf_grad_call *c) {
    wf_pool_attr a = *(const wf_pool_attr *)c->attr;
    for (int i = 0; i < wf_rank(c->x[0]) - 2; i++) a.extent[i] = wf_dim(c->x[0], i + 1);
    c->gx[0] = wf_emit1(&wf_op_avg_pool_grad, &a, sizeof a, c->g);
}

static void grad_grad(const wf_grad_call *c) {
    wf_pool_attr a = *(const wf_pool_attr *)c->attr;
    for (int i = 0; i < 3; i++) a.extent[i] = 0;
    c->gx[0] = wf_emit1(&wf_op_avg_pool, &a, sizeof a, c->g);
}

/* --- kernel --------------------------------------------------------------------------------- */

static void run(const wf_call *c, int phase, int64_t first, int64_t last, void *scratch,
                void *shared) {
    const wf_pool p = wf_pool_make(c->attr, &c->in[0], &c->out);
    const int64_t rows = wf_pool_rows(&p, p.out), n = wf_pool_pieces(&p, p.out);
    for (int64_t r = wf_lines_first(rows, n, first); r < wf_lines_first(rows, n, last); r++)
        wf_pool_avg_row(&p, c->in[0].data, c->out.data, r / p.out[1] / p.out[0],
                        r / p.out[1] % p.out[0], r % p.out[1]);
}

static int64_t pieces_grad(const wf_call *c, int phase) {
    const wf_pool p = wf_pool_make(c->attr, &c->out, &c->in[0]);
    return wf_pool_pieces(&p, p.in);
}

static void run_grad(const wf_call *c, int phase, int64_t first, int64_t last, void *scratch,
                     void *shared) {
    const wf_pool p = wf_pool_make(c->attr, &c->out, &c->in[0]);
    const int64_t rows = wf_pool_rows(&p, p.in), n = wf_pool_pieces(&p, p.in);
    for (int64_t r = wf_lines_first(rows, n, first); r < wf_lines_first(rows, n, last); r++)
        wf_pool_avg_grad_row(&p, c->in[0].data, c->out.data, r / p.in[1] / p.in[0],
                             r / p.in[1] % p.in[0], r % p.in[1]);
}

static const wf_fast fast = {
    .applicable = wf_pool_applicable, .pieces = wf_pool_window_pieces, .run = run};
static const wf_fast fast_grad = {
    .applicable = wf_pool_applicable, .pieces = pieces_grad, .run = run_grad};

/* --- samples -------------------------------------------------------------------------------- */

static wf_tensor sample(wf_sampler *s, int i) { return wf_pool_sample_of(s, i, wf_avg_pool); }

static wf_tensor sample_grad(wf_sampler *s, int i) {
    wf_tensor x;
    wf_pool_opt o;
    if (!wf_pool_sample(s, i, &x, &o)) return (wf_tensor){s->graph, 0};
    wf_pool_attr a = wf_pool_attr_make(wf_rank(x), &o);
    for (int k = 0; k < wf_rank(x) - 2; k++) a.extent[k] = wf_dim(x, k + 1);
    const wf_tensor g = s->make_real(s, wf_shape_of_tensor(wf_avg_pool(x, o)), -2, 2);
    return wf_emit1(&wf_op_avg_pool_grad, &a, sizeof a, g);
}

/* --- descriptors ---------------------------------------------------------------------------- */

const wf_op wf_op_avg_pool = {
        .name = "avg_pool",
        .kind = WF_KIND_OPAQUE,
        .min_in = 1,
        .max_in = 1,
        .infer = wf_pool_infer,
        .eval = eval,
        .grad = grad,
        .fast = &fast,
        .sample = sample,
        .fields = wf_pool_fields,
        .attr_bytes = sizeof(wf_pool_attr),
};

const wf_op wf_op_avg_pool_grad = {
        .name = "avg_pool_grad",
        .kind = WF_KIND_OPAQUE,
        .min_in = 1,
        .max_in = 1,
        .infer = infer_grad,
        .eval = eval_grad,
        .grad = grad_grad,
        .fast = &fast_grad,
        .sample = sample_grad,
        .fields = wf_pool_fields,
        .attr_bytes = sizeof(wf_pool_attr),
};

/* --- constructor ---------------------------------------------------------------------------- */

wf_tensor wf_avg_pool(wf_tensor x, wf_pool_opt o) { return wf_pool_emit(&wf_op_avg_pool, x, o); }
