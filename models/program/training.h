/* A training run as people see it: one call around nn/trainer.h that makes the run directory
 * (metrics.jsonl, metrics.csv, config.json, checkpoints, best.safetensors, last.safetensors), shows
 * progress on stderr, goes on where a run was stopped, and ends in order on SIGINT and SIGTERM. */
#ifndef MODELS_PROGRAM_TRAINING_H
#define MODELS_PROGRAM_TRAINING_H

#include "models/program/options.h"
#include "models/program/progress.h"
#include "models/program/row.h"

typedef struct training_place {
    const char *dir;    /* of the run */
    const char *config; /* the text of its config.json (config.h); NULL: none */
    int64_t log_every;  /* a row in metrics.jsonl every so many steps; 0: 1; below 0: none */
    const char *profile; /* a trace of the steps (profiling.h) goes here; NULL: none */
    /* What a row of metrics.jsonl says after a step and after a validation (also where there are
     * none: then at the end of an epoch); user is the trainer's. NULL: step, loss, grad_norm, lr,
     * seconds; step, val_loss. */
    void (*step_row)(void *user, const wf_trainer_at *at, json_row *row);
    void (*epoch_row)(void *user, const wf_trainer_at *at, json_row *row);
    progress *bar;       /* is opened and closed; for those who write notes on it. NULL: own */
    const char *remedy;  /* what to try when a loss is not finite; NULL: a smaller rate */
} training_place;

/* Runs t with these changes: dir is place.dir, state is the run's own, save, message and stop of
 * the callbacks are not called, and these are:
 *   validate   its metric is the default rows' "val_loss"
 *   start      when dir and config.json are there, instead of two lines about the run
 *   step       before the step's row is written
 *   epoch      after the row is written, instead of a line and of writing metrics.csv
 * t.resume goes on with the run in place.dir. Nothing is said of how it ends. */
wf_status training_loop(wf_trainer t, training_place place, wf_trainer_result *result);

/* How a loop ended, as an exit code: what went wrong is reported, and where a run that was stopped
 * can go on; what else there is to say is the caller's. */
exit_code training_end(wf_status status, const training_place *place,
                       const wf_trainer_result *result);

/* Both, with the time that it took. *result may be NULL. */
exit_code training_run(wf_trainer t, training_place place, wf_trainer_result *result);

#endif
