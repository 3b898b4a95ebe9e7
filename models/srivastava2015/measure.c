/* Nats per frame; see measure.h. */
#include "models/srivastava2015/measure.h"

#include <math.h>
#include <stdlib.h>

double nats_sum(nats v) {
    return (isnan(v.reconstruction) ? 0 : v.reconstruction) +
           (isnan(v.prediction) ? 0 : v.prediction);
}

int64_t measure_batch(int64_t n, int64_t most) {
    int64_t batch = most < n ? most : n;
    while (n % batch) batch--;
    return batch;
}

wf_status measure(nats *out, const srivastava_program *s, const clips *c, int64_t first,
                  int64_t n) {
    const int64_t batch = s->size.batch;
    nats sum = {s->reconstruction_nats ? 0 : NAN, s->prediction_nats ? 0 : NAN};
    for (int64_t i = 0; i < n; i += batch) {
        wf_status status = clips_whole(c, NULL, first + i, batch, s->clips);
        if (!status) status = wf_run(s->program);
        if (status) return status;
        if (s->reconstruction_nats) sum.reconstruction += *s->reconstruction_nats;
        if (s->prediction_nats) sum.prediction += *s->prediction_nats;
    }
    const double batches = (double)(n / batch);
    *out = (nats){sum.reconstruction / batches, sum.prediction / batches};
    return WF_OK;
}

wf_status measure_still(double *out, const clips *c, int64_t first, int64_t n) {
    const int64_t frames = clips_frames(c), pixels = clips_size(c) * clips_size(c);
    float *clip = malloc((size_t)(frames * pixels) * sizeof *clip);
    double *mean = calloc((size_t)pixels, sizeof *mean);
    wf_status status = clip && mean ? WF_OK : wf_fail(WF_MEMORY, "no memory for a clip");
    for (int64_t k = 0; k < n && !status; k++) {
        status = clips_whole(c, NULL, first + k, 1, clip);
        for (int64_t i = 0; i < frames * pixels && !status; i++)
            mean[i % pixels] += clip[i] / (double)(n * frames);
    }
    *out = 0;
    for (int64_t i = 0; i < pixels && !status; i++)
        if (mean[i] > 0 && mean[i] < 1)
            *out -= mean[i] * log(mean[i]) + (1 - mean[i]) * log1p(-mean[i]);
    free(clip);
    free(mean);
    return status;
}
