/* stop_gradient: the value of x, through which no gradient flows.
 *
 *   out[i] = x[i] */
#include "tensor/graph.h"
#include "tensor/view.h"

static bool infer(wf_infer *q) {
    q->out = q->in[0];
    return true;
}

static bool view(const void *attr, const wf_array *x, wf_array *out) {
    out->data = x->data;
    for (int k = 0; k < out->shape.rank; k++) out->stride[k] = x->stride[k];
    return true;
}

static void grad(const wf_grad_call *c) {
    if (c->wanted[0]) c->gx[0] = WF_NONE;
}

/* Of floor(x), whose derivative is 0: differences see through a stop, the gradient does not. */
static wf_tensor sample(wf_sampler *s, int i) {
    switch (i) {
    case 0: return wf_stop_gradient(wf_floor(s->make_real(s, WF_SHAPE(3, 5), -2, 2)));
    case 1: return wf_stop_gradient(s->make_real(s, WF_SHAPE(0, 3), -2, 2));
    case 2: return wf_stop_gradient(wf_floor(s->make_real(s, WF_SCALAR, -2, 2)));
    case 3: return wf_stop_gradient(s->make_index(s, WF_I64, WF_SHAPE(1, 3), 9));
    default: return (wf_tensor){0};
    }
}

const wf_op wf_op_stop_gradient = {
    .name = "stop_gradient",
    .kind = WF_KIND_VIEW,
    .min_in = 1,
    .max_in = 1,
    .infer = infer,
    .eval = wf_view_eval,
    .grad = grad,
    .view = view,
    .fast = &wf_view_fast,
    .sample = sample,
};

wf_tensor wf_stop_gradient(wf_tensor x) { return wf_emit1(&wf_op_stop_gradient, NULL, 0, x); }
