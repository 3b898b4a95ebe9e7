/* convlstm train: the training step over clips, a validation after every epoch, weights,
 * checkpoints, metrics and pictures in a run directory. The loop is models/program/training.h's;
 * this file is what is particular to this network: its rows, its measures, its pictures.
 *
 *   - Everything that can be refused is refused before the run directory is touched.
 *   - last.safetensors holds the weights after each epoch, best.safetensors those with the least
 *     validation MAE (without validation clips: the last).
 *   - A run is a function of its options and data: not of threads, not of time, and not of how
 *     often it was killed and resumed. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "models/convlstm/evaluator.h"
#include "models/convlstm/order.h"
#include "models/convlstm/parts.h"
#include "models/convlstm/recipe.h"
#include "models/convlstm/samples.h"
#include "models/convlstm/summary.h"
#include "models/program/curves.h"
#include "models/program/run_dir.h"
#include "models/program/training.h"

enum { SHOWN = 2, SAMPLE_SCALE = 5 }; /* clips of samples.gif; its pixels of a pixel */

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
    const char *dir;
    samples shown;                    /* validation clips; none without them */
    progress bar;
    double epoch_start, epoch_s;      /* of the epoch that runs; that the last one took */
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
    wf_compile_opt step = o; /* the others keep nothing for a backward pass */
    step.memory = (size_t)(s->memory * 0x1p20);
    wf_status status = convlstm_trainer(&t->step, t->params, size, t->recipe.clip, step);
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
    return status ? report_failure(status) : EXIT_CODE_OK;
}

static void discard(training *t) {
    samples_close(&t->shown);
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

static wf_status show_table(const convlstm_program *step) {
    char *text;
    const wf_program_info plan = wf_program_describe(step->program);
    const wf_status s = summary_text(&text, step->size, &plan);
    if (!s) report_text(text);
    free(text);
    return s;
}

/* Epoch `epoch` (from 1) begins. */
static void begin_epoch(training *t, const wf_trainer_at *at, int64_t epoch) {
    char note[64];
    snprintf(note, sizeof note, "epoch %lld/%lld", (long long)epoch,
             (long long)((at->steps - 1) / at->epoch_steps + 1));
    progress_note(&t->bar, note);
    t->epoch_start = report_seconds();
}

static wf_status start(void *user, const wf_trainer_at *at, bool resumed) {
    training *t = user;
    convlstm_size size = t->step.size;
    size.batch = t->parts.val < SHOWN ? t->parts.val : SHOWN;
    wf_status status = show_table(&t->step);
    if (!status && size.batch)
        status = samples_open(&t->shown, t->params, size, t->clips,
                              t->parts.index + t->parts.train, compile_options(t->s));
    if (status) return status;
    if (at->step) report_progress("going on after step %lld", (long long)at->step);
    report_progress("%lld parameters; %lld clips to train on, %lld to validate; %lld steps of %lld "
                    "clips", (long long)wf_params_elements(t->params),
                    (long long)t->parts.train, (long long)t->parts.val, (long long)at->steps,
                    (long long)t->s->batch);
    begin_epoch(t, at, at->step / at->epoch_steps + 1);
    return WF_OK;
}

static void step_row(void *user, const wf_trainer_at *at, json_row *row) {
    const training *t = user;
    row_integer(row, "step", at->step);
    row_real(row, "loss", at->loss);
    row_real(row, "grad_norm", at->norm);
    row_real(row, "mae", *t->step.mae);
    row_real(row, "seconds", at->step_s);
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

static void epoch_row(void *user, const wf_trainer_at *at, json_row *row) {
    training *t = user;
    t->epoch_s = report_seconds() - t->epoch_start;
    row_integer(row, "epoch", at->epoch);
    row_real(row, "val_loss", t->scores.loss);
    row_real(row, "val_mae", t->scores.mae);
    row_real(row, "val_psnr", t->scores.psnr);
    row_real(row, "val_ssim", t->scores.ssim_clamped);
    row_real(row, "train_ssim", t->train_ssim);
    row_real(row, "lr", at->lr);
    row_real(row, "seconds", t->epoch_s);
}

/* The epoch's row is written: draws metrics.csv and curves.svg anew, and samples.gif if the weights
 * are the best so far. */
static wf_status after_epoch(void *user, const wf_trainer_at *at) {
    training *t = user;
    char gif[RUN_DIR_MAX_PATH + 16];
    if (t->parts.val)
        report_progress("epoch %lld  validation: loss %.5f  mae %.5f  psnr %.2f dB  ssim %.4f%s  "
                        "lr %.3g  %.1f s", (long long)at->epoch, t->scores.loss, t->scores.mae,
                        t->scores.psnr, t->scores.ssim_clamped, at->is_best ? "  (best)" : "",
                        at->lr, t->epoch_s);
    begin_epoch(t, at, at->epoch + 1);
    const wf_status status = curves_update(t->dir);
    if (status || !at->is_best || !t->shown.truth) return status;
    snprintf(gif, sizeof gif, "%s/samples.gif", t->dir);
    const wf_status predicted = samples_predict(&t->shown, 0);
    return predicted ? predicted : samples_gif(&t->shown, gif, SAMPLE_SCALE);
}

/* --- the command --- */

static exit_code finish(const training *t, wf_status status, const training_place *place,
                        const wf_trainer_result *result) {
    const double waited = result->run_s > 0 ? result->wait_s / result->run_s : 0;
    if (!status)
        report_progress("waited %.2f s of %.1f s for data (%.2f %%)", result->wait_s,
                        result->run_s, 100 * waited);
    if (!status && result->end == WF_TRAINER_EARLY)
        report_progress("stopped early: no better validation for %lld epochs",
                        (long long)t->recipe.patience);
    if (!status && result->end != WF_TRAINER_STOPPED)
        report_progress("weights and metrics are in %s", t->dir);
    return training_end(status, place, result);
}

static exit_code train(training *t) {
    const settings *s = t->s;
    char hash[CLIPS_HASH];
    clips_hash(t->clips, hash);
    char *config = settings_text("train", s, hash);
    if (!config) return report_failure(wf_fail(WF_MEMORY, "no memory for config.json"));
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
        .save_every = s->save_every,
        .resume = s->resume != NULL,
        .graph = s->detect_anomaly ? t->step.graph : NULL,
        .compile = compile_options(s),
        .on = {.validate = t->parts.val ? validate : NULL, .epoch = after_epoch, .start = start},
        .user = t,
    };
    const training_place place = {
        .dir = t->dir, .config = config, .log_every = s->log_every, .profile = s->profile,
        .step_row = step_row, .epoch_row = epoch_row, .bar = &t->bar,
        .remedy = s->detect_anomaly ? "a smaller --lr"
                                    : "a smaller --lr, or --detect-anomaly to see where it comes "
                                      "from"};
    wf_trainer_result result = {.run_s = 0};
    const wf_status status = training_loop(trainer, place, &result);
    free(config);
    return finish(t, status, &place, &result);
}

exit_code command_train(const void *given) {
    const settings *s = given;
    training t = {.s = s, .dir = s->resume ? s->resume : s->out};
    exit_code code = prepare(&t);
    if (!code) code = train(&t);
    discard(&t);
    return code;
}
