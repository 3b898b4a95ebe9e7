/* Any C function as an operation, by its signature: no wrapper to write, through libffi.
 *
 *   scalar form  "f32(f32 a, f32 b)": mapped over elements, operands broadcast
 *   array form   "void(f32[] x, f32[] out, i64 n)": called once with dense arrays
 *
 * Types are f32, f64, i32, i64, u8 and bool; `const` is allowed and ignored; parameters of the
 * scalar form need no names. In the array form the array named `out` is the result, the other
 * arrays are the operands, in order. A scalar is filled in by its name:
 *   n        elements of out           n_NAME   elements of array NAME
 *   NAME_0   extent of axis 0 of array NAME (0 .. 7; out_0 too)
 *   any other name of type f32 or f64: an operand of rank 0
 * The function must be pure; the array form may use threads of its own, and is called by one. */
#ifndef WEFT_CFUNCTION_H
#define WEFT_CFUNCTION_H

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wf_cfunction wf_cfunction;
typedef void wf_anyfn(void); /* any function pointer, cast; one from dlsym for example */

typedef struct wf_cfunction_opt {
    /* Array form: the shape of out. Default: the shape of operand `like`. Returns false to
     * refuse. */
    bool (*shape)(void *user, const wf_shape *in, int n_in, wf_shape *out);
    void *user;
    int like;
    /* Gradients: grad[i] is a function whose operands are (x_0 .. x_(n-1), y, g), y the result and
     * g its cotangent, and whose result is the gradient of operand i, of its dtype and shape (array
     * form: register it with .like = i). NULL entry: no gradient flows to operand i. grad NULL: the
     * operation is not differentiable. Borrowed: they live as long as this function. */
    const wf_cfunction *const *grad;
    int n_grad;
    /* Scalar form: the same function as C text in a, b, c, for the compiler to fuse. Optional. */
    const char *expr;
} wf_cfunction_opt;

/* Registers fn under `name`. Errors: WF_ARGUMENT with the position in the signature. Owner: the
 * caller, who frees it after every graph and program that uses it. */
WF_API wf_status wf_cfunction_new(wf_cfunction **out, const char *name, const char *signature,
                                  wf_anyfn *fn, wf_cfunction_opt o);
WF_API void wf_cfunction_free(wf_cfunction *f);

/* y = f(x_0, .., x_(n-1)): one node. Poison if number, dtypes or shapes of operands do not fit. */
WF_API wf_tensor wf_cfunction_call(const wf_cfunction *f, const wf_tensor *x, int n);

/* Its operation, for wf_parse_opt.ops: lives as long as f. NULL for NULL. */
WF_API const wf_op *wf_cfunction_op(const wf_cfunction *f);

#ifdef __cplusplus
}
#endif
#endif
