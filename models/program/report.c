/* Errors and progress on stderr; see report.h. A line is put together before it is written, so that
 * lines of processes that share a stderr do not mix. */
#include "models/program/report.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *program_name = "weft", *command_name, *place;
static bool bar_shown;

void report_set_name(const char *program, const char *command) {
    program_name = program;
    command_name = command;
}

void report_set_place(const char *file) {
    place = file;
}

exit_code exit_code_of(wf_status s) {
    switch (s) {
    case WF_OK: return EXIT_CODE_OK;
    case WF_INPUT:
    case WF_FORMAT: return EXIT_CODE_INPUT;
    case WF_OUTPUT:
    case WF_MEMORY: return EXIT_CODE_OUTPUT;
    case WF_ARGUMENT: return EXIT_CODE_USAGE;
    case WF_NOT_FINITE: return EXIT_CODE_NOT_FINITE;
    default: return EXIT_CODE_RUNTIME;
    }
}

static const char *bar_end(void) {
    const char *clear = bar_shown ? "\r\033[K" : "";
    bar_shown = false;
    return clear;
}

static void write_line(const char *prefix, const char *format, va_list arguments) {
    char line[2048];
    size_t n = 0;
    if (prefix) {
        n = (size_t)snprintf(line, 256, "%s%s%s: ", prefix, command_name ? " " : "",
                             command_name ? command_name : "");
        if (n > 255) n = 255;
        if (place) n += (size_t)snprintf(line + n, 1024, "%.1000s: ", place);
    }
    vsnprintf(line + n, sizeof line - n - 1, format, arguments);
    for (char *c = line; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f) *c = '?';
    fprintf(stderr, "%s%s\n", bar_end(), line);
}

exit_code report_error(exit_code code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    write_line(program_name, format, arguments);
    va_end(arguments);
    return code;
}

exit_code report_failure(wf_status s) {
    const char *message = wf_error();
    return report_error(exit_code_of(s), "%s", *message ? message : wf_status_text(s));
}

void report_progress(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    write_line(NULL, format, arguments);
    va_end(arguments);
}

void report_text(const char *text) {
    fprintf(stderr, "%s%s", bar_end(), text);
}

void report_bar(const char *text) {
    const char *clear = bar_end();
    fprintf(stderr, "%s%s", clear, text ? text : "");
    fflush(stderr);
    bar_shown = text != NULL;
}

double report_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
