/* srivastava2015 train: one model; a validation after every epoch, weights, checkpoints and metrics
 * in a run directory. The loop is nn/trainer.h's; this file is what surrounds it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/program/config.h"
#include "models/program/curves.h"
#include "models/program/interrupt.h"
#include "models/program/progress.h"
#include "models/program/run_dir.h"
#include "models/srivastava2015/measure.h"
#include "models/srivastava2015/settings.h"

typedef struct training {
    const settings *s;
    clips *clips;
    int64_t n_train, n_val;   /* the first clips, the last ones */
    wf_source *source;
    wf_params *params;
    srivastava_program step, validation; /* the latter only with validation clips */
    nats last;                /* of the last validation */
    run_dir dir;
    int64_t rows;             /* in metrics.jsonl when a checkpoint is written */
    progress bar;
    double epoch_start;
} training;

/* --- setting up --- */

static wf_status fill_batch(void *user, const int64_t *index, int64_t n, void *const *out) {
    return clips_whole(user, index, 0, n, out[0]);
}

static wf_status open_source(training *t) {
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
static wf_status compile_programs(training *t) {
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

static exit_code prepare(training *t) {
    const settings *s = t->s;
    if (s->steps && s->epochs)
        return report_error(EXIT_CODE_USAGE, "--steps and --epochs exclude each other");
    exit_code code = EXIT_CODE_OK;
    if (s->resume)
        code = config_compare(program_command(&srivastava_program_table, "train"), s->resume, s,
                              "steps|epochs|threads|save-every|resume|out");
    if (!code) code = open_training_clips(&t->clips, s);
    if (code) return code;
    wf_status status = open_source(t);
    t->params = wf_params_new((uint64_t)s->seed);
    if (!status && !t->params) status = wf_fail(WF_MEMORY, "no memory for the parameters");
    if (!status) status = compile_programs(t);
    return status ? report_failure(status) : EXIT_CODE_OK;
}

static void discard(training *t) {
    run_dir_close(&t->dir);
    srivastava_program_free(&t->validation);
    srivastava_program_free(&t->step);
    wf_params_free(t->params);
    wf_source_close(t->source);
    clips_close(t->clips);
}

/* --- what the trainer calls --- */

static wf_status write_config(training *t) {
    char hash[CLIPS_HASH];
    settings s = *t->s;
    if (s.resume) s.out = s.resume;
    s.resume = NULL;
    clips_hash(t->clips, hash);
    char *text = config_text(&srivastava_program_table,
                             program_command(&srivastava_program_table, "train"), &s, hash);
    if (!text) return wf_fail(WF_MEMORY, "no memory for config.json");
    const wf_status status = run_dir_write(&t->dir, "config.json", text, strlen(text));
    free(text);
    return status;
}

static wf_status start(void *user, const wf_trainer_at *at, bool resumed) {
    training *t = user;
    const char *path = t->s->resume ? t->s->resume : t->s->out;
    wf_status status =
        at->step ? run_dir_continue(&t->dir, path, t->rows) : run_dir_open(&t->dir, path);
    if (!status) status = write_config(t);
    if (status) return status;
    report_progress("%s%s: %lld parameters; %lld clips to train on, %lld to validate; step %lld of "
                    "%lld", t->s->model, t->s->conditional ? ", conditional" : "",
                    (long long)wf_params_elements(t->params), (long long)t->n_train,
                    (long long)t->n_val, (long long)at->step, (long long)at->steps);
    progress_open(&t->bar, "training", at->step, at->steps);
    t->epoch_start = report_seconds();
    return WF_OK;
}

static wf_status after_step(void *user, const wf_trainer_at *at) {
    training *t = user;
    json_row row;
    progress_step(&t->bar, at->step, at->loss);
    row_open(&row, NULL);
    row_integer(&row, "step", at->step);
    row_real(&row, "loss", at->loss);
    if (t->step.reconstruction_nats) row_real(&row, "reconstruction", *t->step.reconstruction_nats);
    if (t->step.prediction_nats) row_real(&row, "prediction", *t->step.prediction_nats);
    row_real(&row, "grad_norm", at->norm);
    row_real(&row, "seconds", at->step_s);
    row_close(&row);
    return run_dir_row(&t->dir, &row);
}

static wf_status validate(void *user, const wf_trainer_at *at, double *metric) {
    training *t = user;
    const wf_status status = measure(&t->last, &t->validation, t->clips, t->n_train, t->n_val);
    *metric = nats_sum(t->last);
    return status;
}

static wf_status after_epoch(void *user, const wf_trainer_at *at) {
    training *t = user;
    const double seconds = report_seconds() - t->epoch_start;
    t->epoch_start = report_seconds();
    json_row row;
    row_open(&row, NULL);
    row_integer(&row, "epoch", at->epoch);
    row_real(&row, "val_loss", t->n_val ? nats_sum(t->last) : NAN);
    row_real(&row, "val_reconstruction", t->last.reconstruction);
    row_real(&row, "val_prediction", t->last.prediction);
    row_real(&row, "seconds", seconds);
    row_close(&row);
    if (t->n_val)
        report_progress("epoch %lld  validation: %.1f nats a frame%s  %.1f s",
                        (long long)at->epoch, nats_sum(t->last), at->is_best ? "  (best)" : "",
                        seconds);
    const wf_status status = run_dir_row(&t->dir, &row);
    return status ? status : curves_update(t->dir.path);
}

static wf_status before_save(void *user, const wf_trainer_at *at) {
    training *t = user;
    t->rows = t->dir.rows;
    return run_dir_sync(&t->dir);
}

static void message(void *user, const char *line) { report_progress("%s", line); }

static bool is_stopped(void *user) { return interrupt_signal() != 0; }

/* --- the command --- */

static exit_code finish(const training *t, wf_status status, const wf_trainer_result *result) {
    if (status == WF_NOT_FINITE)
        return report_error(EXIT_CODE_NOT_FINITE, "%s; no weights were saved after it; try a "
                            "smaller --lr", wf_error());
    if (status) return report_failure(status);
    const int signal_number = interrupt_signal();
    if (result->end == WF_TRAINER_STOPPED)
        return report_error((exit_code)(128 + signal_number), "stopped after step %lld, which is "
                            "saved; --resume %s goes on", (long long)result->at.step, t->dir.path);
    report_progress("%.1f s; weights and metrics are in %s", result->run_s, t->dir.path);
    return EXIT_CODE_OK;
}

static exit_code train(training *t) {
    const settings *s = t->s;
    const wf_state log = {"log.rows", WF_I64, WF_SCALAR, &t->rows};
    wf_trainer_result result;
    t->last = (nats){NAN, NAN};
    const wf_trainer trainer = {
        .params = t->params,
        .program = t->step.program,
        .data = t->source,
        .seed = (uint64_t)s->seed,
        .steps = s->steps,
        .epochs = s->epochs ? s->epochs : s->steps ? 0 : 10,
        .schedule = {.kind = WF_SCHEDULE_CONSTANT, .lr = s->lr},
        .dir = s->resume ? s->resume : s->out,
        .save_every = s->save_every,
        .resume = s->resume != NULL,
        .state = &log,
        .n_state = 1,
        .on = {.validate = t->n_val ? validate : NULL,
               .step = after_step,
               .epoch = after_epoch,
               .save = before_save,
               .start = start,
               .message = message,
               .stop = is_stopped},
        .user = t,
    };
    interrupt_watch();
    const wf_status status = wf_trainer_run(&trainer, &result);
    progress_close(&t->bar);
    return finish(t, status, &result);
}

exit_code command_train(const void *s) {
    training t = {.s = s};
    exit_code code = prepare(&t);
    if (!code) code = train(&t);
    discard(&t);
    return code;
}
