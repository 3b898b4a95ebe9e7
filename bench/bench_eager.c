/* How long does a training step of mnist_cnn and of char_gpt take? Verified first: losses of a few
 * steps against the same graph with every pass off. `make bench-eager` does the same steps in
 * PyTorch's eager mode beside it (bench/eager.py), for which this program then serves:
 *
 *   bench_eager MODEL FILE    writes the initial weights to FILE; then, for each line "N" on stdin,
 *                             runs N steps and writes a line "LOSS SECONDS" for each
 *
 * Inputs follow from formulas that both sides know. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "models/char_gpt/model.h"

int mnist_cnn_main(int argc, char **argv);
#define main mnist_cnn_main
#include "models/mnist_cnn/main.c"
#undef main

enum { CHECKED = 3, TIMED = 20 };
#define RATE 1e-3

typedef struct model {
    const char *name;
    wf_params *p;
    wf_program *step;
    const float *loss;
} model;

/* Element i of an input: smooth enough, and nowhere equal. */
static double at(int64_t i) { return (double)(i * 7919 % 1009) / 1009; }

static wf_tensor mnist_loss(wf_params *p, wf_graph *g) {
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(BATCH, 28, 28, 1));
    const wf_tensor y = wf_input(g, "y", WF_I64, WF_SHAPE(BATCH));
    const wf_tensor loss = wf_nn_cross_entropy(network(p, x), y);
    wf_nn_adam(p, loss, (wf_optimizer_opt){0});
    return loss;
}

static wf_tensor gpt(wf_params *p, wf_graph *g) {
    const gpt_size s = {.symbols = 54, .context = 128, .width = 128, .heads = 4, .layers = 4};
    const wf_tensor x = wf_input(g, "x", WF_I64, WF_SHAPE(s.context, 16));
    const wf_tensor y = wf_input(g, "y", WF_I64, WF_SHAPE(s.context, 16));
    const wf_tensor loss = gpt_loss(p, x, y, s);
    gpt_optimizer(p, loss);
    return loss;
}

static wf_status open_model(model *m, const char *name, wf_compile_opt o) {
    const bool is_gpt = !strcmp(name, "char_gpt");
    wf_graph *g = wf_graph_new();
    size_t bytes;
    *m = (model){.name = name, .p = wf_params_new(7)};
    const wf_tensor loss = wf_name(is_gpt ? gpt(m->p, g) : mnist_loss(m->p, g), "loss");
    const wf_status status = wf_compile(&m->step, g, &loss, 1, o);
    wf_graph_free(g);
    if (status) return status;
    m->loss = wf_data(m->step, loss);
    *(float *)wf_data_named(m->step, "lr", &bytes) = (float)RATE;
    void *x = wf_data_named(m->step, "x", &bytes);
    for (int64_t i = 0; is_gpt && i < (int64_t)(bytes / 8); i++)
        ((int64_t *)x)[i] = (int64_t)(54 * at(i));
    for (int64_t i = 0; !is_gpt && i < (int64_t)(bytes / 4); i++) ((float *)x)[i] = (float)at(i);
    int64_t *y = wf_data_named(m->step, "y", &bytes);
    for (int64_t i = 0; i < (int64_t)(bytes / 8); i++)
        y[i] = (int64_t)((is_gpt ? 54 : 10) * at(3 * i + 1));
    return WF_OK;
}

static void close_model(model *m) {
    wf_program_free(m->step);
    wf_params_free(m->p);
}

/* One step; its seconds, or a negative number. */
static double step(model *m) {
    const double start = bench_now();
    return wf_run(m->step) ? -1 : bench_now() - start;
}

static bool losses(const char *name, wf_compile_opt o, double loss[CHECKED]) {
    model m;
    bool ok = open_model(&m, name, o) == WF_OK;
    for (int i = 0; i < CHECKED && ok; i++) {
        ok = step(&m) >= 0;
        loss[i] = *m.loss;
    }
    close_model(&m);
    return ok;
}

static int compare_double(const void *a, const void *b) {
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

static bool verify_and_time(const char *name, int threads) {
    double fast[CHECKED], plain[CHECKED], seconds[TIMED];
    if (!losses(name, (wf_compile_opt){.threads = threads}, fast) ||
        !losses(name, (wf_compile_opt){.threads = threads, .off = WF_PASS_ALL & ~WF_PASS_FAST},
                plain))
        return false;
    bool ok = true;
    for (int i = 0; i < CHECKED; i++) ok = ok && fabs(fast[i] - plain[i]) < 1e-4 * fabs(plain[i]);
    model m;
    if (open_model(&m, name, (wf_compile_opt){.threads = threads})) return false;
    for (int i = 0; i < CHECKED; i++) step(&m);
    for (int i = 0; i < TIMED; i++) seconds[i] = step(&m);
    qsort(seconds, TIMED, sizeof *seconds, compare_double);
    const double gflop = 1e-9 * wf_program_describe(m.step).flops;
    printf("%-10s  %8.3f ms a step (least %.3f)  %6.1f GFLOP/s  [%s]\n", name,
           1e3 * seconds[TIMED / 2], 1e3 * seconds[0], gflop / seconds[TIMED / 2],
           ok ? "ok" : "WRONG");
    close_model(&m);
    return ok;
}

static bool serve(const char *name, const char *file) {
    model m;
    char line[32];
    if (open_model(&m, name, (wf_compile_opt){.threads = bench_threads()}) ||
        wf_params_save(m.p, file))
        return false;
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        for (int i = atoi(line); i > 0; i--) {
            const double s = step(&m);
            printf("%.9g %.9g\n", (double)*m.loss, s);
        }
        fflush(stdout);
    }
    close_model(&m);
    return true;
}

int main(int argc, char **argv) {
    bool ok;
    if (argc == 3) {
        ok = serve(argv[1], argv[2]);
    } else {
        bench_header("bench_eager");
        ok = verify_and_time("mnist_cnn", bench_threads());
        ok = verify_and_time("char_gpt", bench_threads()) && ok;
    }
    if (!ok) fprintf(stderr, "bench_eager: %s\n", wf_error());
    return !ok;
}
