/* convlstm graph: the training step as a picture, at any stage of the compiler. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/convlstm/model.h"
#include "models/convlstm/settings.h"
#include "models/program/draw.h"

enum { PATH_BYTES = 4096 };

static bool ends_with(const char *path, const char *end) {
    const size_t n = strlen(path), m = strlen(end);
    return n > m && !strcmp(path + n - m, end);
}

/* The text of the picture `out`: the same name with .dot for the ending; a text is its own. */
static wf_status text_path(char path[PATH_BYTES], const char *out) {
    const bool picture = draw_format(out) != NULL;
    if (!picture && !ends_with(out, ".dot"))
        return wf_fail(WF_ARGUMENT, "--out %s: the ending must be .dot, .svg, .png or .pdf", out);
    const size_t n = strlen(out);
    if (n >= PATH_BYTES) return wf_fail(WF_ARGUMENT, "--out: the name is too long");
    memcpy(path, out, n + 1);
    if (picture) memcpy(path + n - 3, "dot", 4);
    return WF_OK;
}

/* Runs the step on made values until its times are known: once to warm up, RUNS times measured.
 * The learning rate is 0, so that runs are alike. */
static wf_status measure(convlstm_program *c) {
    enum { RUNS = 3 };
    const convlstm_size *size = &c->size;
    const int64_t n = size->frames * size->batch * size->height * size->width;
    for (int64_t i = 0; i < n; i++) {
        c->x[i] = (float)(i % 7) / 7;
        c->target[i] = (float)(i % 5) / 5;
    }
    *c->lr = 0;
    wf_status status = wf_run(c->program);
    if (!status) status = wf_profile_start(c->program, 1);
    for (int i = 0; i < RUNS && !status; i++) status = wf_run(c->program);
    return status ? status : wf_profile_stop(c->program);
}

static wf_status draw_timed(FILE *f, wf_params *p, convlstm_size size, const settings *s,
                            wf_dot_opt how) {
    convlstm_program c = {.program = NULL};
    how.timed = true;
    wf_status status = convlstm_trainer(&c, p, size, s->clip, compile_options(s));
    if (!status) status = measure(&c);
    if (!status) status = wf_program_dot(c.program, f, how);
    convlstm_program_free(&c);
    return status;
}

static wf_status draw_stage(FILE *f, wf_params *p, convlstm_size size, const settings *s,
                            wf_dot_opt how) {
    wf_graph *g = NULL;
    wf_tensor outputs[CONVLSTM_TRAINER_OUTPUTS];
    wf_status status = convlstm_training_graph(&g, outputs, p, size, s->clip);
    if (!status)
        status = wf_stage_dot(g, outputs, CONVLSTM_TRAINER_OUTPUTS, compile_options(s), s->stage, f,
                              how);
    wf_graph_free(g);
    return status;
}

/* The text of the graph that the settings ask for, into *text; free() it, also after an error. */
static wf_status make_text(char **text, size_t *bytes, const settings *s) {
    const convlstm_size size = {s->frames - 1, s->batch, s->size, s->size, s->hidden};
    char title[160];
    snprintf(title, sizeof title,
             "ConvLSTM training step, hidden %lld, %lld steps of %lld x %lld x %lld; stage %s",
             (long long)size.hidden, (long long)size.frames, (long long)size.batch,
             (long long)size.height, (long long)size.width, s->stage);
    const wf_dot_opt how = {.fold = !strcmp(s->fold, "none") ? WF_DOT_FOLD_NONE : WF_DOT_FOLD_AUTO,
                            .limit = (uint32_t)s->nodes, .title = title};
    wf_params *p = wf_params_new(0);
    FILE *f = open_memstream(text, bytes);
    wf_status status = p && f ? WF_OK : wf_fail(WF_MEMORY, "no memory for the graph");
    if (!status) status = (s->timed ? draw_timed : draw_stage)(f, p, size, s, how);
    if (f && fclose(f) && !status) status = wf_fail(WF_MEMORY, "no memory for the graph");
    wf_params_free(p);
    return status;
}

static wf_status write_file(const char *path, const char *text, size_t bytes) {
    wf_file *f;
    wf_status status = wf_file_create(&f, path);
    if (status) return status;
    status = wf_file_write(f, text, bytes);
    if (!status) return wf_file_commit(f);
    wf_file_discard(f);
    return status;
}

exit_code command_graph(const void *settings_given) {
    const settings *s = settings_given;
    char path[PATH_BYTES], *text = NULL;
    size_t bytes = 0;
    if (s->timed && strcmp(s->stage, "plan") != 0)
        return report_error(EXIT_CODE_USAGE, "--timed and --stage %s: only the plan is run",
                            s->stage);
    wf_status status = text_path(path, s->out);
    if (!status) status = make_text(&text, &bytes, s);
    if (!status) status = write_file(path, text, bytes);
    free(text);
    if (status) return report_failure(status);
    if (draw_format(s->out)) status = draw_dot(s->out, path, (double)s->seconds);
    if (status)
        return report_error(exit_code_of(status), "%s; the text of the graph is in %s", wf_error(),
                            path);
    report_progress("the graph is in %s", s->out);
    return EXIT_CODE_OK;
}
