/* convlstm eval: the scores of a network over a set of clips, as a table or as a JSON object. */
#include <stdio.h>

#include "models/convlstm/evaluator.h"
#include "models/convlstm/settings.h"
#include "models/program/row.h"

static void print_json(const evaluation *e) {
    json_row line;
    row_open(&line, NULL);
    row_integer(&line, "clips", e->clips);
    row_real(&line, "loss", e->scores.loss);
    row_real(&line, "mae", e->scores.mae);
    row_real(&line, "psnr", e->scores.psnr);
    row_real(&line, "ssim", e->scores.ssim);
    row_real(&line, "ssim_clamped", e->scores.ssim_clamped);
    row_open(&line, "running");
    row_real(&line, "mae", e->running.mae);
    row_real(&line, "psnr", e->running.psnr);
    row_real(&line, "ssim", e->running.ssim);
    row_close(&line);
    row_open(&line, "copy");
    row_real(&line, "loss", e->copy.loss);
    row_real(&line, "mae", e->copy.mae);
    row_real(&line, "psnr", e->copy.psnr);
    row_real(&line, "ssim", e->copy.ssim);
    row_close(&line);
    row_close(&line);
    printf("%s\n", line.text);
}

static void print_scores(const char *title, const wf_image_scores *s) {
    printf("%-28s %9.6f %9.6f %9.3f %9.4f %9.4f\n", title, s->loss, s->mae, s->psnr, s->ssim,
           s->ssim_clamped);
}

static void print_table(const evaluation *e) {
    printf("%-28s %9s %9s %9s %9s %9s\n", "", "loss", "mae", "psnr", "ssim", "clamped");
    print_scores("network", &e->scores);
    print_scores("  mean of running means", &e->running);
    print_scores("copying the last frame", &e->copy);
    printf("\n%lld clips; loss %.2f times that of copying the last frame\n", (long long)e->clips,
           e->scores.loss / e->copy.loss);
}

/* Opens what eval needs; the evaluator is made before the weights are read because it creates the
 * parameters that the file must fill. */
static wf_status prepare(evaluator *e, wf_params *p, const settings *s, const clips *c,
                         int64_t n) {
    convlstm_size size = {clips_frames(c) - 1, s->batch, clips_size(c), clips_size(c), 0};
    if (!p) return wf_fail(WF_MEMORY, "no memory for the parameters");
    wf_status status = convlstm_hidden_of_file(&size.hidden, s->weights);
    if (!status) status = evaluator_open(e, p, size, n, compile_options(s));
    return status ? status : wf_params_load(p, s->weights);
}

exit_code command_eval(const void *settings_given) {
    const settings *s = settings_given;
    clips *source = NULL;
    exit_code code = open_clips(&source, s);
    if (code) return code;
    evaluator e = {.n = 0};
    evaluation result;
    wf_params *p = wf_params_new(0);
    parts cut = {.n = 0};
    const int64_t *index = NULL;
    int64_t n = 0;
    wf_status status = part_of_clips(&cut, source, s, &index, &n);
    if (!status) status = prepare(&e, p, s, source, n);
    if (!status) status = evaluator_run(&e, source, index, true, &result);
    if (status)
        code = report_failure(status);
    else if (s->json)
        print_json(&result);
    else
        print_table(&result);
    evaluator_close(&e);
    parts_free(&cut);
    wf_params_free(p);
    clips_close(source);
    return code;
}
