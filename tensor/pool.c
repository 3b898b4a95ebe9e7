/* Attributes, shape rule and geometry of pooling. */
#include "tensor/pool.h"


#include "tensor/lines.h"
#include "tensor/size.h"

wf_pool_attr wf_pool_attr_make(int rank, const wf_pool_opt *o) {
    wf_pool_attr a = {.count_pad = o->count_pad};
    for (int i = 0; i < 3 && i < rank - 2; i++) {
        a.kernel[i] = o->kernel[i];
        a.stride[i] = o->stride[i] ? o->stride[i] : o->kernel[i];
        a.pad[i] = o->pad[i];
    }
    return a;
}

wf_tensor wf_pool_emit(const wf_op *op, wf_tensor x, wf_pool_opt o) {
    const wf_pool_attr a = wf_pool_attr_make(wf_rank(x), &o);
    return wf_emit1(op, &a, sizeof a, x);
}

const wf_field wf_pool_fields[] = {
    WF_FIELD(ARRAY32, wf_pool_attr, kernel, .n = 3),
    WF_FIELD(ARRAY32, wf_pool_attr, stride, .n = 3),
    WF_FIELD(ARRAY32, wf_pool_attr, pad, .n = 3),
    WF_FIELD(FLAG32, wf_pool_attr, count_pad),
    WF_FIELD(ARRAY64, wf_pool_attr, extent, .n = 3),
    {0},
};

bool wf_pool_shape(wf_infer *q, const wf_type *x, wf_shape *y) {
    const wf_pool_attr *a = q->attr;
    const wf_shape *s = &x->shape;
    char text[128];
    if (s->rank < 3 || s->rank > 5)
        return wf_infer_fail(q, "x has shape %s; it must be (N, S.., C) with 1 to 3 spatial axes",
                             wf_shape_text(s, text, sizeof text));
    if (!wf_dtype_is_real(x->dtype))
        return wf_infer_fail(q, "x is %s; it must be f32 or f64", wf_dtype_name(x->dtype));
    *y = *s;
    for (int i = 0; i < s->rank - 2; i++) {
        const int64_t extent = s->dim[i + 1];
        int64_t padded;
        if (a->kernel[i] < 1)
            return wf_infer_fail(q, "kernel[%d] is %d; it must be at least 1", i, a->kernel[i]);
        if (a->stride[i] < 1)
            return wf_infer_fail(q, "stride[%d] is %d; it must be at least 1 (or 0 for the kernel)",
                                 i, a->stride[i]);
        if (a->pad[i] < 0 || a->pad[i] >= a->kernel[i])
            return wf_infer_fail(q, "pad[%d] is %d; it must be at least 0 and less than kernel %d",
                                 i, a->pad[i], a->kernel[i]);
        if (extent == 0) return wf_infer_fail(q, "x has extent 0 along spatial axis %d", i);
        if (!wf_add_i64(extent, 2 * (int64_t)a->pad[i], &padded) || padded < a->kernel[i])
            return wf_infer_fail(q, "kernel[%d] is %d, more than x's extent %lld with pad %d", i,
                                 a->kernel[i], (long long)extent, a->pad[i]);
        y->dim[i + 1] = (padded - a->kernel[i]) / a->stride[i] + 1;
    }
    return true;
}

bool wf_pool_infer(wf_infer *q) {
    q->out.dtype = q->in[0].dtype;
    return wf_pool_shape(q, &q->in[0], &q->out.shape);
}

wf_pool wf_pool_make(const void *attr, const wf_array *x, const wf_array *y) {
    const wf_pool_attr *a = attr;
    const int n_spatial = x->shape.rank - 2, missing = 3 - n_spatial, last = x->shape.rank - 1;
    wf_pool p = {.n = x->shape.dim[0],
                 .c = x->shape.dim[last],
                 .in = {1, 1, 1},
                 .out = {1, 1, 1},
                 .kernel = {1, 1, 1},
                 .stride = {1, 1, 1},
                 .count_pad = a->count_pad,
                 .xs = {x->stride[0], 0, 0, 0, x->stride[last]},
                 .ys = {y->stride[0], 0, 0, 0, y->stride[last]}};
    for (int i = 0; i < n_spatial; i++) {
        const int to = i + missing;
        p.in[to] = x->shape.dim[i + 1];
        p.out[to] = y->shape.dim[i + 1];
        p.kernel[to] = a->kernel[i];
        p.stride[to] = a->stride[i];
        p.pad[to] = a->pad[i];
        p.xs[to + 1] = x->stride[i + 1];
        p.ys[to + 1] = y->stride[i + 1];
    }
    return p;
}

bool wf_pool_sample(wf_sampler *s, int i, wf_tensor *x, wf_pool_opt *o) {
    static const struct {
        int rank;
        int64_t dim[5];
        wf_pool_opt o;
    } list[] = {
        {4, {2, 4, 6, 3}, {.kernel = {2, 2}}},
        {4, {1, 5, 7, 2}, {.kernel = {3, 2}, .stride = {2, 1}, .pad = {1, 0}}},
        {4, {1, 5, 5, 2}, {.kernel = {3, 3}, .stride = {1, 2}, .pad = {1, 2}, .count_pad = true}},
        {4, {1, 5, 6, 1}, {.kernel = {2, 2}, .stride = {3, 4}}},
        {3, {2, 9, 3}, {.kernel = {4}, .stride = {3}, .pad = {3}}},
        {3, {1, 1, 1}, {.kernel = {1}}},
        {5, {1, 3, 4, 4, 2}, {.kernel = {2, 3, 2}, .stride = {1, 1, 2}, .pad = {1, 0, 1}}},
        {4, {0, 4, 4, 2}, {.kernel = {2, 2}}},
        {4, {2, 4, 4, 0}, {.kernel = {2, 2}}},
    };
    if (i < 0 || i >= (int)WF_COUNT(list)) return false;
    *x = s->make_real(s, wf_shape_make(list[i].rank, list[i].dim), -2, 2);
    *o = list[i].o;
    return true;
}

wf_tensor wf_pool_sample_of(wf_sampler *s, int i, wf_tensor (*make)(wf_tensor, wf_pool_opt)) {
    wf_tensor x;
    wf_pool_opt o;
    return wf_pool_sample(s, i, &x, &o) ? make(x, o) : (wf_tensor){s->graph, 0};
}

bool wf_pool_applicable(const wf_call *c) {
    const wf_array *x = &c->in[0];
    return x->dtype == WF_F32 && x->stride[x->shape.rank - 1] == 1 &&
           c->out.stride[c->out.shape.rank - 1] == 1;
}

int64_t wf_pool_rows(const wf_pool *p, const int64_t extent[3]) {
    return p->n && p->c ? p->n * extent[0] * extent[1] : 0;
}

int64_t wf_pool_pieces(const wf_pool *p, const int64_t extent[3]) {
    return wf_lines_pieces(wf_pool_rows(p, extent), extent[2] * p->c);
}

int64_t wf_pool_window_pieces(const wf_call *c, int phase) {
    const wf_pool p = wf_pool_make(c->attr, &c->in[0], &c->out);
    return wf_pool_pieces(&p, p.out);
}
