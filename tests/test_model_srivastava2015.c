/* LSTM autoencoder, future predictor, composite model: that they learn, what their decoders may
 * see, and the nats per frame. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/moving_mnist/clips.h"
#include "models/srivastava2015/model.h"

enum { PAST = 3, FRAMES = 5, BATCH = 4, SIDE = 32, PIXELS = SIDE * SIDE };

static const srivastava_size size = {FRAMES, BATCH, SIDE};

static srivastava_opt model(bool reconstructs, bool predicts, bool conditional) {
    return (srivastava_opt){.reconstructs = reconstructs, .predicts = predicts,
                            .conditional = conditional, .past = PAST, .hidden = 16, .layers = 1};
}

static clips *open_clips(void) {
    clips *c;
    cr_assert(!clips_open(&c, (clips_opt){.count = BATCH, .frames = FRAMES}), "%s", wf_error());
    return c;
}

static float value(const wf_program *p, const char *name) {
    size_t bytes;
    const float *v = wf_data_named((wf_program *)p, name, &bytes);
    cr_assert(v && bytes == sizeof *v, "%s", wf_error());
    return *v;
}

/* The loss before and after some steps on one batch, which is also the sum of the nats. */
static void learns(srivastava_opt o) {
    clips *c = open_clips();
    wf_params *p = wf_params_new(1);
    srivastava_program step;
    float first = 0, last = 0;
    cr_assert(!srivastava_trainer(&step, p, size, o, 100, (wf_compile_opt){0}), "%s", wf_error());
    cr_assert(!clips_whole(c, NULL, 0, BATCH, step.clips));
    *(float *)wf_data_named(step.program, "lr", NULL) = 0.01f;
    for (int i = 0; i < 12; i++) {
        cr_assert(!wf_run(step.program), "%s", wf_error());
        last = value(step.program, "loss");
        if (i == 0) first = last;
    }
    const float parts = (step.reconstruction_nats ? *step.reconstruction_nats : 0) +
                        (step.prediction_nats ? *step.prediction_nats : 0);
    cr_assert_eq(step.reconstruction_nats != NULL, o.reconstructs);
    cr_assert_eq(step.prediction_nats != NULL, o.predicts);
    cr_assert_float_eq(parts, last, 1e-3f);
    /* Unknowing, a pixel costs log 2. */
    cr_assert_float_eq(first, (float)(o.reconstructs + o.predicts) * PIXELS * logf(2), 60.f);
    cr_assert_lt(last, 0.8f * first);
    srivastava_program_free(&step);
    wf_params_free(p);
    clips_close(c);
}
Test(model_srivastava2015, autoencoder) { learns(model(true, false, false)); }
Test(model_srivastava2015, future) { learns(model(false, true, false)); }
Test(model_srivastava2015, composite) { learns(model(true, true, false)); }
Test(model_srivastava2015, autoencoder_conditional) { learns(model(true, false, true)); }
Test(model_srivastava2015, future_conditional) { learns(model(false, true, true)); }
Test(model_srivastava2015, composite_conditional) { learns(model(true, true, true)); }

/* --- what decoders see ------------------------------------------------------------------------ */

typedef struct frames {
    float reconstruction[PAST][BATCH][PIXELS], prediction[FRAMES - PAST][BATCH][PIXELS];
} frames;

/* The frames of a composite model with the weights of seed 1, frame `change` of the clips (-1:
 * none) being black. */
static frames *frames_of(bool conditional, bool generates, int change) {
    clips *c = open_clips();
    wf_params *p = wf_params_new(1);
    frames *out = malloc(sizeof *out);
    srivastava_program s;
    srivastava_opt o = model(true, true, conditional);
    o.generates = generates;
    o.layers = 2;
    cr_assert(out && !srivastava_predictor(&s, p, size, o, (wf_compile_opt){0}), "%s", wf_error());
    cr_assert(!clips_whole(c, NULL, 0, BATCH, s.clips));
    if (change >= 0)
        memset(s.clips + change * BATCH * PIXELS, 0, BATCH * PIXELS * sizeof *s.clips);
    cr_assert(!wf_run(s.program), "%s", wf_error());
    memcpy(out->reconstruction, s.reconstruction, sizeof out->reconstruction);
    memcpy(out->prediction, s.prediction, sizeof out->prediction);
    srivastava_program_free(&s);
    wf_params_free(p);
    clips_close(c);
    return out;
}

static bool differ(const void *a, const void *b) {
    return memcmp(a, b, BATCH * PIXELS * sizeof(float)) != 0;
}

/* Frame 3, the first of the future, is read by the predictor alone, and only if it is conditional
 * and given true frames: for its second frame. */
Test(model_srivastava2015, future_is_seen_by_none_but_conditional_predictors) {
    for (int conditional = 0; conditional < 2; conditional++)
        for (int generates = 0; generates < 2; generates++) {
            frames *a = frames_of(conditional, generates, -1),
                   *b = frames_of(conditional, generates, PAST);
            for (int t = 0; t < PAST; t++)
                cr_assert(!differ(a->reconstruction[t], b->reconstruction[t]));
            cr_assert(!differ(a->prediction[0], b->prediction[0]));
            cr_assert_eq(differ(a->prediction[1], b->prediction[1]), conditional && !generates);
            free(a);
            free(b);
        }
}

/* The past goes through the encoder into all frames. */
Test(model_srivastava2015, past_is_seen_by_all) {
    for (int conditional = 0; conditional < 2; conditional++) {
        frames *a = frames_of(conditional, true, -1), *b = frames_of(conditional, true, 0);
        for (int t = 0; t < PAST; t++)
            cr_assert(differ(a->reconstruction[t], b->reconstruction[t]));
        for (int t = 0; t < FRAMES - PAST; t++)
            cr_assert(differ(a->prediction[t], b->prediction[t]));
        free(a);
        free(b);
    }
}

/* Both ways of a conditional decoder begin with the same frame, made from the state alone; then
 * they read different things. */
Test(model_srivastava2015, own_and_true_frames) {
    frames *own = frames_of(true, true, -1), *given = frames_of(true, false, -1);
    for (int k = 0; k < BATCH; k++)
        for (int i = 0; i < PIXELS; i++) {
            cr_assert_float_eq(own->reconstruction[0][k][i], given->reconstruction[0][k][i], 1e-6f);
            cr_assert_float_eq(own->prediction[0][k][i], given->prediction[0][k][i], 1e-6f);
        }
    cr_assert(differ(own->reconstruction[1], given->reconstruction[1]));
    cr_assert(differ(own->prediction[1], given->prediction[1]));
    free(own);
    free(given);
}
