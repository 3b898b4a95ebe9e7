/* Moving elements: the reference copy, and eval and fast of every VIEW and PLACE operation, which
 * are copies; the fast ones in the pieces of tensor/kernels/copy.h. */
#include "tensor/view.h"

#include <string.h>

#include "tensor/graph.h"
#include "tensor/kernels/copy.h"
#include "tensor/size.h"

void wf_shape_into(wf_shape *to, const wf_shape *from) {
    to->rank = from->rank;
    for (int i = 0; i < from->rank && i < WF_MAX_RANK; i++) to->dim[i] = from->dim[i];
}

wf_tensor wf_shape_emit(const wf_op *op, wf_tensor x, const wf_shape *shape) {
    wf_shape_attr a;
    memset(&a, 0, sizeof a);
    wf_shape_into(&a.shape, shape);
    return wf_emit1(op, &a, sizeof a, x);
}

const wf_field wf_shape_fields[] = {WF_FIELD(SHAPE, wf_shape_attr, shape), {0}};
const wf_field wf_axis_fields[] = {WF_FIELD(I64, wf_axis_attr, axis), {0}};

bool wf_infer_type(wf_infer *q, wf_dtype dtype, const wf_shape *shape) {
    if ((unsigned)dtype >= WF_N_DTYPE) return wf_infer_fail(q, "there is no dtype %d", (int)dtype);
    if (shape->rank < 0 || shape->rank > WF_MAX_RANK)
        return wf_infer_fail(q, "the shape has rank %d; at most %d is possible", shape->rank,
                             WF_MAX_RANK);
    q->out = (wf_type){dtype, wf_shape_make(shape->rank, shape->dim)};
    char text[200];
    wf_shape_text(shape, text, sizeof text);
    for (int i = 0; i < shape->rank; i++)
        if (shape->dim[i] < 0) return wf_infer_fail(q, "shape %s has a negative extent", text);
    size_t bytes;
    if (!wf_type_bytes(dtype, shape, &bytes))
        return wf_infer_fail(q, "shape %s has more bytes than can be addressed", text);
    return true;
}

/* --- reference ------------------------------------------------------------------------------- */

void wf_array_move(const wf_array *out, const wf_array *in) {
    const int64_t n = wf_shape_count(&out->shape);
    const size_t bytes = wf_dtype_bytes(out->dtype);
    int64_t to[WF_MAX_RANK] = {0}, from[WF_MAX_RANK] = {0};
    for (int64_t i = 0; i < n; i++) {
        memcpy(wf_at(out, wf_offset(out, to)), wf_at(in, wf_offset(in, from)), bytes);
        wf_next_index(&out->shape, to);
        wf_next_index(&in->shape, from);
    }
}

void wf_view_eval(const wf_call *c) {
    wf_array seen = c->out;
    if (c->op->view(c->attr, c->in, &seen)) wf_array_move(&c->out, &seen);
    else wf_array_move(&c->out, c->in);
}

static wf_array slot_of(const wf_call *c, int i) {
    wf_array slot = {.dtype = c->in[i].dtype, .shape = c->in[i].shape};
    c->op->place(c->attr, &c->out, i, &slot);
    return slot;
}

void wf_place_eval(const wf_call *c) {
    for (int i = 0; i < c->n_in; i++) {
        const wf_array slot = slot_of(c, i);
        wf_array_move(&slot, &c->in[i]);
    }
}

/* --- fast paths ------------------------------------------------------------------------------ */

/* The copy that a view's value is: equal shapes. A reshape whose strides allow no view fills a
 * dense result in row-major order, so the result is seen with the operand's shape. */
static bool view_copy(const wf_call *c, wf_array *out, wf_array *in) {
    *out = *in = c->out;
    if (c->op->view(c->attr, c->in, in)) return true;
    if (!wf_array_is_dense(&c->out)) return false;
    *in = c->in[0];
    *out = wf_array_dense(c->out.data, in->dtype, &in->shape);
    return true;
}

static bool view_applicable(const wf_call *c) {
    wf_array out, in;
    return view_copy(c, &out, &in);
}

static int64_t view_pieces(const wf_call *c, int phase) {
    wf_array out, in;
    view_copy(c, &out, &in);
    return wf_copy_pieces(&out, &in);
}

static void view_run(const wf_call *c, int phase, int64_t first, int64_t last, void *scratch,
                     void *shared) {
    wf_array out, in;
    view_copy(c, &out, &in);
    wf_copy_rows(&out, &in, first, last);
}

const wf_fast wf_view_fast = {
    .applicable = view_applicable, .pieces = view_pieces, .run = view_run};

static bool place_applicable(const wf_call *c) { return true; }

static int64_t place_pieces(const wf_call *c, int phase) {
    int64_t pieces = 0;
    for (int i = 0; i < c->n_in; i++) {
        const wf_array slot = slot_of(c, i);
        pieces += wf_copy_pieces(&slot, &c->in[i]);
    }
    return pieces;
}

static void place_run(const wf_call *c, int phase, int64_t first, int64_t last, void *scratch,
                      void *shared) {
    int64_t at = 0; /* the first piece of input i */
    for (int i = 0; i < c->n_in && at < last; i++) {
        const wf_array slot = slot_of(c, i);
        const int64_t n = wf_copy_pieces(&slot, &c->in[i]);
        const int64_t a = first > at ? first - at : 0, b = last - at < n ? last - at : n;
        if (a < b) wf_copy_rows(&slot, &c->in[i], a, b);
        at += n;
    }
}

const wf_fast wf_place_fast = {
    .applicable = place_applicable, .pieces = place_pieces, .run = place_run};
