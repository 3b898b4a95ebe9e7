/* Animated GIFs of clips: panels in a grid, each with a caption above it.
 * Same input, same bytes. Source: GIF89a specification; written through giflib. */
#ifndef MOVING_MNIST_GIF_H
#define MOVING_MNIST_GIF_H

#include "nn/nn.h"

typedef struct gif_panel {
    const float *image;  /* (size, size), 0 black to 1 white, clamped; NaN is black */
    const char *caption; /* "Prediction t = 7": ASCII, cut to the panel's width; NULL: none */
} gif_panel;

typedef struct gif_movie {
    int frames, rows, columns;
    int size;               /* pixels of a panel's side before scaling */
    int scale;              /* 8: 32 becomes 256; bilinear, as cv2.resize does it */
    int delay_cs;           /* hundredths of a second a frame is shown; 0: 30 */
    const gif_panel *panel; /* (frames, rows, columns) */
} gif_movie;

/* Writes the movie, which loops forever, atomically to `path`.
 * Errors   WF_ARGUMENT for extents below 1 or a picture of more than 65535 pixels a side;
 *          WF_OUTPUT, WF_MEMORY. */
wf_status gif_write(const char *path, const gif_movie *movie);

#endif
