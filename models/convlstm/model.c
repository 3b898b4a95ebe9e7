/* The ConvLSTM next-frame predictor; see model.h. Names of layers are paths in the notebook's
 * state_dict. */
#include "models/convlstm/model.h"

#include <string.h>

#define FIRST_CELL "convlstm0.0.conv_lstm_cell"

static wf_tensor layer(wf_params *p, const char *name, wf_tensor x, int64_t hidden, int kernel) {
    return wf_nn_convlstm(p, name, x, (wf_convlstm_opt){
        .hidden = hidden, .kernel = kernel, .activation = wf_relu});
}

static wf_tensor norm(wf_params *p, const char *name, wf_tensor x, convlstm_opt o) {
    return wf_nn_batch_norm(p, name, x, (wf_batch_norm_opt){
        .training = o.training, .cumulative = o.cumulative});
}

wf_tensor convlstm(wf_params *p, wf_tensor x, convlstm_opt o) {
    x = layer(p, FIRST_CELL, x, o.hidden, 5);
    x = norm(p, "convlstm0.1", x, o);
    x = layer(p, "convlstm1.0.conv_lstm_cell", x, o.hidden, 3);
    x = norm(p, "convlstm1.1", x, o);
    x = layer(p, "convlstm2.0.conv_lstm_cell", x, o.hidden, 1);
    x = norm(p, "convlstm2.1", x, o);
    return layer(p, "final.conv_lstm_cell", x, 1, 1);
}

/* --- programs --- */

/* The network on inputs of the given size, in a graph of its own. */
typedef struct sketch {
    wf_graph *graph;
    wf_tensor x, y;
} sketch;

static wf_status sketch_network(sketch *s, wf_params *p, convlstm_size size, convlstm_opt o) {
    const wf_shape frames = WF_SHAPE(size.frames, size.batch, size.height, size.width, 1);
    *s = (sketch){.graph = wf_graph_new()};
    if (!s->graph) return wf_fail(WF_MEMORY, "no memory for the graph of the network");
    s->x = wf_input(s->graph, "x", WF_F32, frames);
    s->y = convlstm(p, s->x, o);
    return WF_OK;
}

static wf_tensor target_input(const sketch *s) {
    return wf_input(s->graph, "target", WF_F32, wf_shape_of_tensor(s->x));
}

static void *buffer(wf_program *p, const char *name) {
    size_t bytes;
    return wf_data_named(p, name, &bytes);
}

/* Compiles the sketch, whose graph *out owns, and looks up the buffers by name. */
static wf_status finish(convlstm_program *out, sketch *s, convlstm_size size,
                        const wf_tensor *outputs, int n, wf_compile_opt o) {
    *out = (convlstm_program){.size = size, .graph = s->graph};
    const wf_status status = wf_compile(&out->program, s->graph, outputs, n, o);
    if (status) {
        wf_graph_free(out->graph);
        out->graph = NULL;
        return status;
    }
    out->x = buffer(out->program, "x");
    out->target = buffer(out->program, "target");
    out->lr = buffer(out->program, "lr");
    out->y = buffer(out->program, "y");
    out->loss = buffer(out->program, "loss");
    out->norm = buffer(out->program, "grad_norm");
    out->mae = buffer(out->program, "mae");
    return WF_OK;
}

wf_status convlstm_training_graph(wf_graph **g, wf_tensor outputs[CONVLSTM_TRAINER_OUTPUTS],
                                  wf_params *p, convlstm_size size, double clip) {
    sketch s;
    const convlstm_opt training = {.hidden = size.hidden, .training = true};
    const wf_status status = sketch_network(&s, p, size, training);
    *g = s.graph;
    if (status) return status;
    const wf_tensor target = target_input(&s), loss = wf_nn_mse(s.y, target);
    const wf_tensor total = wf_nn_adam(p, loss, (wf_optimizer_opt){.clip_norm = clip});
    outputs[0] = wf_name(loss, "loss");
    outputs[1] = wf_name(total, "grad_norm");
    outputs[2] = wf_name(wf_nn_l1(s.y, target), "mae");
    return WF_OK;
}

wf_status convlstm_trainer(convlstm_program *out, wf_params *p, convlstm_size size, double clip,
                           wf_compile_opt o) {
    sketch s = {.graph = NULL};
    wf_tensor outputs[CONVLSTM_TRAINER_OUTPUTS];
    const wf_status status = convlstm_training_graph(&s.graph, outputs, p, size, clip);
    if (status) return status;
    return finish(out, &s, size, outputs, CONVLSTM_TRAINER_OUTPUTS, o);
}

wf_status convlstm_predictor(convlstm_program *out, wf_params *p, convlstm_size size,
                             wf_compile_opt o) {
    sketch s;
    if (sketch_network(&s, p, size, (convlstm_opt){.hidden = size.hidden})) return WF_MEMORY;
    const wf_tensor outputs[] = {wf_name(s.y, "y")};
    return finish(out, &s, size, outputs, 1, o);
}

wf_status convlstm_estimator(convlstm_program *out, wf_params *p, convlstm_size size,
                             wf_compile_opt o) {
    sketch s;
    const convlstm_opt cumulative = {.hidden = size.hidden, .training = true, .cumulative = true};
    if (sketch_network(&s, p, size, cumulative)) return WF_MEMORY;
    const wf_tensor outputs[] = {wf_name(wf_nn_mse(s.y, target_input(&s)), "loss")};
    return finish(out, &s, size, outputs, 1, o);
}

void convlstm_forget_statistics(wf_params *p) {
    static const char counter[] = ".num_batches_tracked";
    const size_t tail = sizeof counter - 1;
    for (size_t i = 0; i < wf_params_count(p); i++) {
        const wf_param_info info = wf_params_at(p, i);
        const size_t n = strlen(info.name);
        if (n > tail && !strcmp(info.name + n - tail, counter))
            memset(info.data, 0, wf_dtype_bytes(info.dtype));
    }
}

void convlstm_program_free(convlstm_program *c) {
    wf_program_free(c->program);
    wf_graph_free(c->graph);
    *c = (convlstm_program){.program = NULL};
}

wf_status convlstm_hidden_of_file(int64_t *hidden, const char *path) {
    static const char name[] = FIRST_CELL ".conv_ii.weight";
    wf_safetensors *file;
    const wf_status status = wf_safetensors_open(&file, path);
    if (status) return status;
    const wf_named *weight = wf_safetensors_find(file, name);
    const bool fits = weight && weight->shape.rank == 4 && weight->shape.dim[0] > 0;
    if (fits) *hidden = weight->shape.dim[0];
    wf_safetensors_free(file);
    if (!fits)
        return wf_fail(WF_FORMAT, "%s: no weights of this network: tensor %s (hidden, 1, 5, 5) is "
                       "not there", path, name);
    return WF_OK;
}
