/* Models over frames in f64 at small size: the loss over 20 steps of training is the same compiled
 * and with every pass off, to 1e-9 of it. A model is one line of the table. */
#include <criterion/criterion.h>
#include <math.h>

#include "models/keras_convlstm/model.h"
#include "models/shi2015/model.h"
#include "models/srivastava2015/model.h"

enum { STEPS = 20 };

/* Writes a model into g, f64, batch and sizes small: the loss of its training. */
typedef wf_tensor write_fn(wf_graph *g, wf_params *p);

static wf_tensor srivastava_loss(wf_graph *g, wf_params *p, bool conditional) {
    const srivastava_opt o = {.reconstructs = true, .predicts = true, .conditional = conditional,
                              .past = 3, .hidden = 5, .layers = 2};
    const wf_tensor clips = wf_input(g, "clip", WF_F64, WF_SHAPE(5, 2, 12));
    const srivastava_frames y = srivastava(p, clips, o);
    return wf_add(srivastava_nats(y.reconstruction, wf_flip(wf_slice(clips, 0, 0, 3, 1), 0)),
                  srivastava_nats(y.prediction, wf_slice(clips, 0, 3, 2, 1)));
}
static wf_tensor srivastava_composite(wf_graph *g, wf_params *p) {
    return srivastava_loss(g, p, false);
}
static wf_tensor srivastava_conditional(wf_graph *g, wf_params *p) {
    return srivastava_loss(g, p, true);
}

static wf_tensor keras(wf_graph *g, wf_params *p) {
    const keras_opt o = {.hidden = 3, .frames = 4, .batch = 2, .side = 6, .training = true,
                         .dtype = WF_F64};
    return keras_write(g, p, &o).loss;
}
static wf_tensor keras_causal(wf_graph *g, wf_params *p) {
    const keras_opt o = {.hidden = 3, .frames = 4, .batch = 2, .side = 6, .training = true,
                         .causal = true, .dtype = WF_F64};
    return keras_write(g, p, &o).loss;
}
static wf_tensor shi(wf_graph *g, wf_params *p) {
    const shi_opt o = {.layers = 2, .hidden = {3, 2}, .kernel_input = 3, .kernel = 1, .seen = 3,
                       .predicted = 2, .batch = 2, .side = 8, .dtype = WF_F64};
    return wf_mul_scalar(shi_write(g, p, &o).loss, 1.0 / 128);
}

#define MODELS(X)                                                                                  \
    X(keras, wf_nn_adam, 0.01)                                                                     \
    X(keras_causal, wf_nn_adam, 0.01)                                                              \
    X(shi, wf_nn_rmsprop, 0.01)                                                                    \
    X(srivastava_composite, wf_nn_adam, 0.01)                                                      \
    X(srivastava_conditional, wf_nn_adam, 0.01)

typedef wf_tensor optimizer_fn(wf_params *p, wf_tensor loss, wf_optimizer_opt o);

/* Inputs are made numbers between 0 and 1, the same at every step. */
static void fill(wf_program *p, const char *name) {
    size_t bytes = 0;
    double *x = wf_data_named(p, name, &bytes);
    for (size_t i = 0; x && i < bytes / sizeof *x; i++) x[i] = 0.5 + 0.5 * sin(0.7 * (double)i);
}

static void train(write_fn *write, optimizer_fn *optimizer, double lr, unsigned off,
                  double loss[STEPS]) {
    wf_graph *g = wf_graph_new();
    wf_params *p = wf_params_new(3);
    wf_program *program;
    const wf_tensor l = write(g, p), norm = optimizer(p, l, (wf_optimizer_opt){.lr = lr});
    const wf_tensor outputs[] = {l, norm};
    cr_assert(wf_ok(norm), "%s", wf_graph_message(g));
    cr_assert(!wf_compile(&program, g, outputs, 2, (wf_compile_opt){.off = off}), "%s",
              wf_error());
    fill(program, "clip");
    for (int i = 0; i < STEPS; i++) {
        cr_assert(!wf_run(program) && !wf_read(program, l, &loss[i], sizeof loss[i]), "%s",
                  wf_error());
    }
    wf_program_free(program);
    wf_params_free(p);
    wf_graph_free(g);
}

static void check_passes(write_fn *write, optimizer_fn *optimizer, double lr) {
    double with[STEPS], without[STEPS];
    train(write, optimizer, lr, 0, with);
    train(write, optimizer, lr, WF_PASS_ALL, without);
    cr_expect(without[STEPS - 1] < without[0], "%g, then %g: nothing is learned", without[0],
              without[STEPS - 1]);
    for (int i = 0; i < STEPS; i++)
        cr_expect(fabs(with[i] - without[i]) <= 1e-9 * fabs(without[i]),
                  "step %d: %.17g compiled, %.17g with every pass off", i, with[i], without[i]);
}

#define X(name, optimizer, lr)                                                                     \
    Test(models_f64, name) { check_passes(name, optimizer, lr); }
MODELS(X)
#undef X
