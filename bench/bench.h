/* What every benchmark uses: a clock, sides that run in turn, and rows that are printed and written
 * as JSON. A benchmark verifies its result before it prints a time, and prints shares of the
 * machine's limit (bench/peak.h) and ratios to a peer beside seconds, because machines are shared
 * and drift.
 *
 *   bench_open("matmul", &argc, argv);         WF_BENCH_JSON=DIR or --json FILE: rows go there too
 *   bench_in_turn(side, 2, 0.2);
 *   bench_print(&(bench_row){...});
 *   return bench_close();                      1 if a result was wrong */
#ifndef WEFT_BENCH_H
#define WEFT_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/peak.h"

double bench_now(void); /* seconds, monotonic */

int bench_threads(void); /* what OpenMP would use */

/* "isa avx512, 2 threads, peak 498 GFLOP/s, read 38 GB/s", once a program. Returns the peak. */
double bench_header(const char *name);

/* Random numbers in [-1, 1), the same on every machine. */
double bench_random(uint64_t *state);
void bench_fill(float *x, int64_t n, uint64_t seed);

/* Sides of a comparison. Each has some of the time, then the next, over and over, so that all see
 * the same machine; each turn begins with a pause, in which threads of the side before stop
 * spinning, and a run that is not counted. */
typedef struct bench_side {
    void (*run)(void *user);
    void *user;               /* NULL: this side is absent */
    double linger_s;          /* how long its threads spin after a run; 0: 3 ms */
    double best, median;      /* seconds of a run: set by bench_in_turn; 0 if absent */
} bench_side;
/* About `seconds` for each side, at least three runs. */
void bench_in_turn(bench_side *side, int n, double seconds);

/* One line of a table. The rate is work / best, or work itself where there are no seconds. */
typedef struct bench_row {
    const char *question;       /* "forward" */
    const char *shape, *mode;   /* "conv 5x5 64->256 of 8x32x32", "f32" */
    const char *unit;           /* of rate and limit: "GFLOP/s" */
    double work;                /* in the unit, times seconds */
    double limit;               /* what the machine gave just then; 0: unknown */
    double best, median;        /* seconds */
    double error;               /* relative L2, against the reference */
    bool ok;
    const char *peer;           /* name and version, or "absent: how to get it"; NULL: no such */
    double peer_best, peer_median;  /* 0: absent */
    double peer_work;           /* without times (best 0): the peer's amount beside `work` */
    int threads;                /* 0: bench_threads() */
    double ns;                  /* nanoseconds an element and core; 0: no such figure */
} bench_row;

/* Takes its options out of argc and argv; `name` is that of rows and of the file NAME.json. */
void bench_open(const char *name, int *argc, char **argv);
void bench_print(const bench_row *row);
void bench_record(const bench_row *row); /* without the line */
int bench_close(void);

#endif
