/* What the command line of shi2015 can say (models/program/options.h; table in settings.c). */
#ifndef MODELS_SHI2015_SETTINGS_H
#define MODELS_SHI2015_SETTINGS_H

#include "models/moving_mnist/clip_set.h"
#include "models/program/options.h"
#include "models/shi2015/model.h"

typedef struct settings {
    const char *mnist, *hidden, *peephole, *out, *resume, *weights, *profile;
    int64_t seed, clips, digits, test, batch, steps, validate_every, save_every, log_every;
    int64_t kernel_input, kernel, threads;
    const char *precision;
    double lr, clip;
} settings;

extern const program shi_program;

exit_code command_train(const void *s);
exit_code command_test(const void *s);

/* The network that the options ask for, on `batch` sequences. */
exit_code network_of(shi_opt *o, const settings *s, int64_t batch);

/* Sequences as in the paper: 20 frames, two of the first --digits digits, mirrored at the border.
 * Those of another `part` have the same digits and other paths. */
clips_opt sequences(const settings *s, int64_t count, int64_t part);

wf_compile_opt compile_options(const settings *s);

#endif
