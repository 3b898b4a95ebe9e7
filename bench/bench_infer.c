/* How long does the trained network take for a frame of one clip (batch 1, 19 steps of 32x32,
 * hidden 64), in every precision mode, with one thread and with all, beside PyTorch's fastest form?
 *
 * Verified first: a small network against the same graph with every pass off; every element of the
 * prediction with 1 thread against all, bit for bit; the squared error of the prediction against
 * PyTorch's with the same weights and statistics. Then both take turns.
 *
 *   bench_infer [MODE] [--json FILE] */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/convlstm.h"

static const convlstm_size clip = {
    .frames = 19, .batch = 1, .height = 32, .width = 32, .hidden = 64};
enum { VALUES = 19 * 32 * 32 };

typedef struct side {
    convlstm_program c;
    bool failed;
} side;

static void run(void *user) {
    side *s = user;
    s->failed |= wf_run(s->c.program) != WF_OK;
}

/* Statistics of batch norm that are not those of a new network. */
static bool estimate(wf_params *p) {
    convlstm_program c;
    if (convlstm_estimator(&c, p, clip, (wf_compile_opt){0})) return false;
    bench_clips(clip, c.x, c.target);
    const bool ok = !wf_run(c.program);
    convlstm_program_free(&c);
    return ok;
}

static double squared_error(const float *y, const float *target) {
    double sum = 0;
    for (int i = 0; i < VALUES; i++) sum += pow((double)y[i] - (double)target[i], 2);
    return sum / VALUES;
}

static bool same_bits(side *s, int threads) {
    static float y[VALUES];
    run(s);
    memcpy(y, s->c.y, sizeof y);
    if (wf_program_set_threads(s->c.program, 1)) return false;
    run(s);
    const bool same = !memcmp(y, s->c.y, sizeof y);
    printf("verify: a clip with 1 thread and with %d: %s\n", threads, same ? "same bits" : "WRONG");
    return same;
}

static bool measure(const bench_mode *m, wf_params *p, side *ours, double error, int threads) {
    char shape[64];
    bench_peer peer;
    const bool beside = bench_peer_open(&peer, p, clip, "infer", m->peer, "auto", threads);
    bool ok = !wf_program_set_threads(ours->c.program, threads);
    if (beside) {
        bench_peer_run(&peer);
        const bool agree = fabs(error / peer.loss - 1) <= m->loss;
        printf("verify: squared error %.8g, %s %.8g: %s\n", error, peer.name, peer.loss,
               agree ? "ok" : "WRONG");
        ok = ok && agree && !peer.gone;
    }
    double limit = bench_peak_mode(m->name, threads);
    bench_side sides[] = {{.run = run, .user = ours, .linger_s = 0.02},
                          {.run = bench_peer_run, .user = beside ? &peer : NULL, .linger_s = 0.02}};
    if (ok) bench_in_turn(sides, 2, 2);
    limit = fmax(limit, bench_peak_mode(m->name, threads));
    const wf_program_info info = wf_program_describe(ours->c.program);
    const bench_row row = {
        .question = "inference, a clip", .shape = bench_size_text(clip, shape), .mode = m->name,
        .unit = "GFLOP/s", .work = info.flops * 1e-9, .limit = limit, .best = sides[0].best,
        .median = sides[0].median, .ok = ok && !ours->failed, .peer = peer.name,
        .peer_best = sides[1].best, .peer_median = sides[1].median, .threads = threads};
    bench_print(&row);
    printf("  threads %d: %.3f ms a frame (median %.3f)", threads, 1e3 * row.best / 19,
           1e3 * row.median / 19);
    if (beside) printf("; %s %.3f ms a frame", peer.name, 1e3 * row.peer_best / 19);
    printf("\n");
    bench_peer_close(&peer);
    return row.ok;
}

static bool measure_mode(const bench_mode *m) {
    static float target[VALUES], x[VALUES];
    const int threads = bench_threads();
    side ours = {.failed = false};
    wf_params *p = wf_params_new(7);
    bool ok = bench_verify(m, threads) && p && estimate(p) &&
              !convlstm_predictor(&ours.c, p, clip,
                                  (wf_compile_opt){.precision = m->precision, .threads = threads});
    if (ok) {
        bench_clips(clip, x, target);
        memcpy(ours.c.x, x, sizeof x);
        ok = same_bits(&ours, threads);
        const double error = squared_error(ours.c.y, target);
        ok = measure(m, p, &ours, error, 1) && ok;
        if (threads > 1) ok = measure(m, p, &ours, error, threads) && ok;
    } else {
        fprintf(stderr, "bench_infer: %s\n", wf_error());
    }
    convlstm_program_free(&ours.c);
    wf_params_free(p);
    return ok;
}

int main(int argc, char **argv) {
    bench_place(argv);
    bench_open("infer", &argc, argv);
    bench_header("bench_infer");
    bool ok = true;
    for (const bench_mode *m = bench_modes; m->name; m++)
        if (argc < 2 || !strcmp(argv[1], m->name)) ok &= measure_mode(m);
    return bench_close() | !ok;
}
