/* What a program tells people: errors and progress on stderr, one line each, and exit codes.
 * Results go to stdout and nothing else does. */
#ifndef MODELS_PROGRAM_REPORT_H
#define MODELS_PROGRAM_REPORT_H

#include "nn/nn.h"

/* Exit codes: name, value, meaning. */
#define EXIT_CODE_MAP(X)                                                                           \
    X(OK, 0, "done")                                                                               \
    X(RUNTIME, 1, "the run failed")                                                                \
    X(USAGE, 2, "a wrong command line")                                                            \
    X(NOT_FINITE, 3, "a loss or gradient norm is not finite")                                      \
    X(INPUT, 4, "an input file is missing, unreadable or malformed")                               \
    X(OUTPUT, 5, "no memory, disk full or output not writable")                                    \
    X(INTERRUPTED, 130, "stopped by SIGINT; a training run has saved first")                       \
    X(TERMINATED, 143, "stopped by SIGTERM; a training run has saved first")

typedef enum exit_code {
#define X(name, value, text) EXIT_CODE_##name = value,
    EXIT_CODE_MAP(X)
#undef X
} exit_code;

/* The exit code for a failure of the library. */
exit_code exit_code_of(wf_status s);

/* "convlstm train": what every line on stderr begins with. Borrowed. */
void report_set_name(const char *program, const char *command);

/* A file that the next messages are about: "convlstm train: FILE: MESSAGE". NULL: none.
 * Borrowed. */
void report_set_place(const char *file);

/* Prints "convlstm train: MESSAGE" and returns `code`, so that a failing function ends
 * `return report_error(...)`. Control characters in the message (they come from file names and
 * options) are printed as '?', so that it stays one line. */
exit_code report_error(exit_code code, const char *format, ...) WF_PRINTF(2, 3);

/* Prints the library's last message and returns the code of s. */
exit_code report_failure(wf_status s);

/* Prints one line of progress, without a prefix. */
void report_progress(const char *format, ...) WF_PRINTF(1, 2);

/* Prints text of any length and any number of lines, as a table before a run. */
void report_text(const char *text);

/* The line at the bottom of a terminal that is written over again and again; other lines go above
 * it. NULL takes it away. For progress.c, which decides whether there is a terminal. */
void report_bar(const char *text);

/* Seconds of a clock that only runs forward. */
double report_seconds(void);

#endif
