/* Attributes, shape rule and loop nest that all reductions share. */
#include "tensor/reduce.h"

#include <string.h>

uint32_t wf_reduce_mask(const void *attr, int rank) {
    const wf_reduce_attr *a = attr;
    if (a->n_axes == 0) return (1u << rank) - 1;
    uint32_t mask = 0;
    for (int i = 0; i < a->n_axes; i++)
        mask |= 1u << (a->axes[i] < 0 ? a->axes[i] + rank : a->axes[i]);
    return mask;
}

double wf_reduce_count(const void *attr, wf_tensor x) {
    const wf_shape s = wf_shape_of_tensor(x);
    const uint32_t mask = wf_reduce_mask(attr, s.rank);
    double count = 1;
    for (int i = 0; i < s.rank; i++)
        if (mask >> i & 1) count *= (double)s.dim[i];
    return count;
}

wf_tensor wf_reduce_emit(const wf_op *op, wf_tensor x, wf_reduce_opt o) {
    const int rank = wf_rank(x);
    wf_reduce_attr a = {.n_axes = o.n_axes, .keepdims = o.keepdims};
    if (o.n_axes > 0 && o.n_axes <= WF_MAX_RANK)
        memcpy(a.axes, o.axes, sizeof a.axes[0] * (size_t)o.n_axes);

    /* Canonical form where the axes are good; otherwise the shape rule sees what was written. */
    uint32_t mask = 0;
    bool good = o.n_axes >= 0 && o.n_axes <= rank;
    for (int i = 0; good && i < o.n_axes; i++) {
        const int32_t axis = a.axes[i] < 0 ? a.axes[i] + rank : a.axes[i];
        good = axis >= 0 && axis < rank && !(mask >> axis & 1);
        if (good) mask |= 1u << axis;
    }
    if (good) {
        if (o.n_axes == 0) mask = (1u << rank) - 1;
        a = (wf_reduce_attr){.keepdims = o.keepdims};
        for (int axis = 0; axis < rank; axis++)
            if (mask >> axis & 1) a.axes[a.n_axes++] = axis;
    }
    return wf_emit1(op, &a, sizeof a, x);
}

bool wf_reduce_infer(wf_infer *q, bool integers) {
    const wf_reduce_attr *a = q->attr;
    const wf_type *x = &q->in[0];
    const bool whole = x->dtype == WF_I32 || x->dtype == WF_I64, half = x->dtype == WF_BF16;
    if (!wf_dtype_is_real(x->dtype) && !half && !(integers && whole))
        return wf_infer_fail(q, "x is %s; it must be %s", wf_dtype_name(x->dtype),
                             integers ? "f32, f64, bf16, i32 or i64" : "f32, f64 or bf16");
    if (a->n_axes < 0 || a->n_axes > x->shape.rank)
        return wf_infer_fail(q, "%d axes are given, x has rank %d", a->n_axes, x->shape.rank);
    uint32_t mask = a->n_axes ? 0 : (1u << x->shape.rank) - 1;
    for (int i = 0; i < a->n_axes; i++) {
        int axis;
        if (!wf_infer_axis(q, a->axes[i], x->shape.rank, &axis)) return false;
        if (mask >> axis & 1) return wf_infer_fail(q, "axis %d is given twice", axis);
        mask |= 1u << axis;
    }
    int64_t dim[WF_MAX_RANK];
    int rank = 0;
    for (int i = 0; i < x->shape.rank; i++) {
        if (!(mask >> i & 1)) dim[rank++] = x->shape.dim[i];
        else if (a->keepdims) dim[rank++] = 1;
    }
    q->out = (wf_type){half ? WF_F32 : x->dtype, wf_shape_make(rank, dim)};
    return true;
}

const wf_field wf_reduce_fields[] = {
    WF_FIELD(LIST32, wf_reduce_attr, axes, .n = WF_MAX_RANK,
             .count = offsetof(wf_reduce_attr, n_axes)),
    WF_FIELD(FLAG32, wf_reduce_attr, keepdims),
    {0},
};

wf_tensor wf_reduce_keep(wf_tensor t, const void *attr, wf_tensor x) {
    wf_shape s = wf_shape_of_tensor(x);
    const uint32_t mask = wf_reduce_mask(attr, s.rank);
    for (int i = 0; i < s.rank; i++)
        if (mask >> i & 1) s.dim[i] = 1;
    return wf_reshape(t, s);
}

wf_tensor wf_reduce_sample(const wf_op *op, wf_sampler *s, int i) {
    static const struct {
        int rank;
        int64_t dim[4];
        wf_reduce_opt o;
    } list[] = {
        {2, {3, 5}, {0, {0}, false}},
        {2, {3, 5}, {1, {0}, false}},
        {2, {4, 7}, {1, {-1}, true}},
        {3, {2, 3, 4}, {1, {1}, false}},
        {3, {3, 2, 5}, {2, {-1, 0}, false}},
        {3, {3, 1, 5}, {2, {0, 1}, true}},
        {4, {2, 3, 2, 3}, {2, {1, 3}, false}},
        {4, {1, 3, 1, 4}, {3, {0, 1, 2}, false}},
        {1, {1}, {1, {0}, true}},
        {0, {0}, {0, {0}, false}},
        {1, {37}, {0, {0}, true}},
        {2, {0, 3}, {1, {-1}, false}},
        {3, {2, 0, 3}, {1, {0}, true}},
    };
    if (i < 0 || i >= (int)WF_COUNT(list)) return (wf_tensor){s->graph, 0};
    const wf_shape shape = wf_shape_make(list[i].rank, list[i].dim);
    return wf_reduce_emit(op, s->make_real(s, shape, -2, 2), list[i].o);
}

wf_reduce_nest wf_reduce_split(const wf_call *c, int lead) {
    const wf_array *x = &c->in[0];
    const uint32_t mask = wf_reduce_mask(c->attr, x->shape.rank);
    const bool keepdims = ((const wf_reduce_attr *)c->attr)->keepdims;
    wf_reduce_nest n = {.in = *x, .out = c->out, .red = *x};
    n.in.shape = n.out.shape = n.red.shape = WF_SCALAR;
    for (int i = 0, o = lead; i < x->shape.rank; i++) {
        const bool reduced = mask >> i & 1;
        wf_array *to = reduced ? &n.red : &n.in;
        const int at = to->shape.rank++;
        to->shape.dim[at] = x->shape.dim[i];
        to->stride[at] = x->stride[i];
        if (!reduced) {
            n.out.shape.rank++;
            n.out.shape.dim[at] = x->shape.dim[i];
            n.out.stride[at] = c->out.stride[o];
        }
        o += !reduced || keepdims;
    }
    n.n_kept = wf_shape_count(&n.in.shape);
    n.n_red = wf_shape_count(&n.red.shape);
    return n;
}

void wf_reduce_eval(const wf_call *c, double (*real)(const wf_array *),
                    uint64_t (*integer)(const wf_array *), int empty) {
    wf_reduce_nest n = wf_reduce_split(c, 0);
    if (n.n_kept <= 0) return;
    int64_t k[WF_MAX_RANK] = {0};
    do {
        n.red.data = wf_at(&n.in, wf_offset(&n.in, k));
        void *out = wf_at(&n.out, wf_offset(&n.out, k));
        if (wf_dtype_is_real(c->out.dtype))
            wf_store(c->out.dtype, out, n.n_red ? real(&n.red) : empty);
        else if (c->out.dtype == WF_I32)
            *(int32_t *)out = (int32_t)(uint32_t)(n.n_red ? integer(&n.red) : (uint64_t)empty);
        else
            *(int64_t *)out = (int64_t)(n.n_red ? integer(&n.red) : (uint64_t)empty);
    } while (wf_next_index(&n.in.shape, k));
}
