/* How long does the notebook's training step take, and what share of the machine is that?
 *
 * In f32; bench_train measures every mode, and PyTorch beside. Verified first: a small network's
 * compiled step against the same graph with every pass off (tuned kernels too: reference
 * evaluators), and the full step's loss with 1 thread against all threads, bit for bit. The work of
 * the full step (batch 8, 19 steps of 32x32, hidden 64) is 665 GFLOP: forward, data gradients and
 * weight gradients of every convolution but those of h = 0 and of the frames. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "bench/convlstm.h"

/* A step of fresh weights on bench_clips. */
static bool step(convlstm_program *c, wf_params *p, int threads) {
    if (!bench_trainer(c, p, bench_notebook, &bench_modes[0], threads)) return false;
    *c->lr = 1e-3f;
    return true;
}

/* Loss and norm of the first step on one thread. */
static bool alone(float *loss, float *norm) {
    wf_params *p = wf_params_new(7);
    convlstm_program c;
    if (!p || !step(&c, p, 1) || wf_run(c.program)) return false;
    *loss = *c.loss;
    *norm = *c.norm;
    convlstm_program_free(&c);
    wf_params_free(p);
    return true;
}

static int compare_double(const void *a, const void *b) {
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

int main(int argc, char **argv) {
    bench_open("step", &argc, argv);
    const int threads = bench_threads(), rounds = argc > 1 ? atoi(argv[1]) : 5;
    double peak = bench_header("bench_step");
    const double gflop = 664.6;
    if (!bench_verify(&bench_modes[0], threads)) return 1;
    wf_params *p = wf_params_new(7);
    convlstm_program c;
    const double t0 = bench_now();
    if (!p || !step(&c, p, threads)) return 1;
    const double compile_s = bench_now() - t0;
    const wf_program_info info = wf_program_describe(c.program);
    float loss, norm;
    if (!alone(&loss, &norm) || wf_run(c.program)) return 1;
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
