/* shi2015: trains the encoder-forecaster network and measures it as the paper does, by cross
 * entropy in nats a sequence of ten frames. */
#include <stdlib.h>
#include <string.h>

#include "models/moving_mnist/comparison.h"
#include "models/shi2015/settings.h"

/* What the paper's table has (FC-LSTM 2048-2048, and ConvLSTM in three layers). */
#define PAPER_FC_LSTM 4832.49
#define PAPER_BEST 3670.85

/* --- test --- */

/* What the last run of the program predicted for its clips, beside the truth. */
static wf_status draw(wf_program *p, const shi_opt *o, const char *dir) {
    size_t bytes;
    char path[4096];
    const float *clip = wf_data_named(p, "clip", &bytes);
    const comparison c = {.truth = clip + o->seen * o->batch * o->side * o->side,
                          .predicted = wf_data_named(p, "y", &bytes),
                          .frames = o->predicted, .clips = o->batch, .size = o->side,
                          .first = o->seen};
    snprintf(path, sizeof path, "%s/forecast.png", dir);
    wf_status status = comparison_png(&c, path, 1);
    for (int64_t i = 0; i < o->batch && !status; i++) {
        snprintf(path, sizeof path, "%s/forecast-%lld.gif", dir, (long long)i);
        status = comparison_gif(&c, i, path, 4);
    }
    return status;
}

/* Loads weights, measures them on test sequences, and draws the last few. */
static wf_status measure(const settings *s, const char *weights, const char *dir, double *nats) {
    const int64_t shown = s->run.test < 4 ? s->run.test : 4;
    wf_program *forecast = NULL;
    clips *test = NULL;
    shi_opt o;
    if (network_of(&o, s, shown)) return WF_ARGUMENT;
    wf_params *p = video_params(&s->run);
    wf_status status = p ? shi_predictor(&forecast, p, &o, video_compile(&s->run)) : WF_MEMORY;
    if (!status) status = wf_params_load(p, weights);
    if (!status) status = clips_open(&test, sequences(s, s->run.test, 1));
    if (!status) status = clips_mean(test, 0, s->run.test, forecast, "loss", nats);
    if (!status) status = draw(forecast, &o, dir);
    clips_close(test);
    wf_program_free(forecast);
    wf_params_free(p);
    return status;
}

static exit_code test(const settings *s, const char *weights, const char *dir) {
    double nats;
    const wf_status status = measure(s, weights, dir, &nats);
    if (status) return report_failure(status);
    printf("cross entropy %.2f nats a sequence, %.2f a frame, on %lld test sequences\n", nats,
           nats / 10, (long long)s->run.test);
    printf("the paper, on MNIST: FC-LSTM 2048-2048 %.2f, ConvLSTM 128-64-64 %.2f\n", PAPER_FC_LSTM,
           PAPER_BEST);
    report_progress("pictures are in %s", dir);
    return EXIT_CODE_OK;
}

exit_code command_test(const void *given) {
    const settings *s = given;
    shi_opt o;
    const exit_code code = network_of(&o, s, 1);
    return code ? code : test(s, s->run.weights, s->run.out);
}

/* --- train --- */

typedef struct experiment {
    clip_set data;
    wf_params *params;
    wf_program *step, *measure;
} experiment;

static wf_status validate(void *user, const wf_trainer_at *at, double *metric) {
    experiment *e = user;
    enum { MOST = 64 };
    const int64_t n = e->data.kept < MOST ? e->data.kept : MOST;
    return clips_mean(e->data.all, e->data.first, n, e->measure, "loss", metric);
}

static wf_status prepare(experiment *e, const settings *s, const shi_opt *o) {
    e->params = video_params(&s->run);
    if (!e->params) return WF_MEMORY;
    wf_status status = clip_set_open(&e->data, sequences(s, s->run.clips, 0), 1.0 / 6);
    if (!status && e->data.kept < s->run.batch)
        status = wf_fail(WF_ARGUMENT, "a sixth of --clips %lld does not fill a batch of %lld",
                         (long long)s->run.clips, (long long)s->run.batch);
    if (!status) status = shi_trainer(&e->step, e->params, o, s->run.clip, video_compile(&s->run));
    if (!status) status = shi_predictor(&e->measure, e->params, o, video_compile(&s->run));
    return status;
}

static void discard(experiment *e) {
    wf_program_free(e->step);
    wf_program_free(e->measure);
    wf_params_free(e->params);
    clip_set_close(&e->data);
}

exit_code command_train(const void *given) {
    const settings *s = given;
    experiment e = {.params = NULL};
    char best[4096];
    shi_opt o;
    exit_code code = network_of(&o, s, s->run.batch);
    if (code) return code;
    const wf_status status = prepare(&e, s, &o);
    const wf_trainer trainer = {
        .params = e.params,
        .program = e.step,
        .schedule = {.kind = WF_SCHEDULE_CONSTANT, .lr = s->run.lr},
        .on = {.validate = validate},
        .user = &e,
    };
    code = status ? report_failure(status)
                  : video_train(&shi_program, s, sizeof *s, &e.data, trainer);
    discard(&e);
    if (code) return code;
    video_best(&s->run, best, sizeof best);
    return test(s, best, video_dir(&s->run));
}

int main(int argc, char **argv) {
    settings s;
    return program_main(&shi_program, argc, argv, &s, sizeof s);
}
