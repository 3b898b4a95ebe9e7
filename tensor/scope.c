/* Scope paths: where in the model a node comes from. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/graph_struct.h"

static uint32_t add_scope(wf_scopes *s, wf_arena *mem, const char *text) {
    char *copy = wf_arena_strdup(mem, text);
    if (!copy || !wf_graph_grow((void **)&s->text, &s->cap, s->n + 1, sizeof *s->text) ||
        !wf_graph_grow((void **)&s->prime, &s->prime_cap, s->n + 1, sizeof *s->prime))
        return 0;
    s->text[s->n] = copy;
    s->prime[s->n] = 0;
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
    free(s->stack);
}

/* The number of a path, new or known; the search runs backwards, where repeats are near. Falls back
 * to the current scope when memory is out: only labels suffer. */
static uint32_t intern(wf_graph *g, const char *text) {
    wf_scopes *s = &g->scopes;
    for (uint32_t i = s->n; i-- > 0;)
        if (strcmp(s->text[i], text) == 0) return i;
    const uint32_t id = add_scope(s, &g->mem, text);
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
    s->current = intern(g, path);
}

void wf_scope_pop(wf_graph *g) {
    if (!g) return;
    if (g->scopes.depth == 0) {
        wf_graph_fail(g, "wf_scope_pop without a wf_scope_push");
        return;
    }
    g->scopes.current = g->scopes.stack[--g->scopes.depth];
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
        const uint32_t id = intern(g, path);
        g->scopes.prime[scope] = id;
    }
    return g->scopes.prime[scope];
}
