/* A few clips with what a network predicts of them, as pictures: an animation, prediction | truth,
 * a row a clip; a contact sheet, a column a frame. */
#ifndef MODELS_CONVLSTM_SAMPLES_H
#define MODELS_CONVLSTM_SAMPLES_H

#include "models/convlstm/model.h"
#include "models/moving_mnist/clips.h"

/* A predictor that stays, for pictures after every epoch. */
typedef struct samples {
    convlstm_program program; /* batch: the clips */
    float *first;             /* (N, H, W): frame 0 */
    float *truth;             /* (T, N, H, W, 1): frames 1 .. T */
    int64_t rollout;          /* of the last samples_predict */
} samples;

/* Takes clips index[0 .. size.batch) (NULL: the first ones) of c, which is not needed afterwards;
 * the parameters are read at each prediction. Closing is due even after an error. */
wf_status samples_open(samples *s, wf_params *p, convlstm_size size, const clips *c,
                       const int64_t *index, wf_compile_opt o);
void samples_close(samples *s);

/* Predicts every frame from the true frames before it; rollout K > 0: the last K frames from the
 * network's own predictions since frame T - K, K runs in all. K is less than the frames. */
wf_status samples_predict(samples *s, int64_t rollout);

/* Pictures of the last prediction; scale: pixels of a pixel. Errors: WF_OUTPUT, WF_MEMORY,
 * WF_ARGUMENT. */
wf_status samples_gif(const samples *s, const char *path, int scale);
wf_status samples_png(const samples *s, const char *path, int scale);

#endif
