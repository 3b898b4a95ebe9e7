/* concat: inputs side by side along an axis; stack: along a new axis.
 *
 *   concat  out[.., offset_i + j, ..] = x_i[.., j, ..],  offset_i = sum of the extents before i
 *   stack   out[.., i, ..] = x_i[.., ..] */
#include <stdlib.h>
#include <string.h>

#include "tensor/attr.h"
#include "tensor/graph.h"
#include "tensor/size.h"
#include "tensor/view.h"

/* --- attributes ------------------------------------------------------------------------------ */

static const wf_field concat_fields[] = {WF_FIELD(I64, wf_concat_attr, axis), {0}};

/* The offsets of concat follow from the inputs' shapes: they are attributes, since `place` sees one
 * input at a time, and are not written. */
static bool concat_parse(wf_attr_parse *p) {
    const size_t bytes = sizeof(wf_concat_attr) + ((size_t)p->n_in + 1) * sizeof(int64_t);
    const size_t at = p->scan->at;
    if (!wf_fields_parse(p)) return false;
    const int64_t axis = ((const wf_concat_attr *)p->attr)->axis;
    wf_concat_attr *a = wf_attr_room(p, bytes);
    if (!a) return false;
    a->axis = axis;
    a->n = p->n_in;
    for (int i = 0; i < p->n_in; i++) {
        const wf_shape *s = &p->in[i].shape;
        if (axis < 0 || axis >= s->rank)
            return wf_scan_fail(p->scan, at, "axis %lld is outside operand %d", (long long)axis, i);
        if (!wf_add_i64(a->offset[i], s->dim[axis], &a->offset[i + 1]))
            return wf_scan_fail(p->scan, at, "the extents of the axis overflow");
    }
    return true;
}

/* --- infer ----------------------------------------------------------------------------------- */

/* Input i has the dtype, and but for `free_axis` the shape, of input 0. */
static bool agrees(wf_infer *q, int i, int free_axis) {
    const wf_type *x = &q->in[0], *y = &q->in[i];
    bool same = x->dtype == y->dtype && x->shape.rank == y->shape.rank;
    for (int k = 0; same && k < x->shape.rank; k++)
        same = k == free_axis || x->shape.dim[k] == y->shape.dim[k];
    if (same) return true;
    char a[200], b[200];
    return wf_infer_fail(q, "input %d is %s%s, input 0 is %s%s; only the axis of the "
                            "concatenation may differ", i, wf_dtype_name(y->dtype),
                         wf_shape_text(&y->shape, b, sizeof b), wf_dtype_name(x->dtype),
                         wf_shape_text(&x->shape, a, sizeof a));
}

static bool concat_infer(wf_infer *q) {
    const wf_concat_attr *a = q->attr;
    int axis;
    if (!wf_infer_axis(q, a->axis, q->in[0].shape.rank, &axis)) return false;
    for (int i = 1; i < q->n_in; i++)
        if (!agrees(q, i, axis)) return false;
    bool right = a->n == q->n_in && a->offset[0] == 0;
    for (int i = 0; right && i < q->n_in; i++) {
        int64_t end;
        right = wf_add_i64(a->offset[i], q->in[i].shape.dim[axis], &end) && end == a->offset[i + 1];
    }
    if (!right) return wf_infer_fail(q, "the offsets do not fit the inputs");
    q->out = q->in[0];
    q->out.shape.dim[axis] = a->offset[a->n];
    return true;
}

static bool stack_infer(wf_infer *q) {
    const wf_axis_attr *a = q->attr;
    const wf_type *x = &q->in[0];
    const int rank = x->shape.rank + 1;
    int axis;
    if (rank > WF_MAX_RANK)
        return wf_infer_fail(q, "the result would have rank %d; at most %d is possible", rank,
                             WF_MAX_RANK);
    if (!wf_infer_axis(q, a->axis, rank, &axis)) return false;
    for (int i = 1; i < q->n_in; i++)
        if (!agrees(q, i, -1)) return false;
    int64_t dim[WF_MAX_RANK];
    for (int k = 0; k < rank; k++)
        dim[k] = k == axis ? q->n_in : x->shape.dim[k < axis ? k : k - 1];
    q->out = (wf_type){x->dtype, wf_shape_make(rank, dim)};
    return true;
}

/* --- place ----------------------------------------------------------------------------------- */

static void concat_place(const void *attr, const wf_array *out, int i, wf_array *slot) {
    const wf_concat_attr *a = attr;
    const int axis = wf_axis_of(a->axis, out->shape.rank);
    for (int k = 0; k < out->shape.rank; k++) slot->stride[k] = out->stride[k];
    slot->data = wf_shift(out->data,
                          a->offset[i] * out->stride[axis] * (int64_t)wf_dtype_bytes(out->dtype));
}

static void stack_place(const void *attr, const wf_array *out, int i, wf_array *slot) {
    const int axis = wf_axis_of(((const wf_axis_attr *)attr)->axis, out->shape.rank);
    for (int k = 0; k < out->shape.rank - 1; k++)
        slot->stride[k] = out->stride[k < axis ? k : k + 1];
    slot->data = wf_shift(out->data, i * out->stride[axis] * (int64_t)wf_dtype_bytes(out->dtype));
}

/* --- gradient: each input's part of g -------------------------------------------------------- */

static void concat_grad(const wf_grad_call *c) {
    const wf_concat_attr *a = c->attr;
    for (int i = 0; i < c->n_in; i++) {
        const int64_t first = a->offset[i], n = a->offset[i + 1] - first;
        if (c->wanted[i]) c->gx[i] = wf_slice(c->g, (int)a->axis, first, n, 1);
    }
}

static void stack_grad(const wf_grad_call *c) {
    const wf_axis_attr *a = c->attr;
    for (int i = 0; i < c->n_in; i++)
        if (c->wanted[i]) c->gx[i] = wf_index(c->g, (int)a->axis, i);
}

/* --- samples --------------------------------------------------------------------------------- */

static wf_tensor concat_sample(wf_sampler *s, int i) {
    switch (i) {
    case 0: return wf_concat((wf_tensor[]){s->make_real(s, WF_SHAPE(3, 2, 2), -2, 2),
                                           s->make_real(s, WF_SHAPE(3, 5, 2), -2, 2),
                                           s->make_real(s, WF_SHAPE(3, 1, 2), -2, 2)}, 3, 1);
    case 1: return wf_concat((wf_tensor[]){s->make_real(s, WF_SHAPE(3, 2), -2, 2),
                                           s->make_real(s, WF_SHAPE(3, 0), -2, 2)}, 2, -1);
    case 2: {
        const wf_tensor x = s->make_real(s, WF_SHAPE(2, 3), -2, 2);
        return wf_concat((wf_tensor[]){x, x}, 2, 0);
    }
    case 3: return wf_concat((wf_tensor[]){s->make_real(s, WF_SHAPE(1), -2, 2)}, 1, 0);
    case 4: return wf_concat((wf_tensor[]){s->make_index(s, WF_I64, WF_SHAPE(3, 1), 9),
                                           s->make_index(s, WF_I64, WF_SHAPE(3, 2), 9)}, 2, 1);
    case 5: return wf_concat((wf_tensor[]){s->make_bool(s, WF_SHAPE(3)),
                                           s->make_bool(s, WF_SHAPE(4))}, 2, 0);
    default: return (wf_tensor){0};
    }
}

static wf_tensor stack_sample(wf_sampler *s, int i) {
    const wf_shape odd = WF_SHAPE(3, 5);
    switch (i) {
    case 0: return wf_stack((wf_tensor[]){s->make_real(s, odd, -2, 2), s->make_real(s, odd, -2, 2),
                                          s->make_real(s, odd, -2, 2)}, 3, 0);
    case 1: return wf_stack((wf_tensor[]){s->make_real(s, odd, -2, 2), s->make_real(s, odd, -2, 2)},
                            2, -1);
    case 2: return wf_stack((wf_tensor[]){s->make_real(s, odd, -2, 2)}, 1, -2);
    case 3: return wf_stack((wf_tensor[]){s->make_real(s, WF_SCALAR, -2, 2),
                                          s->make_real(s, WF_SCALAR, -2, 2)}, 2, 0);
    case 4: return wf_stack((wf_tensor[]){s->make_real(s, WF_SHAPE(0, 1), -2, 2),
                                          s->make_real(s, WF_SHAPE(0, 1), -2, 2)}, 2, 1);
    case 5: return wf_stack((wf_tensor[]){s->make_index(s, WF_I32, WF_SHAPE(3), 9),
                                          s->make_index(s, WF_I32, WF_SHAPE(3), 9)}, 2, 1);
    default: return (wf_tensor){0};
    }
}

/* --- descriptors and constructors ------------------------------------------------------------ */

const wf_op wf_op_concat = {
    .name = "concat",
    .kind = WF_KIND_PLACE,
    .min_in = 1,
    .max_in = -1,
    .infer = concat_infer,
    .eval = wf_place_eval,
    .grad = concat_grad,
    .place = concat_place,
    .fast = &wf_place_fast,
    .sample = concat_sample,
    .fields = concat_fields,
    .attr_bytes = sizeof(wf_concat_attr),
    .parse_attr = concat_parse,
};

const wf_op wf_op_stack = {
    .name = "stack",
    .kind = WF_KIND_PLACE,
    .min_in = 1,
    .max_in = -1,
    .infer = stack_infer,
    .eval = wf_place_eval,
    .grad = stack_grad,
    .place = stack_place,
    .fast = &wf_place_fast,
    .sample = stack_sample,
    .fields = wf_axis_fields,
    .attr_bytes = sizeof(wf_axis_attr),
};

/* The graph of the first input that has one; without inputs there is none to keep the message. */
static wf_graph *graph_of(const char *name, const wf_tensor *x, int n) {
    for (int i = 0; x && i < n; i++)
        if (x[i].graph) return x[i].graph;
    wf_fail(WF_MODEL, "%s: no input; give at least one", name);
    return NULL;
}

wf_tensor wf_concat(const wf_tensor *x, int n, int axis) {
    wf_graph *g = graph_of("concat", x, n);
    if (!g) return (wf_tensor){0};
    const size_t bytes = sizeof(wf_concat_attr) + ((size_t)n + 1) * sizeof(int64_t);
    wf_concat_attr *a = malloc(bytes);
    if (!a) return wf_graph_fail(g, "concat: not enough memory for %d inputs", n);
    const int rank = wf_rank(x[0]);
    a->axis = axis < 0 && axis >= -rank ? axis + rank : axis;
    a->n = n;
    a->offset[0] = 0;
    bool sized = true;
    for (int i = 0; sized && i < n; i++)
        sized = wf_add_i64(a->offset[i], wf_dim(x[i], axis), &a->offset[i + 1]);
    const wf_tensor y = sized ? wf_emit(g, &wf_op_concat, a, bytes, x, n)
                              : wf_graph_fail(g, "concat: the extents of axis %d overflow", axis);
    free(a);
    return y;
}

wf_tensor wf_stack(const wf_tensor *x, int n, int axis) {
    wf_graph *g = graph_of("stack", x, n);
    if (!g) return (wf_tensor){0};
    const int rank = wf_rank(x[0]) + 1;
    const wf_axis_attr a = {axis < 0 && axis >= -rank ? axis + rank : axis};
    return wf_emit(g, &wf_op_stack, &a, sizeof a, x, n);
}
