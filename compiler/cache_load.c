/* From bytes to code in the process, and the directories in which compilers work. */
#define _GNU_SOURCE /* memfd_create */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "compiler/cache.h"

/* --- directories of compilers ----------------------------------------------------------------- */

enum { ROOM = 16 << 20 }; /* bytes that should be free for one run */

static bool has_room(const char *path) {
    struct statvfs v;
    return statvfs(path, &v) == 0 && (v.f_blocks == 0 || v.f_bavail * v.f_frsize >= ROOM);
}

wf_status wf_cache_work_new(const wf_cache *c, char path[WF_CACHE_PATH]) {
    const char *const places[] = {c->dir >= 0 ? c->path : NULL, wf_cc_env("TMPDIR"), "/tmp",
                                  "/dev/shm"};
    for (size_t i = 0; i < WF_COUNT(places); i++) {
        if (!places[i] || places[i][0] != '/' || !has_room(places[i])) continue;
        const int n = snprintf(path, WF_CACHE_PATH, "%s/%s", places[i],
                               i == 0 ? "work-XXXXXX" : "weft-work-XXXXXX");
        if (n < WF_CACHE_PATH && mkdtemp(path)) return WF_OK;
    }
    return wf_fail(WF_OUTPUT, "no directory with room for the compiler's files");
}

void wf_cache_work_free(const char *path) {
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d) {
        if (fd >= 0) close(fd);
        return;
    }
    for (struct dirent *e; (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    rmdir(path);
}

/* --- loading ---------------------------------------------------------------------------------- */

static int sealed_copy(const wf_bytes *code) {
#ifdef MFD_EXEC
    int fd = memfd_create("weft-code", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    if (fd < 0) fd = memfd_create("weft-code", MFD_CLOEXEC | MFD_ALLOW_SEALING);
#else
    const int fd = memfd_create("weft-code", MFD_CLOEXEC | MFD_ALLOW_SEALING);
#endif
    if (fd < 0) return -1;
    size_t n = 0;
    while (n < code->size) {
        const ssize_t put = write(fd, code->data + n, code->size - n);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) break;
        n += (size_t)put;
    }
    const int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    if (n == code->size && fcntl(fd, F_ADD_SEALS, seals) == 0) return fd;
    close(fd);
    return -1;
}

/* A path of the descriptor that no earlier load had: dlopen takes a known name for a known object,
 * and descriptors are used again. The bits of a serial number are spelled in slashes. */
static void path_of(int fd, char path[128]) {
    static atomic_uint serial;
    int n = snprintf(path, 128, "/proc/self/fd");
    for (unsigned k = atomic_fetch_add(&serial, 1) + 1; k; k >>= 1)
        n += snprintf(path + n, 128 - (size_t)n, "%s", k & 1 ? "//." : "/.");
    snprintf(path + n, 128 - (size_t)n, "/%d", fd);
}

/* Reads a byte of every page of the object at `base`, so that the first run of its code faults
 * none. */
static int touch_object(struct dl_phdr_info *o, size_t size, void *base) {
    if (o->dlpi_addr != *(const ElfW(Addr) *)base) return 0;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (int i = 0; i < o->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &o->dlpi_phdr[i];
        if (h->p_type != PT_LOAD || !(h->p_flags & PF_R)) continue;
        const volatile char *at = (const char *)(o->dlpi_addr + h->p_vaddr);
        for (size_t k = 0; k < h->p_memsz; k += page) (void)at[k];
        if (h->p_memsz) (void)at[h->p_memsz - 1];
    }
    return 1;
}

static void touch_pages(void *handle) {
    struct link_map *map;
    if (dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0) dl_iterate_phdr(touch_object, &map->l_addr);
}

void *wf_cache_load(const wf_bytes *code, const char *key) {
    char path[128];
    const int fd = sealed_copy(code);
    if (fd < 0) {
        wf_fail(WF_UNSUPPORTED, "compiled code finds no sealed memory: %s", strerror(errno));
        return NULL;
    }
    path_of(fd, path);
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    close(fd);
    if (!handle) {
        wf_fail(WF_UNSUPPORTED, "compiled code does not load: %s", dlerror());
        return NULL;
    }
    const char *id = dlsym(handle, "wf_code_id");
    if (id && strncmp(id, key, WF_CACHE_KEY) == 0) {
        touch_pages(handle);
        return handle;
    }
    dlclose(handle);
    wf_fail(WF_FORMAT, "compiled code is not what it should be");
    return NULL;
}
