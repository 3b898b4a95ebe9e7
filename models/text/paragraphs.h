/* A text to train language models on that is built in and free of rights: it is made by a
 * probabilistic grammar, so that its entropy is known and a model's loss can be compared with the
 * least that is possible.
 *
 * Paragraphs of plain English sentences. A heading gives the place, from whose things the nouns of
 * the paragraph come, and the person that its pronouns stand for; verbs agree with their subjects
 * across phrases and relative clauses; quotations are closed. A reader that forgets pays for it. */
#ifndef MODELS_TEXT_PARAGRAPHS_H
#define MODELS_TEXT_PARAGRAPHS_H

#include <stdbool.h>
#include <stddef.h>

/* The text, ASCII, about 1.6 million bytes and always the same; *n (may be NULL) gets its length,
 * and a 0 follows. It ends at the end of a paragraph ("\n\n"). Safe to call from any thread. */
const char *paragraphs_text(size_t *n);

/* Whether a reader tells this word (n bytes, lower case) from others. */
typedef bool paragraphs_known(void *user, const char *word, size_t n);

/* -log of the probability, in nats, that the grammar gives to bytes [from, to) after what comes
 * before them: what the best of all models would have as its loss, in sum. Exact if both ends are 0
 * or the end of a paragraph, because every sentence can be made in one way only.
 *   known  what the reader knows: all words that it does not know look the same, and cost what they
 *          cost together. Exact as long as they are adjectives and adverbs, on which nothing
 *          depends. NULL: everything */
double paragraphs_cost(size_t from, size_t to, paragraphs_known *known, void *user);

#endif
