/* The autoencoder, the future predictor and the composite model; see model.h. */
#include "models/srivastava2015/model.h"

#include <stdio.h>

/* The last state of an LSTM, all layers. */
typedef struct memory {
    wf_tensor h, c;
} memory;

static wf_tensor lstm(wf_params *p, const char *name, wf_tensor x, memory *m,
                      const srivastava_opt *o) {
    return wf_nn_lstm(p, name, x, (wf_lstm_opt){
        .hidden = o->hidden, .peephole = true, .h0 = m->h, .c0 = m->c, .h = &m->h, .c = &m->c,
        .sequence = {.layers = o->layers}});
}

static wf_tensor zeros(wf_tensor like, int64_t steps, int64_t pixels) {
    return wf_full(like.graph, wf_dtype_of(like), WF_SHAPE(steps, wf_dim(like, 1), pixels), 0);
}

static wf_tensor readout(wf_params *p, const char *name, wf_tensor h, int64_t pixels) {
    return wf_nn_linear(p, name, h, (wf_linear_opt){.out = pixels});
}

/* Frames from the state alone, or from the state and what was written last. */
static wf_tensor generate(wf_params *p, memory m, wf_tensor frames, const srivastava_opt *o) {
    const int64_t steps = wf_dim(frames, 0), pixels = wf_dim(frames, 2);
    wf_tensor logits = {0}, x = zeros(frames, 1, pixels);
    for (int64_t t = 0; t < steps; t++) {
        wf_scope_push(frames.graph, "frame%d", (int)t);
        const wf_tensor z = readout(p, "readout", lstm(p, "lstm", x, &m, o), pixels);
        wf_scope_pop(frames.graph);
        logits = t ? wf_concat((wf_tensor[]){logits, z}, 2, 0) : z;
        x = wf_sigmoid(z);
    }
    return logits;
}

/* The decoder `name`, which starts from the encoder's memory and is to write `frames`. */
static wf_tensor decoder(wf_params *p, const char *name, memory m, wf_tensor frames,
                         const srivastava_opt *o) {
    const int64_t steps = wf_dim(frames, 0), pixels = wf_dim(frames, 2);
    wf_tensor logits, x = zeros(frames, steps, 0); /* no input: one of no elements */
    wf_params_push(p, "%s", name);
    wf_scope_push(frames.graph, "%s", name);
    if (o->conditional && o->generates) {
        logits = generate(p, m, frames, o);
    } else {
        if (o->conditional) {
            const wf_tensor none = zeros(frames, 1, pixels);
            x = wf_concat((wf_tensor[]){none, wf_slice(frames, 0, 0, steps - 1, 1)}, 2, 0);
        }
        logits = readout(p, "readout", lstm(p, "lstm", x, &m, o), pixels);
    }
    wf_scope_pop(frames.graph);
    wf_params_pop(p);
    return logits;
}

static wf_tensor past_of(wf_tensor clips, const srivastava_opt *o) {
    return wf_slice(clips, 0, 0, o->past, 1);
}
static wf_tensor reversed_past(wf_tensor clips, const srivastava_opt *o) {
    return wf_flip(past_of(clips, o), 0);
}
static wf_tensor future_of(wf_tensor clips, const srivastava_opt *o) {
    return wf_slice(clips, 0, o->past, wf_dim(clips, 0) - o->past, 1);
}

srivastava_frames srivastava(wf_params *p, wf_tensor clips, srivastava_opt o) {
    srivastava_frames y = {{0}, {0}};
    memory m = {{0}, {0}};
    lstm(p, "encoder", past_of(clips, &o), &m, &o);
    if (o.reconstructs)
        y.reconstruction = decoder(p, "reconstruction", m, reversed_past(clips, &o), &o);
    if (o.predicts) y.prediction = decoder(p, "prediction", m, future_of(clips, &o), &o);
    return y;
}

wf_tensor srivastava_nats(wf_tensor logits, wf_tensor frames) {
    return wf_mul_scalar(wf_nn_bce_with_logits(logits, frames), (double)wf_dim(frames, 2));
}

/* --- programs --- */

enum { MOST_OUTPUTS = 6 };

/* The network on clips of a size, in a graph of its own, with its losses. */
typedef struct sketch {
    srivastava_frames y;
    wf_tensor reconstruction_nats, prediction_nats; /* zero handles where there is no decoder */
    wf_tensor output[MOST_OUTPUTS];
    int n_outputs;
} sketch;

static void add_output(sketch *s, wf_tensor value, const char *name) {
    s->output[s->n_outputs++] = wf_name(value, name);
}

static wf_status draw(srivastava_program *out, sketch *s, wf_params *p, srivastava_size size,
                      const srivastava_opt *o) {
    *s = (sketch){.n_outputs = 0};
    *out = (srivastava_program){.size = size, .graph = wf_graph_new()};
    if (!out->graph) return wf_fail(WF_MEMORY, "no memory for the graph of the network");
    const wf_shape shape = WF_SHAPE(size.frames, size.batch, size.side, size.side, 1);
    const wf_tensor input = wf_input(out->graph, "clips", WF_F32, shape);
    const wf_tensor clips =
        wf_reshape(input, WF_SHAPE(size.frames, size.batch, size.side * size.side));
    s->y = srivastava(p, clips, *o);
    if (o->reconstructs) {
        s->reconstruction_nats = srivastava_nats(s->y.reconstruction, reversed_past(clips, o));
        add_output(s, s->reconstruction_nats, "reconstruction_nats");
    }
    if (o->predicts) {
        s->prediction_nats = srivastava_nats(s->y.prediction, future_of(clips, o));
        add_output(s, s->prediction_nats, "prediction_nats");
    }
    return WF_OK;
}

static void *buffer(const srivastava_program *out, const char *name) {
    size_t bytes;
    return wf_data_named(out->program, name, &bytes);
}

static wf_status finish(srivastava_program *out, const sketch *s, wf_compile_opt c) {
    const wf_status status = wf_compile(&out->program, out->graph, s->output, s->n_outputs, c);
    if (status) return status;
    out->clips = buffer(out, "clips");
    out->reconstruction = buffer(out, "reconstruction");
    out->prediction = buffer(out, "prediction");
    out->reconstruction_nats = buffer(out, "reconstruction_nats");
    out->prediction_nats = buffer(out, "prediction_nats");
    return WF_OK;
}

wf_status srivastava_trainer(srivastava_program *out, wf_params *p, srivastava_size size,
                             srivastava_opt o, double clip, wf_compile_opt c) {
    sketch s;
    const wf_status status = draw(out, &s, p, size, &o);
    if (status) return status;
    const wf_tensor loss = !o.predicts       ? s.reconstruction_nats
                           : !o.reconstructs ? s.prediction_nats
                                             : wf_add(s.reconstruction_nats, s.prediction_nats);
    const wf_tensor norm = wf_nn_adam(p, loss, (wf_optimizer_opt){.clip_norm = clip});
    add_output(&s, wf_mul_scalar(loss, 1), "loss");
    add_output(&s, norm, "grad_norm");
    return finish(out, &s, c);
}

wf_status srivastava_predictor(srivastava_program *out, wf_params *p, srivastava_size size,
                               srivastava_opt o, wf_compile_opt c) {
    sketch s;
    const wf_status status = draw(out, &s, p, size, &o);
    if (status) return status;
    if (o.reconstructs) add_output(&s, wf_sigmoid(s.y.reconstruction), "reconstruction");
    if (o.predicts) add_output(&s, wf_sigmoid(s.y.prediction), "prediction");
    return finish(out, &s, c);
}

void srivastava_program_free(srivastava_program *s) {
    wf_program_free(s->program);
    wf_graph_free(s->graph);
    *s = (srivastava_program){.program = NULL};
}
