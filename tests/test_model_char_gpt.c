/* The transformer learns its text, sees no character before its time, and its steps are counted. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "models/char_gpt/model.h"
#include "models/text/text.h"

enum { T = 12, N = 4 };

static const gpt_size size = {.symbols = 54, .context = T, .width = 16, .heads = 2, .layers = 2};

Test(model_char_gpt, learns_a_line) {
    size_t n;
    char symbol[256];
    uint8_t code[256];
    const char *text = text_builtin(&n);
    cr_assert_eq(text_alphabet(text, n, symbol, code), size.symbols);
    wf_graph *g = wf_graph_new();
    wf_params *p = wf_params_new(3);
    const wf_tensor x = wf_input(g, "x", WF_I64, WF_SHAPE(T, N));
    const wf_tensor y = wf_input(g, "y", WF_I64, WF_SHAPE(T, N));
    const wf_tensor loss = gpt_loss(p, x, y, size), norm = gpt_optimizer(p, loss);
    wf_program *step;
    cr_assert(!wf_compile(&step, g, (wf_tensor[]){loss, norm}, 2, (wf_compile_opt){0}), "%s",
              wf_error());
    int64_t *in = wf_data(step, x), *out = wf_data(step, y);
    for (int i = 0; i < T * N; i++) {
        in[i] = code[(unsigned char)text[i / N + 20 * (i % N)]];
        out[i] = code[(unsigned char)text[i / N + 20 * (i % N) + 1]];
    }
    *(float *)wf_data_named(step, "lr", &(size_t){0}) = 0.01f;
    float first = 0, last = 0;
    for (int i = 0; i < 40; i++) {
        cr_assert(!wf_run(step) && !wf_read(step, loss, &last, sizeof last), "%s", wf_error());
        if (i == 0) first = last;
    }
    cr_expect(fabs(first - log((double)size.symbols)) < 1, "%g: near to knowing nothing", first);
    cr_expect(last < 0.5 * first, "%g, then %g", first, last);
    wf_program_free(step);
    wf_params_free(p);
    wf_graph_free(g);
}

/* What follows a character does not change what is predicted after it. */
Test(model_char_gpt, is_causal) {
    wf_graph *g = wf_graph_new();
    wf_params *p = wf_params_new(3);
    const wf_tensor x = wf_input(g, "x", WF_I64, WF_SHAPE(T, 1)), y = gpt_logits(p, x, size);
    wf_program *program;
    cr_assert(!wf_compile(&program, g, &y, 1, (wf_compile_opt){0}), "%s", wf_error());
    int64_t *in = wf_data(program, x);
    float before[T][54], after[T][54];
    for (int i = 0; i < T; i++) in[i] = 3 * i;
    cr_assert(!wf_run(program) && !wf_read(program, y, before, sizeof before), "%s", wf_error());
    in[7] = 50;
    cr_assert(!wf_run(program) && !wf_read(program, y, after, sizeof after), "%s", wf_error());
    for (int t = 0; t < T; t++) {
        double difference = 0;
        for (int k = 0; k < size.symbols; k++) difference += fabs(before[t][k] - after[t][k]);
        cr_expect((difference == 0) == (t < 7), "step %d: %g", t, difference);
    }
    wf_program_free(program);
    wf_params_free(p);
    wf_graph_free(g);
}

/* The text is the same everywhere: a story begins it, quotes close, and nothing of the grammar
 * shows. */
Test(model_char_gpt, text) {
    size_t n, stories = 0, quotes = 0;
    const char *text = text_builtin(&n);
    cr_assert_eq(n, TEXT_SIZE);
    cr_assert_eq(text[n], 0);
    cr_assert(strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 1, "%.40s", text);
    for (size_t i = 0; i < n; i++) {
        cr_assert(!strchr("<>|", text[i]), "%.40s", text + i);
        quotes += text[i] == '"';
        stories += text[i] == '\n';
        cr_assert(text[i] != '\n' || quotes % 2 == 0, "%.40s", text + i);
    }
    cr_assert(stories > 200 && stories < 600, "%zu stories", stories);
    cr_assert(text_bits() > 0.1 && text_bits() < 0.3, "%g bits a character", text_bits());
}
