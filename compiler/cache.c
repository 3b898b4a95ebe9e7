/* The directory of compiled code: safe to open, safe to read, written whole, bounded. */
#define _GNU_SOURCE /* secure_getenv */
#include "compiler/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ABI = 1 }; /* of wf_group_fn and of the entries */
enum { LARGEST = 32 << 20, STALE_S = 3600 };
static const char magic[] = "weft code 1\n";
enum { HEADER = sizeof magic - 1 + 2 * WF_CACHE_KEY }; /* two lines of 64 digits */
static const char suffix[] = ".code";

/* --- digests ---------------------------------------------------------------------------------- */

static void finish(SHA2_CTX *c, char hex[WF_CACHE_KEY]) {
    uint8_t sum[SHA256_DIGEST_LENGTH];
    SHA256Final(sum, c);
    for (int i = 0; i < SHA256_DIGEST_LENGTH; i++) sprintf(hex + 2 * i, "%02x", sum[i]);
}

static void digest(const void *data, size_t size, char hex[WF_CACHE_KEY]) {
    SHA2_CTX c;
    SHA256Init(&c);
    SHA256Update(&c, data, size);
    finish(&c, hex);
}

/* With its end, so that fields cannot run into each other. */
static void add_text(SHA2_CTX *c, const char *text) {
    SHA256Update(c, (const uint8_t *)text, strlen(text) + 1);
}

void wf_cache_key(char key[WF_CACHE_KEY], const wf_cc *cc, const char *const *flags,
                  const char *isa, const char *source) {
    char numbers[128];
    SHA2_CTX c;
    SHA256Init(&c);
    snprintf(numbers, sizeof numbers, "%d %lld %lld %lld", ABI, (long long)cc->size,
             (long long)cc->mtime_s, (long long)cc->mtime_ns);
    add_text(&c, WF_VERSION);
    add_text(&c, numbers);
    add_text(&c, cc->path);
    add_text(&c, isa);
    for (; *flags; flags++) add_text(&c, *flags);
    add_text(&c, "");
    add_text(&c, source);
    finish(&c, key);
}

/* --- the directory ---------------------------------------------------------------------------- */

static void report_unsafe(const char *path, const char *why) {
    static atomic_flag said = ATOMIC_FLAG_INIT;
    if (!atomic_flag_test_and_set(&said))
        wf_log_line("%s %s: compiled code is not cached; remove it or set XDG_CACHE_HOME", path,
                    why);
}

/* False if no directory is named. Only absolute paths count, as in the XDG specification. */
static bool base_path(char *path, size_t size) {
    const char *xdg = wf_cc_env("XDG_CACHE_HOME"), *home = wf_cc_env("HOME");
    int n = -1;
    if (getauxval(AT_SECURE)) return false;
    if (xdg && xdg[0] == '/')
        n = snprintf(path, size, "%s", xdg);
    else if (home && home[0] == '/')
        n = snprintf(path, size, "%s/.cache", home);
    return n > 0 && (size_t)n < size;
}

/* Why the directory may not be used, or NULL. */
static const char *unsafe(int fd) {
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISDIR(st.st_mode)) return "is no directory";
    if (st.st_uid != geteuid()) return "belongs to another user";
    if ((st.st_mode & 07777) != 0700) return "is not of mode 0700";
    return NULL;
}

wf_cache wf_cache_open(void) {
    wf_cache c = {.dir = -1};
    char base[WF_CACHE_PATH - 16];
    if (!base_path(base, sizeof base)) return c;
    snprintf(c.path, sizeof c.path, "%s/weft", base);
    mkdir(base, 0700);
    const int at = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (at < 0) return c;
    mkdirat(at, "weft", 0700);
    c.dir = openat(at, "weft", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    const int e = errno;
    close(at);
    const char *why = c.dir >= 0                     ? unsafe(c.dir)
                      : e == ELOOP || e == ENOTDIR ? "is no directory"
                                                     : NULL;
    c.why = why;
    if (why) {
        report_unsafe(c.path, why);
        wf_cache_close(&c);
    }
    return c;
}

void wf_cache_close(wf_cache *c) {
    if (c->dir >= 0) close(c->dir);
    c->dir = -1;
}

/* --- reading ---------------------------------------------------------------------------------- */

static wf_status check_file(const struct stat *st, const char *name) {
    const char *why = !S_ISREG(st->st_mode)       ? "is no plain file"
                      : st->st_uid != geteuid()   ? "belongs to another user"
                      : st->st_mode & 022         ? "can be written by others"
                      : st->st_nlink != 1         ? "has another name"
                      : st->st_size > LARGEST     ? "is too large"
                                                  : NULL;
    return why ? wf_fail(WF_FORMAT, "%s %s", name, why) : WF_OK;
}

static wf_status read_all(int fd, const char *name, wf_bytes *out) {
    for (size_t n = 0; n < out->size;) {
        const ssize_t got = read(fd, out->data + n, out->size - n);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return wf_fail(WF_INPUT, "%s: %s", name, strerror(errno));
        if (got == 0) return wf_fail(WF_FORMAT, "%s became shorter", name);
        n += (size_t)got;
    }
    return WF_OK;
}

wf_status wf_cache_read_file(int dir, const char *name, wf_bytes *out) {
    struct stat st;
    *out = (wf_bytes){0};
    const int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return wf_fail(WF_NOT_FOUND, "%s: %s", name, strerror(errno));
    wf_status s = fstat(fd, &st) == 0 ? check_file(&st, name)
                                      : wf_fail(WF_INPUT, "%s: %s", name, strerror(errno));
    if (!s) {
        out->size = (size_t)st.st_size;
        out->data = malloc(out->size + 1);
        s = out->data ? read_all(fd, name, out) : wf_fail(WF_MEMORY, "no memory for %s", name);
    }
    if (!s) futimens(fd, NULL); /* used now */
    close(fd);
    if (!s) return WF_OK;
    free(out->data);
    *out = (wf_bytes){0};
    return s;
}

static void entry_name(char name[2 * WF_CACHE_KEY], const char *key) {
    snprintf(name, 2 * WF_CACHE_KEY, "%s%s", key, suffix);
}

/* The lines before the shared object. */
static void write_header(char text[HEADER + 1], const char *key, const void *code, size_t size) {
    char sum[WF_CACHE_KEY];
    digest(code, size, sum);
    snprintf(text, HEADER + 1, "%s%s\n%s\n", magic, key, sum);
}

bool wf_cache_read(const wf_cache *c, const char *key, wf_bytes *out) {
    char name[2 * WF_CACHE_KEY], header[HEADER + 1] = "";
    *out = (wf_bytes){0};
    if (c->dir < 0) return false;
    entry_name(name, key);
    if (wf_cache_read_file(c->dir, name, out)) return false;
    bool same = out->size > HEADER;
    if (same) {
        write_header(header, key, out->data + HEADER, out->size - HEADER);
        same = memcmp(header, out->data, HEADER) == 0;
    }
    if (!same) {
        wf_fail(WF_FORMAT, "%s/%s is damaged", c->path, name);
        free(out->data);
        *out = (wf_bytes){0};
        return false;
    }
    out->size -= HEADER;
    memmove(out->data, out->data + HEADER, out->size);
    return true;
}

/* --- writing ---------------------------------------------------------------------------------- */

typedef struct entry {
    char name[2 * WF_CACHE_KEY];
    int64_t size;
    struct timespec used;
} entry;

static int by_use(const void *a, const void *b) {
    const struct timespec *x = &((const entry *)a)->used, *y = &((const entry *)b)->used;
    if (x->tv_sec != y->tv_sec) return x->tv_sec < y->tv_sec ? -1 : 1;
    return x->tv_nsec < y->tv_nsec ? -1 : x->tv_nsec > y->tv_nsec;
}

static bool ends_with(const char *text, const char *end) {
    const size_t n = strlen(text), m = strlen(end);
    return n > m && strcmp(text + n - m, end) == 0;
}

/* What a killed process left: files written aside, and directories of compilers. */
static void remove_stale(const wf_cache *c, const char *name, const struct stat *st) {
    if (time(NULL) - st->st_mtim.tv_sec < STALE_S) return;
    if (S_ISREG(st->st_mode) && strncmp(name, "tmp-", 4) == 0) unlinkat(c->dir, name, 0);
    if (S_ISDIR(st->st_mode) && strncmp(name, "work-", 5) == 0) {
        char path[WF_CACHE_PATH + 256];
        const int n = snprintf(path, sizeof path, "%s/%s", c->path, name);
        if (n < (int)sizeof path) wf_cache_work_free(path);
    }
}

static size_t list_entries(const wf_cache *c, entry **list) {
    size_t n = 0, cap = 0;
    const int fd = openat(c->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d) {
        if (fd >= 0) close(fd);
        return 0;
    }
    for (struct dirent *e; (e = readdir(d));) {
        struct stat st;
        if (fstatat(c->dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) continue;
        remove_stale(c, e->d_name, &st);
        if (!ends_with(e->d_name, suffix) || strlen(e->d_name) >= sizeof(*list)->name) continue;
        if (n == cap) {
            cap = cap ? 2 * cap : 64;
            entry *more = realloc(*list, cap * sizeof *more);
            if (!more) break;
            *list = more;
        }
        entry *to = &(*list)[n++];
        strcpy(to->name, e->d_name);
        to->size = st.st_size;
        to->used = st.st_mtim;
    }
    closedir(d);
    return n;
}

static void trim(const wf_cache *c, int64_t limit) {
    entry *list = NULL;
    int64_t total = 0;
    const size_t n = list_entries(c, &list);
    for (size_t i = 0; i < n; i++) total += list[i].size;
    if (n > 0 && total > limit) qsort(list, n, sizeof *list, by_use);
    for (size_t i = 0; i < n && total > limit; i++) {
        unlinkat(c->dir, list[i].name, 0);
        total -= list[i].size;
    }
    free(list);
}

static bool write_all(int fd, const void *data, size_t size) {
    for (size_t n = 0; n < size;) {
        const ssize_t put = write(fd, (const char *)data + n, size - n);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return false;
        n += (size_t)put;
    }
    return true;
}

wf_status wf_cache_write(const wf_cache *c, const char *key, const wf_bytes *code, int64_t limit) {
    static atomic_uint serial;
    char name[2 * WF_CACHE_KEY], aside[64], header[HEADER + 1] = "";
    if (c->dir < 0) return WF_OK;
    trim(c, limit - (int64_t)code->size - HEADER);
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    snprintf(aside, sizeof aside, "tmp-%ld-%ld-%u", (long)getpid(), t.tv_nsec,
             atomic_fetch_add(&serial, 1));
    const int fd = openat(c->dir, aside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                          0600);
    if (fd < 0) return wf_fail(WF_OUTPUT, "%s/%s: %s", c->path, aside, strerror(errno));
    entry_name(name, key);
    write_header(header, key, code->data, code->size);
    bool ok = write_all(fd, header, HEADER) && write_all(fd, code->data, code->size) &&
              fsync(fd) == 0;
    const int e = errno;
    ok = close(fd) == 0 && ok && renameat(c->dir, aside, c->dir, name) == 0;
    if (ok) return WF_OK;
    unlinkat(c->dir, aside, 0);
    return wf_fail(WF_OUTPUT, "%s/%s: %s", c->path, name, strerror(e));
}
