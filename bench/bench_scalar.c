/* Accuracy and speed of the f32 functions of tensor/scalar.h, through the row kernels.
 *
 *   bench_scalar [stride]     every stride-th of all 2^32 floats (default 97; 1: all of them)
 *
 * Error: |y - f(x)| in units in the last place of f(x), with f in double by libm, denormals flushed
 * on both sides. A function whose error is above its limit makes the exit status 1. Time:
 * nanoseconds an element on one thread, 4096 elements in cache, the best of several runs. */
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/bench.h"
#include "tensor/denormals.h"
#include "tensor/kernels/cpu.h"
#include "tensor/kernels/rows.h"

enum { BLOCK = 4096 };

static double sigmoid_ref(double x) { return 1 / (1 + exp(-x)); }
static double softplus_ref(double x) { return fmax(x, 0) + log1p(exp(-fabs(x))); }
static double silu_ref(double x) { return x == -INFINITY ? 0 : x / (1 + exp(-x)); }
static double gelu_ref(double x) { return x == -INFINITY ? 0 : 0.5 * x * erfc(-x * M_SQRT1_2); }
static double rsqrt_ref(double x) { return 1 / sqrt(x); }

typedef struct subject {
    const char *name;
    wf_row_fn *row;
    double (*ref)(double);
    double limit;  /* in ulp */
    double lowest; /* smaller results may be 0; 0 means FLT_MIN */
} subject;

typedef struct result {
    double ulp;
    float at;
} result;

/* 1 / ulp of v as f32, by the exponent's bits: ilogb and ldexp would take most of the time. */
static double ulps_per_unit(double v) {
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    int64_t e = (int64_t)(bits >> 52 & 0x7ff) - 1023;
    if (e < -126) e = -126;
    bits = (uint64_t)(1023 + 23 - e) << 52;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* Distance in ulp; denormals count as 0, and anything but the right special value as infinitely
 * far. */
static double ulp_error(float y, double want, double lowest) {
    const double low = lowest > 0x1p-126 ? lowest : 0x1p-126, high = 0x1.ffffffp127;
    if (isnan(want) || isnan(y)) return isnan(want) && isnan(y) ? 0 : INFINITY;
    if (fabs(want) < low) want = 0;
    if (fabs((double)y) < low) y = 0;
    if (fabs(want) >= high || isinf(y))
        return (float)want == y || nextafterf(y, 0) == (float)want ? 0 : INFINITY;
    if (want == 0 && y != 0) return fabsf(y) < 1.001 * low ? 1 : INFINITY;
    return fabs((double)y - want) * ulps_per_unit(want);
}

static result measure(const subject *s, uint64_t stride) {
    result worst = {0, 0};
    const int64_t n = (int64_t)((UINT64_C(1) << 32) / stride), blocks = (n + BLOCK - 1) / BLOCK;
#pragma omp parallel for schedule(dynamic, 16)
    for (int64_t block = 0; block < blocks; block++) {
        const wf_fp_mode mode = wf_flush_denormals();
        float x[BLOCK], y[BLOCK];
        for (int i = 0; i < BLOCK; i++) {
            const uint32_t bits = (uint32_t)((uint64_t)(block * BLOCK + i) * stride);
            memcpy(&x[i], &bits, sizeof bits);
            if (fabsf(x[i]) < 0x1p-126f) x[i] = 0;
        }
        const void *in[] = {x};
        s->row(BLOCK, y, in, (const int64_t[]){1, 1});
        wf_restore_denormals(mode);
        result here = {0, 0};
        for (int i = 0; i < BLOCK; i++) {
            const double e = ulp_error(y[i], s->ref(x[i]), s->lowest);
            if (e > here.ulp) here = (result){e, x[i]};
        }
#pragma omp critical
        if (here.ulp > worst.ulp) worst = here;
    }
    return worst;
}

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double time_ns(const subject *s) {
    static float x[BLOCK], y[BLOCK];
    for (int i = 0; i < BLOCK; i++) x[i] = 0.01f + 4.0f * (float)i / BLOCK;
    const void *in[] = {x};
    double best = INFINITY;
    for (int run = 0; run < 200; run++) {
        const double start = now_ns();
        s->row(BLOCK, y, in, (const int64_t[]){1, 1});
        const double ns = (now_ns() - start) / BLOCK;
        if (ns < best) best = ns;
    }
    return best;
}

int main(int argc, char **argv) {
    bench_open("scalar", &argc, argv);
    const long long stride = argc > 1 ? atoll(argv[1]) : 97;
    if (stride < 1 || stride > 1 << 20) return fprintf(stderr, "stride: 1 to 2^20\n"), 2;
    const wf_rows *r = wf_rows_get();
    const subject subjects[] = {
        {"exp", r->exp[WF_F32], exp, 2, 0},
        {"expm1", r->expm1[WF_F32], expm1, 2, 0},
        {"log", r->log[WF_F32], log, 2, 0},
        {"log1p", r->log1p[WF_F32], log1p, 2, 0},
        {"tanh", r->tanh[WF_F32], tanh, 2, 0},
        {"sigmoid", r->sigmoid[WF_F32], sigmoid_ref, 2, 0},
        {"erf", r->erf[WF_F32], erf, 2, 0},
        {"softplus", r->softplus[WF_F32], softplus_ref, 4, 0},
        {"silu", r->silu[WF_F32], silu_ref, 4, 0x1p-119},
        {"gelu", r->gelu[WF_F32], gelu_ref, 8, 0x1p-119},
        {"sin", r->sin[WF_F32], sin, 2, 0},
        {"cos", r->cos[WF_F32], cos, 2, 0},
        {"sqrt", r->sqrt[WF_F32], sqrt, 0.5001, 0},
        {"rsqrt", r->rsqrt[WF_F32], rsqrt_ref, 1.5, 0},
    };
    printf("scalar functions, f32, %s rows, %d threads, every %lldth float\n",
           wf_isa_name(wf_isa_get()), omp_get_max_threads(), stride);
    for (size_t i = 0; i < WF_COUNT(subjects); i++) {
        const result e = measure(&subjects[i], (uint64_t)stride);
        const bool ok = e.ulp <= subjects[i].limit;
        const double ns = time_ns(&subjects[i]);
        printf("%-10s %6.3f ulp at %-14a %7.3f ns  [%s]\n", subjects[i].name, e.ulp, (double)e.at,
               ns, ok ? "ok" : "TOO FAR");
        fflush(stdout);
        bench_record(&(bench_row){.question = subjects[i].name, .shape = "4096 in cache",
                                  .mode = "f32", .unit = "GB/s", .work = 8e-9, .best = ns * 1e-9,
                                  .ns = ns, .ok = ok, .threads = 1});
    }
    return bench_close();
}
