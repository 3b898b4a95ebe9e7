/* Clips to train and to measure on; see clip_set.h. */
#include "models/moving_mnist/clip_set.h"

#include <stdlib.h>

static wf_status fill(void *user, const int64_t *index, int64_t n, void *const *out) {
    return clips_whole(user, index, 0, n, out[0]);
}

static wf_status open_train(clip_set *s) {
    int64_t *index = malloc((size_t)s->first * sizeof *index);
    if (!index) return wf_fail(WF_MEMORY, "no memory for %lld clips", (long long)s->first);
    for (int64_t i = 0; i < s->first; i++) index[i] = i;
    const wf_status status = wf_source_subset(&s->train, s->whole, index, s->first);
    free(index);
    return status;
}

wf_status clip_set_open(clip_set *s, clips_opt o, double part) {
    *s = (clip_set){.kept = 0};
    wf_status status = clips_open(&s->all, o);
    if (status) return status;
    const int64_t n = clips_count(s->all), size = clips_size(s->all);
    s->kept = (int64_t)((double)n * part);
    s->first = n - s->kept;
    if (s->first < 1)
        return wf_fail(WF_ARGUMENT, "%lld clips, %lld of them kept to measure on: none is left to "
                       "train on", (long long)n, (long long)s->kept);
    const wf_source_part clip = {.name = "clip",
                                 .shape = WF_SHAPE(clips_frames(s->all), size, size, 1)};
    status = wf_source_function(&s->whole, n, &clip, 1, fill, s->all);
    return status ? status : open_train(s);
}

void clip_set_close(clip_set *s) {
    wf_source_close(s->train);
    wf_source_close(s->whole);
    clips_close(s->all);
    *s = (clip_set){.kept = 0};
}

wf_status clips_mean(const clips *c, int64_t first, int64_t n, wf_program *p, const char *output,
                     double *mean) {
    const int64_t one = clips_frames(c) * clips_size(c) * clips_size(c);
    size_t bytes = 0, scalar = 0;
    float *clip = wf_data_named(p, "clip", &bytes);
    const float *value = wf_data_named(p, output, &scalar);
    if (!clip || !value || scalar != sizeof *value)
        return wf_fail(WF_ARGUMENT, "clips_mean: the program has no input clip or no f32 scalar %s",
                       output);
    const int64_t batch = (int64_t)(bytes / sizeof *clip) / one, batches = n / batch;
    if (batches < 1)
        return wf_fail(WF_ARGUMENT, "%lld clips to measure on do not fill a batch of %lld; use "
                       "more clips or a smaller batch", (long long)n, (long long)batch);
    double sum = 0;
    for (int64_t k = 0; k < batches; k++) {
        wf_status status = clips_whole(c, NULL, first + k * batch, batch, clip);
        if (!status) status = wf_run(p);
        if (status) return status;
        sum += *value;
    }
    *mean = sum / (double)batches;
    return WF_OK;
}
