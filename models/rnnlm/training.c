/* See training.h. The state that a batch ends with is carried to the next one; at the end of the
 * text it is forgotten, as the next batch is the text's beginning. It is among the parameters'
 * buffers, so checkpoints have it, and a run goes on in the middle of the text. */
#include "models/rnnlm/training.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/program/config.h"
#include "models/program/interrupt.h"

enum { READER_STEPS = 50 };

static wf_compile_opt compile_options(const settings *s) {
    return (wf_compile_opt){.threads = (int)s->threads};
}

static wf_status compile_step(training *t) {
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

wf_status rnnlm_run_open(training *t, const settings *s) {
    *t = (training){.s = s, .valid = NAN};
    wf_status status = rnnlm_open_text(s, &t->text, &t->model);
    if (!status) status = lanes_open(&t->lanes, &t->text, s->batch, s->steps);
    t->params = wf_params_new((uint64_t)s->seed);
    if (!status && !t->params) status = wf_fail(WF_MEMORY, "no memory for the parameters");
    if (!status) status = compile_step(t);
    if (!status)
        status = reader_open(&t->reader, t->params, &t->model, READER_STEPS, compile_options(s));
    return status ? status : profiling_open(&t->profile, s->profile, t->program);
}

void rnnlm_run_close(training *t) {
    profiling_close(&t->profile);
    run_dir_close(&t->dir);
    reader_close(&t->reader);
    wf_program_free(t->program);
    wf_params_free(t->params);
    lanes_close(&t->lanes);
    corpus_close(&t->text);
}

double rnnlm_measure(const training *t, double nats) {
    return t->text.words ? exp(nats) : nats / log(2.0);
}

const char *rnnlm_measure_name(const training *t) {
    return t->text.words ? "perplexity" : "bits a character";
}

/* --- what the trainer calls ------------------------------------------------------------------- */

/* A run that goes on has the options of the first call, whose folder it was given as --resume. */
static wf_status write_config(training *t) {
    settings s = *t->s;
    if (s.resume) s.out = s.resume;
    s.resume = s.profile = NULL;
    char *text = config_text(&rnnlm_program, program_command(&rnnlm_program, "train"), &s, NULL);
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
    if (at->step) report_progress("going on after step %lld", (long long)at->step);
    report_progress("%s: %lld parameters; %lld symbols, %lld in the vocabulary, %.2f %% <unk>; "
                    "%lld steps an epoch", rnnlm_kind_name[t->model.kind],
                    (long long)wf_params_elements(t->params), (long long)t->text.n,
                    (long long)t->text.symbols,
                    100 * (double)t->text.unknown / (double)t->text.n,
                    (long long)at->epoch_steps);
    progress_open(&t->progress, "training", at->step, at->steps);
    return WF_OK;
}

static wf_status after_step(void *user, const wf_trainer_at *at) {
    training *t = user;
    progress_step(&t->progress, at->step, at->loss);
    if (at->epoch_step == at->epoch_steps) wf_params_fill(t->params, "*.carry_l*", 0);
    return profiling_after_run(&t->profile, at->step == at->steps);
}

static wf_status validate(void *user, const wf_trainer_at *at, double *metric) {
    training *t = user;
    const wf_status status = reader_cost(&t->reader, &t->text, CORPUS_VALID, &t->valid);
    *metric = t->valid;
    return status;
}

static wf_status after_epoch(void *user, const wf_trainer_at *at) {
    training *t = user;
    json_row row;
    row_open(&row, NULL);
    row_integer(&row, "epoch", at->epoch);
    row_real(&row, "loss", at->loss);
    row_real(&row, "val_loss", t->valid);
    row_real(&row, "lr", at->lr);
    row_close(&row);
    report_progress("epoch %lld  validation: %s %.3f%s  lr %.3g", (long long)at->epoch,
                    rnnlm_measure_name(t), rnnlm_measure(t, t->valid),
                    at->is_best ? "  (best)" : "", at->lr);
    return run_dir_row(&t->dir, &row);
}

static wf_status before_save(void *user, const wf_trainer_at *at) {
    training *t = user;
    t->rows = t->dir.rows;
    return run_dir_sync(&t->dir);
}

static void message(void *user, const char *line) { report_progress("%s", line); }

static bool is_stopped(void *user) { return interrupt_signal() != 0; }

/* --- the run ---------------------------------------------------------------------------------- */

wf_status rnnlm_run(training *t, wf_trainer_result *result) {
    const settings *s = t->s;
    const wf_state log = {"log.rows", WF_I64, WF_SCALAR, &t->rows};
    const wf_trainer trainer = {
        .params = t->params,
        .program = t->program,
        .data = t->lanes.source,
        .seed = (uint64_t)s->seed,
        .in_order = true,
        .epochs = s->epochs,
        .schedule = {.kind = WF_SCHEDULE_HALVING, .lr = s->lr},
        .dir = s->resume ? s->resume : s->out,
        .resume = s->resume != NULL,
        .state = &log,
        .n_state = 1,
        .on = {.validate = validate, .step = after_step, .epoch = after_epoch,
               .save = before_save, .start = start, .message = message, .stop = is_stopped},
        .user = t,
    };
    interrupt_watch();
    wf_status status = wf_trainer_run(&trainer, result);
    progress_close(&t->progress);
    if (!status) status = profiling_finish(&t->profile);
    if (!status && result->end != WF_TRAINER_STOPPED)
        status = wf_params_load(t->params, run_dir_file(&t->dir, "best.safetensors"));
    return status;
}
