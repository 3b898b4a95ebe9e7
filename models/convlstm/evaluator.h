/* Measures a network on clips: metrics over the whole set, the notebook's means of running means,
 * and what copying the last frame would have scored. */
#ifndef MODELS_CONVLSTM_EVALUATOR_H
#define MODELS_CONVLSTM_EVALUATOR_H

#include "models/convlstm/model.h"
#include "models/moving_mnist/clips.h"

/* Programs for n clips in batches: one for full batches, one for the last short batch. */
typedef struct evaluator {
    convlstm_program full, rest; /* .program is NULL where n needs none */
    wf_image_metrics *clip;  /* (batch) of one batch */
    float *target;           /* (T, batch, H, W, 1) */
    int64_t n;
} evaluator;

typedef struct evaluation {
    int64_t clips;
    wf_image_scores scores;  /* over all frames of all clips */
    wf_image_scores running; /* (1/n) sum over k of the scores over clips 0 .. k: what the notebook
                                reports on its test set */
    wf_image_scores copy;    /* of the frame before as the prediction; zeros unless asked for */
} evaluation;

/* The parameters are read at each run; those that p lacks are created. size.batch is the largest
 * batch. Closing is due even after an error. */
wf_status evaluator_open(evaluator *e, wf_params *p, convlstm_size size, int64_t n,
                         wf_compile_opt o);

/* Evaluates clips index[0 .. n) in this order (NULL: the clips 0 .. n-1). with_copy: fills
 * out->copy too. */
wf_status evaluator_run(evaluator *e, const clips *c, const int64_t *index, bool with_copy,
                        evaluation *out);

void evaluator_close(evaluator *e);

#endif
