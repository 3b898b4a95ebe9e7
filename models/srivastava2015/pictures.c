/* Pictures of reconstructions and predictions; see pictures.h. */
#include "models/srivastava2015/pictures.h"

#include <stdio.h>
#include <stdlib.h>

#include "models/moving_mnist/gif.h"
#include "models/moving_mnist/png.h"

typedef char caption[32];

/* Frame t of clip k from (.., N, S, S). */
static const float *frame_of(const float *frames, const srivastava_program *s, int64_t t,
                             int64_t k) {
    return frames + (t * s->size.batch + k) * s->size.side * s->size.side;
}

static const float *truth(const srivastava_program *s, int64_t t, int64_t k) {
    return frame_of(s->clips, s, t, k);
}

/* The network's frame t, *what says which; the true one where the network only reads it. */
static const float *written(const srivastava_program *s, int64_t past, int64_t t, int64_t k,
                            const char **what) {
    *what = t < past ? "rec." : "pred.";
    if (t >= past) return frame_of(s->prediction, s, t - past, k);
    if (s->reconstruction) return frame_of(s->reconstruction, s, past - 1 - t, k);
    *what = "input";
    return truth(s, t, k);
}

static wf_status write_panels(wf_status (*write)(const char *, const picture *), const char *path,
                              const srivastava_program *s, int64_t past, int scale, bool sheet) {
    const int frames = (int)(s->prediction ? s->size.frames : past), rows = (int)s->size.batch;
    picture m = {.frames = sheet ? 1 : frames, .rows = sheet ? 2 * rows : rows,
                 .columns = sheet ? frames : 2, .size = (int)s->size.side, .scale = scale};
    picture_panel *list = calloc((size_t)frames * (size_t)rows * 2, sizeof *list);
    caption *text = calloc((size_t)frames * 2, sizeof *text);
    wf_status status =
        list && text ? WF_OK : wf_fail(WF_MEMORY, "%s: no memory for %d frames", path, frames);
    for (int t = 0; t < frames && !status; t++)
        for (int k = 0; k < rows; k++) {
            const char *what;
            const int at = sheet ? 2 * k * frames + t : 2 * (t * rows + k);
            const float *image = written(s, past, t, k, &what);
            snprintf(text[2 * t], sizeof *text, "%s %d", what, t + 1);
            snprintf(text[2 * t + 1], sizeof *text, "true %d", t + 1);
            list[at] = (picture_panel){image, text[2 * t], 0};
            list[at + (sheet ? frames : 1)] =
                (picture_panel){truth(s, t, k), text[2 * t + 1], 1};
        }
    m.panel = list;
    if (!status) status = write(path, &m);
    free(list);
    free(text);
    return status;
}

wf_status pictures_gif(const srivastava_program *s, int64_t past, const char *path, int scale) {
    return write_panels(gif_write, path, s, past, scale, false);
}

wf_status pictures_png(const srivastava_program *s, int64_t past, const char *path, int scale) {
    return write_panels(png_write, path, s, past, scale, true);
}
