/* Every model in f64 and small: 20 steps of its training give the same losses compiled and with
 * every pass off. A line of the table is a model: how its training step is written down. Those of
 * keras_convlstm, shi2015 and srivastava2015 are in test_models_f64_video.c. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "models/char_gpt/model.h"
#include "models/convlstm/model.h"
#include "models/lstm_tasks/network.h"
#include "models/rnnlm/model.h"
#include "tensor/graph.h"

/* These are one file each; here their mains have other names. */
int mnist_cnn_f64_main(int argc, char **argv);
#define main mnist_cnn_f64_main
#include "models/mnist_cnn/main.c"
#undef main

int sequence_classifier_f64_main(int argc, char **argv);
#define main sequence_classifier_f64_main
#define BATCH WAVES
#include "models/sequence_classifier/main.c"
#undef main
#undef BATCH

enum { STEPS = 20, INPUTS = 4 };

/* Writes a training step into the graph of p: its loss, and its inputs of random numbers. Integers
 * are below `classes`. */
typedef struct step {
    wf_graph *g;
    wf_params *p;
    wf_tensor loss, input[INPUTS];
    int n_inputs;
    int64_t classes;
    double lr; /* if there is an input "lr" */
} step;

static void tasks_of(step *s, const char *name, network_opt o) {
    const task *k = task_of(name);
    const int64_t steps = 6;
    wf_tensor out[NETWORK_OUTPUTS];
    o.hidden = 6;
    o.batch = 3;
    o.dtype = WF_F64;
    o.clip = 1;
    o.lr = 0.1;
    network_build(s->g, s->p, k, steps, o, true, out);
    for (uint32_t i = 0; i < 3; i++) s->input[i] = wf_handle(s->g, i + 1); /* x, length, target */
    s->n_inputs = 3;
    s->classes = k->every_step ? k->outputs : 4;
    s->loss = out[1];
}
static void tasks_rnn(step *s) {
    tasks_of(s, "order", (network_opt){.optimizer = OPTIMIZER_SGD, .omega = 1});
}
static void tasks_full(step *s) {
    tasks_of(s, "adding", (network_opt){.optimizer = OPTIMIZER_SGD, .omega = 1, .full = true});
}
static void tasks_lstm97(step *s) { tasks_of(s, "adding", (network_opt){.cell = CELL_LSTM97}); }
static void tasks_lstm(step *s) { tasks_of(s, "reber", (network_opt){.cell = CELL_LSTM}); }
static void tasks_lstmp(step *s) { tasks_of(s, "order", (network_opt){.cell = CELL_LSTMP}); }
static void tasks_gru(step *s) { tasks_of(s, "reber", (network_opt){.cell = CELL_GRU}); }

static void rnnlm_of(step *s, rnnlm_kind kind) {
    const rnnlm m = {.kind = kind, .symbols = 7, .hidden = 5, .projection = 3, .layers = 2,
                     .dtype = WF_F64};
    s->input[0] = wf_input(s->g, "x", WF_I32, WF_SHAPE(4, 2));
    s->input[1] = wf_input(s->g, "y", WF_I32, WF_SHAPE(4, 2));
    s->n_inputs = 2;
    s->classes = m.symbols;
    s->lr = 0.5;
    s->loss = rnnlm_train(s->p, s->input[0], s->input[1], &m, 5).loss;
}
static void rnnlm_rnn(step *s) { rnnlm_of(s, RNNLM_RNN); }
static void rnnlm_lstm(step *s) { rnnlm_of(s, RNNLM_LSTM); }
static void rnnlm_projected(step *s) { rnnlm_of(s, RNNLM_PROJECTED); }
static void rnnlm_deep(step *s) { rnnlm_of(s, RNNLM_DEEP); }

static void mnist_cnn(step *s) {
    s->input[0] = wf_input(s->g, "x", WF_F64, WF_SHAPE(3, 16, 16, 1));
    s->input[1] = wf_input(s->g, "y", WF_I64, WF_SHAPE(3));
    s->n_inputs = 2;
    s->classes = 10;
    s->lr = 1e-3;
    s->loss = wf_nn_cross_entropy(network(s->p, s->input[0]), s->input[1]);
    wf_nn_adam(s->p, s->loss, (wf_optimizer_opt){0});
}

static void char_gpt(step *s) {
    const gpt_size z = {.symbols = 7, .context = 5, .width = 8, .heads = 2, .layers = 2,
                        .dtype = WF_F64};
    s->input[0] = wf_input(s->g, "x", WF_I64, WF_SHAPE(5, 3));
    s->input[1] = wf_input(s->g, "y", WF_I64, WF_SHAPE(5, 3));
    s->n_inputs = 2;
    s->classes = z.symbols;
    s->lr = 1e-3;
    s->loss = gpt_loss(s->p, s->input[0], s->input[1], z);
    gpt_optimizer(s->p, s->loss);
}

static void convlstm_row(step *s) {
    const wf_shape frames = WF_SHAPE(3, 2, 6, 6, 1);
    s->input[0] = wf_input(s->g, "x", WF_F64, frames);
    s->input[1] = wf_input(s->g, "target", WF_F64, frames);
    s->n_inputs = 2;
    s->lr = 1e-2;
    const wf_tensor y = convlstm(s->p, s->input[0], (convlstm_opt){.hidden = 3, .training = true});
    s->loss = wf_nn_mse(y, s->input[1]);
    wf_nn_adam(s->p, s->loss, (wf_optimizer_opt){.clip_norm = 2});
}

static void sequence_classifier(step *s) {
    s->input[0] = wf_input(s->g, "x", WF_F64, WF_SHAPE(5, 3, 1));
    s->input[1] = wf_input(s->g, "y", WF_I32, WF_SHAPE(3));
    s->n_inputs = 2;
    s->classes = SHAPES;
    s->lr = 5e-3;
    s->loss = wf_nn_cross_entropy(model(s->p, s->input[0]), s->input[1]);
    wf_nn_adam(s->p, s->loss, (wf_optimizer_opt){.clip_norm = 1});
}

static const struct {
    const char *name;
    void (*write)(step *s);
} models[] = {
    {"convlstm", convlstm_row},
    {"sequence_classifier", sequence_classifier},
    {"lstm_tasks rnn", tasks_rnn},
    {"lstm_tasks rnn, full", tasks_full},
    {"lstm_tasks lstm97", tasks_lstm97},
    {"lstm_tasks lstm", tasks_lstm},
    {"lstm_tasks lstmp", tasks_lstmp},
    {"lstm_tasks gru", tasks_gru},
    {"rnnlm rnn", rnnlm_rnn},
    {"rnnlm lstm", rnnlm_lstm},
    {"rnnlm projected", rnnlm_projected},
    {"rnnlm deep", rnnlm_deep},
    {"mnist_cnn", mnist_cnn},
    {"char_gpt", char_gpt},
};

/* The same numbers at every call with the same seed. */
static void fill(wf_program *program, wf_tensor t, int64_t classes, uint64_t seed) {
    void *data = wf_data(program, t);
    for (int64_t i = 0; i < wf_count(t); i++) {
        uint64_t z = (seed + (uint64_t)i + 1) * 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z ^= z >> 31;
        if (wf_dtype_of(t) == WF_I32) ((int32_t *)data)[i] = (int32_t)(z % (uint64_t)classes);
        else if (wf_dtype_of(t) == WF_I64) ((int64_t *)data)[i] = (int64_t)(z % (uint64_t)classes);
        else if (wf_dtype_of(t) == WF_F32) ((float *)data)[i] = (float)(z >> 40) * 0x1p-24f;
        else ((double *)data)[i] = (double)(z >> 11) * 0x1p-53;
    }
}

static void train(size_t model, unsigned off, double *loss) {
    step s = {.g = wf_graph_new(), .p = wf_params_new(3), .lr = 0.1};
    models[model].write(&s);
    wf_program *program;
    cr_assert(!wf_compile(&program, s.g, &s.loss, 1, (wf_compile_opt){.off = off}), "%s: %s",
              models[model].name, wf_error());
    float *lr = wf_data_named(program, "lr", &(size_t){0});
    if (lr) *lr = (float)s.lr;
    for (int k = 0; k < STEPS; k++) {
        for (int i = 0; i < s.n_inputs; i++)
            fill(program, s.input[i], s.classes, (uint64_t)(1000 * k + 100 * i));
        cr_assert(!wf_run(program), "%s", wf_error());
        cr_assert(!wf_read(program, s.loss, &loss[k], sizeof loss[k]), "%s: the loss is not f64",
                  models[model].name);
    }
    wf_program_free(program);
    wf_graph_free(s.g);
    wf_params_free(s.p);
}

Test(models_f64, passes_do_not_change_the_losses) {
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        double with[STEPS], without[STEPS];
        train(m, 0, with);
        train(m, WF_PASS_ALL, without);
        for (int k = 0; k < STEPS; k++)
            cr_assert(isfinite(with[k]) && fabs(with[k] - without[k]) <= 1e-9 * fabs(without[k]),
                      "%s, step %d: %.17g, without passes %.17g", models[m].name, k, with[k],
                      without[k]);
        cr_assert(with[STEPS - 1] != with[0], "%s: nothing is learnt", models[m].name);
    }
}
