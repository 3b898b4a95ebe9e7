/* Blocks of at least 64 KiB in a list; a piece that is larger gets a block of its own. */
#include "tensor/arena.h"

#include <stdlib.h>
#include <string.h>

#include "tensor/size.h"

struct wf_arena_block {
    struct wf_arena_block *next;
    size_t used, size;
    _Alignas(16) char data[];
};

enum { block_bytes = 64 * 1024 };

void *wf_arena_alloc(wf_arena *a, size_t bytes) {
    size_t need, total;
    if (!wf_align_size(bytes ? bytes : 1, 16, &need)) return NULL;
    struct wf_arena_block *b = a->block;
    if (!b || b->size - b->used < need) {
        const size_t size = need > block_bytes ? need : block_bytes;
        if (!wf_add_size(size, sizeof *b, &total)) return NULL;
        b = malloc(total);
        if (!b) return NULL;
        b->used = 0;
        b->size = size;
        b->next = a->block;
        a->block = b;
    }
    void *p = b->data + b->used;
    b->used += need;
    memset(p, 0, need);
    return p;
}

char *wf_arena_strdup(wf_arena *a, const char *text) {
    const size_t n = strlen(text) + 1;
    char *p = wf_arena_alloc(a, n);
    if (p) memcpy(p, text, n);
    return p;
}

void wf_arena_free(wf_arena *a) {
    for (struct wf_arena_block *b = a->block; b;) {
        struct wf_arena_block *next = b->next;
        free(b);
        b = next;
    }
    a->block = NULL;
}
