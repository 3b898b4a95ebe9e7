/* Profiles of programs; see profiling.h. */
#include "models/program/profiling.h"

#include <stdio.h>
#include <stdlib.h>

enum { TRACED = 3 }; /* runs in the trace */

wf_status profiling_open(profiling *q, const char *path, wf_program *p) {
    *q = (profiling){.program = p};
    const wf_status status = path ? wf_file_create(&q->file, path) : WF_OK;
    return status || !path ? status : wf_profile_start(p, TRACED);
}

wf_status profiling_after_run(profiling *q, bool is_last) {
    if (!q->file) return WF_OK;
    return ++q->runs == 1 && !is_last ? wf_profile_start(q->program, TRACED) : WF_OK;
}

static wf_status write_trace(profiling *q) {
    char *text = NULL;
    size_t bytes = 0;
    FILE *f = open_memstream(&text, &bytes);
    if (!f) return wf_fail(WF_MEMORY, "no memory for the trace");
    wf_status status = wf_profile_trace(q->program, f);
    if (fclose(f) && !status) status = wf_fail(WF_MEMORY, "no memory for the trace");
    if (!status) status = wf_file_write(q->file, text, bytes);
    free(text);
    return status;
}

wf_status profiling_finish(profiling *q) {
    if (!q->file || q->runs == 0) return WF_OK;
    wf_status status = wf_profile_stop(q->program);
    if (!status) status = wf_profile_table(q->program, stderr, 0);
    if (!status) status = write_trace(q);
    if (status) return status;
    wf_file *file = q->file;
    q->file = NULL;
    return wf_file_commit(file);
}

void profiling_close(profiling *q) {
    if (q->file) wf_file_discard(q->file);
    q->file = NULL;
}
