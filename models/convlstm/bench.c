/* convlstm bench: how long training steps take here, on made clips. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "models/convlstm/model.h"
#include "models/convlstm/settings.h"
#include "models/program/row.h"

typedef struct timing {
    double median, least, first; /* seconds a step; the first finds nothing compiled yet */
    double data;                 /* seconds to make a batch, the least */
    double loss;
} timing;

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static wf_status time_steps(timing *t, const convlstm_program *c, const clips *made, int64_t runs,
                            double *seconds) {
    *t = (timing){.data = INFINITY};
    *c->lr = 1e-4f;
    wf_status s = WF_OK;
    for (int64_t i = -1; i < runs && !s; i++) {
        const double start = report_seconds();
        s = clips_batch(made, NULL, 0, c->size.batch, c->x, c->target);
        const double ready = report_seconds();
        if (!s) s = wf_run(c->program);
        const double end = report_seconds();
        if (ready - start < t->data) t->data = ready - start;
        if (i < 0)
            t->first = end - ready;
        else
            seconds[i] = end - ready;
    }
    qsort(seconds, (size_t)runs, sizeof *seconds, by_value);
    t->median = runs % 2 ? seconds[runs / 2] : (seconds[runs / 2 - 1] + seconds[runs / 2]) / 2;
    t->least = seconds[0];
    t->loss = *c->loss;
    return s;
}

static void print_json(const timing *t, const wf_program_info *i, int64_t batch) {
    json_row line;
    row_open(&line, NULL);
    row_real(&line, "step_seconds", t->median);
    row_real(&line, "least_seconds", t->least);
    row_real(&line, "first_seconds", t->first);
    row_real(&line, "data_seconds", t->data);
    row_real(&line, "gflops", i->flops / t->median * 1e-9);
    row_real(&line, "clips_per_second", (double)batch / t->median);
    row_integer(&line, "threads", i->threads);
    row_integer(&line, "arena_bytes", (int64_t)i->arena_bytes);
    row_real(&line, "loss", t->loss);
    row_close(&line);
    printf("%s\n", line.text);
}

static void print_table(const timing *t, const wf_program_info *i, int64_t batch, int64_t runs) {
    printf("%-14s %.4f s (median of %lld; least %.4f, first %.4f)\n", "training step", t->median,
           (long long)runs, t->least, t->first);
    printf("%-14s %.1f GFLOP/s of contractions, %.2f clips/s, %d threads\n", "rate",
           i->flops / t->median * 1e-9, (double)batch / t->median, i->threads);
    printf("%-14s %.4f s to make a batch\n", "data", t->data);
    printf("%-14s %.0f MiB values\n", "memory", (double)i->arena_bytes / (1 << 20));
}

static wf_status measure(const settings *s, const clips *made, double *seconds) {
    const convlstm_size size = {s->frames - 1, s->batch, s->size, s->size, s->hidden};
    convlstm_program c = {.program = NULL};
    timing t;
    wf_params *p = wf_params_new(5);
    wf_status status = p ? WF_OK : wf_fail(WF_MEMORY, "no memory for the parameters");
    if (!status) status = convlstm_trainer(&c, p, size, s->clip, compile_options(s));
    if (!status) status = time_steps(&t, &c, made, s->runs, seconds);
    if (!status) {
        const wf_program_info info = wf_program_describe(c.program);
        if (s->json)
            print_json(&t, &info, s->batch);
        else
            print_table(&t, &info, s->batch, s->runs);
    }
    convlstm_program_free(&c);
    wf_params_free(p);
    return status;
}

exit_code command_bench(const void *settings_given) {
    settings s = *(const settings *)settings_given;
    clips *made;
    s.clips = s.batch;
    const exit_code code = open_clips(&made, &s);
    if (code) return code;
    double *seconds = calloc((size_t)s.runs, sizeof *seconds);
    const wf_status status = seconds ? measure(&s, made, seconds)
                                     : wf_fail(WF_MEMORY, "no memory for %lld times",
                                               (long long)s.runs);
    free(seconds);
    clips_close(made);
    return status ? report_failure(status) : EXIT_CODE_OK;
}
