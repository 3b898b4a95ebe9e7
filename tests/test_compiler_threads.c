/* How many threads programs take: the default of the process, quotas of containers, and what is
 * left of a team after fork. And memory from the user's allocator. */
#include <criterion/criterion.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compiler/compiler.h"
#include "compiler/threads.h"

enum { N = 512 };

static float weight[N * N];

/* y = x w, work for several threads. */
static wf_program *compile(int threads, float *expected) {
    wf_graph *g = wf_graph_new();
    for (int i = 0; i < N * N; i++) weight[i] = (float)(i % 7);
    const wf_tensor x = wf_name(wf_full(g, WF_F32, WF_SHAPE(N, N), 1), "x");
    const wf_tensor w = wf_leaf(g, "w", WF_F32, WF_SHAPE(N, N), weight);
    const wf_tensor y = wf_name(wf_exp(wf_neg(wf_matmul(x, w))), "y");
    wf_program *p = NULL;
    const wf_status status = wf_compile(&p, g, &y, 1, (wf_compile_opt){.threads = threads});
    wf_graph_free(g);
    if (status) return NULL;
    if (expected && !wf_run(p)) memcpy(expected, wf_data_named(p, "y", NULL), sizeof weight);
    return p;
}

Test(compiler_threads, the_default) {
    const int before = wf_threads();
    cr_assert(before >= 1);
    cr_assert(!wf_set_threads(3) && wf_threads() == 3);
    wf_program *p = compile(0, NULL), *two = compile(2, NULL);
    cr_assert(wf_program_describe(p).threads == 3 && wf_program_describe(two).threads == 2);
    cr_assert(wf_set_threads(-1) == WF_ARGUMENT && wf_set_threads(5000) == WF_ARGUMENT);
    cr_assert(wf_threads() == 3, "a mistake changes nothing");
    cr_assert(!wf_set_threads(0) && wf_threads() == before);
    cr_assert(wf_program_describe(p).threads == 3, "a program keeps its own");
    wf_program_free(p);
    wf_program_free(two);
    omp_set_num_threads(5);
    cr_assert(wf_threads() == 5, "what OpenMP was told counts");
}

/* --- quotas ----------------------------------------------------------------------------------- */

static char root[] = "/tmp/weft-quota-XXXXXX";

static void put(const char *path, const char *text) {
    char all[512];
    snprintf(all, sizeof all, "%s%s", root, path);
    for (char *c = all + strlen(root) + 1; (c = strchr(c, '/')); *c++ = '/') {
        *c = 0;
        mkdir(all, 0755);
    }
    FILE *f = fopen(all, "w");
    cr_assert(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static void empty(void) {
    char line[128];
    snprintf(line, sizeof line, "rm -rf %s/*", root);
    cr_assert(system(line) == 0);
}

Test(compiler_threads, quotas) {
    cr_assert(mkdtemp(root));
    cr_assert(wf_cgroup_cpus(root) == 0, "no control groups");
    put("/proc/self/cgroup", "0::/\n");
    put("/sys/fs/cgroup/cpu.max", "max 100000\n");
    cr_assert(wf_cgroup_cpus(root) == 0, "no limit");
    put("/sys/fs/cgroup/cpu.max", "250000 100000\n");
    cr_assert(wf_cgroup_cpus(root) == 3, "two and a half, rounded up");
    put("/proc/self/cgroup", "0::/user/job\n");
    put("/sys/fs/cgroup/user/cpu.max", "100000 50000\n");
    put("/sys/fs/cgroup/user/job/cpu.max", "900000 100000\n");
    cr_assert(wf_cgroup_cpus(root) == 2, "the least on the way up");
    empty();
    put("/proc/self/cgroup", "12:memory:/m\n4:cpu,cpuacct:/box\n0::/\n");
    put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    cr_assert(wf_cgroup_cpus(root) == 0);
    put("/sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us", "50000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us", "100000\n");
    cr_assert(wf_cgroup_cpus(root) == 1, "half a CPU is one thread");
    put("/proc/self/cgroup", "nonsense\n4:cpu\n");
    cr_assert(wf_cgroup_cpus(root) == 0);
    empty();
    rmdir(root);
}

/* --- fork ------------------------------------------------------------------------------------- */

/* The exit code of a child that runs `p` and a program of its own; 100 more by a signal. */
static int child(wf_program *p, const float *expected) {
    fflush(NULL);
    const pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        if (wf_threads() != 1) _exit(2);
        if (wf_run(p) || memcmp(wf_data_named(p, "y", NULL), expected, sizeof weight)) _exit(3);
        float *own = calloc(1, sizeof weight);
        wf_program *q = compile(4, own);
        if (!q || memcmp(own, expected, sizeof weight)) _exit(4);
        wf_program_free(q);
        _exit(0);
    }
    int status = 0;
    cr_assert(pid > 0 && waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

Test(compiler_threads, after_fork, .timeout = 120) {
    float *expected = calloc(1, sizeof weight);
    wf_program *p = compile(4, expected);
    cr_assert(p, "%s", wf_error());
    const int code = child(p, expected);
    cr_assert(code == 0, "the child ended with %d", code);
    cr_assert(!wf_run(p), "the parent goes on");
    cr_assert(memcmp(wf_data_named(p, "y", NULL), expected, sizeof weight) == 0);
    cr_assert(wf_program_describe(p).threads == 4);
    wf_program_free(p);
    free(expected);
}

/* --- memory ----------------------------------------------------------------------------------- */

typedef struct ledger {
    int blocks, named;
    size_t bytes, most;
} ledger;

static void *lend(void *user, size_t bytes, const char *what) {
    ledger *l = user;
    if (l->bytes + bytes > l->most) return NULL;
    l->blocks++;
    l->named += what && *what;
    l->bytes += bytes;
    char *p = malloc(bytes + 1);
    memset(p, 0xff, bytes + 1);
    return p + 1;
}

static void take_back(void *user, void *data, size_t bytes) {
    ledger *l = user;
    l->blocks--;
    l->bytes -= bytes;
    free((char *)data - 1);
}

Test(compiler_threads, allocator) {
    float *expected = calloc(1, sizeof weight), *got = calloc(1, sizeof weight);
    wf_program_free(compile(2, expected));
    ledger l = {.most = SIZE_MAX};
    const wf_allocator a = {lend, take_back, &l};
    cr_assert(wf_set_allocator(&(wf_allocator){.free = take_back}) == WF_ARGUMENT);
    cr_assert(!wf_set_allocator(&a));
    wf_program *p = compile(2, got);
    cr_assert(p && l.blocks >= 2 && l.named >= l.blocks, "%d blocks", l.blocks);
    cr_assert(l.bytes >= sizeof weight, "the output's too");
    cr_assert((uintptr_t)wf_data_named(p, "y", NULL) % 64 == 0);
    cr_assert(memcmp(expected, got, sizeof weight) == 0);
    l.most = l.bytes + 1000;
    cr_assert(!compile(2, NULL) && strstr(wf_error(), "the allocator refuses"), "%s", wf_error());
    cr_assert(!wf_set_allocator(NULL));
    wf_program *q = compile(2, NULL);
    const int blocks = l.blocks;
    wf_program_free(q);
    cr_assert(l.blocks == blocks, "the system's memory goes back to the system");
    wf_program_free(p);
    cr_assert(l.blocks == 0 && l.bytes == 0);
    free(expected);
    free(got);
}
