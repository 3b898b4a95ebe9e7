/* Finding and running the C compiler. */
#define _GNU_SOURCE /* secure_getenv, prlimit, pipe2 */
#include "compiler/cc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

const char *wf_cc_env(const char *name) {
    const char *v = secure_getenv(name);
    return v && *v ? v : NULL;
}

double wf_cc_limit(void) {
    const char *v = wf_cc_env("WF_CC_LIMIT");
    const double s = v ? strtod(v, NULL) : 0;
    return s > 0 && s < 3600 ? s : 60;
}

/* --- finding ---------------------------------------------------------------------------------- */

static bool is_program(wf_cc *cc) {
    struct stat st;
    if (stat(cc->path, &st) != 0 || !S_ISREG(st.st_mode) || access(cc->path, X_OK) != 0)
        return false;
    cc->size = st.st_size;
    cc->mtime_s = st.st_mtim.tv_sec;
    cc->mtime_ns = st.st_mtim.tv_nsec;
    return true;
}

static const char *search_path(void) {
    const char *path = wf_cc_env("PATH");
    return path ? path : "/usr/bin:/bin";
}

static bool find_in_path(wf_cc *cc, const char *name) {
    for (const char *at = search_path(); *at;) {
        const int n = (int)strcspn(at, ":");
        const int length = snprintf(cc->path, sizeof cc->path, "%.*s/%s", n, at, name);
        if (at[0] == '/' && length < (int)sizeof cc->path && is_program(cc)) return true;
        at += n + (at[n] == ':');
    }
    return false;
}

wf_status wf_cc_find(wf_cc *cc) {
    static const char *const names[] = {"cc", "gcc", "clang"};
    memset(cc, 0, sizeof *cc);
    const char *want = wf_cc_env("WF_CC");
    if (want && strchr(want, '/')) {
        const int n = snprintf(cc->path, sizeof cc->path, "%s", want);
        if (n < (int)sizeof cc->path && is_program(cc)) return WF_OK;
    } else if (want) {
        if (find_in_path(cc, want)) return WF_OK;
    } else {
        for (size_t i = 0; i < WF_COUNT(names); i++)
            if (find_in_path(cc, names[i])) return WF_OK;
        return wf_fail(WF_UNSUPPORTED, "no cc, gcc or clang in PATH; set WF_CC");
    }
    return wf_fail(WF_UNSUPPORTED, "WF_CC=%s is no program", want);
}

/* --- running ---------------------------------------------------------------------------------- */

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Only what finding programs and libraries needs: variables that change the output of a compiler
 * are not part of the cache's key. */
enum { ENV_SIZE = 6 };
static bool make_environment(char *env[ENV_SIZE], const char *dir) {
    const char *home = wf_cc_env("HOME"), *lib = wf_cc_env("LD_LIBRARY_PATH");
    int n = 0;
    bool ok = asprintf(&env[n], "PATH=%s", search_path()) >= 0 && ++n;
    ok = ok && asprintf(&env[n], "TMPDIR=%s", dir) >= 0 && ++n;
    ok = ok && asprintf(&env[n], "LC_ALL=C") >= 0 && ++n;
    if (ok && home) ok = asprintf(&env[n], "HOME=%s", home) >= 0 && ++n;
    if (ok && lib) ok = asprintf(&env[n], "LD_LIBRARY_PATH=%s", lib) >= 0 && ++n;
    env[n] = NULL;
    return ok;
}

static void limit_resources(pid_t pid, double limit_s) {
    const rlim_t mb = 1 << 20, seconds = (rlim_t)limit_s + 1;
    const struct {
        int what;
        rlim_t most;
    } limits[] = {{RLIMIT_AS, 4096 * mb}, {RLIMIT_FSIZE, 64 * mb}, {RLIMIT_CPU, seconds},
                  {RLIMIT_CORE, 0}};
    for (size_t i = 0; i < WF_COUNT(limits); i++) {
        struct rlimit r;
        if (prlimit(pid, limits[i].what, NULL, &r) != 0) continue;
        if (r.rlim_max > limits[i].most) r.rlim_max = limits[i].most;
        if (r.rlim_cur > r.rlim_max) r.rlim_cur = r.rlim_max;
        prlimit(pid, limits[i].what, &r, NULL);
    }
}

static int spawn(const wf_cc *cc, char *const argv[], char *const env[], int complaints,
                 pid_t *pid) {
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    sigaddset(&defaults, SIGCHLD);
    if (posix_spawn_file_actions_init(&files) != 0) return ENOMEM;
    if (posix_spawnattr_init(&attr) != 0) {
        posix_spawn_file_actions_destroy(&files);
        return ENOMEM;
    }
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                        POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &defaults);
    int e = posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    if (!e) e = posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    if (!e) e = posix_spawn_file_actions_adddup2(&files, complaints, 2);
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
    if (!e) e = posix_spawn_file_actions_addclosefrom_np(&files, 3);
#endif
    if (!e) e = posix_spawn(pid, cc->path, &files, &attr, argv, env);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    return e;
}

enum { COMPLAINT = 512, TICK_MS = 20 };

/* Reads what the child writes to its standard error until it closes it. False: stopped or too
 * late. */
static bool listen_to(int fd, char text[COMPLAINT], double until, const atomic_bool *stop) {
    size_t n = 0;
    char rest[COMPLAINT];
    text[0] = 0;
    for (;;) {
        if (now() > until || (stop && atomic_load(stop))) return false;
        struct pollfd p = {.fd = fd, .events = POLLIN};
        const int ready = poll(&p, 1, TICK_MS);
        if (ready == 0 || (ready < 0 && errno == EINTR)) continue;
        const bool room = n + 1 < COMPLAINT;
        const ssize_t got = read(fd, room ? text + n : rest, room ? COMPLAINT - 1 - n : COMPLAINT);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return true;
        if (room) n += (size_t)got;
        text[n] = 0;
    }
}

/* The child's exit status; 0 if the program's own SIGCHLD handling took it: what was made is
 * verified anyway. False: stopped or too late. */
static bool wait_for(pid_t pid, int *status, double until, const atomic_bool *stop) {
    for (;;) {
        const pid_t r = waitpid(pid, status, WNOHANG);
        if (r == pid) return true;
        if (r < 0 && errno != EINTR) {
            *status = 0;
            return true;
        }
        if (now() > until || (stop && atomic_load(stop))) return false;
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
}

static wf_status judge(const wf_cc *cc, bool in_time, int status, double limit_s, char *text,
                       const atomic_bool *stop) {
    text[strcspn(text, "\n")] = 0;
    if (!in_time && stop && atomic_load(stop))
        return wf_fail(WF_UNSUPPORTED, "%s was stopped", cc->path);
    if (!in_time)
        return wf_fail(WF_UNSUPPORTED, "%s took longer than %g s and was killed", cc->path,
                       limit_s);
    if (WIFSIGNALED(status))
        return wf_fail(WF_UNSUPPORTED, "%s died of signal %d", cc->path, WTERMSIG(status));
    if (status)
        return wf_fail(WF_UNSUPPORTED, "%s failed (%d): %s", cc->path, WEXITSTATUS(status), text);
    return WF_OK;
}

wf_status wf_cc_run(const wf_cc *cc, char *const argv[], const char *dir, double limit_s,
                    const atomic_bool *stop) {
    char *env[ENV_SIZE] = {0}, text[COMPLAINT] = "";
    int ends[2], e = ENOMEM, status = 0;
    pid_t pid = 0;
    const double until = now() + limit_s;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return wf_fail(WF_UNSUPPORTED, "no pipe to %s: %s", cc->path, strerror(errno));
    /* Out of the way of 0, 1 and 2, which may be closed in this program. */
    const int complaints = fcntl(ends[1], F_DUPFD_CLOEXEC, 3);
    if (complaints >= 0 && make_environment(env, dir)) e = spawn(cc, argv, env, complaints, &pid);
    for (int i = 0; env[i]; i++) free(env[i]);
    if (complaints >= 0) close(complaints);
    close(ends[1]);
    if (e) {
        close(ends[0]);
        return wf_fail(WF_UNSUPPORTED, "%s does not start: %s", cc->path, strerror(e));
    }
    limit_resources(pid, limit_s);
    const bool in_time = listen_to(ends[0], text, until, stop) &&
                         wait_for(pid, &status, until, stop);
    if (!in_time) {
        kill(-pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
    }
    close(ends[0]);
    return judge(cc, in_time, status, limit_s, text, stop);
}
