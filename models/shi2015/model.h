/* The encoder-forecaster ConvLSTM network of Shi et al., "Convolutional LSTM network: a machine
 * learning approach for precipitation nowcasting", NIPS 2015, arXiv:1506.04214, on moving digits:
 *
 *   frames 64x64, cut into patches of 4x4: (T, N, 16, 16, 16)
 *   encoder     ConvLSTM layers over the input frames
 *   forecaster  as many layers, each from the last state of its encoder; the first has no input
 *   output      the outputs of all forecaster layers, concatenated, through a 1x1 convolution
 *   loss        binary cross entropy, summed over the pixels and frames of a sequence
 *
 * The paper's equations have peepholes that are maps; the parameter counts of its table come out
 * exactly with one number a channel (tests/test_model_shi2015.c). Both can be had. */
#ifndef MODELS_SHI2015_MODEL_H
#define MODELS_SHI2015_MODEL_H

#include "nn/nn.h"

enum { SHI_LAYERS = 8, SHI_PATCH = 4 };

typedef struct shi_opt {
    int layers;
    int64_t hidden[SHI_LAYERS];       /* (layers) channels */
    int32_t kernel_input, kernel;     /* input to state, state to state: odd */
    bool shared_peephole;             /* one number a channel, not maps */
    int64_t seen, predicted, batch, side; /* frames; side is a multiple of SHI_PATCH */
    wf_dtype dtype;
} shi_opt;

/* Frames seen (T, N, H, W, 1) -> logits of the frames after them (o.predicted, N, H, W, 1). */
wf_tensor shi2015(wf_params *p, wf_tensor x, const shi_opt *o);

/* The network on an input "clip" (seen + predicted, N, H, W, 1), in graph g: probabilities of its
 * last frames, named y, and the loss, cross entropy in nats a sequence, named loss. */
typedef struct shi_graph {
    wf_tensor y, loss;
} shi_graph;
shi_graph shi_write(wf_graph *g, wf_params *p, const shi_opt *o);

/* Programs. Training: output loss and grad_norm, input lr. Measuring: y and loss. */
wf_status shi_trainer(wf_program **out, wf_params *p, const shi_opt *o, double clip,
                      wf_compile_opt c);
wf_status shi_predictor(wf_program **out, wf_params *p, const shi_opt *o, wf_compile_opt c);

#endif
