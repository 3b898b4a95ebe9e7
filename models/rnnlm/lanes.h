/* A text as the data of truncated back-propagation through time: it is cut into as many lanes as a
 * batch has sequences; a batch has the next `steps` symbols of every lane, so that the state that a
 * sequence ends with is the one that it goes on from in the next batch. In order, and epoch by
 * epoch, this is what a wf_trainer with in_order reads. */
#ifndef RNNLM_LANES_H
#define RNNLM_LANES_H

#include "models/rnnlm/corpus.h"

typedef struct lanes {
    const int32_t *id; /* borrowed */
    int64_t count, steps, length; /* lanes, symbols a batch, symbols a lane */
    wf_source *source; /* parts "x", "y": i32 (steps, lanes); y is x a symbol later */
} lanes;

/* Of the training part. *l must stay where it is until it is closed. Errors: WF_INPUT if the text
 * is too short for one batch, WF_MEMORY. */
wf_status lanes_open(lanes *l, const corpus *c, int64_t count, int64_t steps);
void lanes_close(lanes *l);

#endif
