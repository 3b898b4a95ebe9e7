/* The built-in text that the language models learn: 160,000 characters of small stories, drawn from
 * a grammar that was written for this project, the same everywhere and free of anybody's rights.
 *
 * A story keeps its hero, friend, place and thing, pronouns agree with names, and quotes close:
 * what a model must remember over a few hundred characters. As the text is drawn, it is known how
 * far it can be compressed: text_bits() is what a reader needs who knows the grammar and all
 * before. */
#ifndef MODELS_TEXT_H
#define MODELS_TEXT_H

#include <stddef.h>
#include <stdint.h>

enum { TEXT_SIZE = 160000 };

/* The text and its length, TEXT_SIZE; a zero follows. The first call makes it.
 * Owner: static. One thread at a time. */
const char *text_builtin(size_t *n);

/* Bits a character of the choices that made the text: where two choices give the same words, a
 * little more than its entropy. */
double text_bits(void);

/* The characters that occur in text[0 .. n): how many; symbol[k] is the k-th in ascending order,
 * code[c] the place of character c, and 0 for those that do not occur. */
int text_alphabet(const char *text, size_t n, char symbol[256], uint8_t code[256]);

#endif
