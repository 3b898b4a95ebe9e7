/* The language models: they learn; the state is carried, through a checkpoint too, and reading does
 * not disturb it; texts are cut and priced rightly. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/rnnlm/lanes.h"
#include "models/rnnlm/reader.h"
#include "models/text/paragraphs.h"

static char folder[] = "/tmp/weft-rnnlm-XXXXXX";

static void teardown(void) {
    char command[64];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    cr_assert(system(command) == 0);
}

/* --- texts --- */

/* Counted by hand: 8 paragraphs to train on, "rare" in one of them. */
Test(model_rnnlm, words_and_their_parts) {
    char text[256] = "";
    for (int i = 0; i < 10; i++) strcat(text, i == 2 ? "A rare owl.\n\n" : "An owl's-nest!\n\n");
    corpus c;
    cr_assert(!corpus_open(&c, text, strlen(text), true, 2), "%s", wf_error());
    cr_assert(c.symbols == 7, "<unk>, newline, ! - an owl's nest: %lld", (long long)c.symbols);
    cr_assert(corpus_find(&c, "owl's", 5) && corpus_find(&c, "an", 2) && corpus_find(&c, "\n", 1));
    cr_assert(corpus_find(&c, "rare", 4) == 0 && corpus_find(&c, "An", 2) == 0, "lower case");
    cr_assert(c.unknown == 4, "a rare owl .");
    cr_assert(c.n == 10 * 7 - 1, "%lld", (long long)c.n);
    cr_assert(c.byte[1] + 2 * 16 == c.byte[3] && c.byte[2] + 16 == c.byte[3], "8, 1 and 1");
    cr_assert(c.first[1] == c.n - 14 && c.first[2] == c.n - 7);
    corpus_close(&c);
}

/* The parts of a text cost what the whole does; who knows less pays less. */
static bool first_half(void *user, const char *word, size_t n) { return *word < 'n'; }

Test(model_rnnlm, the_grammar_prices_its_text) {
    size_t n;
    const char *text = paragraphs_text(&n);
    const size_t middle = (size_t)(strstr(text + n / 2, "\n\n") + 2 - text);
    const double whole = paragraphs_cost(0, n, NULL, NULL);
    const double parts =
        paragraphs_cost(0, middle, NULL, NULL) + paragraphs_cost(middle, n, NULL, NULL);
    cr_assert(fabs(whole - parts) < 1e-6 * whole, "%.9g and %.9g", whole, parts);
    const double bits = whole / log(2.0) / (double)n;
    cr_assert(bits > 0.6 && bits < 0.8, "%g bits a character", bits);
    cr_assert(paragraphs_cost(0, n, first_half, NULL) < 0.9 * whole);
    cr_assert(text[n] == 0 && strlen(text) == n && strcmp(text + n - 2, "\n\n") == 0);
}

/* --- training --- */

enum { STEPS = 4, BATCH = 3, HIDDEN = 12 };

typedef struct experiment {
    corpus text;
    lanes lanes;
    rnnlm model;
    wf_params *p;
    wf_program *program;
    reader reader;
    wf_trainer trainer;
    int64_t stop_at; /* after so many steps; 0: do not */
    double first, last, valid; /* losses, cost of the validation part */
} experiment;

static wf_status after_step(void *user, const wf_trainer_at *at) {
    experiment *e = user;
    if (at->step == 1) e->first = at->loss;
    e->last = at->loss;
    return WF_OK;
}
static wf_status validate(void *user, const wf_trainer_at *at, double *metric) {
    experiment *e = user;
    const wf_status status = reader_cost(&e->reader, &e->text, CORPUS_VALID, &e->valid);
    *metric = e->valid;
    return status;
}
static bool is_stopped(void *user) {
    experiment *e = user;
    return e->stop_at && --e->stop_at == 0;
}

static void open_experiment(experiment *e, rnnlm_kind kind, const char *dir) {
    size_t n;
    const char *text = paragraphs_text(&n);
    *e = (experiment){.p = wf_params_new(5)};
    cr_assert(n > 12000 && !corpus_open(&e->text, text, 12000, true, 3), "%s", wf_error());
    cr_assert(!lanes_open(&e->lanes, &e->text, BATCH, STEPS), "%s", wf_error());
    e->model = (rnnlm){.kind = kind, .symbols = e->text.symbols, .hidden = HIDDEN,
                       .projection = 8, .layers = 2};
    wf_graph *g = wf_graph_new();
    const wf_tensor x = wf_input(g, "x", WF_I32, WF_SHAPE(STEPS, BATCH));
    const wf_tensor y = wf_input(g, "y", WF_I32, WF_SHAPE(STEPS, BATCH));
    const rnnlm_step step = rnnlm_train(e->p, x, y, &e->model, 5);
    cr_assert(!wf_compile(&e->program, g, (wf_tensor[]){step.loss, step.norm}, 2,
                          (wf_compile_opt){.threads = 1}), "%s", wf_error());
    wf_graph_free(g);
    cr_assert(!reader_open(&e->reader, e->p, &e->model, 7, (wf_compile_opt){.threads = 1}));
    e->trainer = (wf_trainer){
        .params = e->p, .program = e->program, .data = e->lanes.source, .in_order = true,
        .steps = 60, .validate_every = 25, .dir = dir,
        .schedule = {.kind = WF_SCHEDULE_HALVING, .lr = 1},
        .on = {.step = after_step, .validate = validate, .stop = is_stopped}, .user = e};
}

static void close_experiment(experiment *e) {
    reader_close(&e->reader);
    wf_program_free(e->program);
    wf_params_free(e->p);
    lanes_close(&e->lanes);
    corpus_close(&e->text);
}

Test(model_rnnlm, all_models_learn) {
    for (int k = 0; k < RNNLM_KINDS; k++) {
        experiment e;
        open_experiment(&e, (rnnlm_kind)k, NULL);
        cr_assert(!wf_trainer_run(&e.trainer, NULL), "%s", wf_error());
        cr_assert(e.valid < log((double)e.text.symbols) - 0.5 && e.last < e.first - 0.5,
                  "%s: %g -> %g, validation %g", rnnlm_kind_name[k], e.first, e.last, e.valid);
        close_experiment(&e);
    }
}

/* Lane by lane, batches are the text without a gap. */
Test(model_rnnlm, lanes_go_on_where_they_ended) {
    experiment e;
    open_experiment(&e, RNNLM_RNN, NULL);
    int32_t x[STEPS][BATCH], y[STEPS][BATCH];
    for (int64_t k = 0; k < 3; k++) {
        const int64_t index[BATCH] = {k * BATCH, k * BATCH + 1, k * BATCH + 2};
        cr_assert(!wf_source_batch(e.lanes.source, index, BATCH, (void *[]){x, y}));
        for (int t = 0; t < STEPS; t++)
            for (int b = 0; b < BATCH; b++) {
                const int32_t *at = e.text.id + b * e.lanes.length + k * STEPS + t;
                cr_assert(x[t][b] == at[0] && y[t][b] == at[1], "%lld, %d, %d", (long long)k, t, b);
            }
    }
    close_experiment(&e);
}

/* Stopped in the middle of the text, where states are carried, and between validations, which carry
 * states of their own. */
Test(model_rnnlm, resumed_is_not_to_be_told_from_uninterrupted, .fini = teardown) {
    experiment whole, half;
    cr_assert(mkdtemp(folder));
    open_experiment(&whole, RNNLM_PROJECTED, NULL);
    cr_assert(!wf_trainer_run(&whole.trainer, NULL), "%s", wf_error());
    for (int part = 0; part < 2; part++) {
        wf_trainer_result r;
        open_experiment(&half, RNNLM_PROJECTED, folder);
        half.stop_at = part ? 0 : 37;
        half.trainer.resume = part;
        cr_assert(!wf_trainer_run(&half.trainer, &r), "%s", wf_error());
        cr_assert(r.at.step == (part ? 60 : 37));
        if (part == 0) close_experiment(&half);
    }
    cr_assert(half.last == whole.last && half.valid == whole.valid, "%.17g and %.17g", half.last,
              whole.last);
    close_experiment(&half);
    close_experiment(&whole);
}

/* What was read before matters: a symbol costs less after what it follows. Cost is a mean over all
 * symbols, whatever the number of symbols a run; sampling is a function of the seed. */
Test(model_rnnlm, reading_and_writing) {
    experiment e;
    reader other, one;
    double a, b;
    char *text[2] = {NULL};
    size_t n[2];
    open_experiment(&e, RNNLM_DEEP, NULL);
    cr_assert(!wf_trainer_run(&e.trainer, NULL), "%s", wf_error());
    cr_assert(!reader_open(&other, e.p, &e.model, 16, (wf_compile_opt){.threads = 1}));
    cr_assert(!reader_open(&one, e.p, &e.model, 1, (wf_compile_opt){.threads = 1}));
    cr_assert(!reader_cost(&e.reader, &e.text, CORPUS_TEST, &a));
    cr_assert(!reader_cost(&other, &e.text, CORPUS_TEST, &b));
    cr_assert(fabs(a - b) < 1e-5 * a, "%g in runs of 7, %g in runs of 16", a, b);
    for (int k = 0; k < 2; k++) {
        FILE *f = open_memstream(&text[k], &n[k]);
        cr_assert(!reader_sample(&one, &e.text, 40, 0.8, 9, f), "%s", wf_error());
        fclose(f);
    }
    cr_assert(n[0] > 40 && strcmp(text[0], text[1]) == 0 && !strstr(text[0], "<unk>"), "%s",
              text[0]);
    free(text[0]);
    free(text[1]);
    reader_close(&one);
    reader_close(&other);
    close_experiment(&e);
}
