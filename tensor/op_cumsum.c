/* cumsum: out[k, i] = sum over j <= i of x[k, j] along one axis. Real sums accumulate in f64 and
 * are rounded once each; integer sums wrap around in their dtype. */
#include "tensor/graph.h"
#include "tensor/lines.h"

extern const wf_op wf_op_cumsum;

/* --- infer ---------------------------------------------------------------------------------- */

static bool infer(wf_infer *q) {
    const wf_dtype t = q->in[0].dtype;
    int axis;
    if (!wf_dtype_is_real(t) && t != WF_I32 && t != WF_I64)
        return wf_infer_fail(q, "x is %s; it must be f32, f64, i32 or i64", wf_dtype_name(t));
    q->out = q->in[0];
    return wf_infer_axis(q, ((const wf_axis_attr *)q->attr)->axis, q->out.shape.rank, &axis);
}

/* --- eval ----------------------------------------------------------------------------------- */

static void sum_real(const wf_array *x, int64_t at, const wf_array *out, int64_t to, int axis) {
    double sum = 0;
    for (int64_t i = 0; i < x->shape.dim[axis]; i++) {
        sum += wf_get(x, at + i * x->stride[axis]);
        wf_set(out, to + i * out->stride[axis], sum);
    }
}

/* The same as sum_real without a conversion call an element. */
static void sum_f32(const wf_array *x, int64_t at, const wf_array *out, int64_t to, int axis) {
    const int64_t from_step = x->stride[axis], to_step = out->stride[axis];
    const float *p = wf_at(x, at);
    float *q = wf_at(out, to);
    double sum = 0;
    for (int64_t i = 0; i < x->shape.dim[axis]; i++) {
        sum += (double)p[i * from_step];
        q[i * to_step] = (float)sum;
    }
}

static void sum_integer(const wf_array *x, int64_t at, const wf_array *out, int64_t to, int axis) {
    uint64_t sum = 0;
    for (int64_t i = 0; i < x->shape.dim[axis]; i++) {
        const void *p = wf_at(x, at + i * x->stride[axis]);
        void *q = wf_at(out, to + i * out->stride[axis]);
        if (x->dtype == WF_I32) {
            sum += (uint64_t)*(const int32_t *)p;
            *(int32_t *)q = (int32_t)(uint32_t)sum;
        } else {
            sum += (uint64_t)*(const int64_t *)p;
            *(int64_t *)q = (int64_t)sum;
        }
    }
}

static void eval_lines(const wf_call *c, int64_t first, int64_t last) {
    const wf_array *x = &c->in[0];
    const int axis = wf_lines_axis(c);
    for (int64_t line = first; line < last; line++) {
        const int64_t at = wf_line_offset(&x->shape, axis, line, x->stride, false);
        const int64_t to = wf_line_offset(&x->shape, axis, line, c->out.stride, false);
        if (x->dtype == WF_F32) sum_f32(x, at, &c->out, to, axis);
        else if (wf_dtype_is_real(x->dtype)) sum_real(x, at, &c->out, to, axis);
        else sum_integer(x, at, &c->out, to, axis);
    }
}

static void eval(const wf_call *c) { eval_lines(c, 0, wf_lines_of(c)); }

/* --- gradient ------------------------------------------------------------------------------- */

/* gx[k, j] = sum over i >= j of g[k, i]. */
static void grad(const wf_grad_call *c) {
    const int axis = wf_axis_of(((const wf_axis_attr *)c->attr)->axis, wf_rank(c->x[0]));
    c->gx[0] = wf_flip(wf_cumsum(wf_flip(c->g, axis), axis), axis);
}

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
    case 0: return wf_cumsum(s->make_real(s, WF_SHAPE(7), -2, 2), 0);
    case 1: return wf_cumsum(s->make_real(s, WF_SHAPE(3, 5), -2, 2), 0);
    case 2: return wf_cumsum(s->make_real(s, WF_SHAPE(3, 1, 5), -2, 2), -1);
    case 3: return wf_cumsum(s->make_real(s, WF_SHAPE(3, 1, 5), -2, 2), -2);
    case 4: return wf_cumsum(s->make_real(s, WF_SHAPE(2, 0, 3), -2, 2), 1);
    case 5: return wf_cumsum(s->make_index(s, WF_I32, WF_SHAPE(2, 6), 100), 1);
    case 6: return wf_cumsum(s->make_index(s, WF_I64, WF_SHAPE(4, 3), 100), 0);
    default: return (wf_tensor){s->graph, 0};
    }
}

/* --- descriptor ----------------------------------------------------------------------------- */

const wf_op wf_op_cumsum = {
        .name = "cumsum",
        .kind = WF_KIND_OPAQUE,
        .min_in = 1,
        .max_in = 1,
        .infer = infer,
        .eval = eval,
        .grad = grad,
        .fast = &fast,
        .sample = sample,
        .fields = wf_axis_fields,
        .attr_bytes = sizeof(wf_axis_attr),
};

/* --- constructor ---------------------------------------------------------------------------- */

wf_tensor wf_cumsum(wf_tensor x, int axis) {
    const wf_axis_attr a = wf_axis_attr_make(wf_rank(x), axis);
    return wf_emit1(&wf_op_cumsum, &a, sizeof a, x);
}
