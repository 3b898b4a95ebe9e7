/* slice: n elements of one axis, from `first` in steps that may be negative; and index, flip and
 * split, which are made of it.
 *
 *   out[.., i, ..] = x[.., first + i step, ..],  i in [0, n) */
#include "tensor/graph.h"
#include "tensor/view.h"

/* --- attributes ------------------------------------------------------------------------------ */

static const wf_field fields[] = {
    WF_FIELD(I64, wf_slice_attr, axis),
    WF_FIELD(I64, wf_slice_attr, first),
    WF_FIELD(I64, wf_slice_attr, n),
    WF_FIELD(I64, wf_slice_attr, step, .optional = true, .otherwise = 1),
    {0},
};

/* --- infer ----------------------------------------------------------------------------------- */

/* first + (n - 1) step is in [0, extent), tested without forming a product that may overflow. */
static bool fits(const wf_slice_attr *a, int64_t extent) {
    if (a->n == 0) return a->first >= 0 && a->first <= extent;
    if (a->first < 0 || a->first >= extent) return false;
    if (a->n == 1) return true;
    if (a->step > 0) return a->n - 1 <= (extent - 1 - a->first) / a->step;
    if (a->step < -extent) return false;
    return a->n - 1 <= a->first / -a->step;
}

static bool infer(wf_infer *q) {
    const wf_slice_attr *a = q->attr;
    const wf_type *x = &q->in[0];
    int axis;
    if (!wf_infer_axis(q, a->axis, x->shape.rank, &axis)) return false;
    if (a->n < 0) return wf_infer_fail(q, "n = %lld is negative", (long long)a->n);
    if (a->step == 0) return wf_infer_fail(q, "step is 0");
    if (!fits(a, x->shape.dim[axis]))
        return wf_infer_fail(q, "first %lld, n %lld, step %lld leave axis %d of extent %lld",
                             (long long)a->first, (long long)a->n, (long long)a->step, axis,
                             (long long)x->shape.dim[axis]);
    q->out = *x;
    q->out.shape.dim[axis] = a->n;
    return true;
}

/* --- view ------------------------------------------------------------------------------------ */

static bool view(const void *attr, const wf_array *x, wf_array *out) {
    const wf_slice_attr *a = attr;
    const int axis = wf_axis_of(a->axis, x->shape.rank);
    out->data = x->data;
    for (int k = 0; k < x->shape.rank; k++) out->stride[k] = x->stride[k];
    if (wf_shape_count(&out->shape) == 0) return true;
    out->data = wf_shift(x->data,
                         a->first * x->stride[axis] * (int64_t)wf_dtype_bytes(x->dtype));
    if (a->n > 1) out->stride[axis] *= a->step;
    return true;
}

/* --- gradient: zeros around, after turning a negative step around ---------------------------- */

static void grad(const wf_grad_call *c) {
    if (!c->wanted[0]) return;
    const wf_slice_attr *a = c->attr;
    const int axis = wf_axis_of(a->axis, wf_rank(c->x[0]));
    const int64_t extent = wf_dim(c->x[0], axis);
    if (a->n == 0) {
        c->gx[0] = wf_pad(c->g, axis, extent, 0, 1);
        return;
    }
    const int64_t last = a->n > 1 ? a->first + (a->n - 1) * a->step : a->first;
    if (last >= a->first)
        c->gx[0] = wf_pad(c->g, axis, a->first, extent - 1 - last, a->n > 1 ? a->step : 1);
    else
        c->gx[0] = wf_pad(wf_flip(c->g, axis), axis, last, extent - 1 - a->first, -a->step);
}

/* --- samples --------------------------------------------------------------------------------- */

static wf_tensor sample(wf_sampler *s, int i) {
    switch (i) {
    case 0: return wf_slice(s->make_real(s, WF_SHAPE(3, 7, 2), -2, 2), 1, 2, 3, 1);
    case 1: return wf_slice(s->make_real(s, WF_SHAPE(3, 7), -2, 2), -1, 1, 3, 2);
    case 2: return wf_slice(s->make_real(s, WF_SHAPE(8, 3), -2, 2), 0, 7, 3, -3);
    case 3: return wf_flip(s->make_real(s, WF_SHAPE(5), -2, 2), 0);
    case 4: return wf_slice(s->make_real(s, WF_SHAPE(3, 5), -2, 2), 1, 5, 0, 1);
    case 5: return wf_slice(s->make_real(s, WF_SHAPE(3, 1), -2, 2), -1, 0, 1, INT64_MIN);
    case 6: return wf_index(s->make_real(s, WF_SHAPE(3, 5, 2), -2, 2), 1, 4);
    case 7: return wf_flip(s->make_real(s, WF_SHAPE(3, 0), -2, 2), -1);
    case 8: return wf_slice(s->make_index(s, WF_I64, WF_SHAPE(4, 3), 9), 0, 3, 2, -2);
    case 9: return wf_slice(s->make_bool(s, WF_SHAPE(7)), 0, 0, 4, 2);
    case 10: return wf_slice(s->make_real(s, WF_SHAPE(0, 3), -2, 2), 1, 1, 2, 1);
    default: return (wf_tensor){0};
    }
}

/* --- descriptor and constructors ------------------------------------------------------------- */

const wf_op wf_op_slice = {
    .name = "slice",
    .kind = WF_KIND_VIEW,
    .min_in = 1,
    .max_in = 1,
    .infer = infer,
    .eval = wf_view_eval,
    .grad = grad,
    .view = view,
    .fast = &wf_view_fast,
    .sample = sample,
    .fields = fields,
    .attr_bytes = sizeof(wf_slice_attr),
};

wf_tensor wf_slice(wf_tensor x, int axis, int64_t first, int64_t n, int64_t step) {
    const wf_slice_attr a = {axis < 0 && axis >= -wf_rank(x) ? axis + wf_rank(x) : axis, first, n,
                             step != 0 && (n == 0 || n == 1) ? 1 : step};
    return wf_emit1(&wf_op_slice, &a, sizeof a, x);
}

/* The shape of x without `axis`, which is in range. */
static wf_shape shape_without(wf_tensor x, int axis) {
    const wf_shape s = wf_shape_of_tensor(x);
    int64_t dim[WF_MAX_RANK];
    int n = 0;
    for (int k = 0; k < s.rank; k++)
        if (k != wf_axis_of(axis, s.rank)) dim[n++] = s.dim[k];
    return wf_shape_make(n, dim);
}

wf_tensor wf_index(wf_tensor x, int axis, int64_t i) {
    const wf_tensor one = wf_slice(x, axis, i, 1, 1);
    return wf_ok(one) ? wf_reshape(one, shape_without(one, axis)) : one;
}

wf_tensor wf_flip(wf_tensor x, int axis) {
    const int64_t n = wf_dim(x, axis);
    return wf_slice(x, axis, n > 0 ? n - 1 : 0, n, -1);
}

void wf_split(wf_tensor x, int n, int axis, wf_tensor *out) {
    const int64_t extent = wf_dim(x, axis);
    if (wf_ok(x) && (n <= 0 || extent % n != 0))
        wf_graph_fail(x.graph, "split: extent %lld of axis %d is not a multiple of %d",
                      (long long)extent, axis, n);
    if (wf_ok(x) && !out) wf_graph_fail(x.graph, "split: out is NULL");
    for (int i = 0; i < n && out; i++)
        out[i] = extent % n == 0 ? wf_slice(x, axis, extent / n * i, extent / n, 1)
                                 : (wf_tensor){x.graph, 0};
}
