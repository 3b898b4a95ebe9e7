/* convlstm predict: an animation of predictions beside the truth, a row for each sample. Every
 * frame is predicted from the true frames before it. */
#include <stdio.h>
#include <stdlib.h>

#include "models/convlstm/model.h"
#include "models/convlstm/settings.h"
#include "models/moving_mnist/gif.h"

/* Both captions of one frame; all samples share them. */
typedef struct captions {
    char prediction[32], truth[32];
} captions;

/* c: a predictor after its run; target (T, N, H, W, 1). */
static wf_status write_movie(const char *path, const convlstm_program *c, const float *target) {
    const int frames = (int)c->size.frames, rows = (int)c->size.batch;
    captions *text = calloc((size_t)frames, sizeof *text);
    gif_panel *panel = calloc((size_t)frames * (size_t)rows * 2, sizeof *panel);
    wf_status status = WF_OK;
    if (!text || !panel) status = wf_fail(WF_MEMORY, "no memory for an animation");
    for (int t = 0; t < frames && !status; t++) {
        snprintf(text[t].prediction, sizeof text->prediction, "Prediction t = %d", t + 1);
        snprintf(text[t].truth, sizeof text->truth, "Truth t = %d", t + 1);
        for (int n = 0; n < rows; n++) {
            const int64_t image = (int64_t)t * rows + n;
            const int64_t at = image * c->size.height * c->size.width;
            panel[image * 2] = (gif_panel){c->y + at, text[t].prediction};
            panel[image * 2 + 1] = (gif_panel){target + at, text[t].truth};
        }
    }
    if (!status)
        status = gif_write(path, &(gif_movie){.frames = frames, .rows = rows, .columns = 2,
                                              .size = (int)c->size.height, .scale = 8,
                                              .panel = panel});
    free(panel);
    free(text);
    return status;
}

static wf_status predict(const settings *s, const clips *source) {
    convlstm_size size = {clips_frames(source) - 1, s->samples, clips_size(source),
                          clips_size(source), 0};
    convlstm_program c = {.program = NULL};
    const size_t elements = (size_t)(size.frames * size.batch * size.height * size.width);
    float *target = malloc(elements * sizeof *target); /* (T, N, H, W, 1) */
    wf_params *p = wf_params_new(0);
    wf_status status = WF_OK;
    if (!target || !p) status = wf_fail(WF_MEMORY, "no memory for the clips to predict");
    if (!status) status = convlstm_hidden_of_file(&size.hidden, s->weights);
    if (!status) status = convlstm_predictor(&c, p, size, compile_options(s));
    if (!status) status = wf_params_load(p, s->weights);
    if (!status) status = clips_batch(source, NULL, 0, s->samples, c.x, target);
    if (!status) status = wf_run(c.program);
    if (!status) status = write_movie(s->gif, &c, target);
    convlstm_program_free(&c);
    wf_params_free(p);
    free(target);
    return status;
}

exit_code command_predict(const void *settings_given) {
    const settings *s = settings_given;
    clips *source;
    const exit_code code = open_clips(&source, s);
    if (code) return code;
    wf_status status;
    if (s->samples > clips_count(source))
        status = wf_fail(WF_ARGUMENT, "--samples %lld: there are %lld clips",
                         (long long)s->samples, (long long)clips_count(source));
    else
        status = predict(s, source);
    clips_close(source);
    if (status) return report_failure(status);
    report_progress("%lld predictions are in %s", (long long)s->samples, s->gif);
    return EXIT_CODE_OK;
}
