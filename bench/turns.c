/* Measuring sides in turn. A turn is a few hundredths of a second: long against pauses and the
 * first run, short against the moods of a shared machine. Runs shorter than the clock's grain are
 * timed in batches. */
#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "bench/bench.h"

enum { TURNS = 4, MOST = 4096 };

static void pause_for(double s) {
    const struct timespec t = {(time_t)s, (long)((s - floor(s)) * 1e9)};
    nanosleep(&t, NULL);
}

static int compare_double(const void *a, const void *b) {
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

/* Samples of one turn: at least one, until `seconds` are over. */
static int take_turn(const bench_side *s, double seconds, double *sample, int room) {
    s->run(s->user);
    double start = bench_now();
    s->run(s->user);
    const double once = bench_now() - start;
    const int batch = once < 20e-6 ? (int)(20e-6 / fmax(once, 1e-8)) + 1 : 1;
    const double end = start + seconds;
    int n = 0;
    if (batch == 1) sample[n++] = once;
    while (n < room && (n == 0 || bench_now() < end)) {
        start = bench_now();
        for (int i = 0; i < batch; i++) s->run(s->user);
        sample[n++] = (bench_now() - start) / batch;
    }
    return n;
}

void bench_in_turn(bench_side *side, int n, double seconds) {
    double *sample = calloc((size_t)n * MOST, sizeof *sample);
    int *count = calloc((size_t)n, sizeof *count), last = n - 1;
    for (int turn = 0; sample && count && turn < TURNS; turn++)
        for (int i = 0; i < n; i++) {
            side[i].best = turn ? side[i].best : 0;
            if (!side[i].run || !side[i].user) continue;
            if (last != i) pause_for(side[last].linger_s > 0 ? side[last].linger_s : 3e-3);
            last = i;
            count[i] += take_turn(&side[i], seconds / TURNS, sample + i * MOST + count[i],
                                  MOST / TURNS);
        }
    for (int i = 0; sample && count && i < n; i++) {
        if (!count[i]) continue;
        qsort(sample + i * MOST, (size_t)count[i], sizeof *sample, compare_double);
        side[i].best = sample[i * MOST];
        side[i].median = sample[i * MOST + count[i] / 2];
    }
    free(sample);
    free(count);
}
