/* The DOT writer: escaping, stability, folding, what a box says, errors; and that dot draws it. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "compiler/compiler.h"
#include "models/convlstm/model.h"
#include "tensor/graph.h"

static const char *const stages[] = {"written", "gradients", "simplify", "merge", "fuse",
                                     "plan"};

/* --- text ------------------------------------------------------------------------------------- */

static char *text_of_graph(const wf_graph *g, wf_dot_opt o) {
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    cr_assert_eq(wf_graph_dot(g, f, o), WF_OK, "%s", wf_error());
    fclose(f);
    return text;
}

static char *text_of_stage(wf_graph *g, const wf_tensor *out, int n, const char *stage,
                           wf_dot_opt o) {
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    const wf_status s = wf_stage_dot(g, out, n, (wf_compile_opt){0}, stage, f, o);
    cr_assert_eq(s, WF_OK, "%s", wf_error());
    fclose(f);
    return text;
}

/* The number of lines that begin with `head` and a digit and go on with `tail`. */
static int count(const char *text, const char *head, const char *tail) {
    int n = 0;
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        const size_t k = strlen(head);
        if (strncmp(line, head, k) != 0) continue;
        const size_t digits = strspn(line + k, "0123456789");
        n += digits > 0 && strncmp(line + k + digits, tail, strlen(tail)) == 0;
    }
    return n;
}

static int boxes(const char *text) {
    return count(text, "n", " [label=") + count(text, "out_n", " [label=");
}

static void expect_text(const char *text, const char *part) {
    cr_expect(strstr(text, part), "%s is not in\n%s", part, text);
}

/* Quotes close on their line, braces match, everything is printable. */
static void expect_well_formed(const char *text) {
    int depth = 0;
    bool quoted = false;
    for (const char *c = text; *c; c++) {
        if (quoted && *c == '\\') {
            c++;
            cr_assert(*c && *c != '\n', "a backslash at the end of a line");
            continue;
        }
        if (*c == '"') quoted = !quoted;
        cr_assert(!quoted || (unsigned char)*c >= ' ', "a control character within quotes");
        if (!quoted) depth += (*c == '{') - (*c == '}');
    }
    cr_assert(!quoted && depth == 0, "quotes or braces do not match:\n%s", text);
}

/* --- dot -------------------------------------------------------------------------------------- */

static bool has_dot(void) {
    static int known;
    if (!known) known = system("command -v dot >/dev/null 2>&1") == 0 ? 1 : 2;
    if (known == 2) fprintf(stderr, "there is no dot here: pictures are not tried\n");
    return known == 1;
}

/* Draws the text and returns the seconds it took. */
static double draw(const char *text) {
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    FILE *f = popen("timeout 20 dot -Tsvg >/dev/null 2>&1", "w");
    cr_assert(f && fputs(text, f) >= 0);
    cr_assert_eq(pclose(f), 0, "dot fails on\n%s", text);
    clock_gettime(CLOCK_MONOTONIC, &b);
    return (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
}

/* --- names ------------------------------------------------------------------------------------ */

Test(compiler_dot, hostile_names) {
    static float data[4];
    static const char *const names[] = {"\"];}\n}", "back\\slash\\", "<b>&amp;</b>", "caf\xc3\xa9",
                                        "\xff\xfe\x80", "\xed\xa0\x80", "tab\there\x7f\x01",
                                        "\xf0\x9f\x98\x80 -> {", "", "\\N\\G\\L", "\xc2"};
    wf_graph *g = wf_graph_new();
    wf_tensor x = wf_leaf(g, "w", WF_F32, WF_SHAPE(4), data);
    for (size_t i = 0; i < WF_COUNT(names); i++) {
        wf_scope_push(g, "%s", names[i]);
        wf_scope_push(g, "%s/t%d'", names[WF_COUNT(names) - 1 - i], (int)i);
        x = wf_name(wf_relu(x), names[i]);
        x = wf_add(x, wf_input(g, names[i], WF_F32, WF_SHAPE(4)));
        wf_scope_pop(g);
        wf_scope_pop(g);
    }
    for (int fold = 0; fold < 2; fold++)
        for (uint32_t limit = 0; limit < 20; limit += 9) {
            char *text = text_of_graph(
                g, (wf_dot_opt){.fold = (wf_dot_fold)fold, .limit = limit, .title = names[0]});
            expect_well_formed(text);
            if (fold == 1) {
                expect_text(text, "\\\"];}\\\\x0A}");
                expect_text(text, "back\\\\slash\\\\\\\"");
                expect_text(text, "<b>&amp;amp;</b>");
                expect_text(text, "caf\xc3\xa9");
                expect_text(text, "\\\\xFF\\\\xFE\\\\x80");
                expect_text(text, "\\\\xED\\\\xA0\\\\x80");
                expect_text(text, "tab\\\\x09here\\\\x7F\\\\x01");
                expect_text(text, "\\\\N\\\\G\\\\L");
                expect_text(text, "\\\\xC2");
            }
            if (has_dot()) draw(text);
            free(text);
        }
    wf_graph_free(g);
}

Test(compiler_dot, long_names_are_cut) {
    char name[3000];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    wf_graph *g = wf_graph_new();
    wf_input(g, name, WF_F32, WF_SCALAR);
    char *text = text_of_graph(g, (wf_dot_opt){0});
    expect_well_formed(text);
    expect_text(text, "nnn...");
    cr_expect(strlen(text) < 1500);
    free(text);
    wf_graph_free(g);
}

/* --- small graphs ----------------------------------------------------------------------------- */

Test(compiler_dot, empty_graph) {
    wf_graph *g = wf_graph_new();
    for (int fold = 0; fold < 2; fold++) {
        char *text = text_of_graph(g, (wf_dot_opt){.fold = (wf_dot_fold)fold});
        expect_well_formed(text);
        cr_expect_eq(boxes(text), 0);
        if (has_dot()) draw(text);
        free(text);
    }
    for (size_t i = 0; i < WF_COUNT(stages); i++) {
        char *text = text_of_stage(g, NULL, 0, stages[i], (wf_dot_opt){0});
        expect_well_formed(text);
        free(text);
    }
    wf_graph_free(g);
}

Test(compiler_dot, what_boxes_and_arrows_say) {
    static float w[64 * 32];
    wf_graph *g = wf_graph_new();
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(8, 64));
    const wf_tensor m = wf_leaf(g, "w", WF_F32, WF_SHAPE(64, 32), w);
    wf_scope_push(g, "dense");
    const wf_tensor y = wf_relu(wf_matmul(x, m));
    wf_scope_pop(g);
    wf_assign(m, wf_mul_scalar(m, 0.5));
    char *text = text_of_graph(g, (wf_dot_opt){.title = "two"});
    expect_text(text, "digraph weft {\nlabel=\"two: 7 nodes\";\n");
    expect_text(text, "n1 [label=\"input\\nx\\nf32[8,64]\\n2.05 kB\"");
    expect_text(text, "n2 [label=\"leaf\\nw\\nf32[64,32]\\n8.19 kB\"");
    expect_text(text, "label=\"dense\"");
    expect_text(text, "n3 [label=\"contract\\nf32[8,32]");
    expect_text(text, "\\n32.8 kFLOP\""); /* 2 * 8 * 32 * 64 */
    expect_text(text, "n3 -> n4 [xlabel=\"1.02 kB\"]");
    expect_text(text, "[label=\"mul 0.5\\nf32[64,32]\"");
    expect_text(text, "[label=\"assign\\nw\\nf32[64,32]\\n8.19 kB\"");
    free(text);
    text = text_of_stage(g, &y, 1, "plan", (wf_dot_opt){0});
    expect_text(text, "launch 0");
    expect_text(text, "in the output's buffer");
    expect_text(text, "computed in the leaf");
    expect_text(text, "arena +");
    expect_text(text, "out_n");
    free(text);
    wf_program *p;
    cr_assert_eq(wf_compile(&p, g, &y, 1, (wf_compile_opt){0}), WF_OK);
    size_t size;
    FILE *f = open_memstream(&text, &size);
    cr_expect_eq(wf_program_dot(p, f, (wf_dot_opt){0}), WF_OK);
    fclose(f);
    char *same = text_of_stage(g, &y, 1, "plan", (wf_dot_opt){0});
    cr_expect_str_eq(text, same, "a program's picture is that of the stage plan");
    free(text);
    free(same);
    wf_program_free(p);
    wf_graph_free(g);
}

Test(compiler_dot, errors) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(2));
    FILE *f = fopen("/dev/null", "w");
    const wf_dot_opt o = {0};
    cr_expect_eq(wf_graph_dot(NULL, f, o), WF_ARGUMENT);
    cr_expect_eq(wf_graph_dot(g, NULL, o), WF_ARGUMENT);
    cr_expect_eq(wf_program_dot(NULL, f, o), WF_ARGUMENT);
    cr_expect_eq(wf_graph_dot(g, f, (wf_dot_opt){.fold = (wf_dot_fold)7}), WF_ARGUMENT);
    cr_expect_eq(wf_stage_dot(g, &x, 1, (wf_compile_opt){0}, "fly", f, o), WF_NOT_FOUND);
    cr_expect(strstr(wf_error(), "simplify"), "%s", wf_error());
    cr_expect_eq(wf_stage_dot(g, &x, 1, (wf_compile_opt){0}, NULL, f, o), WF_NOT_FOUND);
    cr_expect_eq(wf_stage_dot(g, NULL, 1, (wf_compile_opt){0}, "plan", f, o), WF_ARGUMENT);
    fclose(f);
    f = fopen("/dev/full", "w");
    if (f) {
        cr_expect_eq(wf_graph_dot(g, f, o), WF_OUTPUT);
        fclose(f);
    }
    f = fopen("/dev/null", "w");
    wf_add(x, wf_input(g, "y", WF_F32, WF_SHAPE(3)));
    cr_expect_eq(wf_stage_dot(g, &x, 1, (wf_compile_opt){0}, "plan", f, o), WF_MODEL);
    cr_expect_eq(wf_graph_dot(g, f, o), WF_OK, "what there is of a poisoned graph is drawn");
    fclose(f);
    wf_graph_free(g);
}

/* --- folding ---------------------------------------------------------------------------------- */

/* h = tanh(x_t W + h U), t = 0 .. steps - 1; the first step has no h. */
static wf_tensor recurrence(wf_graph *g, int steps, const char *scope) {
    static float w[16], u[16];
    const wf_tensor wt = wf_leaf(g, "W", WF_F32, WF_SHAPE(4, 4), w);
    const wf_tensor ut = wf_leaf(g, "U", WF_F32, WF_SHAPE(4, 4), u);
    wf_tensor h = {0};
    for (int t = 0; t < steps; t++) {
        char name[16];
        snprintf(name, sizeof name, "x%d", t);
        wf_scope_push(g, "%s%d", scope, t);
        const wf_tensor x = wf_input(g, name, WF_F32, WF_SHAPE(2, 4));
        wf_tensor z = wf_matmul(x, wt);
        if (h.graph) z = wf_add(z, wf_matmul(h, ut));
        h = wf_tanh(z);
        wf_scope_pop(g);
    }
    return h;
}

Test(compiler_dot, steps_fold) {
    wf_graph *g = wf_graph_new();
    recurrence(g, 100, "step");
    char *text = text_of_graph(g, (wf_dot_opt){0});
    /* W, U, x, x W, h U, add, tanh: the first step's nodes are found among those of the others. */
    cr_expect_eq(boxes(text), 7, "%s", text);
    expect_text(text, "label=\"step0..99  x100\"");
    expect_text(text, "contract  x100\\nf32[2,4]");
    expect_text(text, "contract  x99\\nf32[2,4]");
    expect_text(text, "tanh  x100");
    expect_text(text, "step-1\\nx99 3.17 kB");
    expect_text(text, "style=dashed");
    cr_expect_eq(count(text, "n", " -> n"), 8, "%s", text);
    free(text);
    text = text_of_graph(g, (wf_dot_opt){.fold = WF_DOT_FOLD_NONE});
    cr_expect_eq(boxes(text), (int)wf_graph_size(g) - 1);
    cr_expect(!strstr(text, "step-1"), "nothing is folded");
    free(text);
    wf_graph_free(g);
}

Test(compiler_dot, chains_without_scopes_fold) {
    wf_graph *g = wf_graph_new();
    wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(3));
    for (int i = 0; i < 500; i++) x = wf_tanh(wf_mul_scalar(x, 2));
    char *text = text_of_graph(g, (wf_dot_opt){.limit = 60});
    cr_expect(boxes(text) <= 60, "%d boxes", boxes(text));
    expect_text(text, "mul 2  x4");
    free(text);
    wf_graph_free(g);
}

/* Updates of parameters of different shapes are one update. */
Test(compiler_dot, updates_fold) {
    static float data[70][3][140];
    wf_graph *g = wf_graph_new();
    wf_scope_push(g, "optimizer");
    for (int i = 0; i < 70; i++) {
        const wf_shape shape = i % 2 ? WF_SHAPE(i + 1, 2) : WF_SHAPE(i + 1);
        char name[3][32];
        for (int k = 0; k < 3; k++) snprintf(name[k], 32, "%c.layer%d.weight", "wmg"[k], i);
        const wf_tensor w = wf_leaf(g, name[0], WF_F32, shape, data[i][0]);
        const wf_tensor m = wf_leaf(g, name[1], WF_F32, shape, data[i][1]);
        const wf_tensor d = wf_leaf(g, name[2], WF_F32, shape, data[i][2]);
        const wf_tensor now = wf_add(wf_mul_scalar(m, 0.9), wf_mul_scalar(d, 0.1));
        wf_assign(m, now);
        wf_assign(w, wf_sub(w, now));
    }
    wf_scope_pop(g);
    char *text = text_of_graph(g, (wf_dot_opt){0});
    cr_expect_eq(boxes(text), 9, "%s", text);
    expect_text(text, "mul 0.9  x70\\nf32[...]");
    expect_text(text, "m.layer*.weight");
    expect_text(text, "assign  x70");
    free(text);
    wf_graph_free(g);
}

/* Two boxes of one scope, with a contraction between them, are not joined over it. */
Test(compiler_dot, merged_boxes_close_no_circle) {
    static float w[16];
    wf_graph *g = wf_graph_new();
    const wf_tensor m = wf_leaf(g, "w", WF_F32, WF_SHAPE(4, 4), w);
    wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(4, 4));
    x = wf_exp(wf_sin(wf_tanh(wf_relu(x))));
    x = wf_add(wf_matmul(x, m), x);
    wf_log(wf_cos(wf_square(wf_neg(x))));
    char *text = text_of_graph(g, (wf_dot_opt){.limit = 6});
    cr_expect_eq(boxes(text), 5, "%s", text);
    expect_text(text, "[label=\"relu, tanh, sin, exp\\n");
    expect_text(text, "[label=\"add, neg, square, cos,\\nlog\\n");
    free(text);
    wf_graph_free(g);
}

/* --- a training graph ------------------------------------------------------------------------- */

static wf_graph *training_graph(wf_params **p, wf_tensor out[CONVLSTM_TRAINER_OUTPUTS],
                                int frames) {
    const convlstm_size size = {frames - 1, 2, 8, 8, 2};
    wf_graph *g = NULL;
    *p = wf_params_new(1);
    cr_assert_eq(convlstm_training_graph(&g, out, *p, size, 2), WF_OK, "%s", wf_error());
    return g;
}

Test(compiler_dot, training_graph_is_readable) {
    wf_params *p;
    wf_tensor out[CONVLSTM_TRAINER_OUTPUTS];
    wf_graph *g = training_graph(&p, out, 20);
    for (size_t i = 0; i < WF_COUNT(stages); i++) {
        char *text = text_of_stage(g, out, CONVLSTM_TRAINER_OUTPUTS, stages[i], (wf_dot_opt){0});
        const int n = boxes(text);
        expect_well_formed(text);
        cr_expect(n <= 150 && n >= 40, "%s: %d boxes", stages[i], n);
        expect_text(text, "t-1");
        expect_text(text, "t0..18");
        expect_text(text, "grad_norm");
        char *again = text_of_stage(g, out, CONVLSTM_TRAINER_OUTPUTS, stages[i], (wf_dot_opt){0});
        cr_expect_str_eq(text, again, "%s: two runs differ", stages[i]);
        free(again);
        if (has_dot()) {
            const double seconds = draw(text);
            cr_expect(seconds <= 3, "%s: dot needs %.1f s for %d boxes", stages[i], seconds, n);
        }
        free(text);
    }
    wf_graph_free(g);
    wf_params_free(p);
}

/* The same model built anew, with other addresses and serial numbers, gives the same bytes; and ten
 * times the steps give the same picture but for numbers. */
Test(compiler_dot, stable_and_independent_of_length) {
    char *text[3];
    static const int frames[] = {20, 20, 191};
    for (int i = 0; i < 3; i++) {
        wf_params *p;
        wf_tensor out[CONVLSTM_TRAINER_OUTPUTS];
        wf_graph *g = training_graph(&p, out, frames[i]);
        text[i] = text_of_stage(g, out, CONVLSTM_TRAINER_OUTPUTS, "merge", (wf_dot_opt){0});
        wf_graph_free(g);
        wf_params_free(p);
    }
    cr_expect_str_eq(text[0], text[1]);
    cr_expect_eq(boxes(text[0]), boxes(text[2]));
    for (int i = 0; i < 3; i++) free(text[i]);
}

Test(compiler_dot, every_limit_is_kept) {
    wf_params *p;
    wf_tensor out[CONVLSTM_TRAINER_OUTPUTS];
    wf_graph *g = training_graph(&p, out, 6);
    for (uint32_t limit = 8; limit < 4000; limit += limit / 2) {
        char *text = text_of_stage(g, out, CONVLSTM_TRAINER_OUTPUTS, "plan",
                                   (wf_dot_opt){.limit = limit});
        cr_expect(boxes(text) <= (int)limit, "limit %u: %d boxes", limit, boxes(text));
        expect_well_formed(text);
        free(text);
    }
    wf_graph_free(g);
    wf_params_free(p);
}

/* --- random graphs ---------------------------------------------------------------------------- */

static uint64_t state;
static uint32_t below(uint32_t n) {
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(state >> 33) % n;
}

static wf_tensor random_node(wf_graph *g, wf_tensor a, wf_tensor b) {
    static float data[256][16];
    switch (below(8)) {
    case 0: return wf_matmul(a, b);
    case 1: return wf_relu(a);
    case 2: return wf_transpose(a, 0, 1);
    case 3: return wf_add(a, wf_sum(b, (wf_reduce_opt){.n_axes = 1}));
    case 4: return wf_mul_scalar(a, below(3));
    case 5: return wf_slice(wf_concat((wf_tensor[]){a, b}, 2, 0), 0, below(4), 4, 1);
    case 6: {
        float *at = data[below(256)];
        const wf_tensor w = wf_leaf_of(g, at);
        if (wf_ok(w)) return wf_mul(a, w);
        const wf_tensor leaf = wf_leaf(g, "p", WF_F32, WF_SHAPE(4, 4), at);
        if (below(2)) wf_assign(leaf, a);
        return wf_add(leaf, b);
    }
    default: return wf_add(a, b);
    }
}

static wf_tensor random_graph(wf_graph *g) {
    enum { MOST = 300 };
    wf_tensor t[MOST] = {wf_input(g, "x", WF_F32, WF_SHAPE(4, 4))};
    const uint32_t n = 2 + below(MOST - 2), steps = 1 + below(12);
    for (uint32_t i = 1; i < n; i++) {
        const uint32_t depth = below(4);
        if (depth > 0) wf_scope_push(g, "layer%u", below(3));
        if (depth > 1) wf_scope_push(g, "t%u", below(steps));
        if (depth > 2) wf_scope_push(g, "b%u.x'", below(2));
        t[i] = random_node(g, t[i - 1 - below(i < 8 ? i : 8)], t[below(i)]);
        for (uint32_t k = 0; k < depth; k++) wf_scope_pop(g);
    }
    return t[n - 1];
}

Test(compiler_dot, random_graphs) {
    static const uint32_t limits[] = {150, 50, 20, 10};
    for (uint64_t seed = 0; seed < 150; seed++) {
        state = seed;
        wf_graph *g = wf_graph_new();
        const wf_tensor y = random_graph(g);
        cr_assert(wf_ok(y), "seed %llu: %s", (unsigned long long)seed, wf_graph_message(g));
        const uint32_t limit = limits[below(WF_COUNT(limits))];
        const char *stage = stages[below(WF_COUNT(stages))];
        char *text = text_of_stage(g, &y, 1, stage, (wf_dot_opt){.limit = limit});
        char *again = text_of_stage(g, &y, 1, stage, (wf_dot_opt){.limit = limit});
        cr_expect_str_eq(text, again, "seed %llu", (unsigned long long)seed);
        cr_expect(boxes(text) <= (int)limit, "seed %llu: %d boxes of %u", (unsigned long long)seed,
                  boxes(text), limit);
        expect_well_formed(text);
        if (seed % 10 == 0 && has_dot()) draw(text);
        free(text);
        free(again);
        wf_graph_free(g);
    }
}
