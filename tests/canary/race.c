/* The canary of `make tsan`: "race" has two threads add to one number, "quiet" has an OpenMP team
 * and a barrier between writing and reading, which is no race. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static int number;
static int cell[2];

static void *add(void *unused) {
    for (int i = 0; i < 1000; i++) number++;
    return unused;
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "race") == 0) {
        pthread_t other;
        if (pthread_create(&other, NULL, add, NULL)) return 1;
        add(NULL);
        pthread_join(other, NULL);
        return printf("%d\n", number) < 0;
    }
    int sum = 0;
    for (int round = 0; round < 100; round++) {
#pragma omp parallel for num_threads(2)
        for (int i = 0; i < 2; i++) cell[i] = i + round;
#pragma omp parallel for num_threads(2) reduction(+ : sum)
        for (int i = 0; i < 2; i++) sum += cell[1 - i];
    }
    return sum == 10000 ? 0 : 1;
}
