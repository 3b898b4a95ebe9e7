/* arange: an arithmetic progression.
 *
 *   out[i] = first + i step, i in [0, n), computed in f64 and rounded to the dtype */
#include "tensor/graph.h"
#include "tensor/sources.h"
#include "tensor/view.h"

/* --- attributes ------------------------------------------------------------------------------ */

typedef struct arange_attr {
    double first, step;
    int64_t n, dtype; /* dtype: wf_dtype */
} arange_attr;

static const wf_field fields[] = {
    WF_FIELD(F64, arange_attr, first),
    WF_FIELD(F64, arange_attr, step),
    WF_FIELD(EXTENT, arange_attr, n, .n = 0),
    WF_FIELD(DTYPE64, arange_attr, dtype),
    {0},
};

/* --- infer ----------------------------------------------------------------------------------- */

static bool infer(wf_infer *q) {
    const arange_attr *a = q->attr;
    const wf_shape shape = wf_shape_make(1, &a->n);
    return wf_infer_type(q, (wf_dtype)a->dtype, &shape);
}

/* --- eval ------------------------------------------------------------------------------------ */

static void eval(const wf_call *c) {
    const arange_attr *a = c->attr;
    for (int64_t i = 0; i < a->n; i++)
        wf_set(&c->out, i * c->out.stride[0], a->first + (double)i * a->step);
}

/* --- samples --------------------------------------------------------------------------------- */

static wf_tensor sample(wf_sampler *s, int i) {
    switch (i) {
    case 0: return wf_arange(s->graph, s->real, -1, 0.25, 7);
    case 1: return wf_arange(s->graph, WF_I64, 5, -2, 9);
    case 2: return wf_arange(s->graph, WF_I32, 3, 1, 1);
    case 3: return wf_arange(s->graph, s->real, 0, 1, 0);
    default: return (wf_tensor){0};
    }
}

/* --- descriptor and constructor -------------------------------------------------------------- */

const wf_op wf_op_arange = {
    .name = "arange",
    .kind = WF_KIND_OPAQUE,
    .infer = infer,
    .eval = eval,
    .no_grad_reason = "it has no operands",
    .sample = sample,
    .fields = fields,
    .attr_bytes = sizeof(arange_attr),
};

wf_tensor wf_arange(wf_graph *g, wf_dtype dtype, double first, double step, int64_t n) {
    const arange_attr a = {first, step, n, dtype};
    return wf_emit(g, &wf_op_arange, &a, sizeof a, NULL, 0);
}
