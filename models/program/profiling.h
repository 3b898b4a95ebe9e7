/* --profile FILE.json: the profile of a program that is run again and again, as a trace in a file
 * and a table on stderr. The first run, which meets cold caches and kernels that are not compiled
 * yet, counts only if it stays the only one. */
#ifndef MODELS_PROGRAM_PROFILING_H
#define MODELS_PROGRAM_PROFILING_H

#include "nn/nn.h"

typedef struct profiling {
    wf_file *file;       /* NULL: no profile is wanted, and nothing below does anything */
    wf_program *program; /* borrowed */
    int64_t runs;
} profiling;

/* Makes the file writable, so that a path that cannot be is refused before the runs, and begins.
 * path NULL: no profile. Errors: WF_OUTPUT, WF_MEMORY. Closing is due even after an error. */
wf_status profiling_open(profiling *q, const char *path, wf_program *p);

/* After each run. Errors: WF_MEMORY. */
wf_status profiling_after_run(profiling *q, bool is_last);

/* After the last run: the table on stderr, and the file complete. Without a run: nothing. */
wf_status profiling_finish(profiling *q);

/* Leaves no file behind if there was no finish. */
void profiling_close(profiling *q);

#endif
