/* one_hot: classes as unit vectors.
 *
 *   out[i.., c] = 1 where c = index[i..], else 0; an index outside [0, classes) gives zeros */
#include "tensor/graph.h"
#include "tensor/index.h"
#include "tensor/view.h"

/* --- attributes ------------------------------------------------------------------------------ */

typedef struct one_hot_attr {
    int64_t classes;
    int64_t dtype; /* wf_dtype */
} one_hot_attr;

static const wf_field fields[] = {
    WF_FIELD(I64, one_hot_attr, classes),
    WF_FIELD(DTYPE64, one_hot_attr, dtype),
    {0},
};

/* --- infer ----------------------------------------------------------------------------------- */

static bool infer(wf_infer *q) {
    const one_hot_attr *a = q->attr;
    const wf_type *index = &q->in[0];
    const int rank = index->shape.rank;
    const wf_dtype dtype = (wf_dtype)a->dtype;
    if (!wf_infer_index(q, index->dtype)) return false;
    if (!wf_dtype_is_real(dtype))
        return wf_infer_fail(q, "the dtype %s is not f32 or f64", wf_dtype_name(dtype));
    if (a->classes < 0)
        return wf_infer_fail(q, "classes = %lld is negative", (long long)a->classes);
    if (rank >= WF_MAX_RANK)
        return wf_infer_fail(q, "the result would have rank %d; at most %d is possible", rank + 1,
                             WF_MAX_RANK);
    q->out = (wf_type){dtype, index->shape};
    q->out.shape.dim[q->out.shape.rank++] = a->classes;
    return true;
}

/* --- eval ------------------------------------------------------------------------------------ */

static void eval(const wf_call *c) {
    const wf_array *index = &c->in[0], *out = &c->out;
    if (wf_shape_count(&out->shape) == 0) return;
    int64_t idx[WF_MAX_RANK] = {0};
    do {
        const int64_t class = wf_index_at(index, wf_offset(index, idx));
        wf_set(out, wf_offset(out, idx), idx[index->shape.rank] == class);
    } while (wf_next_index(&out->shape, idx));
}

/* --- samples --------------------------------------------------------------------------------- */

static wf_tensor sample(wf_sampler *s, int i) {
    switch (i) {
    case 0: return wf_one_hot(s->make_index(s, WF_I64, WF_SHAPE(7), 6), 5, s->real);
    case 1: return wf_one_hot(s->make_index(s, WF_I32, WF_SHAPE(3, 1), 3), 3, s->real);
    case 2: return wf_one_hot(s->make_index(s, WF_I64, WF_SCALAR, 2), 1, s->real);
    case 3: return wf_one_hot(s->make_index(s, WF_I32, WF_SHAPE(0, 3), 2), 2, s->real);
    case 4: return wf_one_hot(s->make_index(s, WF_I32, WF_SHAPE(3), 2), 0, s->real);
    default: return (wf_tensor){0};
    }
}

/* --- descriptor and constructor -------------------------------------------------------------- */

const wf_op wf_op_one_hot = {
    .name = "one_hot",
    .kind = WF_KIND_OPAQUE,
    .min_in = 1,
    .max_in = 1,
    .infer = infer,
    .eval = eval,
    .no_grad_reason = "its operand is an index",
    .sample = sample,
    .fields = fields,
    .attr_bytes = sizeof(one_hot_attr),
};

wf_tensor wf_one_hot(wf_tensor index, int64_t classes, wf_dtype dtype) {
    const one_hot_attr a = {classes, dtype};
    return wf_emit1(&wf_op_one_hot, &a, sizeof a, index);
}
