/* srivastava2015 train: one model; a validation after every epoch, weights, checkpoints and metrics
 * in a run directory, by models/program/training.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/program/config.h"
#include "models/program/curves.h"
#include "models/program/training.h"
#include "models/srivastava2015/measure.h"
#include "models/srivastava2015/settings.h"

typedef struct experiment {
    const settings *s;
    const char *dir;          /* of the run */
    clips *clips;
    int64_t n_train, n_val;   /* the first clips, the last ones */
    wf_source *source;
    wf_params *params;
    srivastava_program step, validation; /* the latter only with validation clips */
    char hash[CLIPS_HASH];    /* of the data */
    nats last;                /* of the last validation */
    double epoch_start, epoch_s;
} experiment;

/* --- setting up --- */

static wf_status fill_batch(void *user, const int64_t *index, int64_t n, void *const *out) {
    return clips_whole(user, index, 0, n, out[0]);
}

static wf_status open_source(experiment *t) {
    const int64_t n = clips_count(t->clips), side = clips_size(t->clips);
    const wf_source_part part = {
        .name = "clips", .shape = WF_SHAPE(clips_frames(t->clips), side, side, 1)};
    t->n_val = t->s->val;
    t->n_train = n - t->n_val;
    if (t->n_train < t->s->batch)
        return wf_fail(WF_ARGUMENT, "--val %lld of %lld clips leaves fewer than a batch of %lld to "
                       "train on; use more --clips, a smaller --batch or a smaller --val",
                       (long long)t->n_val, (long long)n, (long long)t->s->batch);
    return wf_source_function(&t->source, t->n_train, &part, 1, fill_batch, t->clips);
}

/* Validation is what counts in the end: decoders read what they wrote. */
static wf_status compile_programs(experiment *t) {
    const settings *s = t->s;
    srivastava_opt o = network_of(s);
    srivastava_size size = {clips_frames(t->clips), s->batch, clips_size(t->clips)};
    wf_status status =
        srivastava_trainer(&t->step, t->params, size, o, s->clip, compile_options(s));
    if (status || !t->n_val) return status;
    o.generates = true;
    size.batch = measure_batch(t->n_val, s->batch);
    return srivastava_predictor(&t->validation, t->params, size, o, compile_options(s));
}

static exit_code prepare(experiment *t) {
    const settings *s = t->s;
    if (s->steps && s->epochs)
        return report_error(EXIT_CODE_USAGE, "--steps and --epochs exclude each other");
    exit_code code = EXIT_CODE_OK;
    if (s->resume)
        code = config_compare(program_command(&srivastava_program_table, "train"), s->resume, s,
                              "steps|epochs|threads|save-every|resume|out");
    if (!code) code = open_training_clips(&t->clips, s);
    if (!code) clips_hash(t->clips, t->hash);
    if (!code && s->resume) code = config_compare_data(s->resume, t->hash);
    if (code) return code;
    wf_status status = open_source(t);
    t->params = wf_params_new((uint64_t)s->seed);
    if (!status && !t->params) status = wf_fail(WF_MEMORY, "no memory for the parameters");
    if (!status) status = compile_programs(t);
    return status ? report_failure(status) : EXIT_CODE_OK;
}

static void discard(experiment *t) {
    srivastava_program_free(&t->validation);
    srivastava_program_free(&t->step);
    wf_params_free(t->params);
    wf_source_close(t->source);
    clips_close(t->clips);
}

/* --- what the trainer calls --- */

static wf_status start(void *user, const wf_trainer_at *at, bool resumed) {
    experiment *t = user;
    report_progress("%s%s: %lld parameters; %lld clips to train on, %lld to validate; step %lld of "
                    "%lld", t->s->model, t->s->conditional ? ", conditional" : "",
                    (long long)wf_params_elements(t->params), (long long)t->n_train,
                    (long long)t->n_val, (long long)at->step, (long long)at->steps);
    t->epoch_start = report_seconds();
    return WF_OK;
}

static void step_row(void *user, const wf_trainer_at *at, json_row *row) {
    const experiment *t = user;
    row_integer(row, "step", at->step);
    row_real(row, "loss", at->loss);
    if (t->step.reconstruction_nats) row_real(row, "reconstruction", *t->step.reconstruction_nats);
    if (t->step.prediction_nats) row_real(row, "prediction", *t->step.prediction_nats);
    row_real(row, "grad_norm", at->norm);
    row_real(row, "seconds", at->step_s);
}

static wf_status validate(void *user, const wf_trainer_at *at, double *metric) {
    experiment *t = user;
    const wf_status status = measure(&t->last, &t->validation, t->clips, t->n_train, t->n_val);
    *metric = nats_sum(t->last);
    return status;
}

static void epoch_row(void *user, const wf_trainer_at *at, json_row *row) {
    experiment *t = user;
    t->epoch_s = report_seconds() - t->epoch_start;
    t->epoch_start = report_seconds();
    row_integer(row, "epoch", at->epoch);
    row_real(row, "val_loss", t->n_val ? nats_sum(t->last) : NAN);
    row_real(row, "val_reconstruction", t->last.reconstruction);
    row_real(row, "val_prediction", t->last.prediction);
    row_real(row, "seconds", t->epoch_s);
}

static wf_status after_epoch(void *user, const wf_trainer_at *at) {
    const experiment *t = user;
    if (t->n_val)
        report_progress("epoch %lld  validation: %.1f nats a frame%s  %.1f s",
                        (long long)at->epoch, nats_sum(t->last), at->is_best ? "  (best)" : "",
                        t->epoch_s);
    return curves_update(t->dir);
}

/* --- the command --- */

static exit_code train(experiment *t) {
    const settings *s = t->s;
    char *config = config_of_run(&srivastava_program_table, "train", s, sizeof *s, t->dir,
                                 t->hash);
    if (!config) return report_failure(wf_fail(WF_MEMORY, "no memory for config.json"));
    t->last = (nats){NAN, NAN};
    const wf_trainer trainer = {
        .params = t->params,
        .program = t->step.program,
        .data = t->source,
        .seed = (uint64_t)s->seed,
        .steps = s->steps,
        .epochs = s->epochs ? s->epochs : s->steps ? 0 : 10,
        .schedule = {.kind = WF_SCHEDULE_CONSTANT, .lr = s->lr},
        .save_every = s->save_every,
        .resume = s->resume != NULL,
        .on = {.validate = t->n_val ? validate : NULL, .epoch = after_epoch, .start = start},
        .user = t,
    };
    const training_place place = {.dir = t->dir, .config = config, .step_row = step_row,
                                  .epoch_row = epoch_row, .remedy = "a smaller --lr"};
    wf_trainer_result result;
    const wf_status status = training_loop(trainer, place, &result);
    if (!status && result.end != WF_TRAINER_STOPPED)
        report_progress("%.1f s; weights and metrics are in %s", result.run_s, t->dir);
    free(config);
    return training_end(status, &place, &result);
}

exit_code command_train(const void *given) {
    const settings *s = given;
    experiment t = {.s = s, .dir = s->resume ? s->resume : s->out};
    exit_code code = prepare(&t);
    if (!code) code = train(&t);
    discard(&t);
    return code;
}
