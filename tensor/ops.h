/* Every operation, as functions that append one node (or a few) to the graph of their operands.
 *
 * Conventions
 *   - Operands of one call are of one graph and, unless said otherwise, of one dtype. Elementwise
 *     operations broadcast as NumPy does.
 *   - Axes may be negative (counted from the end). Images are (N, H, W, C), filters (O, KH, KW, I),
 *     sequences (T, N, ...).
 *   - Where `axes`, n_axes is asked for, n_axes 0 means all axes.
 *   - Errors: poison, and the graph's message, if shapes, dtypes or attributes do not fit.
 *   - Gradient: with respect to every real operand, unless said otherwise. */
#ifndef WEFT_OPS_H
#define WEFT_OPS_H

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- elementwise: one row each in tensor/ops.def (grep the bare name there) ---------------------
 * wf_add(a, b), wf_sigmoid(a), wf_select(cond, a, b), ... */
#define WF_EW1(name, ...) WF_API wf_tensor wf_##name(wf_tensor a);
#define WF_EW2(name, ...) WF_API wf_tensor wf_##name(wf_tensor a, wf_tensor b);
#define WF_EW3(name, ...) WF_API wf_tensor wf_##name(wf_tensor a, wf_tensor b, wf_tensor c);
#include "tensor/ops.def"
#undef WF_EW1
#undef WF_EW2
#undef WF_EW3

/* The value converted to dtype; round to nearest even, integers saturate, bool is x != 0. */
WF_API wf_tensor wf_cast(wf_tensor x, wf_dtype dtype);
/* Convenience: scalar operands of x's dtype. */
WF_API wf_tensor wf_add_scalar(wf_tensor x, double s);
WF_API wf_tensor wf_mul_scalar(wf_tensor x, double s);
/* x_0 + x_1 + ... + x_(n-1), same shapes, summed in this order. */
WF_API wf_tensor wf_add_n(const wf_tensor *x, int n);

/* --- reductions (out of the axes; keepdims keeps them with extent 1) -------------------------- */
typedef struct wf_reduce_opt {
    int n_axes;                /* 0: all axes */
    int32_t axes[WF_MAX_RANK]; /* distinct */
    bool keepdims;
} wf_reduce_opt;
/* Of bf16 the results are f32. */
WF_API wf_tensor wf_sum(wf_tensor x, wf_reduce_opt o);  /* empty: 0 */
WF_API wf_tensor wf_mean(wf_tensor x, wf_reduce_opt o); /* empty: NaN */
WF_API wf_tensor wf_var(wf_tensor x, wf_reduce_opt o);  /* biased: divides by n */
WF_API wf_tensor wf_max(wf_tensor x, wf_reduce_opt o);  /* ties share the gradient; empty: -inf */
WF_API wf_tensor wf_min(wf_tensor x, wf_reduce_opt o);  /* empty: +inf */
WF_API wf_tensor wf_prod(wf_tensor x, wf_reduce_opt o); /* empty: 1 */
/* Mean and biased variance in one pass: (2, reduced shape), [0] the mean, [1] the variance.
 * Partials (count, mean, M2) merge in index order (Chan, Golub, LeVeque 1979). */
WF_API wf_tensor wf_moments(wf_tensor x, wf_reduce_opt o);
WF_API wf_tensor wf_argmax(wf_tensor x, int axis); /* i64; first of equals; NaN wins; no gradient */
WF_API wf_tensor wf_cumsum(wf_tensor x, int axis);
/* Sum down to `shape`, to which x's shape must be broadcastable: the adjoint of broadcasting. */
WF_API wf_tensor wf_sum_to(wf_tensor x, wf_shape shape);

/* --- views and placement ---------------------------------------------------------------------- */
WF_API wf_tensor wf_reshape(wf_tensor x, wf_shape shape); /* one extent may be -1 */
WF_API wf_tensor wf_permute(wf_tensor x, const int *perm); /* (rank): out axis i is x's perm[i] */
WF_API wf_tensor wf_transpose(wf_tensor x, int a, int b);
WF_API wf_tensor wf_expand(wf_tensor x, wf_shape shape); /* broadcast to shape */
/* out[.., i, ..] = x[.., first + i step, ..], i in [0, n); step may be negative, not 0. */
WF_API wf_tensor wf_slice(wf_tensor x, int axis, int64_t first, int64_t n, int64_t step);
WF_API wf_tensor wf_index(wf_tensor x, int axis, int64_t i); /* slice of one, axis removed */
WF_API wf_tensor wf_flip(wf_tensor x, int axis);
/* Zeros around: out extent = before + (n - 1) step + 1 + after (0 + before + after if n is 0), x's
 * element i at before + i step; step >= 1; before, after >= 0. Adjoint of slice. */
WF_API wf_tensor wf_pad(wf_tensor x, int axis, int64_t before, int64_t after, int64_t step);
WF_API wf_tensor wf_concat(const wf_tensor *x, int n, int axis);
WF_API wf_tensor wf_stack(const wf_tensor *x, int n, int axis); /* new axis of extent n */
/* n equal parts along axis, into out[0..n). */
WF_API void wf_split(wf_tensor x, int n, int axis, wf_tensor *out);

/* --- indices ---------------------------------------------------------------------------------- */
/* out = x with axis replaced by index's shape: out[a.., i.., b..] = x[a.., index[i..], b..].
 * index i32 or i64; an index outside [0, extent) reads 0 (and adds nothing in the gradient). */
WF_API wf_tensor wf_gather(wf_tensor x, wf_tensor index, int axis);
/* out = x; out[a.., index[i..], b..] += u[a.., i.., b..], in index order. Adjoint of gather. */
WF_API wf_tensor wf_scatter_add(wf_tensor x, wf_tensor index, wf_tensor u, int axis);
/* out[.., c] = 1 where c = index[..], else 0; dtype real. */
WF_API wf_tensor wf_one_hot(wf_tensor index, int64_t classes, wf_dtype dtype);
/* i64 order along axis, stable; descending puts NaN first, ascending last. No gradient. */
WF_API wf_tensor wf_argsort(wf_tensor x, int axis, bool descending);
/* out[a.., i, b..] = x[a.., index[a.., i, b..], b..]: gather with one index for each element. */
WF_API wf_tensor wf_take_along(wf_tensor x, wf_tensor index, int axis);
/* The adjoint: out has extent n along axis; out[.., index[.., i, ..], ..] += u[.., i, ..]. */
WF_API wf_tensor wf_put_along(wf_tensor u, wf_tensor index, int axis, int64_t n);
WF_API wf_tensor wf_sort(wf_tensor x, int axis, bool descending);
/* The k largest along axis, descending; their indices (i64) in *index unless NULL. */
WF_API wf_tensor wf_topk(wf_tensor x, int64_t k, int axis, wf_tensor *index);

/* --- made from nothing ------------------------------------------------------------------------ */
WF_API wf_tensor wf_full(wf_graph *g, wf_dtype dtype, wf_shape shape, double value);
WF_API wf_tensor wf_zeros_like(wf_tensor x);
WF_API wf_tensor wf_ones_like(wf_tensor x);
WF_API wf_tensor wf_arange(wf_graph *g, wf_dtype dtype, double first, double step, int64_t n);
WF_API wf_tensor wf_eye(wf_graph *g, wf_dtype dtype, int64_t rows, int64_t cols);
/* bool (rows, cols): true where col - row <= diagonal (lower triangle with diagonal 0). */
WF_API wf_tensor wf_tril_mask(wf_graph *g, int64_t rows, int64_t cols, int64_t diagonal);

/* Random numbers: a function of seed, stream and element index (Philox4x32-10; Salmon et al. 2011),
 * never of threads or of order. `counter` is an i64 scalar, for example the step of training, so
 * that one graph draws new numbers every run; a zeroed handle means 0. No gradient: f32 or f64. */
typedef struct wf_random_opt {
    uint64_t seed, stream;
    wf_dtype dtype; /* F32 (0) or F64 */
    wf_tensor counter;
} wf_random_opt;
WF_API wf_tensor wf_uniform(wf_graph *g, wf_shape shape, wf_random_opt o);   /* [0, 1) */
WF_API wf_tensor wf_normal(wf_graph *g, wf_shape shape, wf_random_opt o);    /* Box-Muller */
WF_API wf_tensor wf_bernoulli(wf_graph *g, wf_shape shape, double p, wf_random_opt o); /* 0 or 1 */

/* The value of x, through which no gradient flows. */
WF_API wf_tensor wf_stop_gradient(wf_tensor x);

/* --- sums of products (one operation: tensor/op_contract.c) ----------------------------------- */
/* a (.., M, K) times b (.., K, N) to (.., M, N); leading axes broadcast; rank 1 as in NumPy. */
WF_API wf_tensor wf_matmul(wf_tensor a, wf_tensor b);
/* einsum("bij,bjk->bik", a, b): letters, one or two operands (n = 1 or 2), explicit or implicit
 * output, no ellipsis. Repeated letters in one operand take the diagonal. */
WF_API wf_tensor wf_einsum(const char *spec, const wf_tensor *x, int n);

/* Convolution (cross-correlation) over 1 to 3 spatial axes, zero padded. Arrays are per spatial
 * axis, outermost first; zeros mean stride 1, dilation 1, pad 0, groups 1; pad is symmetric unless
 * pad_after is given (use_pad_after).
 *   x (N, S.., C)   w (O, K.., C / groups)   ->  (N, S'.., O),
 *   S' = (S + pad + pad_after - dilation (K - 1) - 1) / stride + 1
 *   y[n, s, o] = sum over k, c of x[n, s stride + k dilation - pad, group(o) C/groups + c] w[o, k,
 *   c]
 * Source: Dumoulin & Visin, arXiv:1603.07285. */
typedef struct wf_conv_opt {
    int32_t stride[3], dilation[3], pad[3], pad_after[3];
    bool use_pad_after;
    int32_t groups;
} wf_conv_opt;
WF_API wf_tensor wf_conv(wf_tensor x, wf_tensor w, wf_conv_opt o);
/* The adjoint of wf_conv in x: x (N, S.., O), w (O, K.., C / groups) -> (N, S'.., C), with
 * S' = (S - 1) stride - pad - pad_after + dilation (K - 1) + 1 + out_pad. */
WF_API wf_tensor wf_conv_transpose(wf_tensor x, wf_tensor w, wf_conv_opt o, const int32_t *out_pad);

/* Pooling windows over the spatial axes of x (N, S.., C), 1 to 3 of them. stride 0 means = kernel.
 * max pads with -inf, its gradient goes to the first maximum of a window; average divides by the
 * number of elements inside x (count_pad: by the window size). */
typedef struct wf_pool_opt {
    int32_t kernel[3], stride[3], pad[3];
    bool count_pad;
} wf_pool_opt;
WF_API wf_tensor wf_max_pool(wf_tensor x, wf_pool_opt o);
WF_API wf_tensor wf_avg_pool(wf_tensor x, wf_pool_opt o);
/* x (N, H, W, C) -> (N, h, w, C), bilinear, half-pixel centres (PyTorch align_corners=False). */
WF_API wf_tensor wf_resize(wf_tensor x, int64_t h, int64_t w);

/* --- compositions ----------------------------------------------------------------------------- */
WF_API wf_tensor wf_softmax(wf_tensor x, int axis);
WF_API wf_tensor wf_log_softmax(wf_tensor x, int axis);
WF_API wf_tensor wf_logsumexp(wf_tensor x, int axis, bool keepdims);

#ifdef __cplusplus
}
#endif
#endif
