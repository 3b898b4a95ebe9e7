/* Regular files mapped read-only, for the readers of tensor/. Internal to tensor/.
 * A file that another process shortens while it is mapped ends this one with SIGBUS, as with every
 * mapping; files replaced by rename, as wf_file_commit does it, are safe. */
#ifndef WEFT_FILE_H
#define WEFT_FILE_H

#include "tensor/base.h"

typedef struct wf_map {
    const uint8_t *data; /* never NULL after an open, also for an empty file */
    size_t bytes;
} wf_map;

/* Maps the regular file `path`. WF_INPUT if it is missing, unreadable, a directory, a FIFO or a
 * device; WF_MEMORY if it cannot be mapped. Owner of the mapping: the caller. */
wf_status wf_map_open(wf_map *out, const char *path);
void wf_map_close(wf_map *m);

#endif
