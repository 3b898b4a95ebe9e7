/* Scope paths: where in the model a node comes from. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/graph_struct.h"

static uint32_t hash_of(const char *text) {
    uint32_t h = UINT32_C(2166136261);
    while (*text) h = (h ^ (unsigned char)*text++) * UINT32_C(16777619);
    return h ^ h >> 15;
}

/* The slot of a path: with its number, or free. There is a free one. */
static uint32_t *slot_of(const wf_scopes *s, const char *text) {
    uint32_t i = hash_of(text);
    while (s->slot[i & (s->n_slots - 1)] && strcmp(s->text[s->slot[i & (s->n_slots - 1)]], text))
        i++;
    return &s->slot[i & (s->n_slots - 1)];
}

static bool grow_slots(wf_scopes *s) {
    if (2 * (s->n + 1) <= s->n_slots) return true;
    const uint32_t n = s->n_slots ? 2 * s->n_slots : 64;
    uint32_t *slot = calloc(n, sizeof *slot);
    if (!slot) return false;
    free(s->slot);
    s->slot = slot;
    s->n_slots = n;
    for (uint32_t i = 1; i < s->n; i++) *slot_of(s, s->text[i]) = i;
    return true;
}

static uint32_t add_scope(wf_scopes *s, wf_arena *mem, const char *text) {
    char *copy = grow_slots(s) ? wf_arena_strdup(mem, text) : NULL;
    if (!copy || !wf_graph_grow((void **)&s->text, &s->cap, s->n + 1, sizeof *s->text) ||
        !wf_graph_grow((void **)&s->prime, &s->prime_cap, s->n + 1, sizeof *s->prime))
        return 0;
    s->text[s->n] = copy;
    s->prime[s->n] = 0;
    if (s->n) *slot_of(s, text) = s->n;
    return s->n++;
}

bool wf_scopes_init(wf_scopes *s, wf_arena *mem) {
    add_scope(s, mem, "");
    return s->n == 1;
}

bool wf_scopes_copy(wf_scopes *s, wf_arena *mem, const wf_scopes *from) {
    for (uint32_t i = 1; i < from->n; i++)
        if (add_scope(s, mem, from->text[i]) != i) return false;
    for (uint32_t i = 0; i < from->n; i++) s->prime[i] = from->prime[i];
    return true;
}

void wf_scopes_free(wf_scopes *s) {
    free(s->text);
    free(s->prime);
    free(s->slot);
    free(s->stack);
}

/* Falls back to the current scope when memory is out: only labels suffer. */
uint32_t wf_graph_scope_of(wf_graph *g, const char *path) {
    wf_scopes *s = &g->scopes;
    if (!*path) return 0;
    const uint32_t known = s->n_slots ? *slot_of(s, path) : 0;
    if (known) return known;
    const uint32_t id = add_scope(s, &g->mem, path);
    return id ? id : s->current;
}

void wf_scope_push(wf_graph *g, const char *format, ...) {
    if (!g) return;
    wf_scopes *s = &g->scopes;
    if (!wf_graph_grow((void **)&s->stack, &s->stack_cap, s->depth + 1, sizeof *s->stack)) return;
    char path[512];
    const char *outer = s->text[s->current];
    const int n = snprintf(path, sizeof path, "%s%s", outer, *outer ? "/" : "");
    if (n >= 0 && (size_t)n < sizeof path) {
        va_list ap;
        va_start(ap, format);
        vsnprintf(path + n, sizeof path - (size_t)n, format, ap);
        va_end(ap);
    }
    s->stack[s->depth++] = s->current;
    s->current = wf_graph_scope_of(g, path);
}

void wf_scope_pop(wf_graph *g) {
    if (!g) return;
    if (g->scopes.depth == 0) {
        wf_graph_fail(g, "wf_scope_pop without a wf_scope_push");
        return;
    }
    g->scopes.current = g->scopes.stack[--g->scopes.depth];
}

/* --- regions ---------------------------------------------------------------------------------- */

static const char region[] = "recompute";

/* Whether the component at `c` is a region's, "recompute" and a number; *end: past it. */
static bool is_region(const char *c, const char **end) {
    if (strncmp(c, region, sizeof region - 1) != 0) return false;
    c += sizeof region - 1;
    const size_t digits = strspn(c, "0123456789");
    *end = c + digits;
    return digits > 0 && (!**end || **end == '/' || **end == '\'');
}

size_t wf_scope_region(const char *path) {
    const char *end;
    for (const char *c = path; c; c = strchr(c, '/'), c += c != NULL)
        if (is_region(c, &end)) return (size_t)(end - path);
    return 0;
}

void wf_recompute_begin(wf_graph *g) {
    if (g) wf_scope_push(g, "%s%u", region, g->scopes.regions++);
}

void wf_recompute_end(wf_graph *g) {
    if (!g) return;
    const char *path = g->scopes.text[g->scopes.current], *last = strrchr(path, '/'), *end;
    if (!is_region(last ? last + 1 : path, &end) || *end)
        wf_graph_fail(g, "wf_recompute_end without a wf_recompute_begin");
    else wf_scope_pop(g);
}

uint32_t wf_graph_set_scope(wf_graph *g, uint32_t scope) {
    const uint32_t old = g->scopes.current;
    if (scope < g->scopes.n) g->scopes.current = scope;
    return old;
}

const char *wf_graph_scope_text(const wf_graph *g, uint32_t scope) {
    return scope < g->scopes.n ? g->scopes.text[scope] : "";
}

uint32_t wf_graph_scope_prime(wf_graph *g, uint32_t scope) {
    if (scope >= g->scopes.n) return scope;
    if (!g->scopes.prime[scope]) {
        char path[520];
        snprintf(path, sizeof path, "%s'", g->scopes.text[scope]);
        const uint32_t id = wf_graph_scope_of(g, path);
        g->scopes.prime[scope] = id;
    }
    return g->scopes.prime[scope];
}
