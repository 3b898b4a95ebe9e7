/* What every benchmark uses: a clock, the machine's peaks, and a header line that says where it
 * ran. A benchmark verifies its result before it prints a time, and prints shares and ratios beside
 * seconds, because machines are shared and drift. */
#ifndef WEFT_BENCH_H
#define WEFT_BENCH_H

double bench_now(void); /* seconds, monotonic */

int bench_threads(void); /* what OpenMP would use */

/* Multiply-add in fp32 with the widest registers that WF_ISA allows: GFLOP/s of n threads together,
 * the best of a few runs of about 50 ms. */
double bench_peak_fma(int threads);

/* Reading memory far larger than the caches: GB/s of n threads together. */
double bench_peak_read(int threads);

/* "isa avx512, 2 threads, peak 498 GFLOP/s, read 38 GB/s", once a program. Returns the peak. */
double bench_header(const char *name);

#endif
