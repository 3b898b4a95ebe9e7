/* Values in memory: what evaluators and kernels see. No graph here. */
#ifndef WEFT_ARRAY_H
#define WEFT_ARRAY_H

#include "tensor/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A value in memory. Strides are in elements and may be 0 (broadcast) or negative (flip).
 * `data` points at the element with all indices 0. */
typedef struct wf_array {
    void *data;
    wf_dtype dtype;
    wf_shape shape;
    int64_t stride[WF_MAX_RANK];
} wf_array;

/* Byte address of element `offset` (in elements) of an array. */
static inline void *wf_at(const wf_array *a, int64_t offset) {
    return (char *)a->data + offset * (int64_t)wf_dtype_bytes(a->dtype);
}
static inline double wf_get(const wf_array *a, int64_t offset) {
    return wf_load(a->dtype, wf_at(a, offset));
}
static inline void wf_set(const wf_array *a, int64_t offset, double v) {
    wf_store(a->dtype, wf_at(a, offset), v);
}

/* A dense row-major array over `data`. */
WF_API wf_array wf_array_dense(void *data, wf_dtype dtype, const wf_shape *shape);
WF_API bool wf_array_is_dense(const wf_array *a);

/* out = in, element by element, same shape, any strides, converting dtypes through
 * wf_load/store. */
WF_API void wf_array_copy(const wf_array *out, const wf_array *in);

/* Odometer over a shape: idx starts all 0; returns false after the last index. A shape with a zero
 * extent has no index at all: test wf_shape_count first. */
WF_API bool wf_next_index(const wf_shape *s, int64_t idx[WF_MAX_RANK]);
static inline int64_t wf_offset(const wf_array *a, const int64_t idx[WF_MAX_RANK]) {
    int64_t o = 0;
    for (int i = 0; i < a->shape.rank; i++) o += idx[i] * a->stride[i];
    return o;
}

#ifdef __cplusplus
}
#endif
#endif
