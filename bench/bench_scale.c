/* How does the training step scale: with threads, and around the notebook's size with batch, edge,
 * channels and steps, in every precision mode? The peer of a row is the same step on one thread,
 * its ratio the speed-up.
 *
 * Verified first: a small network against the same graph with every pass off; then every program,
 * before it is timed, with 1 thread against all, bit for bit.
 *
 *   bench_scale [MODE] [--json FILE] */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench/convlstm.h"

enum { POINTS = 17 };
#define POINT(n, edge, channels, t)                                                                \
    {.frames = t, .batch = n, .height = edge, .width = edge, .hidden = channels}
static const convlstm_size points[POINTS] = {
    POINT(1, 32, 64, 19), POINT(2, 32, 64, 19), POINT(4, 32, 64, 19), POINT(8, 32, 64, 19),
    POINT(16, 32, 64, 19), POINT(8, 16, 64, 19), POINT(8, 24, 64, 19), POINT(8, 48, 64, 19),
    POINT(8, 64, 64, 19), POINT(8, 32, 16, 19), POINT(8, 32, 32, 19), POINT(8, 32, 48, 19),
    POINT(8, 32, 61, 19), POINT(8, 32, 64, 5), POINT(8, 32, 64, 10), POINT(8, 32, 64, 38),
    POINT(3, 29, 40, 7),
};

/* A program on its own number of threads. */
typedef struct side {
    convlstm_program *c;
    int threads;
    bool failed;
} side;

static void run(void *user) {
    side *s = user;
    s->failed |= wf_program_set_threads(s->c->program, s->threads) || wf_run(s->c->program);
}

static bool same_bits(side *one, side *all) {
    run(all);
    const float loss = *all->c->loss, norm = *all->c->norm;
    run(one);
    const bool same = !memcmp(&loss, one->c->loss, 4) && !memcmp(&norm, one->c->norm, 4);
    if (!same) printf("verify: 1 thread and %d: not the same bits: WRONG\n", all->threads);
    return same && !one->failed && !all->failed;
}

static bool measure(const bench_mode *m, convlstm_size s, int threads) {
    char shape[64];
    convlstm_program c = {.program = NULL};
    wf_params *p = wf_params_new(7);
    side one = {.c = &c, .threads = 1}, all = {.c = &c, .threads = threads};
    bool ok = bench_trainer(&c, p, s, m, threads) && same_bits(&one, &all);
    double limit = bench_peak_mode(m->name, threads);
    bench_side sides[] = {{.run = run, .user = &all},
                          {.run = run, .user = threads > 1 ? &one : NULL}};
    if (ok) bench_in_turn(sides, 2, 0.5);
    limit = fmax(limit, bench_peak_mode(m->name, threads));
    if (c.program) {
        bench_print(&(bench_row){
            .question = "scaling", .shape = bench_size_text(s, shape), .mode = m->name,
            .unit = "GFLOP/s", .work = wf_program_describe(c.program).flops * 1e-9,
            .limit = limit, .best = sides[0].best, .median = sides[0].median, .ok = ok,
            .peer = threads > 1 ? "Weft, 1 thread" : NULL, .peer_best = sides[1].best,
            .peer_median = sides[1].median, .threads = threads});
        convlstm_program_free(&c);
    }
    wf_params_free(p);
    return ok;
}

int main(int argc, char **argv) {
    bench_place(argv);
    bench_open("scale", &argc, argv);
    bench_header("bench_scale");
    const int threads = bench_threads();
    bool ok = true;
    for (const bench_mode *m = bench_modes; m->name; m++) {
        if (argc > 1 && strcmp(argv[1], m->name)) continue;
        ok &= bench_verify(m, threads);
        for (int i = 0; i < POINTS; i++) ok &= measure(m, points[i], threads);
        for (int n = 3; n <= threads; n++) ok &= measure(m, bench_notebook, n);
    }
    return bench_close() | !ok;
}
