/* Built-in digits: stroke-drawn glyphs with random style, for use without MNIST and a network.
 * Written for this project; no pixel of MNIST is in them. */
#ifndef MOVING_MNIST_DIGITS_H
#define MOVING_MNIST_DIGITS_H

#include <stdint.h>

#define DIGITS_SIDE 28
#define DIGITS_PIXELS (DIGITS_SIDE * DIGITS_SIDE)

/* Draws digit index % 10 with a style that is a function of (seed, index): form, proportions,
 * slant, rotation, wobble of the strokes, width of the pen. As in MNIST the glyph is white on
 * black, fits 20x20 pixels and has its centre of mass in the middle.
 *   out  (28, 28), 0 to 255 */
void digits_draw(uint64_t seed, uint64_t index, uint8_t out[DIGITS_PIXELS]);

#endif
