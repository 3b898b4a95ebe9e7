#include "bench/bench.h"

#include <omp.h>
#include <stdio.h>
#include <time.h>

double bench_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int bench_threads(void) { return omp_get_max_threads(); }

double bench_header(const char *name) {
    const int threads = bench_threads();
    const double peak = bench_peak_fma(threads);
    printf("%s: isa %s, %d threads, peak %.0f GFLOP/s fp32 multiply-add, read %.0f GB/s\n", name,
           wf_isa_name(wf_isa_get()), threads, peak, bench_peak_read(threads));
    fflush(stdout);
    return peak;
}

double bench_random(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 40) / (1 << 23) - 1;
}

void bench_fill(float *x, int64_t n, uint64_t seed) {
    uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
    for (int64_t i = 0; i < n; i++) x[i] = (float)bench_random(&state);
}
