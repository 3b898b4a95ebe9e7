/* How well a network writes clips, in nats per frame. */
#ifndef MODELS_SRIVASTAVA2015_MEASURE_H
#define MODELS_SRIVASTAVA2015_MEASURE_H

#include "models/moving_mnist/clips.h"
#include "models/srivastava2015/model.h"

typedef struct nats {
    double reconstruction, prediction; /* NaN for a decoder that is not there */
} nats;

/* The sum over the decoders that are there. */
double nats_sum(nats v);

/* The most clips, up to `most`, that n clips are whole batches of. */
int64_t measure_batch(int64_t n, int64_t most);

/* Means over clips [first, first + n), n a multiple of the program's batch. */
wf_status measure(nats *out, const srivastava_program *s, const clips *c, int64_t first, int64_t n);

/* What a picture without movement can have at best: at every pixel its mean over all frames of
 * clips [first, first + n). */
wf_status measure_still(double *out, const clips *c, int64_t first, int64_t n);

#endif
