/* take_along: one index for each element; put_along: its adjoint.
 *
 *   take_along  out[a.., i, b..] = x[a.., index[a.., i, b..], b..]
 *   put_along   out = 0; then out[a.., index[a.., i, b..], b..] += u[a.., i, b..], in u's order
 *   An index outside [0, extent) reads 0 and adds nothing. */
#include <string.h>

#include "tensor/graph.h"
#include "tensor/index.h"
#include "tensor/lines.h"
#include "tensor/view.h"

/* --- attributes ------------------------------------------------------------------------------ */

typedef struct put_attr {
    int64_t axis, n; /* n: out's extent along the axis */
} put_attr;

static const wf_field put_fields[] = {
    WF_FIELD(I64, put_attr, axis),
    WF_FIELD(I64, put_attr, n),
    {0},
};

/* --- infer ----------------------------------------------------------------------------------- */

/* The index has x's shape, except along free_axis (-1: everywhere). */
static bool index_fits(wf_infer *q, int free_axis) {
    const wf_shape *x = &q->in[0].shape, *index = &q->in[1].shape;
    if (!wf_infer_index(q, q->in[1].dtype)) return false;
    bool fits = x->rank == index->rank;
    for (int k = 0; fits && k < x->rank; k++) fits = k == free_axis || x->dim[k] == index->dim[k];
    if (fits) return true;
    char a[200], b[200];
    return wf_infer_fail(q, "index %s does not fit %s%s", wf_shape_text(index, b, sizeof b),
                         wf_shape_text(x, a, sizeof a),
                         free_axis < 0 ? "" : " beside the axis");
}

static bool take_infer(wf_infer *q) {
    int axis;
    if (!wf_infer_axis(q, ((const wf_axis_attr *)q->attr)->axis, q->in[0].shape.rank, &axis))
        return false;
    if (!index_fits(q, axis)) return false;
    q->out = (wf_type){q->in[0].dtype, q->in[1].shape};
    return true;
}

static bool put_infer(wf_infer *q) {
    const put_attr *a = q->attr;
    int axis;
    if (!wf_infer_axis(q, a->axis, q->in[0].shape.rank, &axis)) return false;
    if (!wf_infer_summed(q, q->in[0].dtype) || !index_fits(q, -1)) return false;
    if (a->n < 0) return wf_infer_fail(q, "n = %lld is negative", (long long)a->n);
    q->out = q->in[0];
    q->out.shape.dim[axis] = a->n;
    return true;
}

/* --- eval ------------------------------------------------------------------------------------ */

/* The element of `a` at idx, with its axis replaced by the index's element; NULL out of range. */
static void *addressed(const wf_array *a, const wf_array *index, int axis, const int64_t *idx) {
    const int64_t k = wf_index_at(index, wf_offset(index, idx));
    if (k < 0 || k >= a->shape.dim[axis]) return NULL;
    return wf_at(a, wf_offset(a, idx) + (k - idx[axis]) * a->stride[axis]);
}

static void take_eval(const wf_call *c) {
    const wf_array *out = &c->out;
    const int axis = wf_axis_of(((const wf_axis_attr *)c->attr)->axis, out->shape.rank);
    const size_t bytes = wf_dtype_bytes(out->dtype);
    if (wf_shape_count(&out->shape) == 0) return;
    int64_t idx[WF_MAX_RANK] = {0};
    do {
        void *to = wf_at(out, wf_offset(out, idx));
        const void *from = addressed(&c->in[0], &c->in[1], axis, idx);
        if (from) memcpy(to, from, bytes);
        else memset(to, 0, bytes);
    } while (wf_next_index(&out->shape, idx));
}

static void put_eval(const wf_call *c) {
    const wf_array *u = &c->in[0], *out = &c->out;
    const int axis = wf_axis_of(((const put_attr *)c->attr)->axis, out->shape.rank);
    const size_t bytes = wf_dtype_bytes(out->dtype);
    if (wf_shape_count(&out->shape) == 0) return;
    int64_t idx[WF_MAX_RANK] = {0};
    do memset(wf_at(out, wf_offset(out, idx)), 0, bytes);
    while (wf_next_index(&out->shape, idx));
    if (wf_shape_count(&u->shape) == 0) return;
    do {
        void *to = addressed(out, &c->in[1], axis, idx);
        if (to) wf_accumulate(out->dtype, to, wf_at(u, wf_offset(u, idx)));
    } while (wf_next_index(&u->shape, idx));
}

/* --- gradient -------------------------------------------------------------------------------- */

/* put_along of one index a line: comparing is elementwise, so it becomes part of a group, where
 * put_along writes all of x's shape only for others to read (losses over a vocabulary). */
static wf_tensor put_one(wf_tensor g, wf_tensor index, int axis, int64_t n) {
    wf_shape line = {.rank = wf_rank(index)};
    for (int i = 0; i < line.rank; i++) line.dim[i] = i == axis ? n : 1;
    const wf_tensor all = wf_reshape(wf_arange(g.graph, wf_dtype_of(index), 0, 1, n), line);
    return wf_select(wf_equal(index, all), g, wf_scalar(g.graph, wf_dtype_of(g), 0));
}

static void take_grad(const wf_grad_call *c) {
    const int axis = (int)((const wf_axis_attr *)c->attr)->axis;
    const int64_t n = wf_dim(c->x[0], axis);
    if (c->wanted[0])
        c->gx[0] = wf_dim(c->x[1], axis) == 1 ? put_one(c->g, c->x[1], axis, n)
                                              : wf_put_along(c->g, c->x[1], axis, n);
    if (c->wanted[1]) c->gx[1] = WF_NONE;
}

static void put_grad(const wf_grad_call *c) {
    if (c->wanted[0])
        c->gx[0] = wf_take_along(c->g, c->x[1], (int)((const put_attr *)c->attr)->axis);
    if (c->wanted[1]) c->gx[1] = WF_NONE;
}

/* --- kernels: dense; x and out as (lines, extent or n, row), cut by lines and columns --- */

enum { COLUMNS = 64, PIECE = 1 << 14 /* elements */ };

typedef struct along {
    int64_t lines, narrow, wide, row; /* narrow: entries of an index's line; wide: that x has */
} along;

static along along_of(const wf_call *c, bool put) {
    const wf_shape *narrow = &c->in[1].shape;
    const int64_t at = put ? ((const put_attr *)c->attr)->axis
                           : ((const wf_axis_attr *)c->attr)->axis;
    const int axis = wf_axis_of(at, narrow->rank);
    along w = {1, narrow->dim[axis], (put ? c->out : c->in[0]).shape.dim[axis], 1};
    for (int k = 0; k < axis; k++) w.lines *= narrow->dim[k];
    for (int k = axis + 1; k < narrow->rank; k++) w.row *= narrow->dim[k];
    return w;
}

static bool applicable(const wf_call *c) {
    return wf_shape_count(&c->out.shape) > 0 && wf_array_is_dense(&c->out) &&
           wf_array_is_dense(&c->in[0]) && wf_array_is_dense(&c->in[1]);
}

/* A unit of work is some columns of a line. */
static int64_t units_of(const along *w) { return w->lines * ((w->row + COLUMNS - 1) / COLUMNS); }

static int64_t pieces_of(const along *w) {
    const int64_t longest = w->narrow > w->wide ? w->narrow : w->wide;
    const int64_t units = units_of(w), want = w->lines * w->row * longest / PIECE + 1;
    return want < units ? want : units;
}

static int64_t take_pieces(const wf_call *c, int phase) {
    const along w = along_of(c, false);
    return pieces_of(&w);
}

static int64_t put_pieces(const wf_call *c, int phase) {
    const along w = along_of(c, true);
    return pieces_of(&w);
}

static void take_unit(const wf_call *c, const along *w, int64_t line, int64_t from, int64_t to) {
    const size_t bytes = wf_dtype_bytes(c->out.dtype);
    const bool is_word = bytes == sizeof(uint32_t);
    const char *x = (const char *)c->in[0].data + (size_t)(line * w->wide * w->row) * bytes;
    for (int64_t i = 0; i < w->narrow; i++)
        for (int64_t j = from; j < to; j++) {
            const int64_t at = (line * w->narrow + i) * w->row + j;
            const int64_t k = wf_index_at(&c->in[1], at);
            char *out = (char *)c->out.data + (size_t)at * bytes;
            const bool inside = k >= 0 && k < w->wide;
            const char *v = x + (inside ? (size_t)(k * w->row + j) * bytes : 0);
            if (!inside) memset(out, 0, bytes);
            else if (is_word) *(uint32_t *)out = *(const uint32_t *)v;
            else memcpy(out, v, bytes);
        }
}

/* Adds in u's order: the bits of eval. */
static void put_unit(const wf_call *c, const along *w, int64_t line, int64_t from, int64_t to) {
    const wf_dtype t = c->out.dtype;
    const size_t bytes = wf_dtype_bytes(t);
    char *out = (char *)c->out.data + (size_t)(line * w->wide * w->row) * bytes;
    if (to - from == w->row) {
        memset(out, 0, (size_t)(w->wide * w->row) * bytes);
    } else {
        for (int64_t k = 0; k < w->wide; k++)
            memset(out + (size_t)(k * w->row + from) * bytes, 0, (size_t)(to - from) * bytes);
    }
    const int64_t *index = c->in[1].data; /* the case of pooling, three times as fast */
    for (int64_t i = 0; i < w->narrow && t == WF_F32 && c->in[1].dtype == WF_I64; i++)
        for (int64_t j = from, at = (line * w->narrow + i) * w->row; j < to; j++) {
            const int64_t k = index[at + j];
            if (k >= 0 && k < w->wide)
                ((float *)out)[k * w->row + j] += ((const float *)c->in[0].data)[at + j];
        }
    for (int64_t i = 0; i < w->narrow && (t != WF_F32 || c->in[1].dtype != WF_I64); i++)
        for (int64_t j = from; j < to; j++) {
            const int64_t at = (line * w->narrow + i) * w->row + j;
            const int64_t k = wf_index_at(&c->in[1], at);
            if (k < 0 || k >= w->wide) continue;
            char *sum = out + (size_t)(k * w->row + j) * bytes;
            const char *u = (const char *)c->in[0].data + (size_t)at * bytes;
            wf_accumulate(t, sum, u);
        }
}

static void run_units(const wf_call *c, const along *w, int64_t first, int64_t last,
                      void unit(const wf_call *, const along *, int64_t, int64_t, int64_t)) {
    const int64_t units = units_of(w), n = pieces_of(w), blocks = (w->row + COLUMNS - 1) / COLUMNS;
    for (int64_t k = wf_lines_first(units, n, first); k < wf_lines_first(units, n, last); k++) {
        const int64_t from = k % blocks * COLUMNS, to = from + COLUMNS;
        unit(c, w, k / blocks, from, to < w->row ? to : w->row);
    }
}

static void take_run(const wf_call *c, int phase, int64_t first, int64_t last, void *scratch,
                     void *shared) {
    const along w = along_of(c, false);
    run_units(c, &w, first, last, take_unit);
}

static void put_run(const wf_call *c, int phase, int64_t first, int64_t last, void *scratch,
                    void *shared) {
    const along w = along_of(c, true);
    run_units(c, &w, first, last, put_unit);
}

static const wf_fast take_fast = {.applicable = applicable, .pieces = take_pieces, .run = take_run};
static const wf_fast put_fast = {.applicable = applicable, .pieces = put_pieces, .run = put_run};

/* --- samples: some indices are out of range -------------------------------------------------- */

static wf_tensor take_sample(wf_sampler *s, int i) {
    switch (i) {
    case 0: return wf_take_along(s->make_real(s, WF_SHAPE(3, 5), -2, 2),
                                 s->make_index(s, WF_I64, WF_SHAPE(3, 7), 5), 1);
    case 1: return wf_take_along(s->make_real(s, WF_SHAPE(2, 3, 5), -2, 2),
                                 s->make_index(s, WF_I32, WF_SHAPE(2, 2, 5), 4), -2);
    case 2: return wf_take_along(s->make_real(s, WF_SHAPE(1), -2, 2),
                                 s->make_index(s, WF_I64, WF_SHAPE(3), 1), 0);
    case 3: return wf_take_along(s->make_real(s, WF_SHAPE(0, 3), -2, 2),
                                 s->make_index(s, WF_I64, WF_SHAPE(2, 3), 3), 0);
    case 4: return wf_take_along(s->make_real(s, WF_SHAPE(3, 2), -2, 2),
                                 s->make_index(s, WF_I32, WF_SHAPE(3, 0), 3), 1);
    case 5: return wf_take_along(s->make_index(s, WF_I64, WF_SHAPE(3, 2), 9),
                                 s->make_index(s, WF_I32, WF_SHAPE(3, 1), 2), 1);
    case 6: return wf_take_along(s->make_bool(s, WF_SHAPE(5)),
                                 s->make_index(s, WF_I64, WF_SHAPE(3), 6), 0);
    default: return (wf_tensor){0};
    }
}

static wf_tensor put_sample(wf_sampler *s, int i) {
    switch (i) {
    case 0: return wf_put_along(s->make_real(s, WF_SHAPE(3, 7), -2, 2),
                                s->make_index(s, WF_I64, WF_SHAPE(3, 7), 5), 1, 5);
    case 1: return wf_put_along(s->make_real(s, WF_SHAPE(2, 2, 5), -2, 2),
                                s->make_index(s, WF_I32, WF_SHAPE(2, 2, 5), 4), -2, 3);
    case 2: return wf_put_along(s->make_real(s, WF_SHAPE(3), -2, 2),
                                s->make_index(s, WF_I64, WF_SHAPE(3), 1), 0, 1);
    case 3: return wf_put_along(s->make_real(s, WF_SHAPE(2, 3), -2, 2),
                                s->make_index(s, WF_I64, WF_SHAPE(2, 3), 3), 0, 0);
    case 4: return wf_put_along(s->make_real(s, WF_SHAPE(3, 0), -2, 2),
                                s->make_index(s, WF_I32, WF_SHAPE(3, 0), 3), 1, 2);
    case 5: return wf_put_along(s->make_index(s, WF_I64, WF_SHAPE(3, 4), 9),
                                s->make_index(s, WF_I32, WF_SHAPE(3, 4), 2), 1, 2);
    default: return (wf_tensor){0};
    }
}

/* --- descriptors and constructors ------------------------------------------------------------ */

const wf_op wf_op_take_along = {
    .name = "take_along",
    .kind = WF_KIND_OPAQUE,
    .min_in = 2,
    .max_in = 2,
    .infer = take_infer,
    .eval = take_eval,
    .grad = take_grad,
    .fast = &take_fast,
    .sample = take_sample,
    .fields = wf_axis_fields,
    .attr_bytes = sizeof(wf_axis_attr),
};

const wf_op wf_op_put_along = {
    .name = "put_along",
    .kind = WF_KIND_OPAQUE,
    .min_in = 2,
    .max_in = 2,
    .infer = put_infer,
    .eval = put_eval,
    .grad = put_grad,
    .fast = &put_fast,
    .sample = put_sample,
    .fields = put_fields,
    .attr_bytes = sizeof(put_attr),
};

wf_tensor wf_take_along(wf_tensor x, wf_tensor index, int axis) {
    const int rank = wf_rank(x);
    const wf_axis_attr a = {axis < 0 && axis >= -rank ? axis + rank : axis};
    return wf_emit(x.graph, &wf_op_take_along, &a, sizeof a, (wf_tensor[]){x, index}, 2);
}

wf_tensor wf_put_along(wf_tensor u, wf_tensor index, int axis, int64_t n) {
    const int rank = wf_rank(u);
    const put_attr a = {axis < 0 && axis >= -rank ? axis + rank : axis, n};
    return wf_emit(u.graph, &wf_op_put_along, &a, sizeof a, (wf_tensor[]){u, index}, 2);
}
