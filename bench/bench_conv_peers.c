/* How fast are convolutions beside oneDNN? Forward, data gradient and weight gradient, in every
 * compute mode, over the bundled model's shapes and a grid: 1 to 512 channels, kernels 1 to 7, 8 to
 * 256 pixels, strides, odd sizes, batches of 1 to 32. Ends with the geometric mean and the worst
 * shapes.
 *
 *   bench_conv_peers [--quick] [--mode NAME] [--json FILE] [text]
 *
 * quick: the model's shapes only; text: only shapes whose name contains it. oneDNN is used if the
 * build found it (bench/peer_dnnl.h); f32x3 is compared with its f32. Both results are compared
 * with sums in double on sampled elements. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autograd/autograd.h"
#include "bench/bench.h"
#include "bench/peer_dnnl.h"
#include "bench/program.h"

enum { SAMPLES = 48, WORST = 20, MOST = 1024 };

/* batch, height, width, channels, filters, kernel, stride, pad, groups */
static const conv_shape model[] = {
    {8, 32, 32, 64, 256, 5, 1, 2, 1}, {8, 32, 32, 64, 256, 3, 1, 1, 1},
    {8, 32, 32, 64, 256, 1, 1, 0, 1}, {8, 32, 32, 128, 256, 3, 1, 1, 1},
    {8, 32, 32, 1, 256, 5, 1, 2, 1},  {8, 32, 32, 64, 4, 1, 1, 0, 1},
    {1, 32, 32, 64, 256, 5, 1, 2, 1}, {1, 32, 32, 64, 256, 3, 1, 1, 1},
};
static const conv_shape grid[] = {
    {32, 28, 28, 1, 6, 5, 1, 2, 1},      {32, 14, 14, 6, 16, 5, 1, 0, 1},
    {1, 224, 224, 3, 64, 3, 1, 1, 1},    {4, 224, 224, 3, 64, 7, 2, 3, 1},
    {8, 56, 56, 64, 64, 3, 1, 1, 1},     {8, 28, 28, 128, 128, 3, 1, 1, 1},
    {8, 14, 14, 256, 256, 3, 1, 1, 1},   {8, 9, 9, 512, 512, 3, 1, 1, 1},
    {4, 56, 56, 64, 256, 1, 1, 0, 1},    {4, 56, 56, 256, 64, 1, 1, 0, 1},
    {8, 14, 14, 512, 512, 1, 1, 0, 1},   {4, 56, 56, 256, 512, 1, 2, 0, 1},
    {4, 56, 56, 128, 128, 3, 2, 1, 1},   {8, 32, 32, 64, 128, 3, 2, 1, 1},
    {32, 28, 28, 32, 64, 5, 1, 2, 1},    {8, 27, 27, 48, 96, 5, 1, 2, 1},
    {4, 64, 64, 16, 16, 7, 1, 3, 1},     {2, 32, 32, 64, 64, 7, 1, 3, 1},
    {4, 128, 128, 16, 16, 3, 1, 1, 1},   {1, 256, 256, 32, 32, 3, 1, 1, 1},
    {2, 256, 256, 3, 32, 3, 1, 1, 1},    {2, 256, 256, 8, 8, 3, 1, 1, 1},
    {4, 31, 31, 17, 33, 3, 1, 1, 1},     {3, 45, 45, 100, 60, 3, 1, 1, 1},
    {4, 33, 47, 24, 40, 3, 1, 1, 1},     {1, 17, 17, 200, 120, 5, 1, 2, 1},
    {2, 64, 64, 3, 512, 1, 1, 0, 1},     {8, 32, 32, 512, 3, 1, 1, 0, 1},
    {4, 16, 16, 512, 16, 3, 1, 1, 1},    {4, 16, 16, 16, 512, 3, 1, 1, 1},
    {4, 64, 64, 64, 64, 2, 2, 0, 1},     {4, 32, 32, 64, 128, 4, 2, 1, 1},
    {32, 8, 8, 64, 64, 3, 1, 1, 1},      {1, 8, 8, 256, 256, 3, 1, 1, 1},
    {4, 96, 96, 24, 24, 3, 1, 1, 1},     {4, 50, 50, 40, 120, 1, 1, 0, 1},
    {4, 255, 255, 3, 16, 3, 2, 1, 1},    {2, 40, 40, 20, 20, 6, 1, 3, 1},
    {1, 33, 33, 128, 128, 3, 1, 1, 1},   {2, 63, 63, 96, 192, 5, 2, 2, 1},
    {16, 16, 16, 128, 128, 3, 1, 1, 1},  {32, 16, 16, 64, 64, 1, 1, 0, 1},
    {4, 64, 64, 64, 1, 3, 1, 1, 1},      {4, 28, 28, 96, 96, 5, 1, 2, 96},
    {4, 56, 56, 128, 128, 3, 1, 1, 128}, {4, 28, 28, 128, 256, 3, 1, 1, 8},
};

static const char *const directions[] = {"forward", "data gradient", "weight gradient"};

/* --- reference -------------------------------------------------------------------------------- */

typedef struct operands {
    conv_shape shape;
    const float *x, *w, *dy;
    int64_t oh, ow, per, each; /* channels and filters of a group */
} operands;

static double at_x(const operands *o, int64_t n, int64_t i, int64_t j, int64_t c) {
    const conv_shape *s = &o->shape;
    if (i < 0 || j < 0 || i >= s->height || j >= s->width) return 0;
    return (double)o->x[((n * s->height + i) * s->width + j) * s->channels + c];
}
static double at_w(const operands *o, int64_t f, int64_t p, int64_t q, int64_t c) {
    return (double)o->w[((f * o->shape.kernel + p) * o->shape.kernel + q) * o->per + c];
}
static double at_dy(const operands *o, int64_t n, int64_t i, int64_t j, int64_t f) {
    return (double)o->dy[((n * o->oh + i) * o->ow + j) * o->shape.filters + f];
}

static double want_y(const void *user, int64_t at) {
    const operands *o = user;
    const conv_shape *s = &o->shape;
    const int64_t f = at % s->filters, j = at / s->filters % o->ow;
    const int64_t i = at / s->filters / o->ow % o->oh, n = at / s->filters / o->ow / o->oh;
    double sum = 0;
    for (int64_t p = 0; p < s->kernel; p++)
        for (int64_t q = 0; q < s->kernel; q++)
            for (int64_t c = 0; c < o->per; c++)
                sum += at_w(o, f, p, q, c) * at_x(o, n, i * s->stride + p - s->pad,
                                                  j * s->stride + q - s->pad,
                                                  f / o->each * o->per + c);
    return sum;
}

static double want_dx(const void *user, int64_t at) {
    const operands *o = user;
    const conv_shape *s = &o->shape;
    const int64_t c = at % s->channels, j = at / s->channels % s->width;
    const int64_t i = at / s->channels / s->width % s->height;
    const int64_t n = at / s->channels / s->width / s->height, first = c / o->per * o->each;
    double sum = 0;
    for (int64_t p = 0; p < s->kernel; p++)
        for (int64_t q = 0; q < s->kernel; q++) {
            const int64_t y = i + s->pad - p, x = j + s->pad - q;
            if (y < 0 || x < 0 || y % s->stride || x % s->stride || y / s->stride >= o->oh ||
                x / s->stride >= o->ow)
                continue;
            for (int64_t f = first; f < first + o->each; f++)
                sum += at_w(o, f, p, q, c % o->per) * at_dy(o, n, y / s->stride, x / s->stride, f);
        }
    return sum;
}

static double want_dw(const void *user, int64_t at) {
    const operands *o = user;
    const conv_shape *s = &o->shape;
    const int64_t c = at % o->per, q = at / o->per % s->kernel;
    const int64_t p = at / o->per / s->kernel % s->kernel, f = at / o->per / s->kernel / s->kernel;
    double sum = 0;
    for (int64_t n = 0; n < s->batch; n++)
        for (int64_t i = 0; i < o->oh; i++)
            for (int64_t j = 0; j < o->ow; j++)
                sum += at_dy(o, n, i, j, f) * at_x(o, n, i * s->stride + p - s->pad,
                                                   j * s->stride + q - s->pad,
                                                   f / o->each * o->per + c);
    return sum;
}

/* --- one line --------------------------------------------------------------------------------- */

typedef struct outcome {
    char name[96];
    double ratio, share, rate;
} outcome;
static outcome outcomes[MOST];
static int n_outcomes;

static wf_program *compile(const conv_shape *s, conv_direction d, wf_precision precision,
                           wf_tensor *out) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x =
        wf_input(g, "x", WF_F32, WF_SHAPE(s->batch, s->height, s->width, s->channels));
    const wf_tensor w = wf_input(
        g, "w", WF_F32, WF_SHAPE(s->filters, s->kernel, s->kernel, s->channels / s->groups));
    wf_tensor y = wf_conv(x, w, (wf_conv_opt){.stride = {s->stride, s->stride},
                                              .pad = {s->pad, s->pad}, .groups = s->groups});
    *out = y;
    if (d != CONV_FORWARD) {
        const wf_tensor dy = wf_input(g, "dy", WF_F32,
                                      WF_SHAPE(s->batch, conv_out(s, s->height),
                                               conv_out(s, s->width), s->filters));
        wf_vjp(y, dy, d == CONV_DATA ? &x : &w, 1, out);
    }
    return bench_compile(g, out, 1, (wf_compile_opt){.precision = precision});
}

static void measure(const conv_shape *s, conv_direction d, const bench_mode *mode,
                    const char *shape) {
    static double (*const want[])(const void *, int64_t) = {want_y, want_dx, want_dw};
    wf_tensor out;
    wf_program *program = compile(s, d, mode->precision, &out);
    if (!program) exit(1);
    const operands o = {.shape = *s, .oh = conv_out(s, s->height), .ow = conv_out(s, s->width),
                        .per = s->channels / s->groups, .each = s->filters / s->groups,
                        .x = wf_data_named(program, "x", NULL),
                        .w = wf_data_named(program, "w", NULL),
                        .dy = wf_data_named(program, "dy", NULL)};
    const char *peer_mode = strcmp(mode->name, "bf16") == 0 ? "bf16" : "f32";
    peer_conv *peer = peer_conv_new(s, d, peer_mode, o.x, o.w, o.dy);
    const int64_t n = d == CONV_FORWARD ? conv_y(s) : d == CONV_DATA ? conv_x(s) : conv_w(s);
    bench_run(program);
    const double error = bench_error(wf_data(program, out), n, SAMPLES, want[d], &o);
    bool ok = error <= mode->tolerance;
    float *theirs = peer ? malloc((size_t)n * sizeof *theirs) : NULL;
    if (theirs) {
        peer_conv_run(peer);
        ok = peer_conv_read(peer, theirs) && ok &&
             bench_error(theirs, n, SAMPLES, want[d], &o) <= (peer_mode[0] == 'b' ? 2e-2 : 1e-5);
    }
    double limit = bench_peak_mode(mode->name, bench_threads());
    bench_side side[] = {{.run = bench_run, .user = program},
                         {.run = peer_conv_run, .user = peer}};
    bench_in_turn(side, 2, 0.16);
    limit = fmax(limit, bench_peak_mode(mode->name, bench_threads()));
    const bench_row row = {
        .question = directions[d], .shape = shape, .mode = mode->name, .unit = "GFLOP/s",
        .work = conv_flop(s) * 1e-9, .limit = limit, .best = side[0].best,
        .median = side[0].median, .error = error, .ok = ok, .peer = peer_dnnl_name(),
        .peer_best = side[1].best, .peer_median = side[1].median};
    bench_print(&row);
    if (n_outcomes < MOST) {
        outcome *r = &outcomes[n_outcomes++];
        snprintf(r->name, sizeof r->name, "%-15s %-32s %s", directions[d], shape, mode->name);
        r->rate = row.work / row.best;
        r->share = r->rate / limit;
        r->ratio = row.peer_best / row.best;
    }
    free(theirs);
    peer_conv_free(peer);
    wf_program_free(program);
}

/* "5x5 64->256 of 8x32x32", with "/2" for a stride and "groups 8". */
static const char *name_of(const conv_shape *s, char name[64]) {
    int n = snprintf(name, 64, "%dx%d", s->kernel, s->kernel);
    if (s->stride > 1) n += snprintf(name + n, 64 - (size_t)n, "/%d", s->stride);
    n += snprintf(name + n, 64 - (size_t)n, " %d->%d of %dx%dx%d", s->channels, s->filters,
                  s->batch, s->height, s->width);
    if (s->groups > 1) snprintf(name + n, 64 - (size_t)n, " groups %d", s->groups);
    return name;
}

/* --- the end ---------------------------------------------------------------------------------- */

static int by_ratio(const void *a, const void *b) {
    const outcome *x = a, *y = b;
    const double u = x->ratio > 0 ? x->ratio : x->share, v = y->ratio > 0 ? y->ratio : y->share;
    return (u > v) - (u < v);
}

static void summary(void) {
    double sum = 0, all = 0;
    int n = 0;
    for (int i = 0; i < n_outcomes; i++) {
        all += log(outcomes[i].share);
        if (outcomes[i].ratio > 0) sum += log(outcomes[i].ratio), n++;
    }
    if (!n_outcomes) return;
    printf("geometric mean of %d: %.0f %% of the limit", n_outcomes, 100 * exp(all / n_outcomes));
    if (n) printf("; %.2f times as fast as %s", exp(sum / n), peer_dnnl_name());
    qsort(outcomes, (size_t)n_outcomes, sizeof *outcomes, by_ratio);
    printf("\nworst:\n");
    for (int i = 0; i < n_outcomes && i < WORST; i++)
        printf("  %-60s ratio %.2f  %7.1f GFLOP/s  %3.0f %% of the limit\n", outcomes[i].name,
               outcomes[i].ratio, outcomes[i].rate, 100 * outcomes[i].share);
}

static void shapes(const conv_shape *s, size_t n, const char *only_mode, const char *only) {
    char name[64];
    for (size_t i = 0; i < n; i++)
        for (const bench_mode *mode = bench_modes; mode->name; mode++)
            for (int d = 0; d < 3; d++)
                if (strstr(name_of(&s[i], name), only) &&
                    (!only_mode || !strcmp(only_mode, mode->name)))
                    measure(&s[i], (conv_direction)d, mode, name);
}

int main(int argc, char **argv) {
    bench_open("conv_peers", &argc, argv);
    const char *only = "", *mode = NULL;
    bool quick = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0)
            quick = true;
        else if (strcmp(argv[i], "--mode") == 0 && i + 1 < argc)
            mode = argv[++i];
        else
            only = argv[i];
    }
    bench_header("bench_conv_peers");
    printf("peer: %s\n", peer_dnnl_name());
    shapes(model, WF_COUNT(model), mode, only);
    if (!quick) shapes(grid, WF_COUNT(grid), mode, only);
    summary();
    return bench_close();
}
