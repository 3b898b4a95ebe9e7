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
    bool whole;              /* parts are initialised as one tensor, not each for itself */
} wf_param_opt;

/* The leaf of parameter `name` in graph g; created and initialised on first use. Poison if it
 * exists with another dtype or shape. */
WF_API wf_tensor wf_param(wf_graph *g, wf_params *p, const char *name, wf_shape shape, wf_init init,
                          wf_param_opt o);

/* From now on the parameter called `name` (in full) is the one called `as`: one buffer, one leaf,
 * whose gradient is the sum over all uses; tied embeddings share "head.weight" as "embed.weight".
 * Files hold `as` alone, and may hold `name` too when they are read. Layers of one name share all.
 * Errors: WF_ARGUMENT if `name` exists already; WF_MEMORY. */
WF_API wf_status wf_params_share(wf_params *p, const char *name, const char *as);

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

/* Sets every element of the buffers whose names fit a pattern (shell wildcards); returns how many
 * buffers: wf_params_fill(p, "*.carry_*", 0) forgets the states that recurrent layers carry. */
WF_API int64_t wf_params_fill(wf_params *p, const char *pattern, double value);

/* state_dict files: parameters and state (not optimiser state), names and layouts as PyTorch has
 * them. Loading fills parameters that exist, so the graph is built first. It is strict: names,
 * dtypes and shapes must match exactly, and nothing is overwritten unless everything fits.
 * Errors, with file and tensor: WF_INPUT, WF_FORMAT, WF_OUTPUT, WF_MEMORY. */
WF_API wf_status wf_params_save(const wf_params *p, const char *path);
WF_API wf_status wf_params_load(wf_params *p, const char *path);
/* Loads what fits and leaves the rest: for fine-tuning and for files of another model.
 *   only      names of the file to look at, shell wildcards; NULL: all
 *   from, to  a name of the file that starts with `from` is looked for with `to` in its place
 *   each      told of every tensor (may be NULL): name and, for MISMATCHED, types and shapes
 * Counts in *r (may be NULL). MISSING counts tensors of p that no tensor looked at fills,
 * UNEXPECTED those looked at that p has not. Errors: as above, and WF_FORMAT if nothing fits, then
 * nothing is changed. */
typedef enum wf_load_kind {
    WF_LOAD_LOADED, WF_LOAD_MISSING, WF_LOAD_UNEXPECTED, WF_LOAD_MISMATCHED, WF_N_LOAD
} wf_load_kind;
typedef struct wf_load_report { int64_t count[WF_N_LOAD]; } wf_load_report;
typedef struct wf_load_opt {
    const char *only, *from, *to;
    void (*each)(void *user, wf_load_kind kind, const char *name, const char *detail);
    void *user;
} wf_load_opt;
WF_API wf_status wf_params_load_some(wf_params *p, const char *path, wf_load_opt o,
                                     wf_load_report *r);
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
 * set; same: pad so that the size is kept at stride 1 (odd effective kernels); causal: same, but
 * the first spatial axis, as time, is padded in front only, so that step t sees no later one (van
 * den Oord et al., arXiv:1609.03499). Zeros mean stride 1, dilation 1, groups 1. weight
 * (out, K.., C / groups), bias (out). */
typedef struct wf_conv_layer_opt {
    int64_t out;
    int32_t kernel, stride, pad, dilation, groups;
    int32_t kernels[3];
    bool same, causal, no_bias;
    wf_init init, init_bias;
} wf_conv_layer_opt;
WF_API wf_tensor wf_nn_conv1d(wf_params *p, const char *name, wf_tensor x, wf_conv_layer_opt o);
WF_API wf_tensor wf_nn_conv2d(wf_params *p, const char *name, wf_tensor x, wf_conv_layer_opt o);
WF_API wf_tensor wf_nn_conv3d(wf_params *p, const char *name, wf_tensor x, wf_conv_layer_opt o);

/* The adjoint of a convolution, torch.nn.ConvTranspose: x (N, S.., C) -> (N, S'.., out) with
 * S' = (S - 1) stride - 2 pad + dilation (kernel - 1) + 1 + out_pad; weight (C, K.., out / groups).
 * Options as above; same is not one of them. */
typedef struct wf_conv_transpose_opt {
    int64_t out;
    int32_t kernel, stride, pad, out_pad, dilation, groups;
    int32_t kernels[3];
    bool no_bias;
    wf_init init;
} wf_conv_transpose_opt;
WF_API wf_tensor wf_nn_conv_transpose1d(wf_params *p, const char *name, wf_tensor x,
                                        wf_conv_transpose_opt o);
WF_API wf_tensor wf_nn_conv_transpose2d(wf_params *p, const char *name, wf_tensor x,
                                        wf_conv_transpose_opt o);
WF_API wf_tensor wf_nn_conv_transpose3d(wf_params *p, const char *name, wf_tensor x,
                                        wf_conv_transpose_opt o);

/* Square windows over all spatial axes of x (N, S.., C); stride 0 means kernel; the average counts
 * the zeros of the padding, as PyTorch's. For others see wf_max_pool, wf_avg_pool.
 * global: the mean over all spatial axes, (N, C). */
WF_API wf_tensor wf_nn_max_pool(wf_tensor x, int32_t kernel, int32_t stride, int32_t pad);
WF_API wf_tensor wf_nn_avg_pool(wf_tensor x, int32_t kernel, int32_t stride, int32_t pad);
WF_API wf_tensor wf_nn_global_avg_pool(wf_tensor x);

typedef wf_tensor wf_activation(wf_tensor x);

/* Recurrent layers, in all their variants: nn/recurrent.h. */

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
/* y = x / sqrt(mean of x^2 over the last axis + eps) * weight: Zhang and Sennrich,
 * arXiv:1910.07467, torch.nn.RMSNorm. weight (C), ones. eps 0: the epsilon of x's dtype. */
typedef struct wf_rms_norm_opt {
    double eps;
    bool no_affine;
} wf_rms_norm_opt;
WF_API wf_tensor wf_nn_rms_norm(wf_params *p, const char *name, wf_tensor x, wf_rms_norm_opt o);
/* x (N, S.., C): mean and biased variance of each image over S and C / groups neighbouring channels
 * (Wu and He, arXiv:1803.08494); weight and bias (C). Errors: C not divisible by groups. eps 0:
 * 1e-5. */
typedef struct wf_group_norm_opt {
    int64_t groups;
    double eps;
    bool no_affine;
} wf_group_norm_opt;
WF_API wf_tensor wf_nn_group_norm(wf_params *p, const char *name, wf_tensor x, wf_group_norm_opt o);
/* The same for each channel alone (Ulyanov et al., arXiv:1607.08022); weight and bias (C) only if
 * affine, as in PyTorch. */
typedef struct wf_instance_norm_opt {
    double eps;
    bool affine;
} wf_instance_norm_opt;
WF_API wf_tensor wf_nn_instance_norm(wf_params *p, const char *name, wf_tensor x,
                                     wf_instance_norm_opt o);

/* Multi-head attention over sequences (T, N, C), torch.nn.MultiheadAttention (Vaswani et al.,
 * arXiv:1706.03762): for each head, softmax(q k^T / sqrt(C / heads)) v with q = Wq x + bq and k, v
 * from x, or from memory (S, N, M); heads concatenated, then out_proj.
 *   causal    step t sees steps s <= t (needs T = S)
 *   mask      bool (S, N), true where memory (or x) has a step: others get no attention
 *   dropout   of the attention weights, in training
 * Parameters: in_proj_weight (3 C, C), in_proj_bias (3 C), out_proj.weight (C, C), out_proj.bias;
 * q_proj_weight, k_proj_weight, v_proj_weight instead of the first where M is not C. Xavier
 * uniform, biases 0. -> (T, N, C). A step that may see nothing sees all steps alike. */
typedef struct wf_attention_opt {
    int64_t heads; /* 0: 1 */
    wf_tensor memory;
    wf_tensor mask;
    bool causal, no_bias, training;
    double dropout;
} wf_attention_opt;
WF_API wf_tensor wf_nn_attention(wf_params *p, const char *name, wf_tensor x, wf_attention_opt o);
/* weight[index[..], :]: index i32 or i64, weight f32 (rows, cols) from N(0, 1). */
WF_API wf_tensor wf_nn_embedding(wf_params *p, const char *name, wf_tensor index, int64_t rows,
                                 int64_t cols);
/* The same with a dtype: index has none that the weight could take. */
WF_API wf_tensor wf_nn_embedding_of(wf_params *p, const char *name, wf_tensor index, int64_t rows,
                                    int64_t cols, wf_dtype dtype);
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
/* The same as a table, a line a layer and one for all: name, output, parameters, GFLOP.
 * Errors: those of wf_nn_summary; WF_OUTPUT. */
WF_API wf_status wf_nn_summary_print(const wf_params *p, wf_graph *g, FILE *f);

/* --- losses: means over all elements (rows for cross entropy), scalars ------------------------ */
WF_API wf_tensor wf_nn_mse(wf_tensor y, wf_tensor target);
WF_API wf_tensor wf_nn_l1(wf_tensor y, wf_tensor target);
WF_API wf_tensor wf_nn_huber(wf_tensor y, wf_tensor target, double delta);
WF_API wf_tensor wf_nn_bce(wf_tensor y, wf_tensor target); /* y in [0, 1]; logarithms >= -100 */
WF_API wf_tensor wf_nn_bce_with_logits(wf_tensor logits, wf_tensor target);
/* logits (N.., C), index i32 or i64 (N..): mean over rows of -log softmax(logits)[index]. */
WF_API wf_tensor wf_nn_cross_entropy(wf_tensor logits, wf_tensor index);
/* The same with PyTorch's options. smoothing e in [0, 1): the target is 1 - e at index plus e / C
 * everywhere (Szegedy et al., arXiv:1512.00567). ignore: rows whose index is ignore_index count
 * neither in the sum nor among the rows; the loss is 0 if there are no others. */
typedef struct wf_cross_entropy_opt {
    double smoothing;
    bool ignore;
    int64_t ignore_index;
} wf_cross_entropy_opt;
WF_API wf_tensor wf_nn_cross_entropy_with(wf_tensor logits, wf_tensor index,
                                          wf_cross_entropy_opt o);
/* Mean over rows of -logp[index]: logp (N.., C) are logarithms of probabilities. */
WF_API wf_tensor wf_nn_nll(wf_tensor logp, wf_tensor index);
/* Kullback-Leibler divergence of y from target, logp (N.., C) logarithms of probabilities, target
 * probabilities: sum of t (log t - logp), 0 where t = 0, divided by the number of rows (PyTorch's
 * reduction="batchmean", for any number of leading axes). */
WF_API wf_tensor wf_nn_kl(wf_tensor logp, wf_tensor target);
/* d^2 / (2 beta) where |d| < beta, |d| - beta / 2 beyond: huber / beta. beta > 0. */
WF_API wf_tensor wf_nn_smooth_l1(wf_tensor y, wf_tensor target, double beta);
/* Structural similarity of images (N, H, W, C) with values in [0, 1], H, W >= 11: mean over wholly
 * inside 11x11 Gaussian windows (sigma 1.5), as the metric below. The loss is 1 - ssim. Wang et al.
 * 2004. */
WF_API wf_tensor wf_nn_ssim(wf_tensor y, wf_tensor target);

/* The share of rows whose largest logit is at index, in the dtype of logits; no gradient. */
WF_API wf_tensor wf_nn_accuracy(wf_tensor logits, wf_tensor index);

/* --- optimisers: the update is part of the graph -------------------------------------------------
 * Each differentiates loss with respect to the trainable parameters of p that the graph uses (by
 * the time of the call), clips, and assigns the updates. lr comes from an input named "lr" (f32
 * scalar, written before each run) if o.lr is 0, else it is the constant o.lr. Returns the total
 * gradient norm before clipping, in loss's dtype. State is kept in p as optimizer.KIND.NAME. */
/* Parameters whose full name fits a pattern (shell wildcards: "encoder.*", "*.bias"); the first
 * group that fits counts. A pattern that fits no trainable parameter is an error. */
typedef struct wf_param_group {
    const char *pattern;
    double lr;     /* times the learning rate; 0: 1 */
    double decay;  /* weight decay in place of the optimiser's; 0: the optimiser's */
    bool no_decay; /* none, as is usual for biases and norms */
    bool frozen;   /* no gradient, no update, no part in the norm */
} wf_param_group;
typedef struct wf_optimizer_opt {
    double lr;
    double clip_norm;     /* > 0: g *= min(1, clip_norm / (norm + 1e-6)), over all parameters */
    double clip_value;    /* > 0: elementwise to [-v, v], before clip_norm */
    double momentum;      /* SGD, RMSProp */
    bool nesterov;        /* SGD */
    double beta1, beta2;  /* Adam: 0 means 0.9, 0.999; Lion: 0.9, 0.99 */
    double eps;           /* 0 means 1e-8; Adagrad: 1e-10 */
    double weight_decay;  /* SGD, Adam, RMSProp, Adagrad: added to the gradient; AdamW, Lion:
                             decoupled */
    double alpha;         /* RMSProp: 0 means 0.99 */
    bool centered;        /* RMSProp */
    const wf_param_group *group; /* (n_groups) */
    int n_groups;
    double average;       /* > 0: keeps exponential averages of the weights, with this weight on the
                             old value; wf_params_swap_average evaluates and saves with them */
    int accumulate;       /* > 1: updates every accumulate-th run, by the mean of the gradients of
                             these runs: micro batches of a larger batch */
} wf_optimizer_opt;
WF_API wf_tensor wf_nn_sgd(wf_params *p, wf_tensor loss, wf_optimizer_opt o);
WF_API wf_tensor wf_nn_adam(wf_params *p, wf_tensor loss, wf_optimizer_opt o);
WF_API wf_tensor wf_nn_adamw(wf_params *p, wf_tensor loss, wf_optimizer_opt o);
WF_API wf_tensor wf_nn_rmsprop(wf_params *p, wf_tensor loss, wf_optimizer_opt o);
WF_API wf_tensor wf_nn_adagrad(wf_params *p, wf_tensor loss, wf_optimizer_opt o);
WF_API wf_tensor wf_nn_lion(wf_params *p, wf_tensor loss, wf_optimizer_opt o);

/* Exchanges the weights with their averages, so that programs compute with these and files hold
 * them; once more to train on. WF_ARGUMENT if there are none, or no step has been made. */
WF_API wf_status wf_params_swap_average(wf_params *p);

/* --- schedules (plain numbers; nn/schedule.c) ------------------------------------------------- */
typedef enum wf_schedule_kind {
    WF_SCHEDULE_CONSTANT, WF_SCHEDULE_STEP, WF_SCHEDULE_COSINE, WF_SCHEDULE_PLATEAU,
    WF_SCHEDULE_LINEAR,    /* from lr to min_lr in `total` steps */
    WF_SCHEDULE_ONE_CYCLE, /* Smith and Topin, arXiv:1708.07120, torch's OneCycleLR: by cosines from
                              lr / start to lr, then to lr / (start end), in `total` steps */
    WF_SCHEDULE_HALVING    /* from the first metric on that is not `threshold` better than the one
                              before it, the rate is halved at every metric: RNNLM, "newbob" */
} wf_schedule_kind;
typedef struct wf_schedule {
    wf_schedule_kind kind;
    double lr;             /* base */
    int64_t warmup;        /* steps of linear rise, all kinds but ONE_CYCLE */
    int64_t total;         /* COSINE, LINEAR: steps until min_lr, warm-up included; ONE_CYCLE */
    double min_lr;
    int64_t step_size;     /* STEP */
    double factor;         /* STEP, PLATEAU: 0 means 0.1; HALVING: 0 means 0.5 */
    int64_t patience;      /* PLATEAU */
    double threshold;      /* PLATEAU, HALVING, relative: 0 means 1e-4, 3e-3 */
    double start, end;     /* ONE_CYCLE: 0 means 25, 1e4 */
    double rise;           /* ONE_CYCLE, part of the steps: 0 means 0.3 */
    /* state of PLATEAU and HALVING; zero at the start */
    double current, best;
    int64_t bad;
    bool started;
} wf_schedule;
WF_API double wf_schedule_lr(const wf_schedule *s, int64_t step); /* step from 0 */
/* PLATEAU (PyTorch's ReduceLROnPlateau, mode min, relative threshold) and HALVING: one new metric
 * value. */
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

#include "nn/check.h"
#include "nn/recurrent.h"
#include "nn/checkpoint.h"
#include "nn/source.h"
#include "nn/trainer.h"
#endif
