/* Trains a small GPT on the built-in text, and lets it write: char_gpt [STEPS]
 * A tenth of the text is kept apart; bits a character are those of that part. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "models/char_gpt/model.h"
#include "models/program/progress.h"
#include "models/text/text.h"

enum { CONTEXT = 128, BATCH = 16, STEPS = 1500, WRITTEN = 600 };

static char symbol[256];
static uint8_t code[256];

/* A part of the text as a source: sample i begins at i * stride. */
typedef struct part {
    const char *text;
    int64_t stride;
} part;

static wf_status fill(void *user, const int64_t *index, int64_t n, void *const *out) {
    const part *p = user;
    for (int64_t t = 0; t < CONTEXT; t++)
        for (int64_t i = 0; i < n; i++) {
            const char *at = p->text + index[i] * p->stride + t;
            ((int64_t *)out[0])[t * n + i] = code[(unsigned char)at[0]];
            ((int64_t *)out[1])[t * n + i] = code[(unsigned char)at[1]];
        }
    return WF_OK;
}

static wf_status open_part(wf_source **out, part *p, size_t n) {
    const wf_source_part parts[] = {{.name = "x", .dtype = WF_I64, .shape = WF_SHAPE(CONTEXT)},
                                    {.name = "y", .dtype = WF_I64, .shape = WF_SHAPE(CONTEXT)}};
    return wf_source_function(out, ((int64_t)n - CONTEXT - 1) / p->stride, parts, 2, fill, p);
}

/* Programs for a training step and for the loss alone, from one graph. */
static wf_status build_training(wf_program **step, wf_program **judge, wf_params *p, gpt_size s) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = wf_input(g, "x", WF_I64, WF_SHAPE(CONTEXT, BATCH));
    const wf_tensor y = wf_input(g, "y", WF_I64, WF_SHAPE(CONTEXT, BATCH));
    const wf_tensor loss = wf_name(gpt_loss(p, x, y, s), "loss");
    const wf_tensor out[] = {loss, wf_name(gpt_optimizer(p, loss), "grad_norm")};
    wf_status status = wf_compile(step, g, out, 2, (wf_compile_opt){0});
    if (!status) status = wf_compile(judge, g, out, 1, (wf_compile_opt){.no_assign = true});
    wf_graph_free(g);
    return status;
}

static wf_status build_writing(wf_program **out, wf_params *p, gpt_size s) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = wf_input(g, "x", WF_I64, WF_SHAPE(CONTEXT, 1));
    const wf_tensor y = wf_name(wf_softmax(gpt_logits(p, x, s), -1), "probability");
    const wf_status status = wf_compile(out, g, &y, 1, (wf_compile_opt){0});
    wf_graph_free(g);
    return status;
}

static int draw(const float *probability, int n) {
    double u = (double)rand() / RAND_MAX;
    for (int i = 0; i < n - 1; i++)
        if ((u -= probability[i]) < 0) return i;
    return n - 1;
}

/* Begins a story; each character sees the last CONTEXT of them. What stands after the last in the
 * window is not seen, as attention is causal. */
static wf_status write_story(wf_params *p, gpt_size s) {
    wf_program *program;
    wf_status status = build_writing(&program, p, s);
    if (status) return status;
    size_t bytes;
    int64_t *x = wf_data_named(program, "x", &bytes);
    const float *y = wf_data_named(program, "probability", &bytes);
    int n = 0;
    x[n++] = code['\n'];
    for (int i = 0; i < WRITTEN && !status; i++) {
        status = wf_run(program);
        const int next = draw(y + (n - 1) * s.symbols, (int)s.symbols);
        putchar(symbol[next]);
        if (n == CONTEXT)
            for (n = 0; n < CONTEXT - 1; n++) x[n] = x[n + 1];
        x[n++] = next;
    }
    putchar('\n');
    wf_program_free(program);
    return status;
}

static wf_status show(void *user, const wf_trainer_at *at) {
    progress_step(user, at->step, at->loss);
    return WF_OK;
}

int main(int argc, char **argv) {
    const int64_t steps = argc > 1 ? atoll(argv[1]) : STEPS;
    size_t n;
    const char *text = text_builtin(&n);
    const size_t first = n / 10 * 9;
    part learned = {text, 1}, unseen = {text + first, CONTEXT};
    const gpt_size s = {.symbols = text_alphabet(text, n, symbol, code), .context = CONTEXT,
                        .width = 128, .heads = 4, .layers = 4};
    wf_params *p = wf_params_new(1);
    wf_program *step = NULL, *judge = NULL;
    wf_source *learn = NULL, *test = NULL;
    wf_trainer_result result = {0};
    progress bar;
    double nats = 0;
    wf_status status = build_training(&step, &judge, p, s);
    if (!status) status = open_part(&learn, &learned, first);
    if (!status) status = open_part(&test, &unseen, n - first);
    progress_open(&bar, "training", 0, steps);
    if (!status)
        status = wf_trainer_run(&(wf_trainer){
            .params = p, .program = step, .data = learn, .steps = steps, .user = &bar,
            .schedule = {.kind = WF_SCHEDULE_COSINE, .lr = 2e-3, .min_lr = 1e-4,
                         .warmup = steps / 15},
            .on = {.step = show}}, &result);
    progress_close(&bar);
    if (!status) status = wf_evaluate(judge, test, "loss", &nats);
    if (!status)
        printf("%lld parameters, %lld steps in %.0f s: %.4f bits a character "
               "(the grammar's own: %.4f)\n", (long long)wf_params_elements(p), (long long)steps,
               result.run_s, nats / log(2), text_bits());
    if (!status) status = write_story(p, s);
    if (status) fprintf(stderr, "char_gpt: %s\n", wf_error());
    wf_source_close(learn);
    wf_source_close(test);
    wf_program_free(step);
    wf_program_free(judge);
    wf_params_free(p);
    return status ? 1 : 0;
}
