/* Drawing the text; see text.h. A rule is a list of alternatives, <name> in one of them another
 * rule. Random numbers: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014). */
#include "models/text/text.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

typedef enum kind {
    FREE,   /* drawn at every use */
    STORY,  /* drawn at its first use in a story, and kept to its end */
    HERO,   /* the alternative that agrees with the hero's name: he, she */
    FRIEND, /* the same for the friend's */
} kind;

typedef struct rule {
    const char *name, *text; /* alternatives are parted by | */
    kind kind;
} rule;

/* In lists of names he and she take turns. */
static const rule rules[] = {
    {"story", "<open> <turn> <turn> <talk> <turn> <end>\n|<open> <turn> <talk> <turn> <end>\n|"
              "<open> <talk> <turn> <talk> <end>\n|<open> <turn> <turn> <turn> <end>\n", FREE},
    {"open", "once there lived <whom> named <hero>, who <had> <a thing> and <wish>.|"
             "<when>, <hero> came to <the place> with <a thing>.|"
             "in <the place> there was <whom> whose name was <hero>. <he> <had> <a thing>.|"
             "long ago, <hero> and <friend> lived near <the place>, and they <had> <a thing>.|"
             "nobody in <the place> knew <hero>, <whom> who <wish>.", FREE},
    {"turn", "<when>, <he> <went> <where> and <found> <a creature>. <creature does>.|"
             "<weather>, and <hero> <felt>. <he> took <the thing> and <went> <where>.|"
             "<friend>, <his> friend, <did> <the thing> <how>. <hero> <felt>.|"
             "then <the creature> <came> <where>, and <it does>.|"
             "<for time> <hero> <looked> for <the thing> <where>, but <he> <found> only <small>.|"
             "<he> <did> <the thing> <how>, for <friend> <had asked> <him> to.|"
             "<when>, <he> and <friend> <went> <where>. <weather>.|"
             "there <he> met <a creature>, and <it does>.", FREE},
    {"talk", "\"<ask>?\" asked <friend>. \"<answer>,\" said <hero>, and <he> <felt>.|"
             "\"<answer>,\" said <the creature>. \"<ask>?\" <hero> <felt> and said nothing.|"
             "\"<warn>!\" cried <friend>, but <hero> <went> <where>.|"
             "<hero> said to <the creature>, \"<ask>?\" \"<answer>,\" it said, and <it does>.|"
             "\"<warn>,\" <hero> thought. \"<fear>.\" so <he> <went> <where>.", FREE},
    {"end", "so <hero> kept <the thing>, and <friend> kept <small>.|"
            "<when>, <hero> gave <the thing> to <friend>, and both were glad.|"
            "from that day <the creature> lived with <hero> and <friend> in <the place>.|"
            "<he> never saw <the thing> again, but <he> did not mind.|"
            "and if <he> has not lost <the thing>, <he> still has it today.|"
            "that is why in <the place> people still <speak> of <hero> and <the creature>.", FREE},
    {"hero", "Martin|Anna|Tobias|Clara|Jonas|Ella|Peter|Greta|Hugo|Martha|Leo|Judith|Simon|Vera|"
             "Oscar|Paula", STORY},
    {"friend", "Albert|Bertha|Conrad|Dora|Emil|Frieda|Gustav|Hanna|Karl|Lena|Moritz|Nora", STORY},
    {"he", "he|she", HERO},
    {"his", "his|her", HERO},
    {"him", "him|her", HERO},
    {"whom", "a boy|a girl", HERO},
    {"friend he", "he|she", FRIEND},
    {"place", "the village by the river|the old town|the valley of bells|the city of Marl|"
              "the house on the hill|the northern woods|the harbour of Stell|the mill", STORY},
    {"the place", "<place>", FREE},
    {"thing", "silver key|wooden flute|red kite|broken clock|small lantern|map of the sea|"
              "golden ring|bag of seeds|green bottle|book without words|pair of boots|compass",
     STORY},
    {"a thing", "a <thing>", FREE},
    {"the thing", "the <thing>", FREE},
    {"creature", "fox|bear|raven|wolf|hare|badger|cat with one eye|goose|frog|white horse|mouse|"
                 "dragon", STORY},
    {"a creature", "a <creature>|a <creature> that could speak", FREE},
    {"the creature", "the <creature>", FREE},
    {"creature does", "the <creature> <does>|it <does>|the <creature> <does> and <does>", FREE},
    {"it does", "it <does>|the <creature> <does> <how>", FREE},
    {"does", "laughed|danced in a circle|shook its head|told <him> a secret|fell asleep|"
             "wanted <the thing>|pointed at the moon|sang an old song|asked for bread|"
             "carried <the thing> away", FREE},
    {"had", "owned|had found|had bought|had been given", FREE},
    {"had asked", "had asked|had told|had begged", FREE},
    {"wish", "wished for nothing else|dreamed of the sea|could not sleep at night|"
             "wanted to learn the names of the stars|was afraid of the dark|"
             "counted the days until spring", FREE},
    {"when", "one morning|in the evening|after <n> days|when the snow had melted|at midnight|"
             "on the <nth> day|before the sun rose|<n> weeks later", FREE},
    {"for time", "for <n> hours|for <n> days|all night|the whole summer", FREE},
    {"n", "two|three|four|five|seven|nine|ten|twelve", FREE},
    {"nth", "second|third|fourth|fifth|sixth|seventh", FREE},
    {"went", "went|walked|ran|hurried|wandered|rode|climbed", FREE},
    {"came", "came|crept|ran|jumped|flew", FREE},
    {"where", "over the bridge|through the forest|up the stairs|down to the water|"
              "behind the church|along the wall|into the garden|past <the place>|"
              "under the apple trees|to the market", FREE},
    {"found", "saw|found|met|discovered|heard", FREE},
    {"looked", "looked|searched|dug|called", FREE},
    {"did", "hid|cleaned|dropped|held|sold|borrowed|threw|mended", FREE},
    {"how", "carefully|without a word|with both hands|by mistake|in great haste|"
            "as well as possible|under the table|in front of everyone", FREE},
    {"felt", "was sad|was happy|smiled|began to cry|laughed|grew tired|turned pale|"
             "thought of <his> mother|remembered <the place>", FREE},
    {"weather", "it rained|the wind grew cold|snow fell on the roofs|the sun was high|"
                "fog lay over the fields|the stars came out", FREE},
    {"small", "a white feather|three coins|an empty shell|a drop of honey|some dust|a warm stone",
     FREE},
    {"ask", "where is <the thing>|what do you want|who gave you <the thing>|"
            "do you know the way to <the place>|have you seen <the creature>|"
            "why did you come so late", FREE},
    {"answer", "I do not know|it is mine|ask <friend>, if <friend he> is not asleep|"
               "<hero> knows, and so do I|I lost it <n> years ago|only <the creature> can tell|"
               "you will see when the moon is full|nobody has seen <the thing> since then", FREE},
    {"warn", "stay here|do not open the door|take <the thing> and run|be quick|"
             "never trust <a creature>|hide <the thing> <where>", FREE},
    {"fear", "<the creature> will hear us|we shall be late|<the thing> will be lost|"
             "<friend> will be angry|winter will come", FREE},
    {"speak", "speak|sing|dream|tell", FREE},
};

enum { N_RULES = sizeof rules / sizeof *rules };

typedef struct writer {
    uint64_t random;
    double bits;
    int kept[N_RULES];     /* alternative of a STORY rule, -1: not drawn yet */
    bool capital, quoted;  /* the next letter begins a sentence; inside a quotation */
    char *out;
    size_t n;
} writer;

static uint64_t next(writer *w) {
    uint64_t z = w->random += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static int find(const char *name, size_t length) {
    for (int i = 0; i < N_RULES; i++)
        if (strlen(rules[i].name) == length && !memcmp(rules[i].name, name, length)) return i;
    return -1;
}

static int count(const char *text) {
    int n = 1;
    for (; *text; text++) n += *text == '|';
    return n;
}

static int draw(writer *w, int n) {
    w->bits += log2(n);
    return (int)((next(w) >> 32) * (uint64_t)n >> 32);
}

/* The alternative of rule r that its kind asks for. */
static int choose(writer *w, int r) {
    const int n = count(rules[r].text);
    const int of = rules[r].kind == HERO     ? find("hero", 4)
                   : rules[r].kind == FRIEND ? find("friend", 6)
                                             : r;
    if (rules[of].kind == FREE) return draw(w, n);
    if (w->kept[of] < 0) w->kept[of] = draw(w, count(rules[of].text));
    return w->kept[of] % n;
}

static void put(writer *w, char c) {
    if (w->n >= TEXT_SIZE) return;
    if (c == '"') w->quoted = !w->quoted;
    if (w->capital && c >= 'a' && c <= 'z') c = (char)(c - 'a' + 'A');
    if (c == '.' || c == '\n' || c == '?' || c == '!' || (c == '"' && w->quoted)) w->capital = true;
    else if (c != ' ' && c != '"') w->capital = false;
    /* What follows a question in quotes goes on with the sentence. */
    if (c == '"' && !w->quoted && w->n && w->out[w->n - 1] != '.') w->capital = false;
    w->out[w->n++] = c;
}

/* Rules stand in the table below those that name them, so that this ends. */
static void expand(writer *w, int r) {
    const char *p = rules[r].text;
    for (int skip = choose(w, r); skip; p++) skip -= *p == '|';
    for (; *p && *p != '|'; p++) {
        const char *close = *p == '<' ? strchr(p, '>') : NULL;
        if (close) {
            const int inner = find(p + 1, (size_t)(close - p - 1));
            if (inner >= 0) expand(w, inner);
            p = close;
        } else {
            put(w, *p);
        }
    }
}

static char text[TEXT_SIZE + 1];
static double bits;

const char *text_builtin(size_t *n) {
    if (!text[0]) {
        writer w = {.random = 1913, .out = text};
        while (w.n < TEXT_SIZE) {
            memset(w.kept, -1, sizeof w.kept);
            w.capital = true;
            expand(&w, 0);
        }
        bits = w.bits / TEXT_SIZE;
    }
    *n = TEXT_SIZE;
    return text;
}

double text_bits(void) {
    size_t n;
    text_builtin(&n);
    return bits;
}

int text_alphabet(const char *of, size_t n, char symbol[256], uint8_t code[256]) {
    bool seen[256] = {false};
    int k = 0;
    memset(code, 0, 256);
    for (size_t i = 0; i < n; i++) seen[(unsigned char)of[i]] = true;
    for (int c = 0; c < 256; c++) {
        if (!seen[c]) continue;
        code[c] = (uint8_t)k;
        symbol[k++] = (char)c;
    }
    return k;
}
