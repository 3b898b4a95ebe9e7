/* A convolution as benchmarks name it, and as both sides compute it: x (batch, height, width,
 * channels), w (filters, kernel, kernel, channels / groups), y (batch, out, out, filters). */
#ifndef WEFT_BENCH_CONV_SHAPE_H
#define WEFT_BENCH_CONV_SHAPE_H

#include <stdint.h>

typedef struct conv_shape {
    int batch, height, width, channels, filters, kernel, stride, pad, groups;
} conv_shape;

typedef enum conv_direction { CONV_FORWARD, CONV_DATA, CONV_WEIGHT } conv_direction;

static inline int conv_out(const conv_shape *s, int in) {
    return (in + 2 * s->pad - s->kernel) / s->stride + 1;
}

/* Elements of x, w and y. */
static inline int64_t conv_x(const conv_shape *s) {
    return (int64_t)s->batch * s->height * s->width * s->channels;
}
static inline int64_t conv_w(const conv_shape *s) {
    return (int64_t)s->filters * s->kernel * s->kernel * (s->channels / s->groups);
}
static inline int64_t conv_y(const conv_shape *s) {
    return (int64_t)s->batch * conv_out(s, s->height) * conv_out(s, s->width) * s->filters;
}

/* The same in every direction; terms that meet the padding count. */
static inline double conv_flop(const conv_shape *s) {
    return 2.0 * (double)conv_y(s) * s->kernel * s->kernel * (s->channels / s->groups);
}

#endif
