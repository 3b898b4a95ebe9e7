/* What the command line of keras_convlstm can say (models/program/options.h; table in
 * settings.c). */
#ifndef MODELS_KERAS_CONVLSTM_SETTINGS_H
#define MODELS_KERAS_CONVLSTM_SETTINGS_H

#include "models/moving_mnist/clip_set.h"
#include "models/program/options.h"
#include "models/keras_convlstm/model.h"

typedef struct settings {
    const char *npy, *mnist, *out, *resume, *weights, *profile;
    int64_t seed, clips, size, test, hidden, batch, steps, validate_every, save_every, log_every;
    int64_t threads, statistics;
    const char *precision;
    double lr, clip;
    bool causal;
} settings;

extern const program keras_program;

exit_code command_train(const void *s);
exit_code command_test(const void *s);

/* The network that the options ask for, on `batch` clips. */
keras_opt network_of(const settings *s, int64_t batch);

/* Clips of 20 frames to train on, and others to test on: of a file the last tenth, the part that
 * training measures on as well. */
clips_opt training_clips(const settings *s);
wf_status open_test(clips **out, int64_t *first, const settings *s);

wf_compile_opt compile_options(const settings *s);

#endif
