/* Profiles: starting and stopping, what is summed up after each run, and the numbers.
 *
 * A launch's time is that by which it moved the end of the run: the moment when its last worker was
 * done, less the same of the launches before it. So times add up to the run, waiting at barriers
 * included, and work that other launches hide costs nothing. */
#include "compiler/profile.h"

#include <string.h>

#include "compiler/program.h"
#include "tensor/size.h"

enum { NAME = 160, LINE = 64 };

/* --- memory ----------------------------------------------------------------------------------- */

void wf_profile_free(wf_profile *f) {
    wf_region_unmap(&f->marks);
    wf_arena_free(&f->mem);
    memset(f, 0, sizeof *f);
}

static wf_status no_memory(void) {
    return wf_fail(WF_MEMORY, "out of memory for the profile");
}

static wf_status describe_launches(wf_profile *f, const wf_plan *plan) {
    char name[NAME];
    wf_profile_sum *s = f->sum;
    for (uint32_t i = 0; i < plan->n_launch; i++) {
        if (wf_launch_follows(plan, i)) continue;
        s->flops = wf_launch_flops(plan, i);
        s->bytes = wf_launch_bytes(plan, i);
        s->name = wf_arena_strdup(&f->mem, wf_launch_name(plan, i, name, sizeof name));
        s->scope = wf_launch_scope(plan, i);
        if (!s++->name) return no_memory();
    }
    return WF_OK;
}

static wf_status allocate(wf_profile *f, const wf_program *p) {
    size_t row, worker_rows, bytes, lists;
    const size_t per_line = LINE / sizeof(wf_mark);
    if (!wf_align_size((size_t)f->n_launch + 1, per_line, &row) ||
        !wf_mul_size(row, (size_t)f->workers, &worker_rows) ||
        !wf_mul_size(worker_rows, f->keep, &bytes) ||
        !wf_mul_size(bytes, sizeof(wf_mark), &bytes) ||
        !wf_mul_size(f->keep, sizeof *f->run, &lists))
        return wf_fail(WF_MEMORY, "the marks of %u runs are more than can be addressed", f->keep);
    f->row = row;
    const wf_status s = wf_region_map(&f->marks, bytes, f->workers, "the profile");
    if (s) return s;
    f->run = wf_arena_alloc(&f->mem, lists);
    f->sum = wf_arena_alloc(&f->mem, ((size_t)f->n_launch + 1) * sizeof *f->sum);
    f->waited = wf_arena_alloc(&f->mem, (size_t)f->workers * sizeof *f->waited);
    if (!f->run || !f->sum || !f->waited) return no_memory();
    for (uint32_t k = 0; k < f->keep; k++)
        f->run[k].mark = (wf_mark *)f->marks.data + (size_t)k * worker_rows;
    return describe_launches(f, &p->plan);
}

/* --- starting and stopping -------------------------------------------------------------------- */

wf_status wf_profile_start(wf_program *p, uint32_t keep) {
    if (!p) return wf_fail(WF_ARGUMENT, "wf_profile_start: the program is NULL");
    wf_profile f = {.recording = true, .n_launch = wf_plan_launches(&p->plan),
                    .keep = keep ? keep : 1, .workers = p->threads};
    const wf_status s = allocate(&f, p);
    if (s) {
        wf_profile_free(&f);
        return s;
    }
    wf_profile_free(&p->profile);
    p->profile = f;
    return WF_OK;
}

wf_status wf_profile_stop(wf_program *p) {
    if (!p) return wf_fail(WF_ARGUMENT, "wf_profile_stop: the program is NULL");
    if (!p->profile.recording)
        return wf_fail(WF_ARGUMENT, "wf_profile_stop: no profile was started");
    p->profile.recording = false;
    return WF_OK;
}

/* --- a run ------------------------------------------------------------------------------------ */

void wf_profile_run_begin(wf_profile *f) {
    f->run[f->runs % f->keep].begin = wf_profile_clock();
}

/* Adds launch i of run r, before which the run had come to `before`; returns how far it is. */
static int64_t add_launch(wf_profile *f, const wf_profile_run *r, uint32_t i, int64_t before) {
    int64_t end = before;
    for (int w = 0; w < r->workers; w++) {
        const wf_mark *m = &r->mark[(size_t)w * f->row + i];
        f->sum[i].busy += m[1].arrive - m->begin - m->waited;
        f->waited[w] += m->begin - m->arrive + m->waited;
        if (m[1].arrive > end) end = m[1].arrive;
    }
    f->sum[i].time += end - before;
    return end;
}

void wf_profile_run_end(wf_profile *f, int workers) {
    wf_profile_run *r = &f->run[f->runs % f->keep];
    r->end = wf_profile_clock();
    r->workers = workers;
    int64_t at = r->begin;
    for (uint32_t i = 0; i < f->n_launch; i++) at = add_launch(f, r, i, at);
    const int64_t time = r->end - r->begin;
    f->time += time;
    if (f->runs == 0 || time < f->least) f->least = time;
    if (time > f->most) f->most = time;
    f->runs++;
}

/* --- numbers ---------------------------------------------------------------------------------- */

const wf_profile *wf_profile_of(const wf_program *p, const char *what) {
    if (!p) wf_fail(WF_ARGUMENT, "%s: the program is NULL", what);
    else if (p->profile.runs == 0)
        wf_fail(WF_ARGUMENT, "%s: no run was profiled; wf_profile_start, then wf_run", what);
    else return &p->profile;
    return NULL;
}

/* In seconds. */
static double mean(const wf_profile *f, int64_t sum) {
    return 1e-9 * (double)sum / (double)f->runs;
}

wf_status wf_profile_read(const wf_program *p, wf_profile_info *out) {
    if (!out) return wf_fail(WF_ARGUMENT, "wf_profile_read: the result's address is NULL");
    *out = (wf_profile_info){0};
    const wf_profile *f = wf_profile_of(p, "wf_profile_read");
    if (!f) return WF_ARGUMENT;
    *out = (wf_profile_info){.runs = f->runs, .launches = f->n_launch, .workers = f->workers,
                             .seconds = mean(f, f->time), .least = 1e-9 * (double)f->least,
                             .most = 1e-9 * (double)f->most};
    for (uint32_t i = 0; i < f->n_launch; i++) {
        out->flops += f->sum[i].flops;
        out->bytes += f->sum[i].bytes;
    }
    return WF_OK;
}

wf_status wf_profile_launch(const wf_program *p, uint32_t i, wf_profile_row *out) {
    if (!out) return wf_fail(WF_ARGUMENT, "wf_profile_launch: the result's address is NULL");
    *out = (wf_profile_row){.name = "", .scope = ""};
    const wf_profile *f = wf_profile_of(p, "wf_profile_launch");
    if (!f) return WF_ARGUMENT;
    if (i >= f->n_launch)
        return wf_fail(WF_ARGUMENT, "wf_profile_launch: launch %u of %u", i, f->n_launch);
    const wf_profile_sum *s = &f->sum[i];
    *out = (wf_profile_row){.name = s->name, .scope = s->scope, .flops = s->flops,
                            .bytes = s->bytes, .seconds = mean(f, s->time),
                            .busy = mean(f, s->busy)};
    return WF_OK;
}

wf_status wf_profile_wait(const wf_program *p, int worker, double *seconds) {
    if (!seconds) return wf_fail(WF_ARGUMENT, "wf_profile_wait: the result's address is NULL");
    *seconds = 0;
    const wf_profile *f = wf_profile_of(p, "wf_profile_wait");
    if (!f) return WF_ARGUMENT;
    if (worker < 0 || worker >= f->workers)
        return wf_fail(WF_ARGUMENT, "wf_profile_wait: worker %d of %d", worker, f->workers);
    *seconds = mean(f, f->waited[worker]);
    return WF_OK;
}
