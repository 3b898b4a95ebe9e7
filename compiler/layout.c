/* Values as windows into storage, and views read backwards. */
#include "compiler/plan.h"

#include <string.h>

wf_array wf_value_array(const wf_value *v, const wf_type *type) {
    wf_array a = {.data = (void *)(intptr_t)v->offset, .dtype = type->dtype, .shape = type->shape};
    memcpy(a.stride, v->stride, sizeof a.stride);
    return a;
}

wf_value wf_value_of(uint32_t storage, const wf_array *array) {
    wf_value v = {.storage = storage, .offset = (intptr_t)array->data};
    memcpy(v.stride, array->stride, sizeof v.stride);
    return v;
}

wf_value wf_value_dense(uint32_t storage, const wf_type *type) {
    const wf_array a = wf_array_dense(NULL, type->dtype, &type->shape);
    return wf_value_of(storage, &a);
}

bool wf_value_same(const wf_value *a, const wf_value *b, const wf_shape *shape) {
    if (a->storage != b->storage || a->offset != b->offset) return false;
    for (int i = 0; i < shape->rank; i++)
        if (shape->dim[i] > 1 && a->stride[i] != b->stride[i]) return false;
    return true;
}

/* An axis of a view: extent > 1, its stride in the dense operand, its stride in the slot. */
typedef struct axis {
    int64_t extent, step, to;
} axis;

/* The axes of the view, innermost in the operand first. True if they count through all elements of
 * the operand, each once. */
static bool view_axes(const wf_array *seen, const wf_array *slot, axis *out, int *n) {
    int m = 0;
    for (int i = 0; i < seen->shape.rank; i++) {
        if (seen->shape.dim[i] == 1) continue;
        const axis a = {seen->shape.dim[i], seen->stride[i], slot->stride[i]};
        int k = m++;
        for (; k > 0 && out[k - 1].step > a.step; k--) out[k] = out[k - 1];
        out[k] = a;
    }
    int64_t step = 1;
    for (int k = 0; k < m; k++) {
        if (out[k].step != step) return false;
        step *= out[k].extent;
    }
    *n = m;
    return true;
}

bool wf_view_invert(const wf_array *seen, const wf_array *slot, const wf_type *x, wf_array *out) {
    *out = wf_array_dense(slot->data, x->dtype, &x->shape);
    const int64_t count = wf_shape_count(&x->shape);
    if (count != wf_shape_count(&seen->shape)) return false;
    if (count == 0) return true;
    axis a[WF_MAX_RANK];
    int n = 0, k = 0;
    if (seen->data || !view_axes(seen, slot, a, &n)) return false;
    int64_t used = 1; /* part of axis a[k] that inner axes of x have taken */
    for (int i = x->shape.rank - 1; i >= 0; i--) {
        int64_t left = x->shape.dim[i];
        if (left == 1) continue;
        if (used == a[k].extent) {
            k++;
            used = 1;
        }
        out->stride[i] = a[k].to * used;
        while (left > a[k].extent / used) { /* this axis of x goes on in the next one of the view */
            const int64_t here = a[k].extent / used;
            if (left % here || k + 1 >= n || a[k + 1].to != a[k].to * a[k].extent) return false;
            left /= here;
            used = 1;
            k++;
        }
        if (a[k].extent / used % left) return false;
        used *= left;
    }
    return true;
}

/* Axes that step as one become one. */
static int merged(const wf_array *a, int64_t *dim, int64_t *stride) {
    int n = 0;
    for (int i = 0; i < a->shape.rank; i++) {
        if (a->shape.dim[i] == 1) continue;
        if (n > 0 && stride[n - 1] == a->stride[i] * a->shape.dim[i]) {
            dim[n - 1] *= a->shape.dim[i];
        } else {
            dim[n++] = a->shape.dim[i];
        }
        stride[n - 1] = a->stride[i];
    }
    return n;
}

wf_window wf_window_of(const wf_array *a, int64_t offset, int64_t rows) {
    const int64_t size = (int64_t)wf_dtype_bytes(a->dtype), count = wf_shape_count(&a->shape);
    int64_t dim[WF_MAX_RANK], stride[WF_MAX_RANK];
    int64_t lo = 0, hi = size, all_lo = 0, all_hi = size; /* of row 0; of all rows */
    int64_t left = rows > 0 && count % rows == 0 ? count / rows : 0, step = 0, expect = 0;
    bool even = left > 0, outer = false;
    for (int i = merged(a, dim, stride) - 1; i >= 0; i--) {
        const int64_t d = dim[i], s = stride[i] * size;
        *(s < 0 ? &all_lo : &all_hi) += s * (d - 1);
        if (!even) continue;
        const int64_t inner = left % d == 0 ? d : d % left == 0 ? left : 0;
        even = inner > 0;
        *(s < 0 ? &lo : &hi) += s * (inner - 1);
        left = inner ? left / inner : 1;
        if (inner == d || !even) continue;
        if (outer && s * inner != expect) even = false;
        if (!outer) step = s * inner;
        outer = true;
        expect = s * d;
    }
    if (!even || step < hi - lo) return (wf_window){0, offset + all_lo, offset + all_hi};
    return (wf_window){step, offset + lo, offset + hi};
}
