/* pad: zeros around one axis and between its elements; the adjoint of slice, which is its own.
 *
 *   out[.., before + i step, ..] = x[.., i, ..],  0 elsewhere
 *   extent of out = before + (n - 1) step + 1 + after,  before + after if x's extent n is 0 */
#include <string.h>

#include "tensor/graph.h"
#include "tensor/size.h"
#include "tensor/view.h"

/* --- attributes ------------------------------------------------------------------------------ */

static const wf_field fields[] = {
    WF_FIELD(I64, wf_pad_attr, axis),
    WF_FIELD(I64, wf_pad_attr, before),
    WF_FIELD(I64, wf_pad_attr, after),
    WF_FIELD(I64, wf_pad_attr, step, .optional = true, .otherwise = 1),
    {0},
};

/* --- infer ----------------------------------------------------------------------------------- */

static bool infer(wf_infer *q) {
    const wf_pad_attr *a = q->attr;
    const wf_type *x = &q->in[0];
    int axis;
    if (!wf_infer_axis(q, a->axis, x->shape.rank, &axis)) return false;
    if (a->before < 0 || a->after < 0)
        return wf_infer_fail(q, "before %lld and after %lld must not be negative; slice cuts off",
                             (long long)a->before, (long long)a->after);
    if (a->step < 1) return wf_infer_fail(q, "step %lld is not positive", (long long)a->step);
    const int64_t n = x->shape.dim[axis];
    int64_t inside = 0, extent;
    if (n > 0 && !(wf_mul_i64(n - 1, a->step, &inside) && wf_add_i64(inside, 1, &inside)))
        return wf_infer_fail(q, "%lld elements in steps of %lld overflow", (long long)n,
                             (long long)a->step);
    if (!wf_add_i64(inside, a->before, &extent) || !wf_add_i64(extent, a->after, &extent))
        return wf_infer_fail(q, "before %lld and after %lld overflow", (long long)a->before,
                             (long long)a->after);
    q->out = *x;
    q->out.shape.dim[axis] = extent;
    return true;
}

/* --- eval ------------------------------------------------------------------------------------ */

/* The element of x's axis that lies at j of out's, -1 for a zero. */
static int64_t source_of(const wf_pad_attr *a, int64_t n, int64_t j) {
    if (j < a->before || (j - a->before) % a->step != 0) return -1;
    const int64_t i = (j - a->before) / a->step;
    return i < n ? i : -1;
}

static void eval(const wf_call *c) {
    const wf_pad_attr *a = c->attr;
    const wf_array *x = &c->in[0], *out = &c->out;
    const int axis = wf_axis_of(a->axis, x->shape.rank);
    const size_t bytes = wf_dtype_bytes(x->dtype);
    if (wf_shape_count(&out->shape) == 0) return;
    int64_t idx[WF_MAX_RANK] = {0};
    do {
        void *to = wf_at(out, wf_offset(out, idx));
        const int64_t j = idx[axis], i = source_of(a, x->shape.dim[axis], j);
        if (i < 0) {
            memset(to, 0, bytes);
            continue;
        }
        idx[axis] = i;
        memcpy(to, wf_at(x, wf_offset(x, idx)), bytes);
        idx[axis] = j;
    } while (wf_next_index(&out->shape, idx));
}

/* --- gradient -------------------------------------------------------------------------------- */

static void grad(const wf_grad_call *c) {
    if (!c->wanted[0]) return;
    const wf_pad_attr *a = c->attr;
    const int axis = wf_axis_of(a->axis, wf_rank(c->x[0]));
    c->gx[0] = wf_slice(c->g, axis, a->before, wf_dim(c->x[0], axis), a->step);
}

/* --- kernel: dense operands; slabs of the elements after the axis ---------------------------- */

#define PIECE_BYTES (1 << 16)

typedef struct slabs {
    int64_t n, extent;  /* extents of x's and of out's axis */
    int64_t lines;      /* product of the axes before */
    int64_t slab_bytes; /* of the axes after */
} slabs;

static slabs slabs_of(const wf_call *c) {
    const wf_pad_attr *a = c->attr;
    const wf_shape *s = &c->out.shape;
    const int axis = wf_axis_of(a->axis, s->rank);
    slabs w = {c->in[0].shape.dim[axis], s->dim[axis], 1, (int64_t)wf_dtype_bytes(c->out.dtype)};
    for (int k = 0; k < axis; k++) w.lines *= s->dim[k];
    for (int k = axis + 1; k < s->rank; k++) w.slab_bytes *= s->dim[k];
    return w;
}

static bool applicable(const wf_call *c) {
    return wf_shape_count(&c->out.shape) > 0 && wf_array_is_dense(&c->in[0]) &&
           wf_array_is_dense(&c->out);
}

static int64_t pieces(const wf_call *c, int phase) {
    const slabs w = slabs_of(c);
    const int64_t total = w.lines * w.extent, want = total * w.slab_bytes / PIECE_BYTES + 1;
    return want < total ? want : total;
}

/* Slabs [first, last) of out: runs of neighbours in x are copied, the rest is cleared, at once. */
static void fill_slabs(const wf_call *c, const slabs *w, int64_t first, int64_t last) {
    const wf_pad_attr *a = c->attr;
    const char *x = c->in[0].data;
    char *out = c->out.data;
    const size_t bytes = (size_t)w->slab_bytes;
    for (int64_t s = first; s < last;) {
        const int64_t line = s / w->extent, j = s % w->extent;
        int64_t i = source_of(a, w->n, j), stop = w->extent;
        if (i >= 0) stop = a->step == 1 ? a->before + w->n : j + 1;
        else if (j < a->before && w->n > 0) stop = a->before;
        else if (w->n > 0 && j < a->before + (w->n - 1) * a->step) stop = j + 1;
        int64_t run = stop - j < last - s ? stop - j : last - s;
        char *to = out + s * w->slab_bytes;
        if (i < 0) memset(to, 0, bytes * (size_t)run);
        else memcpy(to, x + (line * w->n + i) * w->slab_bytes, bytes * (size_t)run);
        s += run;
    }
}

static void run(const wf_call *c, int phase, int64_t first, int64_t last, void *scratch,
                void *shared) {
    const slabs w = slabs_of(c);
    const int64_t total = w.lines * w.extent, n = pieces(c, phase), each = total / n,
                  more = total % n; /* the first `more` pieces have one slab more */
    fill_slabs(c, &w, first * each + (first < more ? first : more),
               last * each + (last < more ? last : more));
}

static const wf_fast fast = {.applicable = applicable, .pieces = pieces, .run = run};

/* --- samples --------------------------------------------------------------------------------- */

static wf_tensor sample(wf_sampler *s, int i) {
    switch (i) {
    case 0: return wf_pad(s->make_real(s, WF_SHAPE(3, 5, 2), -2, 2), 1, 1, 2, 1);
    case 1: return wf_pad(s->make_real(s, WF_SHAPE(3, 5), -2, 2), -1, 0, 3, 2);
    case 2: return wf_pad(s->make_real(s, WF_SHAPE(4, 3), -2, 2), 0, 2, 0, 3);
    case 3: return wf_pad(s->make_real(s, WF_SHAPE(3, 0), -2, 2), 1, 2, 1, 1);
    case 4: return wf_pad(s->make_real(s, WF_SHAPE(1), -2, 2), 0, 0, 0, INT64_MAX);
    case 5: return wf_pad(s->make_real(s, WF_SHAPE(0, 3), -2, 2), -1, 1, 1, 4);
    case 6: return wf_pad(s->make_index(s, WF_I64, WF_SHAPE(2, 3), 9), 0, 1, 1, 2);
    case 7: return wf_pad(s->make_bool(s, WF_SHAPE(3)), 0, 1, 2, 1);
    default: return (wf_tensor){0};
    }
}

/* --- descriptor and constructor -------------------------------------------------------------- */

const wf_op wf_op_pad = {
    .name = "pad",
    .kind = WF_KIND_OPAQUE,
    .min_in = 1,
    .max_in = 1,
    .infer = infer,
    .eval = eval,
    .grad = grad,
    .fast = &fast,
    .sample = sample,
    .fields = fields,
    .attr_bytes = sizeof(wf_pad_attr),
};

wf_tensor wf_pad(wf_tensor x, int axis, int64_t before, int64_t after, int64_t step) {
    const int rank = wf_rank(x);
    const wf_pad_attr a = {axis < 0 && axis >= -rank ? axis + rank : axis, before, after,
                           step > 1 && wf_dim(x, axis) < 2 ? 1 : step};
    return wf_emit1(&wf_op_pad, &a, sizeof a, x);
}
