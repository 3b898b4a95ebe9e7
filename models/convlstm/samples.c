/* Pictures of predictions; see samples.h. */
#include "models/convlstm/samples.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/moving_mnist/gif.h"
#include "models/moving_mnist/png.h"

typedef char caption[32];

static size_t frame_elements(const samples *s) {
    return (size_t)(s->program.size.height * s->program.size.width);
}

wf_status samples_open(samples *s, wf_params *p, convlstm_size size, const clips *c,
                       const int64_t *index, wf_compile_opt o) {
    *s = (samples){.rollout = 0};
    const wf_status status = convlstm_predictor(&s->program, p, size, o);
    if (status) return status;
    const size_t one = (size_t)size.batch * frame_elements(s);
    s->first = malloc(one * sizeof *s->first);
    s->truth = malloc(one * (size_t)size.frames * sizeof *s->truth);
    if (!s->first || !s->truth)
        return wf_fail(WF_MEMORY, "no memory for %lld clips", (long long)size.batch);
    const wf_status read = clips_batch(c, index, 0, size.batch, s->program.x, s->truth);
    memcpy(s->first, s->program.x, one * sizeof *s->first);
    return read;
}

void samples_close(samples *s) {
    convlstm_program_free(&s->program);
    free(s->first);
    free(s->truth);
    *s = (samples){.rollout = 0};
}

wf_status samples_predict(samples *s, int64_t rollout) {
    const int64_t frames = s->program.size.frames;
    const size_t one = (size_t)s->program.size.batch * frame_elements(s);
    float *x = s->program.x; /* frames 0 .. T-1 */
    if (rollout < 0 || rollout > frames)
        return wf_fail(WF_ARGUMENT, "--rollout %lld: clips of %lld frames can be continued for at "
                       "most %lld", (long long)rollout, (long long)frames + 1, (long long)frames);
    s->rollout = rollout;
    memcpy(x, s->first, one * sizeof *x);
    memcpy(x + one, s->truth, one * (size_t)(frames - 1) * sizeof *x);
    wf_status status = wf_run(s->program.program);
    for (int64_t t = frames - rollout + 1; t < frames && !status; t++) {
        memcpy(x + (size_t)t * one, s->program.y + (size_t)(t - 1) * one, one * sizeof *x);
        status = wf_run(s->program.program);
    }
    return status;
}

/* --- pictures --- */

/* Frame t of clip n, as predicted (frame 0 is given) or as it is. */
static const float *image(const samples *s, bool predicted, int64_t t, int64_t n) {
    const size_t one = (size_t)s->program.size.batch * frame_elements(s);
    const float *frame = t == 0 ? s->first : (predicted ? s->program.y : s->truth) +
                                                 (size_t)(t - 1) * one;
    return frame + (size_t)n * frame_elements(s);
}

/* Whether frame t is one that the network had as input: frame 0, or what comes before a rollout. */
static bool is_given(const samples *s, int64_t t) {
    return t == 0 || (s->rollout && t <= s->program.size.frames - s->rollout);
}

static wf_status write_panels(wf_status (*write)(const char *, const picture *), const char *path,
                              picture *m, const samples *s, bool sheet) {
    const int frames = (int)s->program.size.frames + 1, rows = (int)s->program.size.batch;
    const size_t n = (size_t)frames * (size_t)rows * 2;
    picture_panel *list = calloc(n, sizeof *list);
    caption *text = calloc((size_t)frames * 2, sizeof *text);
    if (!list || !text) {
        free(list);
        free(text);
        return wf_fail(WF_MEMORY, "%s: no memory for %d frames", path, frames);
    }
    for (int t = 0; t < frames; t++) {
        const char *left = is_given(s, t) ? sheet ? "input" : "Input" :
                           sheet          ? "pred" : "Prediction";
        snprintf(text[2 * t], sizeof *text, sheet ? "%s %d" : "%s t = %d", left, t);
        snprintf(text[2 * t + 1], sizeof *text, sheet ? "true %d" : "Truth t = %d", t);
        for (int c = 0; c < rows; c++)
            for (int k = 0; k < 2; k++) { /* prediction, truth */
                const bool predicted = k == 0 && !is_given(s, t);
                const size_t at = sheet ? ((size_t)c * 2 + (size_t)k) * (size_t)frames + (size_t)t
                                        : ((size_t)t * (size_t)rows + (size_t)c) * 2 + (size_t)k;
                list[at] = (picture_panel){image(s, predicted, t, c), text[2 * t + k], k};
            }
    }
    m->panel = list;
    const wf_status status = write(path, m);
    free(list);
    free(text);
    return status;
}

wf_status samples_gif(const samples *s, const char *path, int scale) {
    picture m = {.frames = (int)s->program.size.frames + 1, .rows = (int)s->program.size.batch,
                .columns = 2, .size = (int)s->program.size.height, .scale = scale};
    return write_panels(gif_write, path, &m, s, false);
}

wf_status samples_png(const samples *s, const char *path, int scale) {
    picture m = {.frames = 1, .rows = 2 * (int)s->program.size.batch,
                .columns = (int)s->program.size.frames + 1, .size = (int)s->program.size.height,
                .scale = scale};
    return write_panels(png_write, path, &m, s, true);
}
