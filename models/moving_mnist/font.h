/* A bitmap font of 5x8 pixels for captions: letters, digits and a little punctuation. */
#ifndef MOVING_MNIST_FONT_H
#define MOVING_MNIST_FONT_H

#include <stdint.h>

#define FONT_WIDTH 5
#define FONT_HEIGHT 8 /* the last row is for descenders */

/* The rows of a character from the top, bit 4 is the leftmost pixel; blank where there is no glyph.
 * Owner: static. */
const uint8_t *font_glyph(char c);

#endif
