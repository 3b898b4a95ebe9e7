/* "Did you mean": the name nearest to a mistyped one. */
#ifndef MODELS_PROGRAM_SUGGEST_H
#define MODELS_PROGRAM_SUGGEST_H

#include <stddef.h>

typedef struct suggestion {
    const char *typed; /* (n) characters */
    size_t n;
    const char *best;  /* NULL: nothing is near enough */
    size_t distance;
} suggestion;

/* Starts the search for the n characters at `typed` (borrowed). */
suggestion suggest_for(const char *typed, size_t n);

/* Offers one name (borrowed); s->best is the nearest so far within a third of the typed length, at
 * least 1, by Levenshtein distance with swaps of neighbours counted once. */
void suggest_offer(suggestion *s, const char *name);

#endif
