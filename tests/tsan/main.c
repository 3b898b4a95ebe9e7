/* Lists the tests that were linked in, or runs one: tsan-tests [SUITE/NAME]. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tests/tsan/criterion/criterion.h"

static tsan_test *all;
static tsan_suite *suites;

void tsan_register(tsan_test *t) {
    t->next = all;
    all = t;
}

void tsan_register_suite(tsan_suite *s) {
    s->next = suites;
    suites = s;
}

static void run(const tsan_test *t) {
    const tsan_suite *s = suites;
    while (s && strcmp(s->suite, t->suite) != 0) s = s->next;
    if (s && s->init) s->init();
    t->run();
    if (s && s->fini) s->fini();
}

void tsan_fail(const char *file, int line, const char *what, const char *format, ...) {
    va_list args;
    fprintf(stderr, "%s:%d: %s: ", file, line, what);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

int main(int argc, char **argv) {
    char name[256];
    for (const tsan_test *t = all; t; t = t->next) {
        snprintf(name, sizeof name, "%s/%s", t->suite, t->name);
        if (argc < 2) {
            puts(name);
        } else if (strcmp(argv[1], name) == 0) {
            run(t);
            return 0;
        }
    }
    return argc < 2 ? 0 : 2;
}
