/* The number of threads that programs take. A quota is a limit on CPU time: more threads than it
 * has CPUs would be stopped all together for most of every period. */
#define _GNU_SOURCE /* getline */
#include "compiler/threads.h"

#include <omp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/compiler.h"

enum { PATH = 4096, MAX_THREADS = 1024 };

/* --- quotas ----------------------------------------------------------------------------------- */

/* The CPUs of a control group, in its folder; 0: no limit there. */
static double group_cpus(const char *folder, bool v2) {
    char path[PATH + 64];
    double quota = 0, period = 0;
    snprintf(path, sizeof path, "%s/%s", folder, v2 ? "cpu.max" : "cpu.cfs_quota_us");
    FILE *f = fopen(path, "re");
    if (!f) return 0;
    const int n = fscanf(f, v2 ? "%lf %lf" : "%lf", &quota, &period); /* "max 100000": none */
    fclose(f);
    if (v2) return n == 2 && quota > 0 && period > 0 ? quota / period : 0;
    snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder);
    if (n != 1 || quota <= 0 || !(f = fopen(path, "re"))) return 0; /* -1: none */
    const bool ok = fscanf(f, "%lf", &period) == 1 && period > 0;
    fclose(f);
    return ok ? quota / period : 0;
}

/* The least of the group `name` ("/a/b") and those above it. The files of a group that is not
 * mounted here, as in a container, are missing; those of the mount's own root are there. */
static double least_cpus(const char *mount, const char *name, bool v2) {
    char folder[PATH];
    double least = 0;
    const int n = snprintf(folder, sizeof folder, "%s%s", mount, name);
    if (n < 0 || n >= (int)sizeof folder) return 0;
    const size_t stop = strlen(mount);
    for (;;) {
        const double cpus = group_cpus(folder, v2);
        if (cpus > 0 && (least == 0 || cpus < least)) least = cpus;
        if (strlen(folder) <= stop) return least;
        char *slash = strrchr(folder + stop, '/');
        folder[slash ? (size_t)(slash - folder) : stop] = 0;
    }
}

static bool has_cpu(char *controllers) {
    char *rest = NULL;
    for (char *c = strtok_r(controllers, ",", &rest); c; c = strtok_r(NULL, ",", &rest))
        if (strcmp(c, "cpu") == 0) return true;
    return false;
}

/* Lines of /proc/self/cgroup: "0::/a/b" in v2, "4:cpu,cpuacct:/a/b" in v1. */
int wf_cgroup_cpus(const char *root) {
    char mount[PATH], *line = NULL;
    size_t cap = 0;
    double least = 0;
    snprintf(mount, sizeof mount, "%s/proc/self/cgroup", root);
    FILE *f = fopen(mount, "re");
    while (f && getline(&line, &cap, f) > 0) {
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':'), *name = controllers ? strchr(controllers + 1, ':')
                                                                   : NULL;
        if (!name) continue;
        *name++ = 0;
        controllers++;
        const bool v2 = !*controllers;
        snprintf(mount, sizeof mount, "%s/sys/fs/cgroup%s%s", root, v2 ? "" : "/", controllers);
        if (!v2 && !has_cpu(controllers)) continue;
        const double cpus = least_cpus(mount, name, v2);
        if (cpus > 0 && (least == 0 || cpus < least)) least = cpus;
    }
    free(line);
    if (f) fclose(f);
    const double up = least < MAX_THREADS ? least : MAX_THREADS;
    return (int)up + ((double)(int)up < up);
}

/* --- fork ------------------------------------------------------------------------------------- */

static atomic_bool at_work, forked;
static pthread_once_t watched = PTHREAD_ONCE_INIT;

static void in_child(void) {
    if (atomic_load(&at_work)) atomic_store(&forked, true);
}
static void watch_forks(void) { pthread_atfork(NULL, NULL, in_child); }

int wf_team_size(int wanted) {
    if (wanted <= 1 || atomic_load_explicit(&forked, memory_order_relaxed)) return 1;
    pthread_once(&watched, watch_forks);
    atomic_store_explicit(&at_work, true, memory_order_relaxed);
    return wanted;
}

/* --- the default ------------------------------------------------------------------------------ */

static atomic_int chosen; /* 0: none */

wf_status wf_set_threads(int threads) {
    if (threads < 0 || threads > MAX_THREADS)
        return wf_fail(WF_ARGUMENT, "wf_set_threads: %d threads; 0 to %d can be asked for", threads,
                       MAX_THREADS);
    atomic_store(&chosen, threads);
    return WF_OK;
}

int wf_threads(void) {
    if (atomic_load_explicit(&forked, memory_order_relaxed)) return 1;
    const int asked = atomic_load(&chosen), most = omp_get_max_threads();
    if (asked) return asked;
    const char *env = getenv("OMP_NUM_THREADS");
    const bool told = (env && *env) || most != omp_get_num_procs();
    const int quota = told ? 0 : wf_cgroup_cpus("");
    const int n = quota && quota < most ? quota : most;
    return n < 1 ? 1 : n < MAX_THREADS ? n : MAX_THREADS;
}
