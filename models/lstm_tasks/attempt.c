/* One attempt; see attempt.h. The trainer does the steps; its validation is the success test. */
#include "models/lstm_tasks/attempt.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TEST_BATCH = 100, TEST_SEED_OFFSET = 1000003 };

/* A program and what feeds it. */
typedef struct side {
    wf_program *program;
    wf_source *source;
    task_data data;
} side;

typedef struct training {
    const attempt_opt *o;
    wf_params *params;
    side train, test;
    attempt_result *result;
} training;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static wf_status open_side(training *r, side *s, bool train) {
    const attempt_opt *o = r->o;
    const int64_t count = train ? o->steps * o->network.batch : TEST_SEQUENCES;
    wf_status status = task_open(&s->source, &s->data, o->task, o->lag,
                                 o->seed + (train ? 0 : TEST_SEED_OFFSET), count);
    if (status) return status;
    network_opt n = o->network;
    if (!train) n.batch = TEST_BATCH;
    wf_graph *g = wf_graph_new();
    if (!g) return wf_fail(WF_MEMORY, "no memory for a graph");
    wf_tensor outputs[NETWORK_OUTPUTS];
    const int count_out = network_build(g, r->params, o->task, s->data.steps, n, train, outputs);
    status = wf_compile(&s->program, g, outputs, count_out,
                        (wf_compile_opt){.precision = WF_PRECISION_F32, .threads = o->threads});
    wf_graph_free(g);
    return status;
}

static void close_side(side *s) {
    wf_program_free(s->program);
    wf_source_close(s->source);
}

/* The trainer's validation: the part of the test sequences that is wrong. */
static wf_status test(void *user, const wf_trainer_at *at, double *metric) {
    training *r = user;
    const side *s = &r->test;
    void *const in[] = {wf_data_named(s->program, "x", NULL),
                        wf_data_named(s->program, "length", NULL),
                        wf_data_named(s->program, "target", NULL)};
    int64_t right = 0, index[TEST_BATCH];
    wf_status status = WF_OK;
    for (int64_t first = 0; first < TEST_SEQUENCES && !status; first += TEST_BATCH) {
        for (int64_t i = 0; i < TEST_BATCH; i++) index[i] = first + i;
        status = wf_source_batch(s->source, index, TEST_BATCH, in);
        if (!status) status = wf_run(s->program);
        if (!status)
            status = task_score(&s->data, first, TEST_BATCH, wf_data_named(s->program, "y", NULL),
                                &right);
    }
    r->result->wrong = *metric = 1 - (double)right / TEST_SEQUENCES;
    r->result->solved = *metric <= 0.01;
    r->result->step = at->step;
    return status;
}

static bool is_over(void *user) {
    training *r = user;
    if (r->o->stop && r->o->stop(NULL)) r->result->stopped = true;
    return r->result->solved || r->result->stopped;
}

static wf_status train(training *r) {
    const attempt_opt *o = r->o;
    wf_trainer_result end;
    const wf_status status = wf_trainer_run(&(wf_trainer){
        .params = r->params, .program = r->train.program, .data = r->train.source,
        .in_order = true, .steps = o->steps, .schedule = {.lr = o->network.lr},
        .validate_every = o->every, .on = {.validate = test, .stop = is_over}, .user = r}, &end);
    r->result->step_s = end.at.step ? end.run_s / (double)end.at.step : 0;
    if (status != WF_NOT_FINITE) return status;
    r->result->diverged = true;
    r->result->step = end.at.step;
    return WF_OK;
}

static wf_status profile(wf_program *p, FILE *f) {
    enum { RUNS = 20 };
    wf_status status = wf_profile_start(p, 1);
    for (int i = 0; i < RUNS && !status; i++) status = wf_run(p);
    if (!status) status = wf_profile_stop(p);
    return status ? status : wf_profile_table(p, f, 0);
}

wf_status attempt(const attempt_opt *o, attempt_result *result) {
    training r = {.o = o, .params = wf_params_new(o->seed), .result = result};
    *result = (attempt_result){.wrong = 1};
    if (!r.params) return wf_fail(WF_MEMORY, "no memory for parameters");
    const double start = now();
    wf_status status = open_side(&r, &r.train, true);
    if (!status) status = open_side(&r, &r.test, false);
    result->compile_s = now() - start;
    network_start(r.params, o->network, o->lag, o->seed);
    if (!status) status = train(&r);
    if (!status && o->profile) status = profile(r.train.program, o->profile);
    close_side(&r.train);
    close_side(&r.test);
    wf_params_free(r.params);
    return status;
}
