/* Ending in order; see interrupt.h. The handler does what a handler may: it stores a number, and
 * SA_RESETHAND has given the second signal its default action before it runs. */
#include "models/program/interrupt.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t came;

static void note(int number) {
    came = number;
    /* Either signal after the first ends the process, not only the same one. */
    signal(number == SIGINT ? SIGTERM : SIGINT, SIG_DFL);
}

void interrupt_watch(void) {
    /* SA_RESTART: a write that is under way is finished. */
    struct sigaction act = {.sa_handler = note, .sa_flags = (int)(SA_RESTART | SA_RESETHAND)};
    sigemptyset(&act.sa_mask);
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
}

int interrupt_signal(void) { return came; }
