/* Panels in a grid, each with a caption above it, as a picture of palette indices: what GIF and PNG
 * files of clips are made from. Same input, same pixels. */
#ifndef MOVING_MNIST_PICTURE_H
#define MOVING_MNIST_PICTURE_H

#include "nn/nn.h"

typedef struct picture_panel {
    const float *image;  /* (size, size), 0 black to 1 white, clamped; NaN is black */
    const char *caption; /* "Prediction t = 7": ASCII, cut to the panel's width; NULL: none */
    int tint;            /* colour of the caption: 0 amber, 1 cyan */
} picture_panel;

typedef struct picture {
    int frames, rows, columns;
    int size;           /* pixels of a panel's side before scaling */
    int scale;          /* 8: 32 becomes 256; bilinear, as cv2.resize does it */
    int delay_cs;       /* of an animation: hundredths of a second a frame is shown; 0: 30 */
    const picture_panel *panel; /* (frames, rows, columns) */
} picture;

#define PICTURE_COLOURS 128 /* a power of two */

typedef struct picture_colour {
    uint8_t r, g, b;
} picture_colour;
void picture_palette(picture_colour colour[PICTURE_COLOURS]);

/* Room for two pictures, one being composed and the one before it. */
typedef struct canvas {
    int width, height;
    int side, strip, zoom; /* of a scaled panel, height of a caption strip, size of a dot */
    uint8_t *now, *before; /* (height, width) */
    float *row;            /* (2, side): two source rows, widened */
} canvas;

/* Errors   WF_ARGUMENT, with `path` in the message, for extents below 1 or a picture of more than
 *          65535 pixels a side; WF_MEMORY. Closing is due even after an error. */
wf_status canvas_open(canvas *c, const picture *p, const char *path);
void canvas_close(canvas *c);

/* Frame t into c->now; what was there goes to c->before. */
void canvas_compose(canvas *c, const picture *p, int frame);

#endif
