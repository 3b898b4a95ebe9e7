/* argmax: out[k] = the smallest i with x[k, i] = max over j of x[k, j] along one axis, as i64; a
 * NaN counts as the largest. */
#include <math.h>

#include "tensor/graph.h"
#include "tensor/lines.h"

extern const wf_op wf_op_argmax;

/* --- infer ---------------------------------------------------------------------------------- */

static bool infer(wf_infer *q) {
    const wf_shape *s = &q->in[0].shape;
    int axis;
    if (!wf_infer_axis(q, ((const wf_axis_attr *)q->attr)->axis, s->rank, &axis)) return false;
    if (s->dim[axis] == 0)
        return wf_infer_fail(q, "x has no elements along axis %d, so none is the largest", axis);
    wf_shape out = wf_shape_make(s->rank - 1, s->dim);
    for (int i = axis; i < out.rank; i++) out.dim[i] = s->dim[i + 1];
    q->out = (wf_type){WF_I64, out};
    return true;
}

/* --- eval ----------------------------------------------------------------------------------- */

static int64_t largest_real(const wf_array *x, int64_t at, int64_t n, int64_t stride) {
    int64_t best = 0;
    double m = wf_get(x, at);
    for (int64_t i = 1; i < n && !isnan(m); i++) {
        const double v = wf_get(x, at + i * stride);
        if (v > m || isnan(v)) best = i, m = v;
    }
    return best;
}

static int64_t largest_i64(const int64_t *x, int64_t n, int64_t stride) {
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (x[i * stride] > x[best * stride]) best = i;
    return best;
}

static int64_t largest_f32(const float *x, int64_t n, int64_t stride) {
    int64_t best = 0;
    float m = x[0];
    for (int64_t i = 1; i < n && m == m; i++) {
        const float v = x[i * stride];
        if (v > m || v != v) best = i, m = v;
    }
    return best;
}

static void eval_lines(const wf_call *c, int64_t first, int64_t last) {
    const wf_array *x = &c->in[0];
    const int axis = wf_lines_axis(c);
    const int64_t n = x->shape.dim[axis], stride = x->stride[axis];
    for (int64_t line = first; line < last; line++) {
        const int64_t at = wf_line_offset(&x->shape, axis, line, x->stride, false);
        const int64_t to = wf_line_offset(&x->shape, axis, line, c->out.stride, true);
        *(int64_t *)wf_at(&c->out, to) = x->dtype == WF_F32 ? largest_f32(wf_at(x, at), n, stride)
                                         : x->dtype == WF_I64
                                                 ? largest_i64(wf_at(x, at), n, stride)
                                                 : largest_real(x, at, n, stride);
    }
}

static void eval(const wf_call *c) { eval_lines(c, 0, wf_lines_of(c)); }

/* --- kernel --------------------------------------------------------------------------------- */

static void run(const wf_call *c, int phase, int64_t first, int64_t last, void *scratch,
                void *shared) {
    wf_lines_run(c, first, last, eval_lines);
}
static const wf_fast fast = {
    .applicable = wf_lines_applicable, .pieces = wf_lines_pieces_of, .run = run};

/* --- samples -------------------------------------------------------------------------------- */

static wf_tensor sample(wf_sampler *s, int i) {
    switch (i) {
    case 0: return wf_argmax(s->make_real(s, WF_SHAPE(7), -2, 2), 0);
    case 1: return wf_argmax(s->make_real(s, WF_SHAPE(3, 5), -2, 2), 0);
    case 2: return wf_argmax(s->make_real(s, WF_SHAPE(3, 1, 5), -2, 2), -1);
    case 3: return wf_argmax(s->make_real(s, WF_SHAPE(3, 1, 5), -2, 2), 1);
    case 4: return wf_argmax(s->make_real(s, WF_SHAPE(0, 4), -2, 2), 1);
    case 5: return wf_argmax(s->make_index(s, WF_I64, WF_SHAPE(4, 6), 5), -2);
    case 6: return wf_argmax(s->make_index(s, WF_I32, WF_SHAPE(2, 9), 4), 1);
    case 7: return wf_argmax(s->make_bool(s, WF_SHAPE(2, 9)), 1);
    default: return (wf_tensor){s->graph, 0};
    }
}

/* --- descriptor ----------------------------------------------------------------------------- */

const wf_op wf_op_argmax = {
        .name = "argmax",
        .kind = WF_KIND_OPAQUE,
        .min_in = 1,
        .max_in = 1,
        .infer = infer,
        .eval = eval,
        .no_grad_reason = "its value is an index",
        .fast = &fast,
        .sample = sample,
        .fields = wf_axis_fields,
        .attr_bytes = sizeof(wf_axis_attr),
};

/* --- constructor ---------------------------------------------------------------------------- */

wf_tensor wf_argmax(wf_tensor x, int axis) {
    const wf_axis_attr a = wf_axis_attr_make(wf_rank(x), axis);
    return wf_emit1(&wf_op_argmax, &a, sizeof a, x);
}
