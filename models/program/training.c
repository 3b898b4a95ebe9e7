/* What surrounds a training loop in a program; see training.h. */
#include "models/program/training.h"

#include <string.h>

#include "models/program/interrupt.h"
#include "models/program/metrics.h"
#include "models/program/profiling.h"
#include "models/program/progress.h"
#include "models/program/run_dir.h"

typedef struct training {
    const wf_trainer *model; /* as it was given: its callbacks and user */
    training_place place;
    run_dir dir;
    progress own, *bar;
    profiling profile;
    int64_t rows; /* in metrics.jsonl when a checkpoint is written */
} training;

static wf_status start(void *user, const wf_trainer_at *at, bool resumed) {
    training *t = user;
    wf_status status = at->step ? run_dir_continue(&t->dir, t->place.dir, t->rows)
                                : run_dir_open(&t->dir, t->place.dir);
    if (!status && t->place.config)
        status = run_dir_write(&t->dir, "config.json", t->place.config, strlen(t->place.config));
    if (status) return status;
    progress_open(t->bar, "training", at->step, at->steps);
    if (t->model->on.start) return t->model->on.start(t->model->user, at, resumed);
    if (at->step) report_progress("going on after step %lld", (long long)at->step);
    report_progress("%lld parameters; %lld steps",
                    (long long)wf_params_elements(t->model->params), (long long)at->steps);
    return WF_OK;
}

static void step_row(void *user, const wf_trainer_at *at, json_row *row) {
    row_integer(row, "step", at->step);
    row_real(row, "loss", at->loss);
    row_real(row, "grad_norm", at->norm);
    row_real(row, "lr", at->lr);
    row_real(row, "seconds", at->step_s);
}

static wf_status after_step(void *user, const wf_trainer_at *at) {
    training *t = user;
    const int64_t every = t->place.log_every;
    json_row row;
    progress_step(t->bar, at->step, at->loss);
    wf_status status = profiling_after_run(&t->profile, at->step == at->steps);
    if (!status && t->model->on.step) status = t->model->on.step(t->model->user, at);
    if (status || every < 0 || (at->step % every && at->step != at->steps)) return status;
    row_open(&row, NULL);
    t->place.step_row(t->model->user, at, &row);
    row_close(&row);
    return run_dir_row(&t->dir, &row);
}

static wf_status validate(void *user, const wf_trainer_at *at, double *metric) {
    training *t = user;
    return t->model->on.validate(t->model->user, at, metric);
}

static void epoch_row(void *user, const wf_trainer_at *at, json_row *row) {
    row_integer(row, "step", at->step);
    row_real(row, "val_loss", at->metric);
}

static wf_status say_validation(training *t, const wf_trainer_at *at) {
    metrics table;
    report_progress("step %lld: validation %.6g%s", (long long)at->step, at->metric,
                    at->is_best ? " (best)" : "");
    wf_status status = metrics_read(&table, t->place.dir);
    if (!status) status = metrics_write_csv(&table, run_dir_file(&t->dir, "metrics.csv"));
    metrics_free(&table);
    return status;
}

static wf_status after_epoch(void *user, const wf_trainer_at *at) {
    training *t = user;
    json_row row;
    if (!t->model->on.validate && t->place.epoch_row == epoch_row) return WF_OK;
    row_open(&row, NULL);
    t->place.epoch_row(t->model->user, at, &row);
    row_close(&row);
    const wf_status status = run_dir_row(&t->dir, &row);
    if (status) return status;
    return t->model->on.epoch ? t->model->on.epoch(t->model->user, at) : say_validation(t, at);
}

static wf_status before_save(void *user, const wf_trainer_at *at) {
    training *t = user;
    t->rows = t->dir.rows;
    return run_dir_sync(&t->dir);
}

static void message(void *user, const char *line) { report_progress("%s", line); }

static bool is_stopped(void *user) { return interrupt_signal() != 0; }

wf_status training_loop(wf_trainer model, training_place place, wf_trainer_result *result) {
    training t = {.model = &model, .place = place, .bar = place.bar ? place.bar : &t.own};
    const wf_state rows = {"log.rows", WF_I64, WF_SCALAR, &t.rows};
    wf_trainer trainer = model;
    if (!place.log_every) t.place.log_every = 1;
    if (!place.step_row) t.place.step_row = step_row;
    if (!place.epoch_row) t.place.epoch_row = epoch_row;
    trainer.dir = place.dir;
    trainer.state = &rows;
    trainer.n_state = 1;
    trainer.user = &t;
    trainer.on = (wf_trainer_callbacks){
        .validate = model.on.validate ? validate : NULL,
        .step = after_step,
        .epoch = after_epoch,
        .save = before_save,
        .start = start,
        .message = message,
        .stop = is_stopped,
    };
    interrupt_watch();
    wf_status status = profiling_open(&t.profile, place.profile, model.program);
    if (!status) status = wf_trainer_run(&trainer, result);
    progress_close(t.bar);
    if (!status) status = profiling_finish(&t.profile);
    profiling_close(&t.profile);
    run_dir_close(&t.dir);
    return status;
}

exit_code training_end(wf_status status, const training_place *place,
                       const wf_trainer_result *result) {
    if (status == WF_NOT_FINITE)
        return report_error(EXIT_CODE_NOT_FINITE, "%s; no weights were saved after it; try %s",
                            wf_error(), place->remedy ? place->remedy : "a smaller learning rate");
    if (status) return report_failure(status);
    if (result->end != WF_TRAINER_STOPPED) return EXIT_CODE_OK;
    return report_error((exit_code)(128 + interrupt_signal()), "stopped after step %lld, which is "
                        "saved; --resume %s goes on", (long long)result->at.step, place->dir);
}

exit_code training_run(wf_trainer t, training_place place, wf_trainer_result *result) {
    wf_trainer_result own;
    if (!result) result = &own;
    const wf_status status = training_loop(t, place, result);
    if (!status)
        report_progress("%lld steps in %.1f s, of them %.2f s waiting for data",
                        (long long)result->at.step, result->run_s, result->wait_s);
    if (!status && result->end == WF_TRAINER_EARLY)
        report_progress("stopped early: no better validation for %lld times",
                        (long long)t.patience);
    return training_end(status, &place, result);
}
