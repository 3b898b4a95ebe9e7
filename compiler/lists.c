/* Lists of values, each list once; see siblings.h. */
#include <stdlib.h>
#include <string.h>

#include "compiler/plan.h"
#include "compiler/siblings.h"

static uint64_t hash_of(const uint32_t *id, uint32_t n) {
    uint64_t h = 14695981039346656037u; /* FNV-1a, a word at a time */
    for (uint32_t i = 0; i < n; i++) h = (h ^ id[i]) * 1099511628211u;
    return h ^ h >> 29;
}

static bool grow_table(wf_lists *l) {
    if (2 * (l->n_list + 1) <= l->n_slot) return true;
    const uint32_t n = l->n_slot ? 2 * l->n_slot : 256;
    uint32_t *slot = calloc(n, sizeof *slot);
    if (!slot) return false;
    for (uint32_t i = 1; i < l->n_list; i++) {
        uint32_t at = (uint32_t)l->list[i].hash & (n - 1);
        while (slot[at]) at = (at + 1) & (n - 1);
        slot[at] = i;
    }
    free(l->slot);
    l->slot = slot;
    l->n_slot = n;
    return true;
}

static uint32_t append(wf_lists *l, const uint32_t *id, uint32_t n, uint64_t hash) {
    if (l->n_list == 0) l->n_list = 1;
    if (!wf_plan_room((void **)&l->pool, &l->pool_cap, l->n_pool, n, sizeof *l->pool) ||
        !wf_plan_room((void **)&l->list, &l->list_cap, l->n_list, 1, sizeof *l->list))
        return 0;
    memcpy(l->pool + l->n_pool, id, n * sizeof *id);
    l->list[l->n_list] = (struct wf_list){l->n_pool, n, hash};
    l->n_pool += n;
    return l->n_list++;
}

uint32_t wf_lists_find(wf_lists *l, const uint32_t *id, uint32_t n, bool add) {
    const uint64_t hash = hash_of(id, n);
    if (!grow_table(l)) return 0;
    uint32_t at = (uint32_t)hash & (l->n_slot - 1);
    for (; l->slot[at]; at = (at + 1) & (l->n_slot - 1)) {
        const uint32_t i = l->slot[at];
        if (l->list[i].hash == hash && l->list[i].n == n &&
            memcmp(wf_list_ids(l, i), id, n * sizeof *id) == 0)
            return i;
    }
    return add ? l->slot[at] = append(l, id, n, hash) : 0;
}

void wf_lists_free(wf_lists *l) {
    free(l->pool);
    free(l->list);
    free(l->slot);
    memset(l, 0, sizeof *l);
}
