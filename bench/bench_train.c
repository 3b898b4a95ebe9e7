/* How long does the notebook's training step take (batch 8, 19 steps of 32x32, hidden 64), in every
 * precision mode, beside PyTorch's fastest form of the same step?
 *
 * Verified first: a small network against the same graph with every pass off; the full step with 1
 * thread against all, bit for bit; its loss against PyTorch's from the same weights. Then both take
 * turns. The limit is the work of the contractions at the peak, which is measured before and after;
 * the better counts.
 *
 *   bench_train [MODE] [--json FILE] */
#include <math.h>
#include <string.h>
#include <sys/resource.h>

#include "bench/convlstm.h"

typedef struct side {
    convlstm_program c;
    bool failed;
} side;

static void run(void *user) {
    side *s = user;
    s->failed |= wf_run(s->c.program) != WF_OK;
}

/* Weights stay as they are (the rate is 0), so a step with other threads must give the same. */
static bool same_bits(side *s, int threads) {
    run(s);
    const float loss = *s->c.loss, norm = *s->c.norm;
    if (wf_program_set_threads(s->c.program, 1)) return false;
    run(s);
    const bool same = !memcmp(&loss, s->c.loss, 4) && !memcmp(&norm, s->c.norm, 4);
    printf("verify: full step, 1 thread %.9g, %d threads %.9g: %s\n", (double)*s->c.loss, threads,
           (double)loss, same ? "same bits" : "WRONG");
    return !wf_program_set_threads(s->c.program, threads) && same;
}

static long faults(void) {
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return use.ru_minflt;
}

static bool same_loss(const side *s, bench_peer *b, const bench_mode *m) {
    bench_peer_run(b);
    const double gap = fabs((double)*s->c.loss / b->loss - 1);
    const bool ok = !b->gone && gap <= m->loss;
    printf("verify: first loss %.8g, %s %.8g: %s\n", (double)*s->c.loss, b->name, b->loss,
           ok ? "ok" : "WRONG");
    return ok;
}

static bool measure(const bench_mode *m, int threads) {
    char shape[64];
    side ours = {.failed = false};
    bench_peer peer;
    wf_params *p = wf_params_new(7);
    bool ok = bench_verify(m, threads) &&
              bench_trainer(&ours.c, p, bench_notebook, m, threads) && same_bits(&ours, threads);
    if (!ok) return false;
    const bool beside = bench_peer_open(&peer, p, bench_notebook, "train", m->peer, "auto",
                                        threads);
    ok = !beside || same_loss(&ours, &peer, m);
    double limit = bench_peak_mode(m->name, threads);
    bench_side sides[] = {{.run = run, .user = &ours, .linger_s = 0.02},
                          {.run = bench_peer_run, .user = beside ? &peer : NULL, .linger_s = 0.02}};
    if (ok) bench_in_turn(sides, 2, 10);
    const long before = faults();
    run(&ours);
    const long after = faults();
    limit = fmax(limit, bench_peak_mode(m->name, threads));
    const wf_program_info info = wf_program_describe(ours.c.program);
    const bench_row row = {
        .question = "training step", .shape = bench_size_text(bench_notebook, shape),
        .mode = m->name, .unit = "GFLOP/s", .work = info.flops * 1e-9, .limit = limit,
        .best = sides[0].best, .median = sides[0].median, .ok = ok && !ours.failed,
        .peer = peer.name, .peer_best = sides[1].best, .peer_median = sides[1].median};
    bench_print(&row);
    printf("  %.2f times the limit of %.3f s (%.0f GFLOP at %.0f GFLOP/s); median %.3f s; "
           "page faults in a step: %ld\n", row.best * limit / row.work, row.work / limit, row.work,
           limit, row.median, after - before);
    if (beside)
        printf("  %s: %.3f s, median %.3f s, %.2f times the limit\n", peer.name, row.peer_best,
               row.peer_median, row.peer_best * limit / row.work);
    bench_peer_close(&peer);
    convlstm_program_free(&ours.c);
    wf_params_free(p);
    return row.ok;
}

int main(int argc, char **argv) {
    bench_place(argv);
    bench_open("train", &argc, argv);
    bench_header("bench_train");
    bool ok = true;
    for (const bench_mode *m = bench_modes; m->name; m++)
        if (argc < 2 || !strcmp(argv[1], m->name)) ok &= measure(m, bench_threads());
    return bench_close() | !ok;
}
