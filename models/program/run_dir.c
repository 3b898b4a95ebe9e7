/* The directory of a run; see run_dir.h. */
#include "models/program/run_dir.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

static wf_status open_metrics(run_dir *d, const char *path, const char *mode) {
    d->metrics = NULL;
    d->rows = 0;
    const size_t n = strlen(path);
    if (n == 0 || n >= sizeof d->path)
        return wf_fail(WF_OUTPUT, "the name of the run directory is %s",
                       n ? "too long" : "empty");
    memcpy(d->path, path, n + 1);
    if (make_directories(d->path)) return WF_OUTPUT;
    const char *file = run_dir_file(d, "metrics.jsonl");
    d->metrics = fopen(file, mode);
    if (!d->metrics)
        return wf_fail(WF_OUTPUT, "%s: cannot write: %s", file, strerror(errno));
    return WF_OK;
}

wf_status run_dir_open(run_dir *d, const char *path) {
    return open_metrics(d, path, "we");
}

/* The bytes of the first `rows` rows of f, read from its start; -1 if it has fewer. */
static int64_t bytes_of_rows(FILE *f, int64_t rows) {
    int64_t bytes = 0;
    rewind(f);
    for (int c; rows > 0 && (c = getc(f)) != EOF; bytes++) rows -= c == '\n';
    return rows > 0 ? -1 : bytes;
}

wf_status run_dir_continue(run_dir *d, const char *path, int64_t rows) {
    const wf_status status = open_metrics(d, path, "a+e");
    if (status) return status;
    const char *file = run_dir_file(d, "metrics.jsonl");
    const int64_t bytes = bytes_of_rows(d->metrics, rows);
    if (bytes < 0)
        return wf_fail(WF_INPUT, "%s: has fewer than the %lld rows that the checkpoint says; start "
                       "a new run", file, (long long)rows);
    d->rows = rows;
    if (fseeko(d->metrics, 0, SEEK_END) || ftruncate(fileno(d->metrics), (off_t)bytes))
        return wf_fail(WF_OUTPUT, "%s: cannot write: %s", file, strerror(errno));
    return WF_OK;
}

wf_status run_dir_sync(run_dir *d) {
    if (fflush(d->metrics) || fsync(fileno(d->metrics)))
        return wf_fail(WF_OUTPUT, "%s: cannot write: %s", run_dir_file(d, "metrics.jsonl"),
                       strerror(errno));
    return WF_OK;
}

wf_status run_dir_write(run_dir *d, const char *name, const char *text, size_t bytes) {
    wf_file *f;
    wf_status status = wf_file_create(&f, run_dir_file(d, name));
    if (status) return status;
    status = wf_file_write(f, text, bytes);
    if (!status) return wf_file_commit(f);
    wf_file_discard(f);
    return status;
}

wf_status run_dir_row(run_dir *d, const json_row *row) {
    if (fprintf(d->metrics, "%s\n", row->text) < 0 || fflush(d->metrics))
        return wf_fail(WF_OUTPUT, "%s: cannot write: %s", run_dir_file(d, "metrics.jsonl"),
                       strerror(errno));
    d->rows++;
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
