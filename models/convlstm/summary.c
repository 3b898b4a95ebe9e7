/* convlstm summary, and the same table before a training; see summary.h. */
#include "models/convlstm/summary.h"

#include <stdio.h>
#include <stdlib.h>

#include "models/convlstm/settings.h"
#include "models/program/row.h"

typedef struct summary {
    wf_graph *graph; /* owner of the names */
    wf_params *net;  /* its layers */
    wf_layer_info *layer;
    size_t n;
    int64_t params, state_bytes; /* trainable; with running statistics and Adam's two moments */
    double flops;
} summary;

static void close_summary(summary *s) {
    free(s->layer);
    wf_params_free(s->net);
    wf_graph_free(s->graph);
}

/* The forward network alone, so that a layer's last value is its output. */
static wf_status open_summary(summary *s, convlstm_size size) {
    *s = (summary){.graph = wf_graph_new(), .net = wf_params_new(0)};
    wf_params *p = s->net;
    wf_status status = p && s->graph ? WF_OK : wf_fail(WF_MEMORY, "no memory for the network");
    if (!status) {
        const wf_tensor x = wf_input(s->graph, "x", WF_F32, WF_SHAPE(size.frames, size.batch,
                                                                     size.height, size.width, 1));
        convlstm(p, x, (convlstm_opt){.hidden = size.hidden, .training = true});
        status = wf_nn_summary(p, s->graph, &s->layer, &s->n);
        s->params = wf_params_elements(p);
    }
    for (size_t i = 0; !status && i < s->n; i++) s->flops += s->layer[i].flops;
    for (size_t i = 0; !status && i < wf_params_count(p); i++) {
        const wf_param_info info = wf_params_at(p, i);
        s->state_bytes += wf_shape_count(&info.shape) * (int64_t)wf_dtype_bytes(info.dtype) *
                          (info.role == WF_ROLE_PARAM ? 3 : 1);
    }
    return status;
}

static void put_plan(FILE *f, const summary *s, const wf_program_info *plan) {
    fprintf(f, "a training step: %.1f GFLOP in %u launches; memory: %.1f MiB weights and "
               "optimiser,\n%.1f MiB values, %.1f MiB inputs and outputs, %.1f MiB scratch of %d "
               "threads\n",
            plan->flops * 1e-9, plan->launches, (double)s->state_bytes / (1 << 20),
            (double)plan->arena_bytes / (1 << 20), (double)plan->buffer_bytes / (1 << 20),
            (double)plan->scratch_bytes / (1 << 20), plan->threads);
}

wf_status summary_text(char **text, convlstm_size size, const wf_program_info *plan) {
    summary s;
    size_t bytes;
    *text = NULL;
    wf_status status = open_summary(&s, size);
    FILE *f = status ? NULL : open_memstream(text, &bytes);
    if (!status && !f) status = wf_fail(WF_MEMORY, "no memory for the table of layers");
    if (f) {
        status = wf_nn_summary_print(s.net, s.graph, f);
        put_plan(f, &s, plan);
        if (fclose(f)) status = wf_fail(WF_MEMORY, "no memory for the table of layers");
    }
    close_summary(&s);
    return status;
}

static void print_json(const summary *s, const wf_program_info *plan) {
    json_row line;
    row_open(&line, NULL);
    row_open_list(&line, "layers");
    for (size_t i = 0; i < s->n; i++) {
        row_open(&line, "");
        row_text(&line, "name", s->layer[i].name);
        row_open_list(&line, "output");
        for (int k = 0; k < s->layer[i].shape.rank; k++)
            row_integer(&line, "", s->layer[i].shape.dim[k]);
        row_close_list(&line);
        row_integer(&line, "parameters", s->layer[i].params);
        row_real(&line, "flops", s->layer[i].flops);
        row_close(&line);
    }
    row_close_list(&line);
    row_integer(&line, "parameters", s->params);
    row_real(&line, "forward_flops", s->flops);
    row_real(&line, "step_flops", plan->flops);
    row_integer(&line, "launches", plan->launches);
    row_integer(&line, "state_bytes", s->state_bytes);
    row_integer(&line, "arena_bytes", (int64_t)plan->arena_bytes);
    row_integer(&line, "buffer_bytes", (int64_t)plan->buffer_bytes);
    row_integer(&line, "scratch_bytes", (int64_t)plan->scratch_bytes);
    row_close(&line);
    printf("%s\n", line.text);
}

/* The plan of the training step; its kernels stay uncompiled, as nothing is run. */
static wf_status plan_step(wf_program_info *plan, convlstm_size size, const settings *given) {
    convlstm_program step = {.program = NULL};
    wf_params *p = wf_params_new(0);
    wf_compile_opt o = compile_options(given);
    o.off |= WF_PASS_CODE;
    wf_status status = p ? WF_OK : wf_fail(WF_MEMORY, "no memory for the parameters");
    if (!status) status = convlstm_trainer(&step, p, size, given->clip, o);
    if (!status) *plan = wf_program_describe(step.program);
    convlstm_program_free(&step);
    wf_params_free(p);
    return status;
}

exit_code command_summary(const void *settings_given) {
    const settings *given = settings_given;
    const convlstm_size size = {given->frames - 1, given->batch, given->size, given->size,
                                given->hidden};
    summary s;
    wf_program_info plan;
    wf_status status = open_summary(&s, size);
    if (!status) status = plan_step(&plan, size, given);
    if (!status && given->json) print_json(&s, &plan);
    if (!status && !given->json) {
        status = wf_nn_summary_print(s.net, s.graph, stdout);
        put_plan(stdout, &s, &plan);
    }
    close_summary(&s);
    return status ? report_failure(status) : EXIT_CODE_OK;
}
