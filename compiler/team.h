/* The barrier inside a run: workers spin for a moment, then sleep.
 *
 * OpenMP's own barrier spins for milliseconds by default. On a machine that is shared, the worker
 * that everyone waits for may have lost its core to another process; a waiter that sleeps gives it
 * its own. Measured with two threads beside three busy processes on two cores: a training step of
 * 3,200 launches takes 1.8 s this way and 8-13 s with libgomp's barrier; on a quiet machine they
 * are equal. */
#ifndef WEFT_TEAM_H
#define WEFT_TEAM_H

#include <stdatomic.h>

typedef struct wf_team {
    _Alignas(64) atomic_int arrived;  /* workers that wait at this barrier */
    _Alignas(64) atomic_int round;    /* barriers that are past */
    atomic_int sleepers;
} wf_team;

/* Returns when n workers have called it. All zero at the start; usable again and again. */
void wf_team_meet(wf_team *t, int n);

#endif
