/* A sense-reversing barrier on a counter of rounds, with a futex to sleep on where there is one. */
#include "compiler/team.h"

#include <limits.h>
#include <sched.h>

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

static void sleep_while(atomic_int *word, int value) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}
static void wake_all(atomic_int *word) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}
#else
static void sleep_while(atomic_int *word, int value) {
    if (atomic_load(word) == value) sched_yield();
}
static void wake_all(atomic_int *word) { (void)word; }
#endif

static void pause_briefly(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

enum { spins = 4000 }; /* about 50 us: longer than a wait between balanced pieces */

void wf_team_meet(wf_team *t, int n) {
    const int round = atomic_load_explicit(&t->round, memory_order_acquire);
    if (atomic_fetch_add(&t->arrived, 1) + 1 == n) {
        atomic_store_explicit(&t->arrived, 0, memory_order_relaxed);
        atomic_store(&t->round, (int)((unsigned)round + 1));
        /* A sleeper counts itself before it looks at `round` for the last time, so that either it
         * sees the new round or is seen here. */
        if (atomic_load(&t->sleepers)) wake_all(&t->round);
        return;
    }
    for (int i = 0; i < spins; i++) {
        if (atomic_load_explicit(&t->round, memory_order_acquire) != round) return;
        pause_briefly();
    }
    atomic_fetch_add(&t->sleepers, 1);
    while (atomic_load(&t->round) == round) sleep_while(&t->round, round);
    atomic_fetch_sub(&t->sleepers, 1);
}
