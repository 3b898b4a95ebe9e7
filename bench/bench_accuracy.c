/* How far from exact is each precision mode? Relative L2 distances: of contractions with random
 * operands (forward, data gradient, weight gradient) from the same in f64; of the gradients of a
 * network's first step from the same in f64; and, where WEFT_TEST_DATA (default ../shared) has
 * golden/, of the notebook's first gradients from those that PyTorch gave.
 *
 *   bench_accuracy [MODE] [--json FILE] */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/convlstm.h"

enum { MOST = 64 }; /* gradients */

static bool failed(const char *what) {
    fprintf(stderr, "bench_accuracy: %s: %s\n", what, wf_error());
    return false;
}

/* Squared distance of n floats from the reference, and the reference's squared norm. */
static double distance(const float *v, const void *want, wf_dtype dtype, int64_t n, double *norm) {
    double off = 0;
    *norm = 0;
    for (int64_t i = 0; i < n; i++) {
        const double w = wf_load(dtype, (const char *)want + (size_t)i * wf_dtype_bytes(dtype));
        off += ((double)v[i] - w) * ((double)v[i] - w);
        *norm += w * w;
    }
    return off;
}

/* --- contractions ----------------------------------------------------------------------------- */

/* Convolutions of 16x16 pixels, the same size out. */
typedef struct shape { int in, out, kernel; } shape;
static const shape shapes[] = {
    {64, 256, 5}, {128, 256, 3}, {128, 256, 1}, {1, 256, 5}, {61, 67, 3}};
enum { EDGE = 16, RESULTS = 3 };
static const char *const result[RESULTS] = {"forward", "data gradient", "weight gradient"};

/* y, and the gradients of sum(y g): with the operands as they are, or in f64. */
static wf_program *convolve(const shape *s, float *const data[3], bool exact,
                            wf_precision precision, wf_tensor out[RESULTS]) {
    const wf_shape of[3] = {WF_SHAPE(2, EDGE, EDGE, s->in),
                            WF_SHAPE(s->out, s->kernel, s->kernel, s->in),
                            WF_SHAPE(2, EDGE, EDGE, s->out)};
    wf_graph *g = wf_graph_new();
    wf_tensor t[3];
    wf_program *p = NULL;
    for (int i = 0; i < 3; i++) {
        t[i] = wf_leaf(g, result[i], WF_F32, of[i], data[i]);
        if (exact) t[i] = wf_cast(t[i], WF_F64);
    }
    const int pad = s->kernel / 2;
    out[0] = wf_conv(t[0], t[1], (wf_conv_opt){.pad = {pad, pad}});
    const wf_tensor loss = wf_sum(wf_mul(out[0], t[2]), (wf_reduce_opt){0});
    if (wf_grad(loss, t, 2, out + 1) ||
        wf_compile(&p, g, out, RESULTS, (wf_compile_opt){.precision = precision}) || wf_run(p))
        failed("contractions");
    wf_graph_free(g);
    return p;
}

static bool contractions(const bench_mode *m, const shape *s) {
    const int64_t n[3] = {2 * EDGE * EDGE * s->in, (int64_t)s->out * s->kernel * s->kernel * s->in,
                          2 * EDGE * EDGE * s->out};
    const int64_t count[RESULTS] = {n[2], n[0], n[1]};
    float *data[3];
    wf_tensor got[RESULTS], want[RESULTS];
    char text[64];
    bool ok = true;
    for (int i = 0; i < 3; i++) {
        data[i] = malloc((size_t)n[i] * sizeof *data[i]);
        if (!data[i]) abort();
        bench_fill(data[i], n[i], (uint64_t)i);
    }
    wf_program *p = convolve(s, data, false, m->precision, got);
    wf_program *q = convolve(s, data, true, WF_PRECISION_F32, want);
    snprintf(text, sizeof text, "conv %dx%d %d->%d of 2x16x16", s->kernel, s->kernel, s->in,
             s->out);
    for (int i = 0; p && q && i < RESULTS; i++) {
        double norm;
        const double off = distance(wf_data(p, got[i]), wf_data(q, want[i]), WF_F64, count[i],
                                    &norm);
        const double error = sqrt(off / norm);
        bench_print(&(bench_row){.question = result[i], .shape = text, .mode = m->name,
                                 .unit = "", .error = error, .ok = error <= m->tolerance});
        ok &= error <= m->tolerance;
    }
    wf_program_free(p);
    wf_program_free(q);
    for (int i = 0; i < 3; i++) free(data[i]);
    return ok && p && q;
}

/* --- gradients of a network ------------------------------------------------------------------- */

typedef struct network {
    wf_params *p;
    wf_program *program;
    wf_tensor x, target, grad[MOST];
    int n;
} network;

static bool make_network(network *w, convlstm_size s, wf_dtype dtype, wf_precision precision) {
    wf_tensor leaf[MOST], out[MOST + 1];
    const wf_shape frames = WF_SHAPE(s.frames, s.batch, s.height, s.width, 1);
    wf_graph *g = wf_graph_new();
    *w = (network){.p = wf_params_new(7)};
    w->x = wf_input(g, "x", dtype, frames);
    w->target = wf_input(g, "target", dtype, frames);
    out[0] = wf_nn_mse(convlstm(w->p, w->x, (convlstm_opt){s.hidden, .training = true}), w->target);
    w->n = wf_params_leaves(w->p, g, leaf, MOST);
    const bool ok = w->n <= MOST && !wf_grad(out[0], leaf, w->n, w->grad);
    memcpy(out + 1, w->grad, sizeof w->grad);
    const wf_compile_opt o = {.precision = precision, .no_assign = true};
    const bool made = ok && !wf_compile(&w->program, g, out, w->n + 1, o);
    wf_graph_free(g);
    return made || failed("network");
}

static void free_network(network *w) {
    wf_program_free(w->program);
    wf_params_free(w->p);
}

/* Weights of `from`, exactly. */
static void take_weights(network *w, const network *from) {
    for (size_t i = 0; i < wf_params_count(w->p); i++) {
        const wf_param_info to = wf_params_at(w->p, i);
        wf_param_info f;
        if (to.dtype != WF_F64 || !wf_params_find(from->p, to.name, &f)) continue;
        for (int64_t k = 0; k < wf_shape_count(&to.shape); k++)
            ((double *)to.data)[k] = (double)((const float *)f.data)[k];
    }
}

/* The largest relative distance of a gradient from values[i], which lies like the i-th parameter;
 * prints that of all together too. */
static double worst_gradient(const network *w, wf_dtype dtype,
                             const void *const values[]) {
    double worst = 0, off = 0, all = 0;
    for (size_t k = 0, i = 0; k < wf_params_count(w->p); k++) {
        const wf_param_info info = wf_params_at(w->p, k);
        if (info.role != WF_ROLE_PARAM) continue;
        double norm;
        const double d = distance(wf_data(w->program, w->grad[i]), values[i], dtype,
                                  wf_shape_count(&info.shape), &norm);
        off += d;
        all += norm;
        worst = fmax(worst, sqrt(d / (norm > 0 ? norm : 1)));
        i++;
    }
    printf("  all gradients together %.1e, the worst %.1e\n", sqrt(off / all), worst);
    return worst;
}

static void print_gradients(const bench_mode *m, const char *question, convlstm_size s,
                            double error) {
    char text[64];
    bench_print(&(bench_row){.question = question, .shape = bench_size_text(s, text),
                             .mode = m->name, .unit = "", .error = error,
                             .ok = error <= m->gradient});
}

/* Less than the notebook's size: f64 has no tuned kernels. */
static bool against_f64(const bench_mode *m) {
    const convlstm_size s = {.frames = 19, .batch = 1, .height = 16, .width = 16, .hidden = 64};
    network w, exact;
    const void *values[MOST];
    const int64_t frames = s.frames * s.batch * s.height * s.width;
    if (!make_network(&w, s, WF_F32, m->precision) ||
        !make_network(&exact, s, WF_F64, WF_PRECISION_F32))
        return false;
    take_weights(&exact, &w);
    float *x = wf_data(w.program, w.x), *target = wf_data(w.program, w.target);
    double *x64 = wf_data(exact.program, exact.x), *t64 = wf_data(exact.program, exact.target);
    bench_clips(s, x, target);
    for (int64_t i = 0; i < frames; i++) x64[i] = (double)x[i], t64[i] = (double)target[i];
    if (wf_run(w.program) || wf_run(exact.program)) return failed("gradients");
    for (int i = 0; i < exact.n; i++) values[i] = wf_data(exact.program, exact.grad[i]);
    const double error = worst_gradient(&w, WF_F64, values);
    print_gradients(m, "gradients", s, error);
    free_network(&w);
    free_network(&exact);
    return error <= m->gradient;
}

/* Frame f of clip c of a (FRAMES, CLIPS, 64, 64) array, halved by the 2x2 mean. */
static void halve(const wf_npy *a, int64_t f, int64_t c, float out[32 * 32]) {
    const uint8_t *in = (const uint8_t *)a->data + (f * a->shape.dim[1] + c) * 64 * 64;
    for (int y = 0; y < 32; y++)
        for (int x = 0; x < 32; x++) {
            const uint8_t *q = in + 2 * y * 64 + 2 * x;
            out[y * 32 + x] = (float)(q[0] + q[1] + q[64] + q[65]) / 1020;
        }
}

static bool read_clips(const char *path, network *w, convlstm_size s) {
    wf_npy a;
    float *x = wf_data(w->program, w->x), *target = wf_data(w->program, w->target);
    if (wf_npy_open(&a, path)) return false;
    const wf_shape *z = &a.shape;
    const bool fits = a.dtype == WF_U8 && z->rank == 4 && z->dim[0] == s.frames + 1 &&
                      z->dim[1] >= s.batch && z->dim[2] == 64 && z->dim[3] == 64;
    for (int64_t i = 0; fits && i < s.frames * s.batch; i++) {
        halve(&a, i / s.batch, i % s.batch, x + i * 32 * 32);
        halve(&a, i / s.batch + 1, i % s.batch, target + i * 32 * 32);
    }
    wf_npy_close(&a);
    return fits || failed(path);
}

/* Gradients of a file, in another set of parameters: the same layouts. */
static bool against_golden(const bench_mode *m) {
    const convlstm_size s = {.frames = 19, .batch = 2, .height = 32, .width = 32, .hidden = 64};
    char clips[512], init[512], grads[512];
    const char *root = getenv("WEFT_TEST_DATA");
    if (!root || !*root) root = "../shared";
    snprintf(clips, sizeof clips, "%s/golden/clips.npy", root);
    snprintf(init, sizeof init, "%s/golden/init.safetensors", root);
    snprintf(grads, sizeof grads, "%s/golden/grads.safetensors", root);
    network w, want;
    if (access(clips, R_OK)) {
        printf("golden gradients: skipped, no %s (WEFT_TEST_DATA)\n", clips);
        return true;
    }
    if (!make_network(&w, s, WF_F32, m->precision) ||
        !make_network(&want, s, WF_F32, WF_PRECISION_F32))
        return false;
    if (wf_params_load(w.p, init) || !read_clips(clips, &w, s) || wf_run(w.program) ||
        wf_params_load_some(want.p, grads, (wf_load_opt){0}, NULL))
        return failed("golden gradients");
    const void *values[MOST];
    for (size_t k = 0, i = 0; k < wf_params_count(want.p); k++) {
        const wf_param_info info = wf_params_at(want.p, k);
        if (info.role == WF_ROLE_PARAM) values[i++] = info.data;
    }
    const double error = worst_gradient(&w, WF_F32, values);
    print_gradients(m, "golden gradients", s, error);
    free_network(&w);
    free_network(&want);
    return error <= m->gradient;
}

/* --- main ------------------------------------------------------------------------------------- */

int main(int argc, char **argv) {
    bench_open("accuracy", &argc, argv);
    bool ok = true;
    for (const bench_mode *m = bench_modes; m->name; m++) {
        if (argc > 1 && strcmp(argv[1], m->name)) continue;
        for (size_t i = 0; i < WF_COUNT(shapes); i++) ok &= contractions(m, &shapes[i]);
        ok &= against_f64(m);
        ok &= against_golden(m);
    }
    return bench_close() | !ok;
}
