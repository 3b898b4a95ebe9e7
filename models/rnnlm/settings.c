/* Options and commands of rnnlm as tables, and the texts that it knows. */
#include "models/rnnlm/settings.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "models/program/computing.h"
#include "models/text/paragraphs.h"
#include "models/text/text.h"

#define AT(field) .offset = offsetof(settings, field)
#define MANY 1e9

static const option text_options[] = {
    {"text", "NAME", OPTION_TEXT, AT(text), .fallback = "paragraphs",
     .help = "paragraphs or stories, which are built in and whose entropy is known, or a file"},
    {"unit", "UNIT", OPTION_CHOICE, AT(unit), .fallback = "word", .choices = "word|character",
     .help = "what a symbol is"},
    {"least", "N", OPTION_INTEGER, AT(least), .least = 1, .most = MANY, .fallback = "5",
     .help = "words that occur less than N times in the training part are <unk>"},
};
static const option_group text_group = {"Text", text_options, WF_COUNT(text_options)};

static const option kind_options[] = {
    {"model", "NAME", OPTION_CHOICE, AT(model), .fallback = "lstm",
     .choices = "rnn|lstm|projected|deep", .help = "which of the models"},
};
static const option_group kind_group = {"Kind", kind_options, WF_COUNT(kind_options)};

static const option model_options[] = {
    {"hidden", "N", OPTION_INTEGER, AT(hidden), .least = 1, .most = 65536, .fallback = "128",
     .help = "size of a layer's state"},
    {"projection", "N", OPTION_INTEGER, AT(projection), .least = 1, .most = 65536,
     .fallback = "64", .help = "projected: what the state is projected to"},
    {"layers", "N", OPTION_INTEGER, AT(layers), .least = 1, .most = 64, .fallback = "2",
     .help = "deep: LSTM layers"},
    OPTION_THREADS(offsetof(settings, threads)),
    OPTION_PRECISION(offsetof(settings, precision)),
};
static const option_group model_group = {"Model", model_options, WF_COUNT(model_options)};

static const option train_options[] = {
    {"steps", "N", OPTION_INTEGER, AT(steps), .least = 1, .most = 4096, .fallback = "20",
     .help = "symbols that gradients flow back over; the state is carried on"},
    {"batch", "N", OPTION_INTEGER, AT(batch), .least = 1, .most = 65536, .fallback = "20",
     .help = "sequences that are read at once"},
    {"epochs", "N", OPTION_INTEGER, AT(epochs), .least = 1, .most = MANY, .fallback = "10",
     .help = "passes over the training part"},
    {"lr", "X", OPTION_REAL, AT(lr), .least = 0, .most = 1000, .fallback = "1",
     .help = "rate; halved after every epoch once the validation stands still"},
    {"clip", "X", OPTION_REAL, AT(clip), .least = 0, .most = MANY, .fallback = "5",
     .help = "clip the global norm of the gradient; 0: do not"},
    {"dropout", "X", OPTION_REAL, AT(dropout), .least = 0, .most = 0.99, .fallback = "0",
     .help = "part of what goes into a layer that is left out in training"},
    {"seed", "S", OPTION_INTEGER, AT(seed), .least = 0, .most = 9007199254740991, .fallback = "1",
     .help = "of the first weights"},
    {"out", "DIR", OPTION_TEXT, AT(out), .fallback = "runs/rnnlm",
     .help = "config.json, metrics.jsonl, checkpoints and weights go here"},
};
static const option_group train_group = {"Training", train_options, WF_COUNT(train_options)};

static const option once_options[] = {
    {"resume", "DIR", OPTION_TEXT, AT(resume),
     .help = "go on with the run in DIR, with its options"},
    {"profile", "FILE", OPTION_TEXT, AT(profile),
     .help = "time every launch; a table on stderr, a trace for ui.perfetto.dev in FILE"},
};
static const option_group once_group = {"Run", once_options, WF_COUNT(once_options)};

static const option sample_options[] = {
    {"weights", "FILE", OPTION_TEXT, AT(weights), .required = true,
     .help = "weights (safetensors) of a model that was trained with these options"},
    {"length", "N", OPTION_INTEGER, AT(length), .least = 1, .most = MANY, .fallback = "200",
     .help = "symbols to write"},
    {"temperature", "X", OPTION_REAL, AT(temperature), .least = 0, .most = 100, .fallback = "1",
     .help = "below 1: likelier symbols are drawn more often; 0: always the likeliest"},
    {"seed", "S", OPTION_INTEGER, AT(seed), .least = 0, .most = 9007199254740991, .fallback = "1",
     .help = "of what is drawn"},
};
static const option_group sample_group = {"Sampling", sample_options, WF_COUNT(sample_options)};

static const command commands[] = {
    {.name = "train",
     .summary = "Trains a language model and measures it on the test part.",
     .groups = {&text_group, &kind_group, &model_group, &train_group, &once_group},
     .examples = "  rnnlm train --model lstm --out runs/lstm\n"
                 "  rnnlm train --text book.txt --unit character --steps 50 --hidden 256\n"
                 "  rnnlm train --resume runs/lstm\n",
     .run = rnnlm_command_train,
     .config_of = "resume"},
    {.name = "compare",
     .summary = "Trains all models and prints a table of their costs.",
     .groups = {&text_group, &model_group, &train_group},
     .examples = "  rnnlm compare\n"
                 "  rnnlm compare --unit character --steps 50\n",
     .run = rnnlm_command_compare},
    {.name = "sample",
     .summary = "Writes a text as a trained model would.",
     .groups = {&text_group, &kind_group, &model_group, &sample_group},
     .examples = "  rnnlm sample --config runs/lstm/config.json \\\n"
                 "      --weights runs/lstm/best.safetensors --temperature 0.7\n",
     .run = rnnlm_command_sample},
};

const program rnnlm_program = {
    "rnnlm", "Recurrent language models of words and characters.", commands, WF_COUNT(commands)};

/* --- texts ------------------------------------------------------------------------------------ */

/* The whole of a file, for the caller to free(). */
static wf_status read_all(const char *path, char **text, size_t *n) {
    FILE *f = fopen(path, "rb");
    *text = NULL;
    *n = 0;
    if (!f) return wf_fail(WF_INPUT, "%s: cannot be read; --text is paragraphs, stories or a file",
                           path);
    for (size_t space = 1 << 16; !feof(f) && !ferror(f); space *= 2) {
        char *more = realloc(*text, space);
        if (!more) break;
        *text = more;
        *n += fread(more + *n, 1, space - *n, f);
    }
    const bool whole = feof(f);
    fclose(f);
    if (whole) return WF_OK;
    free(*text);
    *text = NULL;
    return wf_fail(WF_INPUT, "%s: reading it failed", path);
}

static bool is_called(const settings *s, const char *name) { return strcmp(s->text, name) == 0; }

static rnnlm_kind kind_of(const char *name) {
    int k = 0;
    while (k < RNNLM_KINDS - 1 && strcmp(rnnlm_kind_name[k], name) != 0) k++;
    return (rnnlm_kind)k;
}

wf_status rnnlm_open_text(const settings *s, corpus *c, rnnlm *m) {
    size_t n = 0;
    char *own = NULL;
    const char *text = is_called(s, "paragraphs") ? paragraphs_text(&n) : NULL;
    if (is_called(s, "stories")) text = text_builtin(&n);
    *c = (corpus){0};
    wf_status status = text ? WF_OK : read_all(s->text, &own, &n);
    const bool words = strcmp(s->unit, "word") == 0;
    if (!status) status = corpus_open(c, text ? text : own, n, words, words ? s->least : 1);
    free(own);
    *m = (rnnlm){.kind = kind_of(s->model ? s->model : "lstm"), .symbols = c->symbols,
                 .hidden = s->hidden, .projection = s->projection, .layers = (int)s->layers,
                 .dropout = s->dropout};
    return status;
}

static bool is_known(void *user, const char *word, size_t n) {
    return corpus_find(user, word, n) != 0;
}

double rnnlm_least_cost(const settings *s, const corpus *c, int part) {
    const size_t from = c->byte[part], to = c->byte[part + 1];
    const double n = (double)(c->first[part + 1] - c->first[part]);
    if (is_called(s, "stories")) return text_bits() * log(2.0) * (double)(to - from) / n;
    if (!is_called(s, "paragraphs")) return NAN;
    corpus seen = *c;
    return paragraphs_cost(from, to, c->words ? is_known : NULL, &seen) / n;
}
