/* keras_convlstm: trains the Keras example's network on next frames, and shows what the example
 * shows: ten frames rolled out from ten by feeding predictions back, and animations of truth and
 * prediction where every frame is predicted from the true ones before it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/keras_convlstm/settings.h"
#include "models/moving_mnist/comparison.h"

enum { SEEN = 10, PREDICTED = 10, SHOWN = 5, PATH_BYTES = 4096 };

/* --- test --- */

typedef struct scores {
    double loss, last_loss;         /* binary cross entropy a pixel: all frames, the last one */
    double nats, mse, copy_mse;     /* of the roll-out, sums over pixels: nats a sequence, mean
                                       squared error of a frame, that of repeating frame 10 */
} scores;

/* n frames y beside truth and, for copy_mse, beside the frame before them. */
static void score_rollout(scores *s, const float *y, const float *truth, const float *before,
                          const keras_opt *o) {
    const int64_t one = o->batch * o->side * o->side, n = PREDICTED * one;
    for (int64_t i = 0; i < n; i++) {
        const double t = truth[i], p = y[i], still = before[i % one];
        const double yes = p > 0 ? log(p) : -100, no = p < 1 ? log1p(-p) : -100;
        s->nats -= t * (yes > -100 ? yes : -100) + (1 - t) * (no > -100 ? no : -100);
        s->mse += (p - t) * (p - t);
        s->copy_mse += (still - t) * (still - t);
    }
}

/* The first SHOWN clips: rolled out (sheet and animations), then one step ahead (animations). */
static wf_status draw(const keras_opt *o, const float *clip, const float *rolled,
                      const float *single, const char *dir) {
    char path[PATH_BYTES];
    comparison c = {.truth = clip + SEEN * o->batch * o->side * o->side, .predicted = rolled,
                    .frames = PREDICTED, .clips = o->batch, .size = o->side, .first = SEEN};
    snprintf(path, sizeof path, "%s/rollout.png", dir);
    wf_status status = comparison_png(&c, path, 1);
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < o->batch && !status; i++) {
            c.predicted = pass ? single : rolled;
            snprintf(path, sizeof path, "%s/%s-%lld.gif", dir, pass ? "next" : "rollout",
                     (long long)i);
            status = comparison_gif(&c, i, path, 4);
        }
    return status;
}

/* Rolls out the test clips, a batch at a time, and draws the first batch. */
static wf_status roll_out(scores *s, keras_predictor *k, const clips *test, int64_t first,
                          int64_t n, const char *dir) {
    const keras_opt *o = &k->opt;
    const int64_t one = o->batch * o->side * o->side, batches = n / o->batch;
    float *clip = malloc(sizeof *clip * (size_t)((o->frames + 2 * PREDICTED) * one));
    if (!clip) return wf_fail(WF_MEMORY, "no memory for %lld clips", (long long)o->batch);
    float *rolled = clip + o->frames * one, *single = rolled + PREDICTED * one;
    wf_status status = WF_OK;
    for (int64_t b = 0; b < batches && !status; b++) {
        status = clips_whole(test, NULL, first + b * o->batch, o->batch, clip);
        if (!status) status = keras_predict(k, clip, SEEN, PREDICTED, true, rolled);
        if (status) break;
        score_rollout(s, rolled, clip + SEEN * one, clip + (SEEN - 1) * one, o);
        if (b > 0) continue;
        status = keras_predict(k, clip, SEEN, PREDICTED, false, single);
        if (!status) status = draw(o, clip, rolled, single, dir);
    }
    const double sequences = (double)(batches * o->batch);
    s->nats /= sequences;
    s->mse /= sequences * PREDICTED;
    s->copy_mse /= sequences * PREDICTED;
    free(clip);
    return status;
}

static wf_status measure(scores *r, const settings *s, const char *weights, const char *dir) {
    const keras_opt o = network_of(s, s->run.test < SHOWN ? s->run.test : SHOWN);
    keras_predictor one_step = {.function = NULL};
    wf_program *all = NULL;
    clips *test = NULL;
    int64_t first;
    wf_params *p = video_params(&s->run);
    wf_status status = p ? open_test(&test, &first, s) : WF_MEMORY;
    if (!status) status = keras_measurer(&all, p, &o, video_compile(&s->run));
    if (!status) status = wf_params_load(p, weights);
    if (!status) status = clips_mean(test, first, s->run.test, all, "loss", &r->loss);
    if (!status) status = clips_mean(test, first, s->run.test, all, "last_loss", &r->last_loss);
    if (!status) status = keras_predictor_open(&one_step, p, &o, video_compile(&s->run));
    if (!status) status = roll_out(r, &one_step, test, first, s->run.test, dir);
    keras_predictor_close(&one_step);
    wf_program_free(all);
    clips_close(test);
    wf_params_free(p);
    return status;
}

static exit_code test(const settings *s, const char *weights, const char *dir) {
    scores r = {.loss = 0};
    const wf_status status = measure(&r, s, weights, dir);
    if (status) return report_failure(status);
    printf("next frame   binary cross entropy %.5f a pixel over all frames, %.5f for the last\n",
           r.loss, r.last_loss);
    printf("10 from 10   cross entropy %.1f nats a sequence, squared error %.1f a frame (frame 10 "
           "repeated: %.1f)\n", r.nats, r.mse, r.copy_mse);
    report_progress("pictures are in %s", dir);
    return EXIT_CODE_OK;
}

exit_code command_test(const void *given) {
    const settings *s = given;
    return test(s, s->run.weights, s->run.out);
}

/* --- train --- */

typedef struct experiment {
    clip_set data;
    wf_params *params;
    wf_program *step, *measure;
    wf_program *estimate; /* batch norm's statistics; NULL: they stay as they are */
    int64_t estimated;    /* clips for that */
} experiment;

static wf_status validate(void *user, const wf_trainer_at *at, double *metric) {
    experiment *e = user;
    enum { MOST = 20 };
    const int64_t n = e->data.kept < MOST ? e->data.kept : MOST;
    double loss;
    wf_status status = WF_OK;
    if (e->estimate) {
        wf_params_fill(e->params, "*.num_batches_tracked", 0);
        status = clips_mean(e->data.all, 0, e->estimated, e->estimate, "loss", &loss);
    }
    if (status) return status;
    return clips_mean(e->data.all, e->data.first, n, e->measure, "loss", metric);
}

static wf_status prepare(experiment *e, const settings *s) {
    const keras_opt o = network_of(s, s->run.batch);
    const wf_compile_opt compile = video_compile(&s->run);
    e->params = video_params(&s->run);
    if (!e->params) return WF_MEMORY;
    wf_status status = clip_set_open(&e->data, training_clips(s), 0.1);
    if (!status && e->data.kept < s->run.batch)
        status = wf_fail(WF_ARGUMENT, "a tenth of --clips %lld does not fill a batch of %lld",
                         (long long)s->run.clips, (long long)s->run.batch);
    if (!status) status = keras_trainer(&e->step, e->params, &o, s->run.clip, compile);
    if (!status) status = keras_measurer(&e->measure, e->params, &o, compile);
    if (!status && s->statistics) {
        keras_opt by_batch = o;
        by_batch.training = by_batch.estimating = true;
        const int64_t wanted = s->statistics * s->run.batch;
        e->estimated = e->data.first < wanted ? e->data.first : wanted;
        status = keras_measurer(&e->estimate, e->params, &by_batch, compile);
    }
    return status;
}

static void discard(experiment *e) {
    wf_program_free(e->step);
    wf_program_free(e->measure);
    wf_program_free(e->estimate);
    wf_params_free(e->params);
    clip_set_close(&e->data);
}

exit_code command_train(const void *given) {
    const settings *s = given;
    experiment e = {.params = NULL};
    char best[PATH_BYTES];
    const wf_status status = prepare(&e, s);
    const wf_trainer trainer = {
        .params = e.params,
        .program = e.step,
        .schedule = {.kind = WF_SCHEDULE_PLATEAU, .lr = s->run.lr, .factor = 0.1, .patience = 5},
        .patience = 10,
        .on = {.validate = validate},
        .user = &e,
    };
    const exit_code code = status ? report_failure(status)
                                  : video_train(&keras_program, s, sizeof *s, &e.data, trainer);
    discard(&e);
    if (code) return code;
    video_best(&s->run, best, sizeof best);
    return test(s, best, video_dir(&s->run));
}

int main(int argc, char **argv) {
    settings s;
    return program_main(&keras_program, argc, argv, &s, sizeof s);
}
