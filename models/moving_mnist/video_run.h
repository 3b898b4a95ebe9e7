/* What programs have in common that train on clips cut in two (clip_set.h) and then show what the
 * best weights predict: options, and a training run as one call. A program's settings begin with a
 * video_run; options with defaults and words of its own point into it too. */
#ifndef MOVING_MNIST_VIDEO_RUN_H
#define MOVING_MNIST_VIDEO_RUN_H

#include "models/moving_mnist/clip_set.h"
#include "models/program/options.h"

typedef struct video_run {
    const char *mnist, *out, *resume, *weights, *profile, *precision;
    int64_t seed, clips, test, batch, steps, validate_every, save_every, log_every, threads;
    double lr, clip;
} video_run;

/* --threads, --precision, --save-every, --log-every, --resume, --profile: of training. */
extern const option_group video_run_group;
/* --weights, --out: of a test. */
extern const option_group video_test_group;

/* New parameters of the run's seed. NULL: no memory, wf_error() says so. */
wf_params *video_params(const video_run *r);
wf_compile_opt video_compile(const video_run *r);

/* Where the run lies, and "DIR/best.safetensors" there. */
const char *video_dir(const video_run *r);
void video_best(const video_run *r, char *path, size_t size);

/* Trains by t, which has parameters, program, schedule and validation: data, seed, steps, saving
 * and resuming are the run's. settings (bytes) begin with the video_run; the command is p's
 * "train". A run that goes on with other options or data is refused by name. */
exit_code video_train(const program *p, const void *settings, size_t bytes, const clip_set *data,
                      wf_trainer t);

#endif
