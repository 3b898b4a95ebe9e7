/* Running dot; see draw.h. Its picture comes through a pipe and is written aside, so that a
 * killed dot leaves nothing behind. It is the leader of a process group: what it starts is
 * killed with it. */
#include "models/program/draw.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "models/program/report.h"

extern char **environ;

/* dot as it runs: its picture, its messages, the beginning of them. */
typedef struct child {
    pid_t pid;
    int picture[2], messages[2]; /* pipes: [0] is read here; -1 when closed */
    char said[256];
    size_t n_said;
    double deadline;
} child;

const char *draw_format(const char *path) {
    static const char *const formats[] = {"svg", "png", "pdf"};
    const char *base = strrchr(path, '/'), *end = strrchr(base ? base : path, '.');
    for (size_t i = 0; end && i < WF_COUNT(formats); i++)
        if (!strcmp(end + 1, formats[i])) return formats[i];
    return NULL;
}

static void shut(int *fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

static bool open_pipe(int fd[2]) {
    return pipe(fd) == 0 && fcntl(fd[0], F_SETFD, FD_CLOEXEC) == 0 &&
           fcntl(fd[1], F_SETFD, FD_CLOEXEC) == 0;
}

static wf_status open_pipes(child *c) {
    c->picture[0] = c->picture[1] = c->messages[0] = c->messages[1] = -1;
    if (!open_pipe(c->picture) || !open_pipe(c->messages))
        return wf_fail(WF_MEMORY, "cannot make a pipe for dot: %s", strerror(errno));
    return WF_OK;
}

static void close_pipes(child *c) {
    for (int i = 0; i < 2; i++) {
        shut(&c->picture[i]);
        shut(&c->messages[i]);
    }
}

/* The text is dot's standard input: no file name is read as an option. */
static wf_status start(child *c, const char *format, const char *dot) {
    char option[8] = "-T";
    strncat(option, format, sizeof option - 3);
    char name[] = "dot";
    char *const argv[] = {name, option, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    if (access(dot, R_OK)) return wf_fail(WF_INPUT, "%s: cannot read it: %s", dot, strerror(errno));
    if (posix_spawn_file_actions_init(&files)) return wf_fail(WF_MEMORY, "no memory to start dot");
    int error = posix_spawnattr_init(&attributes);
    if (!error) {
        error = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
        if (!error) error = posix_spawnattr_setpgroup(&attributes, 0);
        if (!error) error = posix_spawn_file_actions_addopen(&files, 0, dot, O_RDONLY, 0);
        if (!error) error = posix_spawn_file_actions_adddup2(&files, c->picture[1], 1);
        if (!error) error = posix_spawn_file_actions_adddup2(&files, c->messages[1], 2);
        if (!error) error = posix_spawnp(&c->pid, name, &files, &attributes, argv, environ);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&files);
    shut(&c->picture[1]);
    shut(&c->messages[1]);
    if (!error) return WF_OK;
    return wf_fail(WF_UNSUPPORTED, error == ENOENT ? "there is no dot here; install Graphviz"
                                                   : "dot cannot be started: %s", strerror(error));
}

/* --- while it runs ---------------------------------------------------------------------------- */

/* Takes what the descriptor has; closes it at its end. */
static wf_status take(child *c, int *fd, wf_file *out) {
    char buffer[16384];
    const ssize_t n = read(*fd, buffer, sizeof buffer);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return WF_OK;
    if (n <= 0) {
        shut(fd);
        return WF_OK;
    }
    if (out) return wf_file_write(out, buffer, (size_t)n);
    for (ssize_t i = 0; i < n && c->n_said + 1 < sizeof c->said; i++)
        c->said[c->n_said++] = buffer[i];
    return WF_OK;
}

static wf_status too_slow(void) {
    return wf_fail(WF_UNSUPPORTED, "dot needs too long for this graph; fold it, or give it more "
                   "time");
}

/* Reads both pipes to their ends, or to the deadline. */
static wf_status listen_to(child *c, wf_file *out) {
    while (c->picture[0] >= 0 || c->messages[0] >= 0) {
        struct pollfd fd[2] = {{c->picture[0], POLLIN, 0}, {c->messages[0], POLLIN, 0}};
        const double left = c->deadline - report_seconds();
        if (left <= 0) return too_slow();
        if (poll(fd, 2, left < 1 ? (int)(left * 1000) + 1 : 1000) < 0 && errno != EINTR)
            return wf_fail(WF_MEMORY, "cannot wait for dot: %s", strerror(errno));
        wf_status s = fd[0].revents ? take(c, &c->picture[0], out) : WF_OK;
        if (!s && fd[1].revents) s = take(c, &c->messages[0], NULL);
        if (s) return s;
    }
    return WF_OK;
}

static wf_status wait_for(child *c) {
    int status = 0;
    pid_t got;
    while ((got = waitpid(c->pid, &status, WNOHANG)) == 0 || (got < 0 && errno == EINTR)) {
        if (report_seconds() > c->deadline) return too_slow();
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    c->pid = 0;
    if (got > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0) return WF_OK;
    c->said[c->n_said] = 0;
    c->said[strcspn(c->said, "\r\n")] = 0;
    return wf_fail(WF_UNSUPPORTED, "dot failed%s%s", *c->said ? ": " : "", c->said);
}

wf_status draw_dot(const char *path, const char *dot, double seconds) {
    const char *format = draw_format(path);
    if (!format) return wf_fail(WF_ARGUMENT, "%s: not the name of a svg, png or pdf file", path);
    child c = {.pid = 0, .deadline = report_seconds() + seconds};
    wf_file *out = NULL;
    wf_status s = wf_file_create(&out, path);
    if (s) return s;
    s = open_pipes(&c);
    if (!s) s = start(&c, format, dot);
    if (!s) s = listen_to(&c, out);
    if (!s) s = wait_for(&c);
    if (s && c.pid > 0) {
        kill(-c.pid, SIGKILL);
        while (waitpid(c.pid, NULL, 0) < 0 && errno == EINTR) {}
    }
    close_pipes(&c);
    if (!s) return wf_file_commit(out);
    wf_file_discard(out);
    return s;
}
