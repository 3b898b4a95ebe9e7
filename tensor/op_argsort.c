/* argsort: the stable order of elements along an axis; sort and topk are take_along of it.
 *
 *   x[.., out[.., 0, ..], ..] <= x[.., out[.., 1, ..], ..] <= ...;  descending: >=
 *   Equal elements keep their order, NaN counts as greater than everything and equal to itself. */
#include <string.h>

#include "tensor/graph.h"
#include "tensor/view.h"
#include "tensor/index.h"

/* --- attributes ------------------------------------------------------------------------------ */

typedef struct order_attr {
    int64_t axis, descending; /* descending: 0 or 1 */
} order_attr;

static const wf_field fields[] = {
    WF_FIELD(I64, order_attr, axis),
    WF_FIELD(FLAG64, order_attr, descending),
    {0},
};

/* --- infer ----------------------------------------------------------------------------------- */

static bool infer(wf_infer *q) {
    const order_attr *a = q->attr;
    int axis;
    if (!wf_infer_axis(q, a->axis, q->in[0].shape.rank, &axis)) return false;
    q->out = (wf_type){WF_I64, q->in[0].shape};
    return true;
}

/* --- eval ------------------------------------------------------------------------------------ */

/* A number that orders like the element: the sign bit of an integer turned over, the bits of a
 * double made monotonic (all bits turned over if negative), everything turned over to descend. */
static uint64_t key_at(const wf_array *x, int64_t offset, bool descending) {
    uint64_t key;
    if (x->dtype == WF_I64) {
        key = (uint64_t) * (const int64_t *)wf_at(x, offset) ^ 1ull << 63;
    } else {
        const double v = wf_get(x, offset) + 0.0; /* -0 becomes 0 */
        memcpy(&key, &v, sizeof key);
        key = v != v ? UINT64_MAX : key >> 63 ? ~key : key | 1ull << 63;
    }
    return descending ? ~key : key;
}

/* The place of each element is the number of elements that come before it. */
static void eval(const wf_call *c) {
    const order_attr *a = c->attr;
    const wf_array *x = &c->in[0], *out = &c->out;
    const int axis = wf_axis_of(a->axis, x->shape.rank);
    const int64_t n = x->shape.dim[axis], step = x->stride[axis];
    if (wf_shape_count(&out->shape) == 0) return;
    int64_t idx[WF_MAX_RANK] = {0};
    do {
        const int64_t i = idx[axis], line = wf_offset(x, idx) - i * step;
        const uint64_t key = key_at(x, line + i * step, a->descending);
        int64_t place = 0;
        for (int64_t j = 0; j < n; j++) {
            const uint64_t other = key_at(x, line + j * step, a->descending);
            place += other < key || (other == key && j < i);
        }
        *(int64_t *)wf_at(out, wf_offset(out, idx) + (place - i) * out->stride[axis]) = i;
    } while (wf_next_index(&out->shape, idx));
}

/* --- kernel: merge sort of (key, position), one line a piece --------------------------------- */

typedef struct entry {
    uint64_t key;
    int64_t position;
} entry;

static int64_t extent_of(const wf_call *c) {
    const order_attr *a = c->attr;
    return c->out.shape.dim[wf_axis_of(a->axis, c->out.shape.rank)];
}

static bool applicable(const wf_call *c) {
    return wf_shape_count(&c->out.shape) > 0 &&
           extent_of(c) <= PTRDIFF_MAX / (2 * (int64_t)sizeof(entry));
}

static int64_t pieces(const wf_call *c, int phase) {
    return wf_shape_count(&c->out.shape) / extent_of(c);
}

static size_t scratch_bytes(const wf_call *c) { return 2 * (size_t)extent_of(c) * sizeof(entry); }

/* Sorts a (n) with room b (n), in runs of doubling length; returns the one with the result. */
static entry *merge_sort(entry *a, entry *b, int64_t n) {
    for (int64_t width = 1; width < n; width *= 2) {
        for (int64_t low = 0; low < n; low += 2 * width) {
            const int64_t mid = low + width < n ? low + width : n;
            const int64_t high = mid + width < n ? mid + width : n;
            int64_t i = low, j = mid;
            for (int64_t k = low; k < high; k++)
                b[k] = i < mid && (j >= high || a[i].key <= a[j].key) ? a[i++] : a[j++];
        }
        entry *const t = a;
        a = b;
        b = t;
    }
    return a;
}

static void run(const wf_call *c, int phase, int64_t first, int64_t last, void *scratch,
                void *shared) {
    const order_attr *a = c->attr;
    const wf_array *x = &c->in[0], *out = &c->out;
    const int axis = wf_axis_of(a->axis, x->shape.rank);
    const int64_t n = extent_of(c);
    entry *const one = scratch, *const two = one + n;
    for (int64_t line = first; line < last; line++) {
        int64_t from = 0, to = 0, rest = line;
        for (int k = x->shape.rank - 1; k >= 0; k--) {
            if (k == axis) continue;
            from += rest % x->shape.dim[k] * x->stride[k];
            to += rest % x->shape.dim[k] * out->stride[k];
            rest /= x->shape.dim[k];
        }
        for (int64_t i = 0; i < n; i++)
            one[i] = (entry){key_at(x, from + i * x->stride[axis], a->descending), i};
        const entry *sorted = merge_sort(one, two, n);
        for (int64_t i = 0; i < n; i++)
            *(int64_t *)wf_at(out, to + i * out->stride[axis]) = sorted[i].position;
    }
}

static const wf_fast fast = {
    .applicable = applicable, .pieces = pieces, .scratch_bytes = scratch_bytes, .run = run};

/* --- samples --------------------------------------------------------------------------------- */

static wf_tensor sample(wf_sampler *s, int i) {
    switch (i) {
    case 0: return wf_argsort(s->make_real(s, WF_SHAPE(3, 7, 2), -2, 2), 1, false);
    case 1: return wf_argsort(s->make_real(s, WF_SHAPE(3, 5), -2, 2), -1, true);
    case 2: return wf_argsort(s->make_real(s, WF_SHAPE(1, 3), -2, 2), 0, false);
    case 3: return wf_argsort(s->make_real(s, WF_SHAPE(3, 0), -2, 2), 1, true);
    case 4: return wf_argsort(s->make_real(s, WF_SHAPE(0, 3), -2, 2), 1, false);
    case 5: return wf_argsort(s->make_index(s, WF_I64, WF_SHAPE(17), 5), 0, true);
    case 6: return wf_argsort(s->make_index(s, WF_I32, WF_SHAPE(2, 9), 4), 1, false);
    case 7: return wf_argsort(s->make_bool(s, WF_SHAPE(9)), 0, true);
    default: return (wf_tensor){0};
    }
}

/* --- descriptor and constructors ------------------------------------------------------------- */

const wf_op wf_op_argsort = {
    .name = "argsort",
    .kind = WF_KIND_OPAQUE,
    .min_in = 1,
    .max_in = 1,
    .infer = infer,
    .eval = eval,
    .no_grad_reason = "its result is an order, constant almost everywhere",
    .fast = &fast,
    .sample = sample,
    .fields = fields,
    .attr_bytes = sizeof(order_attr),
};

wf_tensor wf_argsort(wf_tensor x, int axis, bool descending) {
    const int rank = wf_rank(x);
    const order_attr a = {axis < 0 && axis >= -rank ? axis + rank : axis, descending};
    return wf_emit1(&wf_op_argsort, &a, sizeof a, x);
}

wf_tensor wf_sort(wf_tensor x, int axis, bool descending) {
    return wf_take_along(x, wf_argsort(x, axis, descending), axis);
}

wf_tensor wf_topk(wf_tensor x, int64_t k, int axis, wf_tensor *index) {
    const wf_tensor order = wf_argsort(x, axis, true);
    if (index) *index = order;
    if (!wf_ok(order)) return order;
    const int64_t n = wf_dim(x, axis);
    if (k < 0 || k > n) {
        const wf_tensor poison =
            wf_graph_fail(x.graph, "topk: k = %lld, but axis %d has extent %lld", (long long)k,
                          axis, (long long)n);
        if (index) *index = poison;
        return poison;
    }
    const wf_tensor best = wf_slice(order, axis, 0, k, 1);
    if (index) *index = best;
    return wf_take_along(x, best, axis);
}
