#include "bench/program.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/bench.h"

const bench_mode bench_modes[] = {
    {"f32", WF_PRECISION_F32, 1e-6, "fp32", 1e-4, 1e-4},
    {"f32x3", WF_PRECISION_F32X3, 1e-5, "fp32", 1e-4, 5e-3},
    {"bf16", WF_PRECISION_BF16, 5e-3, "bf16", 5e-3, 0.12},
    {0},
};

wf_program *bench_compile(wf_graph *g, const wf_tensor *out, int n, wf_compile_opt o) {
    wf_program *p = NULL;
    if (!o.threads) o.threads = bench_threads();
    const wf_status status = wf_compile(&p, g, out, n, o);
    wf_graph_free(g);
    if (status) return fprintf(stderr, "bench: %s\n", wf_error()), NULL;
    const char *name;
    for (uint32_t i = 0; (name = wf_program_input(p, i)); i++) {
        size_t bytes;
        float *x = wf_data_named(p, name, &bytes);
        bench_fill(x, (int64_t)(bytes / sizeof *x), i);
    }
    return p;
}

void bench_run(void *program) {
    if (wf_run(program)) {
        fprintf(stderr, "bench: %s\n", wf_error());
        exit(1);
    }
}

double bench_error(const float *got, int64_t n, int samples,
                   double (*want)(const void *user, int64_t at), const void *user) {
    uint64_t state = 7;
    double error = 0, norm = 0;
    for (int i = 0; i < samples; i++) {
        const int64_t at = (int64_t)(fabs(bench_random(&state)) * (double)(n - 1));
        const double w = want(user, at);
        error += pow((double)got[at] - w, 2);
        norm += w * w;
    }
    return norm > 0 ? sqrt(error / norm) : sqrt(error);
}
