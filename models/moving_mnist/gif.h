/* Animated GIFs of clips. Same input, same bytes. Source: GIF89a specification; written through
 * giflib. */
#ifndef MOVING_MNIST_GIF_H
#define MOVING_MNIST_GIF_H

#include "models/moving_mnist/picture.h"

/* Writes the movie, which loops forever, atomically to `path`.
 * Errors   those of canvas_open; WF_OUTPUT. */
wf_status gif_write(const char *path, const picture *movie);

#endif
