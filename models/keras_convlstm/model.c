/* The Keras example's network; see model.h. */
#include "models/keras_convlstm/model.h"

#include <stdlib.h>
#include <string.h>

static wf_tensor cell(wf_params *p, const char *name, wf_tensor x, int64_t hidden, int kernel) {
    return wf_nn_convlstm(p, name, x, (wf_convlstm_opt){
        .hidden = hidden,
        .kernel = kernel,
        .activation = wf_relu,
        .init_x = {.kind = WF_INIT_XAVIER_UNIFORM},
        .init_h = {.kind = WF_INIT_ORTHOGONAL},
        .init_whole = true,
        .init_bias = {.kind = WF_INIT_CONSTANT},
        .one_bias = true,
        .forget_bias = 1});
}

static wf_tensor norm(wf_params *p, const char *name, wf_tensor x, const keras_opt *o) {
    return wf_nn_batch_norm(p, name, x, (wf_batch_norm_opt){
        .training = o->training, .cumulative = o->estimating, .eps = 1e-3, .momentum = 0.01});
}

wf_tensor keras_convlstm(wf_params *p, wf_tensor x, const keras_opt *o) {
    x = cell(p, "conv_lstm2d", x, o->hidden, 5);
    x = norm(p, "batch_normalization", x, o);
    x = cell(p, "conv_lstm2d_1", x, o->hidden, 3);
    x = norm(p, "batch_normalization_1", x, o);
    x = cell(p, "conv_lstm2d_2", x, o->hidden, 1);
    x = wf_transpose(x, 0, 1); /* (N, T, H, W, C): time is an axis of the convolution */
    x = wf_nn_conv3d(p, "conv3d", x, (wf_conv_layer_opt){
        .out = 1,
        .kernel = 3,
        .same = true,
        .causal = o->causal,
        .init = {.kind = WF_INIT_XAVIER_UNIFORM},
        .init_bias = {.kind = WF_INIT_CONSTANT}});
    return wf_transpose(x, 0, 1);
}

keras_graph keras_write(wf_graph *g, wf_params *p, const keras_opt *o) {
    const wf_shape shape = WF_SHAPE(o->frames, o->batch, o->side, o->side, 1);
    const int64_t steps = o->frames - 1;
    const wf_tensor clip = wf_input(g, "clip", o->dtype, shape);
    const wf_tensor logits = keras_convlstm(p, wf_slice(clip, 0, 0, steps, 1), o);
    const wf_tensor target = wf_slice(clip, 0, 1, steps, 1);
    const wf_tensor loss = wf_nn_bce_with_logits(logits, target);
    const wf_tensor last = wf_nn_bce_with_logits(wf_index(logits, 0, steps - 1),
                                                 wf_index(target, 0, steps - 1));
    return (keras_graph){wf_name(loss, "loss"), wf_name(last, "last_loss")};
}

wf_status keras_trainer(wf_program **out, wf_params *p, const keras_opt *o, double clip,
                        wf_compile_opt c) {
    wf_graph *g = wf_graph_new();
    keras_opt training = *o;
    training.training = true;
    if (!g) return wf_fail(WF_MEMORY, "no memory for the graph");
    const wf_tensor loss = keras_write(g, p, &training).loss;
    const wf_tensor total =
        wf_nn_adam(p, loss, (wf_optimizer_opt){.eps = 1e-7, .clip_norm = clip});
    const wf_tensor outputs[] = {loss, wf_name(total, "grad_norm")};
    const wf_status status = wf_compile(out, g, outputs, WF_COUNT(outputs), c);
    wf_graph_free(g);
    return status;
}

wf_status keras_measurer(wf_program **out, wf_params *p, const keras_opt *o, wf_compile_opt c) {
    wf_graph *g = wf_graph_new();
    if (!g) return wf_fail(WF_MEMORY, "no memory for the graph");
    const keras_graph k = keras_write(g, p, o);
    const wf_tensor outputs[] = {k.loss, k.last_loss};
    const wf_status status = wf_compile(out, g, outputs, WF_COUNT(outputs), c);
    wf_graph_free(g);
    return status;
}

/* --- prediction --- */

static int write_predictor(void *user, wf_graph *g, wf_shape key, wf_tensor *outputs, int max) {
    const keras_predictor *k = user;
    const keras_opt *o = &k->opt;
    const wf_shape shape = WF_SHAPE(key.dim[0], o->batch, o->side, o->side, 1);
    const wf_tensor x = wf_input(g, "x", o->dtype, shape);
    const wf_tensor next = wf_index(keras_convlstm(k->params, x, o), 0, key.dim[0] - 1);
    outputs[0] = wf_name(wf_sigmoid(next), "y");
    return 1;
}

wf_status keras_predictor_open(keras_predictor *k, wf_params *p, const keras_opt *o,
                               wf_compile_opt c) {
    *k = (keras_predictor){.params = p, .opt = *o};
    return wf_function_new(&k->function, write_predictor, k,
                           (wf_function_opt){.max_programs = (int)o->frames, .compile = c});
}

void keras_predictor_close(keras_predictor *k) {
    wf_function_free(k->function);
    k->function = NULL;
}

wf_status keras_predict(keras_predictor *k, const float *clip, int64_t first, int64_t n,
                        bool feed_back, float *y) {
    const size_t one = (size_t)(k->opt.batch * k->opt.side * k->opt.side), bytes = sizeof *y * one;
    float *x = malloc((size_t)(first + n) * bytes);
    if (!x) return wf_fail(WF_MEMORY, "no memory for %lld frames", (long long)(first + n));
    memcpy(x, clip, (size_t)(first + n) * bytes);
    wf_status status = WF_OK;
    for (int64_t t = first; t < first + n && !status; t++) {
        float *next = y + (size_t)(t - first) * one;
        const wf_argument in = {"x", x, (size_t)t * bytes}, out = {"y", next, bytes};
        status = wf_function_run(k->function, WF_SHAPE(t), &in, 1, &out, 1);
        if (feed_back) memcpy(x + (size_t)t * one, next, bytes);
    }
    free(x);
    return status;
}
