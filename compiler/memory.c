/* Anonymous mappings, aligned to huge pages. Thread w of n touches the w-th part first: on machines
 * with several memory nodes the parts lie near the threads that mostly use them. */
#include "compiler/memory.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "compiler/threads.h"
#include "tensor/size.h"

enum { HUGE_PAGE = 2 << 20, LINE = 64 };

/* --- the user's memory ------------------------------------------------------------------------ */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static wf_allocator allocator; /* no functions: none */

wf_status wf_set_allocator(const wf_allocator *a) {
    if (a && (!a->allocate || !a->free))
        return wf_fail(WF_ARGUMENT, "wf_set_allocator: the function to %s is NULL",
                       a->allocate ? "free" : "allocate");
    pthread_mutex_lock(&lock);
    allocator = a ? *a : (wf_allocator){0};
    pthread_mutex_unlock(&lock);
    return WF_OK;
}

static wf_allocator current_allocator(void) {
    pthread_mutex_lock(&lock);
    const wf_allocator a = allocator;
    pthread_mutex_unlock(&lock);
    return a;
}

static wf_status allocate(wf_region *r, const wf_allocator *a, size_t bytes, const char *what) {
    size_t all;
    if (!wf_add_size(bytes, LINE, &all))
        return wf_fail(WF_MEMORY, "%s: %zu bytes are more than can be addressed", what, bytes);
    r->map = a->allocate(a->user, all, what);
    if (!r->map)
        return wf_fail(WF_MEMORY, "out of memory: the allocator refuses %zu bytes for %s", all,
                       what);
    memset(r->map, 0, all);
    r->data = (char *)r->map + (LINE - (uintptr_t)r->map % LINE) % LINE;
    r->map_bytes = all;
    r->bytes = bytes;
    r->free = a->free;
    r->user = a->user;
    return WF_OK;
}

/* --- the system's memory ---------------------------------------------------------------------- */

static void touch(char *data, size_t bytes, int threads) {
    enum { step = 4096 };
    const int64_t pages = (int64_t)((bytes + step - 1) / step);
    threads = wf_team_size(threads);
    for (int64_t i = 0; i < pages && threads == 1; i++) *(volatile char *)(data + i * step) = 0;
    if (threads == 1) return;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t i = 0; i < pages; i++) *(volatile char *)(data + i * step) = 0;
}

wf_status wf_region_map(wf_region *r, size_t bytes, int threads, const char *what) {
    memset(r, 0, sizeof *r);
    const wf_allocator a = current_allocator();
    if (a.allocate) return allocate(r, &a, bytes, what);
    const bool huge = bytes >= HUGE_PAGE;
    size_t map_bytes;
    if (!wf_add_size(bytes ? bytes : 1, huge ? HUGE_PAGE : 0, &map_bytes) ||
        map_bytes > PTRDIFF_MAX)
        return wf_fail(WF_MEMORY, "%s: %zu bytes are more than can be addressed", what, bytes);
    void *map = mmap(NULL, map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return wf_fail(WF_MEMORY, "out of memory: the system refuses %zu bytes for %s", bytes,
                       what);
    r->map = r->data = map;
    r->map_bytes = map_bytes;
    r->bytes = bytes;
    if (huge) {
        const uintptr_t at = ((uintptr_t)map + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
        r->data = (char *)map + (at - (uintptr_t)map);
#ifdef MADV_HUGEPAGE
        (void)madvise(r->data, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE); /* a wish */
#endif
    }
    touch(r->data, bytes, threads);
    return WF_OK;
}

void wf_region_unmap(wf_region *r) {
    if (r->map && r->free) r->free(r->user, r->map, r->map_bytes);
    else if (r->map) munmap(r->map, r->map_bytes);
    memset(r, 0, sizeof *r);
}
