/* The network of the Keras example "Next-frame video prediction with convolutional LSTMs" (2021):
 *
 *   ConvLSTM 5x5 - batch norm - ConvLSTM 3x3 - batch norm - ConvLSTM 1x1 - 3-D convolution 3x3x3
 *   relu in the cells; sigmoid and binary cross entropy; Adam
 *
 * Weights start as Keras' (Glorot uniform, orthogonal for the state, zero biases, 1 for the forget
 * gate), batch norm keeps 0.99 of its statistics a step.
 *
 * The example's 3-D convolution is padded on both sides of time: at frame t it also sees the cells'
 * output for frame t + 1, which is made from the frame that is to be predicted. Its loss therefore
 * measures all frames but the last with the answer at hand. causal pads in front only. */
#ifndef MODELS_KERAS_CONVLSTM_MODEL_H
#define MODELS_KERAS_CONVLSTM_MODEL_H

#include "nn/nn.h"

typedef struct keras_opt {
    int64_t hidden, frames, batch, side; /* frames of a clip: one less is seen and predicted */
    bool causal;
    bool training, estimating; /* batch norm by the batch; estimating: statistics are plain means
                                  over the batches since wf_params_fill(.., "*.num_batches_tracked",
                                  0) */
    wf_dtype dtype;
} keras_opt;

/* x (T, N, H, W, 1) -> logits of the frames one later, of the same shape. */
wf_tensor keras_convlstm(wf_params *p, wf_tensor x, const keras_opt *o);

/* The network on an input "clip" (frames, N, H, W, 1) in graph g. */
typedef struct keras_graph {
    wf_tensor loss;      /* binary cross entropy of frames 1 ..; named loss */
    wf_tensor last_loss; /* of the last frame, whose answer no layer has seen; named last_loss */
} keras_graph;
keras_graph keras_write(wf_graph *g, wf_params *p, const keras_opt *o);

/* Programs. Training: loss and grad_norm, input lr. Measuring: loss and last_loss; with
 * o->training and o->estimating it makes the statistics instead. */
wf_status keras_trainer(wf_program **out, wf_params *p, const keras_opt *o, double clip,
                        wf_compile_opt c);
wf_status keras_measurer(wf_program **out, wf_params *p, const keras_opt *o, wf_compile_opt c);

/* Predicts one frame from any number of frames: a program for each number, key (frames), input x
 * (frames, N, H, W, 1), output y (N, H, W, 1), probabilities. */
typedef struct keras_predictor {
    wf_function *function;
    wf_params *params; /* borrowed */
    keras_opt opt;
} keras_predictor;
wf_status keras_predictor_open(keras_predictor *k, wf_params *p, const keras_opt *o,
                               wf_compile_opt c);
void keras_predictor_close(keras_predictor *k);

/* Frames first .. first + n - 1 of clip (frames, N, H, W, 1) into y (n, N, H, W, 1): each from all
 * frames before it, as they are, or with feed_back from those before `first` and predictions. */
wf_status keras_predict(keras_predictor *k, const float *clip, int64_t first, int64_t n,
                        bool feed_back, float *y);

#endif
