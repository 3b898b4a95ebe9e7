/* Operations that address elements by integer operands. An index outside [0, extent) reads 0 and
 * writes nothing: no value of an operand can make them touch foreign memory. */
#ifndef WEFT_INDEX_H
#define WEFT_INDEX_H

#include "tensor/op.h"

extern const wf_op wf_op_gather, wf_op_scatter_add, wf_op_take_along, wf_op_put_along;
extern const wf_op wf_op_one_hot, wf_op_argsort;

/* Element `offset` of an i32 or i64 array, exactly. */
static inline int64_t wf_index_at(const wf_array *a, int64_t offset) {
    const void *p = wf_at(a, offset);
    return a->dtype == WF_I32 ? (int64_t) * (const int32_t *)p : *(const int64_t *)p;
}

/* Refuses an index operand that is neither i32 nor i64, and a sum that is not of f32, f64, i32 or
 * i64. */
bool wf_infer_index(wf_infer *q, wf_dtype t);
bool wf_infer_summed(wf_infer *q, wf_dtype t);

/* *to += *from in type t (f32, f64, i32, i64; integers wrap around). */
void wf_accumulate(wf_dtype t, void *to, const void *from);

#endif
