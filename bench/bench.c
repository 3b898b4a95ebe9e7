#include "bench/bench.h"

#include <omp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tensor/kernels/cpu.h"

double bench_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int bench_threads(void) { return omp_get_max_threads(); }

/* Twelve independent chains hide a latency of four cycles on two ports with room to spare. The sum
 * of the chains is returned so that no compiler drops the loop. */
#define FMA_LOOP(name, isa, bytes)                                                                 \
    typedef float vec_##name __attribute__((vector_size(bytes)));                                  \
    isa static float name(long n) {                                                                \
        vec_##name a[12], x, y;                                                                    \
        for (int i = 0; i < 12; i++) a[i] = (vec_##name){(float)i};                                \
        x = a[1] * 0 + 0.999f;                                                                     \
        y = a[1] * 0 + 1e-3f;                                                                      \
        for (long k = 0; k < n; k++)                                                               \
            for (int i = 0; i < 12; i++) a[i] = a[i] * x + y;                                      \
        vec_##name s = a[0];                                                                       \
        for (int i = 1; i < 12; i++) s += a[i];                                                    \
        return s[0] + s[1];                                                                        \
    }
#define FAST __attribute__((optimize("O3", "fp-contract=fast", "unroll-loops")))
#if defined(__x86_64__) && !defined(__clang__)
FMA_LOOP(loop_avx512, FAST __attribute__((target("avx512f,fma,prefer-vector-width=512"))), 64)
FMA_LOOP(loop_avx2, FAST __attribute__((target("avx2,fma"))), 32)
#define HAVE_ISA 1
FMA_LOOP(loop_plain, , 16)
#elif defined(__aarch64__) && !defined(__clang__)
#define HAVE_ISA 0
FMA_LOOP(loop_plain, FAST, 16)
#else
#define HAVE_ISA 0
FMA_LOOP(loop_plain, , 16)
#endif

static float (*pick_loop(int *lanes))(long) {
#if HAVE_ISA
    if (wf_isa_get() == WF_ISA_AVX512) return *lanes = 16, loop_avx512;
    if (wf_isa_get() == WF_ISA_AVX2) return *lanes = 8, loop_avx2;
#endif
    return *lanes = 4, loop_plain;
}

static volatile float sink;

double bench_peak_fma(int threads) {
    int lanes;
    float (*loop)(long) = pick_loop(&lanes);
    const long n = 8 * 1000 * 1000;
    double best = 0;
    for (int round = 0; round < 4; round++) {
        const double t0 = bench_now();
#pragma omp parallel num_threads(threads)
        sink = loop(n);
        const double rate = 2.0 * 12 * lanes * (double)n * threads / (bench_now() - t0) * 1e-9;
        if (rate > best) best = rate;
    }
    return best;
}

double bench_peak_read(int threads) {
    const size_t words = (size_t)threads << 24; /* 128 MiB a thread */
    uint64_t *p = aligned_alloc(64, words * sizeof *p);
    if (!p) return 0;
    memset(p, 1, words * sizeof *p);
    double best = 0;
    for (int round = 0; round < 4; round++) {
        uint64_t sum = 0;
        const double t0 = bench_now();
#pragma omp parallel for num_threads(threads) schedule(static) reduction(^ : sum)
        for (size_t i = 0; i < words; i += 8)
            sum ^=
                p[i] ^ p[i + 1] ^ p[i + 2] ^ p[i + 3] ^ p[i + 4] ^ p[i + 5] ^ p[i + 6] ^ p[i + 7];
        const double rate = (double)(words * sizeof *p) / (bench_now() - t0) * 1e-9;
        sink = (float)sum;
        if (rate > best) best = rate;
    }
    free(p);
    return best;
}

double bench_header(const char *name) {
    const int threads = bench_threads();
    const double peak = bench_peak_fma(threads);
    printf("%s: isa %s, %d threads, peak %.0f GFLOP/s fp32 multiply-add, read %.0f GB/s\n", name,
           wf_isa_name(wf_isa_get()), threads, peak, bench_peak_read(threads));
    fflush(stdout);
    return peak;
}
