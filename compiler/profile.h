/* The profile inside: what a run writes down about itself.
 *
 * Each worker stamps each launch when it arrives, when it may begin (after the barrier) and, by
 * arriving at the next one, when it has done its part. Marks of the last `keep` runs stay for the
 * trace; sums over all runs are for the table. All memory is mapped and touched before the first
 * run.
 *
 * The clock is CLOCK_MONOTONIC, which is read without a system call (about 25 ns), agrees between
 * cores and needs no calibration; a counter of cycles would save 15 ns of launches that take
 * microseconds. It does not go backwards. */
#ifndef WEFT_PROFILE_H
#define WEFT_PROFILE_H

#include <time.h>

#include "compiler/memory.h"
#include "compiler/plan.h"

/* Of one worker and launch; nanoseconds of the clock. */
typedef struct wf_mark {
    int64_t arrive; /* of launch i + 1: when launch i is done */
    int64_t begin;  /* work starts: after the barrier before the launch */
    int64_t waited; /* for other workers, between its phases */
    int64_t pieces; /* that the worker took; 0: it had nothing to do */
} wf_mark;

/* One run that is kept. */
typedef struct wf_profile_run {
    int64_t begin, end;
    int workers;    /* that came */
    wf_mark *mark;  /* (workers, row) */
} wf_profile_run;

/* What the runs of one launch came to, in nanoseconds. */
typedef struct wf_profile_sum {
    int64_t time;   /* by which it moved the end of the run */
    int64_t busy;   /* of all workers */
    double flops, bytes; /* of one run */
    const char *name, *scope;
} wf_profile_sum;

typedef struct wf_profile {
    bool recording;
    uint32_t n_launch, keep;
    int workers;
    size_t row;     /* marks of one worker: a multiple of a cache line, one a launch and the end */
    uint64_t runs;  /* that were recorded; run k is kept in run[k % keep] */
    int64_t time, least, most; /* of runs */
    wf_profile_run *run;  /* (keep) */
    wf_profile_sum *sum;  /* (n_launch) */
    int64_t *waited;      /* (workers) */
    wf_arena mem;         /* the above and names */
    wf_region marks;
} wf_profile;

static inline int64_t wf_profile_clock(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Around a run: its place in the ring, the marks of worker w in it, the sums afterwards. */
void wf_profile_run_begin(wf_profile *f);
void wf_profile_run_end(wf_profile *f, int workers);
static inline wf_mark *wf_profile_marks(wf_profile *f, int w) {
    return f ? f->run[f->runs % f->keep].mark + (size_t)w * f->row : NULL;
}

void wf_profile_free(wf_profile *f);

/* The profile of a program that has runs; NULL with a message otherwise. what: who asks. */
struct wf_program;
const wf_profile *wf_profile_of(const struct wf_program *p, const char *what);

/* The run that is the k-th of those kept, oldest first; their number. */
static inline uint32_t wf_profile_kept(const wf_profile *f) {
    return f->runs < f->keep ? (uint32_t)f->runs : f->keep;
}
static inline const wf_profile_run *wf_profile_run_at(const wf_profile *f, uint32_t k) {
    return &f->run[(f->runs - wf_profile_kept(f) + k) % f->keep];
}

#endif
