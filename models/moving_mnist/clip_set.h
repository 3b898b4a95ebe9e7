/* Clips cut into two parts: a source for the trainer, and clips that are kept to measure on.
 * Programs read them from an input "clip", f32 (T, N, S, S, 1), whatever they predict from what. */
#ifndef MOVING_MNIST_CLIP_SET_H
#define MOVING_MNIST_CLIP_SET_H

#include "models/moving_mnist/clips.h"

typedef struct clip_set {
    clips *all;
    wf_source *whole, *train; /* all clips; all but the kept ones */
    int64_t first, kept;      /* clips first .. first + kept - 1 are kept: the last ones */
} clip_set;

/* Opens clips and keeps this part of them, rounded down.
 * Errors: those of clips_open; WF_ARGUMENT if no clip is left to train on; WF_MEMORY. Closing is
 * due even then. */
wf_status clip_set_open(clip_set *s, clips_opt o, double part);
void clip_set_close(clip_set *s);

/* The mean of the scalar `output` (f32) of program p over clips first .. first + n - 1, in full
 * batches of the program's input "clip", as many as there are.
 * Errors: WF_ARGUMENT if not even one is full; those of running. */
wf_status clips_mean(const clips *c, int64_t first, int64_t n, wf_program *p, const char *output,
                     double *mean);

#endif
