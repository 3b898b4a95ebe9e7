/* Reading metrics.jsonl, writing metrics.csv; see metrics.h. */
#include "models/program/metrics.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/program/row.h"

int metrics_column(const metrics *m, const char *name) {
    for (int i = 0; i < m->n_columns; i++)
        if (!strcmp(m->name[i], name)) return i;
    return -1;
}

static int add_column(metrics *m, const char *name) {
    if (m->n_columns == METRICS_COLUMNS) return -1;
    char *copy = strdup(name);
    if (!copy) return -1;
    m->name[m->n_columns] = copy;
    return m->n_columns++;
}

static wf_status add_row(metrics *m, const json_t *object, const char *path, int64_t line) {
    if (m->n == m->cap) {
        const int64_t cap = m->cap ? 2 * m->cap : 256;
        void *more = realloc(m->row, (size_t)cap * sizeof *m->row);
        if (!more) return wf_fail(WF_MEMORY, "%s: no memory for its rows", path);
        m->row = more;
        m->cap = cap;
    }
    double *row = m->row[m->n++];
    for (int i = 0; i < METRICS_COLUMNS; i++) row[i] = NAN;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value) {
        if (!json_is_number(value) && !json_is_null(value)) continue;
        int i = metrics_column(m, key);
        if (i < 0) i = add_column(m, key);
        if (i < 0)
            return wf_fail(WF_FORMAT, "%s: line %lld: more than %d different keys", path,
                           (long long)line, METRICS_COLUMNS);
        row[i] = json_is_number(value) ? json_number_value(value) : NAN;
    }
    return WF_OK;
}

static wf_status read_lines(metrics *m, FILE *f, const char *path) {
    char *text = NULL;
    size_t size = 0;
    wf_status s = WF_OK;
    for (int64_t line = 1; !s; line++) {
        const ssize_t n = getline(&text, &size, f);
        if (n <= 0 || text[n - 1] != '\n') break;
        json_error_t error;
        json_t *object = json_loadb(text, (size_t)n, 0, &error);
        s = json_is_object(object) ? add_row(m, object, path, line)
                                   : wf_fail(WF_FORMAT, "%s: line %lld: no JSON object", path,
                                             (long long)line);
        json_decref(object);
    }
    free(text);
    if (!s && ferror(f)) s = wf_fail(WF_INPUT, "%s: cannot read it: %s", path, strerror(errno));
    return s;
}

wf_status metrics_read(metrics *m, const char *dir) {
    char path[4096 + 32];
    *m = (metrics){.n = 0};
    snprintf(path, sizeof path, "%.4096s/metrics.jsonl", dir);
    FILE *f = fopen(path, "re");
    if (!f)
        return wf_fail(WF_INPUT, "%s: cannot read it: %s; give the folder of a run", path,
                       strerror(errno));
    const wf_status s = read_lines(m, f, path);
    fclose(f);
    return s;
}

void metrics_free(metrics *m) {
    for (int i = 0; i < m->n_columns; i++) free(m->name[i]);
    free(m->row);
    *m = (metrics){.n = 0};
}

static wf_status put(wf_file *f, const char *text) {
    return wf_file_write(f, text, strlen(text));
}

wf_status metrics_write_csv(const metrics *m, const char *path) {
    wf_file *f;
    char number[32];
    wf_status s = wf_file_create(&f, path);
    if (s) return s;
    for (int64_t r = -1; r < m->n && !s; r++) {
        for (int i = 0; i < m->n_columns && !s; i++) {
            if (i) s = put(f, ",");
            if (!s && r < 0) s = put(f, m->name[i]);
            if (!s && r >= 0 && isfinite(m->row[r][i]))
                s = put(f, number_text(m->row[r][i], 9, number));
        }
        if (!s) s = put(f, "\n");
    }
    if (!s) return wf_file_commit(f);
    wf_file_discard(f);
    return s;
}
