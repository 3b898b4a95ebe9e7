/* convlstm train: the notebook's training step over clips, a validation after every epoch, weights
 * and metrics in a run directory.
 *
 *   - Everything that can be refused is refused before the run directory is touched.
 *   - last.safetensors holds the weights after each epoch, best.safetensors those with the least
 *     validation MAE (without validation clips: the last).
 *   - A run is a function of its options and data: not of threads, not of time. */
#include <math.h>
#include <stdlib.h>

#include "models/convlstm/evaluator.h"
#include "models/convlstm/order.h"
#include "models/convlstm/record.h"

typedef struct training {
    const settings *s;
    clips *clips;
    wf_params *params;
    convlstm_program step, estimator; /* the estimator only with --reestimate-bn */
    evaluator validation;             /* only with validation clips */
    run_dir dir;
    record record;
    parts cut;                        /* training clips, validation clips, others */
    int64_t *order;                   /* training clips in the order of this epoch */
    int64_t n_train, n_val;
    int64_t steps_an_epoch, n_steps, n_done;
    double best_mae;
} training;

/* --- setting up --- */

/* Which clips are trained on: the split is a permutation by the seed, or the order of the file. */
static exit_code split_clips(training *t) {
    const settings *s = t->s;
    const int64_t n = clips_count(t->clips);
    if (parts_cut(&t->cut, n, s->splits, s->val, !s->no_shuffle, (uint64_t)s->seed))
        return report_failure(WF_ARGUMENT);
    t->n_val = t->cut.val;
    t->n_train = t->cut.train;
    t->steps_an_epoch = t->n_train / s->batch;
    if (t->steps_an_epoch == 0)
        return report_error(EXIT_CODE_USAGE, "%lld training clips (of %lld) do not fill a batch of "
                            "%lld; use more clips, a smaller --batch or a smaller --val",
                            (long long)t->n_train, (long long)n, (long long)s->batch);
    const int64_t epochs = s->epochs ? s->epochs : 16;
    t->n_steps = s->steps ? s->steps : epochs * t->steps_an_epoch;
    t->order = malloc((size_t)t->n_train * sizeof *t->order);
    if (!t->order)
        return report_error(EXIT_CODE_OUTPUT, "no memory for the order of %lld clips",
                            (long long)n);
    return EXIT_CODE_OK;
}

static wf_status compile_programs(training *t) {
    const settings *s = t->s;
    const wf_compile_opt o = compile_options(s);
    const convlstm_size size = {clips_frames(t->clips) - 1, s->batch, clips_size(t->clips),
                                clips_size(t->clips), s->hidden};
    wf_status status = convlstm_trainer(&t->step, t->params, size, s->clip, o);
    if (!status && s->reestimate_bn)
        status = convlstm_estimator(&t->estimator, t->params, size, o);
    if (!status && t->n_val)
        status = evaluator_open(&t->validation, t->params, size, t->n_val, o);
    return status;
}

static exit_code prepare(training *t) {
    const settings *s = t->s;
    if (s->steps && s->epochs)
        return report_error(EXIT_CODE_USAGE, "--steps and --epochs exclude each other");
    exit_code code = open_clips(&t->clips, s);
    if (!code) code = split_clips(t);
    if (code) return code;
    t->params = wf_params_new((uint64_t)s->seed);
    wf_status status =
        t->params ? compile_programs(t) : wf_fail(WF_MEMORY, "no memory for the parameters");
    if (!status && s->init) status = wf_params_load(t->params, s->init);
    if (!status) status = run_dir_open(&t->dir, s->out);
    if (status) return report_failure(status);
    *t->step.lr = (float)s->lr;
    t->best_mae = INFINITY;
    const int64_t shown = t->n_val ? t->n_val < 2 ? t->n_val : 2 : 0;
    status = record_open(&t->record, &t->dir, s, &t->step, t->params, t->clips,
                         t->cut.index + t->n_train, shown, 0, t->n_steps);
    if (status) return report_failure(status);
    report_progress("%lld parameters; %lld clips to train on, %lld to validate; %lld steps of %lld "
                    "clips", (long long)wf_params_elements(t->params), (long long)t->n_train,
                    (long long)t->n_val, (long long)t->n_steps, (long long)s->batch);
    return EXIT_CODE_OK;
}

static void discard(training *t) {
    run_dir_close(&t->dir);
    evaluator_close(&t->validation);
    convlstm_program_free(&t->estimator);
    convlstm_program_free(&t->step);
    wf_params_free(t->params);
    free(t->order);
    parts_free(&t->cut);
    record_close(&t->record);
    clips_close(t->clips);
}

/* --- a step --- */

static wf_status write_step_row(training *t, double seconds) {
    json_row row;
    row_open(&row, NULL);
    row_integer(&row, "step", t->n_done);
    row_real(&row, "loss", *t->step.loss);
    row_real(&row, "grad_norm", *t->step.norm);
    row_real(&row, "mae", *t->step.mae);
    row_real(&row, "seconds", seconds);
    row_close(&row);
    return run_dir_row(&t->dir, &row);
}

static exit_code train_step(training *t, int64_t batch) {
    const double start = report_seconds();
    wf_status status = clips_batch(t->clips, t->order, batch * t->s->batch, t->s->batch,
                                   t->step.x, t->step.target);
    if (!status) status = wf_run(t->step.program);
    if (status) return report_failure(status);
    const double seconds = report_seconds() - start;
    t->n_done++;
    const bool finite = isfinite(*t->step.loss) && isfinite(*t->step.norm);
    if (!finite || t->n_done % t->s->log_every == 0 || t->n_done == t->n_steps)
        status = write_step_row(t, seconds);
    if (status) return report_failure(status);
    if (!finite)
        return report_error(EXIT_CODE_NOT_FINITE, "step %lld: loss %g, gradient norm %g: not "
                            "finite; no weights were saved after it; try a smaller --lr",
                            (long long)t->n_done, (double)*t->step.loss, (double)*t->step.norm);
    record_step(&t->record, t->n_done, *t->step.loss);
    return EXIT_CODE_OK;
}

/* --- an epoch --- */

/* Batch norm's running statistics, which lag behind the weights, become plain means over training
 * batches. Training itself never reads them. */
static wf_status reestimate_statistics(training *t) {
    if (t->s->reestimate_bn) convlstm_forget_statistics(t->params);
    wf_status status = WF_OK;
    for (int64_t i = 0; i < t->s->reestimate_bn && !status; i++) {
        status = clips_batch(t->clips, t->order, i % t->steps_an_epoch * t->s->batch, t->s->batch,
                             t->estimator.x, t->estimator.target);
        if (!status) status = wf_run(t->estimator.program);
    }
    return status;
}

/* Scores on the validation clips; NaN without any. */
static wf_status validate(training *t, wf_image_scores *scores) {
    *scores = (wf_image_scores){NAN, NAN, NAN, NAN, NAN};
    if (t->n_val == 0) return WF_OK;
    evaluation e;
    const wf_status status =
        evaluator_run(&t->validation, t->clips, t->cut.index + t->n_train, false, &e);
    if (!status) *scores = e.scores;
    return status;
}

static wf_status save_weights(training *t, bool best) {
    wf_status status = wf_params_save(t->params, run_dir_file(&t->dir, "last.safetensors"));
    if (!status && best)
        status = wf_params_save(t->params, run_dir_file(&t->dir, "best.safetensors"));
    return status;
}

static wf_status write_epoch_row(training *t, int64_t epoch, wf_image_scores scores,
                                 double seconds) {
    json_row row;
    row_open(&row, NULL);
    row_integer(&row, "epoch", epoch);
    row_real(&row, "val_loss", scores.loss);
    row_real(&row, "val_mae", scores.mae);
    row_real(&row, "val_psnr", scores.psnr);
    row_real(&row, "val_ssim", scores.ssim_clamped);
    row_real(&row, "lr", t->s->lr);
    row_real(&row, "seconds", seconds);
    row_close(&row);
    return run_dir_row(&t->dir, &row);
}

static exit_code finish_epoch(training *t, int64_t epoch, double start) {
    wf_image_scores scores = {0};
    wf_status status = reestimate_statistics(t);
    if (!status) status = validate(t, &scores);
    if (status) return report_failure(status);
    if (t->n_val && !isfinite(scores.loss))
        return report_error(EXIT_CODE_NOT_FINITE, "epoch %lld: the validation loss is not finite; "
                            "no weights were saved after it", (long long)epoch);
    const bool best = t->n_val == 0 || scores.mae < t->best_mae;
    if (best) t->best_mae = scores.mae;
    status = save_weights(t, best);
    const double seconds = report_seconds() - start;
    if (!status) status = write_epoch_row(t, epoch, scores, seconds);
    if (!status) status = record_epoch_end(&t->record, best);
    if (status) return report_failure(status);
    if (t->n_val)
        report_progress("epoch %lld  validation: loss %.5f  mae %.5f  psnr %.2f dB  ssim %.4f%s  "
                        "%.1f s", (long long)epoch, scores.loss, scores.mae, scores.psnr,
                        scores.ssim_clamped, best ? "  (best)" : "", seconds);
    return EXIT_CODE_OK;
}

static exit_code train_epoch(training *t, int64_t epoch) {
    const double start = report_seconds();
    record_epoch(&t->record, epoch + 1, (t->n_steps - 1) / t->steps_an_epoch + 1);
    for (int64_t i = 0; i < t->n_train; i++) t->order[i] = t->cut.index[i];
    if (!t->s->no_shuffle) order_shuffle(t->order, t->n_train, (uint64_t)t->s->seed, epoch);
    exit_code code = EXIT_CODE_OK;
    for (int64_t i = 0; i < t->steps_an_epoch && t->n_done < t->n_steps && !code; i++)
        code = train_step(t, i);
    return code ? code : finish_epoch(t, epoch + 1, start);
}

exit_code command_train(const void *s) {
    training t = {.s = s};
    exit_code code = prepare(&t);
    for (int64_t epoch = 0; t.n_done < t.n_steps && !code; epoch++) code = train_epoch(&t, epoch);
    if (!code) report_progress("weights and metrics are in %s", t.dir.path);
    discard(&t);
    return code;
}
