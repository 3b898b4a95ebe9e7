/* Programs as C: the exported file, compiled without an option but -O2, gives the results of
 * wf_run. */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "autograd/autograd.h"
#include "models/convlstm/model.h"
#include "nn/nn.h"
#include "tensor/contract.h"
#include "tensor/graph.h"
#include "tests/sampler.h"

/* It is one file; here its main and its batch have other names. */
int mnist_cnn_export_main(int argc, char **argv);
#define main mnist_cnn_export_main
#define BATCH DIGITS_A_STEP
#include "models/mnist_cnn/main.c"
#undef BATCH
#undef main

/* --- compiling -------------------------------------------------------------------------------- */

typedef struct built {
    char dir[64];
    void *so;
    void (*run)(void);
    long bytes; /* of text */
} built;

static void path_of(const built *b, const char *name, char path[128]) {
    snprintf(path, 128, "%s/%s", b->dir, name);
}

static bool cc(const built *b, const char *how) {
    char command[512];
    snprintf(command, sizeof command, "cd %s && %s >log 2>&1 && ! test -s log", b->dir, how);
    return system(command) == 0;
}

static void show_log(const built *b) {
    char path[128], line[256];
    path_of(b, "log", path);
    FILE *f = fopen(path, "r");
    for (int i = 0; f && i < 12 && fgets(line, sizeof line, f); i++) fputs(line, stderr);
    if (f) fclose(f);
}

/* Writes p as C; the shared object of it without a warning. */
static built export_program(const wf_program *p, wf_export_opt o, const char *flags) {
    built b = {.dir = "/tmp/weft-export-XXXXXX"};
    char path[128], how[256];
    cr_assert(mkdtemp(b.dir));
    path_of(&b, "net.c", path);
    FILE *f = fopen(path, "w");
    cr_assert(f && !wf_export_c(p, f, o), "%s", wf_error());
    b.bytes = ftell(f);
    fclose(f);
    snprintf(how, sizeof how, "cc %s -Wall -Wextra -fPIC -shared net.c -o net.so -lm", flags);
    if (!cc(&b, how)) {
        show_log(&b);
        cr_assert(false, "%s: %s", b.dir, how);
    }
    path_of(&b, "net.so", path);
    b.so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    cr_assert(b.so, "%s", dlerror());
    b.run = (void (*)(void))dlsym(b.so, "net_run");
    cr_assert(b.run);
    return b;
}

static void *array(const built *b, const char *name) {
    void *p = dlsym(b->so, name);
    cr_assert(p, "no %s", name);
    return p;
}

static void drop(built *b) {
    char command[128];
    dlclose(b->so);
    snprintf(command, sizeof command, "rm -r %s", b->dir);
    cr_assert(system(command) == 0);
}

static double distance(const float *got, const float *want, int64_t n) {
    double d = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        if (isnan(got[i]) && isnan(want[i])) continue;
        d += ((double)got[i] - (double)want[i]) * ((double)got[i] - (double)want[i]);
        size += (double)want[i] * (double)want[i];
    }
    return size > 0 ? sqrt(d / size) : sqrt(d);
}

/* --- a training step -------------------------------------------------------------------------- */

enum { BATCH = 8, SIDE = 12, CLASSES = 10, STEPS = 3 };

/* conv, max pool, conv with stride, average pool, dropout, linear, cross entropy; Adam. */
static wf_program *cnn_new(wf_graph *g, wf_params *params) {
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(BATCH, SIDE, SIDE, 1));
    const wf_tensor y = wf_input(g, "y", WF_I32, WF_SHAPE(BATCH));
    wf_tensor h = wf_relu(wf_nn_conv2d(params, "conv1", x,
                                       (wf_conv_layer_opt){.out = 16, .kernel = 3, .same = true}));
    h = wf_nn_max_pool(h, 2, 0, 0);
    h = wf_relu(wf_nn_conv2d(params, "conv2", h,
                             (wf_conv_layer_opt){.out = 40, .kernel = 3, .stride = 2, .pad = 1}));
    h = wf_nn_avg_pool(h, 2, 1, 0);
    h = wf_reshape(h, WF_SHAPE(BATCH, wf_count(h) / BATCH));
    h = wf_nn_dropout(params, "drop", h, (wf_dropout_opt){.p = 0.25, .training = true});
    h = wf_nn_linear(params, "dense", h, (wf_linear_opt){.out = CLASSES});
    wf_tensor out[2] = {wf_name(wf_nn_cross_entropy(h, y), "loss")};
    out[1] = wf_name(wf_nn_adam(params, out[0], (wf_optimizer_opt){.clip_norm = 1}), "norm");
    wf_program *p = NULL;
    cr_assert(!wf_compile(&p, g, out, 2, (wf_compile_opt){.precision = WF_PRECISION_F32}), "%s",
              wf_error());
    return p;
}

/* A picture for each class, with noise. */
static void make_batch(float *x, int32_t *y, uint64_t *state) {
    for (int n = 0; n < BATCH; n++) {
        y[n] = (int32_t)(sampler_next(state) * CLASSES);
        for (int i = 0; i < SIDE * SIDE; i++)
            x[n * SIDE * SIDE + i] =
                (float)(i % CLASSES == y[n]) + 0.1f * (float)sampler_next(state);
    }
}

/* Values of the library's program and of the exported one by these names. */
static void compare_named(const built *b, wf_program *p, const char *const *name, size_t n,
                          int step) {
    for (size_t i = 0; i < n; i++) {
        char theirs[64];
        size_t bytes;
        snprintf(theirs, sizeof theirs, "net_%s", name[i]);
        if (strchr(theirs, '.')) *strchr(theirs, '.') = '_';
        const float *want = wf_data_named(p, name[i], &bytes);
        const double apart = distance(array(b, theirs), want, (int64_t)bytes / 4);
        cr_assert(apart < 1e-5, "step %d, %s: %g", step, theirs, apart);
    }
}

Test(compiler_export, training_step) {
    wf_graph *g = wf_graph_new();
    wf_params *params = wf_params_new(3);
    wf_program *p = cnn_new(g, params);
    built b = export_program(p, (wf_export_opt){0}, "-O2");
    static const char *const compared[] = {"loss", "norm", "conv1.weight", "dense.bias"};
    uint64_t state = 1;
    for (int step = 0; step < STEPS; step++) {
        make_batch(wf_data_named(p, "x", NULL), wf_data_named(p, "y", NULL), &state);
        memcpy(array(&b, "net_x"), wf_data_named(p, "x", NULL), BATCH * SIDE * SIDE * 4);
        memcpy(array(&b, "net_y"), wf_data_named(p, "y", NULL), BATCH * 4);
        *(float *)wf_data_named(p, "lr", NULL) = *(float *)array(&b, "net_lr") = 0.01f;
        cr_assert(!wf_run(p), "%s", wf_error());
        b.run();
        compare_named(&b, p, compared, WF_COUNT(compared), step);
    }
    drop(&b);
    wf_program_free(p);
    wf_graph_free(g);
    wf_params_free(params);
}

/* models/mnist_cnn as it is. */
Test(compiler_export, training_step_of_mnist_cnn) {
    enum { N = 20 };
    static const char *const compared[] = {"loss", "conv1.weight", "fc1.weight", "fc2.bias"};
    wf_graph *g = wf_graph_new();
    wf_params *params = wf_params_new(1);
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(N, 28, 28, 1));
    const wf_tensor y = wf_input(g, "y", WF_I64, WF_SHAPE(N));
    const wf_tensor loss = wf_name(wf_nn_cross_entropy(network(params, x), y), "loss");
    wf_program *p;
    wf_nn_adam(params, loss, (wf_optimizer_opt){0});
    cr_assert(!wf_compile(&p, g, &loss, 1, (wf_compile_opt){.precision = WF_PRECISION_F32}), "%s",
              wf_error());
    built b = export_program(p, (wf_export_opt){0}, "-O2");
    float *image = wf_data(p, x);
    int64_t *digit = wf_data(p, y);
    for (int step = 0; step < STEPS; step++) {
        for (int i = 0; i < N; i++) {
            uint8_t pixels[DIGITS_PIXELS];
            digits_draw(0, (uint64_t)(step * N + i), pixels);
            for (int k = 0; k < DIGITS_PIXELS; k++)
                image[i * DIGITS_PIXELS + k] = (float)pixels[k] / 255;
            digit[i] = i % 10;
        }
        memcpy(array(&b, "net_x"), image, N * DIGITS_PIXELS * sizeof *image);
        memcpy(array(&b, "net_y"), digit, N * sizeof *digit);
        *(float *)wf_data_named(p, "lr", NULL) = *(float *)array(&b, "net_lr") = 0.002f;
        cr_assert(!wf_run(p), "%s", wf_error());
        b.run();
        compare_named(&b, p, compared, WF_COUNT(compared), step);
    }
    drop(&b);
    wf_program_free(p);
    wf_graph_free(g);
    wf_params_free(params);
}

/* --- a recurrent network ---------------------------------------------------------------------- */

/* The text of a predictor for so many frames: its length, and its distance from the library. */
static long predictor(int64_t frames, const char *flags, double *apart) {
    wf_params *params = wf_params_new(5);
    convlstm_program c;
    const convlstm_size size = {frames, 1, 16, 16, 8};
    const wf_compile_opt o = {.precision = WF_PRECISION_F32};
    cr_assert(!convlstm_predictor(&c, params, size, o), "%s", wf_error());
    built b = export_program(c.program, (wf_export_opt){0}, flags);
    uint64_t state = 2;
    for (int64_t i = 0; i < frames * 256; i++) c.x[i] = (float)sampler_next(&state);
    memcpy(array(&b, "net_x"), c.x, (size_t)frames * 256 * sizeof *c.x);
    cr_assert(!wf_run(c.program), "%s", wf_error());
    b.run();
    *apart = distance(array(&b, "net_y"), c.y, frames * 256);
    const long bytes = b.bytes;
    drop(&b);
    convlstm_program_free(&c);
    wf_params_free(params);
    return bytes;
}

/* Time steps share functions: ten more frames are calls, not code. */
Test(compiler_export, convlstm_forward) {
    double apart;
    const long few = predictor(4, "-O2", &apart);
    cr_assert(apart < 1e-5, "%g", apart);
    const long more = predictor(14, "-O2", &apart);
    cr_assert(apart < 1e-5, "%g", apart);
    cr_assert(more - few < 40000, "%ld and %ld bytes", few, more);
}

/* --- every operation -------------------------------------------------------------------------- */

enum { MOST = 1200, MOST_BYTES = 1 << 16 };

static wf_tensor outputs[MOST];
static int n_outputs;
static void *kept[8 * MOST]; /* data of leaves */
static int n_kept;

static void keep(test_sampler *s) {
    for (int i = 0; i < s->n; i++) {
        cr_assert(n_kept < (int)WF_COUNT(kept));
        kept[n_kept++] = s->data[i];
    }
    s->n = s->n_real = 0;
}

/* All samples of all operations in one graph. */
static wf_graph *all_samples(wf_dtype real) {
    static test_sampler s;
    sampler_init(&s, real, 7);
    for (const wf_op *const *op = wf_all_ops(); *op; op++)
        for (int i = 0; (*op)->sample; i++) {
            const wf_tensor t = (*op)->sample(&s.base, i);
            keep(&s);
            if (!wf_ok(t)) break;
            if (wf_dtype_of(t) == WF_F16 || wf_dtype_of(t) == WF_BF16) continue;
            const wf_node *x = wf_graph_node(t.graph, t.id);
            if (x->op == &wf_op_contract && ((const wf_contract_attr *)x->attr)->compute) continue;
            cr_assert(n_outputs < MOST);
            outputs[n_outputs++] = t;
        }
    cr_assert(!wf_graph_status(s.base.graph), "%s", wf_error());
    return s.base.graph;
}

static void compare(wf_dtype t, const char *got, const char *want, int64_t n, double most,
                    const char *what) {
    double apart = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        const size_t at = (size_t)i * wf_dtype_bytes(t);
        const double g = wf_load(t, got + at), w = wf_load(t, want + at);
        if (g == w || (isnan(g) && isnan(w))) continue;
        apart += (g - w) * (g - w);
        size += w * w;
    }
    cr_expect(apart <= most * most * size, "%s: %g", what,
              size > 0 ? sqrt(apart / size) : INFINITY);
}

static void check_all(wf_dtype real, unsigned off, double most) {
    wf_graph *g = all_samples(real);
    wf_program *p = NULL;
    const wf_compile_opt o = {.precision = WF_PRECISION_F32, .off = off, .no_assign = true};
    cr_assert(!wf_compile(&p, g, outputs, n_outputs, o), "%s", wf_error());
    cr_assert(!wf_run(p));
    built b = export_program(p, (wf_export_opt){0}, "-O0");
    b.run();
    for (int i = 0; i < n_outputs; i++) {
        char name[32], text[1024];
        const wf_dtype t = wf_dtype_of(outputs[i]);
        snprintf(name, sizeof name, "net_output%d", i);
        void *got = dlsym(b.so, name);
        if (!got) continue; /* another name of an earlier output */
        compare(t, got, wf_data(p, outputs[i]), wf_count(outputs[i]), most,
                wf_node_text(g, outputs[i].id, text, sizeof text));
    }
    drop(&b);
    wf_program_free(p);
    wf_graph_free(g);
    while (n_kept > 0) free(kept[--n_kept]);
}

Test(compiler_export, every_operation_f32) { check_all(WF_F32, 0, 1e-5); }
Test(compiler_export, every_operation_f64) {
    check_all(WF_F64, WF_PASS_SIMPLIFY | WF_PASS_MERGE | WF_PASS_FUSE, 1e-10);
}

/* --- the file --------------------------------------------------------------------------------- */

/* y = 2 x + w, w += 1; a name that C does not have. */
static wf_program *small(wf_graph *g, float *w) {
    const wf_tensor x = wf_input(g, "in/x", WF_F32, WF_SHAPE(3));
    const wf_tensor leaf = wf_leaf(g, "run", WF_F32, WF_SHAPE(3), w);
    const wf_tensor y = wf_name(wf_add(wf_mul_scalar(x, 2), leaf), "y");
    wf_assign(leaf, wf_add_scalar(leaf, 1));
    wf_program *p = NULL;
    cr_assert(!wf_compile(&p, g, &y, 1, (wf_compile_opt){0}), "%s", wf_error());
    return p;
}

Test(compiler_export, weights_names_and_header) {
    static float w[3] = {1, 0x1.fffffep-3f, -INFINITY};
    wf_graph *g = wf_graph_new();
    wf_program *p = small(g, w);
    built b = export_program(p, (wf_export_opt){0}, "-O2 -std=c11");
    const float *leaf = array(&b, "net_run_");
    cr_assert(memcmp(leaf, w, sizeof w) == 0, "the values of now");
    float *x = array(&b, "net_in_x"), *y = array(&b, "net_y");
    x[0] = 3;
    b.run();
    cr_assert(y[0] == 7 && leaf[0] == 2 && w[0] == 1, "%g %g", (double)y[0], (double)leaf[0]);
    b.run();
    cr_assert(y[0] == 8 && leaf[0] == 3, "state goes on");
    char path[128];
    path_of(&b, "main.c", path);
    FILE *f = fopen(path, "w");
    fputs("#define NET_DECLARATIONS\n#include \"net.c\"\n#include \"net.c\"\n"
          "int main(void) {\n    net_in_x[net_in_x_size - 3] = 5;\n    net_run();\n"
          "    return net_y[0] == 11 ? 0 : 1;\n}\n", f);
    fclose(f);
    cr_assert(cc(&b, "cc -O2 -Wall -Wextra main.c net.c -lm && ./a.out"), "declarations, linked");
    if (system("command -v clang >/dev/null 2>&1") == 0)
        cr_expect(cc(&b, "clang -O2 -Wall -Wextra -std=c11 -c net.c"), "clang warns");
    if (system("command -v g++ >/dev/null 2>&1") == 0)
        cr_expect(cc(&b, "g++ -O2 -Wall -Wextra -c -x c++ net.c"), "as C++");
    drop(&b);
    b = export_program(p, (wf_export_opt){.no_weights = true}, "-O2");
    cr_assert(((float *)array(&b, "net_run_"))[1] == 0, "zeros on request");
    drop(&b);
    wf_program_free(p);
    wf_graph_free(g);
}

Test(compiler_export, refuses) {
    static float w[3];
    wf_graph *g = wf_graph_new();
    wf_program *p = small(g, w);
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    cr_assert(wf_export_c(p, f, (wf_export_opt){.name = "a b"}) == WF_ARGUMENT);
    cr_assert(wf_export_c(NULL, f, (wf_export_opt){0}) == WF_ARGUMENT);
    cr_assert(wf_export_c(p, NULL, (wf_export_opt){0}) == WF_ARGUMENT);
    wf_program_free(p);
    const wf_tensor x = wf_input(g, "half", WF_F16, WF_SHAPE(4));
    wf_scope_push(g, "decoder");
    const wf_tensor y = wf_cast(x, WF_F32);
    wf_scope_pop(g);
    cr_assert(!wf_compile(&p, g, &y, 1, (wf_compile_opt){.no_assign = true}), "%s", wf_error());
    cr_assert(wf_export_c(p, f, (wf_export_opt){0}) == WF_UNSUPPORTED);
    cr_assert_str_eq(wf_error(), "wf_export_c: the operation \"cast\" of decoder has no C text; "
                     "leave it out of the exported graph");
    fclose(f);
    cr_assert(size == 0, "nothing is written");
    free(text);
    f = fopen("/dev/full", "w");
    cr_assert(f);
    wf_program_free(p);
    wf_graph_free(g);
    g = wf_graph_new();
    p = small(g, w);
    cr_assert(wf_export_c(p, f, (wf_export_opt){0}) == WF_OUTPUT);
    fclose(f);
    wf_program_free(p);
    wf_graph_free(g);
}
