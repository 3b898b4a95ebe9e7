/* The descriptors of the elementwise operations, one a row of tensor/ops.def, so that passes can
 * recognise an operation by its address: node->op == &wf_op_mul. */
#ifndef WEFT_ELEMENTWISE_H
#define WEFT_ELEMENTWISE_H

#include "tensor/op.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WF_EW1(name, ...) extern const wf_op wf_op_##name;
#define WF_EW2 WF_EW1
#define WF_EW3 WF_EW1
#include "tensor/ops.def"
#undef WF_EW1
#undef WF_EW2
#undef WF_EW3

/* Elementwise too, but not rows: the attribute (cast) and the number of inputs (add_n) do not fit.
 * Their `expr` is NULL. add_n is x_0 + x_1 + ... in this order; cast's attribute is
 * wf_cast_attr. */
extern const wf_op wf_op_cast, wf_op_add_n;
typedef struct wf_cast_attr {
    int64_t dtype; /* wf_dtype of the result */
} wf_cast_attr;

/* The rows' descriptors in the order of the table, NULL-terminated. */
extern const wf_op *const wf_ew_ops[];

#ifdef __cplusplus
}
#endif
#endif
