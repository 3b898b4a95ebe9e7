/* What the command line of convlstm can say: one struct, filled by models/program/options.h from
 * the tables in settings.c. An option that was not given and has no default leaves its field 0. */
#ifndef MODELS_CONVLSTM_SETTINGS_H
#define MODELS_CONVLSTM_SETTINGS_H

#include "models/convlstm/parts.h"
#include "models/moving_mnist/clips.h"
#include "models/program/options.h"

typedef struct settings {
    /* where clips come from */
    const char *npy, *mnist, *split, *splits, *part;
    int64_t clips, size, frames;
    /* training */
    int64_t steps, epochs, batch, hidden, seed, log_every, reestimate_bn;
    int64_t warmup, patience, save_every; /* -1: the recipe's, of the first two */
    double lr, clip, average, val, memory; /* lr 0, clip -1, average -1: the recipe's */
    bool no_shuffle, detect_anomaly;
    const char *recipe, *init, *out, *resume, *profile;
    /* evaluation, prediction, data */
    const char *weights, *gif, *png;
    int64_t samples, count, rollout, scale;
    bool json;
    /* graph, bench, doctor */
    const char *stage, *fold, *in;
    int64_t nodes, seconds, runs;
    bool no_probe, timed;
    /* plot */
    places runs_shown;
    /* machine */
    int64_t threads;
    const char *precision;
} settings;

extern const program convlstm_program_table;

/* The commands (NAME.c; eval: evaluate.c); s is a settings. */
exit_code command_train(const void *s);
exit_code command_eval(const void *s);
exit_code command_predict(const void *s);
exit_code command_data(const void *s);
exit_code command_plot(const void *s);
exit_code command_summary(const void *s);
exit_code command_graph(const void *s);
exit_code command_bench(const void *s);
exit_code command_doctor(const void *s);

/* The clips that the options ask for. Errors are reported; *out is NULL then. */
exit_code open_clips(clips **out, const settings *s);

/* The clips that --part names, of those that --splits and --seed cut: all of them without --part.
 * index[0 .. n) points into cut, which parts_free frees also after an error. */
wf_status part_of_clips(parts *cut, const clips *c, const settings *s, const int64_t **index,
                        int64_t *n);

/* Refuses, by name, options that differ from those of the run in `dir`, but for those that a run
 * that goes on may have otherwise: lengths, threads, logging, saving. */
exit_code settings_of_run(const char *command, const settings *s, const char *dir);

/* Refuses clips that are not made of what the run in `dir` was given. */
exit_code clips_of_run(const clips *c, const char *dir);

/* The config.json of a run of this command (config.h); the caller frees it. */
char *settings_text(const char *command, const settings *s, const char *data);

/* What --threads and --precision ask for, and no more memory than the machine has. */
wf_compile_opt compile_options(const settings *s);

#endif
