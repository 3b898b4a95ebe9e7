/* Operations without operands: constants by formula, and random numbers. Their dtype and shape are
 * attributes, and their constructors take the graph. */
#ifndef WEFT_SOURCES_H
#define WEFT_SOURCES_H

#include "tensor/op.h"

typedef struct wf_full_attr {
    wf_dtype dtype;
    wf_shape shape;
    double value;
} wf_full_attr;

typedef struct wf_random_attr {
    uint64_t seed, stream;
    double p; /* bernoulli: the probability of 1; else 0 */
    wf_dtype dtype;
    wf_shape shape;
} wf_random_attr;

extern const wf_op wf_op_full, wf_op_arange, wf_op_eye, wf_op_tril_mask;
extern const wf_op wf_op_uniform, wf_op_normal, wf_op_bernoulli;

#endif
