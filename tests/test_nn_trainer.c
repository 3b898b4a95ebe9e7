/* The trainer on a linear model: a run that is stopped and resumed anywhere ends like one that was
 * not; validation drives schedule, early stopping and best weights; what is not finite stops it. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nn/nn.h"

enum { SAMPLES = 26, BATCH = 4, EPOCH = SAMPLES / BATCH };

static char folder[] = "/tmp/weft-trainer-XXXXXX";
static float xs[SAMPLES][3], ys[SAMPLES];

static void setup(void) {
    cr_assert(mkdtemp(folder));
    for (int k = 0; k < SAMPLES; k++) {
        for (int i = 0; i < 3; i++) xs[k][i] = (float)((7 * k + 5 * i) % 11) / 11.0f;
        ys[k] = 2 * xs[k][0] - xs[k][1] + 0.5f;
    }
}

static void teardown(void) {
    char command[64];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    cr_assert(system(command) == 0);
}

TestSuite(nn_trainer, .init = setup, .fini = teardown);

static const char *in_folder(const char *name) {
    static char path[4][128];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

/* --- a run --- */

typedef struct experiment {
    wf_params *params;
    wf_graph *graph;
    wf_program *program;
    wf_tensor loss;
    wf_source *data;
    wf_trainer trainer;
    int64_t stop_at, rows; /* stop after this step; steps seen by callbacks, saved as state */
    wf_state rows_state;
    double metric[64];     /* what validation k gives; NaN-free runs use the weights */
    bool scripted;
    int validations;
    double trace[256];     /* loss of step k, from callbacks */
    double rate[256];
    char note[1024];
} experiment;

static wf_status after_step(void *user, const wf_trainer_at *at) {
    experiment *e = user;
    e->rows++;
    e->trace[at->step] = at->loss;
    e->rate[at->step] = at->lr;
    return WF_OK;
}

static wf_status validate(void *user, const wf_trainer_at *at, double *metric) {
    experiment *e = user;
    wf_param_info w;
    cr_assert(wf_params_find(e->params, "head.weight", &w));
    const float *v = w.data;
    *metric = e->scripted ? e->metric[e->validations]
                          : fabs(v[0] - 2) + fabs(v[1] + 1) + fabs(v[2]) ;
    e->validations++;
    return WF_OK;
}

static void message(void *user, const char *line) {
    experiment *e = user;
    snprintf(e->note, sizeof e->note, "%s", line);
}

static bool is_stopped(void *user) {
    const experiment *e = user;
    return e->stop_at && e->rows >= e->stop_at;
}

/* head: y = x w + b; loss (+ log(scale), which an input of -1 makes NaN in one sample). */
static void build(experiment *e, bool with_log) {
    wf_graph *g = e->graph = wf_graph_new();
    e->params = wf_params_new(4);
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(BATCH, 3));
    const wf_tensor y = wf_input(g, "y", WF_F32, WF_SHAPE(BATCH));
    wf_tensor out = wf_reshape(wf_nn_linear(e->params, "head", x, (wf_linear_opt){.out = 1}),
                               WF_SHAPE(BATCH));
    if (with_log) {
        wf_scope_push(g, "tail");
        out = wf_add(out, wf_log(wf_add_scalar(wf_index(x, 1, 0), 1)));
        wf_scope_pop(g);
    }
    const wf_tensor loss = e->loss = wf_name(wf_nn_mse(out, y), "loss");
    const wf_tensor norm = wf_name(
        wf_nn_adam(e->params, loss, (wf_optimizer_opt){.clip_norm = 1}), "grad_norm");
    cr_assert_eq(wf_compile(&e->program, g, (wf_tensor[]){loss, norm}, 2,
                            (wf_compile_opt){.threads = 1}),
                 WF_OK, "%s", wf_error());
}

static void open_with(experiment *e, const char *dir, bool with_log) {
    *e = (experiment){.stop_at = 0};
    build(e, with_log);
    const wf_source_part part[] = {
        {.name = "x", .data = xs, .from = WF_F32, .shape = WF_SHAPE(SAMPLES, 3)},
        {.name = "y", .data = ys, .from = WF_F32, .shape = WF_SHAPE(SAMPLES)}};
    cr_assert_eq(wf_source_open(&e->data, part, 2), WF_OK, "%s", wf_error());
    e->rows_state = (wf_state){"rows", WF_I64, WF_SCALAR, &e->rows};
    if (dir) cr_assert(mkdir(dir, 0777) == 0 || access(dir, W_OK) == 0);
    e->trainer = (wf_trainer){
        .params = e->params, .program = e->program, .data = e->data, .seed = 9, .steps = 40,
        .schedule = {.kind = WF_SCHEDULE_PLATEAU, .lr = 0.05, .factor = 0.5, .warmup = 5},
        .dir = dir, .state = &e->rows_state, .n_state = 1, .user = e,
        .on = {.validate = validate, .step = after_step, .message = message, .stop = is_stopped}};
}

static void open_run(experiment *e, const char *dir) { open_with(e, dir, false); }

static void close_run(experiment *e) {
    wf_program_free(e->program);
    wf_graph_free(e->graph);
    wf_params_free(e->params);
    wf_source_close(e->data);
}

static wf_trainer_result train(experiment *e) {
    wf_trainer_result result;
    cr_assert_eq(wf_trainer_run(&e->trainer, &result), WF_OK, "%s", wf_error());
    return result;
}

static void expect_same_file(const char *a, const char *b, const char *name) {
    static char text[2][1 << 16];
    size_t n[2];
    for (int i = 0; i < 2; i++) {
        char path[256];
        snprintf(path, sizeof path, "%s/%s", i ? b : a, name);
        FILE *f = fopen(path, "rb");
        cr_assert(f, "%s", path);
        n[i] = fread(text[i], 1, sizeof text[i], f);
        fclose(f);
    }
    cr_assert(n[0] == n[1] && !memcmp(text[0], text[1], n[0]), "%s differs", name);
}

/* --- tests --- */

Test(nn_trainer, learns) {
    experiment e;
    open_run(&e, NULL);
    e.trainer.steps = 250;
    const wf_trainer_result r = train(&e);
    cr_assert_eq(r.end, WF_TRAINER_DONE);
    cr_assert(e.trace[250] < 0.05 * e.trace[1], "%g to %g", e.trace[1], e.trace[250]);
    cr_assert(r.at.best < 0.6 && r.at.step == 250, "%g", r.at.best);
    cr_assert(e.rate[1] < e.rate[2] && fabs(e.rate[3] - 0.03) < 1e-9, "warm-up of a plateau");
    close_run(&e);
}

Test(nn_trainer, stopped_anywhere_and_resumed_is_the_same_run) {
    experiment whole, part;
    open_run(&whole, in_folder("whole"));
    whole.trainer.average = 0.9;
    train(&whole);
    for (int64_t at = 1; at < 40; at += 7) {
        char dir[128];
        snprintf(dir, sizeof dir, "%s/%lld", folder, (long long)at);
        open_run(&part, dir);
        part.trainer.average = 0.9;
        part.stop_at = at;
        cr_assert_eq(train(&part).end, WF_TRAINER_STOPPED);
        close_run(&part);
        open_run(&part, dir);
        part.trainer.average = 0.9;
        part.trainer.resume = true;
        const wf_trainer_result r = train(&part);
        cr_assert(r.at.step == 40 && part.rows == 40, "resumed at %lld", (long long)at);
        for (int64_t k = at + 1; k <= 40; k++)
            cr_assert(part.trace[k] == whole.trace[k] && part.rate[k] == whole.rate[k],
                      "step %lld after resuming at %lld", (long long)k, (long long)at);
        expect_same_file(in_folder("whole"), dir, WF_CHECKPOINT_FILE);
        expect_same_file(in_folder("whole"), dir, "last.safetensors");
        expect_same_file(in_folder("whole"), dir, "best.safetensors");
        close_run(&part);
    }
    close_run(&whole);
}

Test(nn_trainer, more_steps_continue_as_if_asked_for_at_once) {
    experiment whole, part;
    open_run(&whole, in_folder("whole"));
    train(&whole);
    open_run(&part, in_folder("part")); /* 9 steps: the second epoch is cut short and validated */
    part.trainer.steps = 9;
    train(&part);
    cr_assert_eq(part.validations, 2);
    close_run(&part);
    open_run(&part, in_folder("part"));
    part.trainer.resume = true;
    train(&part);
    expect_same_file(in_folder("whole"), in_folder("part"), WF_CHECKPOINT_FILE);
    close_run(&part);
    close_run(&whole);
}

Test(nn_trainer, nothing_saved_yet_starts_at_step_0) {
    experiment e;
    open_run(&e, in_folder("new"));
    e.trainer.resume = true;
    train(&e);
    cr_assert(e.rows == 40 && strstr(e.note, "nothing is saved yet; starting at step 0"), "%s",
              e.note);
    close_run(&e);
}

Test(nn_trainer, a_new_run_forgets_the_old_one) {
    experiment e;
    open_run(&e, in_folder("dir"));
    train(&e);
    close_run(&e);
    open_run(&e, in_folder("dir"));
    e.stop_at = 1;
    e.trainer.save_every = 1;
    train(&e);
    cr_assert(access(in_folder("dir/" WF_CHECKPOINT_BEFORE), F_OK), "of the run before");
    close_run(&e);
}

Test(nn_trainer, early_stopping_and_plateau_hear_of_validation) {
    experiment e;
    open_run(&e, in_folder("dir"));
    static const double script[] = {5, 4, 4.5, 4.5, 3, 3.5, 3.5, 3.5, 1};
    memcpy(e.metric, script, sizeof script);
    e.scripted = true;
    e.trainer.steps = 0;
    e.trainer.epochs = 20;
    e.trainer.patience = 3;
    const wf_trainer_result r = train(&e);
    cr_assert_eq(r.end, WF_TRAINER_EARLY);
    cr_assert(e.validations == 8 && r.at.step == 8 * EPOCH && r.at.best == 3);
    /* patience 0 of the schedule: each validation that is not better halves the rate. */
    cr_assert(fabs(e.rate[3 * EPOCH] - 0.05) < 1e-12 &&
              fabs(e.rate[3 * EPOCH + 1] - 0.025) < 1e-12 &&
              fabs(e.rate[7 * EPOCH + 1] - 0.003125) < 1e-12, "%g %g", e.rate[3 * EPOCH + 1],
              e.rate[7 * EPOCH + 1]);
    /* Resumed, it is still stopped. */
    close_run(&e);
    open_run(&e, in_folder("dir"));
    e.trainer.steps = 0;
    e.trainer.epochs = 20;
    e.trainer.patience = 3;
    e.trainer.resume = true;
    cr_assert_eq(train(&e).end, WF_TRAINER_EARLY);
    cr_assert_eq(e.rows, 8 * EPOCH);
    close_run(&e);
}

Test(nn_trainer, collapsed_weights_are_given_up_for_the_best) {
    experiment e;
    wf_param_info w, m;
    open_run(&e, in_folder("dir"));
    static const double script[] = {5, 4, 4.1, 6.1, 6};
    memcpy(e.metric, script, sizeof script);
    e.scripted = true;
    e.trainer.collapse = 1.5;
    e.trainer.schedule = (wf_schedule){.lr = 0.05};
    e.trainer.average = 0.9;
    e.trainer.steps = 4 * EPOCH;
    train(&e);
    cr_assert(strstr(e.note, "step 24: the metric 6.1"), "%s", e.note);
    cr_assert(wf_params_find(e.params, "head.weight", &w));
    cr_assert(wf_params_find(e.params, "optimizer.m.head.weight", &m));
    float now[3], zero[3] = {0};
    memcpy(now, w.data, sizeof now);
    cr_assert(!memcmp(m.data, zero, sizeof zero), "the optimiser remembers");
    cr_assert_eq(wf_params_load(e.params, in_folder("dir/best.safetensors")), WF_OK);
    cr_assert(!memcmp(now, w.data, sizeof now), "not the best weights");
    close_run(&e);
    open_run(&e, in_folder("dir"));
    e.trainer.schedule = (wf_schedule){.lr = 0.05};
    e.trainer.average = 0.9;
    e.trainer.resume = true;
    e.trainer.steps = 4 * EPOCH + 1;
    train(&e);
    cr_assert(e.rate[4 * EPOCH + 1] == 0.025, "%g", e.rate[4 * EPOCH + 1]);
    close_run(&e);
}

Test(nn_trainer, validation_every_n_steps) {
    experiment e;
    open_run(&e, NULL);
    e.trainer.validate_every = 10;
    train(&e);
    cr_assert_eq(e.validations, 4);
    close_run(&e);
}

Test(nn_trainer, not_finite_stops_and_names_the_operation) {
    experiment e;
    wf_trainer_result r;
    for (int search = 0; search < 2; search++) {
        xs[SAMPLES - 1][0] = -2;
        open_with(&e, in_folder("dir"), true);
        e.trainer.in_order = true;
        e.trainer.validate_every = 2;
        if (search) e.trainer.graph = e.graph;
        xs[4 * BATCH][0] = -2; /* in step 5 */
        cr_assert_eq(wf_trainer_run(&e.trainer, &r), WF_NOT_FINITE);
        cr_assert(strstr(wf_error(), "step 5: loss ") && strstr(wf_error(), "nan"), "%s",
                  wf_error());
        cr_assert(!strstr(wf_error(), "operation log in tail") == !search, "%s", wf_error());
        /* What is saved is from before. */
        static const char *const file[] = {"dir/best.safetensors", "dir/last.safetensors"};
        for (int i = 0; i < 2; i++) {
            cr_assert_eq(wf_params_load(e.params, in_folder(file[i])), WF_OK, "%s", wf_error());
            wf_param_info w;
            cr_assert(wf_params_find(e.params, "head.weight", &w));
            cr_assert(isfinite(*(const float *)w.data));
        }
        close_run(&e);
    }
}

/* Loss and norm of a step are those before its update: the weights are looked at themselves. */
Test(nn_trainer, weights_that_are_not_finite_are_not_saved) {
    static const char *const file[] = {"dir/" WF_CHECKPOINT_FILE, "dir/last.safetensors"};
    experiment e;
    wf_trainer_result r;
    open_run(&e, in_folder("dir"));
    e.trainer.schedule = (wf_schedule){.lr = 1e39};
    e.trainer.steps = 1;
    for (int validate_too = 0; validate_too < 2; validate_too++) {
        e.trainer.validate_every = 2 - validate_too;
        e.trainer.on.validate = NULL;
        cr_assert_eq(wf_trainer_run(&e.trainer, &r), WF_NOT_FINITE);
        cr_assert(strstr(wf_error(), "step 1: ") && strstr(wf_error(), "\"head.weight\""), "%s",
                  wf_error());
        for (int i = 0; i < 2; i++)
            cr_assert(access(in_folder(file[i]), F_OK), "%s is there", file[i]);
        wf_params_fill(e.params, "*", 0);
    }
    close_run(&e);
}

Test(nn_trainer, refusals) {
    experiment e;
    wf_trainer_result r;
    open_run(&e, NULL);
    wf_trainer t = e.trainer;
    t.loss = "loss of another model";
    cr_assert_eq(wf_trainer_run(&t, &r), WF_ARGUMENT);
    cr_assert(strstr(wf_error(), "\"loss of another model\""), "%s", wf_error());
    t = e.trainer;
    t.steps = 0;
    cr_assert_eq(wf_trainer_run(&t, &r), WF_ARGUMENT);
    t = e.trainer;
    t.resume = true;
    cr_assert_eq(wf_trainer_run(&t, &r), WF_ARGUMENT);
    wf_source *other;
    const wf_source_part part = {.name = "z", .data = ys, .from = WF_F32,
                                 .shape = WF_SHAPE(SAMPLES)};
    cr_assert_eq(wf_source_open(&other, &part, 1), WF_OK);
    t = e.trainer;
    t.data = other;
    cr_assert_eq(wf_trainer_run(&t, &r), WF_ARGUMENT);
    cr_assert(strstr(wf_error(), "no input \"z\""), "%s", wf_error());
    wf_source_close(other);
    close_run(&e);
}

Test(nn_trainer, another_seed_is_refused) {
    experiment e;
    wf_trainer_result r;
    open_run(&e, in_folder("dir"));
    train(&e);
    e.trainer.seed = 10;
    e.trainer.resume = true;
    cr_assert_eq(wf_trainer_run(&e.trainer, &r), WF_ARGUMENT);
    cr_assert(strstr(wf_error(), "another seed"), "%s", wf_error());
    close_run(&e);
}

/* The mean over full batches in the data's order: here of the mean squared error, by hand. */
Test(nn_trainer, evaluate) {
    experiment e;
    open_run(&e, NULL);
    wf_param_info w, b;
    cr_assert(wf_params_find(e.params, "head.weight", &w) &&
              wf_params_find(e.params, "head.bias", &b));
    const float *v = w.data, bias = *(const float *)b.data;
    double want = 0, got;
    for (int k = 0; k < EPOCH * BATCH; k++)
        want += pow(v[0] * xs[k][0] + v[1] * xs[k][1] + v[2] * xs[k][2] + bias - ys[k], 2);
    wf_program *judge;
    cr_assert(!wf_compile(&judge, e.graph, &e.loss, 1, (wf_compile_opt){.no_assign = true}), "%s",
              wf_error());
    for (int i = 0; i < 2; i++) {
        cr_assert(!wf_evaluate(judge, e.data, "loss", &got), "%s", wf_error());
        cr_expect(fabs(got - want / (EPOCH * BATCH)) < 1e-5 * got, "%g, not %g", got,
                  want / (EPOCH * BATCH));
    }
    cr_assert_eq(wf_evaluate(judge, e.data, "nothing", &got), WF_ARGUMENT);
    cr_assert(isnan(got) && strstr(wf_error(), "\"nothing\""), "%s", wf_error());
    wf_program_free(judge);
    close_run(&e);
}

/* A schedule without a total ends with the run. */
Test(nn_trainer, schedule_takes_the_length_of_the_run) {
    experiment e;
    open_run(&e, NULL);
    e.trainer.schedule = (wf_schedule){.kind = WF_SCHEDULE_LINEAR, .lr = 0.4};
    train(&e);
    cr_expect(fabs(e.rate[1] - 0.4) < 1e-12 && fabs(e.rate[21] - 0.2) < 1e-12 &&
              fabs(e.rate[40] - 0.01) < 1e-12, "%g, %g, %g", e.rate[1], e.rate[21], e.rate[40]);
    close_run(&e);
}
