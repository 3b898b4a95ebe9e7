/* What the command line of keras_convlstm can say (models/program/options.h; table in
 * settings.c). */
#ifndef MODELS_KERAS_CONVLSTM_SETTINGS_H
#define MODELS_KERAS_CONVLSTM_SETTINGS_H

#include "models/moving_mnist/video_run.h"
#include "models/keras_convlstm/model.h"

typedef struct settings {
    video_run run;
    const char *npy;
    int64_t size, hidden, statistics;
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

#endif
