/* See corpus.h. A token is where a symbol stands in the text. The vocabulary is sorted, so that a
 * symbol is found by bisection, and its numbers do not depend on anything but the set. */
#include "models/rnnlm/corpus.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

typedef struct corpus_token {
    const char *at;
    size_t n;
} corpus_token;

static const corpus_token unknown = {"<unk>", 5};

static int compare(const void *a, const void *b) {
    const corpus_token *x = a, *y = b;
    const int order = memcmp(x->at, y->at, x->n < y->n ? x->n : y->n);
    return order ? order : x->n < y->n ? -1 : x->n > y->n;
}

static bool is_letter(char c) { return isalnum((unsigned char)c) || c == '\'' || (c & 0x80); }

/* The symbol at *i, behind which *i is moved; false at the end. */
static bool next_token(const corpus *c, size_t *i, size_t end, corpus_token *out) {
    while (c->words && *i < end && (c->text[*i] == ' ' || c->text[*i] == '\r')) ++*i;
    if (*i >= end) return false;
    const size_t from = (*i)++;
    while (c->words && is_letter(c->text[from]) && *i < end && is_letter(c->text[*i])) ++*i;
    *out = (corpus_token){c->text + from, *i - from};
    return true;
}

/* The end of the first paragraph that ends at or after `at`. */
static size_t border(const corpus *c, size_t at) {
    const char *gap = strstr(c->text + at, "\n\n"), *line = strchr(c->text + at, '\n');
    return gap ? (size_t)(gap + 2 - c->text) : line ? (size_t)(line + 1 - c->text) : at;
}

/* The sorted tokens of the training part become the vocabulary. */
static wf_status make_vocabulary(corpus *c, int64_t least) {
    corpus_token *all = calloc(c->byte[CORPUS_VALID] + 1, sizeof *all);
    if (!all) return wf_fail(WF_MEMORY, "no memory for a vocabulary");
    size_t n = 0, at = 0;
    while (next_token(c, &at, c->byte[CORPUS_VALID], &all[n])) n++;
    qsort(all, n, sizeof *all, compare);
    size_t kept = 0, from = 0;
    for (size_t i = 1; i <= n; i++) {
        if (i < n && compare(&all[i], &all[from]) == 0) continue;
        if ((int64_t)(i - from) >= least) all[kept++] = all[from];
        from = i;
    }
    c->vocabulary = malloc((kept + 1) * sizeof *all);
    if (c->vocabulary) {
        c->vocabulary[0] = unknown;
        memcpy(c->vocabulary + 1, all, kept * sizeof *all);
        c->symbols = (int64_t)kept + 1;
    }
    free(all);
    return c->vocabulary ? WF_OK : wf_fail(WF_MEMORY, "no memory for a vocabulary");
}

int32_t corpus_find(const corpus *c, const char *symbol, size_t n) {
    const corpus_token key = {symbol, n};
    const corpus_token *found = bsearch(&key, c->vocabulary + 1, (size_t)c->symbols - 1,
                                        sizeof key, compare);
    return found ? (int32_t)(found - c->vocabulary) : 0;
}

static wf_status number(corpus *c) {
    c->id = calloc(c->byte[CORPUS_PARTS] + 1, sizeof *c->id);
    if (!c->id) return wf_fail(WF_MEMORY, "no memory for a text");
    corpus_token t;
    for (int k = 0; k < CORPUS_PARTS; k++) {
        size_t at = c->byte[k];
        while (next_token(c, &at, c->byte[k + 1], &t)) {
            c->id[c->n] = corpus_find(c, t.at, t.n);
            c->unknown += c->id[c->n++] == 0;
        }
        c->first[k + 1] = c->n;
        if (c->n == c->first[k])
            return wf_fail(WF_INPUT, "the text is too short: there is nothing in part %d of %d",
                           k + 1, CORPUS_PARTS);
    }
    return WF_OK;
}

wf_status corpus_open(corpus *c, const char *text, size_t n, bool words, int64_t least) {
    *c = (corpus){.words = words, .text = malloc(n + 1)};
    if (!c->text) return wf_fail(WF_MEMORY, "no memory for a text of %zu bytes", n);
    for (size_t i = 0; i < n; i++)
        c->text[i] = words ? (char)tolower((unsigned char)text[i]) : text[i];
    c->text[n] = 0;
    c->byte[CORPUS_VALID] = border(c, n / 10 * 8);
    c->byte[CORPUS_TEST] = border(c, n / 10 * 9);
    c->byte[CORPUS_PARTS] = n;
    const wf_status status = make_vocabulary(c, least);
    return status ? status : number(c);
}

void corpus_close(corpus *c) {
    free(c->text);
    free(c->vocabulary);
    free(c->id);
    *c = (corpus){0};
}

/* A mark stands close to what is before it, a word close to a line's start or a quotation mark.
 * Which of two quotation marks opens is not known here: both stand free. */
void corpus_write(const corpus *c, int32_t symbol, int32_t before, FILE *f) {
    const corpus_token t = c->vocabulary[symbol];
    const char last = before < 0 ? '\n' : *c->vocabulary[before].at;
    if (c->words && last != '\n' && !strchr(".,:;?!\n", *t.at)) fputc(' ', f);
    fwrite(t.at, 1, t.n, f);
}
