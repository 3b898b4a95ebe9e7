/* A sequence classifier: which of three shapes has a noisy wave? sequence_classifier [STEPS]
 *
 * An LSTM reads the wave sample by sample (Hochreiter and Schmidhuber 1997); its last state says
 * sine, square or sawtooth. Waves are made as they are needed, each from its number alone, with any
 * phase and one to three periods. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "nn/nn.h"

enum { LENGTH = 32, BATCH = 32, SHAPES = 3, TRAIN = 20000, TEST = 512, HIDDEN = 32 };

static double uniform(uint64_t *state) { /* SplitMix64 */
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9, z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return (double)((z ^ z >> 31) >> 11) / (1ULL << 53);
}

/* Waves index[0 .. n) into out: x (LENGTH, n, 1) and its shape y (n). */
static wf_status make(void *user, const int64_t *index, int64_t n, void *const *out) {
    float *x = out[0];
    for (int64_t i = 0; i < n; i++) {
        uint64_t state = (uint64_t)index[i] << 32;
        const int shape = ((int32_t *)out[1])[i] = (int)(index[i] % SHAPES);
        const double phase = uniform(&state), rate = (1 + 2 * uniform(&state)) / LENGTH;
        for (int t = 0; t < LENGTH; t++) {
            const double at = phase + rate * t - floor(phase + rate * t), sine = sin(6.2832 * at);
            const double wave[] = {sine, (sine > 0) - (sine < 0), 2 * at - 1};
            x[t * n + i] = (float)(wave[shape] + 0.6 * (uniform(&state) - 0.5));
        }
    }
    return WF_OK;
}

static wf_tensor model(wf_params *p, wf_tensor x) {
    wf_tensor h;
    wf_nn_lstm(p, "lstm", x, (wf_lstm_opt){.hidden = HIDDEN, .h = &h});
    return wf_nn_linear(p, "head", h, (wf_linear_opt){.out = SHAPES});
}

/* Returns the program that trains, or the one that predicts the shapes of TEST waves. */
static wf_program *compile(wf_params *p, bool train) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(LENGTH, train ? BATCH : TEST, 1));
    const wf_tensor logits = model(p, x);
    wf_tensor out = wf_name(wf_argmax(logits, -1), "shape");
    if (train) {
        out = wf_nn_cross_entropy(logits, wf_input(g, "y", WF_I32, WF_SHAPE(BATCH)));
        wf_nn_adam(p, wf_name(out, "loss"), (wf_optimizer_opt){.clip_norm = 1});
    }
    wf_program *program;
    wf_compile(&program, g, &out, 1, (wf_compile_opt){0});
    wf_graph_free(g);
    return program;
}

int main(int argc, char **argv) {
    const wf_source_part part[] = {{.name = "x", .dtype = WF_F32, .shape = WF_SHAPE(LENGTH, 1)},
                                   {.name = "y", .dtype = WF_I32, .shape = WF_SCALAR}};
    static int32_t y[TEST];
    int64_t fresh[TEST], right = 0;
    for (int i = 0; i < TEST; i++) fresh[i] = TRAIN + i;
    wf_params *p = wf_params_new(1);
    wf_program *step = compile(p, true), *predict = compile(p, false);
    wf_source *waves = NULL;
    wf_trainer_result r;
    if (!step || !predict || wf_source_function(&waves, TRAIN, part, 2, make, NULL) ||
        wf_trainer_run(&(wf_trainer){.params = p, .program = step, .data = waves, .seed = 1,
            .steps = argc > 1 ? atoi(argv[1]) : 800, .schedule = {.lr = 5e-3}}, &r) ||
        make(NULL, fresh, TEST, (void *[]){wf_data_named(predict, "x", NULL), y}) ||
        wf_run(predict))
        return fprintf(stderr, "%s\n", wf_error()), 1;
    const int64_t *guess = wf_data_named(predict, "shape", NULL);
    for (int i = 0; i < TEST; i++) right += guess[i] == y[i];
    printf("loss %.3f, %.1f %% of %d new waves right\n", r.at.loss, 100.0 * right / TEST, TEST);
    wf_source_close(waves), wf_program_free(step), wf_program_free(predict), wf_params_free(p);
    return right < TEST / 2;
}
