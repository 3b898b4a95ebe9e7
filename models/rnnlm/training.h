/* A training run of one model in its folder, by nn/trainer.h. */
#ifndef RNNLM_TRAINING_H
#define RNNLM_TRAINING_H

#include "models/program/profiling.h"
#include "models/program/progress.h"
#include "models/program/run_dir.h"
#include "models/rnnlm/lanes.h"
#include "models/rnnlm/reader.h"
#include "models/rnnlm/settings.h"

typedef struct training {
    const settings *s;
    rnnlm model;
    corpus text;
    lanes lanes;
    wf_params *params;
    wf_program *program; /* a step */
    reader reader;
    run_dir dir;
    progress progress;
    profiling profile;
    int64_t rows; /* of metrics.jsonl, when a checkpoint is written */
    double valid; /* cost in nats, of the last validation */
} training;

/* Reads the text and compiles the programs. Closing is due even after an error. */
wf_status rnnlm_run_open(training *t, const settings *s);
void rnnlm_run_close(training *t);

/* Trains; afterwards the weights are the best of the run. */
wf_status rnnlm_run(training *t, wf_trainer_result *result);

/* A mean cost in nats as people give it: perplexity of words, bits a character. */
double rnnlm_measure(const training *t, double nats);
const char *rnnlm_measure_name(const training *t);

#endif
