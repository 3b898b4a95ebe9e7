/* A small GPT over characters: a decoder-only transformer with layer norms before the blocks
 * (Radford et al. 2019, Language models are unsupervised multitask learners, GPT-2). */
#ifndef CHAR_GPT_MODEL_H
#define CHAR_GPT_MODEL_H

#include "nn/nn.h"

typedef struct gpt_size {
    int64_t symbols; /* different characters */
    int64_t context; /* that a prediction sees at most */
    int64_t width, heads, layers;
    wf_dtype dtype;  /* F32; F64 for tests */
} gpt_size;

/* index i64 (T, N), T <= context -> logits (T, N, symbols): row t predicts the character after t,
 * from those up to t. */
wf_tensor gpt_logits(wf_params *p, wf_tensor index, gpt_size s);

/* Nats a character over index and target, both i64 (T, N). */
wf_tensor gpt_loss(wf_params *p, wf_tensor index, wf_tensor target, gpt_size s);

/* AdamW as GPT-2's trainings have it: weight decay for matrices alone, gradients clipped to norm 1;
 * the rate is the program's input "lr". Returns the norm before clipping. */
wf_tensor gpt_optimizer(wf_params *p, wf_tensor loss);

#endif
