/* What the operations with integer operands share: dtype rules, and sums in the element's type. */
#include "tensor/index.h"

bool wf_infer_index(wf_infer *q, wf_dtype t) {
    if (t == WF_I32 || t == WF_I64) return true;
    return wf_infer_fail(q, "the index is %s; cast it to i32 or i64", wf_dtype_name(t));
}

bool wf_infer_summed(wf_infer *q, wf_dtype t) {
    if (t == WF_F32 || t == WF_F64 || t == WF_I32 || t == WF_I64) return true;
    return wf_infer_fail(q, "%s has no addition; cast to f32, f64, i32 or i64", wf_dtype_name(t));
}

/* Integers are added without sign, where wrapping is defined. */
void wf_accumulate(wf_dtype t, void *to, const void *from) {
    switch (t) {
    case WF_F32: *(float *)to += *(const float *)from; break;
    case WF_F64: *(double *)to += *(const double *)from; break;
    case WF_I32: *(uint32_t *)to += *(const uint32_t *)from; break;
    case WF_I64: *(uint64_t *)to += *(const uint64_t *)from; break;
    default: break;
    }
}
