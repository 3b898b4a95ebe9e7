/* What the command line of shi2015 can say (models/program/options.h; table in settings.c). */
#ifndef MODELS_SHI2015_SETTINGS_H
#define MODELS_SHI2015_SETTINGS_H

#include "models/moving_mnist/video_run.h"
#include "models/shi2015/model.h"

typedef struct settings {
    video_run run;
    const char *hidden, *peephole;
    int64_t digits, kernel_input, kernel;
} settings;

extern const program shi_program;

exit_code command_train(const void *s);
exit_code command_test(const void *s);

/* The network that the options ask for, on `batch` sequences. */
exit_code network_of(shi_opt *o, const settings *s, int64_t batch);

/* Sequences as in the paper: 20 frames, two of the first --digits digits, mirrored at the border.
 * Those of another `part` have the same digits and other paths. */
clips_opt sequences(const settings *s, int64_t count, int64_t part);

#endif
