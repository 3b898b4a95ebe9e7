/* Memory of a program: mapped in huge pages where there are some, and touched once by the team, so
 * that a run has no page fault. */
#ifndef WEFT_MEMORY_H
#define WEFT_MEMORY_H

#include "compiler/compiler.h"

typedef struct wf_region {
    void *data; /* 64-byte aligned, all zero at first; not NULL even for 0 bytes */
    size_t bytes;
    void *map;
    size_t map_bytes;
    void (*free)(void *user, void *data, size_t bytes); /* NULL: it is the system's */
    void *user;
} wf_region;

/* WF_MEMORY, with `what` and the size in the message, if the system refuses. */
wf_status wf_region_map(wf_region *r, size_t bytes, int threads, const char *what);
void wf_region_unmap(wf_region *r);

#endif
