/* The next-frame predictor: three ConvLSTM layers with batch norm between them, and a ConvLSTM with
 * one hidden channel as the output layer. From the frames 0 .. T-1 it gives the frames 1 .. T, each
 * from those before it.
 *
 * Sources: Shi et al. 2015, arXiv:1506.04214 (the cell; here without peepholes and with relu for
 * tanh); reshalfahsi, next-frame-prediction, 2024, "the notebook" (this network, its training step,
 * the names of its parameters). */
#ifndef MODELS_CONVLSTM_MODEL_H
#define MODELS_CONVLSTM_MODEL_H

#include "nn/nn.h"

typedef struct convlstm_opt {
    int64_t hidden;  /* channels of the inner layers: 64 in the notebook */
    bool training;   /* batch norm by the batch's statistics, running statistics updated */
    bool cumulative; /* running statistics are plain means over batches */
} convlstm_opt;

/* x (T, N, H, W, 1) in [0, 1] -> y (T, N, H, W, 1) >= 0: y[t] predicts the frame after x[t]. */
wf_tensor convlstm(wf_params *p, wf_tensor x, convlstm_opt o);

/* --- the programs made from it --- */

typedef struct convlstm_size {
    int64_t frames; /* T: frames of a clip less one */
    int64_t batch, height, width, hidden;
} convlstm_size;

/* A compiled program with its buffers. What a program does not have is NULL. */
typedef struct convlstm_program {
    wf_program *program;
    wf_graph *graph;                 /* that it was compiled from */
    convlstm_size size;
    float *x, *target;               /* (T, N, H, W, 1), written before a run */
    float *lr;                       /* learning rate, written before a run */
    const float *y;                  /* (T, N, H, W, 1) */
    const float *loss, *norm, *mae;  /* mean squared error, gradient norm before the clip */
} convlstm_program;

/* One training step: forward, backward, clip by global norm (clip 0: none), Adam. Has x, target,
 * lr, loss, norm, mae. Parameters that p lacks are created. */
wf_status convlstm_trainer(convlstm_program *out, wf_params *p, convlstm_size size, double clip,
                           wf_compile_opt o);

/* The graph that convlstm_trainer compiles, and its outputs: loss, norm, mae. The caller frees
 * *g. */
enum { CONVLSTM_TRAINER_OUTPUTS = 3 };
wf_status convlstm_training_graph(wf_graph **g, wf_tensor outputs[CONVLSTM_TRAINER_OUTPUTS],
                                  wf_params *p, convlstm_size size, double clip);

/* Prediction with running statistics. Has x, y. */
wf_status convlstm_predictor(convlstm_program *out, wf_params *p, convlstm_size size,
                             wf_compile_opt o);

/* Forward passes that only average batch statistics into the running ones, from the first run after
 * convlstm_forget_statistics on. Has x, target, loss. */
wf_status convlstm_estimator(convlstm_program *out, wf_params *p, convlstm_size size,
                             wf_compile_opt o);
void convlstm_forget_statistics(wf_params *p);

void convlstm_program_free(convlstm_program *c);

/* The hidden channels of the network whose state_dict is in `path`, from the shape of its first
 * weight. Errors: WF_INPUT, WF_FORMAT. */
wf_status convlstm_hidden_of_file(int64_t *hidden, const char *path);

#endif
