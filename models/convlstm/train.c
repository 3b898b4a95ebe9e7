/* convlstm train: the training step over clips, a validation after every epoch, weights,
 * checkpoints and metrics in a run directory. The loop is nn/trainer.h's; this file is what
 * surrounds it.
 *
 *   - Everything that can be refused is refused before the run directory is touched.
 *   - last.safetensors holds the weights after each epoch, best.safetensors those with the least
 *     validation MAE (without validation clips: the last).
 *   - A run is a function of its options and data: not of threads, not of time, and not of how
 *     often it was killed and resumed. */
#include <math.h>
#include <stdlib.h>

#include "models/convlstm/evaluator.h"
#include "models/convlstm/order.h"
#include "models/convlstm/parts.h"
#include "models/convlstm/recipe.h"
#include "models/convlstm/record.h"
#include "models/program/interrupt.h"
#include "models/program/profiling.h"

typedef struct training {
    const settings *s;
    recipe recipe;
    clips *clips;
    parts parts;                      /* of the clips */
    wf_source *all, *source;          /* all clips; those to train on */
    wf_params *params;
    convlstm_program step, estimator; /* the estimator only with --reestimate-bn */
    evaluator validation;             /* only with validation clips */
    wf_image_scores scores;           /* of the last validation; NaN without clips for it */
    double train_ssim;                /* at the same time, of some training clips */
    run_dir dir;
    int64_t rows;                     /* in metrics.jsonl when a checkpoint is written */
    record record;
    profiling profile;                /* only with --profile */
    double epoch_start;
} training;

/* --- setting up --- */

static wf_status fill_batch(void *user, const int64_t *index, int64_t n, void *const *out) {
    return clips_batch(user, index, 0, n, out[0], out[1]);
}

static wf_status open_source(training *t) {
    const settings *s = t->s;
    const int64_t n = clips_count(t->clips), size = clips_size(t->clips);
    const wf_shape clip = WF_SHAPE(clips_frames(t->clips) - 1, size, size, 1);
    const wf_source_part part[] = {{.name = "x", .shape = clip}, {.name = "target", .shape = clip}};
    wf_status status =
        parts_cut(&t->parts, n, s->splits, s->val, !s->no_shuffle, (uint64_t)s->seed);
    if (!status && t->parts.train < s->batch)
        status = wf_fail(WF_ARGUMENT, "%lld training clips (of %lld) do not fill a batch of %lld; "
                         "use more clips, a smaller --batch or a smaller --val",
                         (long long)t->parts.train, (long long)n, (long long)s->batch);
    if (!status)
        status = wf_source_function(&t->all, n, part, WF_COUNT(part), fill_batch, t->clips);
    if (!status) status = wf_source_subset(&t->source, t->all, t->parts.index, t->parts.train);
    return status;
}

static wf_status compile_programs(training *t) {
    const settings *s = t->s;
    const wf_compile_opt o = compile_options(s);
    const convlstm_size size = {clips_frames(t->clips) - 1, s->batch, clips_size(t->clips),
                                clips_size(t->clips), s->hidden};
    wf_status status = convlstm_trainer(&t->step, t->params, size, t->recipe.clip, o);
    if (!status && s->reestimate_bn)
        status = convlstm_estimator(&t->estimator, t->params, size, o);
    if (!status && t->parts.val)
        status = evaluator_open(&t->validation, t->params, size, t->parts.val, o);
    return status;
}

static exit_code prepare(training *t) {
    const settings *s = t->s;
    if (s->steps && s->epochs)
        return report_error(EXIT_CODE_USAGE, "--steps and --epochs exclude each other");
    t->recipe = recipe_of(s);
    exit_code code = s->resume ? settings_of_run("train", s, s->resume) : EXIT_CODE_OK;
    if (!code) code = open_clips(&t->clips, s);
    if (!code && s->resume) code = clips_of_run(t->clips, s->resume);
    if (code) return code;
    wf_status status = open_source(t);
    t->params = wf_params_new((uint64_t)s->seed);
    if (!status && !t->params) status = wf_fail(WF_MEMORY, "no memory for the parameters");
    if (!status) status = compile_programs(t);
    if (!status && t->recipe.calm) calm_weights(t->params);
    if (!status && s->init) status = wf_params_load(t->params, s->init);
    if (!status) status = profiling_open(&t->profile, s->profile, t->step.program);
    return status ? report_failure(status) : EXIT_CODE_OK;
}

static void discard(training *t) {
    profiling_close(&t->profile);
    run_dir_close(&t->dir);
    evaluator_close(&t->validation);
    convlstm_program_free(&t->estimator);
    convlstm_program_free(&t->step);
    wf_params_free(t->params);
    wf_source_close(t->source);
    wf_source_close(t->all);
    parts_free(&t->parts);
    clips_close(t->clips);
}

/* --- what the trainer calls --- */

static wf_status start(void *user, const wf_trainer_at *at, bool resumed) {
    training *t = user;
    const char *path = t->s->resume ? t->s->resume : t->s->out;
    const wf_status status =
        at->step ? run_dir_continue(&t->dir, path, t->rows) : run_dir_open(&t->dir, path);
    if (status) return status;
    const int64_t shown = t->parts.val < 2 ? t->parts.val : 2;
    const wf_status opened =
        record_open(&t->record, &t->dir, t->s, &t->step, t->params, t->clips,
                    t->parts.index + t->parts.train, shown, at->step, at->steps);
    if (opened) return opened;
    if (at->step)
        report_progress("going on after step %lld", (long long)at->step);
    report_progress("%lld parameters; %lld clips to train on, %lld to validate; %lld steps of %lld "
                    "clips", (long long)wf_params_elements(t->params),
                    (long long)t->parts.train, (long long)t->parts.val, (long long)at->steps,
                    (long long)t->s->batch);
    record_epoch(&t->record, at->step / at->epoch_steps + 1,
                 (at->steps - 1) / at->epoch_steps + 1);
    t->epoch_start = report_seconds();
    return WF_OK;
}

static wf_status after_step(void *user, const wf_trainer_at *at) {
    training *t = user;
    json_row row;
    record_step(&t->record, at->step, at->loss);
    const wf_status status = profiling_after_run(&t->profile, at->step == at->steps);
    if (status) return status;
    if (at->step % t->s->log_every && at->step != at->steps) return WF_OK;
    row_open(&row, NULL);
    row_integer(&row, "step", at->step);
    row_real(&row, "loss", at->loss);
    row_real(&row, "grad_norm", at->norm);
    row_real(&row, "mae", *t->step.mae);
    row_real(&row, "seconds", at->step_s);
    row_close(&row);
    return run_dir_row(&t->dir, &row);
}

/* Batch norm's running statistics, which lag behind the weights, become plain means over training
 * batches of the epoch. Training itself never reads them. */
static wf_status reestimate_statistics(training *t, int64_t epoch) {
    const int64_t n = t->s->reestimate_bn, batch = t->s->batch, total = t->parts.train;
    if (!n) return WF_OK;
    int64_t *order = malloc(sizeof *order * (size_t)total);
    if (!order)
        return wf_fail(WF_MEMORY, "no memory for the order of %lld clips", (long long)total);
    for (int64_t i = 0; i < total; i++) order[i] = t->parts.index[i];
    if (!t->s->no_shuffle) order_shuffle(order, total, (uint64_t)t->s->seed, epoch - 1);
    convlstm_forget_statistics(t->params);
    wf_status status = WF_OK;
    for (int64_t i = 0; i < n && !status; i++) {
        status = clips_batch(t->clips, order, i % (total / batch) * batch, batch, t->estimator.x,
                             t->estimator.target);
        if (!status) status = wf_run(t->estimator.program);
    }
    free(order);
    return status;
}

/* SSIM of the first training clips, whole batches of them, by the programs of the validation. */
static wf_status measure_training(training *t) {
    enum { BATCHES = 8 };
    evaluator some = t->validation;
    evaluation e;
    const int64_t batch = some.full.size.batch, whole = t->parts.train / batch;
    some.n = batch * (whole < BATCHES ? whole : BATCHES);
    const wf_status status = evaluator_run(&some, t->clips, t->parts.index, false, &e);
    t->train_ssim = status ? NAN : e.scores.ssim_clamped;
    return status;
}

/* Smaller is better: the MAE. */
static wf_status validate(void *user, const wf_trainer_at *at, double *metric) {
    training *t = user;
    evaluation e;
    wf_status status = reestimate_statistics(t, at->epoch);
    if (!status)
        status = evaluator_run(&t->validation, t->clips, t->parts.index + t->parts.train, false,
                               &e);
    if (!status) status = measure_training(t);
    if (status) return status;
    t->scores = e.scores;
    *metric = e.scores.mae;
    return WF_OK;
}

static wf_status after_epoch(void *user, const wf_trainer_at *at) {
    training *t = user;
    const double seconds = report_seconds() - t->epoch_start;
    t->epoch_start = report_seconds();
    json_row row;
    row_open(&row, NULL);
    row_integer(&row, "epoch", at->epoch);
    row_real(&row, "val_loss", t->scores.loss);
    row_real(&row, "val_mae", t->scores.mae);
    row_real(&row, "val_psnr", t->scores.psnr);
    row_real(&row, "val_ssim", t->scores.ssim_clamped);
    row_real(&row, "train_ssim", t->train_ssim);
    row_real(&row, "lr", at->lr);
    row_real(&row, "seconds", seconds);
    row_close(&row);
    if (t->parts.val)
        report_progress("epoch %lld  validation: loss %.5f  mae %.5f  psnr %.2f dB  ssim %.4f%s  "
                        "lr %.3g  %.1f s", (long long)at->epoch, t->scores.loss, t->scores.mae,
                        t->scores.psnr, t->scores.ssim_clamped, at->is_best ? "  (best)" : "",
                        at->lr, seconds);
    record_epoch(&t->record, at->epoch + 1, (at->steps - 1) / at->epoch_steps + 1);
    const wf_status status = run_dir_row(&t->dir, &row);
    return status ? status : record_epoch_end(&t->record, at->is_best);
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
                            "smaller --lr%s", wf_error(),
                            t->s->detect_anomaly ? ""
                                                 : ", or --detect-anomaly to see where it comes "
                                                   "from");
    if (status) return report_failure(status);
    const int signal_number = interrupt_signal();
    report_progress("waited %.2f s of %.1f s for data (%.2f %%)", result->wait_s, result->run_s,
                    result->run_s > 0 ? 100 * result->wait_s / result->run_s : 0);
    if (result->end == WF_TRAINER_EARLY)
        report_progress("stopped early: no better validation for %lld epochs",
                        (long long)t->recipe.patience);
    if (result->end == WF_TRAINER_STOPPED) {
        report_error(128 + signal_number, "stopped after step %lld, which is saved; --resume %s "
                     "goes on", (long long)result->at.step, t->dir.path);
        return (exit_code)(128 + signal_number);
    }
    report_progress("weights and metrics are in %s", t->dir.path);
    return EXIT_CODE_OK;
}

static exit_code train(training *t) {
    const settings *s = t->s;
    const wf_state log = {"log.rows", WF_I64, WF_SCALAR, &t->rows};
    wf_trainer_result result;
    t->scores = (wf_image_scores){NAN, NAN, NAN, NAN, NAN};
    t->train_ssim = NAN;
    const wf_trainer trainer = {
        .params = t->params,
        .program = t->step.program,
        .data = t->source,
        .seed = (uint64_t)s->seed,
        .in_order = s->no_shuffle,
        .steps = s->steps,
        .epochs = s->epochs ? s->epochs : s->steps ? 0 : 16,
        .schedule = t->recipe.schedule,
        .patience = t->parts.val ? t->recipe.patience : 0,
        .average = t->recipe.average,
        .collapse = t->parts.val ? t->recipe.collapse : 0,
        .dir = s->resume ? s->resume : s->out,
        .save_every = s->save_every,
        .resume = s->resume != NULL,
        .state = &log,
        .n_state = 1,
        .graph = s->detect_anomaly ? t->step.graph : NULL,
        .compile = compile_options(s),
        .on = {.validate = t->parts.val ? validate : NULL,
               .step = after_step,
               .epoch = after_epoch,
               .save = before_save,
               .start = start,
               .message = message,
               .stop = is_stopped},
        .user = t,
    };
    interrupt_watch();
    wf_status status = wf_trainer_run(&trainer, &result);
    if (!status) status = profiling_finish(&t->profile);
    record_close(&t->record);
    return finish(t, status, &result);
}

exit_code command_train(const void *s) {
    training t = {.s = s};
    exit_code code = prepare(&t);
    if (!code) code = train(&t);
    discard(&t);
    return code;
}
