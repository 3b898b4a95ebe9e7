/* What max and average pooling share: attributes, shape rule, and the view of any rank as three
 * spatial axes. */
#ifndef WEFT_POOL_H
#define WEFT_POOL_H

#include "tensor/graph.h"
#include "tensor/kernels/pool.h"

/* Entries past the spatial axes of the operand are 0; extent is used by adjoints only: x's spatial
 * extents, which the windows alone do not tell. */
typedef struct wf_pool_attr {
    int64_t extent[3];
    int32_t kernel[3], stride[3], pad[3], count_pad;
} wf_pool_attr;

extern const wf_op wf_op_max_pool, wf_op_max_pool_index, wf_op_avg_pool, wf_op_avg_pool_grad;

/* Canonical attributes for x of this rank: stride 0 becomes the kernel. */
wf_pool_attr wf_pool_attr_make(int rank, const wf_pool_opt *o);

/* Appends `op` over x with canonical attributes; the shape rule refuses bad ones. */
wf_tensor wf_pool_emit(const wf_op *op, wf_tensor x, wf_pool_opt o);
extern const wf_field wf_pool_fields[]; /* "kernel=2,2 stride=2,2" */

/* Checks attributes against x; sets y's shape. */
bool wf_pool_shape(wf_infer *q, const wf_type *x, wf_shape *y);

/* The shape rule of y over x: y has x's dtype. */
bool wf_pool_infer(wf_infer *q);

/* x the pooled array, y the windows' array (for an adjoint, the operand). */
wf_pool wf_pool_make(const void *attr, const wf_array *x, const wf_array *y);

/* Of element (n, i, c) in the side whose strides are `stride`: p->xs or p->ys. */
static inline int64_t wf_pool_offset(const int64_t stride[5], int64_t n, const int64_t i[3],
                                     int64_t c) {
    return n * stride[0] + i[0] * stride[1] + i[1] * stride[2] + i[2] * stride[3] + c * stride[4];
}

/* The i-th sample of an operation on x alone; false past the last. */
bool wf_pool_sample(wf_sampler *s, int i, wf_tensor *x, wf_pool_opt *o);

/* The same, made by a constructor. Poison past the last. */
wf_tensor wf_pool_sample_of(wf_sampler *s, int i, wf_tensor (*make)(wf_tensor, wf_pool_opt));

/* A fast path takes f32 with channels next to each other on both sides. */
bool wf_pool_applicable(const wf_call *c);

/* Rows (image, two outer spatial axes) of a side, and pieces of a threaded run over them. */
int64_t wf_pool_rows(const wf_pool *p, const int64_t extent[3]);
int64_t wf_pool_pieces(const wf_pool *p, const int64_t extent[3]);
int64_t wf_pool_window_pieces(const wf_call *c, int phase); /* of y over x, over the rows of y */

#endif
