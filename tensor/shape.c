/* Shapes, broadcasting and strided arrays. All products of extents go through tensor/size.h. */
#include <stdio.h>
#include <string.h>

#include "tensor/op.h"
#include "tensor/size.h"

wf_shape wf_shape_make(int rank, const int64_t *dim) {
    wf_shape s;
    memset(&s, 0, sizeof s);
    s.rank = rank;
    for (int i = 0; i < rank && i < WF_MAX_RANK; i++) s.dim[i] = dim[i];
    return s;
}

int64_t wf_shape_count(const wf_shape *s) {
    if (s->rank < 0 || s->rank > WF_MAX_RANK) return -1;
    bool empty = false;
    for (int i = 0; i < s->rank; i++) {
        if (s->dim[i] < 0) return -1;
        empty |= s->dim[i] == 0;
    }
    if (empty) return 0;
    int64_t n = 1;
    for (int i = 0; i < s->rank; i++)
        if (!wf_mul_i64(n, s->dim[i], &n)) return -1;
    return n;
}

bool wf_type_bytes(wf_dtype dtype, const wf_shape *shape, size_t *bytes) {
    const int64_t n = wf_shape_count(shape);
    size_t b;
    if (n < 0 || !wf_mul_size((size_t)n, wf_dtype_bytes(dtype), &b) || b > PTRDIFF_MAX)
        return false;
    *bytes = b;
    return true;
}

bool wf_shape_equal(const wf_shape *a, const wf_shape *b) {
    if (a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i]) return false;
    return true;
}

const char *wf_shape_text(const wf_shape *s, char *buf, size_t size) {
    size_t n = 0;
    if (size == 0) return buf;
    n += (size_t)snprintf(buf, size, "[");
    for (int i = 0; i < s->rank && i < WF_MAX_RANK && n < size; i++)
        n += (size_t)snprintf(buf + n, size - n, i ? ",%lld" : "%lld", (long long)s->dim[i]);
    if (n < size) snprintf(buf + n, size - n, "]");
    return buf;
}

bool wf_broadcast(const wf_shape *a, const wf_shape *b, wf_shape *out) {
    if (a->rank < 0 || a->rank > WF_MAX_RANK || b->rank < 0 || b->rank > WF_MAX_RANK) return false;
    const int rank = a->rank > b->rank ? a->rank : b->rank;
    wf_shape s = wf_shape_make(0, NULL);
    s.rank = rank;
    for (int i = 0; i < rank; i++) {
        const int ia = i - (rank - a->rank), ib = i - (rank - b->rank);
        const int64_t da = ia < 0 ? 1 : a->dim[ia], db = ib < 0 ? 1 : b->dim[ib];
        if (da != db && da != 1 && db != 1) return false;
        s.dim[i] = da == 1 ? db : da;
    }
    *out = s;
    return true;
}

/* --- arrays ----------------------------------------------------------------------------------- */

wf_array wf_array_dense(void *data, wf_dtype dtype, const wf_shape *shape) {
    wf_array a = {.data = data, .dtype = dtype, .shape = *shape};
    int64_t step = 1;
    for (int i = shape->rank - 1; i >= 0; i--) {
        a.stride[i] = step;
        /* An overflow here means a zero extent elsewhere or a shape that emit has refused. */
        if (!wf_mul_i64(step, shape->dim[i], &step)) step = 0;
    }
    return a;
}

bool wf_array_is_dense(const wf_array *a) {
    if (wf_shape_count(&a->shape) == 0) return true;
    int64_t step = 1;
    for (int i = a->shape.rank - 1; i >= 0; i--) {
        if (a->shape.dim[i] != 1 && a->stride[i] != step) return false;
        step *= a->shape.dim[i]; /* no overflow: the element count fits */
    }
    return true;
}

bool wf_next_index(const wf_shape *s, int64_t idx[WF_MAX_RANK]) {
    for (int i = s->rank - 1; i >= 0; i--) {
        if (++idx[i] < s->dim[i]) return true;
        idx[i] = 0;
    }
    return false;
}

void wf_array_copy(const wf_array *out, const wf_array *in) {
    if (wf_shape_count(&out->shape) <= 0) return;
    const size_t size = wf_dtype_bytes(out->dtype);
    int64_t idx[WF_MAX_RANK] = {0};
    do {
        void *to = wf_at(out, wf_offset(out, idx));
        const void *from = wf_at(in, wf_offset(in, idx));
        if (out->dtype == in->dtype)
            memcpy(to, from, size);
        else
            wf_store(out->dtype, to, wf_load(in->dtype, from));
    } while (wf_next_index(&out->shape, idx));
}

/* --- for shape rules -------------------------------------------------------------------------- */

bool wf_infer_fail(wf_infer *q, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    vsnprintf(q->message, sizeof q->message, format, ap);
    va_end(ap);
    return false;
}

bool wf_infer_axis(wf_infer *q, int64_t axis, int rank, int *out) {
    if (axis < -rank || axis >= rank)
        return wf_infer_fail(q, "axis %lld is outside a value of rank %d", (long long)axis, rank);
    *out = (int)(axis < 0 ? axis + rank : axis);
    return true;
}
