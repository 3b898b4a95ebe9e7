/* A training run of one model in its folder, by models/program/training.h. */
#ifndef RNNLM_TRAINING_H
#define RNNLM_TRAINING_H

#include "models/program/run_dir.h"
#include "models/rnnlm/lanes.h"
#include "models/rnnlm/reader.h"
#include "models/rnnlm/settings.h"

typedef struct rnnlm_training {
    const settings *s;
    const char *dir;     /* of the run */
    rnnlm model;
    corpus text;
    lanes lanes;
    wf_params *params;
    wf_program *program; /* a step */
    reader reader;
    double valid;        /* cost in nats, of the last validation */
} rnnlm_training;

/* Reads the text and compiles the programs. Closing is due even after an error. */
wf_status rnnlm_run_open(rnnlm_training *t, const settings *s);
void rnnlm_run_close(rnnlm_training *t);

/* Trains; afterwards the weights are the best of the run. */
wf_status rnnlm_run(rnnlm_training *t, wf_trainer_result *result);

/* A mean cost in nats as people give it: perplexity of words, bits a character. */
double rnnlm_measure(const rnnlm_training *t, double nats);
const char *rnnlm_measure_name(const rnnlm_training *t);

#endif
