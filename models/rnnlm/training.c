/* See training.h. The state that a batch ends with is carried to the next one; at the end of the
 * text it is forgotten, as the next batch is the text's beginning. It is among the parameters'
 * buffers, so checkpoints have it, and a run goes on in the middle of the text. */
#include "models/rnnlm/training.h"

#include <math.h>
#include <stdlib.h>

#include "models/program/computing.h"
#include "models/program/config.h"
#include "models/program/training.h"

enum { READER_STEPS = 50 };

static wf_compile_opt compile_options(const settings *s) {
    return computing_options(s->threads, s->precision);
}

static wf_status compile_step(rnnlm_training *t) {
    wf_graph *g = wf_graph_new();
    if (!g) return wf_fail(WF_MEMORY, "no memory for a graph");
    const wf_shape shape = WF_SHAPE(t->s->steps, t->s->batch);
    const wf_tensor x = wf_input(g, "x", WF_I32, shape), y = wf_input(g, "y", WF_I32, shape);
    const rnnlm_step step = rnnlm_train(t->params, x, y, &t->model, t->s->clip);
    const wf_status status = wf_compile(&t->program, g, (wf_tensor[]){step.loss, step.norm}, 2,
                                        compile_options(t->s));
    wf_graph_free(g);
    return status;
}

wf_status rnnlm_run_open(rnnlm_training *t, const settings *s) {
    *t = (rnnlm_training){.s = s, .dir = s->resume ? s->resume : s->out, .valid = NAN};
    wf_status status = rnnlm_open_text(s, &t->text, &t->model);
    if (!status) status = lanes_open(&t->lanes, &t->text, s->batch, s->steps);
    t->params = wf_params_new((uint64_t)s->seed);
    if (!status && !t->params) status = wf_fail(WF_MEMORY, "no memory for the parameters");
    if (!status) status = compile_step(t);
    if (!status)
        status = reader_open(&t->reader, t->params, &t->model, READER_STEPS, compile_options(s));
    return status;
}

void rnnlm_run_close(rnnlm_training *t) {
    reader_close(&t->reader);
    wf_program_free(t->program);
    wf_params_free(t->params);
    lanes_close(&t->lanes);
    corpus_close(&t->text);
}

double rnnlm_measure(const rnnlm_training *t, double nats) {
    return t->text.words ? exp(nats) : nats / log(2.0);
}

const char *rnnlm_measure_name(const rnnlm_training *t) {
    return t->text.words ? "perplexity" : "bits a character";
}

/* --- what the trainer calls ------------------------------------------------------------------- */

static wf_status start(void *user, const wf_trainer_at *at, bool resumed) {
    const rnnlm_training *t = user;
    if (at->step) report_progress("going on after step %lld", (long long)at->step);
    report_progress("%s: %lld parameters; %lld symbols, %lld in the vocabulary, %.2f %% <unk>; "
                    "%lld steps an epoch", rnnlm_kind_name[t->model.kind],
                    (long long)wf_params_elements(t->params), (long long)t->text.n,
                    (long long)t->text.symbols,
                    100 * (double)t->text.unknown / (double)t->text.n,
                    (long long)at->epoch_steps);
    return WF_OK;
}

static wf_status after_step(void *user, const wf_trainer_at *at) {
    rnnlm_training *t = user;
    if (at->epoch_step == at->epoch_steps) wf_params_fill(t->params, "*.carry_l*", 0);
    return WF_OK;
}

static wf_status validate(void *user, const wf_trainer_at *at, double *metric) {
    rnnlm_training *t = user;
    const wf_status status = reader_cost(&t->reader, &t->text, CORPUS_VALID, &t->valid);
    *metric = t->valid;
    return status;
}

static void epoch_row(void *user, const wf_trainer_at *at, json_row *row) {
    const rnnlm_training *t = user;
    row_integer(row, "epoch", at->epoch);
    row_real(row, "loss", at->loss);
    row_real(row, "val_loss", t->valid);
    row_real(row, "lr", at->lr);
}

static wf_status after_epoch(void *user, const wf_trainer_at *at) {
    const rnnlm_training *t = user;
    report_progress("epoch %lld  validation: %s %.3f%s  lr %.3g", (long long)at->epoch,
                    rnnlm_measure_name(t), rnnlm_measure(t, t->valid),
                    at->is_best ? "  (best)" : "", at->lr);
    return WF_OK;
}

/* --- the run ---------------------------------------------------------------------------------- */

wf_status rnnlm_run(rnnlm_training *t, wf_trainer_result *result) {
    const settings *s = t->s;
    char best[RUN_DIR_MAX_PATH + 32];
    char *config = config_of_run(&rnnlm_program, "train", s, sizeof *s, t->dir, NULL);
    if (!config) return wf_fail(WF_MEMORY, "no memory for config.json");
    const wf_trainer trainer = {
        .params = t->params,
        .program = t->program,
        .data = t->lanes.source,
        .seed = (uint64_t)s->seed,
        .in_order = true,
        .epochs = s->epochs,
        .schedule = {.kind = WF_SCHEDULE_HALVING, .lr = s->lr},
        .resume = s->resume != NULL,
        .on = {.validate = validate, .step = after_step, .epoch = after_epoch, .start = start},
        .user = t,
    };
    const training_place place = {.dir = t->dir, .config = config, .log_every = -1,
                                  .profile = s->profile, .epoch_row = epoch_row};
    wf_status status = training_loop(trainer, place, result);
    free(config);
    if (status || result->end == WF_TRAINER_STOPPED) return status;
    snprintf(best, sizeof best, "%s/best.safetensors", t->dir);
    return wf_params_load(t->params, best);
}
