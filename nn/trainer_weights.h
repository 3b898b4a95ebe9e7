/* What a trainer does with all parameters at once. Internal to nn/. */
#ifndef WEFT_TRAINER_WEIGHTS_H
#define WEFT_TRAINER_WEIGHTS_H

#include "nn/nn.h"

/* Exponential moving averages of the trainable parameters and of the running statistics: buffers
 * "average.NAME" of p. After step k (from 1) of d: a = d' a + (1 - d') w with d' = min(d, k / (k +
 * 9)), so that the first steps do not weigh on it. Floating-point parameters only.
 * Source: Polyak and Juditsky 1992; the warm-up as in TensorFlow's ExponentialMovingAverage. */
typedef struct wf_averages wf_averages;
wf_status wf_averages_new(wf_averages **out, wf_params *p, double decay);
void wf_averages_free(wf_averages *a); /* NULL is fine */
void wf_averages_add(wf_averages *a, int64_t step);
void wf_averages_swap(wf_averages *a); /* averages and weights change places */
void wf_averages_reset(wf_averages *a); /* averages become the weights */

/* The name of a trainable parameter that is not finite somewhere; NULL: all are. */
const char *wf_weights_not_finite(const wf_params *p);

/* Optimiser state as before the first step: zeros. */
void wf_optimizer_forget(wf_params *p);

/* A copy of all buffers of p. */
typedef struct wf_snapshot wf_snapshot;
wf_status wf_snapshot_new(wf_snapshot **out, wf_params *p);
void wf_snapshot_free(wf_snapshot *s); /* NULL is fine */
void wf_snapshot_take(wf_snapshot *s);
void wf_snapshot_restore(wf_snapshot *s);

#endif
