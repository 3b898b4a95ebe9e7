/* What a training run shows and leaves beside its weights: the table of the network and the bar on
 * stderr; config.json, metrics.csv, curves.svg and samples.gif in the run directory. None of it
 * changes the run. */
#ifndef MODELS_CONVLSTM_RECORD_H
#define MODELS_CONVLSTM_RECORD_H

#include "models/convlstm/samples.h"
#include "models/convlstm/settings.h"
#include "models/program/progress.h"
#include "models/program/run_dir.h"

typedef struct record {
    run_dir *dir; /* borrowed */
    samples shown;
    progress bar;
} record;

/* Shows the table, writes config.json (with the hash of the data; not if the run goes on), takes
 * the clips of samples.gif: index[0 .. n), none if n is 0. step: the compiled training step; `done`
 * of `total` steps lie behind. Closing is due even after an error. */
wf_status record_open(record *r, run_dir *dir, const settings *s, const convlstm_program *step,
                      wf_params *p, const clips *c, const int64_t *index, int64_t n, int64_t done,
                      int64_t total);
void record_close(record *r);

/* Epoch `epoch` of `epochs` begins (from 1). */
void record_epoch(record *r, int64_t epoch, int64_t epochs);

/* A step is done; loss is its. Costs one reading of the clock. */
void record_step(record *r, int64_t done, double loss);

/* The epoch's rows are written: draws metrics.csv and curves.svg anew, and samples.gif if the
 * weights are the best so far. */
wf_status record_epoch_end(record *r, bool best);

#endif
