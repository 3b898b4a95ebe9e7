/* Weft tensors: graphs, leaves and every operation. The public face of tensor/.
 *
 * A graph is an append-only list of immutable nodes; an operation is a function call that appends
 * one node, with its shape inferred and checked at once; nothing is computed. Errors are sticky: a
 * call that makes no sense returns poison (id 0), the graph keeps the first message, and every call
 * on poison is safe and returns poison. wf_grad and wf_compile then refuse with that message.
 *
 * Lifetimes: a graph owns its nodes; parameters (leaves) are borrowed buffers that outlive it. */
#ifndef WEFT_TENSOR_H
#define WEFT_TENSOR_H

#include "tensor/base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wf_graph wf_graph;
typedef struct wf_op wf_op;

/* A value handle, passed by value. id 0 is poison, so a zeroed handle is an error, never a
 * crash. */
typedef struct wf_tensor {
    wf_graph *graph;
    uint32_t id;
} wf_tensor;

/* --- graph ------------------------------------------------------------------------------------ */

/* A new empty graph; NULL only when memory is out. The caller frees it. Programs compiled from it
 * do not need it any more. A graph is used by one thread at a time. */
WF_API wf_graph *wf_graph_new(void);
WF_API void wf_graph_free(wf_graph *g);

/* WF_OK, or WF_MODEL (WF_MEMORY) with the graph's first message as wf_error(). */
WF_API wf_status wf_graph_status(const wf_graph *g);

/* The graph's first message, "" if none. Owner: the graph. */
WF_API const char *wf_graph_message(const wf_graph *g);

/* Records a mistake in the model (the first one stays) and returns poison of g: for layers. The
 * message is SCOPE/FORMAT; SCOPE: .. if the format begins with ": ", for what no operation says. */
WF_API wf_tensor wf_graph_fail(wf_graph *g, const char *format, ...) WF_PRINTF(2, 3);

/* Names for what follows, nested with "/": wf_scope_push(g, "t%d", 3) ... wf_scope_pop(g).
 * Messages, dumps and profiles carry the path, for example convlstm0/t3/conv. */
WF_API void wf_scope_push(wf_graph *g, const char *format, ...) WF_PRINTF(2, 3);
WF_API void wf_scope_pop(wf_graph *g);

/* Time for memory: values that are computed between begin and end, and that only the gradients of
 * what lies there read later, are not kept for them but computed again when the first gradient
 * reads one - as torch.utils.checkpoint, with the same bits, random values too. What lies outside
 * and is read inside is kept, and so is what is read outside. So a deep model of n blocks, each
 * between a begin and an end, keeps what is between the blocks, and the values of one block:
 *
 *   wf_tensor x = wf_full(g, WF_F32, WF_SHAPE(64, 32), 0.5);
 *   for (int i = 0; i < 8; i++) {
 *       wf_recompute_begin(g);
 *       wf_params_push(p, "block%d", i);
 *       wf_tensor h = wf_tanh(wf_nn_linear(p, "wide", x, (wf_linear_opt){.out = 256}));
 *       x = wf_add(x, wf_nn_linear(p, "narrow", h, (wf_linear_opt){.out = 32}));
 *       wf_params_pop(p);
 *       wf_recompute_end(g);
 *   }
 *   wf_nn_adam(p, wf_mean(wf_square(x), (wf_reduce_opt){0}), (wf_optimizer_opt){0});
 *
 * It is a scope, "recompute0", "recompute1", .. of the graph, and is found by that name, in graphs
 * that were written as text too; within another one it means nothing. wf_program_info tells what
 * is computed again. To keep to a number of bytes instead: wf_compile_opt.memory. */
WF_API void wf_recompute_begin(wf_graph *g);
WF_API void wf_recompute_end(wf_graph *g);

/* --- leaves ----------------------------------------------------------------------------------- */

/* A value that the program's user provides before each run; see wf_data in compiler.h. Names of
 * inputs are unique in a graph. */
WF_API wf_tensor wf_input(wf_graph *g, const char *name, wf_dtype dtype, wf_shape shape);

/* A value that lives in `data` (dense, row-major), which the caller owns and which outlives every
 * program that reads or assigns it. The same data gives the same leaf. */
WF_API wf_tensor wf_leaf(wf_graph *g, const char *name, wf_dtype dtype, wf_shape shape, void *data);

/* The leaf that is bound to `data`, if the graph has one; poison, without a message, if not. */
WF_API wf_tensor wf_leaf_of(wf_graph *g, const void *data);

/* A constant copied into the graph. */
WF_API wf_tensor wf_const(wf_graph *g, wf_dtype dtype, wf_shape shape, const void *data);

/* A scalar constant of the given dtype (rank 0: broadcasts with everything). */
WF_API wf_tensor wf_scalar(wf_graph *g, wf_dtype dtype, double value);

/* --- looking at a value ----------------------------------------------------------------------- */

WF_API bool wf_ok(wf_tensor t); /* a real value: neither poison nor a zeroed handle */
WF_API wf_dtype wf_dtype_of(wf_tensor t);  /* F32 for poison */
WF_API wf_shape wf_shape_of_tensor(wf_tensor t); /* rank 0 for poison */
WF_API int wf_rank(wf_tensor t);
WF_API int64_t wf_dim(wf_tensor t,
                      int axis); /* axis may be negative; 0 if out of range or poison */
WF_API int64_t wf_count(wf_tensor t);
/* Names a value, so that programs and dumps know it by name; returns t. */
WF_API wf_tensor wf_name(wf_tensor t, const char *name);

/* --- effects ---------------------------------------------------------------------------------- */

/* When a program that has this node runs, `leaf` holds `value` (same dtype and shape) afterwards.
 * Readers of the leaf see the old content during the whole run. Two assignments to one leaf are a
 * mistake. Returns the assign node. */
WF_API wf_tensor wf_assign(wf_tensor leaf, wf_tensor value);

#ifdef __cplusplus
}
#endif

#include "tensor/ops.h"
#include "tensor/io.h"
#include "tensor/cfunction.h"
#include "tensor/text.h"
#endif
