/* Truth and prediction in panels; see comparison.h. */
#include "models/moving_mnist/comparison.h"

#include <stdio.h>
#include <stdlib.h>

#include "models/moving_mnist/gif.h"
#include "models/moving_mnist/png.h"

typedef char caption[32];

/* The panel of frame t of a clip; its caption is text. */
static picture_panel panel(const comparison *c, bool predicted, int64_t t, int64_t clip,
                           const char *text) {
    const float *all = predicted ? c->predicted : c->truth;
    const int64_t at = (t * c->clips + clip) * c->size * c->size;
    return (picture_panel){all + at, text, predicted ? 0 : 1};
}

/* Room for n panels and their captions; frees both and fails, or neither. */
static wf_status room(picture_panel **list, caption **text, int64_t n, const char *path) {
    *list = calloc((size_t)n, sizeof **list);
    *text = calloc((size_t)n, sizeof **text);
    if (*list && *text) return WF_OK;
    free(*list);
    free(*text);
    return wf_fail(WF_MEMORY, "%s: no memory for %lld panels", path, (long long)n);
}

wf_status comparison_gif(const comparison *c, int64_t clip, const char *path, int scale) {
    picture_panel *list;
    caption *text;
    wf_status status = room(&list, &text, 2 * c->frames, path);
    if (status) return status;
    for (int64_t i = 0; i < 2 * c->frames; i++) {
        const int64_t t = i / 2;
        const bool predicted = i % 2;
        snprintf(text[i], sizeof *text, "%s t = %lld", predicted ? "Prediction" : "Truth",
                 (long long)(c->first + t));
        list[i] = panel(c, predicted, t, clip, text[i]);
    }
    const picture movie = {.frames = (int)c->frames, .rows = 1, .columns = 2, .size = (int)c->size,
                           .scale = scale, .delay_cs = 20, .panel = list};
    status = gif_write(path, &movie);
    free(list);
    free(text);
    return status;
}

wf_status comparison_png(const comparison *c, const char *path, int scale) {
    picture_panel *list;
    caption *text;
    wf_status status = room(&list, &text, 2 * c->frames * c->clips, path);
    if (status) return status;
    for (int64_t i = 0; i < 2 * c->frames * c->clips; i++) {
        const int64_t t = i % c->frames, row = i / c->frames;
        snprintf(text[i], sizeof *text, "%s %lld", row % 2 ? "pred" : "true",
                 (long long)(c->first + t));
        list[i] = panel(c, row % 2, t, row / 2, text[i]);
    }
    const picture grid = {.frames = 1, .rows = (int)(2 * c->clips), .columns = (int)c->frames,
                          .size = (int)c->size, .scale = scale, .panel = list};
    status = png_write(path, &grid);
    free(list);
    free(text);
    return status;
}
