/* gather: rows of x by an index operand; scatter_add: its adjoint.
 *
 *   gather       out[a.., i.., b..] = x[a.., index[i..], b..]
 *   scatter_add  out = x; then out[a.., index[i..], b..] += u[a.., i.., b..], in u's order
 *   An index outside [0, extent) reads 0 and adds nothing. */
#include <string.h>

#include "tensor/graph.h"
#include "tensor/index.h"
#include "tensor/view.h"

/* --- infer ----------------------------------------------------------------------------------- */

/* q->out = x with its axis replaced by the index's shape. */
static bool gathered_type(wf_infer *q) {
    const wf_axis_attr *a = q->attr;
    const wf_type *x = &q->in[0], *index = &q->in[1];
    const int r = index->shape.rank;
    int axis;
    if (!wf_infer_axis(q, a->axis, x->shape.rank, &axis)) return false;
    if (!wf_infer_index(q, index->dtype)) return false;
    const int rank = x->shape.rank - 1 + r;
    if (rank > WF_MAX_RANK)
        return wf_infer_fail(q, "the result would have rank %d; at most %d is possible", rank,
                             WF_MAX_RANK);
    int64_t dim[WF_MAX_RANK];
    for (int k = 0; k < rank; k++)
        dim[k] = k < axis       ? x->shape.dim[k]
                 : k < axis + r ? index->shape.dim[k - axis]
                                : x->shape.dim[k - r + 1];
    q->out = (wf_type){x->dtype, wf_shape_make(rank, dim)};
    return true;
}

static bool scatter_infer(wf_infer *q) {
    const wf_type *x = &q->in[0], *u = &q->in[2];
    if (!wf_infer_summed(q, x->dtype) || !gathered_type(q)) return false;
    if (u->dtype != x->dtype || !wf_shape_equal(&u->shape, &q->out.shape)) {
        char a[200], b[200];
        return wf_infer_fail(q, "u is %s%s, but x and the index make %s%s", wf_dtype_name(u->dtype),
                             wf_shape_text(&u->shape, a, sizeof a), wf_dtype_name(x->dtype),
                             wf_shape_text(&q->out.shape, b, sizeof b));
    }
    q->out = *x;
    return true;
}

/* --- eval ------------------------------------------------------------------------------------ */

/* The element of x (or of scatter_add's out) that element idx of the gathered shape addresses; NULL
 * if its index is out of range. */
static void *addressed(const wf_array *x, const wf_array *index, int axis, const int64_t *idx) {
    const int r = index->shape.rank;
    const int64_t k = wf_index_at(index, wf_offset(index, idx + axis));
    if (k < 0 || k >= x->shape.dim[axis]) return NULL;
    int64_t offset = k * x->stride[axis];
    for (int j = 0; j < axis; j++) offset += idx[j] * x->stride[j];
    for (int j = axis + 1; j < x->shape.rank; j++) offset += idx[j + r - 1] * x->stride[j];
    return wf_at(x, offset);
}

static void gather_eval(const wf_call *c) {
    const wf_array *x = &c->in[0], *out = &c->out;
    const int axis = wf_axis_of(((const wf_axis_attr *)c->attr)->axis, x->shape.rank);
    const size_t bytes = wf_dtype_bytes(x->dtype);
    if (wf_shape_count(&out->shape) == 0) return;
    int64_t idx[WF_MAX_RANK] = {0};
    do {
        void *to = wf_at(out, wf_offset(out, idx));
        const void *from = addressed(x, &c->in[1], axis, idx);
        if (from) memcpy(to, from, bytes);
        else memset(to, 0, bytes);
    } while (wf_next_index(&out->shape, idx));
}

static void scatter_eval(const wf_call *c) {
    const wf_array *u = &c->in[2], *out = &c->out;
    const int axis = wf_axis_of(((const wf_axis_attr *)c->attr)->axis, out->shape.rank);
    wf_array_move(out, &c->in[0]);
    if (wf_shape_count(&u->shape) == 0) return;
    int64_t idx[WF_MAX_RANK] = {0};
    do {
        void *to = addressed(out, &c->in[1], axis, idx);
        if (to) wf_accumulate(out->dtype, to, wf_at(u, wf_offset(u, idx)));
    } while (wf_next_index(&u->shape, idx));
}

/* --- gradient -------------------------------------------------------------------------------- */

static void gather_grad(const wf_grad_call *c) {
    const int axis = (int)((const wf_axis_attr *)c->attr)->axis;
    if (c->wanted[0]) c->gx[0] = wf_scatter_add(wf_zeros_like(c->x[0]), c->x[1], c->g, axis);
    if (c->wanted[1]) c->gx[1] = WF_NONE;
}

static void scatter_grad(const wf_grad_call *c) {
    const int axis = (int)((const wf_axis_attr *)c->attr)->axis;
    if (c->wanted[0]) c->gx[0] = c->g;
    if (c->wanted[1]) c->gx[1] = WF_NONE;
    if (c->wanted[2]) c->gx[2] = wf_gather(c->g, c->x[1], axis);
}

/* --- kernels: dense; x as (lines, extent, row), u and gather's out as (lines, n, row) -------- */

#define PIECE_BYTES (1 << 16)
#define MAX_BLOCKS 16 /* parts of a line of scatter_add: each reads all of the index */

typedef struct rows {
    int64_t lines, extent, n, row; /* row in elements */
} rows;

static rows rows_of(const wf_call *c) {
    const wf_shape *s = &c->in[0].shape;
    const int axis = wf_axis_of(((const wf_axis_attr *)c->attr)->axis, s->rank);
    rows w = {1, s->dim[axis], wf_shape_count(&c->in[1].shape), 1};
    for (int k = 0; k < axis; k++) w.lines *= s->dim[k];
    for (int k = axis + 1; k < s->rank; k++) w.row *= s->dim[k];
    return w;
}

static bool applicable(const wf_call *c) {
    bool dense = wf_shape_count(&c->out.shape) > 0 && wf_array_is_dense(&c->out);
    for (int i = 0; i < c->n_in; i++) dense = dense && wf_array_is_dense(&c->in[i]);
    return dense;
}

static int64_t gather_pieces(const wf_call *c, int phase) {
    const rows w = rows_of(c);
    const int64_t total = w.lines * w.n;
    const int64_t want = total * w.row * (int64_t)wf_dtype_bytes(c->out.dtype) / PIECE_BYTES + 1;
    return want < total ? want : total;
}

static void gather_run(const wf_call *c, int phase, int64_t first, int64_t last, void *scratch,
                       void *shared) {
    const rows w = rows_of(c);
    const int64_t total = w.lines * w.n, n = gather_pieces(c, phase), each = total / n,
                  more = total % n; /* the first `more` pieces have one row more */
    const int64_t bytes = w.row * (int64_t)wf_dtype_bytes(c->out.dtype);
    const int64_t end = last * each + (last < more ? last : more);
    for (int64_t i = first * each + (first < more ? first : more); i < end; i++) {
        char *to = (char *)c->out.data + i * bytes;
        const char *line = (const char *)c->in[0].data + i / w.n * w.extent * bytes;
        const int64_t k = wf_index_at(&c->in[1], i % w.n);
        if (k < 0 || k >= w.extent) memset(to, 0, (size_t)bytes);
        else memcpy(to, line + k * bytes, (size_t)bytes);
    }
}

static int64_t blocks_of(const rows *w) {
    const int64_t want = w->lines < MAX_BLOCKS ? (MAX_BLOCKS + w->lines - 1) / w->lines : 1;
    return want < w->extent ? want : w->extent;
}

static int64_t scatter_pieces(const wf_call *c, int phase) {
    const rows w = rows_of(c);
    return w.lines * blocks_of(&w);
}

static void add_row(wf_dtype t, void *to, const void *from, int64_t n) {
    if (t == WF_F32) {
        for (int64_t i = 0; i < n; i++) ((float *)to)[i] += ((const float *)from)[i];
        return;
    }
    const size_t bytes = wf_dtype_bytes(t);
    for (int64_t i = 0; i < n; i++) wf_accumulate(t, (char *)to + (size_t)i * bytes,
                                                  (const char *)from + (size_t)i * bytes);
}

/* A piece owns rows [low, high) of one line and adds in index order: the bits of eval. */
static void scatter_run(const wf_call *c, int phase, int64_t first, int64_t last, void *scratch,
                        void *shared) {
    const rows w = rows_of(c);
    const wf_dtype t = c->out.dtype;
    const int64_t blocks = blocks_of(&w), bytes = w.row * (int64_t)wf_dtype_bytes(t);
    for (int64_t p = first; p < last; p++) {
        const int64_t line = p / blocks, b = p % blocks;
        const int64_t each = w.extent / blocks, more = w.extent % blocks;
        const int64_t low = b * each + (b < more ? b : more), high = low + each + (b < more);
        char *out = (char *)c->out.data + line * w.extent * bytes;
        const char *x = (const char *)c->in[0].data + line * w.extent * bytes;
        const char *u = (const char *)c->in[2].data + line * w.n * bytes;
        memcpy(out + low * bytes, x + low * bytes, (size_t)((high - low) * bytes));
        for (int64_t i = 0; i < w.n; i++) {
            const int64_t k = wf_index_at(&c->in[1], i);
            if (k >= low && k < high) add_row(t, out + k * bytes, u + i * bytes, w.row);
        }
    }
}

static const wf_fast gather_fast = {
    .applicable = applicable, .pieces = gather_pieces, .run = gather_run};
static const wf_fast scatter_fast = {
    .applicable = applicable, .pieces = scatter_pieces, .run = scatter_run};

/* --- samples: some indices are out of range -------------------------------------------------- */

static wf_tensor gather_sample(wf_sampler *s, int i) {
    switch (i) {
    case 0: return wf_gather(s->make_real(s, WF_SHAPE(5, 3), -2, 2),
                             s->make_index(s, WF_I64, WF_SHAPE(7), 5), 0);
    case 1: return wf_gather(s->make_real(s, WF_SHAPE(2, 3, 5), -2, 2),
                             s->make_index(s, WF_I32, WF_SHAPE(2, 3), 4), -2);
    case 2: return wf_gather(s->make_real(s, WF_SHAPE(3, 4), -2, 2),
                             s->make_index(s, WF_I64, WF_SCALAR, 4), 1);
    case 3: return wf_gather(s->make_real(s, WF_SHAPE(1, 3), -2, 2),
                             s->make_index(s, WF_I32, WF_SHAPE(0), 1), 0);
    case 4: return wf_gather(s->make_real(s, WF_SHAPE(0, 3), -2, 2),
                             s->make_index(s, WF_I64, WF_SHAPE(3), 2), 0);
    case 5: return wf_gather(s->make_index(s, WF_I64, WF_SHAPE(3, 1), 9),
                             s->make_index(s, WF_I64, WF_SHAPE(5), 3), 0);
    case 6: return wf_gather(s->make_bool(s, WF_SHAPE(5)),
                             s->make_index(s, WF_I32, WF_SHAPE(3), 6), -1);
    default: return (wf_tensor){0};
    }
}

static wf_tensor scatter_sample(wf_sampler *s, int i) {
    switch (i) {
    case 0: return wf_scatter_add(s->make_real(s, WF_SHAPE(5, 3), -2, 2),
                                  s->make_index(s, WF_I64, WF_SHAPE(7), 5),
                                  s->make_real(s, WF_SHAPE(7, 3), -2, 2), 0);
    case 1: return wf_scatter_add(s->make_real(s, WF_SHAPE(2, 3, 5), -2, 2),
                                  s->make_index(s, WF_I32, WF_SHAPE(2, 3), 4),
                                  s->make_real(s, WF_SHAPE(2, 2, 3, 5), -2, 2), -2);
    case 2: return wf_scatter_add(s->make_real(s, WF_SHAPE(3, 4), -2, 2),
                                  s->make_index(s, WF_I64, WF_SCALAR, 4),
                                  s->make_real(s, WF_SHAPE(3), -2, 2), 1);
    case 3: return wf_scatter_add(s->make_real(s, WF_SHAPE(1, 3), -2, 2),
                                  s->make_index(s, WF_I32, WF_SHAPE(0), 1),
                                  s->make_real(s, WF_SHAPE(0, 3), -2, 2), 0);
    case 4: return wf_scatter_add(s->make_real(s, WF_SHAPE(0, 3), -2, 2),
                                  s->make_index(s, WF_I64, WF_SHAPE(3), 2),
                                  s->make_real(s, WF_SHAPE(3, 3), -2, 2), 0);
    case 5: return wf_scatter_add(s->make_index(s, WF_I64, WF_SHAPE(3), 9),
                                  s->make_index(s, WF_I64, WF_SHAPE(5), 3),
                                  s->make_index(s, WF_I64, WF_SHAPE(5), 9), 0);
    case 6: return wf_scatter_add(s->make_index(s, WF_I32, WF_SHAPE(3, 1), 9),
                                  s->make_index(s, WF_I64, WF_SHAPE(5), 3),
                                  s->make_index(s, WF_I32, WF_SHAPE(5, 1), 9), 0);
    default: return (wf_tensor){0};
    }
}

/* --- descriptors and constructors ------------------------------------------------------------ */

const wf_op wf_op_gather = {
    .name = "gather",
    .kind = WF_KIND_OPAQUE,
    .min_in = 2,
    .max_in = 2,
    .infer = gathered_type,
    .eval = gather_eval,
    .grad = gather_grad,
    .fast = &gather_fast,
    .sample = gather_sample,
    .fields = wf_axis_fields, /* the axis of x that the index addresses */
    .attr_bytes = sizeof(wf_axis_attr),
};

const wf_op wf_op_scatter_add = {
    .name = "scatter_add",
    .kind = WF_KIND_OPAQUE,
    .min_in = 3,
    .max_in = 3,
    .infer = scatter_infer,
    .eval = scatter_eval,
    .grad = scatter_grad,
    .fast = &scatter_fast,
    .sample = scatter_sample,
    .fields = wf_axis_fields, /* the axis of x that the index addresses */
    .attr_bytes = sizeof(wf_axis_attr),
};

static wf_axis_attr axis_attr(wf_tensor x, int axis) {
    const int rank = wf_rank(x);
    return (wf_axis_attr){axis < 0 && axis >= -rank ? axis + rank : axis};
}

wf_tensor wf_gather(wf_tensor x, wf_tensor index, int axis) {
    const wf_axis_attr a = axis_attr(x, axis);
    return wf_emit(x.graph, &wf_op_gather, &a, sizeof a, (wf_tensor[]){x, index}, 2);
}

wf_tensor wf_scatter_add(wf_tensor x, wf_tensor index, wf_tensor u, int axis) {
    const wf_axis_attr a = axis_attr(x, axis);
    return wf_emit(x.graph, &wf_op_scatter_add, &a, sizeof a, (wf_tensor[]){x, index, u}, 3);
}
