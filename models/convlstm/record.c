/* The record of a run; see record.h. */
#include "models/convlstm/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/convlstm/summary.h"
#include "models/program/curves.h"

#define SAMPLE_SCALE 5

static wf_status show_table(const convlstm_program *step) {
    char *text;
    const wf_program_info plan = wf_program_describe(step->program);
    const wf_status s = summary_text(&text, step->size, &plan);
    if (!s) report_text(text);
    free(text);
    return s;
}

static wf_status write_config(run_dir *dir, const settings *s, const clips *c) {
    char hash[CLIPS_HASH];
    clips_hash(c, hash);
    char *text = settings_text("train", s, hash);
    if (!text) return wf_fail(WF_MEMORY, "no memory for config.json");
    const wf_status status = run_dir_write(dir, "config.json", text, strlen(text));
    free(text);
    return status;
}

wf_status record_open(record *r, run_dir *dir, const settings *s, const convlstm_program *step,
                      wf_params *p, const clips *c, const int64_t *index, int64_t n, int64_t done,
                      int64_t total) {
    *r = (record){.dir = dir};
    wf_status status = show_table(step);
    if (!status) status = write_config(dir, s, c);
    convlstm_size size = step->size;
    size.batch = n;
    if (!status && n) status = samples_open(&r->shown, p, size, c, index, compile_options(s));
    progress_open(&r->bar, "training", done, total);
    return status;
}

void record_close(record *r) {
    progress_close(&r->bar);
    samples_close(&r->shown);
}

void record_epoch(record *r, int64_t epoch, int64_t epochs) {
    char note[32];
    snprintf(note, sizeof note, "epoch %lld/%lld", (long long)epoch, (long long)epochs);
    progress_note(&r->bar, note);
}

void record_step(record *r, int64_t done, double loss) {
    progress_step(&r->bar, done, loss);
}

wf_status record_epoch_end(record *r, bool best) {
    wf_status s = curves_update(r->dir->path);
    if (s || !best || !r->shown.truth) return s;
    s = samples_predict(&r->shown, 0);
    return s ? s : samples_gif(&r->shown, run_dir_file(r->dir, "samples.gif"), SAMPLE_SCALE);
}
