/* A plain C library that knows nothing of Weft: the activation mish and its derivative.
 * Source: Misra 2019, arXiv:1908.08681: mish(x) = x tanh(log(1 + e^x)). */
#include <math.h>

float mish(float x);
float mish_gradient(float x, float y, float g);

float mish(float x) { return x * tanhf(log1pf(expf(x))); }

/* g d mish / d x; y is mish(x), which this form does not need. */
float mish_gradient(float x, float y, float g) {
    (void)y;
    const float t = tanhf(log1pf(expf(x))), s = 1 / (1 + expf(-x));
    return g * (t + x * s * (1 - t * t));
}
