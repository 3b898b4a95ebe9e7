/* The nearest name; see suggest.h. Source: optimal string alignment, Boytsov 2011, section 2.2. */
#include "models/program/suggest.h"

#include <string.h>

#define MAX_NAME 32

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Insertions, deletions, replacements and swaps of neighbours from a to b; lengths < MAX_NAME. */
static size_t edit_distance(const char *a, size_t na, const char *b, size_t nb) {
    size_t d[MAX_NAME + 1][MAX_NAME + 1];
    for (size_t i = 0; i <= na; i++) d[i][0] = i;
    for (size_t j = 0; j <= nb; j++) d[0][j] = j;
    for (size_t i = 1; i <= na; i++)
        for (size_t j = 1; j <= nb; j++) {
            d[i][j] = least(d[i - 1][j], d[i][j - 1]) + 1;
            d[i][j] = least(d[i][j], d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
        }
    return d[na][nb];
}

suggestion suggest_for(const char *typed, size_t n) {
    return (suggestion){.typed = typed, .n = n, .distance = (n < 6 ? 3 : n) / 3 + 1};
}

void suggest_offer(suggestion *s, const char *name) {
    const size_t n = strlen(name);
    if (n >= MAX_NAME || s->n >= MAX_NAME) return;
    const size_t distance = edit_distance(s->typed, s->n, name, n);
    if (distance < s->distance) {
        s->distance = distance;
        s->best = name;
    }
}
