/* How fast is f32 matrix multiplication beside OpenBLAS? Squares, and the matrices that the bundled
 * model's convolutions come to (pixels x filters x taps).
 *
 *   bench_matmul [--quick] [--json FILE]
 *
 * OpenBLAS is used if it can be loaded (apt install libopenblas-dev), with as many threads and,
 * under WF_ISA=avx2 or scalar, AVX2 or SSE4 only. Both results are compared with sums in double. */
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/program.h"

enum { SAMPLES = 64, ROW_MAJOR = 101, PLAIN = 111, TRANSPOSED = 112 };

typedef void sgemm_fn(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a,
                      int lda, const float *b, int ldb, float beta, float *c, int ldc);

static sgemm_fn *sgemm;
static char peer[128] = "absent: apt install libopenblas-dev";

/* A symbol as a function: ISO C has no conversion between the two kinds of pointers. */
static bool symbol(void *lib, const char *name, void *function) {
    void *found = lib ? dlsym(lib, name) : NULL;
    memcpy(function, &found, sizeof found);
    return found;
}

static void load_openblas(void) {
    /* Its best is its own choice, whatever the environment says for other programs' sake. */
    unsetenv("OPENBLAS_CORETYPE");
    unsetenv("OPENBLAS_L2_SIZE");
    if (wf_isa_get() == WF_ISA_AVX2) setenv("OPENBLAS_CORETYPE", "Haswell", 1);
    if (wf_isa_get() == WF_ISA_SCALAR) setenv("OPENBLAS_CORETYPE", "Nehalem", 1);
    void *lib = dlopen("libopenblas.so.0", RTLD_NOW);
    if (!lib) lib = dlopen("libopenblas.so", RTLD_NOW);
    void (*set_threads)(int);
    char *(*config)(void), *(*core)(void);
    if (!symbol(lib, "cblas_sgemm", &sgemm)) return;
    if (symbol(lib, "openblas_set_num_threads", &set_threads)) set_threads(bench_threads());
    if (symbol(lib, "openblas_get_config", &config) && symbol(lib, "openblas_get_corename", &core))
        snprintf(peer, sizeof peer, "%.*s (%s)", (int)strcspn(config() + 9, " ") + 9, config(),
                 core());
}

/* c (m, n) = a (m, k) b (k, n); `ta`: a is stored (k, m), as in a weight gradient. */
typedef struct product {
    const char *name;
    int m, n, k;
    bool ta, quick;
    const float *a, *b;
    float *c;
} product;

static product products[] = {
    {"512", 512, 512, 512, .quick = true},
    {"1024", 1024, 1024, 1024, .quick = true},
    {"2048", 2048, 2048, 2048, .quick = true},
    {"5x5 forward", 8192, 256, 1600, .quick = true},
    {"5x5 data gradient", 8192, 64, 6400, .quick = true},
    {"5x5 weight gradient", 1600, 256, 8192, .ta = true, .quick = true},
    {"3x3 forward", 8192, 256, 1152, .quick = true},
    {"3x3 data gradient", 8192, 128, 2304, .quick = false},
    {"3x3 weight gradient", 1152, 256, 8192, .ta = true},
    {"1x1 forward", 8192, 256, 64, .quick = true},
    {"1x1 data gradient", 8192, 64, 256, .quick = false},
    {"1x1 weight gradient", 64, 256, 8192, .ta = true},
    {"one channel", 8192, 256, 25, .quick = true},
    {"one image", 1024, 256, 1600, .quick = false},
    {"last layer", 8192, 4, 64, .quick = false},
    {"dense layer", 32, 4096, 1024, .quick = false},
    {"odd sizes", 1001, 333, 777, .quick = false},
};

static void run_peer(void *user) {
    const product *p = user;
    sgemm(ROW_MAJOR, p->ta ? TRANSPOSED : PLAIN, PLAIN, p->m, p->n, p->k, 1, p->a,
          p->ta ? p->m : p->k, p->b, p->n, 0, p->c, p->n);
}

static double want(const void *user, int64_t at) {
    const product *p = user;
    const int64_t i = at / p->n, j = at % p->n;
    double sum = 0;
    for (int64_t k = 0; k < p->k; k++)
        sum += (double)p->a[p->ta ? k * p->m + i : i * p->k + k] * (double)p->b[k * p->n + j];
    return sum;
}

static void measure(product *p, const bench_mode *mode) {
    const int threads = bench_threads();
    char shape[64];
    snprintf(shape, sizeof shape, "%s %dx%dx%d", p->name, p->m, p->n, p->k);
    wf_graph *g = wf_graph_new();
    const wf_tensor a =
        wf_input(g, "a", WF_F32, p->ta ? WF_SHAPE(p->k, p->m) : WF_SHAPE(p->m, p->k));
    const wf_tensor b = wf_input(g, "b", WF_F32, WF_SHAPE(p->k, p->n));
    const wf_tensor c = wf_matmul(p->ta ? wf_transpose(a, 0, 1) : a, b);
    wf_program *program = bench_compile(g, &c, 1, (wf_compile_opt){.precision = mode->precision});
    p->c = calloc((size_t)p->m * (size_t)p->n, sizeof *p->c);
    if (!program || !p->c) exit(1);
    p->a = wf_data_named(program, "a", NULL);
    p->b = wf_data_named(program, "b", NULL);
    bench_side side[] = {{.run = bench_run, .user = program},
                         {.run = run_peer, .user = sgemm ? p : NULL, .linger_s = 40e-3}};
    const int64_t n = (int64_t)p->m * p->n;
    bench_run(program);
    const double error = bench_error(wf_data(program, c), n, SAMPLES, want, p);
    bool ok = error <= mode->tolerance;
    if (sgemm) {
        run_peer(p);
        ok = ok && bench_error(p->c, n, SAMPLES, want, p) < 1e-5;
    }
    double limit = bench_peak_mode(mode->name, threads);
    bench_in_turn(side, 2, 0.3);
    limit = fmax(limit, bench_peak_mode(mode->name, threads));
    bench_print(&(bench_row){
        .question = "matmul", .shape = shape, .mode = mode->name, .unit = "GFLOP/s",
        .work = 2e-9 * (double)n * p->k, .limit = limit, .best = side[0].best,
        .median = side[0].median, .error = error, .ok = ok, .peer = peer,
        .peer_best = side[1].best, .peer_median = side[1].median});
    free(p->c);
    wf_program_free(program);
}

int main(int argc, char **argv) {
    bench_open("matmul", &argc, argv);
    const bool quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
    load_openblas();
    bench_header("bench_matmul");
    printf("peer: %s\n", peer);
    for (const bench_mode *mode = bench_modes; mode->name; mode++)
        for (size_t i = 0; i < WF_COUNT(products); i++)
            if (!quick || products[i].quick) measure(&products[i], mode);
    return bench_close();
}
