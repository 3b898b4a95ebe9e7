/* Tests that must turn a run red: proof that the detectors are armed. Each is run alone by san.sh,
 * which fails when one of them passes. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

Test(canary, failing) { cr_assert(1 + 1 == 3); }

Test(canary, leaking) {
    char *volatile p = malloc(4242);
    memset(p, 1, 4242);
    p = NULL;
    cr_assert(p == NULL);
}

Test(canary, out_of_bounds) {
    char *volatile p = malloc(16);
    volatile int i = 16;
    p[i] = 1;
    free(p);
    cr_assert(1);
}

Test(canary, undefined) {
    volatile int big = 2147483647;
    big = big + 1;
    cr_assert(1);
}

Test(canary, passing) { cr_assert(1); }
