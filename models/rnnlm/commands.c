/* The commands of rnnlm. Tables and texts go to stdout, progress to stderr. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "models/program/computing.h"
#include "models/program/config.h"
#include "models/program/interrupt.h"
#include "models/rnnlm/training.h"

static exit_code stopped(const rnnlm_training *t, const wf_trainer_result *r) {
    const int signal_number = interrupt_signal();
    report_error(EXIT_CODE_INTERRUPTED, "stopped after step %lld, which is saved; train --resume "
                 "%s goes on", (long long)r->at.step, t->dir);
    return (exit_code)(128 + signal_number);
}

/* A row of the table: cost of the validation and test parts. */
static void print_row(const rnnlm_training *t, const char *name, int64_t parameters, double valid,
                      double test, double seconds) {
    printf("%-10s", name);
    if (parameters) printf("%11lld", (long long)parameters);
    else printf("%11s", "");
    printf("%12.3f%10.3f", rnnlm_measure(t, valid), rnnlm_measure(t, test));
    if (seconds > 0) printf("%9.0f s", seconds);
    printf("\n");
}

static void print_head(const rnnlm_training *t) {
    printf("%s\n%-10s%11s%12s%10s%11s\n", rnnlm_measure_name(t), "model", "parameters",
           "validation", "test", "training");
}

/* The model that knows only how often a symbol occurs (one more than it does). */
static double unigram(const corpus *c, int part) {
    const int64_t n = c->first[CORPUS_VALID];
    double sum = 0;
    int64_t *count = calloc((size_t)c->symbols, sizeof *count);
    if (!count) return NAN;
    for (int64_t i = 0; i < n; i++) count[c->id[i]]++;
    for (int64_t i = c->first[part]; i < c->first[part + 1]; i++)
        sum -= log((double)(count[c->id[i]] + 1) / (double)(n + c->symbols));
    free(count);
    return sum / (double)(c->first[part + 1] - c->first[part]);
}

/* What the models stand between. */
static void print_bounds(const rnnlm_training *t) {
    const double valid = rnnlm_least_cost(t->s, &t->text, CORPUS_VALID);
    const double test = rnnlm_least_cost(t->s, &t->text, CORPUS_TEST);
    print_row(t, "unigram", 0, unigram(&t->text, CORPUS_VALID), unigram(&t->text, CORPUS_TEST), 0);
    if (!isnan(test)) print_row(t, "source", 0, valid, test, 0);
}

/* Trains one model and prints its row, with the head before the first. */
static exit_code run(const settings *s, bool is_first, bool is_last) {
    rnnlm_training t;
    wf_trainer_result result;
    double valid, test;
    wf_status status = rnnlm_run_open(&t, s);
    const double start = report_seconds();
    if (!status) status = rnnlm_run(&t, &result);
    const double seconds = report_seconds() - start;
    exit_code code = EXIT_CODE_OK;
    if (!status && result.end == WF_TRAINER_STOPPED) {
        code = stopped(&t, &result);
    } else if (!status) {
        status = reader_cost(&t.reader, &t.text, CORPUS_VALID, &valid);
        if (!status) status = reader_cost(&t.reader, &t.text, CORPUS_TEST, &test);
        if (!status && is_first) print_head(&t);
        if (!status)
            print_row(&t, rnnlm_kind_name[t.model.kind], wf_params_elements(t.params), valid,
                      test, seconds);
        if (!status && is_last) print_bounds(&t);
        fflush(stdout);
    }
    if (status) code = report_failure(status);
    rnnlm_run_close(&t);
    return code;
}

exit_code rnnlm_command_train(const void *given) {
    const settings *s = given;
    const exit_code code =
        s->resume ? config_compare(program_command(&rnnlm_program, "train"), s->resume, s,
                                   "epochs|threads|profile|resume|out")
                  : EXIT_CODE_OK;
    return code ? code : run(s, true, true);
}

exit_code rnnlm_command_compare(const void *given) {
    exit_code code = EXIT_CODE_OK;
    for (int k = 0; k < RNNLM_KINDS && !code; k++) {
        settings s = *(const settings *)given;
        char out[RUN_DIR_MAX_PATH];
        if (snprintf(out, sizeof out, "%s/%s", s.out, rnnlm_kind_name[k]) >= (int)sizeof out)
            return report_error(EXIT_CODE_USAGE, "--out is too long");
        s.model = rnnlm_kind_name[k];
        s.out = out;
        code = run(&s, k == 0, k == RNNLM_KINDS - 1);
    }
    return code;
}

exit_code rnnlm_command_sample(const void *given) {
    const settings *s = given;
    corpus text;
    rnnlm model;
    reader r = {.steps = 1};
    wf_params *p = wf_params_new(1);
    wf_status status = rnnlm_open_text(s, &text, &model);
    if (!status && !p) status = wf_fail(WF_MEMORY, "no memory for the parameters");
    if (!status)
        status = reader_open(&r, p, &model, 1, computing_options(s->threads, s->precision));
    if (!status) status = wf_params_load(p, s->weights);
    if (!status)
        status = reader_sample(&r, &text, s->length, s->temperature, (uint64_t)s->seed, stdout);
    printf("\n");
    reader_close(&r);
    wf_params_free(p);
    corpus_close(&text);
    return status ? report_failure(status) : EXIT_CODE_OK;
}
