/* convlstm graph: the training step, or a graph that was written as text, as a picture or as text,
 * at any stage of the compiler. */
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
    if (!picture && !ends_with(out, ".dot") && !ends_with(out, ".txt"))
        return wf_fail(WF_ARGUMENT, "--out %s: the ending must be .txt, .dot, .svg, .png or .pdf",
                       out);
    const size_t n = strlen(out);
    if (n >= PATH_BYTES) return wf_fail(WF_ARGUMENT, "--out: the name is too long");
    memcpy(path, out, n + 1);
    if (picture) memcpy(path + n - 3, "dot", 4);
    return WF_OK;
}

/* A graph and its outputs. */
typedef struct subject {
    wf_graph *graph;
    wf_tensor *output; /* (n) */
    int n;
    wf_params *params; /* of the training step */
    char title[160];
} subject;

static void release(subject *x) {
    wf_graph_free(x->graph);
    wf_params_free(x->params);
    free(x->output);
}

static wf_status training_step(subject *x, const settings *s) {
    const convlstm_size size = {s->frames - 1, s->batch, s->size, s->size, s->hidden};
    snprintf(x->title, sizeof x->title,
             "ConvLSTM training step, hidden %lld, %lld steps of %lld x %lld x %lld; stage %s",
             (long long)size.hidden, (long long)size.frames, (long long)size.batch,
             (long long)size.height, (long long)size.width, s->stage);
    x->n = CONVLSTM_TRAINER_OUTPUTS;
    x->output = calloc(CONVLSTM_TRAINER_OUTPUTS, sizeof *x->output);
    x->params = wf_params_new(0);
    if (!x->output || !x->params) return wf_fail(WF_MEMORY, "no memory for the graph");
    return convlstm_training_graph(&x->graph, x->output, x->params, size, s->clip);
}

/* The whole file, whose size nothing tells beforehand: it may be a pipe. */
static wf_status read_file(char **text, size_t *bytes, const char *path) {
    FILE *f = fopen(path, "rb"), *to = f ? open_memstream(text, bytes) : NULL;
    char part[16384];
    size_t n;
    wf_status status = WF_OK;
    if (!f) return wf_fail(WF_INPUT, "%s cannot be opened", path);
    while (to && (n = fread(part, 1, sizeof part, f)) > 0) fwrite(part, 1, n, to);
    if (ferror(f)) status = wf_fail(WF_INPUT, "%s cannot be read", path);
    fclose(f);
    if ((!to || fclose(to)) && !status) status = wf_fail(WF_MEMORY, "no memory for %s", path);
    return status;
}

static wf_status graph_in_file(subject *x, const settings *s) {
    char *text = NULL, why[512];
    size_t bytes = 0;
    const char *name = strrchr(s->in, '/');
    snprintf(x->title, sizeof x->title, "%.100s; stage %s", name ? name + 1 : s->in, s->stage);
    for (char *c = x->title; *c; c++)
        if (*c == '\n') *c = ' '; /* a remark is one line */
    wf_status status = read_file(&text, &bytes, s->in);
    if (!status) {
        const wf_parse_opt o = {.stand_in = true};
        status = wf_graph_parse(&x->graph, &x->output, &x->n, text, bytes, o);
        snprintf(why, sizeof why, "%s", wf_error());
        if (status) wf_fail(status, "%s: %s", s->in, why);
    }
    free(text);
    return status;
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

static wf_status draw_timed(FILE *f, const subject *x, const settings *s, wf_dot_opt how) {
    const convlstm_size size = {s->frames - 1, s->batch, s->size, s->size, s->hidden};
    convlstm_program c = {.program = NULL};
    how.timed = true;
    wf_status status = convlstm_trainer(&c, x->params, size, s->clip, compile_options(s));
    if (!status) status = measure(&c);
    if (!status) status = wf_program_dot(c.program, f, how);
    convlstm_program_free(&c);
    return status;
}

/* The text that is asked for, into *text; free() it, also after an error. */
static wf_status make_text(char **text, size_t *bytes, const settings *s) {
    subject x = {.graph = NULL};
    wf_status status = s->in ? graph_in_file(&x, s) : training_step(&x, s);
    FILE *f = open_memstream(text, bytes);
    if (!status && !f) status = wf_fail(WF_MEMORY, "no memory for the graph");
    const wf_dot_opt how = {.fold = !strcmp(s->fold, "none") ? WF_DOT_FOLD_NONE : WF_DOT_FOLD_AUTO,
                            .limit = (uint32_t)s->nodes, .title = x.title};
    const wf_compile_opt o = compile_options(s);
    if (!status && ends_with(s->out, ".txt")) {
        fprintf(f, "# %s\n", x.title);
        status = wf_stage_dump(x.graph, x.output, x.n, o, s->stage, f);
    } else if (!status && s->timed) {
        status = draw_timed(f, &x, s, how);
    } else if (!status) {
        status = wf_stage_dot(x.graph, x.output, x.n, o, s->stage, f, how);
    }
    if (f && fclose(f) && !status) status = wf_fail(WF_MEMORY, "no memory for the graph");
    release(&x);
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
    if (s->timed && (s->in || ends_with(s->out, ".txt")))
        return report_error(EXIT_CODE_USAGE, "--timed draws the training step alone; leave out %s",
                            s->in ? "--in" : "the ending .txt");
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
