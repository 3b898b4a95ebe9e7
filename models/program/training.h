/* A training run as people see it: one call around nn/trainer.h that makes the run directory
 * (metrics.jsonl, metrics.csv, config.json, checkpoints, best.safetensors, last.safetensors), shows
 * progress on stderr, goes on where a run was stopped, and ends in order on SIGINT and SIGTERM. */
#ifndef MODELS_PROGRAM_TRAINING_H
#define MODELS_PROGRAM_TRAINING_H

#include "models/program/options.h"

typedef struct training_place {
    const char *dir;    /* of the run */
    const char *config; /* the text of its config.json (config.h); NULL: none */
    int64_t log_every;  /* a row in metrics.jsonl every so many steps; 0: 1 */
    const char *profile; /* a trace of the steps (profiling.h) goes here; NULL: none */
} training_place;

/* Runs t with these changes: dir is place.dir, state is the run's own, and of the callbacks only
 * validate (and user) are t's; its metric is the rows' "val_loss". t.resume goes on with the run in
 * place.dir. Everything that goes wrong is reported. *result may be NULL. */
exit_code training_run(wf_trainer t, training_place place, wf_trainer_result *result);

#endif
