/* Still pictures of clips. Same input, same bytes with one zlib. Source: PNG specification, second
 * edition (W3C 2003). */
#ifndef MOVING_MNIST_PNG_H
#define MOVING_MNIST_PNG_H

#include "models/moving_mnist/picture.h"

/* Writes the first frame of the grid atomically to `path`, with a palette, 8 bits a pixel.
 * Errors   those of canvas_open; WF_OUTPUT. */
wf_status png_write(const char *path, const picture *grid);

#endif
