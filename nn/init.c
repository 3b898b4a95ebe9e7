/* Initialisers. Element i of a tensor is a function of seed, name and i alone, so that the order in
 * which layers are created does not matter.
 *
 * Sources
 *   random bits   SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators",
 *                 OOPSLA 2014; here indexed by counter
 *   default       PyTorch's Linear and Conv: kaiming_uniform_(a = sqrt 5), which is
 *                 U(-1/sqrt(fan_in), 1/sqrt(fan_in)); biases alike with the weight's fan_in
 *   Kaiming       He, Zhang, Ren, Sun, arXiv:1502.01852: variance gain^2 / fan_in (gain sqrt 2
 *                 before relu)
 *   Xavier        Glorot, Bengio, AISTATS 2010: variance 2 gain^2 / (fan_in + fan_out)
 *   orthogonal    Saxe, McClelland, Ganguli, arXiv:1312.6120: rows (or columns) of (O, K.. I)
 *                 orthonormal, times gain; uniform over such matrices, by Gram-Schmidt of normals
 *   normal        Box, Muller 1958 */
#include <math.h>
#include <stdlib.h>

#include "nn/params.h"

static uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Number i of a stream, in [0, 1), 53 bits. */
static double uniform(uint64_t stream, uint64_t i) {
    return (double)(mix(stream + (i + 1) * UINT64_C(0x9e3779b97f4a7c15)) >> 11) * 0x1p-53;
}

static double normal(uint64_t stream, uint64_t i) {
    const double r = sqrt(-2 * log(1 - uniform(stream, i & ~UINT64_C(1))));
    const double angle = 6.283185307179586 * uniform(stream, i | 1);
    return r * ((i & 1) ? sin(angle) : cos(angle));
}

/* fan_in counts the inputs of one output, fan_out the outputs of one input. */
static void fans(const wf_shape *s, int64_t given, double *in, double *out) {
    const double n = (double)wf_shape_count(s);
    *in = *out = n;
    if (s->rank >= 2) {
        *in = n / (double)(s->dim[0] > 0 ? s->dim[0] : 1);
        *out = n / (double)(s->dim[s->rank - 1] > 0 ? s->dim[s->rank - 1] : 1);
    }
    if (given > 0) *in = (double)given;
    if (*in < 1) *in = 1;
    if (*out < 1) *out = 1;
}

/* v (n, stride): orthonormalises row r against the rows before it; twice, as once loses half the
 * digits (Giraud, Langou, Rozloznik 2005). False if nothing of the row is left. */
static bool orthonormal_row(double *v, int64_t r, int64_t len) {
    double *row = v + r * len;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t q = 0; q < r; q++) {
            const double *other = v + q * len;
            double dot = 0;
            for (int64_t i = 0; i < len; i++) dot += row[i] * other[i];
            for (int64_t i = 0; i < len; i++) row[i] -= dot * other[i];
        }
    double norm = 0;
    for (int64_t i = 0; i < len; i++) norm += row[i] * row[i];
    if (!(norm > 1e-20)) return false;
    norm = 1 / sqrt(norm);
    for (int64_t i = 0; i < len; i++) row[i] *= norm;
    return true;
}

static wf_status orthogonal(void *data, wf_dtype dtype, const wf_shape *shape, double gain,
                            uint64_t stream, const char *name) {
    const int64_t n = wf_shape_count(shape);
    const int64_t rows = shape->rank ? shape->dim[0] : 1;
    if (n <= 0 || rows <= 0) return WF_OK;
    const int64_t cols = n / rows;
    const bool wide = rows <= cols;
    const int64_t vectors = wide ? rows : cols, len = wide ? cols : rows;
    double *v = malloc((size_t)n * sizeof *v);
    if (!v) return wf_fail(WF_MEMORY, "out of memory to initialise \"%s\"", name);
    uint64_t drawn = 0;
    for (int64_t r = 0; r < vectors; r++)
        do {
            for (int64_t i = 0; i < len; i++) v[r * len + i] = normal(stream, drawn++);
        } while (!orthonormal_row(v, r, len));
    char *out = data;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++, out += wf_dtype_bytes(dtype))
            wf_store(dtype, out, gain * (wide ? v[r * len + c] : v[c * len + r]));
    free(v);
    return WF_OK;
}

wf_status wf_init_fill(void *data, wf_dtype dtype, const wf_shape *shape, wf_init init,
                       uint64_t seed, const char *name) {
    const uint64_t stream = mix(mix(seed ^ UINT64_C(0x5bf03635f0a31e29)) ^ wf_name_hash(name));
    const double gain = init.a == 0 ? 1 : init.a;
    double in, out, bound = 0, deviation = 0, constant = 0;
    fans(shape, init.fan_in, &in, &out);
    switch (init.kind) {
    case WF_INIT_CONSTANT: constant = init.a; break;
    case WF_INIT_UNIFORM: bound = init.a; break;
    case WF_INIT_NORMAL: deviation = init.a; break;
    case WF_INIT_KAIMING_UNIFORM: bound = gain * sqrt(3 / in); break;
    case WF_INIT_KAIMING_NORMAL: deviation = gain / sqrt(in); break;
    case WF_INIT_XAVIER_UNIFORM: bound = gain * sqrt(6 / (in + out)); break;
    case WF_INIT_XAVIER_NORMAL: deviation = gain * sqrt(2 / (in + out)); break;
    case WF_INIT_ORTHOGONAL: return orthogonal(data, dtype, shape, gain, stream, name);
    case WF_INIT_DEFAULT: bound = 1 / sqrt(in); break;
    }
    const uint64_t n = (uint64_t)wf_shape_count(shape);
    char *at = data;
    for (uint64_t i = 0; i < n; i++, at += wf_dtype_bytes(dtype)) {
        double v = constant;
        if (bound != 0) v = bound * (2 * uniform(stream, i) - 1);
        if (deviation != 0) v = deviation * normal(stream, i);
        wf_store(dtype, at, v);
    }
    return WF_OK;
}
