/* The progress of a run on stderr: on a terminal a bar with loss, rate and time left, drawn at most
 * ten times a second; elsewhere (a pipe, a file, TERM=dumb) a plain line every ten seconds and at
 * the end. Colour where NO_COLOR is not set (https://no-color.org). A step that draws nothing costs
 * one reading of the clock: tens of nanoseconds. */
#ifndef MODELS_PROGRAM_PROGRESS_H
#define MODELS_PROGRAM_PROGRESS_H

#include "models/program/report.h"

typedef struct progress {
    const char *what;    /* "training": borrowed */
    int64_t first, done, total;
    double opened, shown; /* seconds */
    bool bar, colour;
    char note[32];       /* "epoch 2/16": what stands before the bar */
} progress;

/* `done` of `total` steps lie behind (a run that is continued); nothing is printed yet. */
void progress_open(progress *p, const char *what, int64_t done, int64_t total);

/* What stands before the bar from now on; NULL: nothing. Cut to 31 characters. */
void progress_note(progress *p, const char *note);

/* `done` steps lie behind; loss is that of the last (NaN: shown as none). */
void progress_step(progress *p, int64_t done, double loss);

/* Takes the bar away. Lines of report.h may be printed at any time, bar or not. */
void progress_close(progress *p);

/* "1:02:03", "2:03", "0:07" of a number of seconds; returns buf. */
const char *progress_time(double seconds, char buf[32]);

#endif
