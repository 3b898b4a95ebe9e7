/* Checked arithmetic on sizes: the one place where extents, strides and byte counts are multiplied.
 * Each function returns false and leaves *r alone on overflow. */
#ifndef WEFT_SIZE_H
#define WEFT_SIZE_H

#include "tensor/base.h"

static inline bool wf_mul_i64(int64_t a, int64_t b, int64_t *r) {
    int64_t v;
    if (__builtin_mul_overflow(a, b, &v)) return false;
    *r = v;
    return true;
}

static inline bool wf_add_i64(int64_t a, int64_t b, int64_t *r) {
    int64_t v;
    if (__builtin_add_overflow(a, b, &v)) return false;
    *r = v;
    return true;
}

static inline bool wf_mul_size(size_t a, size_t b, size_t *r) {
    size_t v;
    if (__builtin_mul_overflow(a, b, &v)) return false;
    *r = v;
    return true;
}

static inline bool wf_add_size(size_t a, size_t b, size_t *r) {
    size_t v;
    if (__builtin_add_overflow(a, b, &v)) return false;
    *r = v;
    return true;
}

/* Bytes of a dense array; false on overflow, a negative extent, a bad rank, or beyond
 * PTRDIFF_MAX. */
bool wf_type_bytes(wf_dtype dtype, const wf_shape *shape, size_t *bytes);

/* a rounded up to a multiple of `to` (a power of two). */
static inline bool wf_align_size(size_t a, size_t to, size_t *r) {
    size_t v;
    if (!wf_add_size(a, to - 1, &v)) return false;
    *r = v & ~(to - 1);
    return true;
}

#endif
