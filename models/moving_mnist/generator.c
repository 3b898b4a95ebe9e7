/* Bouncing digits; see generator.h for the rule and its source. Positions are doubles, as there. */
#include "models/moving_mnist/generator.h"

#include "models/moving_mnist/digits.h"
#include "models/moving_mnist/random.h"

#include <math.h>
#include <string.h>

#define STEP 0.1
#define SLOW 3.0 /* of mirrored motion, pixels a frame */
#define FAST 5.0
#define CANVAS (GENERATOR_SIDE - IDX_SIDE)
#define TWO_PI 6.283185307179586

static void take_digit(const digit_pool *pool, int64_t i, uint8_t out[IDX_PIXELS]) {
    if (pool->pixels)
        memcpy(out, pool->pixels + i * IDX_PIXELS, IDX_PIXELS);
    else
        digits_draw(GENERATOR_DIGIT_SEED, pool->first + (uint64_t)i, out);
}

void bouncing_start(bouncing *b, const digit_pool *pool, uint64_t seed, uint64_t k) {
    random_stream r = random_open(seed, k);
    /* Without replacement: the second index is drawn from the rest. */
    const int64_t one = random_below(&r, pool->count);
    int64_t two = random_below(&r, pool->count - 1);
    if (two >= one) two++;
    take_digit(pool, one, b->digit[0].pixels);
    take_digit(pool, two, b->digit[1].pixels);
    for (int i = 0; i < GENERATOR_DIGITS; i++) {
        b->digit[i].x = random_unit(&r);
        b->digit[i].y = random_unit(&r);
        const double theta = TWO_PI * random_unit(&r);
        const double speed =
            pool->mirrored ? random_between(&r, SLOW, FAST) / (CANVAS * STEP) : 1;
        b->digit[i].vx = speed * cos(theta);
        b->digit[i].vy = speed * sin(theta);
    }
    b->mirrored = pool->mirrored;
}

static void move(double *x, double *v, bool mirrored) {
    *x += *v * STEP;
    if (*x <= 0) *x = mirrored ? -*x : 0, *v = -*v;
    if (*x >= 1) *x = mirrored ? 2 - *x : 1, *v = -*v;
}

void bouncing_frame(bouncing *b, uint8_t out[GENERATOR_PIXELS]) {
    memset(out, 0, GENERATOR_PIXELS);
    for (int i = 0; i < GENERATOR_DIGITS; i++) {
        move(&b->digit[i].y, &b->digit[i].vy, b->mirrored);
        move(&b->digit[i].x, &b->digit[i].vx, b->mirrored);
        const int left = (int)(CANVAS * b->digit[i].x), top = (int)(CANVAS * b->digit[i].y);
        const uint8_t *p = b->digit[i].pixels;
        for (int y = 0; y < IDX_SIDE; y++) {
            uint8_t *row = out + (top + y) * GENERATOR_SIDE + left;
            for (int x = 0; x < IDX_SIDE; x++, p++)
                if (*p > row[x]) row[x] = *p;
        }
    }
}
