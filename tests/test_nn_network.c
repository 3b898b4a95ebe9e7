/* A small network of the notebook's kind - two ConvLSTM layers with batch norm, one ConvLSTM as the
 * output layer - trained three steps with clip and Adam, in f64 and f32, against PyTorch:
 * gradients, losses, norms, the state_dict afterwards, and the metrics of its predictions. Weights
 * are closed forms in PyTorch's layout, so that saving, loading and permuting are on the path. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/parity/parity.h"

enum { FRAMES = 7, BATCH = 2, SIZE = 12, PIXELS = SIZE * SIZE, STEPS = 3, MOST = 32 };

static wf_tensor layer(wf_params *p, const char *name, wf_tensor x, int64_t hidden, int kernel,
                       bool separate) {
    return wf_nn_convlstm(p, name, x, (wf_convlstm_opt){
        .hidden = hidden, .kernel = kernel, .activation = wf_relu, .separate = separate});
}

static wf_tensor network(wf_params *p, wf_tensor x, bool training, bool separate) {
    const wf_batch_norm_opt bn = {.training = training};
    x = layer(p, "convlstm0.0.conv_lstm_cell", x, 4, 5, separate);
    x = wf_nn_batch_norm(p, "convlstm0.1", x, bn);
    x = layer(p, "convlstm1.0.conv_lstm_cell", x, 4, 3, separate);
    x = wf_nn_batch_norm(p, "convlstm1.1", x, bn);
    return layer(p, "final.conv_lstm_cell", x, 1, 1, separate);
}

/* Frames first .. first + FRAMES - 2 of the video, (T, N, H, W, 1). */
static wf_tensor video(wf_graph *g, wf_dtype dtype, int first) {
    static char data[(FRAMES - 1) * BATCH * PIXELS * 8];
    char *at = data;
    for (int t = first; t < first + FRAMES - 1; t++)
        for (int n = 0; n < BATCH; n++)
            for (int y = 0; y < SIZE; y++)
                for (int x = 0; x < SIZE; x++, at += wf_dtype_bytes(dtype))
                    wf_store(dtype, at, 0.5 + 0.5 * sin(0.9 * x + 0.5 * y - 0.8 * t + 1.3 * n));
    return wf_const(g, dtype, WF_SHAPE(FRAMES - 1, BATCH, SIZE, SIZE, 1), data);
}

/* Fills p through a file: its own state_dict with every value replaced. */
static void load_closed(wf_params *p) {
    char path[] = "/tmp/weft-network-XXXXXX";
    close(mkstemp(path));
    cr_assert(!wf_params_save(p, path), "%s", wf_error());
    wf_safetensors *file;
    cr_assert(!wf_safetensors_open(&file, path), "%s", wf_error());
    const size_t n = wf_safetensors_count(file);
    wf_named *named = calloc(n, sizeof *named);
    for (size_t i = 0; i < n; i++) {
        named[i] = *wf_safetensors_at(file, i);
        const int64_t count = wf_shape_count(&named[i].shape);
        void *data = calloc((size_t)count + 1, wf_dtype_bytes(named[i].dtype));
        if (named[i].dtype != WF_I64) fill_closed(named[i].name, named[i].dtype, count, data);
        named[i].data = data;
    }
    cr_assert(!wf_safetensors_write(path, named, n, NULL, 0), "%s", wf_error());
    cr_assert(!wf_params_load(p, path), "%s", wf_error());
    for (size_t i = 0; i < n; i++) free((void *)named[i].data);
    free(named);
    wf_safetensors_free(file);
    unlink(path);
}

/* Every tensor of the file at path against "PREFIX" + name. Returns how many. */
static size_t compare_file(const char *path, const char *prefix, double most) {
    wf_safetensors *file;
    cr_assert(!wf_safetensors_open(&file, path), "%s", wf_error());
    const size_t n = wf_safetensors_count(file);
    for (size_t i = 0; i < n; i++) {
        const wf_named *t = wf_safetensors_at(file, i);
        char name[160];
        snprintf(name, sizeof name, "%s%s", prefix, t->name);
        const double d = distance(name, t->dtype, wf_shape_count(&t->shape), t->data);
        cr_assert(d <= most, "%s: relative distance %.2g, at most %.2g", name, d, most);
    }
    wf_safetensors_free(file);
    unlink(path);
    return n;
}

typedef struct trainer {
    wf_program *program;
    wf_tensor loss, norm, mae, grad[MOST];
    int64_t count[MOST]; /* elements of grad[i]; the graph is gone */
    int n;
} trainer;

static trainer make_trainer(wf_params *p, wf_dtype dtype, bool separate) {
    trainer t;
    wf_tensor leaf[MOST], out[MOST + 3];
    wf_graph *g = wf_graph_new();
    const wf_tensor y = network(p, video(g, dtype, 0), true, separate);
    const wf_tensor target = video(g, dtype, 1);
    t.loss = out[0] = wf_nn_mse(y, target);
    t.mae = out[1] = wf_nn_l1(y, target);
    t.norm = out[2] = wf_nn_adam(p, t.loss, (wf_optimizer_opt){.lr = 0.001, .clip_norm = 0.05});
    t.n = wf_params_leaves(p, g, leaf, MOST);
    cr_assert(t.n == 16, "%d trainable parameters", t.n);
    cr_assert(!wf_grad(t.loss, leaf, t.n, t.grad), "%s", wf_error());
    memcpy(out + 3, t.grad, sizeof t.grad);
    for (int i = 0; i < t.n; i++) t.count[i] = wf_count(t.grad[i]);
    const wf_compile_opt o = {.precision = WF_PRECISION_F32};
    cr_assert(!wf_compile(&t.program, g, out, t.n + 3, o), "%s", wf_error());
    wf_graph_free(g);
    return t;
}

static void check_gradients(const trainer *t, const wf_params *p, wf_dtype dtype, double most) {
    char path[] = "/tmp/weft-network-XXXXXX";
    close(mkstemp(path));
    float *value[MOST];
    for (int i = 0; i < t->n; i++) {
        const int64_t n = t->count[i];
        const char *data = wf_data(t->program, t->grad[i]);
        value[i] = malloc((size_t)n * sizeof(float));
        for (int64_t k = 0; k < n; k++)
            value[i][k] = (float)wf_load(dtype, data + (size_t)k * wf_dtype_bytes(dtype));
    }
    cr_assert(!wf_params_save_values(p, (const float *const *)value, path), "%s", wf_error());
    cr_assert(compare_file(path, "network.grad.", most) == 52);
    for (int i = 0; i < t->n; i++) free(value[i]);
}

static void check_evaluation(wf_params *p, wf_dtype dtype, double most) {
    static const char *const what[] = {"loss", "mae", "psnr", "ssim", "ssim_clamped"};
    enum { images = (FRAMES - 1) * BATCH };
    static float y[images * PIXELS], target[images * PIXELS];
    wf_graph *g = wf_graph_new();
    const wf_tensor out = network(p, video(g, dtype, 0), false, false);
    cr_assert(!wf_eval(wf_cast(out, WF_F32), y, sizeof y), "%s", wf_error());
    cr_assert(!wf_eval(wf_cast(video(g, dtype, 1), WF_F32), target, sizeof target), "%s",
              wf_error());
    wf_graph_free(g);
    const double d = distance("network.eval.y", WF_F32, images * PIXELS, y);
    /* Three steps of Adam in f32 by kernels without multiply-add: 1.8e-4. */
    cr_assert(d <= (dtype == WF_F64 ? most : 10 * most), "predictions: relative distance %.2g", d);
    wf_image_metrics m = {0};
    wf_image_metrics_add(&m, y, target, images, SIZE, SIZE);
    const wf_image_scores s = wf_image_metrics_scores(&m);
    const double got[] = {s.loss, s.mae, s.psnr, s.ssim, s.ssim_clamped};
    for (int i = 0; i < 5; i++) {
        const double want = recorded_value("network.eval", i);
        cr_assert(fabs(got[i] - want) <= most, "%s is %.9g, not %.9g", what[i], got[i], want);
    }
}

static void expect_step(const char *name, int step, const void *data, wf_dtype dtype, double most) {
    const double got = wf_load(dtype, data), want = recorded_value(name, step);
    cr_assert(fabs(got - want) <= most * want, "%s of step %d is %.10g, not %.10g", name, step + 1,
              got, want);
}

static void train(wf_dtype dtype, bool separate) {
    /* Files of gradients are f32. In f32 Adam turns the rounding of gradients near zero into steps
     * of full size, which the second norm shows. For gradients f32 has the bound of the
     * golden ones; kernels without multiply-add come to 3e-5. */
    const double most = dtype == WF_F64 ? 1e-7 : 1e-4;
    const double exact = dtype == WF_F64 ? 1e-12 : 1e-5;
    const double exact_norm = dtype == WF_F64 ? 4e-12 : 2e-4;
    wf_params *p = wf_params_new(1);
    trainer t = make_trainer(p, dtype, separate);
    load_closed(p);
    for (int i = 0; i < STEPS; i++) {
        cr_assert(!wf_run(t.program), "%s", wf_error());
        expect_step("network.loss", i, wf_data(t.program, t.loss), dtype, exact);
        expect_step("network.mae", i, wf_data(t.program, t.mae), dtype, exact);
        expect_step("network.norm", i, wf_data(t.program, t.norm), dtype, exact_norm);
        if (i == 0) check_gradients(&t, p, dtype, most);
    }
    wf_program_free(t.program);
    char path[] = "/tmp/weft-network-XXXXXX";
    close(mkstemp(path));
    cr_assert(!wf_params_save(p, path), "%s", wf_error());
    cr_assert(compare_file(path, "network.after.", dtype == WF_F64 ? 1e-9 : 1e-4) == 58);
    check_evaluation(p, dtype, dtype == WF_F64 ? 1e-6 : 1e-4);
    wf_params_free(p);
}

Test(nn_network, three_steps_f64) { train(WF_F64, false); }
Test(nn_network, three_steps_f32) { train(WF_F32, false); }
Test(nn_network, three_steps_separate_convolutions) { train(WF_F32, true); }

/* The state_dict lists what PyTorch lists, in its order. */
Test(nn_network, state_dict_order) {
    static const char *const first[] = {
        "convlstm0.0.conv_lstm_cell.conv_ii.weight", "convlstm0.0.conv_lstm_cell.conv_ii.bias",
        "convlstm0.0.conv_lstm_cell.conv_hi.weight", "convlstm0.0.conv_lstm_cell.conv_hi.bias",
        "convlstm0.0.conv_lstm_cell.conv_if.weight"};
    static const char *const norm[] = {"convlstm0.1.weight", "convlstm0.1.bias",
                                       "convlstm0.1.running_mean", "convlstm0.1.running_var",
                                       "convlstm0.1.num_batches_tracked",
                                       "convlstm1.0.conv_lstm_cell.conv_ii.weight"};
    char path[] = "/tmp/weft-network-XXXXXX";
    close(mkstemp(path));
    wf_params *p = wf_params_new(1);
    wf_graph *g = wf_graph_new();
    network(p, video(g, WF_F32, 0), false, false);
    cr_assert(!wf_params_save(p, path), "%s", wf_error());
    wf_safetensors *file;
    cr_assert(!wf_safetensors_open(&file, path), "%s", wf_error());
    for (size_t i = 0; i < WF_COUNT(first); i++)
        cr_assert_str_eq(wf_safetensors_at(file, i)->name, first[i]);
    for (size_t i = 0; i < WF_COUNT(norm); i++)
        cr_assert_str_eq(wf_safetensors_at(file, 16 + i)->name, norm[i]);
    wf_safetensors_free(file);
    unlink(path);
    wf_graph_free(g);
    wf_params_free(p);
}
