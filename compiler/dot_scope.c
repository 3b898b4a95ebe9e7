/* Scope paths as nested clusters. Where a level folds, numbers in a path are holes, so that
 * "layer/t0" .. "layer/t18" are one cluster and each scope is an instance of it.
 *
 * A prime at the end of a path (wf_graph_scope_prime) belongs to every component: "a/t3'" lies in the
 * cluster "a'", beside "a" and not in it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/dot.h"

enum { COMPONENT = 520, DIGITS = 9 };

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

static size_t digits(const char *s, const char *end) {
    size_t n = 0;
    while (s + n < end && is_digit(s[n])) n++;
    return n;
}

/* A component of a path without its primes, with its numbers taken out. */
typedef struct component {
    char text[COMPONENT];
    uint32_t n;
    int64_t number[WF_DOT_NUMBERS];
} component;

static void parse(const wf_dot_level *level, const char *s, const char *end, component *c) {
    size_t n = 0;
    c->n = 0;
    while (s < end && n + 1 < COMPONENT) {
        const size_t run = digits(s, end);
        const bool folds = level->fold && run > 0 && run <= DIGITS && c->n < WF_DOT_NUMBERS &&
                           (level->digits || s + run == end);
        if (folds) {
            c->number[c->n++] = strtoll(s, NULL, 10);
            c->text[n++] = WF_DOT_HOLE;
            s += run;
        } else if (run > 0) {
            for (size_t i = 0; i < run && n + 1 < COMPONENT; i++) c->text[n++] = *s++;
        } else {
            c->text[n++] = *s++;
        }
    }
    c->text[n] = 0;
}

/* The end of a path without its primes. */
static const char *body_end(const char *path) {
    const char *end = path + strlen(path);
    while (end > path && end[-1] == '\'') end--;
    return end;
}

static uint32_t cluster_of(wf_dot *d, wf_dot_map *map, uint32_t parent, const component *c,
                           const char *primes) {
    char text[COMPONENT + 16];
    snprintf(text, sizeof text, "%s%.8s", c->text, primes);
    uint32_t *at = wf_dot_map_at(map, wf_dot_mix_text(wf_dot_mix(1, parent), text));
    if (*at == UINT32_MAX) {
        char *copy = wf_arena_strdup(&d->level_mem, text);
        if (!copy) return UINT32_MAX;
        *at = d->n_cluster++;
        d->cluster[*at] = (wf_dot_cluster){.parent = parent, .text = copy, .n_hole = c->n};
        for (uint32_t i = 0; i < c->n; i++)
            d->cluster[*at].lo[i] = d->cluster[*at].hi[i] = c->number[i];
    }
    wf_dot_cluster *k = &d->cluster[*at];
    for (uint32_t i = 0; i < c->n; i++) {
        if (c->number[i] < k->lo[i]) k->lo[i] = c->number[i];
        if (c->number[i] > k->hi[i]) k->hi[i] = c->number[i];
    }
    return *at;
}

static wf_status place(wf_dot *d, wf_dot_map *map, uint32_t scope) {
    const char *path = wf_graph_scope_text(d->graph, scope), *end = body_end(path);
    wf_dot_scope *s = &d->scope[scope];
    const char *primes = end;
    uint32_t at = 0, depth = 0;
    component c = {.n = 0};
    for (const char *p = path; (p < end || (p == path && *primes)); depth++) {
        if (d->level.whole && depth >= d->level.depth) break;
        const char *slash = memchr(p, '/', (size_t)(end - p)), *stop = slash ? slash : end;
        parse(&d->level, p, stop, &c);
        at = cluster_of(d, map, at, &c, primes);
        if (at == UINT32_MAX) return wf_dot_no_memory();
        for (uint32_t i = 0; i < c.n && s->n < WF_DOT_NUMBERS; i++) s->number[s->n++] = c.number[i];
        p = slash ? slash + 1 : end;
        if (p == end) break;
    }
    s->cluster = at;
    d->cluster[at].scopes++;
    return WF_OK;
}

wf_status wf_dot_scopes(wf_dot *d) {
    uint32_t n = 1, components = 1;
    for (uint32_t id = 1; id < d->n; id++)
        if (wf_dot_node(d, id)->scope >= n) n = wf_dot_node(d, id)->scope + 1;
    d->n_scope = n;
    d->scope = wf_arena_alloc(&d->level_mem, n * sizeof *d->scope);
    if (!d->scope) return wf_dot_no_memory();
    for (uint32_t id = 1; id < d->n; id++) d->scope[wf_dot_node(d, id)->scope].used = true;
    for (uint32_t i = 0; i < n; i++) {
        components++;
        for (const char *p = wf_graph_scope_text(d->graph, i); *p; p++) components += *p == '/';
    }
    wf_dot_map map;
    d->cluster = wf_arena_alloc(&d->level_mem, components * sizeof *d->cluster);
    if (!d->cluster || !wf_dot_map_init(&map, &d->level_mem, components)) return wf_dot_no_memory();
    d->cluster[0].text = "";
    d->n_cluster = 1;
    for (uint32_t i = 0; i < n; i++) {
        const wf_status s = d->scope[i].used ? place(d, &map, i) : WF_OK;
        if (s) return s;
    }
    return WF_OK;
}

/* --- steps ---------------------------------------------------------------------------------------------- */

/* The letters in front of number `i` of a component: "t" of "t3". */
static void write_lag(const component *c, uint32_t i, int64_t lag, char text[24]) {
    const char *hole = c->text;
    for (uint32_t k = 0; (hole = strchr(hole, WF_DOT_HOLE)) && k < i; k++) hole++;
    const char *first = hole;
    while (first && first > c->text && is_letter(first[-1])) first--;
    const int n = first ? (int)(hole - first) : 0;
    snprintf(text, 24, "%.*s%+lld", n < 10 ? n : 10, n ? first : "", (long long)lag);
}

void wf_dot_lag(const wf_dot *d, uint32_t from, uint32_t to, char text[24]) {
    memset(text, 0, 24);
    if (from == to || !d->level.fold) return;
    const char *p = wf_graph_scope_text(d->graph, from), *q = wf_graph_scope_text(d->graph, to);
    const char *p_end = body_end(p), *q_end = body_end(q);
    component a, b;
    uint32_t depth = 0;
    while (p < p_end && q < q_end && !(d->level.whole && depth++ >= d->level.depth)) {
        const char *p_slash = memchr(p, '/', (size_t)(p_end - p));
        const char *q_slash = memchr(q, '/', (size_t)(q_end - q));
        parse(&d->level, p, p_slash ? p_slash : p_end, &a);
        parse(&d->level, q, q_slash ? q_slash : q_end, &b);
        if (strcmp(a.text, b.text) != 0) return;
        for (uint32_t i = 0; i < a.n; i++) {
            if (a.number[i] == b.number[i]) continue;
            write_lag(&a, i, a.number[i] - b.number[i], text);
            return;
        }
        p = p_slash ? p_slash + 1 : p_end;
        q = q_slash ? q_slash + 1 : q_end;
    }
}
