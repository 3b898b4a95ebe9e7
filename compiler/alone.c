/* Launches that are too small to share. Where several of them follow each other and workers would
 * have to meet between them, one worker runs them all: the steps of a recurrence over vectors, the
 * updates of small parameters. Nothing that is computed depends on it.
 *
 * A meeting costs the wait for the slower worker, and for its results to come out of its cache:
 * with two workers on one machine, an LSTM (50 steps, batch 20, 260 launches of 4 us, as many
 * barriers) took as long with 64 units as with one worker, and longer with 32. Where more threads
 * run than there are processors a meeting costs a time slice; that case is not looked for. */
#include "compiler/plan.h"

/* Rough rates of one worker, and what a meeting costs. */
#define FLOPS_PER_US 50e3
#define BYTES_PER_US 30e3
#define MEETING_US 5.0

static double time_of(const wf_plan *p, uint32_t launch) {
    const double flops = wf_launch_flops(p, launch) / FLOPS_PER_US;
    const double bytes = wf_launch_bytes(p, launch) / BYTES_PER_US;
    return flops > bytes ? flops : bytes;
}

/* Whether sharing work of `us` saves less than so many meetings cost. */
static bool is_small(double us, double meetings, int threads) {
    return us * (1 - 1.0 / threads) <= meetings * MEETING_US;
}

/* Launches [first, last), all small: those of a run. */
static bool mark(wf_plan *p, uint32_t first, uint32_t last, double us, uint32_t meetings,
                 int threads) {
    if (meetings < 3 || !is_small(us, meetings - 2.0, threads)) return false;
    for (uint32_t i = first; i < last; i++) p->launch[i].single = true;
    return true;
}

bool wf_plan_alone(wf_plan *p, int threads) {
    double us = 0, all_us = 0;
    uint32_t first = 0, meetings = 0, all = 0, id;
    bool any = false;
    if (threads < 2) return false;
    for (id = 0; id < p->n_launch; id++) {
        if (wf_launch_follows(p, id)) continue;
        const double now = time_of(p, id);
        all_us += now;
        all += p->launch[id].barrier;
        if (!is_small(now, 1, threads)) {
            any |= mark(p, first, id, us, meetings, threads);
            us = meetings = 0;
            first = id + 1;
            continue;
        }
        us += now;
        meetings += p->launch[id].barrier;
    }
    any |= mark(p, first, id, us, meetings, threads);
    p->alone = all > 0 && is_small(all_us, all, threads);
    return any;
}
