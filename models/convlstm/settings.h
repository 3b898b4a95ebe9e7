/* What the command line of convlstm can say: one struct, filled by models/program/options.h from
 * the tables in settings.c. An option that was not given and has no default leaves its field 0. */
#ifndef MODELS_CONVLSTM_SETTINGS_H
#define MODELS_CONVLSTM_SETTINGS_H

#include "models/moving_mnist/clips.h"
#include "models/program/options.h"

typedef struct settings {
    /* where clips come from */
    const char *npy, *mnist, *split;
    int64_t clips, size, frames;
    /* training */
    int64_t steps, epochs, batch, hidden, seed, log_every, reestimate_bn;
    int64_t warmup, patience, save_every; /* -1: the recipe's, of the first two */
    double lr, clip, average, val;         /* lr 0, clip -1, average -1: the recipe's */
    bool no_shuffle, detect_anomaly;
    const char *recipe, *init, *out, *resume;
    /* evaluation, prediction, data */
    const char *weights, *gif;
    int64_t samples, count;
    bool json;
    /* graph */
    const char *stage, *fold;
    int64_t nodes, seconds;
    /* machine */
    int64_t threads;
    const char *precision;
} settings;

extern const program convlstm_program_table;

/* The commands (train.c, evaluate.c, predict.c, data.c, graph.c); s is a settings. */
exit_code command_train(const void *s);
exit_code command_eval(const void *s);
exit_code command_predict(const void *s);
exit_code command_data(const void *s);
exit_code command_graph(const void *s);

/* The clips that the options ask for. Errors are reported; *out is NULL then. */
exit_code open_clips(clips **out, const settings *s);

/* What --threads and --precision ask for. */
wf_compile_opt compile_options(const settings *s);

#endif
