/* What does each part of the compiler bring to the bundled training step (19 steps of 32x32, batch
 * 8, hidden 64), and what does compiling cost? Prints the tables of the README's "What the compiler
 * does".
 *
 * Verified first: every row's step against the same graph with every pass off (tuned kernels too:
 * reference evaluators), small; then a full step of each row against the first's, bit for bit where
 * the passes promise that. Steps are timed in turns, one of each row after the other, so that all
 * rows see the same machine; the best of each counts.
 *
 *   bench_compiler [rounds]     2 if not given: about a minute and 8 GiB */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/convlstm.h"
#include "compiler/cc.h"
#include "compiler/program.h"

/* A way to compile the step, and what came of it. */
typedef struct row {
    const char *name;
    unsigned off;    /* passes */
    bool separate;   /* the cells written with eight convolutions */
    bool tight;      /* a budget of 60 % of the first row's arena */
    bool other_bits; /* sums in another order than the first row's */
    wf_params *p;
    wf_program *program;
    wf_program_info info;
    float loss, norm;
    double best; /* seconds */
} row;

enum { ROWS = 7 };
static const row rows[ROWS] = {
    {.name = "everything on"},
    {.name = "`WF_JIT=off` (tile interpreter)", .off = WF_PASS_CODE},
    {.name = "without chains", .off = WF_PASS_CHAIN},
    {.name = "without fusion", .off = WF_PASS_FUSE},
    {.name = "without simplify, merge and fuse", .other_bits = true,
     .off = WF_PASS_SIMPLIFY | WF_PASS_MERGE | WF_PASS_FUSE},
    {.name = "cells written with eight convolutions", .separate = true, .other_bits = true},
    {.name = "memory budget of 60 %", .tight = true},
};

static const convlstm_size small = {.frames = 4, .batch = 2, .height = 8, .width = 8, .hidden = 3};

static bool failed(void) {
    fprintf(stderr, "bench_compiler: %s\n", wf_error());
    return false;
}

/* --- the graph ---------------------------------------------------------------------------------*/

/* models/convlstm/model.c's network and names, with cells written as the notebook writes them. */
static wf_tensor separate_network(wf_params *p, wf_tensor x, int64_t hidden) {
    static const int kernel[] = {5, 3, 1};
    char name[32];
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "convlstm%d.0.conv_lstm_cell", i);
        x = wf_nn_convlstm(p, name, x, (wf_convlstm_opt){
            .hidden = hidden, .kernel = kernel[i], .activation = wf_relu, .separate = true});
        snprintf(name, sizeof name, "convlstm%d.1", i);
        x = wf_nn_batch_norm(p, name, x, (wf_batch_norm_opt){.training = true});
    }
    return wf_nn_convlstm(p, "final.conv_lstm_cell", x, (wf_convlstm_opt){
        .hidden = 1, .kernel = 1, .activation = wf_relu, .separate = true});
}

static bool training_graph(wf_graph **g, wf_tensor out[CONVLSTM_TRAINER_OUTPUTS], wf_params *p,
                           convlstm_size s, bool separate) {
    if (!separate) return convlstm_training_graph(g, out, p, s, 2) == WF_OK || failed();
    const wf_shape frames = WF_SHAPE(s.frames, s.batch, s.height, s.width, 1);
    if (!(*g = wf_graph_new())) return failed();
    const wf_tensor x = wf_input(*g, "x", WF_F32, frames), y = separate_network(p, x, s.hidden);
    const wf_tensor target = wf_input(*g, "target", WF_F32, frames);
    out[0] = wf_name(wf_nn_mse(y, target), "loss");
    out[1] = wf_name(wf_nn_adam(p, out[0], (wf_optimizer_opt){.clip_norm = 2}), "grad_norm");
    out[2] = wf_name(wf_nn_l1(y, target), "mae");
    return true;
}

static void fill(wf_program *p, convlstm_size s) {
    bench_clips(s, wf_data_named(p, "x", NULL), wf_data_named(p, "target", NULL));
    *(float *)wf_data_named(p, "lr", NULL) = 1e-3f;
}

static void close_row(row *r) {
    wf_program_free(r->program);
    wf_params_free(r->p);
    r->program = NULL;
    r->p = NULL;
}

/* Compiles a row over a fresh network and runs one step. */
static bool open_row(row *r, convlstm_size s, size_t memory) {
    wf_graph *g = NULL;
    wf_tensor out[CONVLSTM_TRAINER_OUTPUTS];
    if (!(r->p = wf_params_new(7))) return failed();
    bool ok = training_graph(&g, out, r->p, s, r->separate);
    if (ok && wf_compile(&r->program, g, out, CONVLSTM_TRAINER_OUTPUTS,
                         (wf_compile_opt){.precision = WF_PRECISION_F32, .off = r->off,
                                          .memory = memory}))
        ok = failed();
    wf_graph_free(g);
    if (!ok) return false;
    r->info = wf_program_describe(r->program);
    fill(r->program, s);
    if (wf_run(r->program)) return failed();
    r->loss = *(float *)wf_data_named(r->program, "loss", NULL);
    r->norm = *(float *)wf_data_named(r->program, "grad_norm", NULL);
    return true;
}

static bool open_all(row *r, convlstm_size s) {
    for (int i = 0; i < ROWS; i++) {
        r[i] = rows[i];
        if (!open_row(&r[i], s, r[i].tight ? r[0].info.arena_bytes / 5 * 3 : 0)) return false;
    }
    return true;
}

static bool agrees(const row *r, const row *with) {
    return fabsf(r->loss - with->loss) <= 1e-5f * fabsf(with->loss) &&
           fabsf(r->norm - with->norm) <= 1e-3f * fabsf(with->norm);
}

static bool verify_small(void) {
    row r[ROWS], reference = {.off = WF_PASS_ALL};
    bool ok = open_row(&reference, small, 0) && open_all(r, small);
    for (int i = 0; ok && i < ROWS; i++)
        if (!agrees(&r[i], &reference)) {
            printf("verify: %s: loss %.9g, every pass off %.9g: WRONG\n", r[i].name, r[i].loss,
                   reference.loss);
            ok = false;
        }
    if (!ok) return false;
    for (int i = 0; i < ROWS; i++) close_row(&r[i]);
    close_row(&reference);
    printf("verify: small step, every row against every pass off: ok\n");
    return true;
}

static bool verify_full(const row *r) {
    for (int i = 1; i < ROWS; i++) {
        const bool same = memcmp(&r[i].loss, &r[0].loss, 4) == 0 &&
                          memcmp(&r[i].norm, &r[0].norm, 4) == 0;
        if (same || (r[i].other_bits && agrees(&r[i], &r[0]))) continue;
        printf("verify: %s: loss %.9g, norm %.9g; %s: %.9g, %.9g: WRONG\n", r[i].name, r[i].loss,
               r[i].norm, r[0].name, r[0].loss, r[0].norm);
        return false;
    }
    printf("verify: full step, loss %.9g, every row against the first: ok\n", r[0].loss);
    return true;
}

/* --- what compiling costs ----------------------------------------------------------------------*/

typedef struct compiling {
    double seconds;  /* passes and plan, the best of three */
    uint32_t kernels;
    double cold, warm; /* cc: into an empty cache, from it; the best of three; 0 without one */
} compiling;

/* Seconds that `p` waits for its kernels with the cache `home`, in a process of its own: a process
 * makes a kernel once. 0 if it does not get them all. */
static double wait_for_code(wf_plan *p, const char *home) {
    int fd[2];
    double seconds = 0;
    if (pipe(fd)) return 0;
    const pid_t child = fork();
    if (child == 0) {
        setenv("XDG_CACHE_HOME", home, 1);
        const double start = bench_now();
        bool ok = wf_plan_code(p, WF_CODE_SYNC) == WF_OK;
        seconds = bench_now() - start;
        for (uint32_t i = 0; ok && i < p->n_kernel; i++) ok = wf_code_kernel(p->code, i) != NULL;
        if (!ok) seconds = 0;
        _exit(write(fd[1], &seconds, sizeof seconds) != sizeof seconds);
    }
    close(fd[1]);
    if (child < 0 || read(fd[0], &seconds, sizeof seconds) != sizeof seconds) seconds = 0;
    close(fd[0]);
    if (child > 0) waitpid(child, NULL, 0);
    return seconds;
}

static bool time_code(compiling *c, wf_plan *p) {
    c->cold = c->warm = INFINITY;
    for (int i = 0; i < 3; i++) {
        char home[] = "/tmp/weft-bench-XXXXXX", command[64];
        if (!mkdtemp(home)) return false;
        c->cold = fmin(c->cold, wait_for_code(p, home));
        c->warm = fmin(c->warm, wait_for_code(p, home));
        snprintf(command, sizeof command, "rm -rf %s", home);
        if (system(command)) return false;
    }
    return c->cold > 0 && c->warm > 0;
}

/* The plan of the whole step of T steps, from its graph with gradients. */
static bool time_compiling(compiling *c, int64_t steps, bool code) {
    convlstm_size s = bench_notebook;
    s.frames = steps;
    wf_params *params = wf_params_new(7);
    wf_graph *g = NULL;
    wf_tensor out[CONVLSTM_TRAINER_OUTPUTS];
    bool ok = params && training_graph(&g, out, params, s, false);
    *c = (compiling){.seconds = INFINITY};
    for (int i = 0; ok && i < 3; i++) {
        wf_stage stage = {0};
        wf_plan plan = {0};
        const double start = bench_now();
        ok = !wf_stage_make(&stage, g, out, CONVLSTM_TRAINER_OUTPUTS, (wf_compile_opt){0},
                            "plan") &&
             !wf_plan_make(&plan, &stage, CONVLSTM_TRAINER_OUTPUTS, 0);
        c->seconds = fmin(c->seconds, bench_now() - start);
        c->kernels = plan.n_kernel;
        if (ok && code && i == 0) ok = time_code(c, &plan);
        wf_plan_free(&plan);
        wf_stage_free(&stage);
    }
    wf_graph_free(g);
    wf_params_free(params);
    return ok || failed();
}

static bool print_compiling(void) {
    wf_cc cc;
    compiling c[2];
    const bool code = wf_cc_find(&cc) == WF_OK;
    if (!time_compiling(&c[0], 19, code) || !time_compiling(&c[1], 190, false)) return false;
    printf("passes and plan: %.1f ms at T = 19, %.1f ms at T = 190 (%.1f times), %u and %u "
           "kernels\n", c[0].seconds * 1e3, c[1].seconds * 1e3, c[1].seconds / c[0].seconds,
           c[0].kernels, c[1].kernels);
    if (code) printf("cc: %.2f s cold, %.1f ms warm\n", c[0].cold, c[0].warm * 1e3);
    else printf("cc: there is none here\n");
    printf("{\"bench\":\"compiling\",\"seconds\":%.4f,\"seconds_190\":%.4f,\"kernels\":%u,"
           "\"kernels_190\":%u,\"cc_cold\":%.3f,\"cc_warm\":%.4f}\n", c[0].seconds, c[1].seconds,
           c[0].kernels, c[1].kernels, c[0].cold, c[0].warm);
    fflush(stdout);
    return true;
}

/* --- the table ---------------------------------------------------------------------------------*/

static bool time_rows(row *r, int rounds) {
    for (int i = 0; i < ROWS; i++) r[i].best = INFINITY;
    for (int k = 0; k < rounds; k++)
        for (int i = 0; i < ROWS; i++) {
            const double start = bench_now();
            if (wf_run(r[i].program)) return failed();
            r[i].best = fmin(r[i].best, bench_now() - start);
        }
    return true;
}

static void print_rows(const row *r) {
    printf("| | seconds a step | launches | elementwise bytes | barriers | arena, MiB |\n");
    printf("|---|---|---|---|---|---|\n");
    for (int i = 0; i < ROWS; i++)
        printf("| %s | %.2f | %u | %.1f GB | %u | %.0f |\n", r[i].name, r[i].best,
               r[i].info.launches, r[i].info.moved_bytes * 1e-9, r[i].info.barriers,
               (double)r[i].info.arena_bytes / 0x1p20);
    const wf_program_info *tight = &r[ROWS - 1].info;
    printf("budget: %u operations computed again, %.0f GFLOP more a step\n", tight->recomputed,
           tight->recompute_flops * 1e-9);
    for (int i = 0; i < ROWS; i++)
        printf("{\"bench\":\"compiler\",\"row\":\"%s\",\"threads\":%d,\"seconds\":%.4f,"
               "\"launches\":%u,\"moved_bytes\":%.0f,\"barriers\":%u,\"arena_bytes\":%zu,"
               "\"recomputed\":%u}\n", r[i].name, r[i].info.threads, r[i].best,
               r[i].info.launches, r[i].info.moved_bytes, r[i].info.barriers,
               r[i].info.arena_bytes, r[i].info.recomputed);
}

int main(int argc, char **argv) {
    const int rounds = argc > 1 && atoi(argv[1]) > 0 ? atoi(argv[1]) : 2;
    static row r[ROWS];
    /* First, while the process has no threads that a child would miss. */
    if (!print_compiling()) return 1;
    bench_header("bench_compiler");
    setenv("WF_JIT", "sync", 1);
    if (!verify_small() || !open_all(r, bench_notebook) || !verify_full(r)) return 1;
    fflush(stdout);
    if (!time_rows(r, rounds)) return 1;
    print_rows(r);
    for (int i = 0; i < ROWS; i++) close_row(&r[i]);
    return 0;
}
