/* max_pool: y[n, o, c] = the largest x[n, o stride - pad + k, c] over 0 <= k < kernel inside x.
 * max_pool_index: where it is, as an i64 flat position over the spatial axes of x, the first of
 * equals in row-major order; the gradient of max_pool puts g there. A NaN counts as the largest. */
#include <math.h>

#include "tensor/lines.h"
#include "tensor/pool.h"

/* --- infer ---------------------------------------------------------------------------------- */

static bool infer_index(wf_infer *q) {
    if (!wf_pool_infer(q)) return false;
    q->out.dtype = WF_I64;
    return true;
}

/* --- eval ----------------------------------------------------------------------------------- */

/* The largest value of window o (three indices) of image n, channel c, and its position. */
static double largest(const wf_pool *p, const wf_array *x, int64_t n, const int64_t o[3], int64_t c,
                      int64_t *index) {
    int64_t lo[3], hi[3], i[3];
    for (int a = 0; a < 3; a++) wf_pool_window(p, a, o[a], &lo[a], &hi[a]);
    double m = -INFINITY;
    *index = -1;
    for (i[0] = lo[0]; i[0] < hi[0]; i[0]++)
        for (i[1] = lo[1]; i[1] < hi[1]; i[1]++)
            for (i[2] = lo[2]; i[2] < hi[2]; i[2]++) {
                const double v = wf_get(x, wf_pool_offset(p->xs, n, i, c));
                if (*index < 0 || v > m || (isnan(v) && !isnan(m))) {
                    m = v;
                    *index = (i[0] * p->in[1] + i[1]) * p->in[2] + i[2];
                }
            }
    return m;
}

static void eval(const wf_call *c) {
    const wf_pool p = wf_pool_make(c->attr, &c->in[0], &c->out);
    int64_t o[3], index;
    for (int64_t n = 0; n < p.n; n++)
        for (o[0] = 0; o[0] < p.out[0]; o[0]++)
            for (o[1] = 0; o[1] < p.out[1]; o[1]++)
                for (o[2] = 0; o[2] < p.out[2]; o[2]++)
                    for (int64_t ch = 0; ch < p.c; ch++) {
                        const double m = largest(&p, &c->in[0], n, o, ch, &index);
                        const int64_t at = wf_pool_offset(p.ys, n, o, ch);
                        if (c->op == &wf_op_max_pool_index)
                            *(int64_t *)wf_at(&c->out, at) = index;
                        else
                            wf_set(&c->out, at, m);
                    }
}

/* --- gradient ------------------------------------------------------------------------------- */

static void grad(const wf_grad_call *c) {
    const wf_tensor x = c->x[0];
    const wf_shape xs = wf_shape_of_tensor(x), ys = wf_shape_of_tensor(c->g);
    int64_t in = 1, out = 1;
    for (int i = 1; i < xs.rank - 1; i++) {
        in *= xs.dim[i];
        out *= ys.dim[i];
    }
    const wf_shape flat = WF_SHAPE(xs.dim[0], out, xs.dim[xs.rank - 1]);
    const wf_tensor index = wf_emit1(&wf_op_max_pool_index, c->attr, sizeof(wf_pool_attr), x);
    const wf_tensor gx = wf_put_along(wf_reshape(c->g, flat), wf_reshape(index, flat), 1, in);
    c->gx[0] = wf_reshape(gx, xs);
}

/* --- kernel --------------------------------------------------------------------------------- */

static void run(const wf_call *c, int phase, int64_t first, int64_t last, void *scratch,
                void *shared) {
    const wf_pool p = wf_pool_make(c->attr, &c->in[0], &c->out);
    const bool index = c->op == &wf_op_max_pool_index;
    const int64_t rows = wf_pool_rows(&p, p.out), n = wf_pool_pieces(&p, p.out);
    for (int64_t r = wf_lines_first(rows, n, first); r < wf_lines_first(rows, n, last); r++)
        wf_pool_max_row(&p, c->in[0].data, index ? NULL : c->out.data, index ? c->out.data : NULL,
                        r / p.out[1] / p.out[0], r / p.out[1] % p.out[0], r % p.out[1]);
}

static const wf_fast fast = {
    .applicable = wf_pool_applicable, .pieces = wf_pool_window_pieces, .run = run};

/* --- samples -------------------------------------------------------------------------------- */

static wf_tensor index_of(wf_tensor x, wf_pool_opt o) {
    return wf_pool_emit(&wf_op_max_pool_index, x, o);
}

static wf_tensor sample(wf_sampler *s, int i) { return wf_pool_sample_of(s, i, wf_max_pool); }
static wf_tensor sample_index(wf_sampler *s, int i) { return wf_pool_sample_of(s, i, index_of); }

/* --- descriptors ---------------------------------------------------------------------------- */

const wf_op wf_op_max_pool = {
        .name = "max_pool",
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

const wf_op wf_op_max_pool_index = {
        .name = "max_pool_index",
        .kind = WF_KIND_OPAQUE,
        .min_in = 1,
        .max_in = 1,
        .infer = infer_index,
        .eval = eval,
        .no_grad_reason = "its value is an index",
        .fast = &fast,
        .sample = sample_index,
        .fields = wf_pool_fields,
        .attr_bytes = sizeof(wf_pool_attr),
};

/* --- constructor ---------------------------------------------------------------------------- */

wf_tensor wf_max_pool(wf_tensor x, wf_pool_opt o) {
    o.count_pad = false;
    return wf_pool_emit(&wf_op_max_pool, x, o);
}
