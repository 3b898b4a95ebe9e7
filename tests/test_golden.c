/* Parity with PyTorch on the notebook's own network: 745,868 parameters, 32 x 32 frames, 19 steps,
 * batches of two clips. The files are large, so they lie outside the repository, in golden/ under
 * WEFT_TEST_DATA (default ../shared). */
#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "models/convlstm/model.h"
#include "nn/nn.h"

enum { CLIPS = 8, BATCH = 2, STEPS = 8, FRAMES = 20, T = FRAMES - 1, SIZE = 32, HIDDEN = 64 };
enum { PIXELS = SIZE * SIZE, CLIP = T * PIXELS, MOST = 64 };

/* --- files ------------------------------------------------------------------------------------ */

/* golden/NAME in buf. False, with a line printed, if it is not there and was not promised. */
static bool find(const char *name, char *buf, size_t size) {
    const char *root = getenv("WEFT_TEST_DATA");
    const bool promised = root && *root;
    snprintf(buf, size, "%s/golden/%s", promised ? root : "../shared", name);
    const bool refused = root && !*root; /* the sanitizers: the whole model is too slow for them */
    if (!refused && access(buf, R_OK) == 0) return true;
    cr_assert(!promised, "WEFT_TEST_DATA is set, but %s cannot be read", buf);
    printf("skipped: %s is not %s\n", buf, refused ? "wanted" : "there; set WEFT_TEST_DATA");
    return false;
}

static json_t *read_golden(void) {
    char path[512];
    json_error_t e;
    if (!find("golden.json", path, sizeof path)) return NULL;
    json_t *j = json_load_file(path, 0, &e);
    cr_assert(j, "%s: %s", path, e.text);
    return j;
}

static double number(const json_t *object, const char *key) {
    const json_t *v = json_object_get(object, key);
    cr_assert(json_is_number(v), "golden.json: no number \"%s\"", key);
    return json_number_value(v);
}

/* Frame f of clip c, halved by the 2x2 mean, to out (SIZE, SIZE). */
static void halve(const wf_npy *a, int64_t f, int64_t c, float *out) {
    const uint8_t *in = (const uint8_t *)a->data + (f * CLIPS + c) * 4 * PIXELS;
    for (int y = 0; y < SIZE; y++)
        for (int x = 0; x < SIZE; x++) {
            const uint8_t *q = in + 2 * y * 2 * SIZE + 2 * x;
            out[y * SIZE + x] = (float)(q[0] + q[1] + q[2 * SIZE] + q[2 * SIZE + 1]) / 1020;
        }
}

/* Clips first .. first + BATCH - 1: x (T, N, H, W) the frames 0 .., target the frames 1 .. */
static void read_batch(const char *path, int64_t first, float *x, float *target) {
    wf_npy a;
    cr_assert(!wf_npy_open(&a, path), "%s", wf_error());
    const wf_shape want = WF_SHAPE(FRAMES, CLIPS, 2 * SIZE, 2 * SIZE);
    cr_assert(a.dtype == WF_U8 && wf_shape_equal(&a.shape, &want), "%s: another shape", path);
    for (int t = 0; t < T; t++)
        for (int n = 0; n < BATCH; n++) {
            if (x) halve(&a, t, first + n, x + (t * BATCH + n) * PIXELS);
            halve(&a, t + 1, first + n, target + (t * BATCH + n) * PIXELS);
        }
    wf_npy_close(&a);
}

/* --- training --------------------------------------------------------------------------------- */

/* Each tensor of the file at `got` against that of the same name in `want`: the largest relative
 * distance, with its name. */
static double worst_tensor(const char *got, const char *want, char *name, size_t size) {
    wf_safetensors *a, *b;
    double worst = 0;
    cr_assert(!wf_safetensors_open(&a, got) && !wf_safetensors_open(&b, want), "%s", wf_error());
    cr_assert(wf_safetensors_count(a) == wf_safetensors_count(b), "%zu tensors, not %zu",
              wf_safetensors_count(a), wf_safetensors_count(b));
    for (size_t i = 0; i < wf_safetensors_count(a); i++) {
        const wf_named *x = wf_safetensors_at(a, i), *y = wf_safetensors_find(b, x->name);
        cr_assert(y && x->dtype == y->dtype && wf_shape_equal(&x->shape, &y->shape), "%s", x->name);
        double off = 0, all = 0;
        const size_t bytes = wf_dtype_bytes(x->dtype);
        for (size_t k = 0; k < (size_t)wf_shape_count(&x->shape); k++) {
            const double u = wf_load(x->dtype, (const char *)x->data + k * bytes);
            const double v = wf_load(y->dtype, (const char *)y->data + k * bytes);
            off += (u - v) * (u - v);
            all += v * v;
        }
        const double d = sqrt(off / (all > 0 ? all : 1));
        if (d < worst) continue;
        worst = d;
        snprintf(name, size, "%s", x->name);
    }
    wf_safetensors_free(a);
    wf_safetensors_free(b);
    return worst;
}

typedef struct trainer {
    wf_params *p;
    wf_program *program;
    wf_tensor x, target, loss, norm, mae, grad[MOST];
    int n; /* gradients among the outputs */
} trainer;

static trainer make_trainer(const json_t *golden, const char *init, wf_compile_opt o) {
    trainer t = {.p = wf_params_new(1)};
    wf_tensor leaf[MOST], out[MOST + 3];
    wf_graph *g = wf_graph_new();
    const wf_shape frames = WF_SHAPE(T, BATCH, SIZE, SIZE, 1);
    t.x = wf_input(g, "x", WF_F32, frames);
    t.target = wf_input(g, "target", WF_F32, frames);
    const wf_tensor y = convlstm(t.p, t.x, (convlstm_opt){.hidden = HIDDEN, .training = true});
    out[0] = t.loss = wf_nn_mse(y, t.target);
    out[1] = t.mae = wf_nn_l1(y, t.target);
    out[2] = t.norm = wf_nn_adam(t.p, t.loss, (wf_optimizer_opt){
        .lr = number(golden, "lr"), .clip_norm = number(golden, "clip")});
    t.n = wf_params_leaves(t.p, g, leaf, MOST);
    cr_assert(t.n > 0 && t.n <= MOST, "%d parameters", t.n);
    cr_assert(!wf_grad(t.loss, leaf, t.n, t.grad), "%s", wf_error());
    memcpy(out + 3, t.grad, sizeof t.grad);
    cr_assert(!wf_compile(&t.program, g, out, t.n + 3, o), "%s", wf_error());
    wf_graph_free(g);
    cr_assert(!wf_params_load(t.p, init), "%s", wf_error());
    cr_assert(wf_params_elements(t.p) == 745868);
    return t;
}

static void check_gradients(const trainer *t, const char *want, double most) {
    const float *value[MOST];
    char path[] = "/tmp/weft-golden-XXXXXX", name[128] = "";
    close(mkstemp(path));
    for (int i = 0; i < t->n; i++) value[i] = wf_data(t->program, t->grad[i]);
    cr_assert(!wf_params_save_values(t->p, value, path), "%s", wf_error());
    const double worst = worst_tensor(path, want, name, sizeof name);
    unlink(path);
    printf("golden: gradients of step 1: worst relative L2 distance %.2g (%s)\n", worst, name);
    cr_assert(worst <= most, "gradient of %s: relative L2 distance %.2g", name, worst);
}

/* Absolute and relative, the stricter of both. */
static double gap(const wf_program *p, wf_tensor t, const json_t *step, const char *key) {
    const double got = *(const float *)wf_data((wf_program *)p, t), want = number(step, key);
    return fabs(got - want) / fmin(1, want);
}

/* How far a run may be from the recorded one; the losses of further steps are those of another
 * trajectory. */
typedef struct bounds {
    double gradient, loss, norm, mae;
} bounds;
static const bounds exact = {1e-4, 2e-5, 1e-3, 2e-5};

static void train(int steps, wf_compile_opt o, bounds most) {
    char clips[512], init[512], grads[512];
    json_t *golden = read_golden();
    if (!golden || !find("clips.npy", clips, sizeof clips) ||
        !find("init.safetensors", init, sizeof init) ||
        !find("grads.safetensors", grads, sizeof grads))
        return;
    trainer t = make_trainer(golden, init, o);
    double loss = 0, norm = 0, mae = 0;
    for (int i = 0; i < steps; i++) {
        const json_t *step = json_array_get(json_object_get(golden, "steps"), (size_t)i);
        read_batch(clips, i * BATCH % CLIPS, wf_data(t.program, t.x), wf_data(t.program, t.target));
        cr_assert(!wf_run(t.program), "%s", wf_error());
        if (i == 0) check_gradients(&t, grads, most.gradient);
        loss = fmax(loss, gap(t.program, t.loss, step, "loss"));
        norm = fmax(norm, gap(t.program, t.norm, step, "grad_norm"));
        mae = fmax(mae, gap(t.program, t.mae, step, "mae"));
    }
    printf("golden: %d steps: largest relative gap in loss %.2g, norm %.2g, mae %.2g\n", steps,
           loss, norm, mae);
    cr_assert(loss <= most.loss, "loss: relative gap %.2g", loss);
    cr_assert(norm <= most.norm, "norm: relative gap %.2g", norm);
    cr_assert(mae <= most.mae, "mae: relative gap %.2g", mae);
    wf_program_free(t.program);
    wf_params_free(t.p);
    json_decref(golden);
}

Test(golden, training) {
    train(STEPS, (wf_compile_opt){.precision = WF_PRECISION_F32}, exact);
}

/* In f32x3 the gradients of the first step are within the bound of f32. In bf16 the worst is that
 * of a bias, a sum that cancels, 7 % off; then rounding leads elsewhere. */
Test(golden, training_in_f32x3) {
    train(3, (wf_compile_opt){.precision = WF_PRECISION_F32X3}, (bounds){1e-4, 1e-3, 1e-2, 1e-3});
}
Test(golden, training_in_bf16) {
    train(3, (wf_compile_opt){.precision = WF_PRECISION_BF16}, (bounds){0.12, 6e-3, 0.1, 2e-3});
}

/* The same without passes; with WEFT_SLOW set without tuned kernels too, a step of many minutes. */
Test(golden, training_without_passes) {
    train(1, (wf_compile_opt){.off = WF_PASS_ALL & ~(unsigned)WF_PASS_FAST}, exact);
}
Test(golden, training_by_reference_evaluators) {
    if (getenv("WEFT_SLOW")) train(1, (wf_compile_opt){.off = WF_PASS_ALL}, exact);
}

/* --- evaluation ------------------------------------------------------------------------------- */

Test(golden, evaluation) {
    static const char *const what[] = {"loss", "mae", "psnr", "ssim", "ssim_clamped"};
    static float target[BATCH * CLIP];
    char clips[512], weights[512];
    json_t *golden = read_golden();
    if (!golden || !find("clips.npy", clips, sizeof clips) ||
        !find("trained.safetensors", weights, sizeof weights))
        return;
    wf_params *p = wf_params_new(1);
    wf_graph *g = wf_graph_new();
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(T, BATCH, SIZE, SIZE, 1));
    const wf_tensor y = convlstm(p, x, (convlstm_opt){.hidden = HIDDEN});
    wf_program *program;
    cr_assert(!wf_compile(&program, g, &y, 1, (wf_compile_opt){0}), "%s", wf_error());
    cr_assert(!wf_params_load(p, weights), "%s", wf_error());
    wf_image_metrics m = {0};
    for (int first = 0; first < CLIPS; first += BATCH) {
        read_batch(clips, first, wf_data(program, x), target);
        cr_assert(!wf_run(program), "%s", wf_error());
        wf_image_metrics_add(&m, wf_data(program, y), target, T * BATCH, SIZE, SIZE);
    }
    const wf_image_scores s = wf_image_metrics_scores(&m);
    const double got[] = {s.loss, s.mae, s.psnr, s.ssim, s.ssim_clamped};
    for (int i = 0; i < 5; i++) {
        const double want = number(json_object_get(golden, "eval"), what[i]);
        printf("golden: %s %.7f, PyTorch %.7f\n", what[i], got[i], want);
        cr_assert(fabs(got[i] - want) <= 1e-4, "%s is %.7f, not %.7f", what[i], got[i], want);
    }
    wf_program_free(program);
    wf_graph_free(g);
    wf_params_free(p);
    json_decref(golden);
}
