/* The directory of a run; see run_dir.h. */
#include "models/program/run_dir.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* mkdir -p. `path` is written to and restored. */
static wf_status make_directories(char *path) {
    for (char *c = path + 1;; c++) {
        if (*c != '/' && *c) continue;
        const char end = *c;
        *c = 0;
        struct stat s;
        const bool made = mkdir(path, 0777) == 0 || errno == EEXIST;
        if (!made)
            return wf_fail(WF_OUTPUT, "%s: cannot make the directory: %s", path, strerror(errno));
        if (stat(path, &s) || !S_ISDIR(s.st_mode))
            return wf_fail(WF_OUTPUT, "%s: not a directory; choose another one", path);
        *c = end;
        if (!end) return WF_OK;
    }
}

wf_status run_dir_open(run_dir *d, const char *path) {
    d->metrics = NULL;
    const size_t n = strlen(path);
    if (n == 0 || n >= sizeof d->path)
        return wf_fail(WF_OUTPUT, "the name of the run directory is %s",
                       n ? "too long" : "empty");
    memcpy(d->path, path, n + 1);
    if (make_directories(d->path)) return WF_OUTPUT;
    const char *file = run_dir_file(d, "metrics.jsonl");
    d->metrics = fopen(file, "we");
    if (!d->metrics)
        return wf_fail(WF_OUTPUT, "%s: cannot write: %s", file, strerror(errno));
    return WF_OK;
}

wf_status run_dir_row(run_dir *d, const json_row *row) {
    if (fprintf(d->metrics, "%s\n", row->text) < 0 || fflush(d->metrics))
        return wf_fail(WF_OUTPUT, "%s: cannot write: %s", run_dir_file(d, "metrics.jsonl"),
                       strerror(errno));
    return WF_OK;
}

const char *run_dir_file(run_dir *d, const char *name) {
    snprintf(d->file, sizeof d->file, "%s/%s", d->path, name);
    return d->file;
}

void run_dir_close(run_dir *d) {
    if (d->metrics) fclose(d->metrics);
    d->metrics = NULL;
}
