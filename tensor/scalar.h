/* The mathematics of one element: what the expressions of tensor/ops.def call.
 *
 * Shared by the reference evaluators, the row kernels and generated code, which gets this file as
 * text: it includes nothing and needs nothing but gcc's or clang's builtins.
 *
 * Invariants
 *   - f32 functions are branch-free selections, so that loops over them vectorise without any fast
 *     mathematics; every fused multiply-add is written as one, so that all instruction sets give
 *     the same bits. sin, cos and pow call libm.
 *   - NaN gives NaN, infinities their limits; a result below FLT_MIN is 0; a denormal counts as 0.
 *   - Polynomials were fitted for this file: weighted minimax (Lawson's iteration), coefficients
 *     rounded to f32 one by one from the lowest. Reductions follow Muller, Elementary Functions,
 *     3rd ed., chapters 9 to 11.
 *   - Largest errors in ulp over all 2^32 floats (bench_scalar 1): exp 0.93, expm1 1.54, log 0.94,
 *     log1p 1.48, tanh 1.37, sigmoid 1.65, erf 1.40, softplus 1.89, silu 2.69, gelu 6.7; sin and
 *     cos (glibc) 0.57.
 *   - f64 functions (suffix _d) are libm's, or plain compositions of them. */
#ifndef WEFT_SCALAR_H
#define WEFT_SCALAR_H

#define WF_FN static inline __attribute__((always_inline, unused))

WF_FN unsigned wf_bits(float x) {
    unsigned u;
    __builtin_memcpy(&u, &x, sizeof u);
    return u;
}
WF_FN float wf_from_bits(unsigned u) {
    float x;
    __builtin_memcpy(&x, &u, sizeof x);
    return x;
}

/* --- f32: exponentials ------------------------------------------------------------------------ */

/* x = n ln 2 + r, |r| <= ln 2 / 2. n is found by adding 1.5 * 2^23, whose low bits then hold n. */
WF_FN unsigned wf_exp_reduce(float x, float *n, float *r) {
    const float shift = 12582912.0f, t = __builtin_fmaf(x, 0x1.715476p+0f, shift);
    *n = t - shift;
    *r = __builtin_fmaf(*n, 0x1.05c610p-29f, __builtin_fmaf(*n, -0x1.62e430p-1f, x));
    return wf_bits(t);
}
/* (exp(r) - 1 - r) / r^2. */
WF_FN float wf_exp_poly(float r) {
    float q = __builtin_fmaf(0x1.6c5420p-10f, r, 0x1.12245ap-7f);
    q = __builtin_fmaf(q, r, 0x1.5555bcp-5f);
    q = __builtin_fmaf(q, r, 0x1.5554b6p-3f);
    return __builtin_fmaf(q, r, 0.5f);
}

WF_FN float wf_expf(float x) {
    float n, r;
    const unsigned t = wf_exp_reduce(x, &n, &r);
    const float p = __builtin_fmaf(__builtin_fmaf(wf_exp_poly(r), r, 1.0f), r, 1.0f);
    float y = wf_from_bits(wf_bits(p) + (t << 23));
    y = x > 0x1.62e42ep+6f ? __builtin_inff() : y;
    y = x < -0x1.5d589ep+6f ? 0.0f : y;
    return x != x ? x : y;
}

/* 2^n (exp(r) - 1) + (2^n - 1), at half the scale because n may be 128. */
WF_FN float wf_expm1f(float x) {
    float n, r;
    const float xc = x < -18.0f ? -18.0f : x;
    const unsigned t = wf_exp_reduce(xc, &n, &r);
    const float p = __builtin_fmaf(r * r, wf_exp_poly(r), r);
    const float s = wf_from_bits(0x3f000000u + (t << 23));
    float y = __builtin_fmaf(s, p, s - 0.5f);
    y = n == 0.0f ? p : y + y;
    y = xc > 0x1.62e42ep+6f ? __builtin_inff() : y;
    return x != x ? x : __builtin_copysignf(y, x);
}

/* --- f32: logarithms -------------------------------------------------------------------------- */

/* log(1 + f) for f in [sqrt(1/2) - 1, sqrt(2) - 1], plus e ln 2. */
WF_FN float wf_log_poly(float f, float e) {
    float q = __builtin_fmaf(-0x1.38c472p-4f, f, 0x1.055d7ep-3f);
    q = __builtin_fmaf(q, f, -0x1.0d8274p-3f);
    q = __builtin_fmaf(q, f, 0x1.22d94ap-3f);
    q = __builtin_fmaf(q, f, -0x1.54728ap-3f);
    q = __builtin_fmaf(q, f, 0x1.99a01cp-3f);
    q = __builtin_fmaf(q, f, -0x1.000226p-2f);
    q = __builtin_fmaf(q, f, 0x1.555554p-2f);
    q = __builtin_fmaf(q, f, -0.5f);
    return __builtin_fmaf(e, 0x1.62e430p-1f, __builtin_fmaf(f * f, q, f));
}
/* e with 2^-e u in [sqrt(1/2), sqrt(2)). */
WF_FN int wf_log_exponent(float u) { return (int)(wf_bits(u) - 0x3f3504f3u) >> 23; }

WF_FN float wf_logf(float x) {
    const int e = wf_log_exponent(x);
    const float m = wf_from_bits(wf_bits(x) - ((unsigned)e << 23));
    float y = wf_log_poly(m - 1.0f, (float)e);
    y = x < __builtin_inff() ? y : x;
    y = x < 0x1p-126f ? -__builtin_inff() : y;
    return x <= -0x1p-126f ? __builtin_nanf("") : y;
}

/* With s = 2^-e: s (1 + x) - 1 = s x + (s - 1), rounded once. Above 2^60 the 1 does not matter and
 * x is scaled down, so that s stays a normal number. */
WF_FN float wf_log1pf(float x) {
    const int large = x > 0x1p60f;
    const float xs = large ? x * 0x1p-64f : x, one = large ? 0.0f : 1.0f;
    const int e = wf_log_exponent(one + xs);
    const float s = wf_from_bits(0x3f800000u - ((unsigned)e << 23));
    const float f = __builtin_fmaf(s, xs, __builtin_fmaf(s, one, -1.0f));
    float y = wf_log_poly(f, (float)(e + (large ? 64 : 0)));
    y = x < __builtin_inff() ? y : x;
    y = x <= -1.0f ? -__builtin_inff() : y;
    return x < -1.0f ? __builtin_nanf("") : __builtin_copysignf(y, x);
}

/* --- f32: sigmoids ---------------------------------------------------------------------------- */

/* An odd polynomial below 0.625, 1 - 2 / (exp(2 |x|) + 1) above. */
WF_FN float wf_tanhf(float x) {
    const float a = __builtin_fabsf(x), s = a * a;
    float q = __builtin_fmaf(-0x1.72cb00p-8f, s, 0x1.517ecep-6f);
    q = __builtin_fmaf(q, s, -0x1.b8243cp-5f);
    q = __builtin_fmaf(q, s, 0x1.11067cp-3f);
    q = __builtin_fmaf(q, s, -0x1.555530p-2f);
    const float below = __builtin_fmaf(a * s, q, a);
    const float above = 1.0f - 2.0f / (wf_expf(a + a) + 1.0f);
    return __builtin_copysignf(a < 0.625f ? below : above, x);
}

/* With e = exp(-|x|) and q = e / (1 + e): 1 - q, or e - e q for x < 0. An exponential above 1 would
 * magnify its rounding error; e - e q hides most of that of the division, which q itself does
 * not. */
WF_FN float wf_sigmoidf(float x) {
    const float e = wf_expf(-__builtin_fabsf(x)), q = e / (1.0f + e);
    return x < 0.0f ? __builtin_fmaf(-e, q, e) : 1.0f - q;
}

/* log(1 + exp(x)) */
WF_FN float wf_softplusf(float x) {
    return (x > 0.0f ? x : 0.0f) + wf_log1pf(wf_expf(-__builtin_fabsf(x)));
}

/* Results below 2^-119 may be 0. */
WF_FN float wf_siluf(float x) {
    const float y = x * wf_sigmoidf(x);
    return x < -0x1.fffffep+127f ? -0.0f : y;
}

/* --- f32: error function ---------------------------------------------------------------------- */

/* erfc(a) exp(a^2) for a in [0, 10]: t P(t) with t = 1 / (1 + a / 2). */
WF_FN float wf_erfcxf(float a) {
    const float t = 1.0f / __builtin_fmaf(0.5f, a, 1.0f);
    float q = __builtin_fmaf(0x1.1ae7d2p-5f, t, -0x1.7832eap-3f);
    q = __builtin_fmaf(q, t, 0x1.72ef62p-2f);
    q = __builtin_fmaf(q, t, -0x1.0afbe8p-2f);
    q = __builtin_fmaf(q, t, -0x1.967ddep-5f);
    q = __builtin_fmaf(q, t, 0x1.b224bep-5f);
    q = __builtin_fmaf(q, t, 0x1.842020p-5f);
    q = __builtin_fmaf(q, t, 0x1.806c1ep-3f);
    q = __builtin_fmaf(q, t, 0x1.f55c04p-3f);
    q = __builtin_fmaf(q, t, 0x1.2110aep-2f);
    q = __builtin_fmaf(q, t, 0x1.20db62p-2f);
    return t * q;
}

WF_FN float wf_erff(float x) {
    const float b = __builtin_fabsf(x), a = b > 10.0f ? 10.0f : b, s = a * a;
    float q = __builtin_fmaf(0x1.4c33aep-14f, s, -0x1.a50aeap-11f);
    q = __builtin_fmaf(q, s, 0x1.542e0ep-8f);
    q = __builtin_fmaf(q, s, -0x1.b7fe90p-6f);
    q = __builtin_fmaf(q, s, 0x1.ce2d50p-4f);
    q = __builtin_fmaf(q, s, -0x1.812740p-2f);
    q = __builtin_fmaf(q, s, 0x1.06eba8p-3f);
    const float below = __builtin_fmaf(a, q, a);
    const float above = 1.0f - wf_expf(-s) * wf_erfcxf(a);
    return __builtin_copysignf(a < 1.0f ? below : above, x);
}

/* x Phi(x), with Phi(-|x|) = exp(-x^2 / 2) erfcx(|x| / sqrt(2)) / 2: no cancellation for x < 0, and
 * the rounding error of x^2, which exp would magnify, is put back. Results below 2^-119 may be
 * 0. */
WF_FN float wf_geluf(float x) {
    const float b = __builtin_fabsf(x), a = b > 14.0f ? 14.0f : b;
    const float half = 0.5f * a, s = half * a, low = __builtin_fmaf(half, a, -s);
    const float c = wf_erfcxf(0x1.6a09e6p-1f * a), tail = 0.5f * (c - c * low) * wf_expf(-s);
    const float y = x * (x < 0.0f ? tail : 1.0f - tail);
    return x < -14.0f ? -0.0f : y;
}

/* --- f64 and libm ----------------------------------------------------------------------------- */

WF_FN double wf_sigmoid_d(double x) { return 1.0 / (1.0 + __builtin_exp(-x)); }
WF_FN double wf_softplus_d(double x) {
    return (x > 0.0 ? x : 0.0) + __builtin_log1p(__builtin_exp(-__builtin_fabs(x)));
}
WF_FN double wf_silu_d(double x) {
    return x < -0x1.fffffffffffffp+1023 ? -0.0 : x / (1.0 + __builtin_exp(-x));
}
WF_FN double wf_gelu_d(double x) {
    return x < -40.0 ? -0.0 : 0.5 * x * __builtin_erfc(x * -0x1.6a09e667f3bcdp-1);
}

/* By name rather than by builtin: compilers warn of fabs on integers even in a branch not chosen.
 * 128 bits hold the absolute value of any integer. */
WF_FN float wf_absf(float x) { return __builtin_fabsf(x); }
WF_FN double wf_abs_d(double x) { return __builtin_fabs(x); }
WF_FN __int128 wf_abs_i(__int128 x) { return x < 0 ? -x : x; }

/* --- the names that expressions use ----------------------------------------------------------- */

/* Chosen by the type of the argument. */
#define EXP(x) _Generic((x), float: wf_expf(x), default: __builtin_exp(x))
#define EXPM1(x) _Generic((x), float: wf_expm1f(x), default: __builtin_expm1(x))
#define LOG(x) _Generic((x), float: wf_logf(x), default: __builtin_log(x))
#define LOG1P(x) _Generic((x), float: wf_log1pf(x), default: __builtin_log1p(x))
#define TANH(x) _Generic((x), float: wf_tanhf(x), default: __builtin_tanh(x))
#define SIGMOID(x) _Generic((x), float: wf_sigmoidf(x), default: wf_sigmoid_d(x))
#define SOFTPLUS(x) _Generic((x), float: wf_softplusf(x), default: wf_softplus_d(x))
#define SILU(x) _Generic((x), float: wf_siluf(x), default: wf_silu_d(x))
#define ERF(x) _Generic((x), float: wf_erff(x), default: __builtin_erf(x))
#define GELU(x) _Generic((x), float: wf_geluf(x), default: wf_gelu_d(x))
#define SIN(x) _Generic((x), float: __builtin_sinf(x), default: __builtin_sin(x))
#define COS(x) _Generic((x), float: __builtin_cosf(x), default: __builtin_cos(x))
#define SQRT(x) _Generic((x), float: __builtin_sqrtf(x), default: __builtin_sqrt(x))
#define FLOOR(x) _Generic((x), float: __builtin_floorf(x), default: __builtin_floor(x))
#define CEIL(x) _Generic((x), float: __builtin_ceilf(x), default: __builtin_ceil(x))
#define ROUND(x) _Generic((x), float: __builtin_rintf(x), default: __builtin_rint(x))
#define POW(x, p) _Generic((x), float: __builtin_powf(x, p), default: __builtin_pow(x, p))
#define FMA(x, m, s) _Generic((x), float: __builtin_fmaf(x, m, s), default: __builtin_fma(x, m, s))
#define ABS(x) _Generic((x), float: wf_absf, double: wf_abs_d, default: wf_abs_i)(x)
/* A constant of the operand's type. */
#define K(v) ((__typeof__(a))(v))

#endif
