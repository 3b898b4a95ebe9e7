/* Unsupervised learning of video with fully connected LSTMs: an encoder reads the past frames of a
 * clip, one after another, and its last state is all that the decoders start from.
 *
 *   reconstruction  one decoder writes the past frames again, the last one first
 *   prediction      another writes the frames that follow
 *
 * An autoencoder has the first decoder, a future predictor the second, the composite model both.
 * A conditional decoder reads the frame before the one it writes; its first frame, and all frames
 * of the others, come from the state alone. Frames are vectors of pixels, outputs are logistic, the
 * loss is cross entropy in nats per frame, the sum over decoders.
 *
 * Source: Srivastava, Mansimov, Salakhutdinov 2015, arXiv:1502.04681; the LSTM with diagonal
 * peepholes is theirs. */
#ifndef MODELS_SRIVASTAVA2015_MODEL_H
#define MODELS_SRIVASTAVA2015_MODEL_H

#include "nn/nn.h"

typedef struct srivastava_opt {
    bool reconstructs, predicts; /* which decoders there are: at least one */
    bool conditional;
    bool generates; /* conditional decoders read what they wrote; else the true frame, as the
                       published program does in training and validation */
    int64_t past;   /* frames that the encoder reads */
    int64_t hidden; /* 2048 in the paper */
    int layers;     /* of each LSTM: 1 or 2 in the paper */
} srivastava_opt;

/* Logits of frames (.., N, P); a zero handle for a decoder that is not there. */
typedef struct srivastava_frames {
    wf_tensor reconstruction; /* (past, N, P): [0] is the last frame of the past */
    wf_tensor prediction;     /* (T - past, N, P) */
} srivastava_frames;

/* clips (T, N, P) in [0, 1], T > past; T = past is enough for an autoencoder. */
srivastava_frames srivastava(wf_params *p, wf_tensor clips, srivastava_opt o);

/* Cross entropy of frames and their logits, both (T, N, P): the sum over pixels, mean over frames
 * and clips. */
wf_tensor srivastava_nats(wf_tensor logits, wf_tensor frames);

/* --- the programs made from it --- */

typedef struct srivastava_size {
    int64_t frames, batch, side; /* of clips (frames, batch, side, side, 1) */
} srivastava_size;

/* A compiled program with its buffers. What a program does not have is NULL. */
typedef struct srivastava_program {
    wf_program *program;
    wf_graph *graph;
    srivastava_size size;
    float *clips;                                 /* written before a run */
    const float *reconstruction, *prediction;     /* (.., batch, side, side), as above */
    const float *reconstruction_nats, *prediction_nats;
} srivastava_program;

/* A training step: forward, backward, clip by global norm (0: none), Adam. Inputs "clips" and "lr",
 * outputs "loss", "grad_norm" and the nats. */
wf_status srivastava_trainer(srivastava_program *out, wf_params *p, srivastava_size size,
                             srivastava_opt o, double clip, wf_compile_opt c);

/* Frames as probabilities, and their nats. */
wf_status srivastava_predictor(srivastava_program *out, wf_params *p, srivastava_size size,
                               srivastava_opt o, wf_compile_opt c);

void srivastava_program_free(srivastava_program *s);

#endif
