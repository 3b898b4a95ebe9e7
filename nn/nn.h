/* Layers, losses, optimisers, schedules, metrics, state_dict files: built from public operations.
 * The one header that a model includes. */
#ifndef WEFT_NN_H
#define WEFT_NN_H

#include "autograd/autograd.h"
#include "compiler/compiler.h"
#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- parameters (nn/params.c) -------------------------------------------------------------------
 * A wf_params owns named buffers: trainable parameters, state (running statistics) and optimiser
 * state. It outlives graphs and programs. Layers create what is missing on first use (initialised
 * from seed and name, so that order does not matter) and find it again by name in later graphs.
 * Names are paths joined by "."; a prefix may be pushed. */
typedef struct wf_params wf_params;
WF_API wf_params *wf_params_new(uint64_t seed); /* NULL: no memory */
WF_API void wf_params_free(wf_params *p);

/* "convlstm0.0" then wf_param(.., "weight", ..) is convlstm0.0.weight. */
WF_API void wf_params_push(wf_params *p, const char *format, ...) WF_PRINTF(2, 3);
WF_API void wf_params_pop(wf_params *p);

/* Initialisers, with their sources in nn/init.c. fan_in/fan_out follow the layout: (O, K.., I). */
typedef enum wf_init_kind {
    WF_INIT_DEFAULT,        /* PyTorch's layers: U(-1/sqrt(fan_in), 1/sqrt(fan_in)) */
    WF_INIT_CONSTANT,
    WF_INIT_UNIFORM,        /* U(-a, a) */
    WF_INIT_NORMAL,         /* N(0, a^2) */
    WF_INIT_KAIMING_UNIFORM,
    WF_INIT_KAIMING_NORMAL,
    WF_INIT_XAVIER_UNIFORM,
    WF_INIT_XAVIER_NORMAL,
    WF_INIT_ORTHOGONAL,
} wf_init_kind;
typedef struct wf_init {
    wf_init_kind kind;
    double a;       /* constant, bound, standard deviation, or gain (0: 1 for gains) */
    int64_t fan_in; /* 0: from the shape */
} wf_init;

typedef enum wf_role { WF_ROLE_PARAM, WF_ROLE_STATE, WF_ROLE_OPTIMIZER } wf_role;

/* How a buffer appears in a state_dict file. PyTorch's layouts exist only there:
 *   CONV   (O, K.., I) here <-> (O, I, K..) in the file
 *   parts  the file holds n_parts tensors, each an equal slice of axis 0, named by part[i] (a full
 *          path that replaces the name), as the notebook's eight convolutions a cell. */
typedef struct wf_param_opt {
    wf_role role;
    wf_dtype dtype;   /* F32 */
    bool conv_layout;
    int n_parts;
    const char *const *part; /* (n_parts) names relative to the pushed prefix; copied */
} wf_param_opt;

/* The leaf of parameter `name` in graph g; created and initialised on first use. Poison if it
 * exists with another dtype or shape. */
WF_API wf_tensor wf_param(wf_graph *g, wf_params *p, const char *name, wf_shape shape, wf_init init,
                          wf_param_opt o);

/* Access to the buffers, in order of creation. */
typedef struct wf_param_info {
    const char *name;
    wf_role role;
    wf_dtype dtype;
    wf_shape shape;
    void *data; /* dense */
} wf_param_info;
WF_API size_t wf_params_count(const wf_params *p);
WF_API wf_param_info wf_params_at(const wf_params *p, size_t i);
WF_API bool wf_params_find(const wf_params *p, const char *name, wf_param_info *out);
WF_API int64_t wf_params_elements(const wf_params *p); /* trainable ones */
/* Leaves of all trainable parameters that graph g uses, in order of creation; returns how many;
 * out may be NULL. */
WF_API int wf_params_leaves(wf_params *p, wf_graph *g, wf_tensor *out, int max);

/* state_dict files: parameters and state (not optimiser state), names and layouts as PyTorch has
 * them. Loading fills parameters that exist, so the graph is built first. It is strict: names,
 * dtypes and shapes must match exactly, and nothing is overwritten unless everything fits.
 * Errors, with file and tensor: WF_INPUT, WF_FORMAT, WF_OUTPUT, WF_MEMORY. */
WF_API wf_status wf_params_save(const wf_params *p, const char *path);
WF_API wf_status wf_params_load(wf_params *p, const char *path);
/* The same layouts for one set of values that lie like the parameters (for example gradients read
 * from a program): value[i] belongs to the i-th trainable parameter. For tests and tools. */
WF_API wf_status wf_params_save_values(const wf_params *p, const float *const *value,
                                       const char *path);

/* --- layers (one file each) ------------------------------------------------------------------- */

/* Every layer takes a name: the scope of its nodes and the prefix of its parameters, which have the
 * dtype of x. Errors: poison and the graph's message; poison in, poison out. */

/* y = x W^T + b: x (.., C), weight (out, C), bias (out) -> (.., out). */
typedef struct wf_linear_opt {
    int64_t out;
    bool no_bias;
    wf_init init;
} wf_linear_opt;
WF_API wf_tensor wf_nn_linear(wf_params *p, const char *name, wf_tensor x, wf_linear_opt o);

/* x (N, S.., C) with 1, 2 or 3 spatial axes; kernel applies to every spatial axis unless kernels is
 * set; same: pad so that the size is kept at stride 1 (odd effective kernels). Zeros mean stride 1,
 * dilation 1, groups 1. weight (out, K.., C / groups), bias (out). */
typedef struct wf_conv_layer_opt {
    int64_t out;
    int32_t kernel, stride, pad, dilation, groups;
    int32_t kernels[3];
    bool same, no_bias;
    wf_init init;
} wf_conv_layer_opt;
WF_API wf_tensor wf_nn_conv1d(wf_params *p, const char *name, wf_tensor x, wf_conv_layer_opt o);
WF_API wf_tensor wf_nn_conv2d(wf_params *p, const char *name, wf_tensor x, wf_conv_layer_opt o);
WF_API wf_tensor wf_nn_conv3d(wf_params *p, const char *name, wf_tensor x, wf_conv_layer_opt o);

typedef wf_tensor wf_activation(wf_tensor x);

/* ConvLSTM over x (T, N, H, W, C) -> hidden sequence (T, N, H, W, hidden).
 *   i = s(Wii*x + bii + Whi*h + bhi), f likewise, g = act(..g), o = s(..o), s = gate activation
 *   c = f c + i g;  h = o act(c);  * is convolution, stride 1, zero padded to keep the size
 * peephole: Hadamard peepholes of Shi et al. 2015 (i, f see c_(t-1), o sees c_t): maps
 *   (H, W, hidden), zero at first, in files PREFIX.Wci, Wcf, Wco as (1, hidden, H, W).
 * Parameters (gates i, f, g, o along axis 0, in files one tensor a gate, names as in the notebook:
 * PREFIX.conv_ii.weight .. PREFIX.conv_ho.bias): both biases kept.
 * h0, c0: initial state, zero handles mean zeros; h, c (may be NULL): the last state. */
typedef struct wf_convlstm_opt {
    int64_t hidden;
    int32_t kernel;
    wf_activation *activation; /* NULL: tanh */
    wf_activation *gate;       /* NULL: sigmoid */
    bool peephole;
    wf_tensor h0, c0;
    wf_tensor *h, *c;
    bool separate; /* write the eight convolutions one by one, as the notebook does: same
                      parameters, same files, same result */
} wf_convlstm_opt;
WF_API wf_tensor wf_nn_convlstm(wf_params *p, const char *name, wf_tensor x, wf_convlstm_opt o);

/* LSTM over x (T, N, C) -> (T, N, hidden); PyTorch's names weight_ih_l0 .. bias_hh_l0, gates i, f,
 * g, o along axis 0. States as for ConvLSTM, (N, hidden). */
typedef struct wf_lstm_opt {
    int64_t hidden;
    wf_tensor h0, c0;
    wf_tensor *h, *c;
} wf_lstm_opt;
WF_API wf_tensor wf_nn_lstm(wf_params *p, const char *name, wf_tensor x, wf_lstm_opt o);

/* Batch norm over the last axis. training: statistics of x over all other axes (biased variance to
 * normalise, unbiased into running_var), running statistics and num_batches_tracked assigned;
 * otherwise the running statistics. cumulative: running statistics are plain means over the batches
 * since num_batches_tracked was 0 (PyTorch's momentum=None). eps 0: 1e-5, momentum 0: 0.1. */
typedef struct wf_batch_norm_opt {
    bool training, cumulative;
    double eps, momentum;
} wf_batch_norm_opt;
WF_API wf_tensor wf_nn_batch_norm(wf_params *p, const char *name, wf_tensor x, wf_batch_norm_opt o);

/* Layer norm over the last n_axes axes (0: 1), biased variance; weight and bias of their shape.
 * eps 0: 1e-5. */
typedef struct wf_layer_norm_opt {
    int n_axes;
    double eps;
    bool no_affine;
} wf_layer_norm_opt;
WF_API wf_tensor wf_nn_layer_norm(wf_params *p, const char *name, wf_tensor x, wf_layer_norm_opt o);
/* weight[index[..], :]: index i32 or i64, weight f32 (rows, cols) from N(0, 1). */
WF_API wf_tensor wf_nn_embedding(wf_params *p, const char *name, wf_tensor index, int64_t rows,
                                 int64_t cols);
/* Inverted dropout: 0 with probability p, else x / (1 - p). Draws new numbers every run: the step
 * counter NAME.step is a buffer of p, of the role of optimiser state, so not in files. */
typedef struct wf_dropout_opt {
    double p;
    bool training;
} wf_dropout_opt;
WF_API wf_tensor wf_nn_dropout(wf_params *p, const char *name, wf_tensor x, wf_dropout_opt o);

/* --- the table of a model (nn/summary.c) ------------------------------------------------------ */

/* A layer: a scope in which trainable parameters are made, with the scopes below it. */
typedef struct wf_layer_info {
    const char *name; /* the scope: "encoder/conv1"; owner: the graph */
    wf_dtype dtype;
    wf_shape shape;   /* of its last value: its output */
    int64_t params;   /* trainable elements */
    double flops;     /* of contractions, as written */
    uint32_t last;    /* node of that value */
} wf_layer_info;
/* The layers of a graph in order of creation: call it before wf_grad or an optimiser adds nodes.
 * *out (*n) is the caller's to free(). Errors: WF_MODEL, WF_MEMORY. */
WF_API wf_status wf_nn_summary(const wf_params *p, wf_graph *g, wf_layer_info **out, size_t *n);

/* --- losses: means over all elements (rows for cross entropy), scalars ------------------------ */
WF_API wf_tensor wf_nn_mse(wf_tensor y, wf_tensor target);
WF_API wf_tensor wf_nn_l1(wf_tensor y, wf_tensor target);
WF_API wf_tensor wf_nn_huber(wf_tensor y, wf_tensor target, double delta);
WF_API wf_tensor wf_nn_bce(wf_tensor y, wf_tensor target); /* y in [0, 1]; logarithms >= -100 */
WF_API wf_tensor wf_nn_bce_with_logits(wf_tensor logits, wf_tensor target);
/* logits (N.., C), index i32 or i64 (N..): mean over rows of -log softmax(logits)[index]. */
WF_API wf_tensor wf_nn_cross_entropy(wf_tensor logits, wf_tensor index);

/* --- optimisers: the update is part of the graph -------------------------------------------------
 * Each differentiates loss with respect to the trainable parameters of p that the graph uses (by
 * the time of the call), clips, and assigns the updates. lr comes from an input named "lr" (f32
 * scalar, written before each run) if o.lr is 0, else it is the constant o.lr. Returns the total
 * gradient norm before clipping, in loss's dtype. State is kept in p as optimizer.KIND.NAME. */
typedef struct wf_optimizer_opt {
    double lr;
    double clip_norm;     /* > 0: g *= min(1, clip_norm / (norm + 1e-6)), over all parameters */
    double clip_value;    /* > 0: elementwise to [-v, v], before clip_norm */
    double momentum;      /* SGD, RMSProp */
    bool nesterov;        /* SGD */
    double beta1, beta2;  /* Adam: 0 means 0.9, 0.999 */
    double eps;           /* 0 means 1e-8 */
    double weight_decay;  /* SGD, Adam, RMSProp: added to the gradient; AdamW: decoupled */
    double alpha;         /* RMSProp: 0 means 0.99 */
    bool centered;        /* RMSProp */
} wf_optimizer_opt;
WF_API wf_tensor wf_nn_sgd(wf_params *p, wf_tensor loss, wf_optimizer_opt o);
WF_API wf_tensor wf_nn_adam(wf_params *p, wf_tensor loss, wf_optimizer_opt o);
WF_API wf_tensor wf_nn_adamw(wf_params *p, wf_tensor loss, wf_optimizer_opt o);
WF_API wf_tensor wf_nn_rmsprop(wf_params *p, wf_tensor loss, wf_optimizer_opt o);

/* --- schedules (plain numbers; nn/schedule.c) ------------------------------------------------- */
typedef enum wf_schedule_kind {
    WF_SCHEDULE_CONSTANT, WF_SCHEDULE_STEP, WF_SCHEDULE_COSINE, WF_SCHEDULE_PLATEAU
} wf_schedule_kind;
typedef struct wf_schedule {
    wf_schedule_kind kind;
    double lr;             /* base */
    int64_t warmup;        /* steps of linear rise */
    int64_t total;         /* COSINE: steps until min_lr */
    double min_lr;
    int64_t step_size;     /* STEP */
    double factor;         /* STEP, PLATEAU: 0 means 0.1 */
    int64_t patience;      /* PLATEAU */
    double threshold;      /* PLATEAU, relative: 0 means 1e-4 */
    /* state of PLATEAU; zero at the start */
    double current, best;
    int64_t bad;
    bool started;
} wf_schedule;
WF_API double wf_schedule_lr(const wf_schedule *s, int64_t step); /* step from 0 */
/* PLATEAU (PyTorch's ReduceLROnPlateau, mode min, relative threshold): one new metric value. */
WF_API void wf_schedule_metric(wf_schedule *s, double value);

/* --- metrics (spec: torchmetrics 1.3.0 semantics; nn/metrics.c) ------------------------------- */

/* Accumulates over images of height h and width w, one channel, values compared in [0, 1].
 *   mae   sum |y - t| / count, y unclamped        loss  mean squared error, unclamped
 *   psnr  10 log10(1 / MSE of clamp(y, 0, 1)) over everything
 *   ssim  mean over images of the mean over wholly inside 11x11 Gaussian windows (sigma 1.5) */
typedef struct wf_image_metrics {
    double squared, squared_clamped, absolute, ssim, ssim_clamped; /* sums */
    int64_t elements, images;
} wf_image_metrics;
WF_API void wf_image_metrics_add(wf_image_metrics *m, const float *y, const float *target,
                                 int64_t images, int64_t h, int64_t w);
WF_API void wf_image_metrics_merge(wf_image_metrics *m, const wf_image_metrics *other);
typedef struct wf_image_scores { double loss, mae, psnr, ssim, ssim_clamped; } wf_image_scores;
WF_API wf_image_scores wf_image_metrics_scores(const wf_image_metrics *m);

#ifdef __cplusplus
}
#endif

#include "nn/checkpoint.h"
#include "nn/source.h"
#include "nn/trainer.h"
#endif
