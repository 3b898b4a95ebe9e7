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
void wf_pool_print(const void *attr, char *buf, size_t size);

/* Checks attributes against x; sets y's shape. */
bool wf_pool_shape(wf_infer *q, const wf_type *x, wf_shape *y);

/* x the pooled array, y the windows' array (for an adjoint, the operand). */
wf_pool wf_pool_make(const void *attr, const wf_array *x, const wf_array *y);

/* The i-th sample of an operation on x alone; false past the last. */
bool wf_pool_sample(wf_sampler *s, int i, wf_tensor *x, wf_pool_opt *o);

/* Rows (image, two outer spatial axes) of a side, and pieces of a threaded run over them. */
int64_t wf_pool_rows(const wf_pool *p, const int64_t extent[3]);
int64_t wf_pool_pieces(const wf_pool *p, const int64_t extent[3]);

#endif
