/* The generators of Moving MNIST: two digits bounce in a 64x64 picture.
 *
 *   position in [0, 1]^2 uniform, direction uniform, speed 0.1 a frame
 *   each frame: step first; a coordinate that reaches 0 or 1 is clamped there and its speed turned;
 *   the digit's corner is at trunc(36 x), trunc(36 y); digits overlap by maximum
 *
 * Clip k is a function of (digits, seed, k) only.
 * Source: Srivastava, Mansimov, Salakhutdinov 2015 (emansim/unsupervised-videos, data_handler.py),
 * the generator of the official mnist_test_seq.npy.
 *
 * A pool may ask for the motion of Shi et al. 2015 (sxjscience/HKO-7) instead: speed uniform in
 * [3, 5) pixels a frame, mirrored at the border. Uniform positions stay uniform under it, so that
 * its first frame may be moved to as well. */
#ifndef MOVING_MNIST_GENERATOR_H
#define MOVING_MNIST_GENERATOR_H

#include "models/moving_mnist/idx.h"

#define GENERATOR_SIDE 64
#define GENERATOR_PIXELS (GENERATOR_SIDE * GENERATOR_SIDE)
#define GENERATOR_DIGITS 2
#define GENERATOR_DIGIT_SEED 1 /* the built-in digits are one fixed set, like MNIST's */

/* Where digits come from: `pixels`, or if that is NULL digits_draw at indices from `first`. */
typedef struct digit_pool {
    const uint8_t *pixels; /* (count, 28, 28), borrowed */
    uint64_t first;
    int64_t count;         /* >= GENERATOR_DIGITS */
    bool mirrored;         /* the motion of Shi et al. */
} digit_pool;

/* A clip between two frames. */
typedef struct bouncing {
    struct {
        double x, y, vx, vy;
        uint8_t pixels[IDX_PIXELS];
    } digit[GENERATOR_DIGITS];
    bool mirrored;
} bouncing;

/* Clip k before its first frame: distinct digits, positions, directions. */
void bouncing_start(bouncing *b, const digit_pool *pool, uint64_t seed, uint64_t k);

/* The next frame: moves, then draws.  out (64, 64) */
void bouncing_frame(bouncing *b, uint8_t out[GENERATOR_PIXELS]);

#endif
