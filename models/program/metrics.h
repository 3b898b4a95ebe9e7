/* The rows of a run's metrics.jsonl as a table: a column for every key with numbers, in order of
 * first appearance; what a row does not have, or has as null, is NaN. */
#ifndef MODELS_PROGRAM_METRICS_H
#define MODELS_PROGRAM_METRICS_H

#include "nn/nn.h"

#define METRICS_COLUMNS 48

typedef struct metrics {
    char *name[METRICS_COLUMNS]; /* owned */
    int n_columns;
    double (*row)[METRICS_COLUMNS]; /* (n) */
    int64_t n, cap;
} metrics;

/* Reads DIR/metrics.jsonl. A last line without its end (the run was killed while it wrote) is left
 * out. Errors: WF_INPUT; WF_FORMAT with the line's number; WF_MEMORY. Freeing is due even then. */
wf_status metrics_read(metrics *m, const char *dir);
void metrics_free(metrics *m);

int metrics_column(const metrics *m, const char *name); /* -1: none has this key */

/* The table as CSV (RFC 4180 but for line ends): a header, then one line a row, NaN as nothing. */
wf_status metrics_write_csv(const metrics *m, const char *path);

#endif
