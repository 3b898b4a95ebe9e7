/* Reverse-mode derivatives, graph to graph. The public face of autograd/.
 *
 * wf_grad appends nodes and nothing else, so gradients are ordinary values: they can be compiled,
 * fused, assigned, and differentiated again. */
#ifndef WEFT_AUTOGRAD_H
#define WEFT_AUTOGRAD_H

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* dx[i] = d y / d x[i] for i in [0, n), by one backward sweep over the graph.
 *   y   f32 or f64, rank 0 or one element
 *   x   any real values of the same graph (leaves or not); y need not depend on them: zeros then
 *   dx  (n) results, each of x[i]'s dtype and shape
 * Nodes that appear are in the scope of the node they differentiate, with "'" appended.
 * Errors: WF_MODEL if the graph is poisoned, y is not a real scalar, or an operation on the path
 * from x to y has no gradient (named with its reason); dx is then poison. */
WF_API wf_status wf_grad(wf_tensor y, const wf_tensor *x, int n, wf_tensor *dx);

/* The same for a y of any shape, seeded with the cotangent g (type of y): g^T dy/dx. */
WF_API wf_status wf_vjp(wf_tensor y, wf_tensor g, const wf_tensor *x, int n, wf_tensor *dx);

/* What wf_grad(y, x, n, ..) would find, for every x and node, without appending nodes and without
 * stopping at the first: each(user, kind, value, text) is called for
 *   REFUSED  a node between x and y whose operation has no gradient (scope, operation, reason)
 *   NONE     an x[i] to which no gradient flows (its name)
 *   UNUSED   an input of the graph that neither y nor an assignment reads (its name)
 * Errors: WF_MODEL with the graph's message; WF_ARGUMENT; WF_MEMORY. What is found is no error. */
typedef enum wf_flow_kind { WF_FLOW_REFUSED, WF_FLOW_NONE, WF_FLOW_UNUSED } wf_flow_kind;
typedef void wf_flow_fn(void *user, wf_flow_kind kind, wf_tensor value, const char *text);
WF_API wf_status wf_grad_flow(wf_tensor y, const wf_tensor *x, int n, wf_flow_fn *each, void *user);

/* Checks wf_grad of y (a real scalar, f64 recommended) against central differences at the point
 * where the leaves x stand now: |difference| <= atol + rtol |numeric|.
 *   x   leaves bound to data (wf_leaf, f32 or f64); the data is perturbed and restored
 *   o.direction  false: every element of every x. true: one random direction over all x at once
 *                (two evaluations however big the graph is)
 * worst (may be NULL): the largest |difference| / (atol + rtol |numeric|), <= 1 when it passes.
 * Returns WF_OK, or WF_MODEL with the worst element as wf_error(). Evaluates by the reference
 * evaluator, so it needs no compiler. Inputs (wf_input) are not allowed on the path. */
typedef struct wf_gradcheck_opt {
    double eps, atol, rtol; /* 0: 1e-6, 1e-5, 1e-3 (f64) */
    bool direction;
    uint64_t seed;          /* of the direction */
} wf_gradcheck_opt;
WF_API wf_status wf_gradcheck(wf_tensor y, const wf_tensor *x, int n, wf_gradcheck_opt o,
                              double *worst);

#ifdef __cplusplus
}
#endif
#endif
