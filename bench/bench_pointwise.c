/* What does an element cost in elementwise work? A function alone (a row kernel of the library), in
 * a group as generated code, and the same group in the tile interpreter; the gates of an LSTM cell
 * forward and backward; batch norm as it is applied. In cache, where arithmetic decides, and in
 * memory, where bytes do. Generated groups must use vectors: their disassembly is read.
 *
 *   bench_pointwise [--quick] [--json FILE]
 *
 * The peer in the table is the interpreter. Each result is compared with libm in double. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autograd/autograd.h"
#include "bench/bench.h"
#include "bench/program.h"
#include "bench/vectors.h"

enum { SAMPLES = 200, CHANNELS = 64, CELL = 5 };

typedef struct subject {
    const char *name;
    bool alone;          /* one operation: no group, no interpreter */
    int reads, writes;   /* arrays of the elements */
    int (*build)(wf_graph *g, int64_t n, wf_tensor *out); /* number of outputs */
    double (*want)(const void *in, int64_t at);           /* of the first output */
} subject;

/* --- the subjects ----------------------------------------------------------------------------- */

static wf_tensor input(wf_graph *g, int64_t n, const char *name) {
    return wf_input(g, name, WF_F32, WF_SHAPE(n / CHANNELS, CHANNELS));
}

/* Input `name` of a program, at an element. */
static double in(const void *program, const char *name, int64_t at) {
    return (double)((const float *)wf_data_named((wf_program *)program, name, NULL))[at];
}

static int build_exp(wf_graph *g, int64_t n, wf_tensor *out) {
    return out[0] = wf_exp(input(g, n, "x")), 1;
}
static int build_tanh(wf_graph *g, int64_t n, wf_tensor *out) {
    return out[0] = wf_tanh(input(g, n, "x")), 1;
}
static int build_sigmoid(wf_graph *g, int64_t n, wf_tensor *out) {
    return out[0] = wf_sigmoid(input(g, n, "x")), 1;
}
static double want_exp(const void *p, int64_t at) { return exp(in(p, "x", at)); }
static double want_tanh(const void *p, int64_t at) { return tanh(in(p, "x", at)); }
static double sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double want_sigmoid(const void *p, int64_t at) { return sigmoid(in(p, "x", at)); }

static int build_x_exp(wf_graph *g, int64_t n, wf_tensor *out) {
    const wf_tensor x = input(g, n, "x");
    return out[0] = wf_add(x, wf_exp(x)), 1;
}
static int build_x_tanh(wf_graph *g, int64_t n, wf_tensor *out) {
    const wf_tensor x = input(g, n, "x");
    return out[0] = wf_add(x, wf_tanh(x)), 1;
}
static int build_x_sigmoid(wf_graph *g, int64_t n, wf_tensor *out) {
    const wf_tensor x = input(g, n, "x");
    return out[0] = wf_add(x, wf_sigmoid(x)), 1;
}
static double want_x_exp(const void *p, int64_t at) { return in(p, "x", at) + want_exp(p, at); }
static double want_x_tanh(const void *p, int64_t at) { return in(p, "x", at) + want_tanh(p, at); }
static double want_x_sigmoid(const void *p, int64_t at) {
    return in(p, "x", at) + want_sigmoid(p, at);
}

/* c' = sigmoid(f) c + sigmoid(i) tanh(u), h = sigmoid(o) tanh(c'). */
static const char *const cell_names[CELL] = {"i", "f", "u", "o", "c"};
static void cell(const wf_tensor *x, wf_tensor *c, wf_tensor *h) {
    *c = wf_add(wf_mul(wf_sigmoid(x[1]), x[4]), wf_mul(wf_sigmoid(x[0]), wf_tanh(x[2])));
    *h = wf_mul(wf_sigmoid(x[3]), wf_tanh(*c));
}
static int build_gates(wf_graph *g, int64_t n, wf_tensor *out) {
    wf_tensor x[CELL];
    for (int i = 0; i < CELL; i++) x[i] = input(g, n, cell_names[i]);
    cell(x, &out[1], &out[0]);
    return 2;
}
static double cell_c(const void *p, int64_t at) {
    const double kept = sigmoid(in(p, "f", at)) * in(p, "c", at);
    return kept + sigmoid(in(p, "i", at)) * tanh(in(p, "u", at));
}
static double want_gates(const void *p, int64_t at) {
    return sigmoid(in(p, "o", at)) * tanh(cell_c(p, at));
}

/* Gradients of sum(h dh) in all five: the forward pass is computed anew in the same group. */
static int build_back(wf_graph *g, int64_t n, wf_tensor *out) {
    wf_tensor x[CELL], c, h;
    for (int i = 0; i < CELL; i++) x[i] = input(g, n, cell_names[i]);
    cell(x, &c, &h);
    wf_vjp(h, input(g, n, "dh"), x, CELL, out);
    return CELL;
}
static double want_back(const void *p, int64_t at) {
    const double t = tanh(cell_c(p, at)), i = sigmoid(in(p, "i", at));
    const double dc = in(p, "dh", at) * sigmoid(in(p, "o", at)) * (1 - t * t);
    return dc * tanh(in(p, "u", at)) * i * (1 - i);
}

/* Batch norm with given statistics, as in inference and in the second pass of training. */
static int build_norm(wf_graph *g, int64_t n, wf_tensor *out) {
    static const char *const names[] = {"mean", "var", "weight", "bias"};
    const wf_tensor x = input(g, n, "x");
    wf_tensor p[4];
    for (int i = 0; i < 4; i++) p[i] = wf_input(g, names[i], WF_F32, WF_SHAPE(CHANNELS));
    const wf_tensor scale = wf_mul(p[2], wf_rsqrt(wf_add_scalar(wf_mul(p[1], p[1]), 1e-5)));
    out[0] = wf_add(wf_mul(wf_sub(x, p[0]), scale), p[3]);
    return 1;
}
static double want_norm(const void *p, int64_t at) {
    const int64_t c = at % CHANNELS;
    const double v = in(p, "var", c);
    return (in(p, "x", at) - in(p, "mean", c)) * in(p, "weight", c) / sqrt(v * v + 1e-5) +
           in(p, "bias", c);
}

static const subject subjects[] = {
    {"exp", true, 1, 1, build_exp, want_exp},
    {"tanh", true, 1, 1, build_tanh, want_tanh},
    {"sigmoid", true, 1, 1, build_sigmoid, want_sigmoid},
    {"x + exp(x)", false, 1, 1, build_x_exp, want_x_exp},
    {"x + tanh(x)", false, 1, 1, build_x_tanh, want_x_tanh},
    {"x + sigmoid(x)", false, 1, 1, build_x_sigmoid, want_x_sigmoid},
    {"LSTM gates", false, CELL, 2, build_gates, want_gates},
    {"gates' gradient", false, CELL + 1, CELL, build_back, want_back},
    {"batch norm", false, 1, 1, build_norm, want_norm},
};

/* --- measuring -------------------------------------------------------------------------------- */

typedef struct limits {
    double l2, read, write;
} limits;

static wf_program *compile(const subject *s, int64_t n, unsigned off, double *error) {
    wf_tensor out[CELL];
    wf_graph *g = wf_graph_new();
    const int n_out = s->build(g, n, out);
    wf_program *p = bench_compile(g, out, n_out, (wf_compile_opt){.off = off});
    if (!p) exit(1);
    bench_run(p);
    *error = bench_error(wf_data(p, out[0]), n, SAMPLES, s->want, p);
    return p;
}

/* The better of what was measured before and what is now. */
static void measure_limits(limits *l, int threads) {
    l->l2 = fmax(l->l2, bench_peak_l2(threads));
    l->read = fmax(l->read, bench_peak_read(threads));
    l->write = fmax(l->write, bench_peak_write(threads));
}

static void measure(const subject *s, int64_t n, const char *where) {
    double error = 0, error_off = 0;
    const int threads = bench_threads();
    wf_program *fast = compile(s, n, 0, &error);
    const vector_count v = vectors_new();
    wf_program *plain = s->alone ? NULL : compile(s, n, WF_PASS_CODE, &error_off);
    bench_side side[] = {{.run = bench_run, .user = fast}, {.run = bench_run, .user = plain}};
    limits l = {0};
    measure_limits(&l, threads);
    bench_in_turn(side, 2, 0.2);
    measure_limits(&l, threads);
    char shape[96];
    snprintf(shape, sizeof shape, "%s, %s", where, s->alone ? "row kernel" : "generated");
    const double bytes = 4e-9 * (double)n * (s->reads + s->writes);
    const double slow = 4e-9 * (double)n * (s->reads / l.read + s->writes / l.write);
    const bool vectors = s->alone || !v.known || 2 * v.packed >= v.single;
    bench_print(&(bench_row){
        .question = s->name, .shape = shape, .mode = "f32", .unit = "GB/s", .work = bytes,
        .limit = where[3] == 'c' ? l.l2 : bytes / slow, .best = side[0].best,
        .median = side[0].median, .error = error,
        .ok = error < 1e-6 && error_off < 1e-6 && vectors,
        .peer = s->alone ? NULL : "tile interpreter", .peer_best = side[1].best,
        .peer_median = side[1].median, .ns = side[0].best * 1e9 * threads / (double)n});
    if (!s->alone && where[3] == 'c' && v.known)
        printf("%16s   arithmetic in its code: %d instructions on vectors of %d bits, %d on one "
               "element%s\n", "", v.packed, v.widest, v.single,
               vectors ? "" : ": NOT VECTORISED");
    wf_program_free(fast);
    wf_program_free(plain);
}

int main(int argc, char **argv) {
    if (!vectors_begin()) return fprintf(stderr, "bench_pointwise: no room in /tmp\n"), 1;
    setenv("WF_JIT", "sync", 1);
    bench_open("pointwise", &argc, argv);
    const bool quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
    const int threads = bench_threads();
    bench_header("bench_pointwise");
    for (size_t i = 0; i < WF_COUNT(subjects); i++) {
        const subject *s = &subjects[i];
        /* All arrays together: 512 KiB of a worker, and far more than any cache. */
        const int64_t arrays = s->reads + s->writes;
        measure(s, threads * (131072 / arrays / CHANNELS) * CHANNELS, "in cache");
        if (!quick) measure(s, (int64_t)(1 << 26) / arrays / CHANNELS * CHANNELS, "in memory");
    }
    const int status = bench_close();
    vectors_end();
    return status;
}
