/* resize: bilinear with half-pixel centres, over the two spatial axes of (N, H, W, C).
 *   y[n, i, j, c] = sum over p, q of a(i, p) b(j, q) x[n, p, q, c]
 * where row i of a interpolates at max((i + 1/2) H / h - 1/2, 0), the last element continued.
 * resize_grad, its adjoint: x[n, p, q, c] = sum over i, j of a(i, p) b(j, q) g[n, i, j, c].
 * Source: the sampling rule of PyTorch's interpolate(mode="bilinear", align_corners=False). */
#include "tensor/graph.h"
#include "tensor/kernels/resize.h"
#include "tensor/lines.h"

extern const wf_op wf_op_resize, wf_op_resize_grad;

/* --- attributes ----------------------------------------------------------------------------- */

typedef struct resize_attr {
    int64_t h, w; /* spatial extents of the result */
} resize_attr;

static const wf_field fields[] = {
    WF_FIELD(I64, resize_attr, h),
    WF_FIELD(I64, resize_attr, w),
    {0},
};

/* --- infer ---------------------------------------------------------------------------------- */

static bool infer(wf_infer *q) {
    const resize_attr *a = q->attr;
    const wf_shape *s = &q->in[0].shape;
    char text[128];
    if (s->rank != 4)
        return wf_infer_fail(q, "x has shape %s; it must be (N, H, W, C)",
                             wf_shape_text(s, text, sizeof text));
    if (!wf_dtype_is_real(q->in[0].dtype))
        return wf_infer_fail(q, "x is %s; it must be f32 or f64", wf_dtype_name(q->in[0].dtype));
    if (a->h < 1 || a->w < 1)
        return wf_infer_fail(q, "the new size is %lld x %lld; it must be at least 1 x 1",
                             (long long)a->h, (long long)a->w);
    if (s->dim[1] < 1 || s->dim[2] < 1)
        return wf_infer_fail(q, "x has shape %s; there is nothing to interpolate",
                             wf_shape_text(s, text, sizeof text));
    q->out = q->in[0];
    q->out.shape.dim[1] = a->h;
    q->out.shape.dim[2] = a->w;
    return true;
}

/* --- eval ----------------------------------------------------------------------------------- */

static void eval(const wf_call *c) {
    const wf_array *x = &c->in[0], *y = &c->out;
    const int64_t *in = x->shape.dim, *out = y->shape.dim;
    if (wf_shape_count(&y->shape) == 0) return;
    int64_t k[WF_MAX_RANK] = {0};
    do {
        const wf_taps r = wf_resize_taps(k[1], in[1], out[1]);
        const wf_taps s = wf_resize_taps(k[2], in[2], out[2]);
        const int64_t at = k[0] * x->stride[0] + k[3] * x->stride[3];
        const int64_t lo = at + r.lo * x->stride[1], hi = at + r.hi * x->stride[1];
        const double top = (1 - s.weight) * wf_get(x, lo + s.lo * x->stride[2]) +
                           s.weight * wf_get(x, lo + s.hi * x->stride[2]);
        const double low = (1 - s.weight) * wf_get(x, hi + s.lo * x->stride[2]) +
                           s.weight * wf_get(x, hi + s.hi * x->stride[2]);
        wf_set(y, wf_offset(y, k), (1 - r.weight) * top + r.weight * low);
    } while (wf_next_index(&y->shape, k));
}

static void eval_grad(const wf_call *c) {
    const wf_array *g = &c->in[0], *x = &c->out;
    const int64_t *in = x->shape.dim, *out = g->shape.dim;
    if (wf_shape_count(&x->shape) == 0) return;
    int64_t k[WF_MAX_RANK] = {0};
    do {
        int64_t r0, r1, s0, s1;
        wf_resize_readers(k[1], in[1], out[1], &r0, &r1);
        wf_resize_readers(k[2], in[2], out[2], &s0, &s1);
        double sum = 0;
        for (int64_t r = r0; r < r1; r++)
            for (int64_t s = s0; s < s1; s++) {
                const double w = wf_resize_weight(r, k[1], in[1], out[1]) *
                                 wf_resize_weight(s, k[2], in[2], out[2]);
                if (w != 0)
                    sum += w * wf_get(g, k[0] * g->stride[0] + r * g->stride[1] +
                                                 s * g->stride[2] + k[3] * g->stride[3]);
            }
        wf_set(x, wf_offset(x, k), sum);
    } while (wf_next_index(&x->shape, k));
}

/* --- gradient ------------------------------------------------------------------------------- */

/* Each is the other's adjoint, back to the size of x. */
static void grad_of(const wf_grad_call *c, const wf_op *adjoint) {
    const resize_attr a = {wf_dim(c->x[0], 1), wf_dim(c->x[0], 2)};
    c->gx[0] = wf_emit1(adjoint, &a, sizeof a, c->g);
}
static void grad(const wf_grad_call *c) { grad_of(c, &wf_op_resize_grad); }
static void grad_grad(const wf_grad_call *c) { grad_of(c, &wf_op_resize); }

/* --- kernel --------------------------------------------------------------------------------- */

static bool applicable(const wf_call *c) {
    return c->in[0].dtype == WF_F32 && c->in[0].stride[3] == 1 && c->out.stride[3] == 1;
}

/* Rows of the result: (image, h). */
static int64_t n_rows(const wf_call *c) {
    const wf_shape *s = &c->out.shape;
    return wf_shape_count(s) > 0 ? s->dim[0] * s->dim[1] : 0;
}

static int64_t pieces(const wf_call *c, int phase) {
    return wf_lines_pieces(n_rows(c), c->out.shape.dim[2] * c->out.shape.dim[3]);
}

static void run_rows(const wf_call *c, int64_t first, int64_t last, bool adjoint) {
    const wf_array *x = &c->in[0], *y = &c->out;
    const int64_t *in = x->shape.dim, *out = y->shape.dim;
    const int64_t rows = n_rows(c), n = pieces(c, 0);
    for (int64_t r = wf_lines_first(rows, n, first); r < wf_lines_first(rows, n, last); r++) {
        const int64_t image = r / out[1], at = r % out[1];
        const float *from = (const float *)x->data + image * x->stride[0];
        float *to = (float *)y->data + image * y->stride[0] + at * y->stride[1];
        if (adjoint) {
            wf_resize_grad_row(from, to, at, out[1], out[2], in[1], in[2], out[3], x->stride[1],
                               x->stride[2], y->stride[2]);
            continue;
        }
        const wf_taps t = wf_resize_taps(at, in[1], out[1]);
        wf_resize_row(from + t.lo * x->stride[1], from + t.hi * x->stride[1], t.weight, to, in[2],
                      out[2], out[3], x->stride[2], y->stride[2]);
    }
}

static void run(const wf_call *c, int phase, int64_t first, int64_t last, void *scratch,
                void *shared) {
    run_rows(c, first, last, false);
}
static void run_grad(const wf_call *c, int phase, int64_t first, int64_t last, void *scratch,
                     void *shared) {
    run_rows(c, first, last, true);
}

static const wf_fast fast = {.applicable = applicable, .pieces = pieces, .run = run};
static const wf_fast fast_grad = {.applicable = applicable, .pieces = pieces, .run = run_grad};

/* --- samples -------------------------------------------------------------------------------- */

static wf_tensor sample_of(wf_sampler *s, int i, bool adjoint) {
    static const struct {
        int64_t dim[4], h, w;
    } list[] = {
        {{2, 3, 4, 2}, 6, 8}, {{1, 6, 5, 3}, 3, 2}, {{1, 3, 5, 1}, 5, 3}, {{1, 1, 1, 2}, 3, 4},
        {{2, 4, 3, 1}, 1, 1}, {{1, 3, 3, 2}, 3, 3}, {{0, 3, 3, 2}, 2, 5}, {{1, 7, 2, 1}, 2, 7},
    };
    if (i < 0 || i >= (int)WF_COUNT(list)) return (wf_tensor){s->graph, 0};
    const wf_tensor x = s->make_real(s, wf_shape_make(4, list[i].dim), -2, 2);
    const resize_attr a = {list[i].h, list[i].w};
    return wf_emit1(adjoint ? &wf_op_resize_grad : &wf_op_resize, &a, sizeof a, x);
}
static wf_tensor sample(wf_sampler *s, int i) { return sample_of(s, i, false); }
static wf_tensor sample_grad(wf_sampler *s, int i) { return sample_of(s, i, true); }

/* --- descriptors ---------------------------------------------------------------------------- */

const wf_op wf_op_resize = {
        .name = "resize",
        .kind = WF_KIND_OPAQUE,
        .min_in = 1,
        .max_in = 1,
        .infer = infer,
        .eval = eval,
        .grad = grad,
        .fast = &fast,
        .sample = sample,
        .fields = fields,
    .attr_bytes = sizeof(resize_attr),
};

const wf_op wf_op_resize_grad = {
        .name = "resize_grad",
        .kind = WF_KIND_OPAQUE,
        .min_in = 1,
        .max_in = 1,
        .infer = infer,
        .eval = eval_grad,
        .grad = grad_grad,
        .fast = &fast_grad,
        .sample = sample_grad,
        .fields = fields,
    .attr_bytes = sizeof(resize_attr),
};

/* --- constructor ---------------------------------------------------------------------------- */

wf_tensor wf_resize(wf_tensor x, int64_t h, int64_t w) {
    const resize_attr a = {h, w};
    return wf_emit1(&wf_op_resize, &a, sizeof a, x);
}
