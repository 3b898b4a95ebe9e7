/* What the command line of srivastava2015 can say: one struct, filled by models/program/options.h
 * from the tables in settings.c. */
#ifndef MODELS_SRIVASTAVA2015_SETTINGS_H
#define MODELS_SRIVASTAVA2015_SETTINGS_H

#include "models/moving_mnist/clips.h"
#include "models/program/options.h"
#include "models/srivastava2015/model.h"

typedef struct settings {
    /* the network */
    const char *model;
    bool conditional;
    int64_t hidden, layers, past, future;
    /* clips */
    const char *npy, *mnist;
    int64_t clips, size;
    /* training */
    int64_t steps, epochs, batch, seed, val, save_every;
    double lr, clip;
    const char *out, *resume;
    /* evaluation and pictures */
    places runs;
    int64_t test_clips, test_seed, samples, scale;
    const char *gif, *png;
    bool json;
    /* machine */
    int64_t threads;
    const char *precision;
} settings;

extern const program srivastava_program_table;

/* The commands; s is a settings. */
exit_code command_train(const void *s);
exit_code command_eval(const void *s);
exit_code command_predict(const void *s);

/* The network that the settings describe. */
srivastava_opt network_of(const settings *s);

/* Opens clips of past + future frames: those to train on and to validate with; or, from number
 * test_first on, n others: made ones of the split "test" and the test seed, those of a file behind
 * the training's. A failure is reported. */
exit_code open_training_clips(clips **out, const settings *s);
exit_code open_test_clips(clips **out, const settings *s, int64_t n);
int64_t test_first(const settings *s);

/* *s as it was for the run in `dir`, whose config.json is read; what evaluation and pictures are
 * told stays. A failure is reported. */
exit_code settings_of_run(settings *s, const char *dir);

wf_compile_opt compile_options(const settings *s);

#endif
