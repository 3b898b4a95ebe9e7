/* Several copies of the library in one process: copies local|global A.so B.so ...
 * They train in turn, at the same time, and after the first is closed; each keeps its own hook for
 * its log, and all give the same bits. A copy must not call into another: its lines would go to the
 * other's hook, and it would not outlive it. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { MOST = 4, STEPS = 40 };
typedef void hook_fn(int *lines);
typedef uint32_t train_fn(int steps);

static train_fn *train[MOST];
static uint32_t bits[MOST];
static int lines[MOST];

static void *in_thread(void *k) {
    bits[*(int *)k] = train[*(int *)k](STEPS);
    return NULL;
}

static int fail(const char *what, int k) {
    return fprintf(stderr, "copies: number %d %s\n", k, what), 1;
}

int main(int argc, char **argv) {
    void *object[MOST];
    hook_fn *hook[MOST];
    const int n = argc - 2;
    if (n < 2 || n > MOST) return 2;
    const int mode = strcmp(argv[1], "global") == 0 ? RTLD_GLOBAL : RTLD_LOCAL;
    for (int k = 0; k < n; k++) {
        object[k] = dlopen(argv[k + 2], RTLD_NOW | mode);
        if (!object[k]) return fail(dlerror(), k);
        *(void **)&train[k] = dlsym(object[k], "copy_train");
        *(void **)&hook[k] = dlsym(object[k], "copy_hook");
        for (int j = 0; j < k; j++)
            if (train[j] == train[k]) return fail("is one before it", k);
    }
    for (int k = 0; k < n; k++) hook[k](&lines[k]);
    for (int k = 0; k < n; k++) {
        bits[k] = train[k](STEPS);
        if (!bits[k] || bits[k] != bits[0]) return fail("gives other bits", k);
        for (int j = 0; j < n; j++)
            if (lines[j] != (j <= k)) return fail("logs to another's hook", k);
    }
    const uint32_t want = bits[0];
    pthread_t thread[MOST];
    int number[MOST];
    for (int k = 0; k < n; k++) {
        number[k] = k;
        if (pthread_create(&thread[k], NULL, in_thread, &number[k])) return 1;
    }
    for (int k = 0; k < n; k++) pthread_join(thread[k], NULL);
    for (int k = 0; k < n; k++)
        if (bits[k] != want) return fail("gives other bits beside the others", k);
    if (dlclose(object[0])) return fail(dlerror(), 0);
    for (int k = 1; k < n; k++)
        if (train[k](STEPS) != want) return fail("gives other bits once the first is closed", k);
    printf("copies: %d, the same bits %08x\n", n, want);
    return 0;
}
