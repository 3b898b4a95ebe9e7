/* reshape: out's elements in row-major order are x's, under another shape of the same count;
 * in the shape asked for, one extent may be -1.
 *
 *   out[unravel(k, out)] = x[unravel(k, x)],  k in [0, count) */
#include "tensor/graph.h"
#include "tensor/size.h"
#include "tensor/view.h"

/* --- infer ----------------------------------------------------------------------------------- */

/* Sets the extent that is -1, if there is one, so that the counts agree. */
static bool fill_free_extent(wf_infer *q, wf_shape *s, int64_t count, const char *text) {
    int free_axis = -1;
    int64_t known = 1;
    for (int i = 0; i < s->rank; i++) {
        if (s->dim[i] == -1) {
            if (free_axis >= 0) return wf_infer_fail(q, "shape %s has two extents of -1", text);
            free_axis = i;
        } else if (s->dim[i] < 0) {
            return wf_infer_fail(q, "shape %s has a negative extent", text);
        } else if (!wf_mul_i64(known, s->dim[i], &known)) {
            known = 0;
            for (int j = 0; j < s->rank; j++)
                if (s->dim[j] == 0) return free_axis < 0;
            return wf_infer_fail(q, "shape %s has more elements than can be counted", text);
        }
    }
    if (free_axis < 0) return true;
    if (known == 0) return wf_infer_fail(q, "the -1 in shape %s is ambiguous; write it out", text);
    s->dim[free_axis] = count / known;
    return true;
}

static bool infer(wf_infer *q) {
    const wf_shape_attr *a = q->attr;
    const wf_type *x = &q->in[0];
    if (a->shape.rank < 0 || a->shape.rank > WF_MAX_RANK)
        return wf_infer_fail(q, "the shape has rank %d; at most %d is possible", a->shape.rank,
                             WF_MAX_RANK);
    wf_shape s = wf_shape_make(a->shape.rank, a->shape.dim);
    char from[200], to[200];
    wf_shape_text(&x->shape, from, sizeof from);
    wf_shape_text(&s, to, sizeof to);
    const int64_t count = wf_shape_count(&x->shape);
    if (!fill_free_extent(q, &s, count, to)) return false;
    if (wf_shape_count(&s) != count)
        return wf_infer_fail(q, "x %s has %lld elements, which do not fill shape %s; one extent "
                             "may be -1, to be found", from, (long long)count, to);
    q->out = (wf_type){x->dtype, s};
    return true;
}

/* --- view ------------------------------------------------------------------------------------ */

/* x's axes without those of extent 1, and with neighbours joined where the strides run through:
 * (extent, stride) pairs, innermost first. Returns their number. */
static int join_axes(const wf_array *x, int64_t extent[WF_MAX_RANK], int64_t stride[WF_MAX_RANK]) {
    int n = 0;
    for (int i = x->shape.rank - 1; i >= 0; i--) {
        if (x->shape.dim[i] == 1) continue;
        if (n > 0 && x->stride[i] == stride[n - 1] * extent[n - 1]) {
            extent[n - 1] *= x->shape.dim[i];
        } else {
            extent[n] = x->shape.dim[i];
            stride[n++] = x->stride[i];
        }
    }
    return n;
}

/* A view exists if every axis of out lies within one joined axis of x. */
static bool view(const void *attr, const wf_array *x, wf_array *out) {
    out->data = x->data;
    for (int i = 0; i < out->shape.rank; i++) out->stride[i] = 0;
    if (wf_shape_count(&out->shape) == 0) return true; /* no element, so any stride is right */
    int64_t extent[WF_MAX_RANK], stride[WF_MAX_RANK];
    const int n = join_axes(x, extent, stride);
    int j = 0;
    int64_t left = n > 0 ? extent[0] : 1, step = n > 0 ? stride[0] : 1;
    for (int i = out->shape.rank - 1; i >= 0; i--) {
        const int64_t d = out->shape.dim[i];
        if (d > 1 && left == 1) {
            left = extent[++j];
            step = stride[j];
        }
        if (left % d != 0) return false;
        out->stride[i] = step;
        step *= d;
        left /= d;
    }
    return true;
}

/* --- gradient -------------------------------------------------------------------------------- */

static void grad(const wf_grad_call *c) {
    if (c->wanted[0]) c->gx[0] = wf_reshape(c->g, wf_shape_of_tensor(c->x[0]));
}

/* --- samples --------------------------------------------------------------------------------- */

static wf_tensor sample(wf_sampler *s, int i) {
    switch (i) {
    case 0: return wf_reshape(s->make_real(s, WF_SHAPE(3, 4, 5), -2, 2), WF_SHAPE(5, -1, 2));
    case 1: return wf_reshape(s->make_real(s, WF_SCALAR, -2, 2), WF_SHAPE(1, 1));
    case 2: return wf_reshape(s->make_real(s, WF_SHAPE(1, 1, 1), -2, 2), WF_SCALAR);
    case 3: return wf_reshape(s->make_real(s, WF_SHAPE(3, 0, 2), -2, 2), WF_SHAPE(0, 7));
    case 4: return wf_reshape(wf_transpose(s->make_real(s, WF_SHAPE(3, 5), -2, 2), 0, 1),
                              WF_SHAPE(-1));
    case 5: return wf_reshape(wf_flip(s->make_real(s, WF_SHAPE(2, 3, 7), -2, 2), -2),
                              WF_SHAPE(6, 7, 1));
    case 6: return wf_reshape(s->make_index(s, WF_I64, WF_SHAPE(4, 3), 9), WF_SHAPE(2, 6));
    case 7: return wf_reshape(s->make_bool(s, WF_SHAPE(7)), WF_SHAPE(7, 1));
    default: return (wf_tensor){0};
    }
}

/* --- descriptor and constructor -------------------------------------------------------------- */

const wf_op wf_op_reshape = {
    .name = "reshape",
    .kind = WF_KIND_VIEW,
    .min_in = 1,
    .max_in = 1,
    .infer = infer,
    .eval = wf_view_eval,
    .grad = grad,
    .view = view,
    .fast = &wf_view_fast,
    .sample = sample,
    .fields = wf_shape_fields,
    .attr_bytes = sizeof(wf_shape_attr),
};

wf_tensor wf_reshape(wf_tensor x, wf_shape shape) {
    return wf_shape_emit(&wf_op_reshape, x, &shape);
}
