/* Files below the formats: mapping for readers, atomic replacement for writers.
 *
 * Invariants
 *   - A final name never holds half a file: bytes go to a temporary name in the same directory,
 *     which is fsynced and closed before it is renamed; then the directory is fsynced.
 *   - The first error of a written file is kept and reported by commit, so that a caller may check
 *     once. A failed fsync is a failed write; it is never retried on the same descriptor.
 *   - Only regular files are read or replaced: a device, FIFO or directory is refused, not opened.
 * Source: the order of calls is that of Redis (aof.c) and of the POSIX rationale for fsync. */
#include "tensor/file.h"

#include "tensor/io.h"
#include "tensor/size.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *file_kind(mode_t mode) {
    if (S_ISDIR(mode)) return "a directory";
    if (S_ISFIFO(mode)) return "a FIFO";
    if (S_ISSOCK(mode)) return "a socket";
    return "a device";
}

/* --- reading ---------------------------------------------------------------------------------- */

static wf_status map_descriptor(wf_map *out, int fd, const char *path) {
    struct stat st;
    if (fstat(fd, &st)) return wf_fail(WF_INPUT, "%s: cannot read it: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return wf_fail(WF_INPUT, "%s: is %s; give a regular file", path, file_kind(st.st_mode));
    if ((uintmax_t)st.st_size > (uintmax_t)PTRDIFF_MAX)
        return wf_fail(WF_MEMORY, "%s: too large for this machine's address space", path);
    out->bytes = (size_t)st.st_size;
    out->data = (const uint8_t *)"";
    if (out->bytes == 0) return WF_OK;
    void *p = mmap(NULL, out->bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return wf_fail(WF_MEMORY, "%s: cannot map %zu bytes: %s", path, out->bytes,
                       strerror(errno));
    out->data = p;
    return WF_OK;
}

wf_status wf_map_open(wf_map *out, const char *path) {
    *out = (wf_map){0};
    if (!path) return wf_fail(WF_ARGUMENT, "the path of the file to read is NULL");
    /* O_NONBLOCK: opening a FIFO without a writer returns, to be refused. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return wf_fail(WF_INPUT, "%s: cannot open it: %s", path, strerror(errno));
    const wf_status s = map_descriptor(out, fd, path);
    close(fd);
    if (s) *out = (wf_map){0};
    return s;
}

void wf_map_close(wf_map *m) {
    if (m->bytes) munmap((void *)m->data, m->bytes);
    *m = (wf_map){0};
}

/* --- writing ---------------------------------------------------------------------------------- */

#define BUFFER_BYTES 65536

struct wf_file {
    int fd, dir_fd;
    int error;         /* errno of the first failure, 0 if none */
    const char *doing; /* what failed */
    char *path;        /* final name, for messages */
    const char *base;  /* its last component, inside path */
    char temp[64];     /* temporary name in the same directory */
    size_t used;
    uint8_t buffer[BUFFER_BYTES];
};

static void note(wf_file *f, const char *doing, int error) {
    if (f->error) return;
    f->doing = doing;
    f->error = error ? error : EIO;
}

static void write_all(wf_file *f, const uint8_t *p, size_t bytes) {
    while (bytes > 0 && !f->error) {
        const ssize_t n = write(f->fd, p, bytes < INT_MAX ? bytes : INT_MAX);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            note(f, "write", n < 0 ? errno : ENOSPC);
            return;
        }
        p += n;
        bytes -= (size_t)n;
    }
}

static void flush_buffer(wf_file *f) {
    write_all(f, f->buffer, f->used);
    f->used = 0;
}

static void file_free(wf_file *f) {
    if (f->fd >= 0) close(f->fd);
    if (f->dir_fd >= 0) close(f->dir_fd);
    free(f->path);
    free(f);
}

/* Opens the directory of f->path, so that a later chdir or a renamed parent changes nothing. */
static wf_status open_directory(wf_file *f) {
    char *slash = strrchr(f->path, '/');
    f->base = slash ? slash + 1 : f->path;
    if (f->base[0] == '\0' || !strcmp(f->base, ".") || !strcmp(f->base, ".."))
        return wf_fail(WF_OUTPUT, "'%s': not a file name; give the name of a file", f->path);
    const char *dir = slash == f->path ? "/" : slash ? f->path : ".";
    if (slash && slash != f->path) *slash = '\0';
    f->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int error = errno;
    if (slash) *slash = '/';
    if (f->dir_fd >= 0) return WF_OK;
    return wf_fail(WF_OUTPUT, "%s: cannot open its directory: %s", f->path, strerror(error));
}

/* A name that no other process, thread or earlier run holds; the mode is what umask leaves. */
static wf_status open_temporary(wf_file *f) {
    static atomic_uint serial;
    for (int i = 0; i < 100; i++) {
        snprintf(f->temp, sizeof f->temp, ".weft-%ld-%u.tmp", (long)getpid(),
                 atomic_fetch_add(&serial, 1u));
        f->fd = openat(f->dir_fd, f->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                       0666);
        if (f->fd >= 0) return WF_OK;
        if (errno != EEXIST && errno != EINTR) break;
    }
    return wf_fail(WF_OUTPUT, "%s: cannot create a file in its directory: %s", f->path,
                   strerror(errno));
}

/* The name to replace: a symbolic link is followed, so that it stays a link. */
static wf_status resolve_target(char **target, struct stat *st, const char *path) {
    const bool is_link = lstat(path, st) == 0 && S_ISLNK(st->st_mode);
    *target = is_link ? realpath(path, NULL) : strdup(path);
    if (!*target)
        return wf_fail(is_link ? WF_OUTPUT : WF_MEMORY, "%s: cannot %s: %s", path,
                       is_link ? "follow this link" : "copy its name", strerror(errno));
    memset(st, 0, sizeof *st);
    if (stat(*target, st) == 0 && !S_ISREG(st->st_mode))
        return wf_fail(WF_OUTPUT, "%s: is %s; give the name of a regular file", path,
                       file_kind(st->st_mode));
    return WF_OK;
}

wf_status wf_file_create(wf_file **out, const char *path) {
    *out = NULL;
    if (!path) return wf_fail(WF_ARGUMENT, "the path of the file to write is NULL");
    wf_file *f = malloc(sizeof *f);
    if (!f) return wf_fail(WF_MEMORY, "%s: no memory to write it", path);
    memset(f, 0, offsetof(wf_file, buffer));
    f->fd = f->dir_fd = -1;
    struct stat st = {0};
    wf_status s = resolve_target(&f->path, &st, path);
    if (!s) s = open_directory(f);
    if (!s) s = open_temporary(f);
    if (s) {
        file_free(f);
        return s;
    }
    /* A file that was private stays private; failing to do so is not worth failing for. */
    if (S_ISREG(st.st_mode) && fchmod(f->fd, st.st_mode & 0777)) errno = 0;
    *out = f;
    return WF_OK;
}

static wf_status file_status(const wf_file *f) {
    if (!f->error) return WF_OK;
    return wf_fail(WF_OUTPUT, "%s: cannot %s it: %s; it is left as it was", f->path, f->doing,
                   strerror(f->error));
}

wf_status wf_file_write(wf_file *f, const void *data, size_t bytes) {
    if (bytes > BUFFER_BYTES - f->used) flush_buffer(f);
    if (bytes >= BUFFER_BYTES) {
        write_all(f, data, bytes);
    } else if (bytes > 0) {
        memcpy(f->buffer + f->used, data, bytes);
        f->used += bytes;
    }
    return file_status(f);
}

wf_status wf_file_commit(wf_file *f) {
    if (!f) return wf_fail(WF_ARGUMENT, "wf_file_commit: the file is NULL");
    flush_buffer(f);
    if (!f->error && fsync(f->fd)) note(f, "fsync", errno);
    if (close(f->fd)) note(f, "close", errno);
    f->fd = -1;
    if (!f->error && renameat(f->dir_fd, f->temp, f->dir_fd, f->base)) note(f, "rename", errno);
    if (f->error) {
        const wf_status s = file_status(f);
        wf_file_discard(f);
        return s;
    }
    /* EINVAL and EROFS: a file system without fsync for directories. */
    wf_status s = WF_OK;
    if (fsync(f->dir_fd) && errno != EINVAL && errno != EROFS && errno != ENOTSUP)
        s = wf_fail(WF_OUTPUT, "%s: written, but its directory cannot be fsynced: %s", f->path,
                    strerror(errno));
    file_free(f);
    return s;
}

void wf_file_discard(wf_file *f) {
    if (!f) return;
    unlinkat(f->dir_fd, f->temp, 0);
    file_free(f);
}

/* A process id that is in use again keeps a file that could go: the next sweep finds it. */
void wf_file_sweep(const char *dir) {
    DIR *d = dir ? opendir(dir) : NULL;
    if (!d) return;
    for (const struct dirent *e; (e = readdir(d));) {
        long pid;
        unsigned serial;
        int end = 0;
        if (sscanf(e->d_name, ".weft-%ld-%u.tmp%n", &pid, &serial, &end) < 2 || !end) continue;
        if (e->d_name[end] || pid < 1 || pid == getpid()) continue;
        if (kill((pid_t)pid, 0) && errno == ESRCH) unlinkat(dirfd(d), e->d_name, 0);
    }
    closedir(d);
}
