/* The directory of one training run: metrics.jsonl, a JSON object a line, and the files that are
 * saved beside it. It is made (with its parents) and found writable before the run starts. */
#ifndef MODELS_PROGRAM_RUN_DIR_H
#define MODELS_PROGRAM_RUN_DIR_H

#include <stdio.h>

#include "models/program/row.h"
#include "nn/nn.h"

#define RUN_DIR_MAX_PATH 4096

typedef struct run_dir {
    char path[RUN_DIR_MAX_PATH];
    char file[RUN_DIR_MAX_PATH + 64]; /* scratch of run_dir_file */
    FILE *metrics;
} run_dir;

/* Opens `path` for a new run; metrics.jsonl starts empty, other files stay until they are replaced.
 * Errors: WF_OUTPUT. Closing is due even after an error. */
wf_status run_dir_open(run_dir *d, const char *path);

/* Appends one row and hands it to the system at once: a run that is killed keeps its rows. */
wf_status run_dir_row(run_dir *d, const json_row *row);

/* "DIR/name"; valid until the next call. */
const char *run_dir_file(run_dir *d, const char *name);

void run_dir_close(run_dir *d);

#endif
