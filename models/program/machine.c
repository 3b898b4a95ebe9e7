/* Reading limits of memory; see machine.h. A file that is missing means no limit.
 *
 * A group's free memory is its limit less its usage, where clean file pages that the kernel would
 * drop (inactive_file) do not count as used. Source: the kernel's cgroup-v1/memory.rst and
 * cgroup-v2.rst. */
#include "models/program/machine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define PATH_BYTES 2048

static FILE *open_at(const char *root, const char *path) {
    char full[PATH_BYTES * 2];
    snprintf(full, sizeof full, "%s%s", root, path);
    return fopen(full, "re");
}

/* The number in a file; -1 if there is none ("max", or no file). */
static int64_t read_number(const char *root, const char *folder, const char *name) {
    char path[PATH_BYTES + 64];
    int64_t v = -1;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = open_at(root, path);
    if (!f) return -1;
    if (fscanf(f, "%" SCNd64, &v) != 1 || v < 0) v = -1;
    fclose(f);
    return v;
}

/* The number behind `key` in a file of lines "key number"; -1 if there is none. */
static int64_t read_key(const char *root, const char *path, const char *key) {
    char line[256];
    int64_t v = -1;
    const size_t n = strlen(key);
    FILE *f = open_at(root, path);
    while (f && v < 0 && fgets(line, sizeof line, f))
        if (!strncmp(line, key, n) && (line[n] == ' ' || line[n] == ':'))
            v = strtoll(line + n + 1, NULL, 10);
    if (f) fclose(f);
    return v;
}

static void lower(memory_state *m, int64_t available, const char *limit) {
    if (available < 0) available = 0;
    if (available >= m->available) return;
    m->available = available;
    m->limit = limit;
}

static void check_group(memory_state *m, const char *root, const char *folder, bool v2) {
    const int64_t most = read_number(root, folder, v2 ? "memory.max" : "memory.limit_in_bytes");
    if (most < 0 || most > INT64_C(1) << 60) return; /* version 1 has a huge number for none */
    const int64_t used = read_number(root, folder, v2 ? "memory.current" : "memory.usage_in_bytes");
    char stat[PATH_BYTES + 64];
    snprintf(stat, sizeof stat, "%s/memory.stat", folder);
    const int64_t clean = read_key(root, stat, v2 ? "inactive_file" : "total_inactive_file");
    lower(m, most - (used > 0 ? used : 0) + (clean > 0 ? clean : 0), "control group's limit");
}

/* The group at `path` below `base` and all its parents. Inside a container the path is the host's
 * and does not exist; the base then is the container's own group. */
static void check_groups(memory_state *m, const char *root, const char *base, const char *path,
                         bool v2) {
    char folder[PATH_BYTES];
    if (snprintf(folder, sizeof folder, "%s%s", base, path) >= (int)sizeof folder) return;
    const size_t n = strlen(base);
    for (;;) {
        check_group(m, root, folder, v2);
        char *slash = strrchr(folder, '/');
        if (strlen(folder) <= n || !slash) return;
        *slash = 0;
        if (strlen(folder) < n) return;
    }
}

/* Lines of /proc/self/cgroup: "0::/path" (version 2), "4:memory:/path" (version 1). */
static void check_all_groups(memory_state *m, const char *root) {
    char line[PATH_BYTES];
    FILE *f = open_at(root, "/proc/self/cgroup");
    while (f && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':'), *path;
        if (!controllers || !(path = strchr(++controllers, ':'))) continue;
        *path++ = 0;
        if (!*controllers)
            check_groups(m, root, "/sys/fs/cgroup", path, true);
        else if (!strcmp(controllers, "memory"))
            check_groups(m, root, "/sys/fs/cgroup/memory", path, false);
    }
    if (f) fclose(f);
}

static void check_limit(memory_state *m, int resource, const char *key, const char *limit) {
    struct rlimit r;
    if (getrlimit(resource, &r) || r.rlim_cur == RLIM_INFINITY) return;
    const int64_t used = read_key("", "/proc/self/status", key);
    lower(m, (int64_t)r.rlim_cur - (used > 0 ? used * 1024 : 0), limit);
}

memory_state machine_memory_at(const char *root) {
    memory_state m = {.available = INT64_MAX, .limit = "nothing known"};
    const int64_t total = read_key(root, "/proc/meminfo", "MemTotal"),
                  free_now = read_key(root, "/proc/meminfo", "MemAvailable");
    if (total > 0) m.total = total * 1024;
    if (free_now >= 0) lower(&m, free_now * 1024, "memory of the machine");
    check_all_groups(&m, root);
    check_limit(&m, RLIMIT_AS, "VmSize", "ulimit -v");
    check_limit(&m, RLIMIT_DATA, "VmData", "ulimit -d");
    return m;
}

memory_state machine_memory(void) {
    return machine_memory_at("");
}
