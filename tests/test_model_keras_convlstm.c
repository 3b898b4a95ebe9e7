/* The Keras example's network: as many parameters as Keras counts, what its head sees of the
 * future, roll-out, and a few steps that lower its loss. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/keras_convlstm/model.h"
#include "models/moving_mnist/clip_set.h"

enum { FRAMES = 6, SIDE = 32, PIXELS = SIDE * SIDE };

static const keras_opt small = {.hidden = 4, .frames = FRAMES, .batch = 1, .side = SIDE};

/* model.summary() says 746,689, of which 256 are statistics of batch norm. */
Test(model_keras_convlstm, parameters_of_the_example) {
    wf_graph *g = wf_graph_new();
    wf_params *p = wf_params_new(1);
    const keras_opt o = {.hidden = 64, .frames = 3, .batch = 1, .side = 8};
    cr_assert(wf_ok(keras_write(g, p, &o).loss), "%s", wf_graph_message(g));
    cr_expect(wf_params_elements(p) == 746689 - 256, "%lld", (long long)wf_params_elements(p));
    wf_params_free(p);
    wf_graph_free(g);
}

static void fill_clip(float *clip) {
    clips *c;
    cr_assert(!clips_open(&c, (clips_opt){.count = 1, .size = SIDE, .frames = FRAMES}));
    cr_assert(!clips_whole(c, NULL, 0, 1, clip), "%s", wf_error());
    clips_close(c);
}

/* By how much the prediction of frame `at` changes when frame `changed` of those seen does. */
static double change(bool causal, int64_t at, int64_t changed) {
    keras_opt o = small;
    static float clip[FRAMES * PIXELS], y[2][(FRAMES - 1) * PIXELS];
    wf_graph *g = wf_graph_new();
    wf_params *p = wf_params_new(1);
    wf_program *program;
    o.causal = causal;
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(FRAMES - 1, 1, SIDE, SIDE, 1));
    const wf_tensor out = wf_name(keras_convlstm(p, x, &o), "y");
    cr_assert(!wf_compile(&program, g, &out, 1, (wf_compile_opt){0}), "%s", wf_error());
    fill_clip(clip);
    for (int k = 0; k < 2; k++) {
        cr_assert(!wf_write(program, x, clip, sizeof y[0]) && !wf_run(program));
        cr_assert(!wf_read(program, out, y[k], sizeof y[k]), "%s", wf_error());
        for (int64_t i = changed * PIXELS; i < (changed + 1) * PIXELS; i++) clip[i] = 1 - clip[i];
    }
    double sum = 0;
    for (int i = 0; i < PIXELS; i++)
        sum += fabs(y[0][(at - 1) * PIXELS + i] - y[1][(at - 1) * PIXELS + i]);
    wf_program_free(program);
    wf_graph_free(g);
    wf_params_free(p);
    return sum;
}

/* Frame 3 is predicted from frames 0 to 2; the example's head looks at frame 3 itself as well. */
Test(model_keras_convlstm, what_the_head_sees) {
    cr_expect(change(false, 3, 2) > 0 && change(true, 3, 2) > 0);
    cr_expect(change(false, 3, 3) > 0 && change(true, 3, 3) == 0);
    cr_expect(change(false, 3, 4) == 0);
}

/* Fed back, the first frame is the one-step prediction, and so is every one from what was fed
 * back. */
Test(model_keras_convlstm, roll_out) {
    static float clip[FRAMES * PIXELS], single[3 * PIXELS], rolled[3 * PIXELS], again[PIXELS];
    wf_params *p = wf_params_new(1);
    keras_predictor k;
    cr_assert(!keras_predictor_open(&k, p, &small, (wf_compile_opt){0}), "%s", wf_error());
    fill_clip(clip);
    cr_assert(!keras_predict(&k, clip, 3, 3, false, single), "%s", wf_error());
    cr_assert(!keras_predict(&k, clip, 3, 3, true, rolled), "%s", wf_error());
    cr_expect(!memcmp(single, rolled, PIXELS * sizeof *clip), "frame 3");
    cr_expect(memcmp(single + PIXELS, rolled + PIXELS, PIXELS * sizeof *clip), "frame 4");
    memcpy(clip + 3 * PIXELS, rolled, 2 * PIXELS * sizeof *clip);
    cr_assert(!keras_predict(&k, clip, 5, 1, false, again), "%s", wf_error());
    cr_expect(!memcmp(again, rolled + 2 * PIXELS, sizeof again), "frame 5");
    keras_predictor_close(&k);
    wf_params_free(p);
}

Test(model_keras_convlstm, learns) {
    wf_params *p = wf_params_new(1);
    wf_program *program;
    clip_set data;
    wf_trainer_result r;
    cr_assert(!clip_set_open(&data, (clips_opt){.count = 4, .size = SIDE, .frames = FRAMES}, 0));
    cr_assert(!keras_trainer(&program, p, &small, 0, (wf_compile_opt){0}), "%s", wf_error());
    wf_trainer t = {.params = p, .program = program, .data = data.train, .steps = 1,
                    .schedule = {.lr = 0.01}};
    cr_assert(!wf_trainer_run(&t, &r), "%s", wf_error());
    const double first = r.at.loss;
    t.steps = 15;
    cr_assert(!wf_trainer_run(&t, &r), "%s", wf_error());
    cr_expect(r.at.loss < 0.6 * first && r.at.loss > 0, "%g, then %g", first, r.at.loss);
    wf_program_free(program);
    clip_set_close(&data);
    wf_params_free(p);
}
