/* What a network reconstructs and predicts of clips, as pictures: past frames from the one decoder,
 * future frames from the other, beside the true ones. */
#ifndef MODELS_SRIVASTAVA2015_PICTURES_H
#define MODELS_SRIVASTAVA2015_PICTURES_H

#include "models/moving_mnist/clips.h"
#include "models/srivastava2015/model.h"

/* An animation, a row a clip: the network's frames | the true ones; a contact sheet, a column a
 * frame. From a predictor whose last run holds what is to be seen. past: frames that it read.
 * Errors: those of gif_write and png_write. */
wf_status pictures_gif(const srivastava_program *s, int64_t past, const char *path, int scale);
wf_status pictures_png(const srivastava_program *s, int64_t past, const char *path, int scale);

#endif
