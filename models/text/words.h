/* The words of the built-in text, by kind; the first of a list is the most frequent. */
#ifndef MODELS_TEXT_WORDS_H
#define MODELS_TEXT_WORDS_H

/* Word i of a list has weight 1 / (i + 1), or (i + 1)^-1.5 where the list is steep. */
typedef struct word_list {
    const char *const *word; /* (n) */
    int n;
    int steep;
} word_list;

typedef struct word_place {
    const char *name;
    word_list things; /* nouns with a plural in -s */
} word_place;

enum { WORD_PLACES = 8 };
extern const word_place word_places[WORD_PLACES];
extern const word_list word_women, word_men;
extern const word_list word_determiners[2];        /* for one thing, for several */
extern const word_list word_prepositions;
extern const word_list word_moves, word_deeds;     /* verbs without and with an object; -s for one
                                                      subject. No verb is in both */
extern const word_list word_adjectives, word_adverbs;

#endif
