/* A bump allocator: many small pieces that die together. */
#ifndef WEFT_ARENA_H
#define WEFT_ARENA_H

#include <stddef.h>

typedef struct wf_arena {
    struct wf_arena_block *block;
} wf_arena;

/* `bytes` zeroed bytes aligned to 16, or NULL when memory is out. */
void *wf_arena_alloc(wf_arena *a, size_t bytes);
char *wf_arena_strdup(wf_arena *a, const char *text);
void wf_arena_free(wf_arena *a);

#endif
