/* The training loop; see trainer.h. What a checkpoint has of it is `progress`, by the table
 * `fields`; the moving averages are buffers of the parameters ("average.NAME", role of optimiser
 * state), so that checkpoints have them and state_dict files do not. */
#include "nn/trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "nn/trainer_weights.h"

enum { PATH_BYTES = 4352, MESSAGE_BYTES = 1024 };

typedef struct progress {
    int64_t step, epoch, position, seed; /* epoch and position are of the next batch */
    int64_t validations_since_best;
    double metric, best;
    double scale;                        /* of the rate: halved by each collapse */
    double rate, plateau_best;           /* of the schedule */
    int64_t plateau_bad, plateau_started;
} progress;

static const struct {
    const char *name;
    wf_dtype dtype;
    size_t offset;
} fields[] = {
    {"trainer.step", WF_I64, offsetof(progress, step)},
    {"trainer.epoch", WF_I64, offsetof(progress, epoch)},
    {"trainer.position", WF_I64, offsetof(progress, position)},
    {"trainer.seed", WF_I64, offsetof(progress, seed)},
    {"trainer.validations_since_best", WF_I64, offsetof(progress, validations_since_best)},
    {"trainer.metric", WF_F64, offsetof(progress, metric)},
    {"trainer.best", WF_F64, offsetof(progress, best)},
    {"trainer.scale", WF_F64, offsetof(progress, scale)},
    {"trainer.schedule.rate", WF_F64, offsetof(progress, rate)},
    {"trainer.schedule.best", WF_F64, offsetof(progress, plateau_best)},
    {"trainer.schedule.bad", WF_I64, offsetof(progress, plateau_bad)},
    {"trainer.schedule.started", WF_I64, offsetof(progress, plateau_started)},
};

typedef struct training {
    const wf_trainer *t;
    progress now;
    wf_schedule schedule;
    wf_feed *feed;
    wf_state *state;               /* (n_state): fields of `now`, then the caller's */
    size_t n_state;
    void *input[WF_SOURCE_PARTS];  /* the program's buffers */
    void *lr;                      /* NULL: the program has no such input */
    const void *loss, *norm;       /* norm may be NULL */
    wf_dtype loss_type, norm_type, lr_type;
    int64_t epoch_steps, steps;
    wf_averages *averages;         /* NULL: none */
    wf_snapshot *before;           /* NULL: no search for anomalies */
    wf_trainer_at at;
    wf_trainer_result *result;
} training;

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void say(const training *r, const char *line) {
    if (r->t->on.message) r->t->on.message(r->t->user, line);
}

/* --- setting up ------------------------------------------------------------------------------- */

/* A real scalar of the program by name: its type by its bytes. */
static void *scalar(wf_program *p, const char *name, wf_dtype *type) {
    size_t bytes = 0;
    void *data = wf_data_named(p, name, &bytes);
    *type = bytes == sizeof(double) ? WF_F64 : WF_F32;
    return data && (bytes == sizeof(float) || bytes == sizeof(double)) ? data : NULL;
}

/* An input that is forgotten would be zeros in every step. */
static wf_status check_inputs(const wf_trainer *t) {
    const char *name;
    for (uint32_t i = 0; !t->more_inputs && (name = wf_program_input(t->program, i)); i++) {
        bool filled = strcmp(name, "lr") == 0;
        for (int k = 0; k < wf_source_parts(t->data); k++)
            filled |= strcmp(name, wf_source_name(t->data, k)) == 0;
        if (!filled)
            return wf_fail(WF_ARGUMENT, "trainer: nothing fills the program's input \"%s\"; make "
                           "it a part of the data, or write it yourself and set more_inputs", name);
    }
    return WF_OK;
}

static wf_status find_buffers(training *r, int64_t *batch) {
    const wf_trainer *t = r->t;
    const char *loss = t->loss ? t->loss : "loss";
    r->lr = scalar(t->program, "lr", &r->lr_type);
    r->norm = scalar(t->program, t->norm ? t->norm : "grad_norm", &r->norm_type);
    r->loss = scalar(t->program, loss, &r->loss_type);
    if (!r->loss)
        return wf_fail(WF_ARGUMENT, "trainer: the program has no real scalar named \"%s\"; name "
                       "the loss with wf_name and make it an output", loss);
    if (t->norm && !r->norm)
        return wf_fail(WF_ARGUMENT, "trainer: the program has no real scalar named \"%s\"",
                       t->norm);

    for (int i = 0; i < wf_source_parts(t->data); i++) {
        const char *name = wf_source_name(t->data, i);
        const size_t sample = wf_source_bytes(t->data, i);
        size_t bytes = 0;
        r->input[i] = wf_data_named(t->program, name, &bytes);
        if (!r->input[i])
            return wf_fail(WF_ARGUMENT, "trainer: the program has no input \"%s\", which the data "
                           "fills; name parts of the data as inputs are named", name);
        const int64_t n = sample ? (int64_t)(bytes / sample) : 0;
        if (n < 1 || bytes % sample || (i && n != *batch))
            return wf_fail(WF_ARGUMENT, "trainer: input \"%s\" has %zu bytes, which is no batch of "
                           "samples of %zu bytes%s", name, bytes, sample,
                           i ? " as large as those of the other inputs" : "");
        *batch = n;
    }
    return check_inputs(t);
}

static wf_status list_state(training *r) {
    const size_t own = WF_COUNT(fields);
    r->n_state = own + r->t->n_state;
    r->state = calloc(r->n_state, sizeof *r->state);
    if (!r->state) return wf_fail(WF_MEMORY, "no memory for the state of a training run");
    for (size_t i = 0; i < own; i++)
        r->state[i] = (wf_state){fields[i].name, fields[i].dtype, WF_SCALAR,
                                 (char *)&r->now + fields[i].offset};
    for (size_t i = 0; i < r->t->n_state; i++) r->state[own + i] = r->t->state[i];
    return WF_OK;
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* The sizes of the run, of which `steps` counts what is to be done in all. */
static wf_status count_steps(training *r) {
    const wf_trainer *t = r->t;
    int64_t by_epochs = INT64_MAX;
    r->epoch_steps = wf_feed_steps(r->feed);
    if (t->epochs && __builtin_mul_overflow(t->epochs, r->epoch_steps, &by_epochs))
        by_epochs = INT64_MAX;
    r->steps = least(t->steps ? t->steps : INT64_MAX, by_epochs);
    if (t->steps < 0 || t->epochs < 0 || r->steps == INT64_MAX)
        return wf_fail(WF_ARGUMENT, "trainer: give a number of steps or of epochs");
    return WF_OK;
}

static wf_status check(const wf_trainer *t) {
    if (!t->params || !t->program || !t->data)
        return wf_fail(WF_ARGUMENT, "trainer: params, program and data must be given");
    if (t->validate_every < 0 || t->patience < 0 || t->save_every < 0 || !(t->average >= 0) ||
        t->average >= 1 || !(t->collapse >= 0) || ((t->resume || t->collapse > 0) && !t->dir))
        return wf_fail(WF_ARGUMENT, "trainer: an option is out of range: validate_every, patience "
                       "and save_every are not negative, average is in [0, 1), resume and "
                       "collapse need dir");
    return WF_OK;
}

static wf_status prepare(training *r) {
    const wf_trainer *t = r->t;
    int64_t batch = 0;
    wf_status status = check(t);
    if (!status) status = find_buffers(r, &batch);
    if (!status)
        status = wf_feed_open(&r->feed, t->data, (wf_feed_opt){
            .batch = batch, .seed = t->seed, .in_order = t->in_order, .shard = t->shard,
            .shards = t->shards});
    if (!status) status = count_steps(r);
    if (!status && t->average > 0) status = wf_averages_new(&r->averages, t->params, t->average);
    if (!status && t->graph) status = wf_snapshot_new(&r->before, t->params);
    return status ? status : list_state(r);
}

static void discard(training *r) {
    wf_feed_close(r->feed);
    wf_averages_free(r->averages);
    wf_snapshot_free(r->before);
    free(r->state);
}

/* --- saving and resuming ---------------------------------------------------------------------- */

static void store_schedule(training *r) {
    r->now.rate = r->schedule.current;
    r->now.plateau_best = r->schedule.best;
    r->now.plateau_bad = r->schedule.bad;
    r->now.plateau_started = r->schedule.started;
}

static wf_status save_checkpoint(training *r) {
    const wf_trainer *t = r->t;
    if (!t->dir) return WF_OK;
    const wf_status status = t->on.save ? t->on.save(t->user, &r->at) : WF_OK;
    if (status) return status;
    store_schedule(r);
    r->now.epoch = r->now.step / r->epoch_steps;
    r->now.position = r->now.step % r->epoch_steps;
    return wf_checkpoint_save(t->params, r->state, r->n_state, t->dir);
}

/* A state_dict file of the weights (of their averages) in the folder, by wf_params_save or load. */
static wf_status weights_file(training *r, const char *file, bool load) {
    char path[PATH_BYTES];
    if (!r->t->dir) return WF_OK;
    const int n = snprintf(path, sizeof path, "%s/%s", r->t->dir, file);
    if (n < 0 || n >= (int)sizeof path)
        return wf_fail(WF_OUTPUT, "%s: the name of the folder is too long", r->t->dir);
    return load ? wf_params_load(r->t->params, path) : wf_params_save(r->t->params, path);
}

static wf_status save_weights(training *r, const char *file) {
    return weights_file(r, file, false);
}

static wf_status load_checkpoint(training *r) {
    char note[MESSAGE_BYTES], line[MESSAGE_BYTES];
    const wf_trainer *t = r->t;
    const wf_status status =
        wf_checkpoint_load(t->params, r->state, r->n_state, t->dir, note, sizeof note);
    if (status == WF_NOT_FOUND) {
        snprintf(line, sizeof line, "%.900s: nothing is saved yet; starting at step 0", t->dir);
        say(r, line);
        return WF_OK;
    }
    if (status) return status;
    if (*note) say(r, note);
    if (r->now.seed != (int64_t)t->seed || r->now.step < 0)
        return wf_fail(WF_ARGUMENT, "%s: the checkpoint is of a run with another seed", t->dir);
    r->schedule.current = r->now.rate;
    r->schedule.best = r->now.plateau_best;
    r->schedule.bad = r->now.plateau_bad;
    r->schedule.started = r->now.plateau_started != 0;
    return WF_OK;
}

static void locate(training *r) {
    const int64_t last = r->now.step ? r->now.step - 1 : 0;
    r->at.step = r->now.step;
    r->at.steps = r->steps;
    r->at.epoch = last / r->epoch_steps + 1;
    r->at.epoch_step = r->now.step ? last % r->epoch_steps + 1 : 0;
    r->at.epoch_steps = r->epoch_steps;
    r->at.metric = r->now.metric;
    r->at.best = r->now.best;
}

static double rate(const training *r) {
    return r->now.scale * wf_schedule_lr(&r->schedule, r->now.step);
}

static wf_status begin(training *r) {
    const wf_trainer *t = r->t;
    r->schedule = t->schedule;
    if (r->schedule.total == 0) r->schedule.total = r->steps;
    r->now = (progress){.seed = (int64_t)t->seed, .metric = NAN, .best = INFINITY,
                        .scale = 1};
    r->at = (wf_trainer_at){.loss = NAN, .norm = NAN};
    wf_status status = WF_OK;
    if (t->dir) wf_file_sweep(t->dir);
    if (t->resume) status = load_checkpoint(r);
    else if (t->dir) status = wf_checkpoint_remove(t->dir);
    if (status) return status;
    locate(r);
    r->at.lr = rate(r);
    if (r->now.step) status = wf_feed_seek(r->feed, r->now.step);
    if (!status && t->on.start) status = t->on.start(t->user, &r->at, t->resume);
    return status;
}

/* --- a step ----------------------------------------------------------------------------------- */

static wf_status not_finite(training *r) {
    char origin[MESSAGE_BYTES] = "";
    if (r->before) {
        wf_snapshot_restore(r->before);
        if (wf_find_anomaly(r->t->graph, r->t->program, r->t->compile, origin, sizeof origin))
            snprintf(origin, sizeof origin, "looking for its origin: %.900s", wf_error());
    }
    return wf_fail(WF_NOT_FINITE, "step %lld: loss %g, gradient norm %g: not finite%s%s",
                   (long long)r->now.step, r->at.loss, r->at.norm, *origin ? "; " : "", origin);
}

static wf_status train_step(training *r) {
    const wf_trainer *t = r->t;
    const double start = seconds();
    r->at.lr = rate(r);
    if (r->lr) wf_store(r->lr_type, r->lr, r->at.lr);
    wf_status status = wf_feed_next(r->feed, r->input, &r->at.wait_s);
    if (status) return status;
    if (r->before) wf_snapshot_take(r->before);
    status = wf_run(t->program);
    if (status) return status;
    r->now.step++;
    r->at.loss = wf_load(r->loss_type, r->loss);
    r->at.norm = r->norm ? wf_load(r->norm_type, r->norm) : NAN;
    locate(r);
    if (!isfinite(r->at.loss) || (r->norm && !isfinite(r->at.norm))) return not_finite(r);
    if (r->averages) wf_averages_add(r->averages, r->now.step);
    r->at.step_s = seconds() - start;
    r->result->run_s += r->at.step_s;
    r->result->wait_s += r->at.wait_s;
    return t->on.step ? t->on.step(t->user, &r->at) : WF_OK;
}

/* --- validation ------------------------------------------------------------------------------- */

/* The weights' files and the metric, with the averages in the place of the weights. */
static wf_status judge(training *r) {
    const wf_trainer *t = r->t;
    double metric = NAN;
    wf_status status = t->on.validate ? t->on.validate(t->user, &r->at, &metric) : WF_OK;
    if (status) return status;
    if (t->on.validate && !isfinite(metric))
        return wf_fail(WF_NOT_FINITE, "step %lld: the metric of the validation is not finite",
                       (long long)r->now.step);
    r->at.is_best = !t->on.validate || metric < r->now.best;
    r->now.metric = metric;
    r->now.validations_since_best = r->at.is_best ? 0 : r->now.validations_since_best + 1;
    if (r->at.is_best && t->on.validate) r->now.best = metric;
    if (t->on.validate) wf_schedule_metric(&r->schedule, metric);
    status = save_weights(r, "last.safetensors");
    return !status && r->at.is_best ? save_weights(r, "best.safetensors") : status;
}

/* Weights that have collapsed seldom come back by themselves (units that are dead get no gradient),
 * and what the optimiser remembers of them leads there again. */
static wf_status recover(training *r) {
    char line[MESSAGE_BYTES];
    const wf_status status = weights_file(r, "best.safetensors", true);
    if (status) return status;
    wf_optimizer_forget(r->t->params);
    if (r->averages) wf_averages_reset(r->averages);
    r->now.scale /= 2;
    snprintf(line, sizeof line, "step %lld: the metric %.4g is more than %g times the best, %.4g: "
             "going on from the best weights at half the rate", (long long)r->now.step,
             r->now.metric, r->t->collapse, r->now.best);
    say(r, line);
    return WF_OK;
}

static wf_status validate(training *r) {
    const wf_trainer *t = r->t;
    if (r->averages) wf_averages_swap(r->averages);
    wf_status status = judge(r);
    if (r->averages) wf_averages_swap(r->averages);
    locate(r);
    if (!status && t->on.epoch) status = t->on.epoch(t->user, &r->at);
    const bool collapsed = t->collapse > 0 && r->now.metric > t->collapse * r->now.best;
    return !status && collapsed ? recover(r) : status;
}

/* --- the loop --------------------------------------------------------------------------------- */

static bool is_validation_due(const training *r) {
    const int64_t every = r->t->validate_every ? r->t->validate_every : r->epoch_steps;
    return r->now.step % every == 0;
}

static bool is_early(const training *r) {
    return r->t->patience && r->now.validations_since_best >= r->t->patience;
}

static wf_status save_stopped(training *r) {
    if (r->averages) wf_averages_swap(r->averages);
    const wf_status status = save_weights(r, "last.safetensors");
    if (r->averages) wf_averages_swap(r->averages);
    return status;
}

/* Loss and norm are those before the update, which may itself have overflown. */
static wf_status check_weights(const training *r) {
    const char *name = wf_weights_not_finite(r->t->params);
    if (!name) return WF_OK;
    return wf_fail(WF_NOT_FINITE, "step %lld: \"%s\" is not finite after the update, though the "
                   "loss before it is %g; nothing is saved, try a smaller learning rate than %g",
                   (long long)r->now.step, name, r->at.loss, r->at.lr);
}

static wf_status loop(training *r) {
    const wf_trainer *t = r->t;
    wf_status status = WF_OK;
    bool saved = t->resume && r->now.step, stopped = false;
    while (r->now.step < r->steps && !is_early(r) && !stopped && !status) {
        status = train_step(r);
        if (status) return status;
        stopped = t->on.stop && t->on.stop(t->user);
        const bool due = is_validation_due(r);
        saved = due || stopped || r->now.step == r->steps ||
                (t->save_every && r->now.step % t->save_every == 0);
        if (saved && t->dir) status = check_weights(r);
        if (due && !status) status = validate(r);
        if (saved && !status) status = save_checkpoint(r);
    }
    if (!status && !saved) status = save_checkpoint(r);
    if (status) return status;
    r->result->end = stopped       ? WF_TRAINER_STOPPED
                     : is_early(r) ? WF_TRAINER_EARLY
                                   : WF_TRAINER_DONE;
    if (r->now.step == 0 || is_validation_due(r)) return WF_OK;
    return stopped ? save_stopped(r) : validate(r);
}

wf_status wf_trainer_run(const wf_trainer *t, wf_trainer_result *result) {
    wf_trainer_result unused;
    if (!t) return wf_fail(WF_ARGUMENT, "wf_trainer_run: the trainer is NULL");
    training r = {.t = t, .result = result ? result : &unused};
    *r.result = (wf_trainer_result){.end = WF_TRAINER_DONE};
    wf_status status = prepare(&r);
    if (!status) status = begin(&r);
    if (!status) status = loop(&r);
    r.result->at = r.at;
    discard(&r);
    return status;
}

wf_status wf_evaluate(wf_program *program, const wf_source *data, const char *name, double *mean) {
    *mean = NAN;
    if (!program || !data)
        return wf_fail(WF_ARGUMENT, "wf_evaluate: program and data must be given");
    const wf_trainer t = {.program = program, .data = data, .loss = name};
    training r = {.t = &t};
    int64_t batch = 0;
    double sum = 0;
    wf_status status = find_buffers(&r, &batch);
    if (!status)
        status = wf_feed_open(&r.feed, data, (wf_feed_opt){.batch = batch, .in_order = true});
    const int64_t steps = status ? 0 : wf_feed_steps(r.feed);
    for (int64_t i = 0; i < steps && !status; i++) {
        status = wf_feed_next(r.feed, r.input, NULL);
        if (!status) status = wf_run(program);
        if (!status) sum += wf_load(r.loss_type, r.loss);
    }
    wf_feed_close(r.feed);
    if (!status) *mean = sum / (double)steps;
    return status;
}
