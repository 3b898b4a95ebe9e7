/* Pictures of predicted frames beside the true ones, of any model of clips. */
#ifndef MOVING_MNIST_COMPARISON_H
#define MOVING_MNIST_COMPARISON_H

#include "models/moving_mnist/picture.h"

typedef struct comparison {
    const float *truth, *predicted; /* (frames, clips, size, size) */
    int64_t frames, clips, size;
    int64_t first; /* the number that the first frame's caption has */
} comparison;

/* An animation of one clip: truth, prediction. Errors: those of gif_write; WF_MEMORY. */
wf_status comparison_gif(const comparison *c, int64_t clip, const char *path, int scale);

/* A sheet of all clips: a column a frame, two rows a clip. Errors: those of png_write;
 * WF_MEMORY. */
wf_status comparison_png(const comparison *c, const char *path, int scale);

#endif
