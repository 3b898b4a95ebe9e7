/* srivastava2015 eval: a table of runs. "own frames" is what counts where nothing but the past is
 * known: conditional decoders read what they wrote. "true frames" is what the published program
 * measures: they read the true frame before. For the others the two are one. */
#include <math.h>
#include <stdio.h>

#include "models/program/row.h"
#include "models/srivastava2015/measure.h"
#include "models/srivastava2015/settings.h"

enum { MOST_BATCH = 32 };

typedef struct result {
    int64_t parameters;
    nats own, given;
} result;

/* Both programs before the weights: a file fills parameters that exist. */
static wf_status evaluate(result *r, const settings *s, const char *dir, const clips *c) {
    srivastava_program own = {.program = NULL}, given = {.program = NULL};
    const srivastava_size size = {clips_frames(c), measure_batch(s->test_clips, MOST_BATCH),
                                  clips_size(c)};
    srivastava_opt o = network_of(s);
    char path[4096 + 32];
    snprintf(path, sizeof path, "%.4096s/best.safetensors", dir);
    wf_params *p = wf_params_new(0);
    wf_status status = p ? WF_OK : wf_fail(WF_MEMORY, "no memory for the parameters");
    if (!status) status = srivastava_predictor(&given, p, size, o, compile_options(s));
    o.generates = true;
    if (!status && o.conditional)
        status = srivastava_predictor(&own, p, size, o, compile_options(s));
    if (!status) status = wf_params_load(p, path);
    if (!status) status = measure(&r->given, &given, c, test_first(s), s->test_clips);
    if (!status) r->own = r->given;
    if (!status && o.conditional) status = measure(&r->own, &own, c, test_first(s), s->test_clips);
    if (!status) r->parameters = wf_params_elements(p);
    srivastava_program_free(&own);
    srivastava_program_free(&given);
    wf_params_free(p);
    return status;
}

/* --- output --- */

static const char *cell(double v, char buf[32]) {
    snprintf(buf, 32, isnan(v) ? "-" : "%.1f", v);
    return buf;
}

static void print_line(const settings *s, const result *r) {
    char a[32], b[32], c[32], d[32];
    printf("%-12s %-13s %10lld  %10s %10s  %10s %10s\n", s->model,
           s->conditional ? "conditional" : "", (long long)r->parameters,
           cell(r->own.reconstruction, a), cell(r->own.prediction, b),
           cell(r->given.reconstruction, c), cell(r->given.prediction, d));
}

static void print_json(const settings *s, const result *r, const char *dir, double still) {
    static json_row row;
    row_open(&row, NULL);
    row_text(&row, "run", dir);
    row_text(&row, "model", s->model);
    row_flag(&row, "conditional", s->conditional);
    row_integer(&row, "parameters", r->parameters);
    row_integer(&row, "clips", s->test_clips);
    row_real(&row, "reconstruction_nats", r->own.reconstruction);
    row_real(&row, "prediction_nats", r->own.prediction);
    row_real(&row, "reconstruction_nats_true_frames", r->given.reconstruction);
    row_real(&row, "prediction_nats_true_frames", r->given.prediction);
    row_real(&row, "still_nats", still);
    row_close(&row);
    fputs(row.text, stdout);
}

static exit_code evaluate_run(const settings *asked, const char *dir, bool first) {
    settings s = *asked;
    clips *c = NULL;
    result r = {.parameters = 0};
    double still = 0;
    exit_code code = settings_of_run(&s, dir);
    if (!code) code = open_test_clips(&c, &s, s.test_clips);
    if (code) return code;
    wf_status status = evaluate(&r, &s, dir, c);
    if (!status && (first || s.json))
        status = measure_still(&still, c, test_first(&s), s.test_clips);
    clips_close(c);
    if (status) return report_failure(status);
    if (s.json) {
        print_json(&s, &r, dir, still);
        return EXIT_CODE_OK;
    }
    if (first)
        printf("nats per frame of %lld clips; a still picture has %.1f at best\n\n"
               "%-12s %-13s %10s  %-21s  %-21s\n%-12s %-13s %10s  %10s %10s  %10s %10s\n",
               (long long)s.test_clips, still, "", "", "", "    reading own frames",
               "  reading true frames", "model", "", "parameters", "past", "future", "past",
               "future");
    print_line(&s, &r);
    return EXIT_CODE_OK;
}

exit_code command_eval(const void *settings_given) {
    const settings *s = settings_given;
    exit_code code = EXIT_CODE_OK;
    for (int i = 0; i < s->runs.n && !code; i++)
        code = evaluate_run(s, s->runs.name[i], i == 0);
    return code;
}
