/* The grammar of the built-in text; see paragraphs.h.
 *
 *   paragraph  "The" place ":" name "." sentence+
 *   sentence   clause "." | "when" clause "," clause "." | "why" ("does" | "do") subject plain "?"
 *              | quote clause "," quote "says" (name | he | the thing) "."
 *   clause     subject verbs
 *   subject    he | name | thing (preposition thing | "that" relative)? | thing "and" thing
 *   verbs      act adverb? ("and" act adverb?)?          act  move | deed object
 *   relative   act | thing deed                          object  him | thing (preposition thing)?
 *
 * Invariants
 *   - Every choice is made through `decide` or `pick`, which add -log of its probability to the
 *     next word's cost; choices that differ give words that differ, so the sum over a sentence is
 *     -log of its probability. */
#include "models/text/paragraphs.h"

#include <ctype.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "models/moving_mnist/random.h"
#include "models/text/words.h"

enum { TEXT_BYTES = 1600000, PARAGRAPH_BYTES = 32768, WORD_BYTES = 32, SEED = 11 };

typedef struct writer {
    random_stream random;
    char *out;          /* NULL: nothing is kept */
    size_t n;
    bool capital, glued; /* the next word begins with a capital; has no space before it */
    double pending;      /* cost of choices that no word has followed yet */
    double cost;         /* of words that begin in [from, to) */
    size_t from, to;
    paragraphs_known *known;
    void *user;
    const word_place *place;
    const char *name;
    bool woman;
} writer;

/* --- choices ---------------------------------------------------------------------------------- */

/* True with probability p. */
static bool decide(writer *w, double p) {
    const bool yes = random_unit(&w->random) < p;
    w->pending -= log(yes ? p : 1 - p);
    return yes;
}

static double weight(const word_list *list, int i) {
    return 1 / ((i + 1) * (list->steep ? sqrt(i + 1.0) : 1));
}

static bool is_known(const writer *w, const char *word, const char *ending) {
    char text[WORD_BYTES];
    const int n = snprintf(text, sizeof text, "%s%s", word, ending);
    for (int i = 0; i < n; i++) text[i] = (char)tolower((unsigned char)text[i]);
    return !w->known || w->known(w->user, text, (size_t)n);
}

/* A word of the list; one that is not known costs what all of these cost together. */
static const char *pick(writer *w, const word_list *list, const char *ending) {
    double all = 0, unknown = 0;
    for (int i = 0; i < list->n; i++) all += weight(list, i);
    double left = random_unit(&w->random) * all;
    int chosen = 0;
    while (chosen < list->n - 1 && left >= weight(list, chosen)) left -= weight(list, chosen++);
    double p = weight(list, chosen);
    if (w->known && !is_known(w, list->word[chosen], ending)) {
        for (int i = 0; i < list->n; i++)
            if (!is_known(w, list->word[i], ending)) unknown += weight(list, i);
        p = unknown;
    }
    w->pending -= log(p / all);
    return list->word[chosen];
}

/* --- writing ---------------------------------------------------------------------------------- */

static void put(writer *w, char c) {
    if (w->out) w->out[w->n] = c;
    w->n++;
}

/* A word or a mark; the space before it, if any, is part of it. */
static void write_word(writer *w, const char *word, const char *ending) {
    if (w->n >= w->from && w->n < w->to) w->cost += w->pending;
    w->pending = 0;
    if (!w->glued) put(w, ' ');
    for (const char *c = word; *c; c++)
        put(w, w->capital && c == word ? (char)toupper((unsigned char)*c) : *c);
    for (const char *c = ending; *c; c++) put(w, *c);
    w->capital = w->glued = false;
}

static void say(writer *w, const char *word) { write_word(w, word, ""); }

/* A mark that stands close to the word before it. */
static void mark(writer *w, const char *text) {
    w->glued = true;
    say(w, text);
}

static void say_from(writer *w, const word_list *list, const char *ending) {
    const char *word = pick(w, list, ending);
    write_word(w, word, ending);
}

/* --- phrases ---------------------------------------------------------------------------------- */

static void thing(writer *w, bool several) {
    say_from(w, &word_determiners[several], "");
    if (decide(w, 0.3)) say_from(w, &word_adjectives, "");
    say_from(w, &w->place->things, several ? "s" : "");
}

static void beside(writer *w) {
    say_from(w, &word_prepositions, "");
    thing(w, decide(w, 0.35));
}

static void object(writer *w) {
    if (decide(w, 0.2)) {
        say(w, w->woman ? "her" : "him");
        return;
    }
    thing(w, decide(w, 0.35));
    if (decide(w, 0.15)) beside(w);
}

static void act(writer *w, const char *ending) {
    const bool deed = decide(w, 0.55);
    say_from(w, deed ? &word_deeds : &word_moves, ending);
    if (deed) object(w);
}

static const char *ending_for(bool several) { return several ? "" : "s"; }

static void relative(writer *w, bool several) {
    say(w, "that");
    if (decide(w, 0.6)) {
        act(w, ending_for(several));
        return;
    }
    const bool others = decide(w, 0.35);
    thing(w, others);
    say_from(w, &word_deeds, ending_for(others));
}

static void person(writer *w) { say(w, w->woman ? "she" : "he"); }

static void subject(writer *w, bool several) {
    if (!several && decide(w, 0.4)) {
        if (decide(w, 0.7)) person(w);
        else say(w, w->name);
        return;
    }
    if (several && decide(w, 0.25)) {
        thing(w, decide(w, 0.35));
        say(w, "and");
        thing(w, decide(w, 0.35));
        return;
    }
    thing(w, several);
    if (!decide(w, 0.4)) return;
    if (decide(w, 0.5)) beside(w);
    else relative(w, several);
}

static void act_and_adverb(writer *w, const char *ending) {
    act(w, ending);
    if (decide(w, 0.25)) say_from(w, &word_adverbs, "");
}

static void clause(writer *w) {
    const bool several = decide(w, 0.35);
    subject(w, several);
    act_and_adverb(w, ending_for(several));
    if (!decide(w, 0.15)) return;
    say(w, "and");
    act_and_adverb(w, ending_for(several));
}

/* --- sentences -------------------------------------------------------------------------------- */

static void question(writer *w) {
    say(w, "why");
    const bool several = decide(w, 0.35);
    say(w, several ? "do" : "does");
    subject(w, several);
    act_and_adverb(w, "");
    mark(w, "?");
}

static void quotation(writer *w) {
    w->capital = false;
    say(w, "\"");
    w->capital = w->glued = true;
    clause(w);
    mark(w, ",");
    mark(w, "\"");
    say(w, "says");
    if (decide(w, 0.4)) say(w, w->name);
    else if (decide(w, 0.5)) person(w);
    else thing(w, false);
    mark(w, ".");
}

static void sentence(writer *w) {
    w->capital = true;
    if (decide(w, 0.15)) {
        quotation(w);
    } else if (decide(w, 0.1)) {
        question(w);
    } else {
        if (decide(w, 0.18)) {
            say(w, "when");
            clause(w);
            mark(w, ",");
        }
        clause(w);
        mark(w, ".");
    }
}

static void paragraph(writer *w) {
    const int place = (int)random_below(&w->random, WORD_PLACES);
    w->place = &word_places[place];
    w->capital = w->glued = true;
    say(w, "the");
    w->pending += log((double)WORD_PLACES);
    say(w, w->place->name);
    mark(w, ":");
    w->woman = decide(w, 0.5);
    w->name = pick(w, w->woman ? &word_women : &word_men, "");
    say(w, w->name);
    mark(w, ".");
    mark(w, "\n");
    w->glued = true;
    do sentence(w);
    while (decide(w, 0.85));
    mark(w, "\n");
    mark(w, "\n");
}

static void write_all(writer *w) {
    w->random = random_open(SEED, 0);
    while (w->n < TEXT_BYTES) paragraph(w);
}

/* --- the whole -------------------------------------------------------------------------------- */

static char text[TEXT_BYTES + PARAGRAPH_BYTES]; /* the last paragraph begins before TEXT_BYTES */
static size_t text_bytes;

static void make_text(void) {
    writer w = {.out = text};
    write_all(&w);
    text_bytes = w.n;
}

const char *paragraphs_text(size_t *n) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_text);
    if (n) *n = text_bytes;
    return text;
}

double paragraphs_cost(size_t from, size_t to, paragraphs_known *known, void *user) {
    writer w = {.from = from, .to = to, .known = known, .user = user};
    write_all(&w);
    return w.cost;
}
