/* Metrics over a set of clips; see evaluator.h. The clips of a batch are measured in parallel, each
 * into sums of its own, which are merged in the order of clips: scores do not depend on threads. */
#include "models/convlstm/evaluator.h"

#include <stdlib.h>

wf_status evaluator_open(evaluator *e, wf_params *p, convlstm_size size, int64_t n,
                         wf_compile_opt o) {
    *e = (evaluator){.n = n};
    if (size.batch > n) size.batch = n;
    const size_t batch = (size_t)size.batch;
    e->clip = calloc(batch, sizeof *e->clip);
    e->target = calloc(batch, sizeof(float) * (size_t)(size.frames * size.height * size.width));
    if (!e->clip || !e->target)
        return wf_fail(WF_MEMORY, "no memory for a batch of %zu clips", batch);
    wf_status status = convlstm_predictor(&e->full, p, size, o);
    if (!status && n % size.batch) {
        size.batch = n % size.batch;
        status = convlstm_predictor(&e->rest, p, size, o);
    }
    return status;
}

void evaluator_close(evaluator *e) {
    convlstm_program_free(&e->full);
    convlstm_program_free(&e->rest);
    free(e->target);
    free(e->clip);
    *e = (evaluator){.n = 0};
}

/* Sums of each clip of a batch: y, target (T, N, H, W, 1) -> sum (N), on the program's threads. */
static void measure_batch(wf_image_metrics *sum, const float *y, const float *target,
                          const convlstm_program *program) {
    const convlstm_size size = program->size;
    const int64_t frame = size.height * size.width;
    const int threads = wf_program_describe(program->program).threads;
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int64_t n = 0; n < size.batch; n++) {
        sum[n] = (wf_image_metrics){.images = 0};
        for (int64_t t = 0; t < size.frames; t++) {
            const int64_t at = (t * size.batch + n) * frame;
            wf_image_metrics_add(&sum[n], y + at, target + at, 1, size.height, size.width);
        }
    }
}

static void add_scores(wf_image_scores *sum, wf_image_scores s, double weight) {
    sum->loss += weight * s.loss;
    sum->mae += weight * s.mae;
    sum->psnr += weight * s.psnr;
    sum->ssim += weight * s.ssim;
    sum->ssim_clamped += weight * s.ssim_clamped;
}

wf_status evaluator_run(evaluator *e, const clips *c, const int64_t *index, bool with_copy,
                        evaluation *out) {
    wf_image_metrics total = {.images = 0}, copied = {.images = 0};
    *out = (evaluation){.clips = e->n};
    for (int64_t done = 0; done < e->n;) {
        const bool full = e->n - done >= e->full.size.batch;
        const convlstm_program *now = full ? &e->full : &e->rest;
        wf_status status = clips_batch(c, index, done, now->size.batch, now->x, e->target);
        if (!status) status = wf_run(now->program);
        if (status) return status;
        measure_batch(e->clip, now->y, e->target, now);
        for (int64_t n = 0; n < now->size.batch; n++) {
            wf_image_metrics_merge(&total, &e->clip[n]);
            add_scores(&out->running, wf_image_metrics_scores(&total), 1 / (double)e->n);
        }
        if (with_copy) {
            measure_batch(e->clip, now->x, e->target, now);
            for (int64_t n = 0; n < now->size.batch; n++)
                wf_image_metrics_merge(&copied, &e->clip[n]);
        }
        done += now->size.batch;
    }
    out->scores = wf_image_metrics_scores(&total);
    if (with_copy) out->copy = wf_image_metrics_scores(&copied);
    return WF_OK;
}
