/* expand: broadcasting to a shape, as NumPy does it.
 *
 *   out[.., i_k, ..] = x[.., x's extent is 1 ? 0 : i_k, ..],  axes aligned at the end */
#include "tensor/graph.h"
#include "tensor/view.h"

/* --- infer ----------------------------------------------------------------------------------- */

static bool infer(wf_infer *q) {
    const wf_shape_attr *a = q->attr;
    const wf_type *x = &q->in[0];
    if (!wf_infer_type(q, x->dtype, &a->shape)) return false;
    wf_shape both;
    if (wf_broadcast(&x->shape, &q->out.shape, &both) && wf_shape_equal(&both, &q->out.shape))
        return true;
    char from[200], to[200];
    return wf_infer_fail(q, "x %s does not broadcast to %s",
                         wf_shape_text(&x->shape, from, sizeof from),
                         wf_shape_text(&q->out.shape, to, sizeof to));
}

/* --- view: stride 0 along the axes that repeat ----------------------------------------------- */

static bool view(const void *attr, const wf_array *x, wf_array *out) {
    const int more = out->shape.rank - x->shape.rank;
    out->data = x->data;
    for (int k = 0; k < out->shape.rank; k++)
        out->stride[k] = k < more || x->shape.dim[k - more] == 1 ? 0 : x->stride[k - more];
    return true;
}

/* --- gradient -------------------------------------------------------------------------------- */

static void grad(const wf_grad_call *c) {
    if (c->wanted[0]) c->gx[0] = wf_sum_to(c->g, wf_shape_of_tensor(c->x[0]));
}

/* --- samples --------------------------------------------------------------------------------- */

static wf_tensor sample(wf_sampler *s, int i) {
    switch (i) {
    case 0: return wf_expand(s->make_real(s, WF_SHAPE(3, 1, 5), -2, 2), WF_SHAPE(2, 3, 4, 5));
    case 1: return wf_expand(s->make_real(s, WF_SCALAR, -2, 2), WF_SHAPE(3, 3));
    case 2: return wf_expand(s->make_real(s, WF_SHAPE(1, 7), -2, 2), WF_SHAPE(0, 7));
    case 3: return wf_expand(s->make_real(s, WF_SHAPE(3, 5), -2, 2), WF_SHAPE(3, 5));
    case 4: return wf_expand(s->make_real(s, WF_SHAPE(1), -2, 2), WF_SHAPE(1, 1, 1));
    case 5: return wf_expand(s->make_index(s, WF_I64, WF_SHAPE(3, 1), 9), WF_SHAPE(3, 2));
    case 6: return wf_expand(s->make_bool(s, WF_SHAPE(3)), WF_SHAPE(5, 3));
    default: return (wf_tensor){0};
    }
}

/* --- descriptor and constructor -------------------------------------------------------------- */

const wf_op wf_op_expand = {
    .name = "expand",
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

wf_tensor wf_expand(wf_tensor x, wf_shape shape) {
    return wf_shape_emit(&wf_op_expand, x, &shape);
}
