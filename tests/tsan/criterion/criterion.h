/* What the tests use of Criterion, for ThreadSanitizer, under which Criterion's own processes
 * cannot start: every test is registered before main, and run by name (tests/tsan/main.c). */
#ifndef TESTS_TSAN_CRITERION_H
#define TESTS_TSAN_CRITERION_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef void tsan_fn(void);
typedef struct tsan_test {
    const char *suite, *name;
    tsan_fn *run;
    struct tsan_test *next;
} tsan_test;
void tsan_register(tsan_test *t);

typedef struct tsan_suite {
    const char *suite;
    tsan_fn *init, *fini;
    struct tsan_suite *next;
} tsan_suite;
void tsan_register_suite(tsan_suite *s);

void tsan_fail(const char *file, int line, const char *what, const char *format, ...)
    __attribute__((noreturn, format(printf, 4, 5)));

#define Test(suite_, name_, ...)                                                                   \
    static void suite_##_##name_(void);                                                            \
    __attribute__((constructor)) static void register_##suite_##_##name_(void) {                   \
        static tsan_test t = {#suite_, #name_, suite_##_##name_, NULL};                            \
        tsan_register(&t);                                                                         \
    }                                                                                              \
    static void suite_##_##name_(void)

#define TestSuite(suite_, ...)                                                                     \
    __attribute__((constructor)) static void register_##suite_(void) {                             \
        static tsan_suite s = {.suite = #suite_, __VA_ARGS__};                                     \
        tsan_register_suite(&s);                                                                   \
    }                                                                                              \
    struct tsan_suite

#define cr_assert(condition, ...)                                                                  \
    ((condition) ? (void)0 : tsan_fail(__FILE__, __LINE__, #condition, "" __VA_ARGS__))
#define cr_assert_eq(a, b, ...) cr_assert((a) == (b), __VA_ARGS__)
#define cr_assert_str_eq(a, b, ...) cr_assert(strcmp(a, b) == 0, __VA_ARGS__)
#define cr_assert_not(a, ...) cr_assert(!(a), __VA_ARGS__)
#define cr_assert_null(a, ...) cr_assert(!(a), __VA_ARGS__)
#define cr_assert_not_null(a, ...) cr_assert(a, __VA_ARGS__)
#define cr_assert_leq(a, b, ...) cr_assert((a) <= (b), __VA_ARGS__)
#define cr_assert_float_eq(a, b, within, ...) cr_assert(fabs((a) - (b)) <= (within), __VA_ARGS__)
#define cr_log_info(...) ((void)0)

#endif
