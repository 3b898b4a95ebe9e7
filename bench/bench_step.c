/* How long does the notebook's training step take, and what share of the machine is that?
 *
 * Verified first: a small network's compiled step against the same graph with every pass off (tuned
 * kernels too: reference evaluators), and the full step's loss with 1 thread against all threads,
 * bit for bit. The work of the full step (batch 8, 19 steps of 32x32, hidden 64) is 665 GFLOP:
 * forward, data gradients and weight gradients of every convolution but those of h = 0 and of the
 * frames. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "bench/bench.h"
#include "models/convlstm/model.h"

/* Smooth blobs that move: what matters is that nothing is zero or equal. */
static void fill(const convlstm_program *c) {
    const convlstm_size s = c->size;
    size_t at = 0;
    for (int64_t t = 0; t < s.frames; t++)
        for (int64_t n = 0; n < s.batch; n++)
            for (int64_t y = 0; y < s.height; y++)
                for (int64_t x = 0; x < s.width; x++, at++) {
                    const double u = (double)x - 10 - 0.7 * (double)t,
                                 v = (double)y - 8 - (double)n;
                    c->x[at] = (float)exp(-(u * u + v * v) / 20);
                    c->target[at] = (float)exp(-((u - 0.7) * (u - 0.7) + v * v) / 20);
                }
    *c->lr = 1e-3f;
}

static bool step(convlstm_program *c, wf_params *p, convlstm_size s, wf_compile_opt o) {
    if (convlstm_trainer(c, p, s, 2, o) == WF_OK) return true;
    fprintf(stderr, "bench_step: %s\n", wf_error());
    return false;
}

/* Loss and norm after `steps` steps of a fresh network. */
static bool losses(convlstm_size s, wf_compile_opt o, int steps, float *loss, float *norm) {
    wf_params *p = wf_params_new(7);
    convlstm_program c;
    if (!p || !step(&c, p, s, o)) return false;
    fill(&c);
    for (int i = 0; i < steps; i++)
        if (wf_run(c.program)) return false;
    *loss = *c.loss;
    *norm = *c.norm;
    convlstm_program_free(&c);
    wf_params_free(p);
    return true;
}

static bool verify(int threads) {
    const convlstm_size small = {.frames = 4, .batch = 2, .height = 8, .width = 8, .hidden = 3};
    float a, b, na, nb;
    if (!losses(small, (wf_compile_opt){.threads = threads}, 3, &a, &na) ||
        !losses(small, (wf_compile_opt){.threads = 1, .off = WF_PASS_ALL}, 3, &b, &nb))
        return false;
    const bool ok = fabsf(a - b) <= 1e-5f * fabsf(b) && fabsf(na - nb) <= 1e-3f * fabsf(nb);
    printf("verify: small step, all passes %.8g, none %.8g: %s\n", a, b, ok ? "ok" : "WRONG");
    return ok;
}

static int compare_double(const void *a, const void *b) {
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

int main(int argc, char **argv) {
    bench_open("step", &argc, argv);
    const int threads = bench_threads(), rounds = argc > 1 ? atoi(argv[1]) : 5;
    double peak = bench_header("bench_step");
    const convlstm_size full = {.frames = 19, .batch = 8, .height = 32, .width = 32, .hidden = 64};
    const double gflop = 664.6;
    if (!verify(threads)) return 1;
    wf_params *p = wf_params_new(7);
    convlstm_program c;
    const double t0 = bench_now();
    if (!p || !step(&c, p, full, (wf_compile_opt){.threads = threads})) return 1;
    const double compile_s = bench_now() - t0;
    const wf_program_info info = wf_program_describe(c.program);
    fill(&c);
    float loss, norm;
    if (!losses(full, (wf_compile_opt){.threads = 1}, 1, &loss, &norm) || wf_run(c.program))
        return 1;
    const bool same = memcmp(&loss, c.loss, sizeof loss) == 0 && memcmp(&norm, c.norm, 4) == 0;
    printf("verify: full step, 1 thread %.9g, %d threads %.9g: %s\n", loss, threads, *c.loss,
           same ? "same bits" : "WRONG");
    if (!same) return 1;
    double *s = calloc((size_t)rounds + 1, sizeof *s);
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    for (int i = 0; s && i < rounds; i++) {
        const double start = bench_now();
        if (wf_run(c.program)) return 1;
        s[i] = bench_now() - start;
    }
    getrusage(RUSAGE_SELF, &after);
    qsort(s, (size_t)rounds, sizeof *s, compare_double);
    const double median = s[rounds / 2];
    peak = fmax(peak, bench_peak_fma(threads)); /* the machine may be shared */
    printf("compile %.0f ms, %u nodes, %u launches (%u copies, %u reference)\n", compile_s * 1e3,
           info.nodes, info.launches, info.copies, info.reference);
    printf("arena %.0f MiB (largest live set %.0f MiB), page faults in %d steps: %ld\n",
           (double)info.arena_bytes / 0x1p20, (double)info.live_bytes / 0x1p20, rounds,
           after.ru_minflt - before.ru_minflt);
    printf("step: median %.3f s, best %.3f s, %.0f GFLOP/s, %.2f times the limit of %.3f s\n",
           median, s[0], gflop / median, median * peak / gflop, gflop / peak);
    bench_record(&(bench_row){.question = "training step", .shape = "batch 8, 19 steps of 32x32",
                              .mode = "f32", .unit = "GFLOP/s", .work = gflop, .limit = peak,
                              .best = s[0], .median = median, .ok = true, .threads = threads});
    free(s);
    convlstm_program_free(&c);
    wf_params_free(p);
    return bench_close();
}
