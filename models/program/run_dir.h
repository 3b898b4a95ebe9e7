/* The directory of one training run: metrics.jsonl, a JSON object a line, and the files that are
 * saved beside it. It is made (with its parents) and found writable before the run starts.
 * metrics.jsonl is the one record; metrics.csv and curves.svg are made from it (curves.h). */
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
    int64_t rows; /* that metrics.jsonl has: what to hand to run_dir_continue */
} run_dir;

/* Opens `path` for a new run; metrics.jsonl starts empty, other files stay until they are replaced.
 * Errors: WF_OUTPUT. Closing is due even after an error. */
wf_status run_dir_open(run_dir *d, const char *path);

/* Opens `path` to go on with a run: metrics.jsonl keeps its first `rows` rows, which must be there.
 * (Rows and not bytes, because the times in them differ in length from run to run.)
 * Errors: WF_INPUT if they are not, WF_OUTPUT. */
wf_status run_dir_continue(run_dir *d, const char *path, int64_t rows);

/* Waits until the rows so far are on the disk: before a checkpoint that refers to them. */
wf_status run_dir_sync(run_dir *d);

/* Writes DIR/name as a whole or not at all. */
wf_status run_dir_write(run_dir *d, const char *name, const char *text, size_t bytes);

/* Appends one row and hands it to the system at once: a run that is killed keeps its rows. */
wf_status run_dir_row(run_dir *d, const json_row *row);

/* "DIR/name"; valid until the next call. */
const char *run_dir_file(run_dir *d, const char *name);

void run_dir_close(run_dir *d);

#endif
