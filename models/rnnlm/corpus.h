/* A text as numbers: words (or characters), a vocabulary, three parts.
 *
 * In words, a run of letters, digits and apostrophes is one symbol, in lower case; any other
 * character but a space is one too, the end of a line among them. The vocabulary has the symbols of
 * the training part that occur often enough there; all others are symbol 0, "<unk>". */
#ifndef RNNLM_CORPUS_H
#define RNNLM_CORPUS_H

#include <stdio.h>

#include "nn/nn.h"

enum { CORPUS_TRAIN, CORPUS_VALID, CORPUS_TEST, CORPUS_PARTS };

typedef struct corpus {
    bool words;
    char *text;               /* (bytes) a copy */
    struct corpus_token *vocabulary; /* (symbols) in alphabetic order, but for <unk> */
    int64_t symbols;
    int32_t *id;              /* (n) */
    int64_t n, unknown;       /* symbols in all; of them, <unk> */
    int64_t first[CORPUS_PARTS + 1]; /* part k is id[first[k] .. first[k + 1]) */
    size_t byte[CORPUS_PARTS + 1];   /* and these bytes of the text */
} corpus;

/* Cuts text[0 .. n) at ends of paragraphs (empty lines; of lines, if there are none) into 8, 1 and
 * 1 tenths.
 *   least  how often a word of the vocabulary occurs in the training part, at least
 * Errors   WF_INPUT for a text without symbols in one of its parts, WF_MEMORY. */
wf_status corpus_open(corpus *c, const char *text, size_t n, bool words, int64_t least);
void corpus_close(corpus *c);

/* The number of a symbol of n bytes (a word in lower case), 0 if there is none. */
int32_t corpus_find(const corpus *c, const char *symbol, size_t n);

/* Writes a symbol as it stands after `before` (-1 at the start): with a space or without. */
void corpus_write(const corpus *c, int32_t symbol, int32_t before, FILE *f);

#endif
