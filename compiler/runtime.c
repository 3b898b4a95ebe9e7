/* What the library found on this machine: for `doctor` commands and for the record of a run. */
#include <dirent.h>
#include <fcntl.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compiler/cache.h"
#include "compiler/code.h"
#include "compiler/compiler.h"
#include "tensor/kernels/cpu.h"

/* The first "model name" of /proc/cpuinfo; elsewhere "". */
static void find_cpu(char *out, size_t size) {
    static const char key[] = "model name";
    char line[512];
    FILE *f = fopen("/proc/cpuinfo", "re");
    out[0] = 0;
    while (f && !out[0] && fgets(line, sizeof line, f)) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, key, sizeof key - 1) || !colon) continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(out, size, "%s", colon + 1 + strspn(colon + 1, " \t"));
    }
    if (f) fclose(f);
}

static void count_entries(const wf_cache *c, wf_runtime_info *info) {
    static const char end[] = ".code";
    const int fd = openat(c->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d && fd >= 0) close(fd);
    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat st;
        const size_t n = strlen(e->d_name);
        if (n < sizeof end || strcmp(e->d_name + n - (sizeof end - 1), end)) continue;
        if (fstatat(c->dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW)) continue;
        info->cache_entries++;
        info->cache_bytes += st.st_size;
    }
    if (d) closedir(d);
}

static void find_cache(wf_runtime_info *info) {
    wf_cache c = wf_cache_open();
    snprintf(info->cache, sizeof info->cache, "%s", c.path);
    info->cache_usable = c.dir >= 0;
    if (c.dir < 0)
        snprintf(info->cache_problem, sizeof info->cache_problem, "%s",
                 !c.path[0] ? "neither XDG_CACHE_HOME nor HOME is an absolute path"
                 : c.why    ? c.why
                            : "cannot be made or opened");
    else if (faccessat(c.dir, ".", W_OK, AT_EACCESS))
        snprintf(info->cache_problem, sizeof info->cache_problem, "is not writable");
    if (c.dir >= 0) count_entries(&c, info);
    wf_cache_close(&c);
}

static void find_compiler(wf_runtime_info *info) {
    wf_cc cc;
    if (wf_cc_find(&cc) == WF_OK)
        snprintf(info->compiler, sizeof info->compiler, "%s", cc.path);
    else
        snprintf(info->compiler_problem, sizeof info->compiler_problem, "%s", wf_error());
}

void wf_runtime_describe(wf_runtime_info *info) {
    static const char *const modes[] = {"off", "background", "sync"};
    *info = (wf_runtime_info){
        .version = WF_VERSION,
#if defined(__clang__)
        .built_with = "clang " __clang_version__,
#else
        .built_with = "gcc " __VERSION__,
#endif
        .isa = wf_isa_name(wf_isa_get()),
        .jit = modes[wf_code_mode_get()],
        .precision = wf_precision_name(wf_precision_resolve(WF_PRECISION_AUTO)),
        .native_bf16 = wf_cpu_has_bf16(),
        .threads = wf_threads(),
        .cores = omp_get_num_procs(),
    };
    find_cpu(info->cpu, sizeof info->cpu);
    find_compiler(info);
    find_cache(info);
}
